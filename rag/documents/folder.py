"""A folder becomes a list of files: ``path`` -> ``Listing``.

1. The folder is walked in the order of names. Symbolic links are never followed.
2. What is hidden (its name begins with a dot), is left out by ``.ragignore``, or is of a kind
   that no reader knows is skipped and listed with the reason; a folder stands for all below it.
3. A name that is not UTF-8 cannot be an id, and a folder that cannot be opened hides what
   lies in it: both are failures, so that nothing is taken for deleted.
"""

import os
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from rag.documents.formats import advice_for
from rag.errors import CorpusError, DocumentError, UnreadableDocument
from rag.types import Failure, Skipped

if TYPE_CHECKING:
    from pathspec import GitIgnoreSpec

IGNORE_FILE = ".ragignore"
"""Patterns of what is left out, in the syntax of ``.gitignore``."""
INDEX_FOLDER = ".rag"
SETTINGS_FILE = "rag.toml"
_OWN = frozenset({IGNORE_FILE, INDEX_FOLDER, SETTINGS_FILE})
"""Not documents and not worth a line in a report."""


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """A file that may become a document."""

    id: str
    """Its POSIX path relative to the corpus."""
    path: Path
    size: int
    mtime_ns: int


@dataclass(slots=True)
class Listing:
    """What lies in a folder, each list in the order of ids."""

    files: list[File] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)
    failed: list[Failure] = field(default_factory=list)


def list_files(folder: Path, *, is_supported: Callable[[Path], bool]) -> Listing:
    """List the files of a corpus.

    Parameters
    ----------
    folder : the corpus; its own ``.ragignore`` holds for everything below.
    is_supported : whether a reader knows this kind of file.

    Raises
    ------
    CorpusError
        The folder itself, or its ``.ragignore``, cannot be read.
    """
    listing = Listing()
    for name, entry in _walk(folder, listing, ignored=_read_ignore(folder)):
        _take(folder, name, entry, listing, is_supported)
    listing.files.sort(key=lambda file: file.id)
    listing.skipped.sort(key=lambda skipped: skipped.id)
    listing.failed.sort(key=lambda failure: failure.id)
    return listing


def left_out(folder: Path) -> Callable[[str], bool]:
    """Tell which paths below a corpus are not listed, as its ``.ragignore`` says now.

    Returns
    -------
    callable
        POSIX path relative to the corpus -> whether it is hidden or left out.

    Raises
    ------
    CorpusError
        The ``.ragignore`` cannot be read.
    """
    ignored = _read_ignore(folder)
    return lambda name: (
        any(part.startswith(".") for part in name.split("/"))
        or name == SETTINGS_FILE
        or ignored.match_file(name)
    )


def _walk(
    folder: Path, listing: Listing, *, ignored: "GitIgnoreSpec"
) -> Iterator[tuple[str, os.DirEntry[str]]]:
    """Yield each entry that is no folder, with its path below the corpus."""
    waiting = [""]
    while waiting:
        directory = waiting.pop()
        try:
            entries = sorted(os.scandir(folder / directory), key=lambda entry: entry.name)
        except OSError as error:
            if not directory:
                message = f"the corpus {folder} cannot be opened: {error.strerror}"
                raise CorpusError(message, path=str(folder)) from error
            message = f"the folder {directory!r} cannot be opened: {error.strerror}"
            listing.failed.append(_failure(directory, message))
            continue
        for entry in entries:
            name = directory + entry.name
            is_folder = entry.is_dir(follow_symlinks=False)
            if not directory and entry.name in _OWN:
                continue
            if not _is_utf8(name):
                message = f"the name '{_shown(name)}' is not UTF-8; rename it"
                listing.failed.append(_failure(_shown(name), message))
            elif entry.name.startswith("."):
                listing.skipped.append(Skipped(id=name + "/" * is_folder, reason="hidden"))
            elif ignored.match_file(name + "/" * is_folder):
                reason = f"left out by {IGNORE_FILE}"
                listing.skipped.append(Skipped(id=name + "/" * is_folder, reason=reason))
            elif is_folder:
                waiting.append(name + "/")
            else:
                yield name, entry


