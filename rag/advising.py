"""The command ``rag tune``: what settings would find more, if there are any.

As in `rag.commands`, what a command needs is imported when it runs.
"""

# ruff: noqa: PLC0415 - as the sentence above says.

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rag.arguments import CorpusFolder, Debug, Json, open_corpus
from rag.commands import app
from rag.errors import CorpusError
from rag.judging import Questions, Seed, make
from rag.manual import Command
from rag.terminal import Screen, number

if TYPE_CHECKING:
    from rag.corpus import Corpus
    from rag.questions import Question
    from rag.tuning import Changes

_GENERATED = 200
"""Questions that are made where there is no file. The interval of 100 differences, whose spread
is some .4, reaches .08 to either side."""


@app.command(
    cls=Command,
    short_help="Find settings that find more, if there are any.",
    epilog="""
    Examples:
      rag tune                                 by questions.jsonl, or questions it makes
      rag tune my-questions.jsonl --only retrieval.dense_weight
      rag tune --write                         puts what holds into rag.toml

    Settings are chosen by one half of the questions and checked by the other; what does not
      hold there is not recommended. The index is only read: chunks of other sizes are
      embedded into a temporary folder, which takes as long as a first sync for each size.

    JSON: {path, questions, n_train, n_test, figure, trials: [{changes: {key: value}, mean}],
      chosen: {key: value}, recommended: {key: value}, check: {figure, first, second,
      difference, low, high, n, verdict} or null, left_out: [setting], written}
      questions is null where they were made; written is the file, or null.
    """,
)
def tune(
    questions: Questions = None,
    *,
    only: Annotated[
        list[str] | None,
        typer.Option(metavar="KEY", help="Try only this setting; may be repeated."),
    ] = None,
    budget: Annotated[
        int, typer.Option(metavar="TOKENS", help="Of the contexts whose evidence counts.")
    ] = 1000,
    write: Annotated[
        bool, typer.Option("--write", help="Put what is recommended into rag.toml.")
    ] = False,
    seed: Seed = 0,
    corpus: CorpusFolder = None,
    as_json: Json = False,
    _debug: Debug = False,
) -> None:
    """Find settings that find more on your documents, if there are any."""
    from rag import figures, shapes
    from rag.settings import value_of
    from rag.tuning import tune as find

    screen = Screen()
    with open_corpus(corpus) as opened:
        asked, path = _questions_to_tune_by(screen, opened, questions, seed=seed)
        trials = 0

        def told(changes: "Changes") -> None:
            nonlocal trials
            trials += 1
            tell(f"trial {trials}: {figures.said(changes)}")

        with screen.waiting("halving the questions") as tell:
            found = find(opened, asked, keys=only, budget=budget, seed=seed, progress=told)
        now = {key: value_of(opened.settings, key) for key in found.chosen}
        written = _write_settings(opened.path, found.recommended) if write else None
        folder, model = opened.path, opened.status().embedder
    if as_json:
        screen.json(shapes.describe_tuning(found, path=folder, questions=path, written=written))
        return
    figures.print_tuning(screen, found, defaults=now)
    if found.recommended:
        screen.note(_what_now(found.recommended, written, model=model))


def _what_now(changes: "Changes", written: Path | None, *, model: str | None) -> str:
    """Tell how what is recommended comes into force."""
    from rag.settings import load_settings, value_of

    advice = "rag tune --write puts it there" if written is None else f"written to {written}"
    if any(key.startswith("documents.") for key in changes):
        advice += f"; then make the index again: rag reembed --embedder {model}"
    if written is not None:
        settings = load_settings(written.parent)
        for key, value in changes.items():
            if value_of(settings, key) != value:
                name = f"RAG_{key.replace('.', '__').upper()}"
                advice += f"; {name} in the environment still says otherwise, and wins"
    return advice


def _questions_to_tune_by(
    screen: Screen, corpus: "Corpus", path: Path | None, *, seed: int
) -> "tuple[list[Question], Path | None]":
    """Read the questions; where the corpus has none, make some."""
    from rag.questions import FILE_NAME, read_questions

    own = corpus.path / FILE_NAME
    if path is None and not own.is_file():
        made, _ = make(corpus, n=_GENERATED, seed=seed)
        screen.note(
            f"there is no {FILE_NAME}: {number(len(made), 'question')} were made of the documents, "
            "which copy their words; real ones tell more"
        )
        return made, None
    path = path or own
    return read_questions(path, document_of=corpus.document), path


def _write_settings(folder: Path, changes: "Changes") -> Path | None:
    """Put settings into rag.toml; None where there are none."""
    from rag.settings import FILE_NAME, written_into

    if not changes:
        return None
    path = folder / FILE_NAME
    try:
        text = path.read_text(encoding="utf-8-sig") if path.is_file() else ""
        path.write_text(written_into(text, changes), encoding="utf-8")
    except OSError as error:
        message = f"{path} cannot be written: {error.strerror}; put the lines in by hand"
        raise CorpusError(message, path=str(folder)) from error
    return path
