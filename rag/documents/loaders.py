"""A file becomes a document: ``load(path)`` -> ``Document``.

1. The file is opened once. What is no regular file, may not be read or is too large is
   refused before any of it is in memory.
2. Its suffix and its first bytes choose a reader (``formats``), one module a format.
3. What the reader found gets a name: an id, a title, and a digest of the text.

Where the file is what a person reads (plain text, Markdown, reStructuredText, CSV, JSON,
source code), the text is the decoded file, character for character. Other formats have no text
of their own; theirs is what a person sees on the page.
"""

import errno
import hashlib
import importlib
import os
import stat
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import BinaryIO

from rag.documents.formats import CODE, SUFFIXES, is_supported, promised, recognise
from rag.documents.parsed import Parsed
from rag.errors import EmptyDocument, UnreadableDocument
from rag.types import Document

__all__ = ["MAX_BYTES", "READER_VERSION", "SUFFIXES", "is_supported", "load"]

READER_VERSION = "3"
"""Raised when a reader makes another text, title or section of the same file; the index
remembers it, and reads files again that an older one has read."""
MAX_BYTES = 100_000_000
"""The default of the setting ``documents.max_bytes``."""
SMALL_BYTES = 32_000
"""Up to so many a plain text is read without protection (`load_small`): notes have less."""
_PLAIN = frozenset({"text", "markdown"})
_READERS: dict[str, str] = {
    "text": "plain.read_text",
    "markdown": "plain.read_markdown",
    "html": "html.read",
    "pdf": "pdf.read",
    "docx": "docx.read",
    "epub": "epub.read",
    "rst": "restructured.read",
    "csv": "records.read_csv",
    "json": "records.read_json",
    "jsonl": "records.read_json",
    "pptx": "slides.read",
    "xlsx": "spreadsheet.read",
    "ipynb": "notebook.read",
    "eml": "mail.read",
    "subtitles": "subtitles.read",
} | dict.fromkeys(CODE.values(), "code.read")
"""Kind -> module and function; imported when it is needed, since a search reads no file."""
_LEFT_OUT = {
    "pages_without_text": "no text on page {}; if it was scanned, run OCR: ocrmypdf in.pdf out.pdf",
    "hidden_sheets": "hidden sheets are not read: {}",
    "formulas_without_value": "{} formulas were never calculated; open and save the file",
    "cells_with_cut_output": "long outputs were cut in cell {}",
    "charts": "the text of charts is not read: {}",
    "diagrams": "the text of diagrams is not read: {}",
    "attachments": "{} attachments are not read; save them as files",
}
"""Metadata that tell of a part which the text lacks -> how that is said."""
_EMPTY = {
    "html": "it holds no text outside scripts; save the page from a browser",
    "pdf": (
        "its pages hold pictures but no text; run OCR first, for example: ocrmypdf in.pdf out.pdf"
    ),
}


def load(path: str | Path, *, id: str | None = None, max_bytes: int = MAX_BYTES) -> Document:  # noqa: A002 - the field's name
    """Read one file, in this process; `sync` has them read by another, within limits.

    Parameters
    ----------
    path : a .txt, .md, .html, .pdf, .docx, .xlsx file and so on; ``SUFFIXES`` lists all.
    id : which document this is; None means the file's name.
    max_bytes : a larger file is refused, unread.

    Returns
    -------
    Document
        Titled as the file says, else by its name without the suffix. ``metadata`` holds
        ``format``; ``encoding`` where the text depends on it; and whatever the reader left
        out or could not read, such as ``pages_without_text`` ("3, 7-9") of a PDF.

    Raises
    ------
    ValueError
        ``max_bytes < 1``.
    UnsupportedFormat
        No reader knows this kind of file, whatever its suffix says.
    UnreadableDocument
        It is not there, may not be read, is no regular file, too large, damaged, encrypted,
        or in no encoding that can be told.
    EmptyDocument
        It holds no text, as scanned pages do.
    MissingDependency
        Its reader needs an extra, as .pptx and .xlsx do.
    """
    if max_bytes < 1:
        raise ValueError(f"max_bytes must be at least 1, not {max_bytes}")
    path = Path(path)
    source = str(path)
    with _opened(path) as file:
        named = promised(path)
        data = _contents(file, max_bytes, source)
    kind = recognise(data, named=named, source=source)
    return _document(data, kind, path=path, id_=path.name if id is None else id)


