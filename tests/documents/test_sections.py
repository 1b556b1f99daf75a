"""Headings become sections, nested or disjoint."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag.documents.sections import (
    INNERMOST,
    Heading,
    find_sections,
    front_matter,
    outline_markdown,
)
from rag.types import Section


def markdown(text: str) -> list[tuple[int, str]]:
    """List the level and title of each section of a Markdown text."""
    return [(section.level, section.title) for section in find_sections(text, markdown=True)]


def plain(text: str) -> list[tuple[int, str]]:
    return [(section.level, section.title) for section in find_sections(text)]


def test_a_text_without_headings_has_no_sections() -> None:
    assert find_sections("") == ()
    assert find_sections("The tide turned.", markdown=True) == ()


def test_a_section_reaches_from_its_heading_to_the_next_of_its_own_or_an_outer_level() -> None:
    text = "Intro.\n\n# A\n\na\n\n## B\n\nb\n\n### C\n\nc\n\n## D\n\nd\n\n# E\n"
    assert find_sections(text, markdown=True) == (
        Section(title="A", level=1, start=8, end=44),
        Section(title="B", level=2, start=16, end=35),
        Section(title="C", level=3, start=25, end=35),
        Section(title="D", level=2, start=35, end=44),
        Section(title="E", level=1, start=44, end=48),
    )


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_markdown_headings_are_found_whatever_ends_a_line(end: str) -> None:
    text = end.join(["# Dues", "", "Ships pay.", "", "Pilots", "======", "", "They board.", ""])
    dues, pilots = find_sections(text, markdown=True)
    assert text[dues.start : dues.end].startswith("# Dues" + end)
    assert text[pilots.start : pilots.end].startswith("Pilots" + end)
    assert (dues.end, pilots.end) == (pilots.start, len(text))


@pytest.mark.parametrize(
    ("heading", "expected"),
    [
        ("# Dues", (1, "Dues")),
        ("###### Dues", (6, "Dues")),
        ("   ## Dues ##", (2, "Dues")),
        ("Dues\n====", (1, "Dues")),
        ("Dues\n-", (2, "Dues")),
        ("Dues and\nfees\n----", (2, "Dues and fees")),
        ("Dues and  \nfees\n----", (2, "Dues and fees")),
        ("# *Dues* of `ships`, [paid](x.md)", (1, "Dues of ships, paid")),
        ("# ![Ships](s.png) &amp;  more", (1, "Ships & more")),
        ("# 第三章　水费", (1, "第三章　水费")),
    ],
)
def test_atx_and_setext_headings_give_level_and_title_without_markup(
    heading: str, expected: tuple[int, str]
) -> None:
    assert markdown(f"Intro.\n\n{heading}\n\nText.\n") == [expected]


@pytest.mark.parametrize(
    "text",
    [
        "```\n# Dues\n```\n",
        "~~~python\n# Dues\nx = 1\n",
        "    # Dues\n",
        "> # Dues\n",
        "- # Dues\n",
        "#Dues\n",
        "\\# Dues\n",
        "####### Dues\n",
        "<!--\n# Dues\n-->\n",
        "Text.\n\n---\n\nText.\n",
        "#\n\nText.\n",
        "# <!-- x -->\n\nText.\n",
    ],
)
def test_code_quotations_lists_and_empty_headings_make_no_section(text: str) -> None:
    assert markdown(text) == []


def test_front_matter_is_no_part_of_the_outline() -> None:
    assert markdown("---\ntitle: The harbour\n# a: comment\n---\n# Dues\n") == [(1, "Dues")]
    assert markdown("---\r\ntitle: The harbour\r\n...\r\nDues\r\n====\r\n") == [(1, "Dues")]


@pytest.mark.parametrize(
    ("text", "end"),
    [
        ("---\ntitle: a\n---\nText", 17),
        ("---\ntitle: a\n...", 16),
        ("---\r\ntitle: a\r\n---\r\n", 20),
        ("---\ntitle: a\nText", 0),
        ("---\ntitle: a\n\nb: c\n---\n", 0),
        ("---\n\nText: a\n---\n", 0),
        ("---\nText\n---\n", 0),
        ("\n---\ntitle: a\n---\n", 0),
        ("", 0),
    ],
)
def test_a_yaml_block_is_front_matter_only_at_the_very_start_and_if_closed(
    text: str, end: int
) -> None:
    assert front_matter(text) == (0, end)


def test_the_paragraphs_of_a_markdown_text_are_those_of_its_body() -> None:
    text = "One.\n\n# A\n\nTwo\ngoes on.\n\n- three\n\n> four\n\n```\nfive\n```\n\nSix."
    outline = outline_markdown(text)
    assert outline.headings == (Heading("A", 1, 6),)
    assert [text[start:end] for start, end in outline.paragraphs] == [
        "One.\n",
        "Two\ngoes on.\n",
        "Six.",
    ]


def test_given_headings_make_sections_and_those_without_a_title_do_not() -> None:
    text = "Dues\nShips pay.\n\nPilots\nThey board."
    headings = (Heading("Dues", 1, 0), Heading("", 1, 5), Heading("Pilots", 3, 17))
    assert find_sections(text, headings=headings) == (
        Section(title="Dues", level=1, start=0, end=35),
        Section(title="Pilots", level=3, start=17, end=35),
    )


def test_english_chapters_and_sections_nest() -> None:
    text = "CHAPTER I\n\na\n\nSection 1\n\nb\n\nSection 2\n\nc\n\nCHAPTER II\n\nSection 1\n\nd\n"
    assert plain(text) == [
        (1, "CHAPTER I"),
        (2, "Section 1"),
        (2, "Section 2"),
        (1, "CHAPTER II"),
        (2, "Section 1"),
    ]


def test_chinese_parts_chapters_and_articles_nest() -> None:
    text = (
        "第一编　通则\n第一章　基本规定\n第一条　水费按月计。\n第二条　由用水人交付。\n"
        "第二章　罚则\n第一节　逾期\n第三条　逾期加收。\n第二编　附则\n第四条　自公布之日起施行。\n"
    )
    assert plain(text) == [
        (1, "第一编　通则"),
        (2, "第一章　基本规定"),
        (4, "第一条"),
        (4, "第二条"),
        (2, "第二章　罚则"),
        (3, "第一节　逾期"),
        (4, "第三条"),
        (1, "第二编　附则"),
        (4, "第四条"),
    ]


def test_decimal_numbers_nest_by_their_parts() -> None:
    text = "1 Ships\n\na\n\n1.1 Dues\n\nb\n\n1.1.1 Fees\n\nc\n\n2 Pilots\n\nd\n"
    assert plain(text) == [(1, "1 Ships"), (2, "1.1 Dues"), (3, "1.1.1 Fees"), (1, "2 Pilots")]


def test_numbered_headings_nest_below_the_marked_one_before_them() -> None:
    text = "# Rules\n\n第一条　水费。\n\n## Fees\n\n第二条　电费。\n"
    assert markdown(text) == [(1, "Rules"), (2, "第一条"), (2, "Fees"), (3, "第二条")]


def test_a_kind_that_is_also_marked_up_has_the_level_it_has_there() -> None:
    text = "## 第一章 水\n\na\n\n第二章 电\n\nb\n\n第一条　费。\n\n## 第三章 气\n"
    assert markdown(text) == [(2, "第一章 水"), (2, "第二章 电"), (3, "第一条"), (2, "第三章 气")]


def test_a_numbered_heading_that_is_marked_up_counts_once() -> None:
    assert markdown("# Chapter 1\n\na\n\n# Chapter 2\n\nb\n") == [
        (1, "Chapter 1"),
        (1, "Chapter 2"),
    ]
    html = "Chapter 1\na\n"
    assert find_sections(html, headings=(Heading("Chapter 1", 2, 0),)) == (
        Section(title="Chapter 1", level=2, start=0, end=12),
    )


def test_no_level_is_deeper_than_the_innermost() -> None:
    text = "###### Deep\n\n第一章 水\n\n第一条　费。\n"
    assert markdown(text) == [(6, "Deep"), (6, "第一章 水"), (6, "第一条")]
    assert INNERMOST == 6


def test_decimal_numbers_count_only_where_next_to_nothing_is_marked_up() -> None:
    assert markdown("# A\n\nx\n\n1.1 Ships\n\ny\n") == [(1, "A"), (2, "1.1 Ships")]
    assert markdown("# A\n\nx\n\n# B\n\n1.1 Ships\n\ny\n") == [(1, "A"), (1, "B")]


@pytest.mark.parametrize("text", ["- 第一条　水费。\n\n# A\n", "```\nChapter 1\n```\n\n# A\n"])
def test_numbered_headings_are_looked_for_in_the_paragraphs_of_markdown_alone(text: str) -> None:
    assert markdown(text) == [(1, "A")]


def test_a_table_of_contents_and_running_headers_make_no_sections() -> None:
    text = (
        "Contents\nCHAPTER I  Ships ..... 1\nCHAPTER II  Dues ..... 9\n\n"
        "CHAPTER I  Ships\n\na\n\nCHAPTER I  Ships\n\nb\n\nCHAPTER II  Dues\n\nc\n"
    )
    first, second = find_sections(text)
    assert (first.title, second.title) == ("CHAPTER I Ships", "CHAPTER II Dues")
    assert text[first.start : first.end].split() == [
        *("CHAPTER", "I", "Ships", "a"),
        *("CHAPTER", "I", "Ships", "b"),
    ]


_PIECES = st.lists(
    st.sampled_from(
        [
            *("# A\n", "## B\n", "###### C\n", "Dues\n====\n", "Fees\n---\n", "> # Q\n"),
            *("第一章 水\n", "第二条　费。", "**第三条** 电。\n", "Chapter 1\n", "1.1 Ships\n"),
            *("\n", "\r\n", "\r", " ", "\u3000", "\u2028", "\x0c", "\t", "```\n", "---\n"),
            *("- ", "text\n", "水费。", "👋🏽", "x: y\n", "2. Dues\n"),
        ]
    )
).map("".join)


def are_nested_or_disjoint(sections: tuple[Section, ...], length: int) -> bool:
    enclosing: list[Section] = []
    for section in sections:
        while enclosing and enclosing[-1].end <= section.start:
            enclosing.pop()
        outer_end = enclosing[-1].end if enclosing else length
        if not section.start < section.end <= outer_end:
            return False
        enclosing.append(section)
    return True


@given(_PIECES, st.booleans())
def test_sections_are_nested_or_disjoint_inside_the_text_and_ascend(
    text: str, marked: bool
) -> None:
    sections = find_sections(text, markdown=marked)
    assert are_nested_or_disjoint(sections, len(text))
    starts = [section.start for section in sections]
    assert starts == sorted(set(starts))
    assert all(1 <= section.level <= 6 and section.title for section in sections)


@given(_PIECES)
def test_a_markdown_heading_stands_at_the_start_of_its_line(text: str) -> None:
    outline = outline_markdown(text)
    for heading in outline.headings:
        assert heading.start == 0 or text[heading.start - 1] in "\n\r"
        line = re.split(r"[\n\r]", text[heading.start :])[0]
        assert heading.title in " ".join(line.split()) or not line.startswith("#")
    edges = [edge for span in outline.paragraphs for edge in span]
    assert edges == sorted(edges)
    assert all(0 <= edge <= len(text) for edge in edges)


@given(st.lists(st.tuples(st.integers(1, 9), st.integers(0, 200)), unique_by=lambda pair: pair[1]))
def test_given_headings_of_any_levels_nest(pairs: list[tuple[int, int]]) -> None:
    headings = [Heading("H", level, start) for level, start in sorted(pairs, key=lambda p: p[1])]
    sections = find_sections("x" * 201, headings=headings)
    assert len(sections) == len(headings)
    assert are_nested_or_disjoint(sections, 201)


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    "piece",
    [
        *("# A\n\n", "A\n=\n", "- a\n", "---\na: b\n", "#" * 50, "="),
        *("Chapter 1\n\nText.\n\n", "第一条　费。\n"),
    ],
    ids=ascii,
)
def test_hostile_text_takes_no_more_than_linear_time(piece: str) -> None:
    # Were any of these quadratic, it would take minutes.
    text = piece * (20_000 // len(piece))
    assert are_nested_or_disjoint(find_sections(text, markdown=True), len(text))
