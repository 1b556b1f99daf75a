"""One writer at a time, no Chroma beside a change, and locks that die with their process."""

import os
import re
import signal
import time
from pathlib import Path

import pytest

from rag.errors import CorpusError, CorpusLocked
from rag.index import locks
from tests.index.samples import Child, output, read_only, start

HOLD = """
import sys, time
from pathlib import Path
from rag.index import locks
with getattr(locks, sys.argv[2])(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.readline()
"""


def holding(folder: Path, lock: str) -> Child:
    child = start(HOLD, folder, lock, stdin=True)
    assert child.stdout is not None
    assert child.stdout.readline() == "held\n"
    return child


def test_a_second_writer_is_told_who_writes_and_since_when(tmp_path: Path) -> None:
    child = holding(tmp_path, "writing")
    since = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00"
    with pytest.raises(CorpusLocked) as error, locks.writing(tmp_path):
        pass
    assert re.search(rf"process {child.pid}, writing since {since}", str(error.value))
    assert error.value.__dict__["pid"] == child.pid
    assert re.fullmatch(since, error.value.__dict__["since"])
    assert locks.writer(tmp_path) == (child.pid, error.value.__dict__["since"])
    output(child, text="\n")
    assert locks.writer(tmp_path) is None
    with locks.writing(tmp_path):
        assert locks.writer(tmp_path) is not None


def test_a_second_writer_in_the_same_process_is_told_as_well(tmp_path: Path) -> None:
    with locks.writing(tmp_path), pytest.raises(CorpusLocked) as error, locks.writing(tmp_path):
        pass
    assert error.value.__dict__["pid"] == os.getpid()


def test_nobody_writes_where_nobody_ever_wrote(tmp_path: Path) -> None:
    assert locks.writer(tmp_path) is None
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("lock", ["writing", "changing_chroma"])
def test_a_lock_dies_with_its_process(tmp_path: Path, lock: str) -> None:
    child = holding(tmp_path, lock)
    child.send_signal(signal.SIGKILL)
    child.communicate()
    assert locks.writer(tmp_path) is None
    with locks.writing(tmp_path), locks.changing_chroma(tmp_path):
        pass


def test_children_of_a_killed_writer_do_not_hold_its_lock(tmp_path: Path) -> None:
    code = """
import os, subprocess, sys, time
from pathlib import Path
from rag.index import locks
with locks.writing(Path(sys.argv[1])), locks.changing_chroma(Path(sys.argv[1])):
    started = subprocess.Popen(["sleep", "60"])
    forked = os.fork()
    if not forked:
        time.sleep(60)
    print(started.pid, forked, flush=True)
    time.sleep(60)
"""
    child = start(code, tmp_path)
    assert child.stdout is not None
    children = [int(pid) for pid in child.stdout.readline().split()]
    try:
        assert locks.writer(tmp_path) is not None
        child.send_signal(signal.SIGKILL)
        child.wait()
        with locks.writing(tmp_path), locks.changing_chroma(tmp_path):
            pass
    finally:
        for pid in children:
            os.kill(pid, signal.SIGKILL)
        child.communicate()


def test_readers_share_chroma_and_do_not_wait_for_a_change(tmp_path: Path) -> None:
    with locks.reading_chroma(tmp_path) as allowed:
        assert not allowed, "nothing was ever written here"
    with locks.changing_chroma(tmp_path):
        started = time.monotonic()
        with locks.reading_chroma(tmp_path) as allowed:
            assert not allowed
        assert time.monotonic() - started < 0.1
    with locks.reading_chroma(tmp_path) as first, locks.reading_chroma(tmp_path) as second:
        assert first
        assert second


def test_a_change_waits_for_queries_at_work(tmp_path: Path) -> None:
    (tmp_path / locks.CHROMA_LOCK).touch()
    with locks.reading_chroma(tmp_path):
        child = start(HOLD, tmp_path, "changing_chroma", stdin=True)
        with pytest.raises(Exception, match="timed out"):
            child.wait(timeout=1.5)
    assert output(child, text="\n") == "held\n"


def test_a_folder_that_may_not_be_written_is_an_error(tmp_path: Path) -> None:
    with read_only(tmp_path):
        child = start(HOLD, tmp_path, "writing", with_rights=False)
        _, err = child.communicate()
    assert child.returncode == 1
    assert "CorpusError" in err
    assert "cannot be opened: Permission denied; the index needs a writable folder" in err


def test_a_lock_is_held_on_a_full_disk_too(tmp_path: Path) -> None:
    # From before the first import: none may need a folder for temporary files.
    code = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))\n" + HOLD
    child = start(code, tmp_path, "writing", stdin=True)
    assert child.stdout is not None
    assert child.stdout.readline() == "held\n"
    with pytest.raises(CorpusLocked, match="another process") as error, locks.writing(tmp_path):
        pass
    assert error.value.__dict__["pid"] is None
    output(child, text="\n")


def test_the_errors_of_locks_are_errors_of_the_corpus() -> None:
    assert issubclass(CorpusLocked, CorpusError)