def may_be_small(path: Path, *, size: int) -> bool:
    """Tell by name and size whether `load_small` would try to read a file."""
    return size <= SMALL_BYTES and SUFFIXES.get(path.suffix.lower()) in _PLAIN


def load_small(path: Path, *, id: str, max_bytes: int) -> Document | None:  # noqa: A002 - as above
    """Read a small plain text, which needs no process of its own; None for any other file.

    Of a kind that this package reads by rules of its own, in UTF-8, and of ``SMALL_BYTES`` at
    most, it meets no library in C that could crash, no recursion, and no rule that takes more
    than a second over so few characters: what chunking does to every text is no less.

    Raises
    ------
    DocumentError
        As `load`.
    """
    most = min(SMALL_BYTES, max_bytes)
    with _opened(path) as file:
        named = promised(path)
        data = file.read(most + 1)
    if named not in _PLAIN or len(data) > most or not _is_utf8(data):
        return None
    kind = recognise(data, named=named, source=str(path))
    return _document(data, kind, path=path, id_=id) if kind in _PLAIN else None


def _is_utf8(data: bytes) -> bool:
    try:
        return "\0" not in data.decode()
    except UnicodeDecodeError:
        return False


def _document(data: bytes, kind: str, *, path: Path, id_: str) -> Document:
    """Read what was recognised, and give it a name."""
    source = str(path)
    parsed = _reader(kind)(data, source=source) if data else Parsed(text="")
    if not parsed.text.strip():
        advice = _EMPTY.get(kind, "it holds no text") if data else "it has no bytes"
        raise EmptyDocument(f"{source!r} is empty: {advice}", source=source)
    return Document(
        id=id_,
        text=parsed.text,
        digest=hashlib.sha256(parsed.text.encode()).hexdigest(),
        title=parsed.title or path.stem,
        source=source,
        pages=parsed.pages,
        sections=parsed.sections,
        metadata=tuple(sorted((*parsed.metadata, ("format", kind)))),
    )


def _reader(kind: str) -> Callable[..., Parsed]:
    module, name = _READERS[kind].split(".")
    read: Callable[..., Parsed] = getattr(importlib.import_module(f"rag.documents.{module}"), name)
    return partial(read, language=kind) if module == "code" else read


def left_out(document: Document) -> list[str]:
    """Say which parts of its file a document lacks, and what to do."""
    metadata = dict(document.metadata)
    return [said.format(metadata[key]) for key, said in _LEFT_OUT.items() if key in metadata]


def _opened(path: Path) -> BinaryIO:
    """Open a file once it is known to be one."""
    try:
        file = open(path, "rb", opener=_without_waiting)  # noqa: SIM115 - the caller closes it
    except OSError as error:
        raise _unopened(str(path), error) from error
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise UnreadableDocument(
            f"{str(path)!r} is no regular file; copy it to one", source=str(path)
        )
    return file


def _without_waiting(path: str, flags: int) -> int:
    """Open a named pipe too without waiting for someone to write to it."""
    return os.open(path, flags | os.O_NONBLOCK)


def _contents(file: BinaryIO, max_bytes: int, source: str) -> bytes:
    try:
        size = os.fstat(file.fileno()).st_size
        data = b"" if size > max_bytes else file.read(size + 1)
        if len(data) > size:  # It has grown meanwhile, or the system makes it as it is read.
            data += file.read(max_bytes + 1 - len(data))
    except OSError as error:
        raise _unopened(source, error) from error
    size = max(size, len(data))
    if size > max_bytes:
        message = (
            f"{source!r} has {size:,} bytes, more than the limit of {max_bytes:,}; split it, or "
            "raise the setting documents.max_bytes"
        )
        raise UnreadableDocument(message, source=source)
    return data


def _unopened(source: str, error: OSError) -> UnreadableDocument:
    match error.errno:
        case errno.ENOENT:
            message = f"{source!r} is not there; it was removed, renamed or never existed"
        case errno.EACCES | errno.EPERM:
            message = f"{source!r} may not be read; grant this user permission to read it"
        case errno.EISDIR:
            message = f"{source!r} is a directory; name a file in it"
        case _:
            message = f"{source!r} cannot be read: {error.strerror or error}"
    return UnreadableDocument(message, source=source)
