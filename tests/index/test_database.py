"""The catalog's file: read where it cannot be written, refused where it is damaged."""

import os
from pathlib import Path

import pytest

from rag.errors import CorpusError
from rag.index.catalog import FILE_NAME, Catalog
from tests.index.samples import output, read_only, start, write

READ = """
import sys
from pathlib import Path
from rag.index.catalog import Catalog
catalog = Catalog(Path(sys.argv[1]), write=False)
print(catalog.totals(), catalog.aside, catalog.document("kitchen.md").text.split()[0])
catalog.close()
"""
DIE_WRITING = """
import os, sys
from pathlib import Path
from rag.index.catalog import Catalog
catalog = Catalog(Path(sys.argv[1]), write=True)
with catalog.transaction():
    catalog.remove("pilots.md")
os._exit(0)
"""
WITH_FULL_DISK = """
import resource
resource.setrlimit(resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
"""


def test_a_folder_that_may_not_be_written_is_read_in_place(folder: Path) -> None:
    with read_only(folder):
        assert output(start(READ, folder, with_rights=False)) == "(3, 7, 47) True Bread\n"


def test_changes_a_dead_writer_left_in_the_log_are_read_from_a_folder_that_may_not_be_written(
    folder: Path,
) -> None:
    output(start(DIE_WRITING, folder))
    assert (folder / f"{FILE_NAME}-wal").stat().st_size > 0
    with read_only(folder):
        assert output(start(READ, folder, with_rights=False)).startswith("(2, 4, ")
    (folder / f"{FILE_NAME}-shm").unlink()
    with read_only(folder):
        assert output(start(READ, folder, with_rights=False)).startswith("(2, 4, ")


def test_a_full_disk_does_not_keep_anybody_from_reading(folder: Path) -> None:
    assert output(start(WITH_FULL_DISK + READ, folder)) == "(3, 7, 47) True Bread\n"


def test_a_reader_that_reads_in_place_notices_that_the_file_was_written_since(
    folder: Path,
) -> None:
    code = """
import os, sys
from pathlib import Path
from rag.index.catalog import Catalog
catalog = Catalog(Path(sys.argv[1]), write=False)
print(catalog.aside, catalog.refresh(), catalog.totals()[0], flush=True)
sys.stdin.readline()
print(catalog.refresh(), catalog.totals()[0])
catalog.close()
"""
    with read_only(folder):
        child = start(code, folder, with_rights=False, stdin=True)
        assert child.stdout is not None
        assert child.stdout.readline() == "True False 3\n"
    write(folder, removed=["pilots.md"])
    with read_only(folder):
        assert output(child, text="\n") == "True 2\n"


@pytest.mark.parametrize("kept", [0, 50, 8192 * 3, -100])
def test_a_file_that_was_cut_is_an_error_that_says_what_to_do(folder: Path, kept: int) -> None:
    path = folder / FILE_NAME
    os.truncate(path, kept if kept >= 0 else path.stat().st_size + kept)
    before = path.read_bytes()
    for write_it in (False, True):
        with pytest.raises(
            CorpusError, match=r"damaged.*backup, or move .* and sync again"
        ) as error:
            Catalog(folder, write=write_it)
        assert error.value.__dict__["path"] == str(path)
    assert path.read_bytes() == before, "a damaged file was changed"


def test_a_file_of_another_kind_is_an_error_that_says_what_to_do(folder: Path) -> None:
    (folder / FILE_NAME).write_bytes(b"%PDF-1.7 " * 5000)
    with pytest.raises(CorpusError, match=r"not a database; it is damaged.*sync again"):
        Catalog(folder, write=False)


def test_pages_that_were_overwritten_are_an_error_that_says_what_to_do(folder: Path) -> None:
    path = folder / FILE_NAME
    with path.open("r+b") as file:
        file.seek(100)
        file.write(os.urandom(path.stat().st_size - 100))
    with pytest.raises(CorpusError, match=r"damaged.*move its folder away and sync again"):
        Catalog(folder, write=False)


def test_a_closed_catalog_is_the_callers_mistake(folder: Path) -> None:
    catalog = Catalog(folder, write=False)
    catalog.close()
    with pytest.raises(ValueError, match="closed"):
        catalog.totals()


def test_a_reader_that_looks_a_second_time_keeps_its_lock_and_sees_what_is_written_later(
    folder: Path,
) -> None:
    code = """
import sys
from pathlib import Path
from rag.index.catalog import Catalog
catalog = Catalog(Path(sys.argv[1]), write=True)
catalog.set(edition=sys.argv[2])
catalog.close()
"""
    catalog = Catalog(folder, write=False)
    for edition in ("1", "2", "3"):
        output(start(code, folder, edition))
        assert catalog.latest("edition") == edition
        assert catalog.get("edition") == edition
    catalog.close()
