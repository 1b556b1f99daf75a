"""The command ``rag eval``: how much a corpus finds, by questions whose answers are known.

As in `rag.commands`, what a command needs is imported when it runs.
"""

# ruff: noqa: PLC0415 - as the sentence above says.

import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rag.arguments import CorpusFolder, Debug, Json, open_corpus
from rag.commands import app
from rag.manual import Command
from rag.terminal import Screen, number
from rag.types import By

if TYPE_CHECKING:
    from rag.corpus import Corpus
    from rag.evaluation import Comparison, Row
    from rag.measuring import Measured
    from rag.questions import Question

Questions = Annotated[Path | None, typer.Argument(metavar="[QUESTIONS]", hidden=True)]
Seed = Annotated[int, typer.Option(metavar="N", help="Another one draws other questions.")]


@app.command(
    "eval",
    cls=Command,
    short_help="Measure what is found, by questions with known answers.",
    epilog="""
    Examples:
      rag eval                                   questions.jsonl of the corpus
      rag eval my-questions.jsonl --by-type --answers
      rag eval --set retrieval.dense_weight=0.5  as it is, against a changed setting
      rag eval --rows before.jsonl               a line a question; later, after a change:
      rag eval --compare before.jsonl after.jsonl
      rag eval --generate 100                    make questions from the documents
      rag eval --plot figures.html               or .png, which takes rag[notebooks]

    QUESTIONS has one JSON object a line: {"id", "question", "answers": [text],
      "evidence": [{"document_id", "start", "end", "text"}], "type"}; no evidence means that
      the documents do not answer. The interval holds for other questions of the same kind;
      "better" and "worse" are said only where the interval of the difference leaves out 0.
    Made questions repeat words of the text. They show what is broken, and compare chunk
      sizes; they do not tell how well people find what they ask in words of their own.

    JSON: {path, questions, n_questions, n_unanswerable, k, budgets: [tokens], by,
      set: {key: value}, indexed, figures: {key: {mean, low, high, n}},
      by_type: {key: {figure: {mean, low, high, n}}}, comparison: [{figure, first, second,
      difference, low, high, n, verdict}] or null}
    With --compare: {first, second, n_only_first, n_only_second, comparison: [as above]}
    With --generate: {path, types: {type: n}, rejected: {reason: n}}
    """,
)
def evaluate(  # noqa: PLR0913 - each is an option of the command.
    questions: Questions = None,
    *,
    k: Annotated[int, typer.Option("-k", metavar="N", help="How many hits are judged.")] = 10,
    budget: Annotated[
        list[int] | None,
        typer.Option(metavar="TOKENS", help="Of a context; may be repeated. Default: 500, 1000."),
    ] = None,
    by: Annotated[By, typer.Option(help="The ranking that is judged.")] = "fused",
    answers: Annotated[
        bool, typer.Option("--answers", help="Answer every question, and judge that too.")
    ] = False,
    by_type: Annotated[
        bool, typer.Option("--by-type", help="Also by the type of the questions.")
    ] = False,
    changes: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Compare with this setting changed."),
    ] = None,
    compare: Annotated[
        tuple[Path, Path] | None,
        typer.Option(metavar="A B", help="Compare two files that --rows wrote."),
    ] = None,
    rows: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write a line a question; with --set, the changed run."),
    ] = None,
    plot: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Draw the figures: .html or .png.")
    ] = None,
    generate: Annotated[
        int | None, typer.Option(metavar="N", help="Make N questions, and write QUESTIONS.")
    ] = None,
    seed: Seed = 0,
    model: Annotated[
        str | None, typer.Option(metavar="NAME", help="A chat model, as for ask.")
    ] = None,
    corpus: CorpusFolder = None,
    as_json: Json = False,
    _debug: Debug = False,
) -> None:
    """Measure what is found and answered, by questions whose answers and places are known."""
    screen = Screen()
    if plot is not None and plot.suffix not in {".html", ".png"}:
        message = f"{str(plot)!r} ends in neither .html nor .png"
        raise typer.BadParameter(message, param_hint="--plot")
    if compare is not None:
        _compare_files(screen, *compare, as_json=as_json)
        return
    with open_corpus(corpus, model=model) as opened:
        if generate is not None:
            _generate(screen, opened, questions, n=generate, seed=seed, as_json=as_json)
            return
        from rag.measuring import BUDGETS, Measured

        how = Measured(k=k, budgets=tuple(budget or BUDGETS), by=by, answers=answers)
        path = questions or _own_questions(opened)
        if rows is not None and rows.resolve() == path.resolve():
            message = "it would be written over the questions; name another file"
            raise typer.BadParameter(message, param_hint="--rows")
        run = _measure(screen, opened, path, how=how, changes=_read_changes(changes))
    if rows is not None:
        from rag.questions import write_rows

        write_rows(rows, run.rows if run.changed is None else run.changed)
    if plot is not None:
        _draw(plot, run, by_type=by_type)
    _report(screen, run, by_type=by_type, as_json=as_json)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Run:
    """What was measured, of what, and how."""

    corpus: Path
    path: Path
    questions: "Sequence[Question]"
    how: "Measured"
    rows: "Sequence[Row]"
    changes: Mapping[str, str]
    changed: "Sequence[Row] | None"
    """Under the changed settings; None where none was changed."""
    indexed: bool
    """Whether the questions are themselves a document of the corpus."""

    @property
    def comparison(self) -> "list[Comparison] | None":
        from rag.evaluation import compare

        return None if self.changed is None else compare(self.rows, self.changed)

    @property
    def names(self) -> tuple[str, str]:
        """What the two runs are called."""
        return "as it is", ", ".join(f"{key} = {value}" for key, value in self.changes.items())


