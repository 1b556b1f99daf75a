"""How good a ranking, a context or an answer is, and how sure one may be of it: numbers only.

1. What was found is compared with *gold evidence*: the places that people, or `rag.questioning`,
   have marked as answering a question.
2. Each question gives one row of figures, all of them better the higher they are.
3. A figure's mean has a bootstrap interval over the questions; two runs over the same
   questions are compared question by question.

Two sorts of figures are told apart. Over *characters*: a character of evidence counts as
found where a hit or a passage covers it. Over *chunks*: a chunk is **relevant** when it holds
at least one character of the evidence, and its **gain** is how many it holds. Chunks end
between sentences and evidence is whole sentences, so that in practice a chunk holds a
sentence of evidence or nothing of it; a threshold would leave evidence that a cut has parted
without any relevant chunk.
"""

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Place = tuple[str, int, int]
"""``(document_id, start, end)``: a span of a document, half-open, in characters."""

CONFIDENCE = 0.95
_RESAMPLES = 10_000
"""The ends of an interval then move by some hundredth of its width from seed to seed."""
_CELLS = 2_000_000
"""Draws at once: some 24 MB, however many questions there are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """What one question gave."""

    id: str
    type: str
    figures: Mapping[str, float]
    """Name -> value; a figure that the question does not have is left out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """A mean over questions, and between what it probably lies."""

    mean: float
    low: float
    high: float
    n: int
    """Questions."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Two runs over the same questions, by one figure."""

    figure: str
    first: float
    second: float
    difference: float
    """Mean of second minus first, over the questions that both have."""
    low: float
    high: float
    n: int

    @property
    def shown(self) -> bool:
        """Whether the interval leaves out no difference at all."""
        return self.low > 0 or self.high < 0

    @property
    def verdict(self) -> str:
        """What may be said of the second run."""
        if not self.shown:
            return "no difference shown"
        word = "better" if self.difference > 0 else "worse"
        half = (self.high - self.low) / 2
        return f"{word} by {abs(self.difference):.3f} ± {half:.3f} ({CONFIDENCE:.0%})"


# ---- rankings ---------------------------------------------------------------------------


def recall(ranked: Sequence[str], gains: Mapping[str, float], *, k: int) -> float:
    """Tell which share of what is relevant stands among the first k.

    Parameters
    ----------
    ranked : ids, best first, none twice.
    gains : id -> how much it is worth; what is above 0 is relevant, what is absent is not.
    k : from 1.

    Returns
    -------
    float
        From 0 to 1; the ``recall_k`` of trec_eval.

    Raises
    ------
    ValueError
        ``k < 1``, an id stands twice, or nothing is relevant.
    """
    relevant = _relevant(ranked, gains, k)
    return len(relevant.intersection(ranked[:k])) / len(relevant)


def hit(ranked: Sequence[str], gains: Mapping[str, float], *, k: int) -> float:
    """Tell whether anything relevant stands among the first k: 1 or 0; as `recall` else."""
    return float(not _relevant(ranked, gains, k).isdisjoint(ranked[:k]))


def reciprocal_rank(ranked: Sequence[str], gains: Mapping[str, float], *, k: int) -> float:
    """Tell 1 / rank of the first that is relevant, 0 where none is among the first k.

    Its mean over questions is the MRR; parameters and errors as `recall`.
    """
    relevant = _relevant(ranked, gains, k)
    ranks = (rank for rank, id_ in enumerate(ranked[:k], start=1) if id_ in relevant)
    return 1 / next(ranks, math.inf)


def ndcg(ranked: Sequence[str], gains: Mapping[str, float], *, k: int) -> float:
    """Tell how near the first k come to the best order there could be.

    Parameters and errors as `recall`.

    Returns
    -------
    float
        From 0, nothing relevant, to 1, nothing could stand better.

    Notes
    -----
    ``DCG(ranked) / DCG(ideal)`` with ``DCG = sum_r gain_r / log2(r + 1)`` over the first k
    ranks r from 1; ideal is everything relevant by falling gain. The gain enters as it is, as
    in trec_eval's ``ndcg_cut`` and in [1]_, not as ``2 ** gain - 1``.

    References
    ----------
    .. [1] Järvelin, Kekäläinen (2002), Cumulated gain-based evaluation of IR techniques,
       TOIS 20(4), doi:10.1145/582415.582418
    """
    relevant = _relevant(ranked, gains, k)
    ideal = sorted((gains[id_] for id_ in relevant), reverse=True)
    found = [max(gains.get(id_, 0.0), 0.0) for id_ in ranked]
    return _dcg(found[:k]) / _dcg(ideal[:k])


def _dcg(gains: Sequence[float]) -> float:
    return math.fsum(gain / math.log2(rank + 1) for rank, gain in enumerate(gains, start=1))


def _relevant(ranked: Sequence[str], gains: Mapping[str, float], k: int) -> set[str]:
    if k < 1:
        message = f"k must be at least 1, not {k!r}"
        raise ValueError(message)
    if len(set(ranked)) != len(ranked):
        raise ValueError("an id stands twice in the ranking; each may stand once")
    relevant = {id_ for id_, gain in gains.items() if gain > 0}
    if not relevant:
        raise ValueError("nothing is relevant; leave out questions without evidence")
    return relevant


# ---- spans ------------------------------------------------------------------------------


