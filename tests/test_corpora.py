"""The example corpora: texts long enough to matter, and questions whose evidence stands there."""

import json
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

from rag.documents.folder import list_files
from rag.documents.loaders import load
from rag.sentences import split_sentences
from rag.terms import terms
from rag.tokens import count_tokens

CORPORA = Path(__file__).resolve().parent.parent / "corpora"
TYPES = {
    "fact",
    "number",
    "condition",
    "exception",
    "two passages",
    "paraphrase",
    "list",
    "overruled",
    "across tables",
    "unanswerable",
}
AMENDMENTS = {
    "harbour-manual": "\n## 17 Amendments\n",
    "county-gazetteer": "\n### 关于修改《砚溪县水利管理规定》的决定\n",
}
"""The heading behind which a text overrules itself."""
UNITS = {"harbour-manual": (r"\w+", 8), "county-gazetteer": (r"\w", 12)}
"""What a text is made of, words or characters, and how many in a row are not said twice."""


@dataclass(frozen=True, kw_only=True)
class Evidence:
    document_id: str
    start: int
    end: int
    text: str


@dataclass(frozen=True, kw_only=True)
class Question:
    id: str
    question: str
    answers: tuple[str, ...]
    evidence: tuple[Evidence, ...]
    type: str


def the_questions(corpus: str, *types: str) -> list[Question]:
    """Read a corpus's questions, those of some types or all; an unknown field is a TypeError."""
    found = []
    for line in (CORPORA / corpus / "questions.jsonl").read_text(encoding="utf-8").splitlines():
        fields = json.loads(line)
        evidence = tuple(Evidence(**span) for span in fields.pop("evidence"))
        answers = tuple(fields.pop("answers"))
        found.append(Question(answers=answers, evidence=evidence, **fields))
    return [question for question in found if not types or question.type in types]


@cache
def the_texts(corpus: str) -> dict[str, str]:
    """Load every document that a sync would find."""
    folder = CORPORA / corpus
    files = list_files(folder, is_supported=lambda _: True).files
    return {file.id: load(file.path).text for file in files}


def longest_text(corpus: str) -> str:
    return max(the_texts(corpus).values(), key=len)


def repeated_share(text: str, unit: str, n: int) -> float:
    """Count the runs of n units that stood in the text before, as a share of all runs."""
    units = re.findall(unit, text.lower())
    runs = [tuple(units[start : start + n]) for start in range(len(units) - n + 1)]
    return 1 - len(set(runs)) / len(runs)


pytestmark = pytest.mark.parametrize("corpus", sorted(AMENDMENTS))


def test_a_corpus_holds_its_texts_and_neither_questions_nor_source(corpus: str) -> None:
    listing = list_files(CORPORA / corpus, is_supported=lambda _: True)
    expected = {"harbour-manual": "harbour-manual.md", "county-gazetteer": "砚溪县志.md"}
    assert [file.id for file in listing.files] == [expected[corpus]]
    left_out = {skipped.id for skipped in listing.skipped}
    assert {"SOURCE.md", "questions.jsonl"} <= left_out
    assert listing.failed == []


def test_every_text_outgrows_a_small_window(corpus: str) -> None:
    for text in the_texts(corpus).values():
        assert count_tokens(text) >= 8_000


def test_a_text_says_hardly_anything_twice(corpus: str) -> None:
    unit, n = UNITS[corpus]
    assert repeated_share(longest_text(corpus), unit, n) < 0.02


def test_a_text_is_clean(corpus: str) -> None:
    for text in the_texts(corpus).values():
        assert "\r" not in text
        assert "\ufffd" not in text
        assert text.endswith("\n")
        assert not re.search(r"[ \t]\n", text)


def test_ten_questions_can_be_answered_and_two_cannot(corpus: str) -> None:
    questions = the_questions(corpus)
    unanswerable = the_questions(corpus, "unanswerable")
    assert len(unanswerable) >= 2
    assert len(questions) - len(unanswerable) >= 10


def test_ids_and_questions_are_unique_and_types_known(corpus: str) -> None:
    questions = the_questions(corpus)
    assert len({question.id for question in questions}) == len(questions)
    assert len({question.question for question in questions}) == len(questions)
    assert {question.type for question in questions} <= TYPES


def test_every_kind_of_difficulty_is_asked(corpus: str) -> None:
    asked = {question.type for question in the_questions(corpus)}
    assert TYPES - asked <= {"across tables"}


def test_every_piece_of_evidence_stands_where_it_says(corpus: str) -> None:
    for question in the_questions(corpus):
        for span in question.evidence:
            text = the_texts(corpus)[span.document_id]
            assert text[span.start : span.end] == span.text, question.id
            assert text.count(span.text) == 1, question.id


def test_evidence_is_whole_sentences_or_rows(corpus: str) -> None:
    text = longest_text(corpus)
    starts, ends = (set(edges) for edges in zip(*split_sentences(text), strict=True))
    for question in the_questions(corpus):
        for span in question.evidence:
            assert span.start in starts, question.id
            assert span.end in ends, question.id


def test_every_answer_stands_in_its_evidence(corpus: str) -> None:
    for question in the_questions(corpus):
        for answer in question.answers:
            assert answer, question.id
            assert any(answer in span.text for span in question.evidence), question.id


def test_an_answerable_question_has_one_answer_and_a_list_several(corpus: str) -> None:
    for question in the_questions(corpus, *(TYPES - {"unanswerable", "list"})):
        assert len(question.answers) == 1, question.id
        assert question.evidence, question.id
    for question in the_questions(corpus, "list"):
        assert len(question.answers) >= 3, question.id


def test_an_unanswerable_question_has_neither_answer_nor_evidence(corpus: str) -> None:
    for question in the_questions(corpus, "unanswerable"):
        assert question.answers == (), question.id
        assert question.evidence == (), question.id


def test_a_question_over_several_places_has_evidence_apart(corpus: str) -> None:
    for question in the_questions(corpus, "two passages", "across tables"):
        places = sorted((span.start, span.end) for span in question.evidence)
        assert len(places) >= 2, question.id
        # Further apart than one chunk reaches, or one passage would do.
        assert places[-1][0] - places[0][1] > 1_000, question.id


def test_a_paraphrase_shares_no_term_with_its_evidence(corpus: str) -> None:
    for question in the_questions(corpus, "paraphrase"):
        found = {term for span in question.evidence for term in terms(span.text)}
        assert not found & set(terms(question.question)), question.id


def test_the_answer_to_an_overruled_question_stands_only_in_the_amendment(corpus: str) -> None:
    text = longest_text(corpus)
    amendments = text.index(AMENDMENTS[corpus])
    for question in the_questions(corpus, "overruled"):
        for span in question.evidence:
            holds_answer = any(answer in span.text for answer in question.answers)
            assert holds_answer == (span.start > amendments), question.id


def test_a_question_does_not_repeat_its_answer(corpus: str) -> None:
    for question in the_questions(corpus):
        for answer in question.answers:
            assert answer.lower() not in question.question.lower(), question.id
