"""The example corpora: texts long enough to matter, and questions whose evidence stands there."""

import json
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

from rag.documents.folder import list_files
from rag.documents.loaders import is_supported, load
from rag.sentences import split_sentences
from rag.synthesis.matching import key_terms
from rag.terms import language, terms
from rag.tokens import count_tokens
from rag.types import Span

CORPORA = Path(__file__).resolve().parent.parent / "corpora"
TYPES = {
    "fact",
    "number",
    "condition",
    "exception",
    "two passages",
    "across documents",
    "paraphrase",
    "list",
    "overruled",
    "unanswerable",
}
OTHER_LANGUAGE = {"harbour-manual": "zh", "county-gazetteer": "en"}
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
    language: str | None = None
    """Where it is not that of the texts."""


def the_questions(corpus: str, *types: str) -> list[Question]:
    """Read a corpus's questions, those of some types or all; an unknown field is a TypeError."""
    found = []
    for line in (CORPORA / corpus / "questions.jsonl").read_text(encoding="utf-8").splitlines():
        fields = json.loads(line)
        evidence = tuple(Evidence(**span) for span in fields.pop("evidence"))
        answers = tuple(fields.pop("answers"))
        found.append(Question(answers=answers, evidence=evidence, **fields))
    return [question for question in found if not types or question.type in types]


def the_files(corpus: str) -> list[Path]:
    return [file.path for file in list_files(CORPORA / corpus, is_supported=is_supported).files]


@cache
def the_texts(corpus: str) -> dict[str, str]:
    """Load every document that a sync would find."""
    return {path.name: load(path).text for path in the_files(corpus)}


@cache
def the_sentences(corpus: str) -> dict[str, list[Span]]:
    return {name: split_sentences(text) for name, text in the_texts(corpus).items()}


def repeated_share(texts: Iterable[str], unit: str, n: int) -> float:
    """Tell which share of all runs of n units stands in the texts more than once."""
    runs: Counter[tuple[str, ...]] = Counter()
    for text in texts:
        units = re.findall(unit, text.lower())
        runs.update(tuple(units[start : start + n]) for start in range(len(units) - n + 1))
    return sum(count for count in runs.values() if count > 1) / runs.total()


pytestmark = pytest.mark.parametrize("corpus", sorted(UNITS))


def test_a_corpus_has_many_formats_and_neither_questions_nor_source(corpus: str) -> None:
    listing = list_files(CORPORA / corpus, is_supported=is_supported)
    assert len(listing.files) >= 5
    assert {file.path.suffix for file in listing.files} == {".md", ".txt", ".html", ".pdf"}
    left_out = {skipped.id for skipped in listing.skipped}
    assert {"SOURCE.md", "questions.jsonl"} <= left_out
    assert listing.failed == []


def test_the_texts_are_many_times_a_small_window_and_one_is_a_book(corpus: str) -> None:
    tokens = {name: count_tokens(text) for name, text in the_texts(corpus).items()}
    assert sum(tokens.values()) >= 25_000
    books = [path for path in the_files(corpus) if tokens[path.name] >= 8_000]
    assert max(len(load(path).sections) for path in books) >= 10


def test_the_texts_say_hardly_anything_twice(corpus: str) -> None:
    unit, n = UNITS[corpus]
    assert repeated_share(the_texts(corpus).values(), unit, n) < 0.02


def test_a_text_is_clean(corpus: str) -> None:
    for path in the_files(corpus):
        text = the_texts(corpus)[path.name]
        assert "\r" not in text
        assert "\ufffd" not in text
        assert text.endswith("\n") or path.suffix in {".html", ".pdf"}
        assert not re.search(r"[ \t]\n", text)


def test_a_pdf_has_pages_headings_and_a_table_and_its_running_lines_are_no_text(
    corpus: str,
) -> None:
    for path in the_files(corpus):
        if path.suffix == ".pdf":
            document = load(path)
            assert len(document.pages) >= 3
            assert len(document.sections) >= 5
            title = document.title.split("（")[0]
            lines = document.text.split("\n")
            assert lines[0].startswith(title)
            assert sum(line.startswith(title) and len(line) < 40 for line in lines) == 1
            last = len(document.pages)
            left_out = f"# (1-{last}); {lines[0]} (2-{last})"
            assert dict(document.metadata)["running_lines"] == left_out
            assert "|" in path.with_suffix(".pdf.md").read_text(encoding="utf-8")


