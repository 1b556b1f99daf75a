"""Files are read in a process of their own: whatever one does, it fails alone.

1. A child process reads one file after the other and sends the documents back. It starts with
   the first file and ends with the last. Small plain texts are read here: they need no guard
   (``loaders.load_small``), and many a sync meets nothing else.
2. A file that takes too long, or more memory than it may, or crashes the interpreter ends the
   child and becomes an error of that file; the next one meets a new child.
3. The next file is read while the caller works on the last one, and no further.

The child shares nothing with its parent but one socket. It is no fork: the parent has threads,
and holds locks. It does not hear Ctrl-C, which is for the parent to act on, and ends when the
parent does, even by SIGKILL. The limits of memory and the end by SIGKILL are Linux's; elsewhere
the limit of time alone holds, and an orphan ends after the file it is reading.
"""

import ctypes
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from contextlib import suppress
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from types import TracebackType
from typing import Self

from rag.documents import loaders
from rag.documents.folder import File
from rag.errors import DocumentError, MissingDependency, UnreadableDocument
from rag.types import Document

_START_S = 60.0
"""A start takes half a second; on a machine with much else to do it took five."""
_OUT_OF_MEMORY = 77
"""The exit status of a child that has met its limit; Python itself ends with 0, 1, 2 or 120."""
_MUCH = 4
"""A child that has ever held a quarter of its memory reads no more: what it keeps is not the
fault of the files that come later. And an error of the file that took so much may be for want of
more, as libraries call that by other names; one that doubles a buffer fails at a third."""
_MOST_ERRORS_BYTES = 1_000_000
"""What a child may write to files, of which it has one: the words of an interpreter that dies."""
_LONGEST_WORDS = 200
"""Characters of the last line of an interpreter that dies; a message has one line."""
_NO_MEMORY = ("MemoryError", "bad_alloc")
"""How Python and C++ say so as they end."""
_SET_PDEATHSIG = 1
"""PR_SET_PDEATHSIG of Linux's ``prctl.h``."""

_Outcome = Document | DocumentError | MissingDependency


class Worker:
    """Reads files in a child process; a context manager, to be left before its thread ends.

    Parameters
    ----------
    files : what `load` will be asked for, in this order.
    max_bytes : a larger file is refused, unread.
    timeout_s : how long one file may take.
    memory_bytes : how much the child may hold, its interpreter included.
    """

    def __init__(
        self, files: Iterable[File], *, max_bytes: int, timeout_s: float, memory_bytes: int
    ) -> None:
        self._files = iter(files)
        self._file: File | None = None
        self._asked: File | None = None
        self._max_bytes = max_bytes
        self._timeout_s = timeout_s
        self._memory_bytes = memory_bytes
        self._child: _Child | None = None

    def __enter__(self) -> Self:
        self._read_ahead()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop()

    def load(self, file: File) -> Document:
        """Read the next file; the one behind it is begun.

        Raises
        ------
        ValueError
            It is not the next of ``files``.
        DocumentError, MissingDependency
            As ``loaders.load``; `UnreadableDocument` also where the file meets a limit or
            crashes its reader.
        """
        if self._file != file:
            message = f"{file.id!r} is not the next file; ask for them in their order"
            raise ValueError(message)
        try:
            if self._is_small(file):
                small = loaders.load_small(file.path, id=file.id, max_bytes=self._max_bytes)
                if small is not None:
                    return small
            outcome = self._outcome(file)
        finally:
            self._read_ahead()
        if isinstance(outcome, Document):
            return outcome
        raise outcome

    def _is_small(self, file: File) -> bool:
        return loaders.may_be_small(file.path, size=file.size)

    def _read_ahead(self) -> None:
        self._file = next(self._files, None)
        if self._file is not None and not self._is_small(self._file):
            with suppress(OSError):  # Told when the file is asked for, and tried again.
                self._ask(self._file)

    def _ask(self, file: File) -> "_Child":
        if self._child is None:
            self._child = _Child(memory_bytes=self._memory_bytes)
        self._child.ask(file, max_bytes=self._max_bytes)
        self._asked = file
        return self._child

    def _stop(self) -> None:
        if self._child is not None:
            self._child.stop()
            self._child = None

    def _outcome(self, file: File) -> _Outcome:
        """Wait for what becomes of a file, in a second child if the first read others before."""
        source = str(file.path)
        try:
            child = self._child if self._asked is file and self._child else self._ask(file)
            while True:
                try:
                    outcome, took_much = child.outcome(self._timeout_s)
                except EOFError:
                    self._child = None
                    child.bury()
                    if child.is_fresh:
                        return self._crash(source, child)
                    child = self._ask(file)  # It may have died of what an earlier file broke.
                else:
                    if took_much:
                        self._stop()
                    return self._doubted(outcome) if took_much else outcome
        except TimeoutError:
            self._stop()
            message = (
                f"{source!r} was not read within {self._timeout_s:g} seconds; split it, leave it "
                "out by .ragignore, or raise the setting documents.read_timeout_s"
            )
        except OSError as error:
            self._stop()
            reason = error.strerror or error
            message = f"{source!r} was not read, as no process to read it started: {reason}"
        return UnreadableDocument(message, source=source)

    def _doubted(self, outcome: _Outcome) -> _Outcome:
        """Say of an error of a file that took much memory that this may be its reason."""
        if not isinstance(outcome, UnreadableDocument):
            return outcome
        message = (
            f"{outcome}; or it takes more memory than {self._memory_bytes:,} bytes to read: raise "
            "the setting documents.read_memory_bytes"
        )
        return UnreadableDocument(message, source=outcome.source)

    def _crash(self, source: str, child: "_Child") -> UnreadableDocument:
        """Say why a child has ended over its first file."""
        if child.status == _OUT_OF_MEMORY or any(words in child.words for words in _NO_MEMORY):
            message = (
                f"{source!r} takes more memory than {self._memory_bytes:,} bytes to read; split "
                "it, leave it out by .ragignore, or raise the setting documents.read_memory_bytes"
            )
            return UnreadableDocument(message, source=source)
        status = child.status
        how = signal.Signals(-status).name if status < 0 else f"exit status {status}"
        lines = child.words.splitlines()
        why = f"{how}, {lines[-1][:_LONGEST_WORDS]}" if lines else how
        message = (
            f"{source!r} crashed its reader ({why}); save it anew in the program that it comes "
            "from, leave it out by .ragignore, or raise the setting documents.read_memory_bytes "
            "if it is large"
        )
        return UnreadableDocument(message, source=source)


