"""The commands of ``rag``, with their examples.

What a command needs is imported when it runs, so that ``rag --help`` stays fast. The objects
that ``--json`` prints are told in the help of each.
"""

# ruff: noqa: PLC0415 - as the first sentence but one says.

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

import rag
from rag import printing, rounds, shapes
from rag.arguments import (
    CorpusFolder,
    Debug,
    Filters,
    Json,
    find_ids,
    find_place,
    open_corpus,
    read_where,
)
from rag.errors import CorpusError, CorpusLocked, CorpusMismatch, CorpusNotFound, ProviderError
from rag.manual import Command, Group
from rag.places import Places
from rag.terminal import Screen, number
from rag.types import By, ReembedReport, Status, SyncReport

DOCUMENT, CORPUS, PROVIDER = 3, 4, 5
"""Exit codes of commands that ended, though not well; `rag.cli` has them all."""


# ---- commands ---------------------------------------------------------------------------


def _show_version(wanted: bool) -> None:  # noqa: FBT001 - typer calls it so
    if wanted:
        typer.echo(f"rag {rag.__version__}")
        raise typer.Exit


app = typer.Typer(
    cls=Group,
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

    Exit codes: 0 done, 1 unexpected, 2 not to be understood, 3 a document cannot be read,
      4 the corpus is missing, locked or damaged, 5 a model server failed.
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


@app.command(
    cls=Command,
    short_help="Make the index equal to the folder.",
    epilog="""
    Examples:
      rag sync                      the corpus around the current folder, or a new one
      rag sync --dry-run            only say what would be done
      rag sync --watch              and again whenever something changes, until Ctrl-C
      rag sync --corpus ~/manuals

    Files and folders that .ragignore names (patterns as in .gitignore) are left out.
    More than 10,000 new files are indexed only after a question; --yes answers it, and is
    needed where nobody can be asked. Ctrl-C keeps the work in hand; a second one stops at once.

    JSON: {path, dry_run, added: [id], updated: [id], moved: [{old, new}],
      removed: [id], unchanged: [id], failed: [{id, kind, error}],
      skipped: [{id, reason}], incomplete: [{id, reason}], embedded, reused,
      repaired: [part], unused_vectors, seconds}
      With --watch one object a line for each round, and in it time, and again_s: the seconds
      after which a round that failed is tried again, or null. A round that failed as a whole
      is {time, again_s, path, kind, error}.
    """,
)
def sync(
    *,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Change nothing.")] = False,
    watch: Annotated[
        bool, typer.Option("--watch", help="Go on, and sync again whenever something changes.")
    ] = False,
    yes: Annotated[
        bool, typer.Option("--yes", "-y", help="Index any number of new files unasked.")
    ] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="List every file.")] = False,
    corpus: CorpusFolder = None,
    as_json: Json = False,
    _debug: Debug = False,
) -> None:
    """Make the index equal to the folder: read what is new or changed, forget what is gone."""
    from rag.corpus import Corpus, find_corpus

    if watch and dry_run:
        message = "a dry run does not go on; leave out one of the two"
        raise typer.BadParameter(message, param_hint="--watch --dry-run")
    screen = Screen()
    folder = corpus or find_corpus(Path.cwd())
    if folder is None:
        folder = Path.cwd()
        would = "would become" if dry_run else "becomes"
        screen.note(f"{folder} {would} a corpus; its index lies in .rag, and can be deleted")
    with Corpus.open(folder) as opened:
        yes = yes or dry_run or rounds.ask_about_many(opened)
        if watch:
            rounds.run_rounds(opened, screen, as_json=as_json, yes=yes)
        report = rounds.sync_once(opened, screen, dry_run=dry_run)
        if as_json:
            screen.json(shapes.describe_report(report, path=opened.path, dry_run=dry_run))
        else:
            printing.print_report(screen, report, dry_run=dry_run, all_names=verbose)
    if report.failed:
        raise typer.Exit(_code_of(report))


