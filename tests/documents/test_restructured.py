"""reStructuredText: exact text, its titles as sections."""

import pytest

from rag.documents.restructured import read


def titles(text: str) -> list[tuple[int, str, str]]:
    parsed = read(text.encode(), source="a.rst")
    assert parsed.text == text
    return [(s.level, s.title, text[s.start : s.start + 4]) for s in parsed.sections]


def test_titles_are_ranked_by_the_order_of_their_rules() -> None:
    text = (
        "======\nManual\n======\n\nDues\n----\nText.\n\nTugs\n~~~~\n\n水费\n----\n\nIndex\n=====\n"
    )
    assert titles(text) == [
        (1, "Manual", "===="),
        (2, "Dues", "Dues"),
        (3, "Tugs", "Tugs"),
        (2, "水费", "水费\n-"),
        (4, "Index", "Inde"),
    ]
    assert read(text.encode(), source="a.rst").title == "Manual"


@pytest.mark.parametrize(
    "text",
    [
        "two lines\nof text\n-------\n",
        "too long for it\n---\n",
        "水费水费\n-----\n",
        "text\n\n-----\n\ntext\n",
        "== ==\na  b\n== ==\n",
        "    indented\n    ========\n",
        "-----\n=====\n",
    ],
)
def test_what_only_looks_like_a_title_is_none(text: str) -> None:
    assert titles(text) == []


def test_a_target_may_stand_before_a_title_and_lines_end_in_any_way() -> None:
    assert titles(".. _dues:\r\nDues\r\n====\r\nText.") == [(1, "Dues", "Dues")]


def test_rules_of_a_megabyte_take_little_time() -> None:
    assert titles("=" * 1_000_000 + "\n" + "= " * 500_000) == []
