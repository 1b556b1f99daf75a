"""BM25 over our terms: its scores, what is found in two languages, and ties."""

import math
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rank_bm25 import BM25Okapi

from rag.index.copies import CopyFailed
from rag.index.lexicon import Lexicon
from rag.terms import terms
from rag.types import Chunk
from tests.index.samples import a_record


def a_lexicon(*texts: str, document_id: str = "a.md") -> Lexicon:
    lexicon = Lexicon(None)
    lexicon.add(a_record(document_id, *texts).chunks)
    return lexicon


def found(texts: Sequence[str], query: str, k: int = 10) -> list[str]:
    """Search texts, best first."""
    chunks = {chunk.id: chunk.text for chunk in a_record("a.md", *texts).chunks}
    return [chunks[id_] for id_, _ in a_lexicon(*texts).search(query, k)]


# ---- scores -----------------------------------------------------------------------------

HARBOUR = (
    "pilot tanker buoy",
    "pilot pilot tide",
    "bread salt flour",
    "anchor chain rope tide buoy pilot",
)
"""Of 3, 3, 3 and 6 terms: Tantivy keeps lengths up to 40 exactly."""


def test_scores_are_those_of_bm25_worked_by_hand() -> None:
    chunks = a_record("a.md", *HARBOUR).chunks
    scores = dict(a_lexicon(*HARBOUR).search("tide", 10))
    # N = 4, n = 2: idf = ln(1 + 2.5 / 2.5) = .693147; the mean length is 3.75, k1 1.2, b .75.
    # Length 3: .693147 * 2.2 / (1 + 1.2 * (.25 + .75 * 3 / 3.75)) = 1.524924 / 2.02 = .754913
    # Length 6: .693147 * 2.2 / (1 + 1.2 * (.25 + .75 * 6 / 3.75)) = 1.524924 / 2.74 = .556542
    assert scores == {chunks[1].id: 0.7549, chunks[3].id: 0.5565}


def test_a_term_that_a_query_repeats_counts_as_often() -> None:
    (_, once), *_ = a_lexicon(*HARBOUR).search("tide", 1)
    (_, twice), *_ = a_lexicon(*HARBOUR).search("tide and tide", 1)
    assert twice == pytest.approx(2 * once, abs=1e-4)


WORDS = ("pilot", "tide", "buoy", "rope", "salt", "茶叶", "水库")


@settings(max_examples=60)
@given(
    st.lists(st.lists(st.sampled_from(WORDS), min_size=1, max_size=8), min_size=2, max_size=12),
    st.lists(st.sampled_from(WORDS), min_size=1, max_size=3),
)
def test_scores_are_those_of_the_formula(texts: list[list[str]], query: list[str]) -> None:
    sentences = [" ".join(words) for words in texts]
    record = a_record("a.md", *sentences)
    scores = dict(a_lexicon(*sentences).search(" ".join(query), 100))
    reference = BM25Okapi([terms(sentence) for sentence in sentences], k1=1.2, b=0.75)
    n = Counter(term for sentence in sentences for term in set(terms(sentence)))
    # The reference clips the idf that makes frequent terms count against a text; ours is never
    # negative.
    reference.idf = {t: math.log(1 + (len(texts) - n[t] + 0.5) / (n[t] + 0.5)) for t in n}
    for chunk, expected in zip(record.chunks, reference.get_scores(query), strict=True):
        assert scores.get(chunk.id, 0) == pytest.approx(expected, abs=2e-4)


def test_what_was_added_in_steps_scores_as_what_was_added_at_once(tmp_path: Path) -> None:
    texts = [f"tanker {n} passed buoy {n % 7} at tide {n % 3}" for n in range(60)]
    chunks = a_record("a.md", *texts).chunks
    steps = Lexicon(tmp_path / "terms-0001")
    for start in range(0, 60, 7):
        steps.add(chunks[start : start + 7])
    again = Lexicon(tmp_path / "terms-0001", must_exist=True)
    assert len(steps) == len(again) == 60
    for query in ("tanker", "buoy 3", "tide 2 tanker 17", "passed"):
        expected = a_lexicon(*texts).search(query, 20)
        assert steps.search(query, 20) == expected
        assert again.search(query, 20) == expected


# ---- what is found ----------------------------------------------------------------------

GAZETTEER = ("每年三月举行茶叶集市。", "石门坎水库建于1958年。", "茶 水 同价。", "雾芽产于云脚乡。")


