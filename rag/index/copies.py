"""The two copies of the catalog that make searches fast, and whether they can be trusted.

Tantivy's terms and Chroma's vectors lie in numbered folders beside the catalog. After each
finished write the catalog records the files of a copy by size, time and hash; a reader
compares before it opens one. A damaged HNSW file would otherwise be read without an error
and give half of the hits, or end the process.

Of Chroma's SQLite file only the length and the first bytes are compared: every opening writes
into it. No dense search reads anything else of it than where the HNSW files lie, since every
write is in those before it is finished (see `rag.index.chroma`).
"""

import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from types import TracebackType
from typing import Literal

from rag.errors import RagError
from rag.index.catalog import Catalog
from rag.terms import RULES_VERSION

Name = Literal["terms", "chroma"]
NAMES: tuple[Name, ...] = ("terms", "chroma")
_LIVELY = {"chroma.sqlite3"}
"""Files that may grow and change without a write of ours."""
_MAGIC = b"SQLite format 3\0"
_UNCHECKED = {".tantivy-meta.lock", ".tantivy-writer.lock", "chroma.sqlite3-journal"}
_NUMBERED = re.compile(r"(terms|chroma)-(\d+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Copy:
    """What the catalog knows of a copy."""

    folder: str
    whole: bool
    """False from before the first change to after the last."""
    files: dict[str, tuple[int, int, str]] = field(default_factory=dict)
    """Path below the folder -> size, modification time in ns, sha256."""
    dead: int = 0
    """Chunks deleted since the folder was begun, which its graph still holds."""


class CopyFailed(Exception):
    """The library behind a copy raised something; the cause says what."""


class guarded:  # noqa: N801 - reads as the statement that it is
    """Turn whatever a copy's library raises into CopyFailed.

    Chroma and Tantivy raise errors of their own, ``ValueError``, ``KeyError``, plain
    exceptions, and panics of their Rust cores that are no ``Exception`` at all, and document
    none of them.
    """

    def __enter__(self) -> None:
        """Begin."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        """Let pass what is not the library's."""
        ours = KeyboardInterrupt | SystemExit | GeneratorExit | MemoryError | RagError | CopyFailed
        if kind is not None and not issubclass(kind, ours):
            raise CopyFailed(f"{kind.__name__}: {error}") from error


def recorded(catalog: Catalog, name: Name, *, now: bool = False) -> Copy | None:
    """Read what the catalog knows of a copy; ``now`` looks past an open snapshot."""
    read = catalog.latest if now else catalog.get
    text = read(name)
    if text is None or is_outdated(catalog, name):
        return None
    values = json.loads(text)
    values["files"] = {path: tuple(facts) for path, facts in values["files"].items()}
    return Copy(**values)


def is_outdated(catalog: Catalog, name: Name) -> bool:
    """Whether a copy was made by other rules than would be asked of it now."""
    return (
        name == "terms"
        and catalog.get("terms") is not None
        and catalog.get("term_rules") != RULES_VERSION
    )


def mark(catalog: Catalog, name: Name, folder: Path) -> None:
    """Note that a copy is about to be changed: until it is recorded, it is not whole."""
    note(catalog, name, Copy(folder=folder.name, whole=False))


def record(catalog: Catalog, name: Name, folder: Path, *, dead: int = 0) -> None:
    """Note that a copy is whole, and what its files are, once they are safe on the disk."""
    files = {
        path: (*_stat(folder / path), _hash(folder / path, durable=True)) for path in _files(folder)
    }
    for place in {folder, *((folder / path).parent for path in files)}:
        make_durable(place)
    make_durable(folder.parent)
    note(catalog, name, Copy(folder=folder.name, whole=True, files=files, dead=dead))


def note(catalog: Catalog, name: Name, copy: Copy) -> None:
    """Write down what is known of a copy."""
    rules = {"term_rules": RULES_VERSION} if name == "terms" else {}
    catalog.set(**{name: json.dumps(asdict(copy))}, **rules)


def move(copy: Copy, name: Name, *, source: Path, target: Path) -> Copy:
    """Move a copy's folder into another index, where no copy knows it yet."""
    folder = new_folder(target, name)
    (source / copy.folder).rename(folder)
    make_durable(target)
    return replace(copy, folder=folder.name)


def differences(root: Path, copy: Copy, *, alone: bool = False) -> list[str]:
    """List the files of a copy that are not what was recorded; empty means it is whole.

    Sizes and times are looked at first, and the hash only of what differs in time alone.

    Parameters
    ----------
    alone : nobody has Chroma's files open. Only then may its SQLite file be looked into:
        the system drops all of a process's locks on a file when the process closes it once.
    """
    folder = root / copy.folder
    present = set(_files(folder))
    found = sorted(present ^ set(copy.files))
    for path in sorted(present & set(copy.files)):
        try:
            if not _matches(folder / path, *copy.files[path], alone=alone):
                found.append(path)
        except OSError:  # It has vanished since, or may not be read.
            found.append(path)
    return found


def _matches(path: Path, size: int, mtime_ns: int, digest: str, *, alone: bool) -> bool:
    now = _stat(path)
    if path.name in _LIVELY:
        return now[0] >= size and (not alone or _begins_well(path))
    return now[0] == size and (now[1] == mtime_ns or _hash(path) == digest)


def new_folder(root: Path, name: Name) -> Path:
    """Name a folder that no copy has."""
    numbers = [int(number) for _, kind, number in _numbered(root) if kind == name]
    return root / f"{name}-{max(numbers, default=0) + 1:04d}"


def strays(root: Path, catalog: Catalog) -> list[str]:
    """Name the folders that no longer are anybody's copy."""
    current = {copy.folder for name in NAMES if (copy := recorded(catalog, name)) is not None}
    return sorted(path.name for path, _, _ in _numbered(root) if path.name not in current)


def sweep(root: Path, catalog: Catalog) -> None:
    """Delete those folders."""
    for name in strays(root, catalog):
        shutil.rmtree(root / name, ignore_errors=True)


def _numbered(root: Path) -> Iterator[tuple[Path, str, str]]:
    for path in list(root.iterdir()):
        if (match := _NUMBERED.fullmatch(path.name)) and path.is_dir():
            yield path, match[1], match[2]


def _files(folder: Path) -> list[str]:
    return [
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.is_file() and path.name not in _UNCHECKED
    ]


def _stat(path: Path) -> tuple[int, int]:
    facts = path.stat()
    return facts.st_size, facts.st_mtime_ns


def _begins_well(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(len(_MAGIC)) == _MAGIC


def _hash(path: Path, *, durable: bool = False) -> str:
    with path.open("rb") as file:
        if durable:
            os.fsync(file.fileno())
        return hashlib.file_digest(file, "sha256").hexdigest()


def make_durable(folder: Path) -> None:
    """Write a folder's list of names to the disk."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
