"""Which reader a file needs: ``(name, data)`` -> the name of a format.

The suffix is a promise, the first bytes are the fact. Where a format has a signature of its
own (PDF, DOCX, PPTX, XLSX, EPUB) the bytes win over the suffix; where they show something
else, such as an archive or an image, the file is refused with what it really is.
"""

import io
import re
import zipfile
from collections.abc import Mapping
from pathlib import PurePath

from rag.errors import UnreadableDocument, UnsupportedFormat

CODE: dict[str, str] = {
    ".py": "python",
    ".pyi": "python",
    ".js": "javascript",
    ".mjs": "javascript",
    ".cjs": "javascript",
    ".jsx": "javascript",
    ".ts": "typescript",
    ".tsx": "typescript",
    ".java": "java",
    ".kt": "kotlin",
    ".cs": "csharp",
    ".swift": "swift",
    ".php": "php",
    ".go": "go",
    ".rs": "rust",
    ".c": "c",
    ".h": "c",
    ".cc": "c",
    ".cpp": "c",
    ".hpp": "c",
    ".rb": "ruby",
    ".sh": "shell",
    ".bash": "shell",
    ".sql": "sql",
    ".toml": "toml",
    ".ini": "toml",
    ".cfg": "toml",
    ".yaml": "yaml",
    ".yml": "yaml",
}
"""Suffix -> programming language, or a family of them whose definitions look alike."""
SUFFIXES: Mapping[str, str] = {
    ".txt": "text",
    ".text": "text",
    ".log": "text",
    ".md": "markdown",
    ".markdown": "markdown",
    ".html": "html",
    ".htm": "html",
    ".xhtml": "html",
    ".pdf": "pdf",
    ".docx": "docx",
    ".epub": "epub",
    ".rst": "rst",
    ".pptx": "pptx",
    ".pptm": "pptx",
    ".xlsx": "xlsx",
    ".xlsm": "xlsx",
    ".csv": "csv",
    ".tsv": "csv",
    ".json": "json",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".ipynb": "ipynb",
    ".eml": "eml",
    ".srt": "subtitles",
    ".vtt": "subtitles",
} | CODE
"""Suffix, in lower case -> the format that it promises."""
LINES = frozenset({"csv", "json", "jsonl", *CODE.values()})
"""Formats whose unit is the line: a record, a statement. Sentences mean nothing in them."""
_KNOWN = ", ".join(suffix for suffix in SUFFIXES if suffix not in CODE) + " and source code"

_ADVICE = {
    ".doc": "save it as .docx",
    ".dot": "save it as .docx",
    ".docm": "save it as .docx",
    ".odt": "save it as .docx",
    ".rtf": "save it as .docx",
    ".wps": "save it as .docx",
    ".pages": "save it as .docx or .pdf",
    ".ppt": "save it as .pptx",
    ".pps": "save it as .pptx",
    ".ppsx": "save it as .pptx",
    ".potx": "save it as .pptx",
    ".odp": "save it as .pptx",
    ".key": "save it as .pptx or .pdf",
    ".xls": "save it as .xlsx",
    ".xlsb": "save it as .xlsx",
    ".ods": "save it as .xlsx",
    ".numbers": "save it as .xlsx",
    ".msg": "save it as .eml",
    ".mbox": "save its messages as .eml",
    ".mobi": "convert it to .epub",
    ".azw3": "convert it to .epub",
    ".mht": "save the page as .html",
    ".mhtml": "save the page as .html",
} | dict.fromkeys(
    (".zip", ".7z", ".rar", ".tar", ".gz", ".tgz", ".bz2", ".xz", ".zst"), "unpack it"
)
_SIGNATURES = (
    (re.compile(rb"%PDF-\d\.\d[ \t]*[\r\n]"), "pdf", ""),
    (re.compile(rb"PK(?:\x03\x04|\x05\x06)"), "a zip archive", "unpack it"),
    (re.compile(rb"\x1f\x8b"), "a gzip archive", "unpack it"),
    (re.compile(rb"7z\xbc\xaf\x27\x1c"), "a 7z archive", "unpack it"),
    (re.compile(rb"Rar!\x1a\x07"), "a RAR archive", "unpack it"),
    (re.compile(rb"\xfd7zXZ\x00"), "an xz archive", "unpack it"),
    (
        re.compile(rb"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"),
        "an old Office file",
        "save it as .docx, .xlsx or .pptx",
    ),
    (re.compile(rb"\{\\rtf1"), "an RTF file", "save it as .docx"),
    (re.compile(rb"\x89PNG\r\n"), "a PNG image", "text in images needs OCR"),
    (re.compile(rb"\xff\xd8\xff"), "a JPEG image", "text in images needs OCR"),
    # A text may begin with these letters, but goes on without a NUL.
    (re.compile(rb"GIF8[79]a(?s:.{0,6})\0"), "a GIF image", "text in images needs OCR"),
    (re.compile(rb"\x7fELF"), "a program", ""),
    (re.compile(rb"SQLite format 3\x00"), "a database", ""),
)
"""What a file begins with -> a format of ours, or what else it is and what to do."""
_MEMBERS = (
    ("word/", "docx", ""),
    ("META-INF/container.xml", "epub", ""),
    ("ppt/", "pptx", ""),
    ("xl/workbook.bin", "a binary workbook", "save it as .xlsx"),
    ("xl/", "xlsx", ""),
    ("content.xml", "an OpenDocument file", "save it as .docx, .xlsx or .pptx"),
)
"""What the name of a file in a zip archive begins with -> what the archive is, what to do."""
_ARCHIVES = frozenset({"docx", "epub", "pptx", "xlsx"})
_ENCRYPTED_OFFICE = "EncryptedPackage".encode("utf-16-le")
"""With a password an Office file is wrapped in the container of old ones, under this name."""


