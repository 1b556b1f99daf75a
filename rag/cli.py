"""The command line: ``rag sync | search | ask | show | status``.

Standard output carries the result, for people or by ``--json`` for programs; everything else
goes to standard error. Exit codes:

====  ================================================================================
   0  done; also a question that was refused, and a search that found nothing
   1  something unexpected; ``--debug`` shows where
   2  the command cannot mean this: an option, a field, a document's name, a setting
   3  a document could not be read; the others are indexed
   4  the corpus: not found, locked by another process, damaged, made otherwise
   5  a model server failed
 130  stopped by Ctrl-C; 143: by SIGTERM
 141  nobody reads the output any more
====  ================================================================================

What a command needs is imported when it runs, so that ``rag --help`` stays fast.
"""

# ruff: noqa: PLC0415 - as the last sentence says.

import inspect
import json
import logging
import math
import os
import re
import signal
import sys
import traceback
from collections.abc import Sequence
from contextlib import suppress
from io import TextIOWrapper
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer
from typer.core import TyperCommand, TyperGroup

import rag
from rag import printing
from rag.errors import (
    CorpusError,
    CorpusNotFound,
    DocumentError,
    ProviderError,
    RagError,
    WindowExceeded,
)
from rag.terminal import Screen
from rag.types import By, Document, Scalar, SyncReport

if TYPE_CHECKING:
    from rag.corpus import Corpus

UNEXPECTED, USAGE, DOCUMENT, CORPUS, PROVIDER = 1, 2, 3, 4, 5
INTERRUPTED, TERMINATED, UNREAD = 130, 143, 141


# ---- help -------------------------------------------------------------------------------


class _Command(TyperCommand):
    """A command whose examples are printed as they are written."""

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        return [piece.strip("{}") for piece in super().collect_usage_pieces(ctx)]

    def get_help(self, ctx: Any) -> str:
        return _help(super().get_help(ctx), self.epilog)

    def format_epilog(self, ctx: Any, formatter: Any) -> None:
        """Leave it to `get_help`."""


class _Group(TyperGroup):
    """The list of commands, likewise."""

    def get_help(self, ctx: Any) -> str:
        return _help(super().get_help(ctx), self.epilog)

    def format_epilog(self, ctx: Any, formatter: Any) -> None:
        """Leave it to `get_help`."""


def _help(text: str, epilog: str | None) -> str:
    """Append the examples, and make headings stand out; typer undoes that in a pipe."""
    if epilog:
        text = f"{text.rstrip()}\n\n{inspect.cleandoc(epilog)}"
    if "NO_COLOR" in os.environ:
        return text
    return re.sub(r"(?m)^\w+:", lambda match: typer.style(match[0], bold=True), text)


# ---- options ----------------------------------------------------------------------------


def _show_version(wanted: bool) -> None:  # noqa: FBT001 - typer calls it so
    if wanted:
        typer.echo(f"rag {rag.__version__}")
        raise typer.Exit


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

