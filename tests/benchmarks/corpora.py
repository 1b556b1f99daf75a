"""The README's figures: each bundled corpus, asked its own questions.

    make figures

Everything is made anew in a temporary folder with the defaults of an installation. Printed
is a Markdown table, one column a corpus. Characters of evidence count as found where a hit
or passage covers them.
"""

import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import rag
from rag.evaluation import Row, summarize
from rag.measuring import Measured, measure
from rag.questions import FILE_NAME, read_questions

ROOT = Path(__file__).resolve().parents[2]
BUDGETS = (500, 1000)


def figures_of(folder: Path) -> dict[str, str]:
    """Sync one corpus and ask it all of its questions."""
    with rag.Corpus.open(folder) as corpus:
        started = time.perf_counter()
        corpus.sync()
        seconds = time.perf_counter() - started
        questions = read_questions(folder / FILE_NAME, document_of=corpus.document)
        fused = measure(corpus, questions, how=Measured(k=5, budgets=BUDGETS, answers=True))
        means = {figure: f"{found.mean:.2f}" for figure, found in summarize(fused).items()}
        figures = {
            "tokens of text (o200k_base)": f"{_tokens(corpus):,}",
            "chunks": str(corpus.status().chunks),
            "first sync, model loaded": f"{seconds:.1f} s",
            "questions, of them without an answer": (
                f"{len(questions)}, {sum(not question.evidence for question in questions)}"
            ),
        }
        for by in ("dense", "lexical"):
            alone = measure(corpus, questions, how=Measured(k=5, budgets=(), by=by))
            figures[f"evidence in 5 hits, {by}"] = f"{summarize(alone)['recall@5'].mean:.2f}"
        figures["evidence in 5 hits, fused"] = means["recall@5"]
        for budget in BUDGETS:
            label = f"questions with all evidence in {budget:,} tokens"
            figures[label] = means[f"all_evidence@{budget}"]
        return figures | _answers(fused)


def _tokens(corpus: rag.Corpus) -> int:
    texts = (corpus.document(summary.id).text for summary in corpus.documents())
    return sum(rag.count_tokens(text) for text in texts)


def _answers(rows: Sequence[Row]) -> dict[str, str]:
    """Tell what the default answerer, which quotes, has given."""
    quoted = [row.figures for row in rows if "quotations" in row.figures]
    given = sum(figures["quotations"] for figures in quoted)
    exact = sum(figures["quotations"] * figures["quotation_exact"] for figures in quoted)
    return {
        "answer quoted in full, without a model": _counted(rows, "answer_contained", 1),
        "quotations that hold": f"{exact:.0f} of {given:.0f}",
        "refused where there is no answer": _counted(rows, "refused", 1),
        "refused where there is one": _counted(rows, "answered", 0),
    }


def _counted(rows: Sequence[Row], figure: str, value: float) -> str:
    values = [row.figures[figure] for row in rows if figure in row.figures]
    return f"{values.count(value)} of {len(values)}"


def figures() -> list[list[str]]:
    """Measure every corpus; returns the rows of a table, the first one its head."""
    names = sorted(path.parent.name for path in ROOT.glob("corpora/*/questions.jsonl"))
    columns = []
    with tempfile.TemporaryDirectory() as temporary:
        for name in names:
            folder = Path(temporary) / name
            shutil.copytree(ROOT / "corpora" / name, folder, ignore=shutil.ignore_patterns(".rag"))
            columns.append(figures_of(folder))
    return [["", *names], *([label, *(c[label] for c in columns)] for label in columns[0])]


def main() -> None:
    """Print the table."""
    head, *rows = figures()
    for row in (head, ["---", *("---:" for _ in head[1:])], *rows):
        sys.stdout.write(f"| {' | '.join(row)} |\n")


if __name__ == "__main__":
    main()
