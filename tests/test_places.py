"""Where a span stands: its line, its pages, its headings, and the lines around it."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag.places import Places, headings_of, line_of, lines_around, pages_of
from rag.types import Document, Page, Section

MANUAL = "# Manual\n\n## Pilots\n\nOn board at noon.\n\n## Tugs\n\nTwo tugs.\n"


def a_document(text: str, *, pages: tuple[Page, ...] = ()) -> Document:
    return Document(
        id="manual.md",
        text=text,
        digest=hashlib.sha256(text.encode()).hexdigest(),
        title="Manual",
        pages=pages,
        sections=(
            Section(title="Manual", level=1, start=0, end=len(text)),
            Section(title="Pilots", level=2, start=10, end=40),
            Section(title="Tugs", level=2, start=40, end=len(text)),
        ),
    )


def test_lines_count_from_one() -> None:
    document = a_document(MANUAL)
    assert line_of(document, 0) == 1
    assert line_of(document, MANUAL.index("On board")) == 5
    assert line_of(document, MANUAL.index("Two tugs")) == 9


def test_headings_are_listed_from_the_outermost() -> None:
    document = a_document(MANUAL)
    assert headings_of(document, 2) == ("Manual",)
    assert headings_of(document, MANUAL.index("On board")) == ("Manual", "Pilots")
    assert headings_of(document, MANUAL.index("Two tugs")) == ("Manual", "Tugs")


def test_a_span_is_on_the_pages_of_its_first_and_last_character() -> None:
    pages = (Page(number=1, start=0, end=10), Page(number=2, start=10, end=20))
    document = a_document("x" * 20, pages=pages)
    assert pages_of(document, 0, 10) == (1, 1)
    assert pages_of(document, 9, 11) == (1, 2)
    assert pages_of(document, 10, 10) == (2, 2)
    assert pages_of(a_document("x" * 20), 0, 10) is None


def test_a_document_is_read_once_and_one_that_has_gone_has_no_places() -> None:
    asked: list[str] = []

    def document_of(id_: str) -> Document:
        asked.append(id_)
        if id_ == "gone.md":
            message = "there is no document 'gone.md'"
            raise ValueError(message)
        return a_document(MANUAL)

    places = Places(document_of)
    assert places.line("manual.md", 22) == 5
    assert places.headings("manual.md", 22) == ("Manual", "Pilots")
    assert places.line("gone.md", 20) is None
    assert places.headings("gone.md", 20) == ()
    assert asked == ["manual.md", "gone.md"]


LINES = "".join(f"line {n}\n" for n in range(1, 31))


def shown(at: tuple[int, int] | None, n_lines: int) -> list[int]:
    start, end = lines_around(LINES, at, n_lines)
    return [int(line.split()[1]) for line in LINES[start:end].splitlines()]


def test_without_a_place_the_first_lines_are_shown() -> None:
    assert shown(None, 4) == [1, 2, 3, 4]


def test_a_third_of_the_lines_stands_before_the_place() -> None:
    at = LINES.index("line 15")
    assert shown((at, at + 4), 13) == [11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23]


@pytest.mark.parametrize("n_lines", range(1, 12))
def test_as_many_lines_are_shown_as_are_asked_for(n_lines: int) -> None:
    at = LINES.index("line 15")
    assert 15 in shown((at, at), n_lines)
    assert len(shown((at, at), n_lines)) == n_lines


def test_a_passage_longer_than_the_lines_is_shown_whole_with_three_beside_it() -> None:
    at = (LINES.index("line 10"), LINES.index("line 20") - 1)
    assert shown(at, 8) == list(range(7, 23))


def test_no_lines_means_all() -> None:
    assert lines_around(LINES, (50, 60), 0) == (0, len(LINES))


def test_a_line_of_a_megabyte_is_shown_around_the_place() -> None:
    text = "x" * 1_000_000
    start, end = lines_around(text, (500_000, 500_100), 24)
    assert start <= 500_000
    assert end >= 500_100
    assert end - start <= 6000


@given(st.text("ab\n", max_size=60), st.data())
def test_the_lines_hold_the_span_and_are_whole(text: str, data: st.DataObject) -> None:
    start = data.draw(st.integers(min_value=0, max_value=len(text)))
    end = data.draw(st.integers(min_value=start, max_value=len(text)))
    first, last = lines_around(text, (start, end), data.draw(st.integers(0, 9)))
    assert first <= start <= end <= last
    assert first == 0 or text[first - 1] == "\n"
    assert last == len(text) or text[last - 1] == "\n"
