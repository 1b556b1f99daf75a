"""Figures agree with trec_eval, intervals with the binomial law, comparisons with hand-work."""

import math

import pytest
import pytrec_eval
from hypothesis import given
from hypothesis import strategies as st

from rag.evaluation import (
    Comparison,
    Row,
    by_type,
    compare,
    estimate,
    evidence_recall,
    hit,
    ndcg,
    overlap,
    recall,
    reciprocal_rank,
    summarize,
)

IDS = [f"chunk-{n}" for n in range(12)]
RANKINGS = st.permutations(IDS).flatmap(lambda ids: st.integers(1, len(ids)).map(lambda n: ids[:n]))
GAINS = st.dictionaries(st.sampled_from(IDS), st.integers(0, 400), min_size=1).filter(
    lambda gains: any(gains.values())
)
PLACES = st.lists(
    st.tuples(st.sampled_from("ab"), st.integers(0, 30), st.integers(1, 12)).map(
        lambda place: (place[0], place[1], place[1] + place[2])
    ),
    max_size=6,
)


def a_row(id_: str, type_: str = "fact", **figures: float) -> Row:
    return Row(id=id_, type=type_, figures=figures)


# ---- rankings -----------------------------------------------------------------------------------


@given(ranked=RANKINGS, gains=GAINS)
def test_figures_of_a_ranking_are_those_of_trec_eval(
    ranked: list[str], gains: dict[str, int]
) -> None:
    k = 5
    measures = {"recall.5", "ndcg_cut.5", "success.5", "recip_rank"}
    run = {id_: float(-place) for place, id_ in enumerate(ranked)}
    shown = {id_: score for id_, score in run.items() if score > -k}
    found = pytrec_eval.RelevanceEvaluator({"q": gains}, measures).evaluate({"q": run})["q"]
    # trec_eval's reciprocal rank has no cutoff: it is given the first k alone.
    first = pytrec_eval.RelevanceEvaluator({"q": gains}, {"recip_rank"}).evaluate({"q": shown})
    assert recall(ranked, gains, k=k) == pytest.approx(found["recall_5"], abs=1e-6)
    assert hit(ranked, gains, k=k) == pytest.approx(found["success_5"], abs=1e-6)
    assert ndcg(ranked, gains, k=k) == pytest.approx(found["ndcg_cut_5"], abs=1e-6)
    assert reciprocal_rank(ranked, gains, k=k) == pytest.approx(first["q"]["recip_rank"], abs=1e-6)
    assert reciprocal_rank(ranked, gains, k=99) == pytest.approx(found["recip_rank"], abs=1e-6)


def test_figures_of_a_ranking_worked_by_hand() -> None:
    ranked, gains = ["x", "a", "y", "b"], {"a": 1.0, "b": 3.0, "c": 2.0, "z": 0.0}
    assert recall(ranked, gains, k=3) == 1 / 3
    assert hit(ranked, gains, k=1) == 0
    assert reciprocal_rank(ranked, gains, k=4) == 0.5
    # 1/log2(3) + 3/log2(5) against 3/1 + 2/log2(3) + 1/2
    assert ndcg(ranked, gains, k=4) == pytest.approx(1.9229593 / 4.7618595)


def test_the_best_order_has_an_ndcg_of_exactly_1() -> None:
    assert ndcg(["b", "c", "a", "x"], {"a": 1.0, "b": 3.0, "c": 2.0}, k=10) == 1


def test_nothing_found_is_0_and_no_error() -> None:
    for figure in (recall, hit, reciprocal_rank, ndcg):
        assert figure([], {"a": 1.0}, k=5) == 0


@pytest.mark.parametrize("figure", [recall, hit, reciprocal_rank, ndcg])
def test_what_cannot_be_judged_is_refused(figure: object) -> None:
    assert callable(figure)
    with pytest.raises(ValueError, match="k must be at least 1, not 0"):
        figure(["a"], {"a": 1.0}, k=0)
    with pytest.raises(ValueError, match="stands twice"):
        figure(["a", "a"], {"a": 1.0}, k=5)
    with pytest.raises(ValueError, match="nothing is relevant"):
        figure(["a"], {"a": 0.0}, k=5)


# ---- spans --------------------------------------------------------------------------------------


@given(places=PLACES, evidence=PLACES.filter(bool))
def test_recall_over_spans_counts_each_character_of_evidence_once(
    places: list[tuple[str, int, int]], evidence: list[tuple[str, int, int]]
) -> None:
    wanted = {(id_, place) for id_, start, end in evidence for place in range(start, end)}
    covered = {(id_, place) for id_, start, end in places for place in range(start, end)}
    assert overlap(places, evidence) == len(wanted & covered)
    assert evidence_recall(places, evidence) == len(wanted & covered) / len(wanted)