def overlap(places: Iterable[Place], evidence: Iterable[Place]) -> int:
    """Count the characters of evidence that some places cover, each once.

    Examples
    --------
    >>> overlap([("a", 0, 5), ("a", 3, 8)], [("a", 4, 10), ("b", 0, 3)])
    4
    """
    found, wanted = _merged(places), _merged(evidence)
    return sum(
        max(0, min(end, stop) - max(start, begin))
        for document_id, spans in wanted.items()
        for start, end in spans
        for begin, stop in found.get(document_id, ())
    )


def evidence_recall(places: Iterable[Place], evidence: Sequence[Place]) -> float:
    """Tell which share of the evidence's characters some places cover.

    Parameters
    ----------
    places : of hits or of a context's passages; they may overlap.
    evidence : at least one place; pieces that overlap count once.

    Returns
    -------
    float
        From 0 to 1. 1 means *all* evidence: exactly 1, whatever its length.

    Raises
    ------
    ValueError
        There is no evidence.
    """
    total = overlap(evidence, evidence)
    if not total:
        raise ValueError("there is no evidence; leave out questions without any")
    return overlap(places, evidence) / total


def _merged(places: Iterable[Place]) -> dict[str, list[tuple[int, int]]]:
    """Unite the spans of each document: ascending and disjoint."""
    merged: dict[str, list[tuple[int, int]]] = defaultdict(list)
    for document_id, start, end in sorted(places):
        spans = merged[document_id]
        if spans and start <= spans[-1][1]:
            spans[-1] = (spans[-1][0], max(spans[-1][1], end))
        else:
            spans.append((start, end))
    return merged


# ---- many questions ---------------------------------------------------------------------


def estimate(values: Sequence[float], *, seed: int = 0) -> Estimate:
    """Tell a mean and its interval, by the percentile bootstrap over questions.

    Parameters
    ----------
    values : one a question, at least one.
    seed : the same seed and values give the same interval.

    Raises
    ------
    ValueError
        There are no values.

    Notes
    -----
    10,000 times as many questions are drawn with replacement as there are, and the means of
    the draws ordered; between their 2.5th and 97.5th percentile lies the interval [1]_. It
    tells what other questions *of this kind* would give. Few or like questions make it too
    narrow: that of a single question, or of equal values, has no width at all.

    References
    ----------
    .. [1] Efron, Tibshirani (1993), An Introduction to the Bootstrap, chapter 13
    """
    if not len(values):
        raise ValueError("there are no values to estimate from")
    array = np.asarray(values, dtype=np.float64)  # (n,)
    mean = math.fsum(values) / len(values)
    if np.ptp(array) == 0:
        return Estimate(mean=mean, low=mean, high=mean, n=len(values))
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(_resampled(array, seed=seed), [tail, 1 - tail])
    return Estimate(mean=mean, low=float(low), high=float(high), n=len(values))


def _resampled(values: NDArray[np.float64], *, seed: int) -> NDArray[np.float64]:
    """Draw the means of resamples: (10,000,)."""
    generator = np.random.default_rng(seed)
    n = len(values)
    step = max(1, _CELLS // n)
    sizes = [min(step, _RESAMPLES - start) for start in range(0, _RESAMPLES, step)]
    draws = (generator.integers(n, size=(size, n), dtype=np.uint32) for size in sizes)
    return np.concatenate([values[drawn].mean(axis=1) for drawn in draws])


def summarize(rows: Sequence[Row]) -> dict[str, Estimate]:
    """Estimate every figure over the rows that have it, in the order of first appearance."""
    values: dict[str, list[float]] = {}
    for row in rows:
        for figure, value in row.figures.items():
            values.setdefault(figure, []).append(value)
    return {figure: estimate(listed) for figure, listed in values.items()}


def by_type(rows: Sequence[Row]) -> dict[str, list[Row]]:
    """Part rows by the type of their questions, in the order of names."""
    parted: dict[str, list[Row]] = {name: [] for name in sorted({row.type for row in rows})}
    for row in rows:
        parted[row.type].append(row)
    return parted


def compare(first: Sequence[Row], second: Sequence[Row]) -> list[Comparison]:
    """Compare two runs question by question, by every figure that both have.

    Parameters
    ----------
    first, second : matched by their ids, whatever their order; what only one of them has
        does not count, and the number of pairs is `Comparison.n`.

    Returns
    -------
    list of Comparison
        In the order of the first run's figures.

    Raises
    ------
    ValueError
        The runs have no question in common.

    Notes
    -----
    The interval is that of the mean of the differences, by `estimate`: that one question is
    harder than another falls out. Each figure is judged alone; of twenty that are looked at
    one shows a difference by chance, so decide by one that was chosen beforehand.
    """
    others = {row.id: row.figures for row in second}
    pairs = [(row.figures, others[row.id]) for row in first if row.id in others]
    if not pairs:
        raise ValueError("the two runs have no question in common; compare the same questions")
    figures = dict.fromkeys(figure for a, b in pairs for figure in a if figure in b)
    return [_compare(figure, pairs) for figure in figures]


def _compare(
    figure: str, pairs: Sequence[tuple[Mapping[str, float], Mapping[str, float]]]
) -> Comparison:
    values = [(a[figure], b[figure]) for a, b in pairs if figure in a and figure in b]
    found = estimate([b - a for a, b in values])
    return Comparison(
        figure=figure,
        first=math.fsum(a for a, _ in values) / len(values),
        second=math.fsum(b for _, b in values) / len(values),
        difference=found.mean,
        low=found.low,
        high=found.high,
        n=found.n,
    )
