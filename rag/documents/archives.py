"""Zip archives that Office and EPUB files are: opened without trusting them.

1. Nothing is ever extracted to disk, so the paths inside may say what they like; what they
   unpack to is bounded before the first of them is read.
2. XML is parsed without a network and without entities, and within libxml2's own bounds: 256
   nested elements, ten million characters in one text.
3. Libraries that open an archive themselves get a copy that keeps these promises.
"""

import io
import posixpath
import struct
import unicodedata
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rag.errors import UnreadableDocument

if TYPE_CHECKING:
    from lxml.etree import _Element

LARGEST_UNPACKED = 250_000_000
"""Bytes of everything in an archive. The text of a book unpacks to five times its size and
pictures to their own, so that an honest file within ``documents.max_bytes`` stays below."""
DAMAGE = (
    *(zipfile.BadZipFile, zlib.error, EOFError, OSError, struct.error),
    RuntimeError,  # Compressed or encrypted as zipfile cannot.
    ValueError,  # A place outside the file, a name that is not UTF-8.
)
"""What ``zipfile`` raises for an archive that is not as it should be."""
_UNEXPECTED: tuple[type[Exception], ...] = (
    *(*DAMAGE, ArithmeticError, AssertionError, AttributeError, LookupError),
    *(SyntaxError, TypeError),
)
"""What a library raises that meets in a file what its format rules out."""
_METHODS = frozenset({zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED})
"""How both formats allow their files to be compressed."""
_ENCRYPTED = 0x1
_UTF8_NAME = 0x800
"""Flags of an entry, after PKWARE's APPNOTE, 4.4.4."""
_XML: Mapping[str, Any] = {
    "resolve_entities": False,
    "no_network": True,
    "remove_comments": True,
    "remove_pis": True,
    "huge_tree": False,
}


@dataclass(frozen=True, slots=True)
class Archive:
    """The files of a document, in memory."""

    source: str
    """Names the document in errors."""
    _zip: zipfile.ZipFile
    _names: Mapping[str, str]
    """Names that mean a file -> the name it is stored under."""

    def find(self, path: str) -> str | None:
        """Tell under which name a file is stored; None if it is not there.

        Both formats want the very name, in UTF-8, with slashes. Case, backslashes, accents
        set apart from their letters, and UTF-8 that is not marked as such make no
        difference here, as some programs do not care.
        """
        return self._names.get(path, self._names.get(_folded(path)))

    def read(self, path: str) -> bytes:
        """Read a file.

        Raises
        ------
        UnreadableDocument
            It is not there, damaged or encrypted.
        """
        name = self.find(path)
        if name is None:
            raise self.damaged(f"{path!r} is missing in it")
        entry = self._zip.getinfo(name)
        if entry.flag_bits & _ENCRYPTED:
            message = f"{self.source!r} is encrypted; save it without a password"
            raise UnreadableDocument(message, source=self.source)
        if entry.compress_type not in _METHODS:
            raise self.damaged(f"{path!r} is compressed in a way that its format has not")
        try:
            with self._zip.open(entry) as file:
                # Asked for no more than was declared, zipfile unpacks no more, whatever follows.
                return file.read(entry.file_size)
        except DAMAGE as error:
            raise self.damaged(error) from error

    def xml(self, path: str) -> "_Element":
        """Parse a file of XML.

        Raises
        ------
        UnreadableDocument
            It cannot be read, is not well formed, or nested deeper than 256 elements.
        """
        from lxml import etree  # noqa: PLC0415

        try:
            return etree.fromstring(self.read(path), etree.XMLParser(**_XML))
        except etree.XMLSyntaxError as error:
            raise self.damaged(f"{path!r}, {error}") from error

    def recovered_xml(self, path: str) -> "_Element | None":
        """Parse as much of a file of XML as can be made out; None if that is nothing.

        Raises
        ------
        UnreadableDocument
            The file cannot be read.
        """
        from lxml import etree  # noqa: PLC0415

        data = self.read(path)
        try:
            return etree.fromstring(data, etree.XMLParser(recover=True, **_XML))
        except etree.XMLSyntaxError:
            return None

    def iterate_xml(self, path: str, *, parent: str) -> Iterator["_Element"]:
        """Parse a large file of XML piece by piece, so that it is never whole in memory.

        Parameters
        ----------
        path : the file.
        parent : the local name of the element under the root whose children are yielded;
            each is emptied once the next is asked for.

        Raises
        ------
        UnreadableDocument
            The file cannot be read, is not well formed, declares a document type, is nested
            deeper than 256 elements, or has no such parent.
        """
        from lxml import etree  # noqa: PLC0415

        found = False
        try:
            for _, element in etree.iterparse(io.BytesIO(self.read(path)), **_XML):
                above = element.getparent()
                root = None if above is None else above.getparent()
                if root is None:
                    found = found or (above is not None and _local(element) == parent)
                elif root.getparent() is None and _local(above) == parent:
                    if root.getroottree().docinfo.internalDTD is not None:
                        raise self.damaged("it declares a document type, which its format has not")
                    yield element
                    element.clear()
                    while element.getprevious() is not None:
                        del above[0]
        except etree.XMLSyntaxError as error:
            raise self.damaged(f"{path!r}, {error}") from error
        if not found:
            raise self.damaged(f"{path!r} has no {parent!r}")

    def names(self) -> list[str]:
        """List the names of all files, as they are stored."""
        return self._zip.namelist()

    def repacked(self, *, source_of_text: tuple[str, ...] = (".xml", ".rels")) -> io.BytesIO:
        """Write a copy for a library that opens archives itself.

        Every file in it is as large as it says, is compressed by no more than its format
        allows, and holds no document type, the only place where XML defines entities. What
        is no XML (pictures, fonts, macros) is there but empty.

        Parameters
        ----------
        source_of_text : the suffixes of what is copied.

        Raises
        ------
        UnreadableDocument
            A file in it is damaged, encrypted, or declares a document type.
        """
        copy = io.BytesIO()
        with zipfile.ZipFile(copy, "w", zipfile.ZIP_STORED) as written:
            for name in dict.fromkeys(self.names()):
                data = b""
                if name.lower().endswith(source_of_text):
                    data = self.read(name)
                    # UTF-16 has a NUL beside each of these letters.
                    plain = data.replace(b"\0", b"") if b"\0" in data[:8] else data
                    if b"<!DOCTYPE" in plain:
                        raise self.damaged(f"{name!r} declares a document type, which none may")
                written.writestr(zipfile.ZipInfo(name), data)
        copy.seek(0)
        return copy

    def damaged(self, reason: object) -> UnreadableDocument:
        """Make the error of a file that is not as its format says."""
        return _damaged(self.source, reason)