def _take(
    folder: Path,
    name: str,
    entry: os.DirEntry[str],
    listing: Listing,
    is_supported: Callable[[Path], bool],
) -> None:
    """Put one entry into the list it belongs to."""
    path = folder / name
    if entry.is_symlink():
        listing.skipped.append(Skipped(id=name, reason=_about_link(folder, path)))
    elif not entry.is_file(follow_symlinks=False):
        listing.skipped.append(Skipped(id=name, reason="not a regular file"))
    elif not is_supported(path):
        reason = f"no reader for this kind ({path.suffix or 'no suffix'})"
        advice = advice_for(path)
        listing.skipped.append(Skipped(id=name, reason=f"{reason}; {advice}" if advice else reason))
    else:
        try:
            facts = entry.stat(follow_symlinks=False)
        except OSError as error:
            listing.failed.append(_failure(name, f"{name!r} cannot be read: {error.strerror}"))
            return
        listing.files.append(
            File(id=name, path=path, size=facts.st_size, mtime_ns=facts.st_mtime_ns)
        )


def _about_link(folder: Path, path: Path) -> str:
    target = os.path.realpath(path)
    if not target.startswith(os.path.realpath(folder) + os.sep):
        return f"a symbolic link that leaves the corpus ({target})"
    if not os.path.exists(target):  # noqa: PTH110 - Path's raises where a folder is closed.
        return f"a symbolic link to nothing ({target})"
    return "a symbolic link; what it points to is indexed under its own name"


def _read_ignore(folder: Path) -> "GitIgnoreSpec":
    from pathspec import GitIgnoreSpec  # noqa: PLC0415 - only a sync needs it

    path = folder / IGNORE_FILE
    try:
        # A link to nothing is an error too: without its patterns all would be indexed.
        lines = path.read_text(encoding="utf-8-sig").splitlines() if os.path.lexists(path) else []
        return GitIgnoreSpec.from_lines(lines)
    except (OSError, ValueError) as error:  # Of the file, its encoding, or a pattern.
        message = f"{path} cannot be used: {error}; it holds patterns as .gitignore does, in UTF-8"
        raise CorpusError(message, path=str(folder)) from error


def leave_out(folder: Path, ids: Sequence[str]) -> tuple[str, ...]:
    """Write files into ``.ragignore``, behind what stands there.

    Returns
    -------
    tuple of str
        The patterns that were written, each for one file alone.

    Raises
    ------
    ValueError
        A name holds a line break, which no pattern can; nothing was written.
    CorpusError
        ``.ragignore`` cannot be read or written.
    """
    patterns = tuple(_pattern_of(id_) for id_ in ids)
    if not patterns:
        return ()
    path = folder / IGNORE_FILE
    _read_ignore(folder)  # What is not understood already is not added to.
    try:
        before = path.read_bytes() if path.exists() else b""
        line_end = b"\r\n" if b"\r\n" in before else b"\n"
        with path.open("ab") as file:
            if before and not before.endswith(b"\n"):
                file.write(line_end)
            file.write(b"".join(pattern.encode() + line_end for pattern in patterns))
    except OSError as error:
        message = f"{path} cannot be written: {error.strerror}"
        raise CorpusError(message, path=str(folder)) from error
    return patterns


def _pattern_of(id_: str) -> str:
    """Write the pattern that leaves out one file: from the corpus on, and nothing a wildcard."""
    escaped = re.sub(r"([\\*?\[\]])", r"\\\1", id_)
    # White space at the end of a line would be taken off; in brackets it stands.
    pattern = "/" + re.sub(r"(\s)\Z", r"[\1]", escaped)
    if pattern.splitlines() != [pattern]:
        message = (
            f"{id_!r} has a line break in its name, which {IGNORE_FILE} cannot hold; rename it"
        )
        raise ValueError(message)
    return pattern


def _failure(name: str, message: str) -> Failure:
    error: DocumentError = UnreadableDocument(message, source=name)
    return Failure(id=name, error=error)


def _is_utf8(name: str) -> bool:
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:  # The system's bytes come as lone surrogates.
        return False
    return True


def _shown(name: str) -> str:
    return os.fsencode(name).decode("utf-8", "backslashreplace")
