"""What of a copy's files is noticed, and what its library raises."""

import os
import shutil
from pathlib import Path

import pytest

from rag.errors import CorpusError
from rag.index import copies
from rag.index.catalog import Catalog
from rag.index.copies import CopyFailed, guarded

MAGIC = b"SQLite format 3\0"


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    return Catalog(tmp_path, write=True)


@pytest.fixture
def copy_folder(catalog: Catalog, tmp_path: Path) -> Path:
    folder = tmp_path / "chroma-0001"
    (folder / "graph").mkdir(parents=True)
    (folder / "graph" / "data.bin").write_bytes(b"0123456789")
    (folder / "chroma.sqlite3").write_bytes(MAGIC + b"abc")
    copies.record(catalog, "chroma", folder)
    return folder


def differences(catalog: Catalog, *, alone: bool = False) -> list[str]:
    copy = copies.recorded(catalog, "chroma")
    assert copy is not None
    return copies.differences(catalog.path.parent, copy, alone=alone)


def test_a_copy_that_was_left_alone_is_whole(catalog: Catalog, copy_folder: Path) -> None:
    assert differences(catalog) == []


def test_a_copy_that_was_copied_elsewhere_is_whole(catalog: Catalog, copy_folder: Path) -> None:
    for path in copy_folder.rglob("*"):
        os.utime(path, (1, 1))
    assert differences(catalog) == []


def test_a_file_overwritten_at_the_same_size_is_noticed(
    catalog: Catalog, copy_folder: Path
) -> None:
    (copy_folder / "graph" / "data.bin").write_bytes(b"012345678x")
    assert differences(catalog) == ["graph/data.bin"]


def test_a_file_that_was_cut_is_noticed(catalog: Catalog, copy_folder: Path) -> None:
    os.truncate(copy_folder / "graph" / "data.bin", 9)
    assert differences(catalog) == ["graph/data.bin"]


def test_a_file_that_was_removed_or_added_is_noticed(catalog: Catalog, copy_folder: Path) -> None:
    (copy_folder / "graph" / "data.bin").rename(copy_folder / "graph" / "other.bin")
    assert differences(catalog) == ["graph/data.bin", "graph/other.bin"]


def test_a_folder_that_was_removed_is_noticed(catalog: Catalog, copy_folder: Path) -> None:
    shutil.rmtree(copy_folder)
    assert differences(catalog) == ["chroma.sqlite3", "graph/data.bin"]


def test_chromas_sqlite_file_may_change_and_grow_but_not_shrink(
    catalog: Catalog, copy_folder: Path
) -> None:
    (copy_folder / "chroma.sqlite3").write_bytes(MAGIC + b"xyz and more")
    assert differences(catalog) == []
    (copy_folder / "chroma.sqlite3").write_bytes(MAGIC + b"xy")
    assert differences(catalog) == ["chroma.sqlite3"]


def test_who_is_alone_looks_whether_chromas_sqlite_file_begins_as_one(
    catalog: Catalog, copy_folder: Path
) -> None:
    assert differences(catalog, alone=True) == []
    (copy_folder / "chroma.sqlite3").write_bytes(bytes(1000))
    assert differences(catalog, alone=True) == ["chroma.sqlite3"]
    assert differences(catalog) == []


def test_a_copy_that_is_marked_is_not_whole_until_it_is_recorded(
    catalog: Catalog, copy_folder: Path
) -> None:
    copies.mark(catalog, "chroma", copy_folder)
    copy = copies.recorded(catalog, "chroma")
    assert copy == copies.Copy(folder="chroma-0001", whole=False)
    copies.record(catalog, "chroma", copy_folder, dead=3)
    copy = copies.recorded(catalog, "chroma")
    assert copy is not None
    assert (copy.whole, copy.dead, sorted(copy.files)) == (
        True,
        3,
        ["chroma.sqlite3", "graph/data.bin"],
    )


def test_a_new_folder_has_a_name_of_its_own(tmp_path: Path) -> None:
    assert copies.new_folder(tmp_path, "terms").name == "terms-0001"
    for name in ("terms-0009", "terms-0010", "chroma-0777", "terms-0011.bak", "terms-x"):
        (tmp_path / name).mkdir()
    (tmp_path / "terms-0555").touch()
    assert copies.new_folder(tmp_path, "terms").name == "terms-0011"


def test_sweeping_removes_the_folders_of_no_copy_and_nothing_else(
    catalog: Catalog, copy_folder: Path, tmp_path: Path
) -> None:
    for name in ("chroma-0000", "terms-0001", "terms-0001.bak", "my-notes"):
        (tmp_path / name).mkdir()
    copies.sweep(tmp_path, catalog)
    left = sorted(path.name for path in tmp_path.iterdir() if path.is_dir())
    assert left == ["chroma-0001", "my-notes", "terms-0001.bak"]


class Panic(BaseException):
    """As Rust raises it in Python."""


@pytest.mark.parametrize("error", [ValueError("x"), KeyError("x"), OSError(28, "x"), Panic("x")])
def test_whatever_a_library_raises_is_a_failed_copy(error: BaseException) -> None:
    with pytest.raises(CopyFailed) as failed, guarded():
        raise error
    assert failed.value.__cause__ is error


@pytest.mark.parametrize(
    "error", [KeyboardInterrupt(), MemoryError(), CorpusError("x", path="x"), CopyFailed("x")]
)
def test_what_is_not_the_librarys_passes(error: BaseException) -> None:
    with pytest.raises(type(error)) as passed, guarded():
        raise error
    assert passed.value is error