app = typer.Typer(
    cls=_Group,
    add_completion=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback(
    invoke_without_command=True,
    epilog="""
    Examples:
      cd my-documents
      rag sync
      rag ask "When must the pilot be on board?"
    """,
)
def root(
    context: typer.Context,
    *,
    _version: Annotated[
        bool,
        typer.Option("--version", is_eager=True, callback=_show_version, help="Print the version."),
    ] = False,
    _debug: Debug = False,
) -> None:
    """Ask a folder of documents, and get answers with quotations that are checked.

    A corpus is a folder: your documents, and their index in .rag beside them.
    """
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


# ---- commands ---------------------------------------------------------------------------


@app.command(
    cls=_Command,
    short_help="Make the index equal to the folder.",
    epilog="""
    Examples:
      rag sync                      the corpus around the current folder, or a new one
      rag sync --dry-run            only say what would be done
      rag sync --corpus ~/manuals

    Files and folders that .ragignore names (patterns as in .gitignore) are left out.

    JSON: {path, dry_run, added: [id], updated: [id], moved: [{old, new}],
      removed: [id], unchanged: [id], failed: [{id, kind, error}],
      skipped: [{id, reason}], embedded, reused, repaired: [part], seconds}
    """,
)
def sync(
    *,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Change nothing.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="List every file.")] = False,
    corpus: CorpusFolder = None,
    as_json: Json = False,
    _debug: Debug = False,
) -> None:
    """Make the index equal to the folder: read what is new or changed, forget what is gone."""
    from rag.corpus import Corpus, find_corpus

    screen = Screen()
    folder = corpus or find_corpus(Path.cwd())
    if folder is None:
        folder = Path.cwd()
        would = "would become" if dry_run else "becomes"
        screen.note(f"{folder} {would} a corpus; its index lies in .rag, and can be deleted\n")
    with Corpus.open(folder) as opened:
        try:
            with screen.progress() as progress:
                report = opened.sync(dry_run=dry_run, progress=progress)
        except KeyboardInterrupt as stop:
            stop.add_note("what was indexed so far answers; run rag sync again to go on")
            raise
        if as_json:
            screen.json(printing.report_json(report, path=opened.path, dry_run=dry_run))
        else:
            printing.print_report(screen, report, dry_run=dry_run, all_names=verbose)
    if report.failed:
        raise typer.Exit(_code_of(report))


@app.command(
    cls=_Command,
    epilog="""
    Examples:
      rag search "who pays for the tug"
      rag search -k 3 --by lexical ISO-9001
      rag search 开闸 --where folder=rivers --where suffix=.md --where suffix=.txt
      rag search "night pilotage" --json | jq -r '.hits[].text'

    JSON: {query, by, k, where, hits: [{rank, score, document_id, start, end, text,
      headings: [title], pages: [first, last] or null, line}]}
      start and end count characters of the document, from 0; pages and lines from 1.
    """,
)
def search(
    query: Annotated[str, typer.Argument(metavar="QUERY", hidden=True)],
    *,
    k: Annotated[int, typer.Option("-k", metavar="N", help="How many hits.")] = 10,
    by: Annotated[
        By, typer.Option(help="Meaning and words fused, meaning alone, or words alone.")
    ] = "fused",
    where: Filters = None,
    corpus: CorpusFolder = None,
    as_json: Json = False,
    _debug: Debug = False,
) -> None:
    """Find the passages that answer a query best."""
    screen = Screen()
    chosen = _where(where)
    with _open(corpus) as opened:
        hits = opened.search(query, k=k, where=chosen, by=by)
        places = printing.Places(opened.document)
        if as_json:
            found = [printing.hit_json(hit, places) for hit in hits]
            screen.json({"query": query, "by": by, "k": k, "where": chosen, "hits": found})
        elif hits:
            printing.print_hits(screen, hits, places, query=query)
        else:
            screen.note(f"nothing found for {query!r}")


@app.command(
    cls=_Command,
    short_help="Answer a question with quotations.",
    epilog="""
    Examples:
      rag ask "When must the pilot be on board?"
      rag ask 没有装滴灌设备的茶园喷灌，每立方米收多少水费？
      rag ask --model qwen3 "Who pays for the tug?"

    Without a model the answer is quoted: the best sentences, word for word.
    A refusal is an answer too, with exit code 0.

    JSON: {question, text, refused, refusal: why or null,
      citations: [{marker, document_id, start, end, quote, pages, line, headings, by}],
      rejected: [{marker, quote, reason}], unknown_markers: [marker], unsupported: [sentence],
      context: {tokens, budget, passages: [{marker, document_id, start, end, tokens, pages,
      line, headings}], dropped: [{document_id, start, end}]},
      model, usage: {prompt_tokens, completion_tokens, calls, seconds}, finish_reason}
    """,
)
def ask(
    question: Annotated[str, typer.Argument(metavar="QUESTION", hidden=True)],
    *,
    budget: Annotated[
        int | None,
        typer.Option(
            metavar="TOKENS", help="The most text that is read. Default: a setting, 6000."
        ),
    ] = None,
    where: Filters = None,
    model: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="A chat model of the server at OPENAI_BASE_URL."),
    ] = None,
    corpus: CorpusFolder = None,
    as_json: Json = False,
    _debug: Debug = False,
) -> None:
    """Answer a question from the documents, with quotations that are checked."""
    screen = Screen()
    chosen = _where(where)
    with _open(corpus, model=model) as opened:
        with screen.waiting("searching"):
            stream = opened.stream(question, budget=budget, where=chosen)
            pieces = iter(stream)
            first = next(pieces, "")
        if not as_json:
            with screen.flow() as write:
                write(first)
                for piece in pieces:
                    write(piece)
        places = printing.Places(opened.document)
        if as_json:
            screen.json(printing.answer_json(stream.answer, places))
        else:
            printing.print_answer(screen, stream.answer, places)