def _own_questions(corpus: "Corpus") -> Path:
    from rag.questions import FILE_NAME

    path = corpus.path / FILE_NAME
    if not path.is_file():
        message = (
            f"there is no {FILE_NAME} in {corpus.path}; name a file, or make one: "
            "rag eval --generate 100"
        )
        raise ValueError(message)
    return path


def _measure(
    screen: Screen,
    corpus: "Corpus",
    path: Path,
    *,
    how: "Measured",
    changes: Mapping[str, str],
) -> _Run:
    from rag.measuring import measure, reopen
    from rag.questions import read_questions
    from rag.settings import with_changes

    settings = with_changes(corpus.settings, changes)
    asked = read_questions(path, document_of=corpus.document)
    total = f"of {number(len(asked), 'question')}"
    changed = None
    with ExitStack() as stack:
        tell = stack.enter_context(screen.waiting(f"asking the first {total}"))
        rows = measure(corpus, asked, how=how, progress=lambda n: tell(f"asked {n:,} {total}"))
        if changes:
            tell("indexing under the changed settings")
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="rag-eval-"))
            other = stack.enter_context(reopen(corpus, settings, scratch=Path(folder)))
            changed = measure(
                other, asked, how=how, progress=lambda n: tell(f"changed: asked {n:,} {total}")
            )
    ids = {summary.id for summary in corpus.documents()}
    own = path.resolve()
    indexed = own.is_relative_to(corpus.path) and own.relative_to(corpus.path).as_posix() in ids
    return _Run(
        corpus=corpus.path,
        path=path,
        questions=asked,
        how=how,
        rows=rows,
        changes=changes,
        changed=changed,
        indexed=indexed,
    )


def _report(screen: Screen, run: _Run, *, by_type: bool, as_json: bool) -> None:
    from rag import figures, shapes

    unanswerable = sum(not question.evidence for question in run.questions)
    if as_json:
        screen.json(
            {
                "path": str(run.corpus),
                "questions": str(run.path),
                "n_questions": len(run.questions),
                "n_unanswerable": unanswerable,
                "k": run.how.k,
                "budgets": run.how.budgets,
                "by": run.how.by,
                "set": run.changes,
                "indexed": run.indexed,
                **shapes.describe_figures(run.rows),
                "comparison": shapes.describe_comparison(run.comparison),
            }
        )
    else:
        without = f", {unanswerable:,} without an answer" if unanswerable else ""
        screen.line(
            (run.corpus.name, "bold"), f" · {number(len(run.questions), 'question')}{without}"
        )
        screen.line()
        if run.comparison is not None:
            figures.print_comparison(screen, run.comparison, names=run.names)
        else:
            figures.print_figures(screen, run.rows)
        if by_type:
            figures.print_by_type(screen, run.rows if run.changed is None else run.changed)
    if run.indexed:
        screen.note(
            f"{run.path.name} is indexed as a document itself, so that questions find themselves; "
            "put it into .ragignore, and run rag sync",
            label="careful: ",
            style="yellow",
        )


