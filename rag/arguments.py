"""What is typed behind a command, and what is meant by it."""

# ruff: noqa: PLC0415 - the corpus is imported when a command needs it.

import json
import logging
import math
import os
import re
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rag.errors import CorpusNotFound
from rag.types import Document, Scalar, Span

if TYPE_CHECKING:
    from rag.corpus import Corpus


def _log_all(wanted: bool) -> None:  # noqa: FBT001 - typer calls it so
    if wanted:
        logging.basicConfig(stream=sys.stderr, format="%(relativeCreated)6.0f ms  %(message)s")
        logging.getLogger("rag").setLevel(logging.DEBUG)


CorpusFolder = Annotated[
    Path | None,
    typer.Option(
        "--corpus",
        metavar="DIR",
        show_default=False,
        help="The corpus. Default: the current folder, or the nearest above it with an index.",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of text.")]
Debug = Annotated[
    bool,
    typer.Option(
        "--debug", callback=_log_all, help="Log each step, and show where an error arose."
    ),
]
Filters = Annotated[
    list[str] | None,
    typer.Option(
        "--where",
        metavar="FIELD=VALUE",
        show_default=False,
        help="Only documents with this document_id, folder, suffix, title or metadata.KEY. "
        "May be repeated: values of one field are alternatives, different fields must all hold.",
    ),
]


def open_corpus(
    folder: Path | None, *, model: str | None = None, as_made: bool = False
) -> "Corpus":
    """Open the corpus that is named, or the one that the current folder belongs to.

    ``as_made``: with the embedder of its index, whatever the settings name.
    """
    from rag.corpus import Corpus, find_corpus
    from rag.settings import load_settings, naming_embedder

    here = Path.cwd()
    folder = folder or find_corpus(here)
    if folder is None:
        message = (
            f"no corpus in {here} or above it; name one by --corpus DIR, or make this folder one: "
            "rag sync"
        )
        raise CorpusNotFound(message, path=str(here))
    if as_made:
        return Corpus.open(folder, settings=naming_embedder(load_settings(folder), None))
    if model is None:
        return Corpus.open(folder)
    return Corpus.open(
        folder, settings=load_settings(folder, overrides={"synthesis": {"model": model}})
    )


def read_where(pairs: Sequence[str] | None) -> dict[str, list[Scalar]] | None:
    """Read FIELD=VALUE; whether the field exists is for the corpus to say."""
    found: dict[str, list[Scalar]] = {}
    for pair in pairs or ():
        field, equals, value = pair.partition("=")
        if not field or not equals:
            message = f"{pair!r} is not FIELD=VALUE, as in suffix=.pdf"
            raise typer.BadParameter(message, param_hint="--where")
        found.setdefault(field, []).append(value)
        if field.startswith("metadata."):
            found[field].extend(_as_number(value))
    return found or None


def _as_number(value: str) -> list[Scalar]:
    """Read a value as the number or truth that metadata may hold in its place."""
    with suppress(ValueError, OverflowError):
        read = json.loads(value)
        if isinstance(read, bool | int | float) and math.isfinite(read):
            return [read]
    return []


def find_place(corpus: "Corpus", name: str, *, at: str | None) -> tuple[Document, Span | None]:
    """Find a document, and the span in it that is meant; None: its beginning.

    Parameters
    ----------
    name : the document's id, or the path of its file from here; ``:LINE`` may follow, and what
        `rag search` prints behind it.
    at : START or START-END, which goes before a line; START alone stands for its line.
    """
    ids = {summary.id for summary in corpus.documents()}
    bare, _, number = name.partition(" · ")[0].rpartition(":")
    for path, line in ((name, None), (bare, number if number.isdecimal() else None)):
        id_ = _id_of(path, ids=ids, folder=corpus.path)
        if id_ is not None and (line is not None or path == name):
            document = corpus.document(id_)
            return document, _line(line, document) if at is None else _span(at, document)
    return corpus.document(name), None  # It says that there is none, and names the nearest.


def find_ids(corpus: "Corpus", names: Sequence[str]) -> list[str]:
    """Find the ids that are meant; what is neither one nor a path to one stays as it is."""
    ids = {summary.id for summary in corpus.documents()}
    return [
        _id_of(name, ids=ids, folder=corpus.path) or _path_below(name, corpus.path) or name
        for name in names
    ]


def _id_of(path: str, *, ids: set[str], folder: Path) -> str | None:
    below = Path(os.path.relpath(Path.cwd() / path, folder)).as_posix()
    return next((id_ for id_ in (path, below) if id_ in ids), None)


def _path_below(path: str, folder: Path) -> str | None:
    """Give the path of a file from the corpus on; None where it lies elsewhere or nowhere."""
    below = Path(os.path.relpath(Path.cwd() / path, folder))
    return below.as_posix() if below.parts[:1] != ("..",) and (folder / below).is_file() else None


def _line(number: str | None, document: Document) -> Span | None:
    """Find where a line begins."""
    if number is None:
        return None
    starts = [0, *(match.end() for match in re.finditer("\n", document.text.rstrip("\n")))]
    if not 1 <= int(number) <= len(starts):
        message = f"there is no line {number} in {document.id!r}, which has {len(starts):,}"
        raise typer.BadParameter(message, param_hint="DOC")
    start = starts[int(number) - 1]
    return start, start


def _span(at: str, document: Document) -> Span:
    """Read START or START-END; commas group digits, as `rag show` writes them itself."""
    match = re.fullmatch(r"(\d+)(?:[-–](\d+))?", at.strip().replace(",", ""))
    if match is None:
        message = f"{at!r} is neither START nor START-END, as in 5163-5920"
        raise typer.BadParameter(message, param_hint="--at")
    start, end = int(match[1]), int(match[2] or match[1])
    characters = len(document.text)
    if end < start:
        message = f"{at!r} ends before it starts"
    elif start >= characters or end > characters:
        message = f"{at} is outside of {document.id!r}, which has {characters:,} characters"
    else:
        return start, end
    raise typer.BadParameter(message, param_hint="--at")