@app.command(
    cls=_Command,
    short_help="Show a passage in its place.",
    epilog="""
    Examples:
      rag show harbour-manual.md                   from the beginning
      rag show harbour-manual.md --at 5163         where a hit or a quotation begins
      rag show harbour-manual.md --at 5163-5920    a hit, marked from end to end

    JSON: {document_id, title, source, digest, characters, metadata: {key: value},
      at: [start, end], start, end, text, line, headings: [title], pages}
      start, end, text and line are those of the stretch shown.
    """,
)
def show(
    doc: Annotated[str, typer.Argument(metavar="DOC", hidden=True)],
    *,
    at: Annotated[
        str | None,
        typer.Option(metavar="START[-END]", help="In characters, as search and ask tell it."),
    ] = None,
    lines: Annotated[
        int, typer.Option(metavar="N", help="How many lines; 0: all.")
    ] = printing.LINES,
    corpus: CorpusFolder = None,
    as_json: Json = False,
    _debug: Debug = False,
) -> None:
    """Show a passage in its place, with the text around it.

    DOC is a document's id, which is the path of its file in the corpus; a path from the
    current folder does too.
    """
    if lines < 0:
        message = f"{lines} is negative; 0 shows all lines"
        raise typer.BadParameter(message, param_hint="--lines")
    screen = Screen()
    with _open(corpus) as opened:
        found = _document(opened, doc)
        span = _span(at, found)
        if as_json:
            screen.json(printing.excerpt_json(found, span, n_lines=lines))
        else:
            printing.print_excerpt(screen, found, span, n_lines=lines)


@app.command(
    cls=_Command,
    epilog="""
    Examples:
      rag status
      rag status --json | jq .chunks

    JSON: {path, documents, chunks, tokens, embedder, generation, size_bytes: {part: bytes},
      synced_at, writer, version, findings: [what is wrong]}
    """,
)
def status(*, corpus: CorpusFolder = None, as_json: Json = False, _debug: Debug = False) -> None:
    """Describe the corpus and its index."""
    screen = Screen()
    with _open(corpus) as opened:
        found = opened.status()
        if as_json:
            screen.json(printing.status_json(found))
        else:
            printing.print_status(screen, found)


# ---- what was meant -----------------------------------------------------------------------


def _open(folder: Path | None, *, model: str | None = None) -> "Corpus":
    """Open the corpus that is named, or the one that the current folder belongs to."""
    from rag.corpus import Corpus, find_corpus
    from rag.settings import load_settings

    here = Path.cwd()
    folder = folder or find_corpus(here)
    if folder is None:
        message = (
            f"no corpus in {here} or above it; name one by --corpus DIR, or make this folder one: "
            "rag sync"
        )
        raise CorpusNotFound(message, path=str(here))
    if model is None:
        return Corpus.open(folder)
    return Corpus.open(
        folder, settings=load_settings(folder, overrides={"synthesis": {"model": model}})
    )


def _where(pairs: Sequence[str] | None) -> dict[str, list[Scalar]] | None:
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


