"""The syncs that a person asks for: one, or one after the other while a folder is watched.

Whatever may pass by itself, a corpus that another process writes or a server that fails, is
told and tried again; whatever may not ends the watching as it ends any command.
"""

import sys
from datetime import datetime
from typing import TYPE_CHECKING, NoReturn

import typer

from rag import printing, shapes
from rag.errors import CorpusError, CorpusMismatch, CorpusNotFound, ProviderError
from rag.terminal import Screen, number
from rag.types import SyncReport

if TYPE_CHECKING:
    from rag.corpus import Corpus

MANY = 10_000
"""New files above which a sync asks first: hours of embedding, or a bill, where somebody may
only have stood in the wrong folder."""
AGAIN_S = 30.0
"""After so long a round that failed is tried again, though nothing has changed."""


def ask_about_many(corpus: "Corpus") -> bool:
    """Ask whether very many new files are meant; none of them has been opened yet.

    Returns
    -------
    bool
        Whether they were asked about, and are.

    Raises
    ------
    ValueError
        They are not, or nobody can be asked.
    """
    count = corpus.count_new()
    if count <= MANY:
        return False
    found = f"{number(count)} files in {corpus.path} are new"
    if sys.stdin.isatty() and sys.stderr.isatty():
        if typer.confirm(f"{found}. Index them all?", err=True):
            return True
        message = f"{found}, and none was indexed; .ragignore names what is to be left out"
    else:
        message = f"{found}: more than {number(MANY)} are indexed only with --yes"
    raise ValueError(message)


def _refuse_many(corpus: "Corpus") -> None:
    """Refuse what nobody was asked about, since nobody sits by a folder that is watched."""
    if (count := corpus.count_new()) > MANY:
        message = f"{number(count)} files are new; so many are indexed only with --yes"
        raise CorpusError(message, path=str(corpus.path))


def sync_once(corpus: "Corpus", screen: Screen, *, dry_run: bool = False) -> SyncReport:
    """Sync, and say when it is stopped that nothing is lost."""
    try:
        with screen.progress() as progress:
            return corpus.sync(dry_run=dry_run, progress=progress)
    except KeyboardInterrupt as stop:
        stop.add_note("what was indexed so far answers; run rag sync again to go on")
        raise


def run_rounds(corpus: "Corpus", screen: Screen, *, as_json: bool, yes: bool) -> NoReturn:
    """Sync now and whenever something changes, until a signal or an error that stays.

    Parameters
    ----------
    yes : whether any number of new files is indexed; else a round with very many is refused.
    """
    from rag.watching import watching  # noqa: PLC0415 - knows stages, which take a while

    with watching(corpus.path) as wait:
        if not as_json:
            screen.note(f"watching {corpus.path}; Ctrl-C ends it")
        while True:
            wait(_run_round(corpus, screen, as_json=as_json, yes=yes))


def _run_round(corpus: "Corpus", screen: Screen, *, as_json: bool, yes: bool) -> float | None:
    """Sync once and tell it; returns the seconds after which to try again, if that may help."""
    try:
        if not yes:
            _refuse_many(corpus)
        report = sync_once(corpus, screen)
    except (CorpusMismatch, CorpusNotFound):
        raise
    except (CorpusError, ProviderError) as error:
        now = datetime.now().astimezone()
        if as_json:
            screen.json_line(shapes.describe_lost_round(error, corpus.path, now, AGAIN_S))
        else:
            printing.print_lost_round(screen, error, at=now, again_s=AGAIN_S)
        return AGAIN_S
    waits = any(isinstance(failure.error, ProviderError) for failure in report.failed)
    again_s = AGAIN_S if waits else None
    now = datetime.now().astimezone()
    if as_json:
        described = shapes.describe_report(report, path=corpus.path, dry_run=False)
        screen.json_line({"time": shapes.moment(now), "again_s": again_s, **described})
    else:
        printing.print_round(screen, report, at=now)
    return again_s