def _draw(path: Path, run: _Run, *, by_type: bool) -> None:
    """Draw the figures that lie between 0 and 1, of both runs where there are two."""
    from rag import charts
    from rag.evaluation import by_type as parted
    from rag.evaluation import summarize
    from rag.measuring import label_of

    runs = [run.rows] if run.changed is None else [run.rows, run.changed]
    parts = [{"all questions": rows} | (parted(rows) if by_type else {}) for rows in runs]
    panels: dict[str, dict[str, list[Any]]] = {}
    for heading in parts[0]:
        found = [summarize(part[heading]) for part in parts]
        lines = {
            label_of(figure): [each[figure] for each in found]
            for figure in found[0]
            if max(each[figure].high for each in found) <= 1
        }
        if lines:
            panels[heading] = lines
    title = f"{run.corpus.name}: {number(len(run.questions), 'question')}"
    names = list(run.names[: len(runs)])
    try:
        if path.suffix == ".png":
            charts.save_png(path, title, panels, runs=names)
        else:
            path.write_text(charts.page(title, panels, runs=names), encoding="utf-8")
    except OSError as error:
        message = f"{str(path)!r} cannot be written: {error.strerror}"
        raise ValueError(message) from error


def _compare_files(screen: Screen, first: Path, second: Path, *, as_json: bool) -> None:
    from rag import figures, shapes
    from rag.evaluation import compare
    from rag.questions import read_rows

    one, two = read_rows(first), read_rows(second)
    found = compare(one, two)
    ids = [{row.id for row in rows} for rows in (one, two)]
    only = len(ids[0] - ids[1]), len(ids[1] - ids[0])
    if as_json:
        screen.json(
            {
                "first": str(first),
                "second": str(second),
                "n_only_first": only[0],
                "n_only_second": only[1],
                "comparison": shapes.describe_comparison(found),
            }
        )
        return
    figures.print_comparison(screen, found, names=(str(first), str(second)))
    if any(only):
        screen.note(
            f"questions that only one file has are left out: {only[0]} of the first, {only[1]} of "
            "the second"
        )


def _read_changes(pairs: Sequence[str] | None) -> dict[str, str]:
    """Read KEY=VALUE; what a setting may be is for the settings to say."""
    found = {}
    for pair in pairs or ():
        key, equals, value = pair.partition("=")
        if "." not in key or not equals:
            message = f"{pair!r} is not SECTION.KEY=VALUE, as in retrieval.dense_weight=0.5"
            raise typer.BadParameter(message, param_hint="--set")
        found[key.strip()] = value.strip()
    return found


def _generate(
    screen: Screen, corpus: "Corpus", path: Path | None, *, n: int, seed: int, as_json: bool
) -> None:
    """Make questions, write them, and keep them out of the index."""
    from rag import figures
    from rag.questions import FILE_NAME, write_questions

    path = corpus.path / FILE_NAME if path is None else path
    if path.exists():
        message = f"{str(path)!r} is there already; name another file: rag eval FILE --generate {n}"
        raise ValueError(message)
    with screen.waiting("making questions"):
        made, rejected = make(corpus, n=n, seed=seed)
    if not made:
        message = "no sentence or heading of these documents makes a question; are they synced?"
        raise ValueError(message)
    write_questions(path, made)
    own = path.resolve()
    inside = own.is_relative_to(corpus.path)
    ignored = corpus.leave_out(own.relative_to(corpus.path).as_posix()) if inside else ()
    counts = dict(sorted(Counter(question.type for question in made).items()))
    if as_json:
        screen.json({"path": str(path), "types": counts, "rejected": rejected})
        return
    figures.print_made(screen, counts, rejected)
    if len(made) < n:
        screen.note(f"the documents make no more than {number(len(made), 'question')}")
    added = "; .ragignore now keeps it out of the index" if ignored else ""
    screen.note(f"written to {path}{added}")


def make(corpus: "Corpus", *, n: int, seed: int) -> "tuple[list[Question], dict[str, int]]":
    """Make questions, a fifth of them by the chat model if there is one."""
    from rag.questioning import Made, ask_model, make_questions, numbered

    documents = [corpus.document(summary.id) for summary in corpus.documents()]
    asked = Made(questions=())
    if corpus.model is not None and n > 0:
        asked = ask_model(documents, max(1, n // 5), model=corpus.model, seed=seed)
    rest = n - len(asked.questions)
    others = make_questions(documents, rest, seed=seed) if rest or not n else []
    return numbered([*asked.questions, *others]), dict(asked.rejected)
