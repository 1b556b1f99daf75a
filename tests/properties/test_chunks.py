"""What holds for the chunks of every document, whatever is in it."""

import json
import os
import subprocess
import sys

from hypothesis import given, settings
from hypothesis import strategies as st

from rag.documents.chunking import chunk
from rag.documents.sections import find_sections
from rag.embeddings.onnx import OnnxEmbedder
from rag.testing import HashingEmbedder
from rag.types import Count, Document

MINILM = OnnxEmbedder().count
"""The real tokenizer; counting loads no model."""
HASHING = HashingEmbedder().count

_PIECES = [
    *("The pilot boards at 3.5 knots. ", "Dr. Lin came! ", "“Why?” she said. ", "word ", "a"),
    *("水费按月计。", "他说：“走吧。”", "《谁？》……", "港", "；", "。", "，"),
    *("👨\u200d👩\u200d👧", "👋🏽", "🇨🇳", "e\u0301", "\u0301", "\x00", "\ufeff", "\ud800"),
    *("\n", "\r\n", "\r", "\n\n", "\u2028", "\u3000", " ", "\t", "\x85"),
    *("# Dues\n", "Fees\n----\n", "第三章　水费\n", "第一条 费。", "Chapter 2\n", "1.2 Fees\n"),
    *("- item\n", "| a | b |\n", "```\n", "x" * 300, "港口" * 90, "aB3+/" * 40),
]
TEXTS = st.one_of(
    st.text(max_size=200),
    st.lists(st.sampled_from(_PIECES), max_size=60).map("".join),
)
COUNTS = st.sampled_from([MINILM, HASHING, len])
SIZES = st.sampled_from([16, 23, 60, 240])


def a_document(text: str, *, marked: bool = True, id_: str = "d") -> Document:
    sections = find_sections(text, markdown=marked)
    return Document(id=id_, text=text, digest="", title="Harbour", sections=sections)


@given(TEXTS, st.booleans(), SIZES, COUNTS)
def test_a_chunk_is_an_exact_slice_of_its_document(
    text: str, marked: bool, size: int, count: Count
) -> None:
    for c in chunk(a_document(text, marked=marked), size=size, count=count):
        assert text[c.start : c.end] == c.text == c.text.strip() != ""
        assert c.embedded.endswith(c.text)
        assert c.document_id == "d"


@given(TEXTS, st.booleans(), SIZES, COUNTS)
def test_chunks_are_disjoint_ascend_and_hold_all_that_is_not_blank(
    text: str, marked: bool, size: int, count: Count
) -> None:
    end = 0
    for c in chunk(a_document(text, marked=marked), size=size, count=count):
        assert c.start >= end
        assert not text[end : c.start].strip()
        end = c.end
    assert not text[end:].strip()


@given(TEXTS, st.booleans(), SIZES, st.sampled_from([MINILM, HASHING]))
def test_no_chunk_is_over_its_limits(text: str, marked: bool, size: int, count: Count) -> None:
    for c in chunk(a_document(text, marked=marked), size=size, count=count):
        assert c.tokens == count(c.embedded) <= size
        assert len(c.text) <= 8 * size


@given(TEXTS, SIZES, COUNTS)
def test_the_same_document_has_the_same_chunks(text: str, size: int, count: Count) -> None:
    document = a_document(text)
    first = chunk(document, size=size, count=count)
    assert first == chunk(document, size=size, count=count)
    assert len({c.id for c in first}) == len(first)


_PARAGRAPH = st.lists(
    st.sampled_from(
        [
            "The tide turned. ",
            "Ships pay 3.5 yuan. ",
            "“Why?” said Lin. ",
            "水费按月计。",
            "船走了！",
        ]
    ),
    min_size=1,
    max_size=12,
).map("".join)


@given(st.lists(_PARAGRAPH, min_size=1, max_size=8), SIZES)
def test_no_chunk_crosses_from_one_section_with_text_into_another(
    bodies: list[str], size: int
) -> None:
    document = a_document("".join(f"## Part {n}\n\n{body}\n\n" for n, body in enumerate(bodies)))
    assert len(document.sections) == len(bodies)
    for c in chunk(document, size=size, count=MINILM):
        (around,) = [s for s in document.sections if s.start <= c.start < s.end]
        assert c.end <= around.end
        assert c.headings == (around.title,)


@given(st.lists(_PARAGRAPH, min_size=1, max_size=8), _PARAGRAPH, st.data())
def test_a_paragraph_inserted_into_one_section_renames_no_chunk_of_another(
    bodies: list[str], inserted: str, data: st.DataObject
) -> None:
    place = data.draw(st.integers(0, len(bodies) - 1))

    def identities(parts: list[str]) -> dict[str, set[str]]:
        text = "".join(f"# Part {n}\n\n{part}\n\n" for n, part in enumerate(parts))
        found: dict[str, set[str]] = {}
        for c in chunk(a_document(text), size=32, count=MINILM):
            found.setdefault(c.headings[0], set()).add(c.id)
        return found

    before = identities(bodies)
    after = identities([*bodies[:place], f"{inserted}\n\n{bodies[place]}", *bodies[place + 1 :]])
    before.pop(f"Part {place}")
    after.pop(f"Part {place}")
    assert after == before


@given(st.lists(_PARAGRAPH, min_size=1, max_size=30, unique=True), _PARAGRAPH, st.data())
def test_a_chunk_that_an_insertion_leaves_alone_keeps_its_id(
    paragraphs: list[str], inserted: str, data: st.DataObject
) -> None:
    place = data.draw(st.integers(0, len(paragraphs)))

    def identities(parts: list[str]) -> dict[tuple[str, int], str]:
        found: dict[tuple[str, int], str] = {}
        for c in chunk(a_document("\n\n".join(parts)), size=32, count=MINILM):
            occurrence = sum(embedded == c.embedded for embedded, _ in found)
            found[c.embedded, occurrence] = c.id
        return found

    before = identities(paragraphs)
    after = identities([*paragraphs[:place], inserted, *paragraphs[place:]])
    common = before.keys() & after.keys()
    assert {key: before[key] for key in common} == {key: after[key] for key in common}


@settings(max_examples=30)
@given(st.text(min_size=1, max_size=1))
def test_a_document_of_one_character_is_one_chunk_or_blank(character: str) -> None:
    found = chunk(a_document(character), size=16, count=MINILM)
    assert [c.text for c in found] == ([character] if character.strip() else [])


SAMPLE = (
    "# Dues\r\n\r\nShips pay. 水费按月计。👋🏽\r\n\r\n## Fees\r\n\r\n" + "Boats pay 3.5 yuan. " * 40
)


def test_another_process_gives_the_same_chunks() -> None:
    code = (
        "import json, sys\n"
        "from tests.properties.test_chunks import HASHING, SAMPLE, a_document, chunk\n"
        "found = chunk(a_document(SAMPLE), size=32, count=HASHING)\n"
        "print(json.dumps([[c.id, c.start, c.end] for c in found]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONHASHSEED": "7"},
        capture_output=True,
        check=True,
        text=True,
    )
    here = chunk(a_document(SAMPLE), size=32, count=HASHING)
    assert len(here) > 4
    assert json.loads(done.stdout) == [[c.id, c.start, c.end] for c in here]