def open_archive(data: bytes, *, source: str) -> Archive:
    """Open an archive in memory.

    Raises
    ------
    UnreadableDocument
        It is damaged, or would unpack to more than ``LARGEST_UNPACKED``.
    """
    try:
        archive = zipfile.ZipFile(io.BytesIO(data))
    except DAMAGE as error:
        raise _damaged(source, error) from error
    entries = archive.infolist()
    unpacked = sum(entry.file_size for entry in entries)
    if unpacked > LARGEST_UNPACKED:
        message = (
            f"{source!r} would unpack to {unpacked:,} bytes; more than {LARGEST_UNPACKED:,} "
            "is not read, as the file may be made to exhaust the memory"
        )
        raise UnreadableDocument(message, source=source)
    names = {_folded(_as_utf8(entry)): entry.filename for entry in entries}
    names |= {_folded(entry.filename): entry.filename for entry in entries}
    names |= {entry.filename: entry.filename for entry in entries}
    return Archive(source, archive, names)


@contextmanager
def damage_told(source: str, *errors: type[Exception]) -> Iterator[None]:
    """Turn whatever a library raises over a damaged file into our error.

    Parameters
    ----------
    source : names the file.
    errors : the library's own errors.

    Raises
    ------
    UnreadableDocument
        In place of those, and of what Python raises where a value is not what it should be.
    """
    try:
        yield
    except (*_UNEXPECTED, *errors) as error:
        raise _damaged(source, f"{type(error).__name__}, {error}") from error


def resolve(base: str, href: str) -> str:
    """Tell which file a path means that stands in another; it never leaves the archive.

    Examples
    --------
    >>> resolve("OEBPS/text/content.opf", "../chapter.xhtml")
    'OEBPS/chapter.xhtml'
    >>> resolve("content.opf", "../../../etc/passwd")
    'etc/passwd'
    """
    folder = posixpath.dirname(f"/{base}")
    return posixpath.normpath(posixpath.join(folder, href)).lstrip("/")


def _damaged(source: str, reason: object) -> UnreadableDocument:
    message = f"{source!r} is damaged: {reason}; get it again from where it came from"
    return UnreadableDocument(message, source=source)


def _folded(name: str) -> str:
    return unicodedata.normalize("NFC", name.replace("\\", "/")).casefold()


def _as_utf8(entry: zipfile.ZipInfo) -> str:
    """Read a name as the UTF-8 that it may be; unmarked, zipfile reads it as cp437."""
    if entry.flag_bits & _UTF8_NAME:
        return entry.filename
    try:
        return entry.filename.encode("cp437").decode()
    except UnicodeError:
        return entry.filename


def _local(element: "_Element") -> str:
    return str(element.tag).rpartition("}")[2]
