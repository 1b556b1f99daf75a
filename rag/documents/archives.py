"""Zip archives that DOCX and EPUB files are: opened without trusting them.

1. Nothing is ever extracted to disk, so the paths inside may say what they like; what they
   unpack to is bounded before the first of them is read.
2. XML is parsed without a network and without entities, and within libxml2's own bounds: 256
   nested elements, ten million characters in one text.
"""

import io
import posixpath
import struct
import unicodedata
import zipfile
import zlib
from collections.abc import Iterator, Mapping
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