class _Child:
    """One process, and the parent's end of the socket to it; OSError where none starts."""

    def __init__(self, *, memory_bytes: int) -> None:
        self.is_fresh = True
        self.status = 0
        self.words = ""
        self._is_ready = False
        self._asked_at = 0.0
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed by `stop`
        self._connection, theirs = Pipe()
        code = (
            f"import sys; sys.path[:] = {[*map(str, sys.path)]}; "
            "from rag.documents.worker import serve; "
            f"serve({theirs.fileno()}, parent={os.getpid()}, memory_bytes={memory_bytes})"
        )
        try:
            with theirs:
                self._process = self._started(code, theirs.fileno())
        except OSError:
            self._connection.close()
            self._errors.close()
            raise

    def _started(self, code: str, socket: int) -> subprocess.Popen[bytes]:
        return subprocess.Popen(  # noqa: S603 - this interpreter, and numbers
            [sys.executable, "-c", code],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=self._errors,
            pass_fds=[socket],
            process_group=0,  # The terminal sends Ctrl-C to its own group alone.
            # Threads of numerical libraries take memory, and have nothing to do here.
            env={**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"},
        )

    def ask(self, file: File, *, max_bytes: int) -> None:
        """Have a file read."""
        self._asked_at = time.monotonic()
        with suppress(ConnectionError):  # It has ended, which the missing outcome will tell.
            self._connection.send((file.path, file.id, max_bytes))

    def outcome(self, timeout_s: float) -> tuple[_Outcome, bool]:
        """Wait for what became of the file, and whether it took much memory.

        Raises
        ------
        TimeoutError
            It takes longer, counted from when it was asked for.
        EOFError
            The process has ended.
        OSError
            It does not even start.
        """
        if not self._is_ready:
            if not self._connection.poll(_START_S):
                message = f"it was given {_START_S:g} seconds"
                raise OSError(message)
            self._received()
            self._is_ready = True
            self._asked_at = time.monotonic()
        if not self._connection.poll(max(0.0, self._asked_at + timeout_s - time.monotonic())):
            raise TimeoutError
        received = self._received()
        self.is_fresh = False
        return received

    def _received(self) -> tuple[_Outcome, bool]:
        try:
            received: tuple[_Outcome, bool] = self._connection.recv()
        except OSError as error:  # It ended while it wrote.
            raise EOFError from error
        return received

    def stop(self) -> None:
        """End the process, whatever it does."""
        self._process.kill()
        self.bury()

    def bury(self) -> None:
        """Wait for a process that ends, and keep what it has said."""
        self._connection.close()
        self.status = self._process.wait()
        with self._errors as errors:
            errors.seek(0)
            self.words = errors.read().decode(errors="replace").strip()


def serve(socket: int, *, parent: int, memory_bytes: int) -> None:
    """Read files as they are asked for, until the parent hangs up; the child's only function."""
    _confine(parent, memory_bytes)
    with Connection(socket) as connection:
        connection.send(None)  # The time of the first file begins now.
        while True:
            try:
                path, id_, max_bytes = connection.recv()
            except (EOFError, ConnectionError):
                return
            connection.send((_read(path, id_, max_bytes), _peak_bytes() > memory_bytes / _MUCH))


def _read(path: Path, id_: str, max_bytes: int) -> _Outcome:
    """Read one file; any other error than those of a document ends the process, and tells why."""
    try:
        return loaders.load(path, id=id_, max_bytes=max_bytes)
    except (DocumentError, MissingDependency) as error:
        return error
    except MemoryError:
        os._exit(_OUT_OF_MEMORY)  # At once: what else the interpreter did would need memory.


def _confine(parent: int, memory_bytes: int) -> None:
    """Give this process its limits, and tie its life to its parent's."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (_MOST_ERRORS_BYTES, _MOST_ERRORS_BYTES))
    if sys.platform != "linux":
        return
    ctypes.CDLL(None).prctl(_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # It has ended before it could be heard of.
        os._exit(0)
    # What is written to, in contrast to RLIMIT_AS, which counts the code of libraries as well.
    resource.setrlimit(resource.RLIMIT_DATA, (memory_bytes, memory_bytes))
    # Where the whole system runs out of memory, a file is lost rather than the sync.
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000", encoding="ascii")


def _peak_bytes() -> int:
    """Tell the most memory that this process has held at once; 0 where no limit holds."""
    try:
        status = Path("/proc/self/status").read_text(encoding="ascii")
    except OSError:
        return 0
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024