@pytest.mark.parametrize(
    ("query", "first"),
    [
        ("茶叶", "每年三月举行茶叶集市。"),
        ("水库何时建成", "石门坎水库建于1958年。"),
        ("云脚", "雾芽产于云脚乡。"),
        ("芽", "雾芽产于云脚乡。"),
        ("１９５８", "石门坎水库建于1958年。"),
    ],
)
def test_chinese_is_found_by_bigrams_and_by_single_characters(query: str, first: str) -> None:
    assert found(GAZETTEER, query)[0] == first


def test_a_single_character_is_found_alone_and_inside_words() -> None:
    assert sorted(found(GAZETTEER, "茶")) == ["每年三月举行茶叶集市。", "茶 水 同价。"]


def test_two_characters_that_only_stand_apart_are_not_their_bigram() -> None:
    assert found(GAZETTEER, "茶水") == []


MANUAL = (
    "Certified to ISO-9001 since 2003.",
    "Released as v2.1 and later v2.10.",
    "Set snake_case in the file config.toml.",
    "Written in C++ and C#.",
    "Certified since 1993.",
)


@pytest.mark.parametrize(
    ("query", "text"),
    [
        ("ISO-9001", "Certified to ISO-9001 since 2003."),
        ("iso 9001", "Certified to ISO-9001 since 2003."),
        ("ＩＳＯ－９００１", "Certified to ISO-9001 since 2003."),
        ("v2.1", "Released as v2.1 and later v2.10."),
        ("snake_case", "Set snake_case in the file config.toml."),
        ("config.toml", "Set snake_case in the file config.toml."),
        ("c++", "Written in C++ and C#."),
    ],
)
def test_identifiers_are_found_however_they_are_written(query: str, text: str) -> None:
    assert found(MANUAL, query)[0] == text


def test_other_forms_of_a_word_are_found() -> None:
    assert found(HARBOUR, "Pilots' tankers")[0] == "pilot tanker buoy"


@pytest.mark.parametrize("query", ["", "  ", "of the and", "？！", "unheard"])
def test_a_query_that_shares_no_term_finds_nothing(query: str) -> None:
    assert found(HARBOUR, query) == []


def test_syntax_of_query_languages_is_text() -> None:
    assert found(HARBOUR, 'tide" AND -(pilot:* OR ~"')[0] == "pilot pilot tide"


def test_an_empty_lexicon_finds_nothing() -> None:
    assert Lexicon(None).search("tide", 10) == []


# ---- order and filters ------------------------------------------------------------------


def test_ties_are_in_the_order_of_ids_and_come_whole() -> None:
    chunks = a_record("a.md", *["the same tide"] * 150, "another tide, a longer one").chunks
    lexicon = Lexicon(None)
    lexicon.add(reversed(chunks))
    ids = sorted(chunk.id for chunk in chunks[:150])
    hits = lexicon.search("tide", 3)
    assert [id_ for id_, _ in hits] == ids
    assert len({score for _, score in hits}) == 1
    assert [id_ for id_, _ in lexicon.search("tide", 151)] == [*ids, chunks[150].id]


def test_only_the_documents_asked_for_are_searched_with_the_same_scores() -> None:
    lexicon = Lexicon(None)
    one: tuple[Chunk, ...] = tuple(a_record("一.md", "the tide turns", "the buoy").chunks)
    two: tuple[Chunk, ...] = tuple(a_record("two words.md", "no tide at all today").chunks)
    lexicon.add([*one, *two])
    everything = dict(lexicon.search("tide", 10))
    assert everything.keys() == {one[0].id, two[0].id}
    for document, chunk in (("一.md", one[0]), ("two words.md", two[0])):
        inside = lexicon.search("tide", 10, documents=[document])
        assert inside == [(chunk.id, everything[chunk.id])]
    assert dict(lexicon.search("tide", 10, documents=["一.md", "two words.md"])) == everything
    assert lexicon.search("tide", 10, documents=["two"]) == []


# ---- failures ---------------------------------------------------------------------------


def test_a_folder_without_an_index_is_a_failed_copy_where_one_must_be(tmp_path: Path) -> None:
    with pytest.raises(CopyFailed, match="does not exist"):
        Lexicon(tmp_path / "terms-0001", must_exist=True)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(CopyFailed, match="holds no index of terms"):
        Lexicon(tmp_path, must_exist=True)


def test_a_damaged_folder_is_a_failed_copy(tmp_path: Path) -> None:
    lexicon = Lexicon(tmp_path)
    lexicon.add(a_record("a.md", *HARBOUR).chunks)
    del lexicon
    (tmp_path / "meta.json").write_text("{}")
    with pytest.raises(CopyFailed):
        Lexicon(tmp_path, must_exist=True)
