"""A query becomes hits: search ∥ search → fuse → rerank.

1. Each search gives the same number of candidates.
2. Several rankings are fused, the dense one with the weight that the lexical one lets it
   have; a single ranking is taken as it is.
3. Neighbouring chunks lend each other a share of their scores.
4. Where more hits are asked for than were fused, the first search goes deeper and what it
   adds is appended, so that a larger k never changes the order of what a smaller one gave.
5. A reranker, if there is one, orders the best candidates anew.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from rag.retrieval.fusion import fuse, lend, trust
from rag.types import Hit, Reranker, Search

Neighbours = Callable[[Sequence[str]], Mapping[str, tuple[str | None, str | None]]]
"""Chunk ids -> for each the ids before and after it in its document, None at the ends."""
CANDIDATES = 200
"""Hits of each search that are fused. The right chunk is among the first 60 of either for
.986 of the questions of an English set with marked evidence."""
DENSE_WEIGHT = 0.3
"""Of the dense ranking, where the lexical one confirms it. Chosen with all-MiniLM-L6-v2 and
BM25 on five open sets, of 0.05 to 0.7: English recall@5 was .871 at .2, .876 at .3, .871 at
.4; passages in English gained up to .6, a novel and Chinese lost above .3."""
RERANKED = 50
"""Hits a reranker reads; it costs a model's pass for each."""


def retrieve(
    query: str,
    searches: Sequence[Search],
    *,
    k: int = 20,
    candidates: int = CANDIDATES,
    dense_weight: float = DENSE_WEIGHT,
    neighbours: Neighbours | None = None,
    reranker: Reranker | None = None,
) -> list[Hit]:
    """Find the chunks that answer a query best.

    Parameters
    ----------
    query : what is searched for.
    searches : any functions ``(query, k) -> hits``, best first; the first of them must be
        able to go deeper than ``candidates``.
    k : at most so many hits.
    candidates : taken from each search to be fused; does not depend on k.
    dense_weight : from 0 to 1, of rankings whose hits are ``by="dense"``, multiplied by how
        far the lexical ranking confirms them (`fusion.trust`); others have the rest.
    neighbours : what stands beside a chunk, as `Store.neighbours` tells; None: no scores are
        lent.
    reranker : orders the best `RERANKED` anew; None: the fused order stands.

    Returns
    -------
    list of Hit
        Best first, ranks from 1. What stands beyond the fused candidates has scores below 0.

    Raises
    ------
    ValueError
        ``k < 1``, ``candidates < 1``, no search, or ``dense_weight`` out of range.
    """
    if k < 1 or candidates < 1 or not searches:
        message = f"k={k!r}, candidates={candidates!r}: at least 1 of each, and one search"
        raise ValueError(message)
    if not 0 <= dense_weight <= 1:
        message = f"dense_weight must lie between 0 and 1, not {dense_weight!r}"
        raise ValueError(message)
    if len(searches) == 1 and reranker is None:
        return searches[0](query, k)
    rankings = [search(query, candidates) for search in searches]
    if len(rankings) == 1:
        hits = rankings[0]
    else:
        hits = fuse(*rankings, weights=_weights(rankings, dense_weight))
        if neighbours is not None:
            hits = lend(hits, neighbours([hit.chunk.id for hit in hits]))
    if reranker is not None:
        hits = _reranked(query, hits, reranker)
    if k > len(hits) and len(rankings[0]) == candidates:  # Otherwise it has told all it has.
        hits = hits + _deeper(hits, searches[0](query, k + len(hits)))
    return hits[:k]


def _weights(rankings: Sequence[Sequence[Hit]], dense_weight: float) -> list[float]:
    lexical = next((ranking for ranking in rankings if _by(ranking) == "lexical"), ())
    return [
        dense_weight * trust(ranking, lexical) if _by(ranking) == "dense" else 1 - dense_weight
        for ranking in rankings
    ]


def _by(ranking: Sequence[Hit]) -> str:
    return ranking[0].by if ranking else ""


def _reranked(query: str, hits: Sequence[Hit], reranker: Reranker) -> list[Hit]:
    """Let a reranker order the best hits; the others follow in their old order, below them."""
    best, rest = hits[:RERANKED], hits[RERANKED:]
    scores = reranker.score(query, [hit.chunk.text for hit in best])  # (n,)
    by = f"rerank:{reranker.name}"
    scored = [
        replace(hit, score=float(score), by=by) for hit, score in zip(best, scores, strict=True)
    ]
    scored.sort(key=lambda hit: (-hit.score, hit.chunk.id))
    return [replace(hit, rank=rank) for rank, hit in enumerate([*scored, *rest], start=1)]


def _deeper(hits: Sequence[Hit], ranking: Sequence[Hit]) -> list[Hit]:
    """Append what a deeper search adds, scored -1, -2 … so that scores go on falling."""
    present = {hit.chunk.id for hit in hits}
    more = [hit for hit in ranking if hit.chunk.id not in present]
    return [
        replace(hit, rank=len(hits) + place, score=-float(place), by="fused")
        for place, hit in enumerate(more, start=1)
    ]
