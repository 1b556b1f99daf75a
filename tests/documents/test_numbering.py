"""Headings that only their number gives away."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag.documents.numbering import Numbered, find_numbered, kind_of, order_kinds


def titles(text: str) -> list[str]:
    return [heading.title for heading in find_numbered(text)]


def paragraphs(*lines: str) -> str:
    return "\n\n".join(lines)


def between(*headings: str) -> str:
    """Put each heading above a paragraph of text."""
    return "".join(f"{heading}\n\nThe tide turned late that day.\n\n" for heading in headings)


def test_a_heading_says_where_it_stands_of_which_kind_it_is_and_what_it_is_called() -> None:
    text = "前言。\n\n第二章\u3000水费\n\n第三条\u3000按月计。\n\n4.2 Fees\n\nNone."
    assert find_numbered(text) == [
        Numbered(start=5, end=11, kind="章", title="第二章\u3000水费", has_text=False),
        Numbered(start=13, end=21, kind="条", title="第三条", has_text=True),
    ]
    assert find_numbered("1 Ships\n\nAll.\n\n1.2 Fees\n\nNone.") == [
        Numbered(start=0, end=7, kind="1", title="1 Ships", has_text=False, parts=(1,)),
        Numbered(start=15, end=23, kind="2", title="1.2 Fees", has_text=False, parts=(1, 2)),
    ]


def test_a_text_without_headings_has_none() -> None:
    assert find_numbered("") == []
    assert find_numbered("The tide turned.\n潮水来了。\n") == []


@pytest.mark.parametrize(
    "heading",
    [
        "CHAPTER I",
        "CHAPTER IV.",
        "Chapter 7",
        "CHAPTER THE FIRST",
        "Chapter Twenty-One",
        "Chapter 3. The Storm.",
        "Chapter 3: The Storm",
        "Chapter 3 — Who Was He?",
        "CHAPTER XII. OF SHIPS",
        "Chapter 3: fees",
        "BOOK THIRD",
        "PART II",
        "Volume 2",
        "VOLUME I. CHAPTER I.",
        "Part One. Chapter 2: The Calm",
        "Section 4.2 Fees",
        "Article 12a",
        "Appendix A",
        "Annex 2: Fees",
        "SCHEDULE 1",
        "第一编 总则",
        "第二分编 合同",
        "第三卷",
        "第十二章　水费",
        "第3章 水费",
        "第３章：水费",
        "第三章水费",
        "第 三 章 水费",
        "第四节 罚则",
        "第一回 风雪夜",
        "第二部分 水费",
        "第一部 港口",
        "第十二条",
        "1. Scope",
        "1 Scope",
        "1 “Ship” and “Boat”",
        "1. 范围",
        "0 Preface",
    ],
)
def test_a_line_with_the_number_of_a_heading_is_one(heading: str) -> None:
    assert titles(paragraphs("It began.", heading, "The tide turned.")) == [heading]


@pytest.mark.parametrize(
    "line",
    [
        "Chapter 3 of this book tells more.",
        "Chapter 3 is about the storm",
        "Chapter 3, which we read",
        "Chapter 3 2019",
        "Chapter 3xyz",
        "Section 3 applies to all ships; see below",
        "Chapter 3. It rained. We stayed",
        "chapter 3",
        "Chapters 3",
        "Part of the ship",
        "第三章的内容",
        "第三章、第四章",
        "第三章 、第四章",
        "第三章规定水费",
        "第三章讲水费，也讲电费",
        "第三章 水费按月计。",
        "第一部电影",
        "第二回合开始",
        "第一篇文章",
        "第三条规定的期限",
        "第三条 第二款",
        "第三条、第四条",
        "第三条第二款",
        "第三项 水费",
        "1.2.3",
        "1. scope",
        "1. X",
        "01. Scope",
        "1. May 2024",
        "1 年内",
        "1 Million",
        "1 km",
        "1. Ships are built",
        "1. Ships pay their dues by",
        "1. Ships. Boats",
        "1. Ships pay!",
        "1. Ships 12.50",
        "1. Ships   12",
        "1. Ships | Boats",
        "1) Scope",
    ],
)
def test_a_line_that_may_be_something_else_is_no_heading(line: str) -> None:
    assert titles(paragraphs("It began.", line, "It ended.")) == []


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r", "\u2028", "\f"])
def test_any_line_end_ends_a_heading(end: str) -> None:
    text = f"It began.{end}{end}Chapter 3{end}{end}It ended."
    (heading,) = find_numbered(text)
    assert text[heading.start : heading.end] == "Chapter 3"


def test_an_indent_belongs_to_the_line_and_not_to_the_title() -> None:
    text = "前言。\n\u3000\u3000第一章  总则\n"
    (heading,) = find_numbered(text)
    assert text[heading.start : heading.end] == "\u3000\u3000第一章  总则"
    assert heading.title == "第一章 总则"


@pytest.mark.parametrize("strong", ["**", "__"])
def test_a_heading_may_be_set_in_bold(strong: str) -> None:
    assert titles(f"前言。\n\n{strong}第一章 总则{strong}\n\n正文。") == ["第一章 总则"]
    assert titles(f"前言。\n\n{strong}第一条{strong} 水费按月计。") == ["第一条"]


@pytest.mark.parametrize(
    ("line", "title"),
    [
        ("第三条 水费按月计。", "第三条"),
        ("第三条之二 水费按月计。", "第三条之二"),
        ("第三条水费按月计。", "第三条"),
        ("Section 3. The tenant pays the rent.", "Section 3"),
        ("Article 3: The tenant shall pay the rent in advance, on the first day", "Article 3"),
    ],
)
def test_the_text_of_an_article_may_begin_in_its_line(line: str, title: str) -> None:
    (heading,) = find_numbered(f"前言。\n\n{line}\n")
    assert (heading.title, heading.has_text) == (title, True)


@pytest.mark.parametrize(
    "text",
    [
        # Broken at the margin.
        "The pilot boards two hours before the tide, as laid down in\nSection 3 Dues\nand so on.",
        "引航员应当在潮水转向之前两小时登船，具体的时间和地点由港务局按照\n第三条水费办理。",
        "引航员应当在潮水转向之前两小时登船，具体的时间和地点由港务局按照\n第三章水费\n办理。",
        # Broken in the middle of the line.
        "It began.\n\nChapter 3 The Storm\nand the calm",
        # Paragraphs stand apart, and this line does not.
        "One.\n\nTwo.\n\nThree,\nChapter 3\nFour.\n\nFive.",
    ],
)
def test_a_line_inside_a_paragraph_is_no_heading(text: str) -> None:
    assert titles(text) == []


def test_a_heading_may_follow_a_finished_paragraph_or_a_short_line_where_no_lines_are_blank() -> (
    None
):
    line = "The harbour master walked along the quay and looked at all the ships of the fleet"
    assert titles(f"{line}.\nChapter 3\nIt rained.") == ["Chapter 3"]
    assert titles(f"{line}\nChapter 3\nIt rained.") == []
    assert titles("The Harbour\nChapter 3\nIt rained.") == ["Chapter 3"]


def test_a_heading_may_follow_a_heading() -> None:
    text = "One.\n\nTwo.\n\nPart I\nChapter 1\nThree.\n\nFour."
    assert titles(text) == ["Part I", "Chapter 1"]


def test_headings_are_looked_for_only_where_they_may_begin() -> None:
    text = "Chapter 1\n\nOne.\n\nChapter 2\n\nTwo."
    assert [h.start for h in find_numbered(text, within=[(17, 26)])] == [17]
    assert find_numbered(text, within=[]) == []


def test_decimal_numbers_are_left_alone_on_request() -> None:
    text = "Chapter 1\n\nOne.\n\n1.1 Ships\n\nTwo."
    assert titles(text) == ["Chapter 1", "1.1 Ships"]
    assert [h.title for h in find_numbered(text, decimals=False)] == ["Chapter 1"]


@pytest.mark.parametrize(
    "contents",
    [
        "Chapter 1 Pilots\nChapter 2 Dues",
        "Chapter 1 Pilots ........ 3\nChapter 2 Dues ........ 19",
        "Chapter 1 Pilots … 3\nChapter 2 Dues … 19",
        "Chapter 1 Pilots\t3\nChapter 2 Dues\t19",
        "Chapter 1 Pilots 3\n\nChapter 2 Dues 19",
    ],
)
def test_a_table_of_contents_is_not_taken(contents: str) -> None:
    text = f"Contents\n\n{contents}\n\n" + between("Chapter 1 Pilots", "Chapter 2 Dues")
    first, second = find_numbered(text)
    assert (first.title, second.title) == ("Chapter 1 Pilots", "Chapter 2 Dues")
    assert first.start == len(f"Contents\n\n{contents}\n\n")


def test_a_chinese_table_of_contents_is_not_taken() -> None:
    contents = "目录\n第一章 总则\n第一节 水费\n第二章 罚则\n"
    text = f"{contents}\n第一章 总则\n第一节 水费\n按月计。\n第二章 罚则\n逾期加收。\n"
    assert [heading.start for heading in find_numbered(text)] == [25, 32, 44]


def test_chapters_without_text_are_headings_where_they_do_not_come_again() -> None:
    text = "Chapter 1\n\nChapter 2\n\nIt rained."
    assert titles(text) == ["Chapter 1", "Chapter 2"]


def test_a_numbered_list_is_not_taken() -> None:
    assert titles("Bring:\n\n1. Bread\n2. Salt\n3. Water\n\nThen go.") == []


def test_of_a_table_of_decimal_numbers_only_the_headings_themselves_are_taken() -> None:
    text = "1 Ships\n2 Dues\n\n1 Ships\n\nAll.\n\n2 Dues\n\nNone.\n"
    assert [heading.start for heading in find_numbered(text)] == [16, 31]


def test_a_running_header_is_not_repeated() -> None:
    text = between("CHAPTER I", "CHAPTER I", "CHAPTER I", "CHAPTER II", "CHAPTER II")
    assert titles(text) == ["CHAPTER I", "CHAPTER II"]


def test_the_same_number_in_another_chapter_is_another_section() -> None:
    text = between("CHAPTER I", "Section 1", "CHAPTER II", "Section 1")
    assert titles(text) == ["CHAPTER I", "Section 1", "CHAPTER II", "Section 1"]


@pytest.mark.parametrize(
    ("numbers", "expected"),
    [
        (["1", "2", "3"], ["1", "2", "3"]),
        (["1", "1.1", "1.2", "2"], ["1", "1.1", "1.2", "2"]),
        (["1", "2", "1", "2"], ["1", "2", "1", "2"]),
        (["1", "9", "2"], ["1", "2"]),
        (["1", "3", "2"], ["1", "3"]),
        (["7"], []),
        (["3.5"], []),
        (["1"], ["1"]),
        (["4.2.1"], ["4.2.1"]),
        (["0", "1"], ["0", "1"]),
    ],
)
def test_decimal_numbers_go_on_from_each_other(numbers: list[str], expected: list[str]) -> None:
    text = between(*(f"{number} Ships {number.replace('.', 'x')}y" for number in numbers))
    assert [title.split()[0] for title in titles(text)] == expected


def test_a_single_decimal_number_among_chapters_is_no_heading() -> None:
    assert titles(between("Chapter 1", "3.5 Ships")) == ["Chapter 1"]


def test_kinds_are_ordered_from_the_outermost() -> None:
    text = between("1.1 Ships", "第一条 水费", "第一章 总则", "第一编 通则", "1 All", "第一节 范围")
    assert order_kinds(find_numbered(text)) == ["编", "章", "节", "条", "1", "2"]


def test_of_two_kinds_of_one_rank_the_rarer_is_the_outer() -> None:
    books = between("Book 1", "Volume 1", "Volume 2")
    volumes = between("Volume 1", "Book 1", "Book 2")
    assert order_kinds(find_numbered(books)) == ["book", "volume"]
    assert order_kinds(find_numbered(volumes)) == ["volume", "book"]
    assert order_kinds([]) == []


@pytest.mark.parametrize(
    ("title", "kind"),
    [
        ("第三章 水费", "章"),
        ("CHAPTER II", "chapter"),
        ("Part 2: Ships", "part"),
        ("1.2 Dues", None),
        ("Dues", None),
        ("", None),
    ],
)
def test_the_kind_of_a_title_is_told_by_its_word(title: str, kind: str | None) -> None:
    assert kind_of(title) == kind


_LINES = st.sampled_from(
    [
        *("Chapter 1", "Chapter 2", "第一章 水", "第一条 水。", "1. Ships", "1.1 Dues", "2 X y"),
        *("", " ", "The tide turned.", "a long line that may be broken at the margin of a page"),
        *("第", "第一", "1.", "Section", "**第二条** 电", "\u3000\u3000第三条　费"),
    ]
)


@given(st.lists(_LINES), st.sampled_from(["\n", "\r\n", "\n\n", "\u2028"]))
def test_headings_ascend_and_each_is_a_line_of_the_text(lines: list[str], end: str) -> None:
    text = end.join(lines)
    found = find_numbered(text)
    for heading in found:
        assert text[heading.start : heading.end] in lines
        assert heading.title
    starts = [heading.start for heading in found]
    assert starts == sorted(set(starts))


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    "line",
    [
        "Chapter 1\n",
        "第一条 水费。\n",
        "1. Ships\n",
        "1.1.1 Ships\n\nText.\n\n",
        " " * 50,
        "1" * 50,
        "第" * 50,
        "Chapter " * 10,
        "\n",
    ],
    ids=lambda line: ascii(line[:12]),
)
def test_hostile_text_takes_no_more_than_linear_time(line: str) -> None:
    # Were any of these quadratic, it would take minutes.
    text = line * (150_000 // len(line))
    assert all(heading.end <= len(text) for heading in find_numbered(text))
