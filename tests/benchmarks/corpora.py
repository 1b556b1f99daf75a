"""The README's figures: each bundled corpus, asked its own questions.

    make figures

Everything is made anew in a temporary folder with the defaults of an installation. Printed
is a Markdown table, one column a corpus. Characters of evidence count as found where a hit
or passage covers them.
"""

import json
import shutil
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import rag
from rag.types import By, Span

ROOT = Path(__file__).resolve().parents[2]
Question = dict[str, Any]


def measure(folder: Path) -> dict[str, str]:
    """Sync one corpus and ask it all of its questions."""
    lines = (folder / "questions.jsonl").read_text(encoding="utf-8").splitlines()
    questions = [json.loads(line) for line in lines]
    answerable = [question for question in questions if question["evidence"]]
    with rag.Corpus.open(folder) as corpus:
        started = time.perf_counter()
        corpus.sync()
        seconds = time.perf_counter() - started
        status = corpus.status()
        figures = {
            "tokens of text (o200k_base)": f"{_tokens(corpus):,}",
            "chunks": str(status.chunks),
            "first sync, model loaded": f"{seconds:.1f} s",
            "questions, of them without an answer": (
                f"{len(questions)}, {len(questions) - len(answerable)}"
            ),
        }
        for by in ("dense", "lexical", "fused"):
            figures[f"evidence in 5 hits, {by}"] = _mean(
                _found_in_hits(corpus, question, by) for question in answerable
            )
        for budget in (500, 1000):
            figures[f"questions with all evidence in {budget:,} tokens"] = _mean(
                _all_in_context(corpus, question, budget) for question in answerable
            )
        return figures | _answers(corpus, questions)


def _tokens(corpus: rag.Corpus) -> int:
    texts = (corpus.document(summary.id).text for summary in corpus.documents())
    return sum(rag.count_tokens(text) for text in texts)


def _found_in_hits(corpus: rag.Corpus, question: Question, by: By) -> float:
    hits = corpus.search(question["question"], k=5, by=by)
    return _covered(question, [(h.chunk.document_id, (h.chunk.start, h.chunk.end)) for h in hits])


def _all_in_context(corpus: rag.Corpus, question: Question, budget: int) -> float:
    passages = corpus.context(question["question"], budget=budget).passages
    spans = [(passage.document_id, (passage.start, passage.end)) for passage in passages]
    return float(_covered(question, spans) == 1.0)


def _covered(question: Question, spans: Sequence[tuple[str, Span]]) -> float:
    """Tell which share of the evidence's characters the spans cover."""
    wanted = {
        (evidence["document_id"], place)
        for evidence in question["evidence"]
        for place in range(evidence["start"], evidence["end"])
    }
    covered = {
        (document_id, place) for document_id, (start, end) in spans for place in range(start, end)
    }
    return len(wanted & covered) / len(wanted)


def _answers(corpus: rag.Corpus, questions: Sequence[Question]) -> dict[str, str]:
    """Ask the default answerer, which quotes."""
    right = quotes = exact = refused = refused_wrongly = 0
    for question in questions:
        answer = corpus.ask(question["question"])
        refused += answer.refused and not question["evidence"]
        refused_wrongly += answer.refused and bool(question["evidence"])
        said = " ".join(citation.quote for citation in answer.citations)
        right += bool(question["answers"]) and all(part in said for part in question["answers"])
        for citation in answer.citations:
            text = corpus.document(citation.document_id).text
            quotes += 1
            exact += text[citation.start : citation.end] == citation.quote
    answerable = sum(bool(question["evidence"]) for question in questions)
    return {
        "answer quoted in full, without a model": f"{right} of {answerable}",
        "quotations that hold": f"{exact} of {quotes}",
        "refused where there is no answer": f"{refused} of {len(questions) - answerable}",
        "refused where there is one": f"{refused_wrongly} of {answerable}",
    }


def _mean(values: Iterable[float]) -> str:
    listed = list(values)
    return f"{sum(listed) / len(listed):.2f}"


def figures() -> list[list[str]]:
    """Measure every corpus; returns the rows of a table, the first one its head."""
    names = sorted(path.parent.name for path in ROOT.glob("corpora/*/questions.jsonl"))
    columns = []
    with tempfile.TemporaryDirectory() as temporary:
        for name in names:
            folder = Path(temporary) / name
            shutil.copytree(ROOT / "corpora" / name, folder, ignore=shutil.ignore_patterns(".rag"))
            columns.append(measure(folder))
    return [["", *names], *([label, *(c[label] for c in columns)] for label in columns[0])]


def main() -> None:
    """Print the table."""
    head, *rows = figures()
    for row in (head, ["---", *("---:" for _ in head[1:])], *rows):
        sys.stdout.write(f"| {' | '.join(row)} |\n")


if __name__ == "__main__":
    main()
