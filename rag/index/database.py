"""The SQLite file of the catalog, opened wherever it lies and whatever became of it.

A reader writes nothing into the file, but SQLite wants two small files beside it. Where they
cannot be made, on a read-only medium or a full disk, the file is read without them: in its
place if it is complete, else, where the last changes still lie in the write-ahead log, from
a copy of both.

Nothing but SQLite may open the file where SQLite has it open: the system drops all of a
process's locks on a file when the process closes it once, and a reader without its lock
goes on reading a log that the next writer has taken away.
"""

import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rag.errors import CorpusError

_NO_PLACE = {
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_CANTOPEN,
}
"""Errors of a reader that cannot make SQLite's two files beside the catalog."""
_PAGE_BYTES = 8192
"""Two vectors of 384 float32 leave a quarter of a default page of 4,096 empty."""
_PATIENCE_S = 30
"""Readers and the writer never hold each other up for longer than an instant."""


class Database:
    """One connection to the file.

    Parameters
    ----------
    path : the file; a writer makes it where there is none.

    Attributes
    ----------
    aside : whether the file is read without SQLite's files beside it.

    Raises
    ------
    CorpusError
        The file is damaged or cannot be opened.
    """

    def __init__(self, path: Path, *, write: bool) -> None:
        self.path = path
        self.aside = False
        self._copy: tempfile.TemporaryDirectory[str] | None = None
        with translated(path):
            self.connection = self._open_to_write() if write else self._open_to_read()
            if not self.aside:
                self._stamp = self._look()
            try:
                _check_length(self.connection, path)
                if write:
                    _prepare(self.connection)
            except BaseException:
                self.close()
                raise

    def _open_to_write(self) -> sqlite3.Connection:
        return _connect(f"{self.path.absolute().as_uri()}?mode=rwc")

    def _open_to_read(self) -> sqlite3.Connection:
        connection = _connect(f"{self.path.absolute().as_uri()}?mode=rw")
        try:
            connection.execute("PRAGMA query_only = ON")
            connection.execute("SELECT 1 FROM sqlite_master").fetchone()
        except sqlite3.Error as error:
            connection.close()
            if _code(error) not in _NO_PLACE:
                raise
            return self._open_aside()
        return connection

    def _open_aside(self) -> sqlite3.Connection:
        self.aside = True
        self._stamp = self._look()
        path, log = self.path, _log_of(self.path)
        if _size(log):
            self._copy = tempfile.TemporaryDirectory(prefix="rag-")
            path = Path(shutil.copy(path, self._copy.name))
            shutil.copy(log, self._copy.name)
            return _connect(path.as_uri())
        return _connect(f"{path.absolute().as_uri()}?immutable=1")

    def replaced(self) -> bool:
        """Whether another file, or, where it is read aside, another state has taken its place."""
        try:
            return self._look() != self._stamp
        except OSError:
            return True

    def _look(self) -> tuple[int, ...]:
        if not self.path.exists():
            return ()
        facts = self.path.stat()
        if not self.aside:
            return (facts.st_dev, facts.st_ino)
        log = _log_of(self.path)
        of_log = (log.stat().st_size, log.stat().st_mtime_ns) if log.exists() else ()
        return (facts.st_dev, facts.st_ino, facts.st_size, facts.st_mtime_ns, *of_log)

    def close(self) -> None:
        """Close the connection."""
        self.connection.close()
        if self._copy is not None:
            self._copy.cleanup()


@contextmanager
def translated(path: Path) -> Iterator[None]:
    """Turn SQLite's errors into ours."""
    try:
        yield
    except sqlite3.ProgrammingError as error:
        raise ValueError(f"the catalog {path} was closed: {error}") from error
    except (sqlite3.Error, OSError) as error:
        message = f"the catalog {path} failed: {error}; {_advice(error)}"
        raise CorpusError(message, path=str(path)) from error


def damaged(path: Path, what: str) -> CorpusError:
    """Say that the file is not what was written, and what to do."""
    message = (
        f"the catalog {path} is damaged: {what}; restore it from a backup, or move "
        f"{path.parent} away and sync again (the documents are not touched)"
    )
    return CorpusError(message, path=str(path))


def _advice(error: Exception) -> str:
    code = _code(error)
    if code in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR):
        return (
            "if the disk is full, make room and sync again; what was indexed before still answers"
        )
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return "another process holds it; try again"
    if code in _NO_PLACE or isinstance(error, OSError):
        return "the folder must be writable, and its files readable"
    return (
        "it is damaged; restore it from a backup, or move its folder away and sync again (the "
        "documents are not touched)"
    )


def _code(error: Exception) -> int:
    """Give the primary code of an error of SQLite; 0 for one of Python's binding to it."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF


def _connect(uri: str) -> sqlite3.Connection:
    return sqlite3.connect(
        uri, uri=True, isolation_level=None, timeout=_PATIENCE_S, check_same_thread=False
    )


def _log_of(path: Path) -> Path:
    return path.with_name(path.name + "-wal")


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _prepare(connection: sqlite3.Connection) -> None:
    connection.execute(f"PRAGMA page_size = {_PAGE_BYTES}")
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute("PRAGMA secure_delete = ON")  # What is deleted is overwritten with zeros.


def _check_length(connection: sqlite3.Connection, path: Path) -> None:
    """Notice a file that was cut where SQLite does not: within its last page, or at its start."""
    connection.execute("SELECT 1 FROM sqlite_master").fetchone()  # Reads the header.
    size = _size(path)
    if _size(_log_of(path)):
        return  # What is missing may stand in the log.
    if not size and any(path.parent.glob("*-[0-9]*")):
        raise damaged(path, "it is empty")  # Else a writer died before it had written anything.
    (page_bytes,) = connection.execute("PRAGMA page_size").fetchone()
    if size % page_bytes:
        raise damaged(path, f"its {size} bytes are no whole number of pages of {page_bytes}")
