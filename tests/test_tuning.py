"""Settings are recommended where they hold on questions they were not chosen by, and only there."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest

from rag.corpus import Corpus
from rag.questions import Evidence, Question
from rag.settings import Settings, with_changes
from rag.testing import HashingEmbedder
from rag.tuning import SEARCHED, Changes, halves, tune
from rag.types import Matrix, Vector

NAMES = [a + b for a in ("bel", "cor", "dun", "far", "gol", "hes") for b in ("kas", "mor", "rin")]
NAMES += [f"{name}by" for name in NAMES]
FACT = "The lamp of {} burns {} gallons of oil a night."
FILLER = "Of the keepers of {} little else is told in any letter that was ever sent from there."
SENTENCES = [
    sentence
    for number, name in enumerate(NAMES, start=10)
    for sentence in (*[FILLER.format(name)] * 2, FACT.format(name, number), FILLER.format(name))
]
TEXT = " ".join(SENTENCES) + "\n"
ROOM = 160
"""Tokens of a context that holds one or two chunks."""


class CountingEmbedder(HashingEmbedder):
    def __init__(self) -> None:
        self.texts: list[str] = []

    def embed_documents(self, texts: Sequence[str]) -> Matrix:
        self.texts += texts
        return super().embed_documents(texts)


@pytest.fixture
def embedder() -> CountingEmbedder:
    return CountingEmbedder()


@pytest.fixture
def corpus(tmp_path: Path, embedder: CountingEmbedder) -> Iterator[Corpus]:
    (tmp_path / "lamps.txt").write_text(TEXT, encoding="utf-8")
    with Corpus.open(tmp_path, embedder=embedder) as corpus:
        corpus.sync()
        yield corpus


def a_question(name: str, words: str, type_: str = "fact") -> Question:
    start = TEXT.index(words)
    evidence = Evidence(document_id="lamps.txt", start=start, end=start + len(words), text=words)
    question = f"How many gallons does the lamp of {name} burn?"
    return Question(id=name, question=question, evidence=(evidence,), type=type_)


def lamp_questions(type_: str = "fact") -> list[Question]:
    facts = enumerate(NAMES, start=10)
    return [a_question(name, FACT.format(name, number), type_) for number, name in facts]


def noise(seed: int) -> list[Question]:
    """Ask for one lamp, and call another one's sentence the evidence."""
    others = np.random.default_rng(seed).permutation(len(NAMES))
    return [
        a_question(name, FACT.format(NAMES[other], other + 10))
        for name, other in zip(NAMES, others, strict=True)
    ]


class Knowing(HashingEmbedder):
    """Knows the lamp that is meant by a number, which no word of the texts tells."""

    def embed_query(self, text: str) -> Vector:
        (number,) = re.findall(r"[0-9]+", text)
        return super().embed_query(NAMES[int(number) - 10])


@pytest.fixture
def planted(tmp_path: Path) -> Iterator[tuple[Corpus, list[Question]]]:
    """Make questions whose words lead astray: only meaning, weighed heavily, finds the lamp."""
    questions = []
    for number, name in enumerate(NAMES, start=10):
        text = f"The lamp of {name}."
        (tmp_path / f"{name}.txt").write_text(text, encoding="utf-8")
        evidence = Evidence(document_id=f"{name}.txt", start=0, end=len(text), text=text)
        astray = NAMES[(number + 7) % len(NAMES)]
        question = f"Which has number {number}, if {astray} has another?"
        questions.append(Question(id=name, question=question, evidence=(evidence,)))
    with Corpus.open(tmp_path, embedder=Knowing()) as corpus:
        corpus.sync()
        yield corpus, questions


def test_a_planted_best_setting_is_found_and_holds_on_the_other_half(
    planted: tuple[Corpus, list[Question]],
) -> None:
    corpus, questions = planted
    found = tune(corpus, questions, budget=20)
    assert found.recommended == {"retrieval.dense_weight": 0.7}
    assert found.check is not None
    assert (found.check.figure, found.check.n) == ("evidence@20", 18)
    assert found.check.first == 0
    assert found.check.low > 0.3
    assert (found.n_train, found.n_test, found.left_out) == (18, 18, ())