def is_supported(path: PurePath) -> bool:
    """Tell by the suffix whether a reader knows this kind of file."""
    return path.suffix.lower() in SUFFIXES


def advice_for(path: PurePath) -> str | None:
    """Say how a file that no reader knows becomes one that is read; None where nothing is known.

    Examples
    --------
    >>> advice_for(PurePath("annals.tar.gz"))
    'unpack it'
    """
    return _ADVICE.get(path.suffix.lower())


def promised(path: PurePath) -> str:
    """Tell the format that a suffix promises.

    Raises
    ------
    UnsupportedFormat
        No reader knows it; the message says which are known, and what to do.
    """
    suffix = path.suffix.lower()
    if suffix in SUFFIXES:
        return SUFFIXES[suffix]
    what = f"files of the kind {suffix!r} are not read" if suffix else "its name has no suffix"
    advice = advice_for(path) or f"known are {_KNOWN}"
    raise UnsupportedFormat(f"{str(path)!r}: {what}; {advice}", source=str(path))


def recognise(data: bytes, *, named: str, source: str) -> str:
    """Tell the format of a file by its contents.

    Parameters
    ----------
    data : the whole file.
    named : the format that its suffix promises.
    source : names the file in errors.

    Returns
    -------
    str
        One of the values of ``SUFFIXES``.

    Raises
    ------
    UnsupportedFormat
        It is really something that no reader knows.
    UnreadableDocument
        It is an Office file with a password.
    """
    matches = (what for signature, *what in _SIGNATURES if signature.match(data))
    kind, advice = next(matches, (named, ""))
    if kind == "a zip archive":
        otherwise = (named, "") if named in _ARCHIVES else (kind, advice)
        kind, advice = _in_archive(data) or otherwise
    if kind in SUFFIXES.values():
        return kind
    if kind == "an old Office file" and _ENCRYPTED_OFFICE in data:
        message = f"{source!r} is encrypted; save it without a password"
        raise UnreadableDocument(message, source=source)
    message = f"{source!r} is really {kind}" + (f"; {advice}" if advice else "")
    raise UnsupportedFormat(message, source=source)


def _in_archive(data: bytes) -> tuple[str, str] | None:
    """Tell what a zip archive is by what lies in it, and what to do about it.

    None if it is damaged, or nothing but an archive.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, NotImplementedError, UnicodeDecodeError):
        return None
    for prefix, kind, advice in _MEMBERS:
        if any(name.startswith(prefix) for name in names):
            return kind, advice
    return None
