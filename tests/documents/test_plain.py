"""Plain text and Markdown: the decoded file, character for character, with its headings."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag.documents.parsed import Parsed
from rag.documents.plain import read_markdown, read_text
from rag.errors import UnreadableDocument

Read = Callable[..., Parsed]
MIXED = st.text(
    st.one_of(
        st.characters(exclude_categories=["Cs"], exclude_characters="\0\ufeff"),
        st.sampled_from("# =-Harbour 水费第一章，。\r\n\t\ufffd🚢"),
    )
)


def titles(parsed: Parsed) -> list[tuple[int, str]]:
    return [(section.level, section.title) for section in parsed.sections]


@given(MIXED)
def test_the_text_is_the_file_character_for_character(text: str) -> None:
    for read in (read_text, read_markdown):
        parsed = read(text.encode(), source="a.md")
        assert parsed.text == text
        for section in parsed.sections:
            assert 0 <= section.start < section.end <= len(text)


@pytest.mark.parametrize("read", [read_text, read_markdown])
@pytest.mark.parametrize(
    "text", ["a\r\nb\rc\n\n", "no end", "  indented \t", "a\x0cb\u2028c\ufeffd", "<|endoftext|>\n"]
)
def test_line_ends_blanks_and_special_words_stay(read: Read, text: str) -> None:
    assert read(text.encode(), source="a.txt").text == text


@pytest.mark.parametrize("read", [read_text, read_markdown])
def test_the_encoding_is_reported(read: Read) -> None:
    text = "# 第三章　水费\r\n用水人应当按月交付水费。"
    for written, told in [("gbk", "gb18030"), ("utf-8-sig", "utf-8-sig"), ("utf-16", "utf-16")]:
        parsed = read(text.encode(written), source="a.md")
        assert (parsed.text, parsed.metadata) == (text, (("encoding", told),))


@pytest.mark.parametrize("read", [read_text, read_markdown])
def test_what_is_no_text_is_an_error_that_names_the_file(read: Read) -> None:
    with pytest.raises(UnreadableDocument, match=r"'a\.md' is not text: byte 2 is NUL"):
        read(b"ab\0c", source="a.md")


def test_headings_of_a_plain_text_are_known_by_their_numbers_alone() -> None:
    parsed = read_text(
        "第一章　总则\r\n\r\n第一条　水费按月计。\r\n\r\n# 不是标题\r\n".encode(), source="a.txt"
    )
    assert parsed.title is None
    assert titles(parsed) == [(1, "第一章　总则"), (2, "第一条")]


def test_headings_of_markdown_are_its_own() -> None:
    parsed = read_markdown(
        b"Dues\r\n====\r\n\r\n## Pilots *and* `tugs`\r\n\r\ntext\r\n\r\n    # code\r\n",
        source="a.md",
    )
    assert titles(parsed) == [(1, "Dues"), (2, "Pilots and tugs")]
    assert [parsed.text[s.start : s.start + 9] for s in parsed.sections] == [
        "Dues\r\n===",
        "## Pilots",
    ]


@pytest.mark.parametrize(
    ("text", "title"),
    [
        ("## First\n\n# Second\n", "First"),
        ("---\ntitle: Harbour dues\nlang: en\n---\n# First\n", "Harbour dues"),
        ('---\nlang: zh\ntitle:  "水费 办法" \r\n---\r\n# First\n', "水费 办法"),
        ("---\ntitle: 'dues'\n...\ntext", "dues"),
        ("---\ntitle: \nlang: en\n---\n# First\n", "First"),
        ("---\nsubtitle: no\n---\ntext", None),
        ("text\n\ntitle: no\n", None),
        ("# First\n\n---\ntitle: no\n---\n", "First"),
        ("", None),
    ],
)
def test_the_title_is_that_of_the_yaml_block_or_the_first_heading(
    text: str, title: str | None
) -> None:
    parsed = read_markdown(text.encode(), source="a.md")
    assert (parsed.title, parsed.text) == (title, text)


def test_the_yaml_block_holds_no_heading() -> None:
    parsed = read_markdown(b"---\n# comment: no\ntitle: a\n---\n# First\n", source="a.md")
    assert titles(parsed) == [(1, "First")]
