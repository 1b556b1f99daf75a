"""Fusion: several rankings become one."""

from dataclasses import replace
from itertools import permutations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rag.retrieval.fusion import fuse, lend, trust
from rag.types import Chunk, Hit


def a_hit(name: str, score: float, *, rank: int = 1, by: str = "dense") -> Hit:
    chunk = Chunk(id=name, document_id="d", start=0, end=1, text=name, embedded=name, tokens=1)
    return Hit(chunk=chunk, rank=rank, score=score, by=by)


def a_ranking(scores: dict[str, float], by: str = "dense") -> list[Hit]:
    ordered = sorted(scores.items(), key=lambda pair: (-pair[1], pair[0]))
    return [a_hit(n, s, rank=r, by=by) for r, (n, s) in enumerate(ordered, start=1)]


def test_scores_are_scaled_per_ranking_and_added_by_weight() -> None:
    dense = a_ranking({"a": 0.9, "b": 0.7, "c": 0.5})
    lexical = a_ranking({"b": 12.0, "d": 2.0}, by="lexical")
    # The dense scores become 1, .5 and 0, the lexical ones 1 and 0.
    found = fuse(dense, lexical, weights=[0.4, 0.6])
    assert [(hit.chunk.id, hit.rank, round(hit.score, 9), hit.by) for hit in found] == [
        ("b", 1, 0.8, "fused"),
        ("a", 2, 0.4, "fused"),
        ("c", 3, 0.0, "fused"),
        ("d", 4, 0.0, "fused"),
    ]


def test_weights_are_equal_by_default() -> None:
    found = fuse(a_ranking({"a": 2.0, "b": 1.0}), a_ranking({"b": 5.0, "c": 1.0}))
    assert [(hit.chunk.id, hit.score) for hit in found] == [("a", 0.5), ("b", 0.5), ("c", 0.0)]


def test_equal_scores_all_count_as_the_best() -> None:
    found = fuse(a_ranking({"a": 3.0, "b": 3.0}), a_ranking({"c": 9.0, "d": 1.0}))
    assert {hit.chunk.id: hit.score for hit in found} == {"a": 0.5, "b": 0.5, "c": 0.5, "d": 0.0}


def test_nothing_is_fused_from_nothing() -> None:
    assert fuse() == []
    assert fuse([], []) == []


def test_an_empty_ranking_takes_nothing_from_the_other() -> None:
    found = fuse(a_ranking({"a": 2.0, "b": 1.0}), [], weights=[0.3, 0.7])
    assert [hit.chunk.id for hit in found] == ["a", "b"]


@pytest.mark.parametrize("weights", [[1.0], [1.0, -0.1], [1.0, float("nan")]])
def test_weights_that_cannot_be_used_are_refused(weights: list[float]) -> None:
    with pytest.raises(ValueError, match="weights"):
        fuse(a_ranking({"a": 1.0}), a_ranking({"b": 1.0}), weights=weights)


_rankings = st.lists(
    st.dictionaries(st.sampled_from("abcdefgh"), st.floats(-1e6, 1e6, allow_nan=False), max_size=8),
    min_size=1,
    max_size=4,
)


@settings(deadline=None, max_examples=100)
@given(_rankings, st.data())
def test_the_order_of_the_arguments_changes_nothing(
    scores: list[dict[str, float]], data: st.DataObject
) -> None:
    weights = data.draw(st.lists(st.floats(0, 10), min_size=len(scores), max_size=len(scores)))
    rankings = [a_ranking(one) for one in scores]
    expected = [(hit.chunk.id, hit.score) for hit in fuse(*rankings, weights=weights)]
    for order in permutations(range(len(rankings))):
        found = fuse(
            *(rankings[place] for place in order), weights=[weights[place] for place in order]
        )
        assert [(hit.chunk.id, hit.score) for hit in found] == expected


@settings(deadline=None, max_examples=100)
@given(_rankings)
def test_every_chunk_is_kept_once_with_scores_that_fall(scores: list[dict[str, float]]) -> None:
    found = fuse(*(a_ranking(one) for one in scores))
    ids = [hit.chunk.id for hit in found]
    assert sorted(ids) == sorted({name for one in scores for name in one})
    assert all(0 <= hit.score <= 1 + 1e-9 for hit in found)
    assert [hit.score for hit in found] == sorted((hit.score for hit in found), reverse=True)
    assert [hit.rank for hit in found] == list(range(1, len(found) + 1))


def test_the_rankings_are_not_changed() -> None:
    first, second = a_ranking({"a": 2.0, "b": 1.0}), a_ranking({"b": 2.0})
    before = [replace(hit) for hit in first], [replace(hit) for hit in second]
    fuse(first, second)
    assert (first, second) == before


def test_a_ranking_that_holds_what_the_other_finds_is_trusted() -> None:
    ranking = a_ranking({f"c{place:03}": 1 - place / 1000 for place in range(200)})
    assert trust(ranking, ranking[:10]) == 1.0


def test_a_ranking_without_what_the_other_finds_is_not_trusted() -> None:
    ranking = a_ranking({f"c{place:03}": 1 - place / 1000 for place in range(200)})
    assert trust(ranking, a_ranking({"x": 2.0, "y": 1.0})) == 0.0


def test_trust_grows_with_the_place_of_what_the_other_finds() -> None:
    ranking = a_ranking({f"c{place:03}": 1 - place / 1000 for place in range(200)})
    # Places 140 and 180 of 200: the mean of .3 and .1 is .2, a third of .6, squared.
    reference = a_ranking({"c140": 2.0, "c180": 1.0})
    assert trust(ranking, reference) == pytest.approx(1 / 9)


def test_nothing_speaks_against_a_ranking_where_the_other_is_empty() -> None:
    assert trust(a_ranking({"a": 1.0}), []) == 1.0
    assert trust([], a_ranking({"a": 1.0})) == 0.0


def test_neighbours_lend_a_share_of_their_scores() -> None:
    hits = a_ranking({"a": 1.0, "b": 0.8, "c": 0.5})
    neighbours: dict[str, tuple[str | None, str | None]] = {
        "a": ("x", "y"),
        "b": ("z", "c"),
        "c": ("b", "w"),
    }
    found = lend(hits, neighbours, share=0.5)
    assert [(hit.chunk.id, hit.rank, round(hit.score, 9)) for hit in found] == [
        ("b", 1, 0.525),
        ("a", 2, 0.5),
        ("c", 3, 0.45),
    ]


def test_at_the_ends_of_a_document_a_chunk_stands_in_for_what_it_lacks() -> None:
    found = lend(a_ranking({"alone": 0.9}), {"alone": (None, None)}, share=0.2)
    assert [round(hit.score, 9) for hit in found] == [0.9]


def test_lending_breaks_ties_by_id_and_loses_nothing() -> None:
    hits = a_ranking({"b": 0.5, "a": 0.5, "c": 0.5})
    assert [hit.chunk.id for hit in lend(hits, {}, share=0.2)] == ["a", "b", "c"]
    assert lend([], {}) == []
