"""What a corpus finds and answers is compared with marked evidence."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from rag.corpus import Corpus
from rag.measuring import Measured, label_of, measure
from rag.questions import Evidence, Question
from rag.settings import settings_from
from rag.testing import HashingEmbedder, ScriptedModel

HARBOUR = """# Harbour

## Pilots

The pilot must be on board two hours before high water.

## Tugs

The agent of the vessel pays for the tug. It is ordered by radio.
"""
COUNTY = "# 砚溪县志\n\n茶园喷灌每立方米收水费0.12元。石门坎水库由县防汛指挥部下令开闸。\n"
TEXTS = {"harbour.md": HARBOUR, "砚溪.md": COUNTY}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, text in TEXTS.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    return tmp_path


@pytest.fixture
def corpus(folder: Path) -> Iterator[Corpus]:
    settings = settings_from({"documents": {"chunk_size": 16}})
    with Corpus.open(folder, embedder=HashingEmbedder(), settings=settings) as corpus:
        corpus.sync()
        yield corpus


def a_question(
    question: str, *spans: tuple[str, str], answers: tuple[str, ...] = (), id_: str = "q"
) -> Question:
    """Make a question whose evidence is found by its words."""
    evidence = []
    for document_id, words in spans:
        start = TEXTS[document_id].index(words)
        span = Evidence(document_id=document_id, start=start, end=start + len(words), text=words)
        evidence.append(span)
    return Question(id=id_, question=question, answers=answers, evidence=tuple(evidence))


PILOT = a_question(
    "When must the pilot be on board?",
    ("harbour.md", "The pilot must be on board two hours before high water."),
    answers=("two hours",),
)


def test_evidence_in_the_first_hit_makes_every_figure_1(corpus: Corpus) -> None:
    (row,) = measure(corpus, [PILOT])
    assert (row.id, row.type) == ("q", "question")
    assert row.figures == {
        "recall@10": 1,
        "hit@10": 1,
        "mrr@10": 1,
        "ndcg@10": 1,
        "documents@10": 1,
        "evidence@500": 1,
        "all_evidence@500": 1,
        "evidence@1000": 1,
        "all_evidence@1000": 1,
    }


def test_evidence_that_the_first_hit_does_not_hold_counts_against_the_figures(
    corpus: Corpus,
) -> None:
    question = a_question(
        "When must the pilot be on board?",
        ("harbour.md", "The pilot must be on board two hours before high water."),  # 55
        ("砚溪.md", "石门坎水库由县防汛指挥部下令开闸。"),  # 17
    )
    (row,) = measure(corpus, [question], how=Measured(k=1, budgets=(20,)))
    assert row.figures["recall@1"] == 55 / 72
    assert (row.figures["hit@1"], row.figures["mrr@1"], row.figures["ndcg@1"]) == (1, 1, 1)
    assert row.figures["documents@1"] == 0.5
    assert row.figures["evidence@20"] <= 55 / 72
    assert row.figures["all_evidence@20"] == 0


def test_the_rank_of_the_first_relevant_chunk_counts(corpus: Corpus) -> None:
    question = a_question(
        "When must the pilot be on board?", ("harbour.md", "It is ordered by radio.")
    )
    hits = corpus.search(question.question, k=10)
    rank = next(hit.rank for hit in hits if "radio" in hit.chunk.text)
    assert rank > 1
    (row,) = measure(corpus, [question])
    assert row.figures["mrr@10"] == 1 / rank
    (row,) = measure(corpus, [question], how=Measured(k=rank - 1))
    assert row.figures[f"mrr@{rank - 1}"] == row.figures[f"hit@{rank - 1}"] == 0


def test_a_ranking_may_be_measured_alone(corpus: Corpus) -> None:
    question = a_question("引航", ("砚溪.md", "县防汛指挥部"))
    (row,) = measure(corpus, [question], how=Measured(by="lexical"))
    assert row.figures["recall@10"] == 0


def test_a_question_without_evidence_has_no_figures_until_it_is_answered(corpus: Corpus) -> None:
    question = Question(id="x", question="Which xylophone did Beethoven prefer?")
    assert measure(corpus, [question])[0].figures == {}
    assert measure(corpus, [question], how=Measured(answers=True))[0].figures == {"refused": 1}


def test_answers_are_measured_by_what_they_contain_and_quote(corpus: Corpus) -> None:
    other = a_question(
        "When must the pilot be on board?",
        ("harbour.md", "The pilot"),
        answers=("two hours", "tug"),
        id_="other",
    )
    rows = measure(corpus, [PILOT, other], how=Measured(budgets=(), answers=True))
    assert {name: rows[0].figures[name] for name in list(rows[0].figures)[5:]} == {
        "answered": 1,
        "answer_contained": 1,
        "quotations": 1,
        "quotation_exact": 1,
    }
    assert rows[1].figures["answer_contained"] == 0


def test_a_quotation_that_a_model_made_up_does_not_hold_and_case_and_width_are_no_difference(
    folder: Path,
) -> None:
    reply = "TWO\nHOURS early “two hours before high water” [1], and “free of charge” [1]."
    with Corpus.open(folder, embedder=HashingEmbedder(), model=ScriptedModel([reply])) as corpus:
        corpus.sync()
        (row,) = measure(corpus, [PILOT], how=Measured(answers=True))
    assert row.figures["answer_contained"] == 1
    assert (row.figures["quotations"], row.figures["quotation_exact"]) == (2, 0.5)


def test_it_is_told_how_many_questions_have_been_asked(corpus: Corpus) -> None:
    told: list[int] = []
    measure(corpus, [PILOT, PILOT, PILOT], progress=told.append)
    assert told == [1, 2, 3]


def test_the_same_questions_give_the_same_rows(corpus: Corpus) -> None:
    how = Measured(answers=True)
    assert measure(corpus, [PILOT], how=how) == measure(corpus, [PILOT], how=how)


def test_what_cannot_be_measured_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        Measured(k=0)
    with pytest.raises(ValueError, match="at least 1"):
        Measured(budgets=(500, 0))


def test_figures_have_names_for_people() -> None:
    assert label_of("all_evidence@1000") == "all evidence in 1,000 tokens"
    assert label_of("refused") == "refused where there is none"
    assert label_of("something@else") == "something@else"
