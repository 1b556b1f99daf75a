"""Retrieval: a query becomes hits."""

from collections.abc import Sequence

import numpy as np
import pytest

from rag.retrieval.retriever import RERANKED, retrieve
from rag.testing import CHUNKS, SearchContract
from rag.types import Hit, Search, Vector
from tests.retrieval.test_fusion import a_ranking


def a_search(scores: dict[str, float], by: str) -> Search:
    ranking = a_ranking(scores, by=by)
    return lambda _, k: ranking[:k]


def many(n: int, *, first: int = 0) -> dict[str, float]:
    return {f"c{place:03}": 1.0 - place / n for place in range(first, first + n)}


class Backwards:
    """A reranker that likes what stood last."""

    name = "backwards"

    def score(self, _: str, texts: Sequence[str]) -> Vector:
        return np.arange(len(texts), dtype=np.float32)


def ids(hits: Sequence[Hit]) -> list[str]:
    return [hit.chunk.id for hit in hits]


class TestFusedSearch(SearchContract):
    """Two halves over the contract's chunks, by the share of common characters."""

    @pytest.fixture
    def search(self) -> Search:
        def by_overlap(query: str, k: int) -> list[Hit]:
            words = set(query) | set(query.split())
            scored = [
                (len(words & (set(chunk.text) | set(chunk.text.split()))) / len(words), chunk)
                for chunk in CHUNKS
            ]
            scored.sort(key=lambda pair: (-pair[0], pair[1].id))
            return [
                Hit(chunk=chunk, rank=rank, score=score, by="lexical")
                for rank, (score, chunk) in enumerate(scored[:k], start=1)
            ]

        return lambda query, k: retrieve(query, [by_overlap, by_overlap], k=k)


def test_a_ranking_the_lexical_one_confirms_has_its_weight() -> None:
    dense = a_search({"a": 0.9, "b": 0.8, "c": 0.1}, "dense")
    lexical = a_search({"b": 9.0, "c": 1.0}, "lexical")
    # The lexical hits stand at places 1 and 2 of 3: (2/3 + 1/3) / 2 = .5; (.5 / .6) ** 2 of .3.
    hits = retrieve("q", [dense, lexical], k=3)
    assert [(hit.chunk.id, round(hit.score, 4)) for hit in hits] == [
        ("b", 0.8823),
        ("a", 0.2083),
        ("c", 0.0),
    ]


def test_a_dense_ranking_that_nothing_confirms_changes_no_order() -> None:
    dense = a_search({"x": 0.9, "y": 0.8}, "dense")
    lexical = a_search({"a": 3.0, "b": 2.0, "c": 1.0}, "lexical")
    assert ids(retrieve("q", [dense, lexical], k=2)) == ["a", "b"]


def test_where_no_word_is_found_meaning_alone_decides() -> None:
    dense = a_search({"x": 0.9, "y": 0.8}, "dense")
    assert ids(retrieve("q", [dense, a_search({}, "lexical")], k=5)) == ["x", "y"]


def test_a_larger_k_only_appends_also_beyond_the_candidates() -> None:
    searches = [a_search(many(30), "dense"), a_search(many(10, first=5), "lexical")]
    whole = retrieve("q", searches, k=40, candidates=8)
    assert len(whole) == 30
    assert len(set(ids(whole))) == 30
    for k in range(1, 40):
        assert retrieve("q", searches, k=k, candidates=8) == whole[:k]
    scores = [hit.score for hit in whole]
    assert scores == sorted(scores, reverse=True)


def test_a_single_search_is_taken_as_it_is() -> None:
    hits = retrieve("q", [a_search({"a": 0.9, "b": 0.8}, "dense")], k=1)
    assert [(hit.chunk.id, hit.score, hit.by) for hit in hits] == [("a", 0.9, "dense")]


def test_a_reranker_orders_the_best_anew_and_leaves_the_rest_behind_them() -> None:
    search = a_search(many(RERANKED + 5), "lexical")
    hits = retrieve("q", [search], k=RERANKED + 5, reranker=Backwards())
    expected = [f"c{place:03}" for place in range(RERANKED)][::-1]
    assert ids(hits) == [*expected, *(f"c{RERANKED + place:03}" for place in range(5))]
    assert {hit.by for hit in hits[:RERANKED]} == {"rerank:backwards"}
    assert [hit.rank for hit in hits] == list(range(1, RERANKED + 6))


@pytest.mark.parametrize("wrong", [{"k": 0}, {"k": -1}, {"candidates": 0}, {"dense_weight": 1.5}])
def test_numbers_out_of_range_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        retrieve("q", [a_search({"a": 1.0}, "dense")], **wrong)  # type: ignore[arg-type]


def test_without_a_search_nothing_can_be_retrieved() -> None:
    with pytest.raises(ValueError, match="one search"):
        retrieve("q", [])


def test_neighbours_are_asked_for_the_fused_hits_and_lend_them_scores() -> None:
    lexical = a_search({"a": 3.0, "b": 2.9, "c": 2.8, "d": 1.0}, "lexical")
    asked: list[Sequence[str]] = []

    def neighbours(ids: Sequence[str]) -> dict[str, tuple[str | None, str | None]]:
        asked.append(ids)
        return {"a": ("x", "y"), "b": ("z", "c"), "c": ("b", "w"), "d": ("u", "v")}

    hits = retrieve("q", [a_search({}, "dense"), lexical], k=4, neighbours=neighbours)
    assert ids(hits) == ["b", "c", "a", "d"]
    assert asked == [["a", "b", "c", "d"]]