def test_nothing_is_recommended_on_noise(corpus: Corpus) -> None:
    for seed in range(2):
        assert tune(corpus, noise(seed), budget=400, seed=seed).recommended == {}


def test_where_nothing_is_better_nothing_is_chosen(corpus: Corpus) -> None:
    found = tune(corpus, lamp_questions(), keys=["retrieval.dense_weight"], budget=100_000)
    assert (found.chosen, found.recommended, found.check) == ({}, {}, None)
    assert {trial.mean for trial in found.trials} == {1.0}


def test_the_index_of_the_user_is_not_touched_and_vectors_are_used_again(
    corpus: Corpus, embedder: CountingEmbedder
) -> None:
    corpus.close()
    before = {path: path.read_bytes() for path in corpus.path.rglob("*") if path.is_file()}
    known = set(embedder.texts)
    embedder.texts.clear()
    found = tune(corpus, lamp_questions(), keys=["documents.chunk_size"], budget=ROOM)
    corpus.close()
    assert {path: path.read_bytes() for path in corpus.path.rglob("*") if path.is_file()} == before
    assert [dict(trial.changes) for trial in found.trials] == [
        {},
        *({"documents.chunk_size": size} for size in SEARCHED["documents.chunk_size"].values),
    ]
    assert len(embedder.texts) == len(set(embedder.texts))
    assert not known & set(embedder.texts)


def test_questions_that_copy_the_text_do_not_judge_how_far_words_are_trusted(
    corpus: Corpus,
) -> None:
    told: list[Changes] = []
    found = tune(corpus, lamp_questions("rare terms"), budget=ROOM, progress=told.append)
    assert found.left_out == ("retrieval.dense_weight",)
    assert {key for changes in told for key in changes} == {"documents.chunk_size"}
    mixed = [*lamp_questions("cloze")[1:], *lamp_questions("fact")[:1]]
    only = ["retrieval.dense_weight"]
    assert tune(corpus, mixed, keys=only, budget=ROOM).left_out == ()


def test_the_same_seed_gives_the_same_result(corpus: Corpus) -> None:
    keys = ["retrieval.dense_weight"]
    first, again = (tune(corpus, noise(5), keys=keys, budget=300, seed=3) for _ in range(2))
    assert first == again


def test_what_cannot_be_told_is_refused_before_any_work(corpus: Corpus) -> None:
    told: list[Changes] = []
    few = [*lamp_questions()[:29], Question(id="x", question="Why?")]
    with pytest.raises(ValueError, match="29 questions with evidence are too few"):
        tune(corpus, few, progress=told.append)
    with pytest.raises(ValueError, match=r"'index\.exact_up_to' is not searched; these are: docum"):
        tune(corpus, lamp_questions(), keys=["index.exact_up_to"], progress=told.append)
    with pytest.raises(ValueError, match="at least 1"):
        tune(corpus, lamp_questions(), budget=0, progress=told.append)
    assert told == []


def test_halves_are_disjoint_even_and_even_in_each_type() -> None:
    questions = [
        Question(id=f"{type_}-{n}", question="?", type=type_)
        for type_, count in (("fact", 7), ("list", 3), ("number", 5))
        for n in range(count)
    ]
    train, test = halves(questions, seed=1)
    assert sorted(question.id for question in [*train, *test]) == sorted(q.id for q in questions)
    assert (len(train), len(test)) == (8, 7)
    for type_, count in (("fact", 7), ("list", 3), ("number", 5)):
        assert abs(2 * sum(question.type == type_ for question in train) - count) <= 1
    assert halves(questions, seed=1) == (train, test)
    assert halves(questions, seed=2) != (train, test)


def test_every_searched_setting_exists_and_takes_its_values() -> None:
    for key, searched in SEARCHED.items():
        for value in searched.values:
            section, _, name = key.partition(".")
            changed = with_changes(Settings(), {key: value})
            assert getattr(getattr(changed, section), name) == value
