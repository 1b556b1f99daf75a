"""Running headers, footers and page numbers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag.documents.running import leave_out


def test_a_header_stays_where_it_first_stands_and_numbers_go() -> None:
    pages = [["Tariff", f"one {c}", f"two {c}", f"{n}"] for n, c in enumerate("abcd", 7)]
    assert leave_out(pages) == (
        [["Tariff", "one a", "two a"], *([f"one {c}", f"two {c}"] for c in "bcd")],
        "# (1-4); Tariff (2-4)",
    )


@pytest.mark.parametrize(
    "line",
    ["- {n} -", "Page {n} of 40", "第 {n} 页", "第{n}页 共40页", "p. {n}", "{n} | Harbour dues",
     "Annual report 2018 {n}", "水务年报 {n}"],
)  # fmt: skip
def test_a_number_that_rises_with_the_pages_is_a_page_number(line: str) -> None:
    pages = [["a", "b", "c", "d", line.format(n=n)] for n in range(3, 7)]
    kept, told = leave_out([[f"{word}{place}" for word in page[:4]] + page[4:] for place, page in
                            zip("wxyz", pages, strict=True)])  # fmt: skip
    assert [len(page) for page in kept] == [4] * 4
    assert told.endswith("(1-4)")


@pytest.mark.parametrize(
    "lines",
    [
        ("Step 1", "Step 2", "Step 3", "Step 4"),
        ("Total 17 30", "Total 9 12", "Total 8 40", "Total 3 15"),
        ("12", "700", "3", "88"),
        ("0", "0", "0", "0"),
        ("5", "6", "text", "words"),
        ("x" * 201,) * 4,
    ],
)
def test_other_lines_at_the_edge_stay(lines: tuple[str, ...]) -> None:
    pages = [[f"a{n}", f"b{n}", f"c{n}", "d" * n, line] for n, line in enumerate(lines, 1)]
    assert leave_out(pages) == (pages, "")


def test_a_line_of_the_body_that_meets_the_edge_of_each_page_stays() -> None:
    rows = ["Vessel: 船名", "Fee: none", "Pilot: aboard"]
    pages = [["Harbour Rules", *rows * 5] for _ in range(4)]
    assert leave_out(pages) == (
        [["Harbour Rules", *rows * 5], *(rows * 5 for _ in range(3))],
        "Harbour Rules (2-4)",
    )


def test_headers_of_left_and_right_pages_are_two() -> None:
    pages = [
        [("The Book", "Chapter One")[n % 2], f"one {'x' * n}", f"two {'y' * n}"] for n in range(6)
    ]
    kept, told = leave_out(pages)
    assert [page[0] for page in kept] == [
        "The Book",
        "Chapter One",
        *(f"one {'x' * n}" for n in range(2, 6)),
    ]
    assert told == "The Book (3, 5); Chapter One (4, 6)"


def test_pages_without_text_and_without_the_header_do_no_harm() -> None:
    pages = [["Own title"], ["Dues", "a"], [], ["Dues", "b"], ["Dues", "c"], []]
    assert leave_out(pages) == (
        [["Own title"], ["Dues", "a"], [], ["b"], ["c"], []],
        "Dues (4-5)",
    )


def test_two_pages_are_too_few() -> None:
    pages = [["Dues", "a", "1"], ["Dues", "b", "2"]]
    assert leave_out(pages) == (pages, "")


def test_the_same_line_in_the_middle_of_a_page_stays() -> None:
    pages = [["Dues", f"a{n}", f"b{n}", "Dues", f"c{n}", f"d{n}", f"e{n}"] for n in "xyz"]
    kept, _ = leave_out(pages)
    assert kept[1] == ["ay", "by", "Dues", "cy", "dy", "ey"]


_LINE = st.text(st.sampled_from("Du 12第页-"), max_size=8)


@given(st.lists(st.lists(_LINE, max_size=7), max_size=6))
def test_what_is_left_is_the_rest_in_its_order(pages: list[list[str]]) -> None:
    kept, told = leave_out(pages)
    assert len(kept) == len(pages)
    for before, after in zip(pages, kept, strict=True):
        rest = iter(before)
        assert all(line in rest for line in after)
    assert (kept == pages) == (told == "")
