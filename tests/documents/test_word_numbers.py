"""The numbers that Word writes before paragraphs."""

import pytest
from lxml import etree

from rag.documents.word_numbers import BULLET, Numbers, chinese, roman

WORD = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"


def counted(form: str, count: int) -> str:
    """Tell how a list of one level writes a number."""
    numbering = etree.fromstring(
        f'<w:numbering xmlns:w="{WORD}"><w:abstractNum w:abstractNumId="0"><w:lvl w:ilvl="0">'
        f'<w:start w:val="{count}"/><w:numFmt w:val="{form}"/><w:lvlText w:val="%1"/>'
        '</w:lvl></w:abstractNum><w:num w:numId="1"><w:abstractNumId w:val="0"/></w:num>'
        "</w:numbering>"
    )
    return Numbers.of(numbering).mark("1", 0).rstrip()


@pytest.mark.parametrize(
    ("form", "count", "expected"),
    [
        ("decimal", 12, "12"),
        ("decimalZero", 3, "03"),
        ("decimalFullWidth", 12, "１２"),
        ("upperRoman", 9, "IX"),
        ("lowerRoman", 4000, "4000"),
        ("lowerLetter", 26, "z"),
        ("upperLetter", 28, "BB"),
        ("lowerLetter", 999_999_999, "999999999"),
        ("ordinal", 1, "1st"),
        ("ordinal", 12, "12th"),
        ("ordinal", 22, "22nd"),
        ("ordinal", 113, "113th"),
        ("chineseCounting", 10, "十"),
        ("chineseCounting", 45, "四十五"),
        ("chineseCounting", 102, "一〇二"),
        ("chineseCountingThousand", 110, "一百一十"),
        ("chineseCountingThousand", 12345, "一二三四五"),
        ("chineseLegalSimplified", 12, "壹拾贰"),
        ("ideographDigital", 20, "二〇"),
        ("ideographTraditional", 3, "丙"),
        ("ideographTraditional", 11, "11"),
        ("ideographZodiac", 12, "亥"),
        ("decimalEnclosedCircle", 20, "⑳"),
        ("decimalEnclosedCircle", 21, "21"),
        ("decimalEnclosedParen", 2, "⑵"),
        ("decimalEnclosedFullstop", 3, "⒊"),
        ("ideographEnclosedCircle", 2, "㊁"),
        ("none", 5, ""),
        ("bullet", 1, BULLET.rstrip()),
        ("thaiLetters", 1, BULLET.rstrip()),
    ],
)
def test_a_number_is_written_as_word_writes_it(form: str, count: int, expected: str) -> None:
    assert counted(form, count) == expected


@pytest.mark.parametrize(
    ("count", "expected"),
    [
        *[(1, "一"), (19, "十九"), (100, "一百"), (101, "一百〇一"), (111, "一百一十一")],
        *[(1000, "一千"), (1001, "一千〇一"), (1260, "一千二百六十"), (9999, "九千九百九十九")],
    ],
)
def test_chinese_numbers_are_written_as_they_are_counted(count: int, expected: str) -> None:
    assert chinese(count) == expected


def test_roman_numerals_subtract_what_stands_before() -> None:
    assert [roman(count) for count in (1, 4, 9, 14, 40, 90, 400, 1994)] == [
        *("i", "iv", "ix", "xiv", "xl", "xc", "cd", "mcmxciv")
    ]


def test_a_document_without_lists_has_no_numbers() -> None:
    assert Numbers.of(None).mark("1", 0) == ""