def test_the_pdfs_are_what_the_script_makes(corpus: str, tmp_path: Path) -> None:
    for source in (CORPORA / corpus).glob("*.pdf.md"):
        shutil.copy(source, tmp_path)
    script = [sys.executable, str(CORPORA / "make_pdfs.py"), str(tmp_path)]
    subprocess.run(script, check=True, timeout=120)
    made = {path.name: path.read_bytes() for path in tmp_path.glob("*.pdf")}
    assert made == {path.name: path.read_bytes() for path in (CORPORA / corpus).glob("*.pdf")}


def test_sixty_questions_are_asked_ten_of_them_in_the_other_language(corpus: str) -> None:
    questions = the_questions(corpus)
    assert len(questions) >= 60
    assert len(the_questions(corpus, "unanswerable")) >= 10
    other = OTHER_LANGUAGE[corpus]
    foreign = [question for question in questions if question.language is not None]
    assert len(foreign) >= 10
    assert {question.language for question in foreign} == {other}
    assert {question.id for question in questions if language(question.question) == other} == {
        question.id for question in foreign
    }


def test_ids_and_questions_are_unique_and_types_known(corpus: str) -> None:
    questions = the_questions(corpus)
    assert len({question.id for question in questions}) == len(questions)
    assert len({question.question for question in questions}) == len(questions)
    assert {question.type for question in questions} <= TYPES


def test_every_kind_of_difficulty_is_asked_several_times(corpus: str) -> None:
    asked = Counter(question.type for question in the_questions(corpus))
    assert set(asked) == TYPES
    assert min(asked.values()) >= 5


def test_every_piece_of_evidence_stands_where_it_says_and_nowhere_else(corpus: str) -> None:
    for question in the_questions(corpus):
        for span in question.evidence:
            text = the_texts(corpus)[span.document_id]
            assert text[span.start : span.end] == span.text, question.id
            assert text.count(span.text) == 1, question.id


def test_evidence_is_whole_sentences_or_rows(corpus: str) -> None:
    for question in the_questions(corpus):
        for span in question.evidence:
            starts, ends = zip(*the_sentences(corpus)[span.document_id], strict=True)
            assert span.start in starts, question.id
            assert span.end in ends, question.id


def test_evidence_lies_in_every_format(corpus: str) -> None:
    spans = {span for question in the_questions(corpus) for span in question.evidence}
    found = Counter(Path(span.document_id).suffix for span in spans)
    assert set(found) == {".md", ".txt", ".html", ".pdf"}
    assert min(found.values()) >= 3


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


def test_no_sentence_says_all_that_an_unanswerable_question_asks_about(corpus: str) -> None:
    for question in the_questions(corpus, "unanswerable"):
        if question.language is not None:
            continue  # Its words stand in no text of the other language.
        wanted = key_terms(question.question)
        for name, text in the_texts(corpus).items():
            for start, end in the_sentences(corpus)[name]:
                held = wanted & set(terms(text[start:end]))
                assert held != wanted, (question.id, text[start:end])


def test_two_passages_of_a_document_lie_further_apart_than_a_chunk_reaches(corpus: str) -> None:
    for question in the_questions(corpus, "two passages"):
        assert len({span.document_id for span in question.evidence}) == 1, question.id
        places = sorted((span.start, span.end) for span in question.evidence)
        assert len(places) >= 2, question.id
        assert places[-1][0] - places[0][1] > 1_000, question.id


def test_a_question_across_documents_has_evidence_in_two(corpus: str) -> None:
    for question in the_questions(corpus, "across documents"):
        assert len({span.document_id for span in question.evidence}) >= 2, question.id


def test_a_paraphrase_shares_no_term_with_its_evidence(corpus: str) -> None:
    for question in the_questions(corpus, "paraphrase"):
        found = {term for span in question.evidence for term in terms(span.text)}
        assert not found & set(terms(question.question)), question.id


def test_a_question_does_not_repeat_its_answer(corpus: str) -> None:
    for question in the_questions(corpus):
        for answer in question.answers:
            assert answer.lower() not in question.question.lower(), question.id