@app.command(
    cls=Command,
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
    chosen = read_where(where)
    with open_corpus(corpus) as opened:
        hits = opened.search(query, k=k, where=chosen, by=by)
        places = Places(opened.document)
        if as_json:
            found = [shapes.describe_hit(hit, places) for hit in hits]
            screen.json({"query": query, "by": by, "k": k, "where": chosen, "hits": found})
        else:
            printing.print_hits(screen, hits, places, query=query)
        if not hits:
            screen.note(f"nothing found for {query!r}{_why_nothing(opened.status())}")


@app.command(
    cls=Command,
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
    chosen = read_where(where)
    with open_corpus(corpus, model=model) as opened:
        with screen.waiting("searching"):
            stream = opened.stream(question, budget=budget, where=chosen)
        with screen.waiting(f"reading {number(len(stream.context.passages), 'passage')}"):
            pieces = iter(stream)
            first = next(pieces, "")
        if not as_json:
            with screen.flow() as write:
                write(first)
                for piece in pieces:
                    write(piece)
        places = Places(opened.document)
        if as_json:
            screen.json(shapes.describe_answer(stream.answer, places))
        else:
            printing.print_answer(screen, stream.answer, places)
        if not stream.context.passages:
            screen.note(f"nothing was found to read{_why_nothing(opened.status())}")


@app.command(
    cls=Command,
    short_help="Show a passage in its place.",
    epilog="""
    Examples:
      rag show harbour-manual.md                   from the beginning
      rag show harbour-manual.md:109               a place as search and ask print it
      rag show harbour-manual.md --at 5163-5920    a hit, marked from end to end

    JSON: {document_id, title, source, digest, characters, metadata: {key: value},
      at: [start, end] or null, start, end, text, line, headings: [title], pages}
      start, end, text and line are those of the stretch shown.
    """,
)
def show(
    doc: Annotated[str, typer.Argument(metavar="DOC", hidden=True)],
    *,
    at: Annotated[
        str | None,
        typer.Option(metavar="START[-END]", help="In characters, as search tells it."),
    ] = None,
    lines: Annotated[
        int,
        typer.Option(metavar="N", help="How many lines, the passage whole in any case; 0: all."),
    ] = printing.LINES,
    corpus: CorpusFolder = None,
    as_json: Json = False,
    _debug: Debug = False,
) -> None:
    """Show a passage in its place, with the text around it.

    DOC is a document's id, which is the path of its file in the corpus; a path from the
    current folder does too. A line may follow, as search and ask print it: DOC:LINE.
    """
    if lines < 0:
        message = f"{lines} is negative; 0 shows all lines"
        raise typer.BadParameter(message, param_hint="--lines")
    screen = Screen()
    with open_corpus(corpus) as opened:
        found, span = find_place(opened, doc, at=at)
        if as_json:
            screen.json(shapes.describe_excerpt(found, span, n_lines=lines))
        else:
            printing.print_excerpt(screen, found, span, n_lines=lines)


@app.command(
    cls=Command,
    epilog="""
    Examples:
      rag status
      rag status --json | jq .chunks

    JSON: {path, documents, chunks, tokens, embedder, generation, size_bytes: {part: bytes},
      synced_at, writer, version, unused_vectors, findings: [what is wrong],
      reembedding: embedder or null}
      reembedding: one that is at work or was stopped.
    """,
)
def status(*, corpus: CorpusFolder = None, as_json: Json = False, _debug: Debug = False) -> None:
    """Describe the corpus and its index."""
    screen = Screen()
    with open_corpus(corpus) as opened:
        found = opened.status()
        if as_json:
            screen.json(shapes.describe_status(found))
        else:
            printing.print_status(screen, found)


@app.command(
    cls=Command,
    short_help="Remove a text with all of its traces.",
    epilog="""
    Examples:
      rag forget letters/2019-04.md              the file is deleted; its text must be gone
      rag forget contract.pdf --ignore           the file stays, and is never indexed again
      rag forget 合同.md 附件.docx

    Both search indexes are built anew, which takes as long as at first, without the embedding.
    Exit code 4: a run of 32 bytes of the text was found in a file of the index.

    JSON: {ids: [id], ignored: [pattern], unknown: [id], vectors, reembedding, runs, files,
      size_bytes, found: [file], seconds}
      runs: of 32 bytes, shared by no other document, that were looked for in all files;
      unknown: removed before, so that their texts could not be looked for;
      reembedding: the embedder of an unfinished one that was dropped with the texts, or null.
    """,
)
def forget(
    docs: Annotated[list[str], typer.Argument(metavar="DOC...", hidden=True)],
    *,
    ignore: Annotated[
        bool, typer.Option("--ignore", help="Write a file that still lies here into .ragignore.")
    ] = False,
    corpus: CorpusFolder = None,
    as_json: Json = False,
    _debug: Debug = False,
) -> None:
    """Remove a text that must be gone, with every trace of it in the index.

    DOC is a document's id, or the path of its file, also of one that was removed long ago.
    Its vectors go, and with them all that were kept for texts that may come back; then every
    file of the index is searched for what is left of it.
    """
    screen = Screen()
    with open_corpus(corpus) as opened, screen.waiting("forgetting"):
        report = opened.forget(*find_ids(opened, docs), ignore=ignore)
    if as_json:
        screen.json(asdict(report))
    else:
        printing.print_forgotten(screen, report)
    if report.found:
        raise typer.Exit(CORPUS)


@app.command(
    cls=Command,
    short_help="Check every promise of the index.",
    epilog="""
    Examples:
      rag doctor                    only looks, beside readers and writers
      rag doctor --fix              builds anew what differs from the catalog
      rag doctor --json | jq -r '.findings[].mend'

    Exit code 0: all is well, also after --fix; 4: something is not.

    JSON: {checks: [{name, told, findings: [{check, what, mend, fixable}], skipped}],
      findings: [{check, what, mend, fixable}], fixed: [{check, what, mend, fixable}],
      size_bytes: {part: bytes}, seconds}
      mend: what to do; fixable: whether --fix does it; findings: those of all checks
    """,
)
def doctor(
    *,
    fix: Annotated[bool, typer.Option("--fix", help="Mend what can be mended.")] = False,
    corpus: CorpusFolder = None,
    as_json: Json = False,
    _debug: Debug = False,
) -> None:
    """Check the index: catalog, texts, terms, vectors, recall, files and versions.

    The catalog, Chroma and Tantivy are compared row by row, some chunks are embedded again, and
    damage of any kind is a finding with what to do about it.
    """
    from rag.doctor import unopened

    screen = Screen()
    try:
        with open_corpus(corpus) as opened, screen.waiting("checking") as tell:
            report = opened.doctor(fix=fix, progress=lambda what: tell(f"checking {what}"))
    except (CorpusNotFound, CorpusLocked):
        raise
    except CorpusError as error:
        report = unopened(error)
    if as_json:
        screen.json(shapes.describe_examination(report))
    else:
        printing.print_examination(screen, report)
    if report.findings:
        raise typer.Exit(CORPUS)


@app.command(
    cls=Command,
    short_help="Make the index that of another embedding model.",
    epilog="""
    Examples:
      rag reembed --embedder ~/models/multilingual-e5-small
      rag reembed --embedder openai:bge-m3          of the server at OPENAI_BASE_URL
      rag reembed --embedder all-MiniLM-L6-v2       back to the model that comes with rag

    Stopped or killed, it goes on when it is run again; run with the model that the index has,
    it drops what it had made.

    JSON: {path, before: {embedder, revision, chunk_size}, after: {embedder, revision,
      chunk_size}, documents, chunks, embedded, reused, seconds}
    """,
)
def reembed(
    *,
    embedder: Annotated[
        str,
        typer.Option(
            "--embedder",
            metavar="NAME",
            show_default=False,
            help="A sentence-transformers name or folder, or openai:NAME.",
        ),
    ],
    corpus: CorpusFolder = None,
    as_json: Json = False,
    _debug: Debug = False,
) -> None:
    """Make the index that of another embedding model, while the old one answers.

    The texts are those of the index; no file is read. The new index takes the old one's place
    at the end, at once. The disk has to hold both.
    """
    from rag.corpus import named_embedder
    from rag.settings import load_settings

    screen = Screen()
    with open_corpus(corpus, as_made=True) as opened:
        chosen = named_embedder(load_settings(opened.path), embedder)
        try:
            with screen.progress() as progress:
                report = opened.reembed(chosen, progress=progress)
        except (KeyboardInterrupt, ProviderError) as stop:
            stop.add_note("the old index answers as before; run rag reembed again to go on")
            raise
        if as_json:
            screen.json(shapes.describe_reembedding(report, path=opened.path))
        else:
            printing.print_reembedding(screen, report)
        _warn_of_settings(screen, opened.path, report)


def _warn_of_settings(screen: Screen, folder: Path, report: ReembedReport) -> None:
    """Say so where the settings name another embedder than the index has now."""
    from rag.settings import FILE_NAME, load_settings

    try:
        open_corpus(folder).close()
    except (CorpusMismatch, ProviderError):
        alone = load_settings(folder, environment={}).embeddings
        in_file = "model" in alone.model_fields_set
        place = f"{FILE_NAME}, section embeddings" if in_file else "RAG_EMBEDDINGS__MODEL"
        named = load_settings(folder).embeddings.model
        screen.note(
            f"{place} still names {named!r}, so that the index cannot be opened; name "
            f"{report.after.embedder!r} there, or nothing: an index opens with its own",
            label="warning: ",
            style="bold yellow",
        )


def _why_nothing(status: Status) -> str:
    """Tell what is missing where a search that should find something did not."""
    if status.synced_at is None:
        return "; the first sync has not finished: rag sync"
    return "" if status.documents else "; the corpus is empty"


def _code_of(report: SyncReport) -> int:
    """Tell a failing server, which may answer again later, from unreadable documents."""
    kinds = [isinstance(failure.error, ProviderError) for failure in report.failed]
    return PROVIDER if all(kinds) else DOCUMENT
