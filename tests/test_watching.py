"""What ends a wait at a watched folder, and what does not."""

import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from rag.watching import watching
from tests.index.samples import output, start


def is_noticed(folder: Path, change: Callable[[], object]) -> bool:
    """Whether a change ends a wait before its time is over."""
    with watching(folder) as wait:
        change()
        over = threading.Event()
        late = threading.Timer(4, over.set)
        late.start()
        wait(5)
        late.cancel()
        return not over.is_set()


def test_a_new_a_changed_and_a_removed_file_end_a_wait(tmp_path: Path) -> None:
    file = tmp_path / "below" / "a.txt"
    file.parent.mkdir()
    assert is_noticed(tmp_path, lambda: file.write_text("The tide turns."))
    assert is_noticed(tmp_path, lambda: file.write_text("The tide has turned."))
    assert is_noticed(tmp_path, file.unlink)


def test_the_list_of_what_is_left_out_ends_a_wait(tmp_path: Path) -> None:
    assert is_noticed(tmp_path, lambda: (tmp_path / ".ragignore").write_text("drafts/"))


@pytest.mark.parametrize("name", [".rag/catalog.sqlite3", "rag.toml", ".git/index", "drafts/a.md"])
def test_what_a_sync_leaves_out_ends_no_wait(tmp_path: Path, name: str) -> None:
    (tmp_path / ".ragignore").write_text("drafts/")
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    assert not is_noticed(tmp_path, lambda: path.write_text("x"))


def test_with_patterns_that_cannot_be_read_any_change_ends_a_wait(tmp_path: Path) -> None:
    (tmp_path / ".ragignore").write_bytes(b"\xff")
    assert is_noticed(tmp_path, lambda: (tmp_path / "a.txt").write_text("x"))


def test_what_changes_between_two_waits_ends_the_second(tmp_path: Path) -> None:
    with watching(tmp_path) as wait:
        for name in ("a.txt", "b.txt"):
            (tmp_path / name).write_text("x")
            wait(None)


def test_a_folder_that_cannot_be_watched_is_told(tmp_path: Path) -> None:
    code = """
import os, resource, sys, watchfiles
from pathlib import Path
from rag.watching import watching
resource.setrlimit(resource.RLIMIT_NOFILE, (os.dup(0), 99))  # No further file can be opened.
try:
    with watching(Path(sys.argv[1])):
        print("watched")
except Exception as error:
    print(type(error).__name__, error)
"""
    said = output(start(code, tmp_path))
    assert said.startswith(f"CorpusError {tmp_path} cannot be watched: ")
    assert "WATCHFILES_FORCE_POLLING" in said
