"""Words are found whatever white space parts them, and nothing else may differ."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rag.synthesis.searchable import Searchable

TEXT = "The  pilot\r\nboards\tfirst. 毕业班，\n在桥上\n\n第二章　山川"


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("pilot", "pilot"),
        ("The pilot boards first.", "The  pilot\r\nboards\tfirst."),
        ("pilot   boards", "pilot\r\nboards"),
        ("毕业班，在桥上", "毕业班，\n在桥上"),
        ("毕业班， 在桥上", "毕业班，\n在桥上"),
        ("第二章 山川", "第二章　山川"),
    ],
)
def test_the_place_found_is_one_of_the_text_as_it_is(words: str, found: str) -> None:
    span = Searchable(TEXT).find(words)
    assert span is not None
    assert TEXT[slice(*span)] == found


@pytest.mark.parametrize(
    "words",
    [
        "pilotboards",
        "pi lot",
        "the pilot",
        "first.毕业班",
        "在桥上第二章",
        "第二章山川",
        "毕 业班",
        "山川。",
    ],
)
def test_what_differs_in_more_than_white_space_is_not_found(words: str) -> None:
    assert Searchable(TEXT).find(words) is None


@settings(deadline=None, max_examples=200)
@given(st.text("ab茶。 \n\t　", max_size=40), st.text("ab茶。 \n\t　", min_size=1, max_size=6))
def test_what_is_found_has_the_same_characters(text: str, words: str) -> None:
    words = words.strip()
    span = Searchable(text).find(words) if words else None
    if span is not None:
        assert "".join(text[slice(*span)].split()) == "".join(words.split())
    elif words:
        assert words not in text