def _document(corpus: "Corpus", name: str) -> Document:
    """Find a document by its id, or by the path of its file from here."""
    ids = {summary.id for summary in corpus.documents()}
    path = Path(os.path.normpath(Path.cwd() / name))
    if name not in ids and path.is_relative_to(corpus.path):
        as_id = path.relative_to(corpus.path).as_posix()
        name = as_id if as_id in ids else name
    return corpus.document(name)


def _span(at: str | None, document: Document) -> tuple[int, int] | None:
    """Read START or START-END; START alone stands for its line."""
    if at is None:
        return None
    match = re.fullmatch(r"(\d+)(?:[-–](\d+))?", at.strip())
    if match is None:
        message = f"{at!r} is neither START nor START-END, as in 5163-5920"
        raise typer.BadParameter(message, param_hint="--at")
    start, end = int(match[1]), int(match[2] or match[1])
    characters = len(document.text)
    if start >= characters or not start <= end <= characters:
        message = f"{at} is outside of {document.id!r}, which has {characters:,} characters"
        raise typer.BadParameter(message, param_hint="--at")
    return start, end


def _code_of(report: SyncReport) -> int:
    """Tell a failing server, which may answer again later, from unreadable documents."""
    kinds = [isinstance(failure.error, ProviderError) for failure in report.failed]
    return PROVIDER if all(kinds) else DOCUMENT


# ---- the program ----------------------------------------------------------------------------


class _Terminated(KeyboardInterrupt):
    """SIGTERM: what is tidied up for Ctrl-C is tidied up for it too."""


def _terminate(_number: int, _frame: FrameType | None) -> NoReturn:
    raise _Terminated


def main() -> NoReturn:
    """Run the program that was typed, and end with its exit code."""
    signal.signal(signal.SIGTERM, _terminate)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            # A terminal says its encoding, a pipe gets UTF-8; a name that is not UTF-8 is shown.
            encoding = None if stream.isatty() else "utf-8"
            stream.reconfigure(encoding=encoding, errors="backslashreplace")
    sys.exit(run(sys.argv[1:]))


def run(arguments: Sequence[str]) -> int:
    """Run a command line.

    Parameters
    ----------
    arguments : without the program's name.

    Returns
    -------
    int
        The exit code; nothing is raised.
    """
    command = typer.main.get_command(app)
    try:
        with command.make_context("rag", list(arguments)) as context:
            command.invoke(context)
        sys.stdout.flush()
    except typer.Exit as done:
        return done.exit_code
    except BrokenPipeError:
        # What is still buffered goes nowhere, or the interpreter would complain at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return UNREAD
    except KeyboardInterrupt as stop:
        Screen().note("; ".join(["stopped", *getattr(stop, "__notes__", [])]))
        return TERMINATED if isinstance(stop, _Terminated) else INTERRUPTED
    except Exception as error:  # noqa: BLE001 - here, and only here, every error ends.
        return _report(error)
    return 0


def _report(error: Exception) -> int:
    """Say what went wrong and what to do about it."""
    debug = logging.getLogger("rag").isEnabledFor(logging.DEBUG)
    if debug:
        traceback.print_exception(error)
    code = _code(error)
    message = str(error)
    if isinstance(error, typer.TyperException):
        message = error.format_message()
        context = getattr(error, "ctx", None)
        if context is not None:
            message = f"{message}\nTry: {context.command_path} --help"
    elif code == UNEXPECTED and not isinstance(error, RagError):
        hint = "" if debug else "; run again with --debug to see where"
        message = f"unexpected {type(error).__name__}: {message}{hint}"
    Screen().note(message, label="error: ", style="bold red")
    return code


def _code(error: Exception) -> int:
    match error:
        case typer.TyperException():
            return error.exit_code
        case ProviderError():
            return PROVIDER
        case CorpusError():
            return CORPUS
        case DocumentError():
            return DOCUMENT
        case ValueError() | TypeError() | WindowExceeded():
            return USAGE
    return UNEXPECTED