def test_a_place_that_only_touches_the_evidence_has_found_nothing() -> None:
    assert evidence_recall([("a", 0, 10), ("a", 20, 30), ("b", 10, 20)], [("a", 10, 20)]) == 0


def test_neighbouring_places_together_find_all() -> None:
    assert evidence_recall([("a", 15, 30), ("a", 0, 15)], [("a", 10, 20)]) == 1


def test_a_question_without_evidence_has_no_recall() -> None:
    with pytest.raises(ValueError, match="no evidence"):
        evidence_recall([("a", 0, 10)], [])


# ---- intervals ----------------------------------------------------------------------------------


def test_the_interval_of_a_share_is_that_of_the_binomial_law() -> None:
    # The bootstrap of 60 of 100 draws from the binomial law, whose 2.5th and 97.5th percentile
    # are 50 and 69 of 100 (scipy.stats.binom.ppf).
    found = estimate([1.0] * 60 + [0.0] * 40)
    assert found.mean == 0.6
    assert found.low == pytest.approx(0.50, abs=0.011)
    assert found.high == pytest.approx(0.69, abs=0.011)
    assert found.n == 100


def test_the_same_seed_gives_the_same_interval_and_another_hardly_another() -> None:
    values = [math.sin(n) for n in range(80)]
    assert estimate(values) == estimate(values)
    other = estimate(values, seed=1)
    assert other != estimate(values)
    assert other.low == pytest.approx(estimate(values).low, abs=0.01)


def test_equal_values_leave_no_doubt_and_none_are_refused() -> None:
    only = estimate([0.25, 0.25])
    assert (only.mean, only.low, only.high, only.n) == (0.25, 0.25, 0.25, 2)
    with pytest.raises(ValueError, match="no values"):
        estimate([])


@given(st.lists(st.floats(0, 1), min_size=1, max_size=30))
def test_a_mean_lies_in_its_interval_and_the_interval_among_the_values(values: list[float]) -> None:
    found = estimate(values)
    assert min(values) - 1e-12 <= found.low <= found.high <= max(values) + 1e-12
    assert min(values) - 1e-12 <= found.mean <= max(values) + 1e-12


# ---- many questions -----------------------------------------------------------------------------


def test_a_figure_is_estimated_over_the_questions_that_have_it() -> None:
    rows = [a_row("1", recall=1.0), a_row("2", recall=0.5, refused=1.0), a_row("3", refused=0.0)]
    found = summarize(rows)
    assert list(found) == ["recall", "refused"]
    assert (found["recall"].mean, found["recall"].n) == (0.75, 2)
    assert (found["refused"].mean, found["refused"].n) == (0.5, 2)


def test_rows_are_parted_by_type_in_the_order_of_names() -> None:
    rows = [a_row("1", "number"), a_row("2", "fact"), a_row("3", "number")]
    parted = by_type(rows)
    assert {name: [row.id for row in each] for name, each in parted.items()} == {
        "fact": ["2"],
        "number": ["1", "3"],
    }
    assert list(parted) == ["fact", "number"]


def test_a_run_that_wins_on_most_questions_is_better_and_says_by_how_much() -> None:
    first = [a_row(str(n), recall=n % 2 * 0.5) for n in range(40)]
    second = [a_row(str(n), recall=n % 2 * 0.5 + (0.3 if n % 4 else 0.0)) for n in range(40)]
    (found,) = compare(first, second[::-1])
    assert (found.figure, found.n) == ("recall", 40)
    assert found.first == pytest.approx(0.25)
    assert found.second == pytest.approx(0.475)
    assert found.verdict == "better by 0.225 ± 0.041 (95%)"
    (back,) = compare(second, first)
    assert back.verdict == "worse by 0.225 ± 0.041 (95%)"


def test_a_difference_that_may_be_chance_is_not_claimed() -> None:
    first = [a_row(str(n), recall=0.5) for n in range(20)]
    second = [a_row(str(n), recall=0.5 + (0.1 if n % 2 else -0.08)) for n in range(20)]
    (found,) = compare(first, second)
    assert found.difference == pytest.approx(0.01)
    assert (found.shown, found.verdict) == (False, "no difference shown")


def test_the_same_run_twice_shows_no_difference() -> None:
    rows = [a_row(str(n), recall=n / 10) for n in range(10)]
    assert [found.verdict for found in compare(rows, rows)] == ["no difference shown"]


def test_only_questions_and_figures_that_both_runs_have_are_compared() -> None:
    first = [a_row("1", recall=0.0, hit=1.0), a_row("2", recall=0.0), a_row("3", recall=9.0)]
    second = [a_row("2", recall=1.0), a_row("1", recall=1.0, mrr=1.0), a_row("4", recall=9.0)]
    assert compare(first, second) == [
        Comparison(figure="recall", first=0, second=1, difference=1, low=1, high=1, n=2)
    ]
    with pytest.raises(ValueError, match="no question in common"):
        compare(first[:1], second[:1])
