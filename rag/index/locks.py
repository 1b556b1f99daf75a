"""Who may write, and who may touch Chroma's files now.

Both are advisory locks on files (flock), which the system releases when a process dies,
however it dies. One is held by a writer for a whole sync. The other guards Chroma's files,
which one process must not open or read while another changes them: a writer holds it alone,
each query of a reader shares it, and a reader that would have to wait answers from the catalog.

A child process has no part in a lock: what it executes anew inherits no file, and a mere
fork lets go of its files at once, or it would hold on when its parent is killed.
"""

import fcntl
import json
import os
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Literal

from rag.errors import CorpusError, CorpusLocked

WRITE_LOCK = "write.lock"
CHROMA_LOCK = "chroma.lock"
_PATIENCE_S = 0.3
"""A reader that asks whether a writer lives holds the lock for an instant; a writer that
meets it tries again for so long before it reports another writer."""
_STEP_S = 0.02
_open: set[IO[bytes]] = set()


@contextmanager
def writing(folder: Path) -> Iterator[None]:
    """Be the only writer of an index.

    Parameters
    ----------
    folder : the index folder, which exists.

    Raises
    ------
    CorpusLocked
        Another process is writing; it is named.
    CorpusError
        The folder may not be written.
    """
    path = folder / WRITE_LOCK
    with _opened(path, "ab+") as file:
        _acquire(file, path)
        since = datetime.now(UTC).isoformat(timespec="seconds")
        _sign(file, json.dumps({"pid": os.getpid(), "since": since}))
        try:
            yield
        finally:
            _sign(file, "")


def writer(folder: Path) -> tuple[int | None, str | None] | None:
    """Tell who writes now: (process id, since when), each None where unknown; None: nobody."""
    path = folder / WRITE_LOCK
    with suppress(CorpusError), _opened(path, "rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            return _signed(path)
    return None  # Without a lock file that may be read, nobody has ever written here.


@contextmanager
def changing_chroma(folder: Path) -> Iterator[None]:
    """Hold Chroma's files alone, waiting for queries at work to end."""
    with _opened(folder / CHROMA_LOCK, "ab+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@contextmanager
def reading_chroma(folder: Path) -> Iterator[bool]:
    """Share Chroma's files; yields False at once where a writer holds them."""
    allowed = False
    with ExitStack() as stack:
        with suppress(CorpusError, OSError):
            file = stack.enter_context(_opened(folder / CHROMA_LOCK, "rb"))
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            allowed = True
        yield allowed


@contextmanager
def _opened(path: Path, mode: Literal["rb", "ab+"]) -> Iterator[IO[bytes]]:
    try:
        file = path.open(mode, buffering=0)
    except OSError as error:
        message = f"{path} cannot be opened: {error.strerror}; the index needs a writable folder"
        raise CorpusError(message, path=str(path)) from error
    with file:
        _open.add(file)
        try:
            yield file
        finally:
            _open.discard(file)
            if not file.closed:  # Closed alone, it would stay locked by a child not yet executed.
                fcntl.flock(file, fcntl.LOCK_UN)


def _let_go() -> None:
    for file in _open:
        file.close()
    _open.clear()


os.register_at_fork(after_in_child=_let_go)


def _acquire(file: IO[bytes], path: Path) -> None:
    deadline = time.monotonic() + _PATIENCE_S
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            if time.monotonic() < deadline:
                time.sleep(_STEP_S)
                continue
            pid, since = _signed(path)
            who = f"process {pid}, writing since {since}" if pid else "another process"
            message = f"{path.parent} is being written by {who}; wait for it to end"
            raise CorpusLocked(message, path=str(path.parent), pid=pid, since=since) from error
        except OSError as error:
            message = f"{path} cannot be locked: {error.strerror}; the index needs a local disk"
            raise CorpusError(message, path=str(path)) from error
        return


def _sign(file: IO[bytes], text: str) -> None:
    """Leave word of who holds the lock; on a full disk it is held without."""
    with suppress(OSError, ValueError):  # Closed in a process that was forked off the writer.
        file.truncate(0)
        file.write(text.encode())


def _signed(path: Path) -> tuple[int | None, str | None]:
    try:
        owner = json.loads(path.read_text(encoding="utf-8"))
        return int(owner["pid"]), str(owner["since"])
    except (OSError, ValueError, KeyError, TypeError):
        return None, None
