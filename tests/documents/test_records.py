"""CSV and JSON: the decoded file, character for character."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag.documents.records import read_csv, read_json
from rag.errors import UnreadableDocument


@pytest.mark.parametrize("text", ['a,b\r\n"1,5","x\ny"\r\n', "名称;吨\n货轮;5\n", '"open,\n1,2\n'])
def test_a_csv_is_its_text(text: str) -> None:
    assert read_csv(text.encode(), source="a.csv").text == text


def test_a_csv_of_another_program_is_decoded() -> None:
    parsed = read_csv("船名\t吨位\n钟响号\t300\n".encode("utf-16"), source="a.csv")
    assert (parsed.text, parsed.metadata) == (
        "船名\t吨位\n钟响号\t300\n",
        (("encoding", "utf-16"),),
    )


@pytest.mark.parametrize("text", ['{"a": [1, "水费"]}', "{not json", '{"a":1}\n{"a":2}\n', "[" * 9])
def test_json_is_its_text_valid_or_not(text: str) -> None:
    parsed = read_json(text.encode(), source="a.json")
    assert (parsed.text, parsed.metadata) == (text, (("encoding", "utf-8"),))


def test_escaped_characters_become_readable_and_are_counted() -> None:
    parsed = read_json(rb'{"\u6c34\u8d39": "\ud83d\udea2 5\u20ac"}', source="a.json")
    assert parsed.text == '{"水费": "🚢 5€"}'
    assert parsed.metadata == (("encoding", "utf-8"), ("escapes", 4))


@pytest.mark.parametrize(
    "text",
    [r'"\\u6c34"', r'"\u000a\u0022\u005c"', r'"\ud83d alone"', r'"\u2028"', r'"\u6c3"', "\\"],
)
def test_escapes_that_mean_something_stay(text: str) -> None:
    assert read_json(text.encode(), source="a.json").text == text


_JSON = st.recursive(
    st.none() | st.integers() | st.text(st.characters(codec="utf-8")),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)


@given(_JSON)
def test_unescaped_json_means_the_same(contents: object) -> None:
    parsed = read_json(json.dumps(contents).encode(), source="a.json")
    assert json.loads(parsed.text) == contents


def test_json_as_deep_as_it_likes_is_text() -> None:
    text = "[" * 1_000_000
    assert read_json(text.encode(), source="a.json").text == text


@pytest.mark.parametrize("read", [read_csv, read_json])
def test_what_is_no_text_is_an_error(read: object) -> None:
    with pytest.raises(UnreadableDocument, match=r"'a' is not text"):
        read(b"ab\0c", source="a")  # type: ignore[operator]
