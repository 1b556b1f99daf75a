"""Zip archives that DOCX and EPUB files are: opened without trusting them.

Nothing is ever extracted to disk, so the paths inside may say what they like; what they
unpack to is bounded before the first of them is read.
"""

import io
import lzma
import zipfile
import zlib

from rag.errors import UnreadableDocument

LARGEST_UNPACKED = 250_000_000
"""Bytes of everything in an archive. The text of a book unpacks to five times its size and
pictures to their own, so that an honest file within ``documents.max_bytes`` stays below."""
DAMAGE = (
    *(zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError),
    RuntimeError,  # An entry with a password, or compressed as zipfile cannot.
)
"""What ``zipfile`` raises for an archive that is not as it should be."""


def open_archive(data: bytes, *, source: str) -> zipfile.ZipFile:
    """Open an archive in memory.

    Raises
    ------
    UnreadableDocument
        It is damaged, or would unpack to more than ``LARGEST_UNPACKED``.
    """
    try:
        archive = zipfile.ZipFile(io.BytesIO(data))
    except (*DAMAGE, UnicodeDecodeError) as error:
        raise damaged(source, error) from error
    # zipfile stops reading an entry at the size that is declared here, so a lie gains nothing.
    unpacked = sum(entry.file_size for entry in archive.infolist())
    if unpacked > LARGEST_UNPACKED:
        message = (
            f"{source!r} would unpack to {unpacked:,} bytes; more than {LARGEST_UNPACKED:,} "
            "is not read, as the file may be made to exhaust the memory"
        )
        raise UnreadableDocument(message, source=source)
    return archive


def read_member(archive: zipfile.ZipFile, name: str, *, source: str) -> bytes:
    """Read one file of an archive.

    Raises
    ------
    UnreadableDocument
        It is not there, damaged or encrypted.
    """
    try:
        return archive.read(name)
    except KeyError as error:
        raise damaged(source, f"{name!r} is missing in it") from error
    except DAMAGE as error:
        raise damaged(source, error) from error


def damaged(source: str, reason: object) -> UnreadableDocument:
    """Make the error of a file that is not as its format says."""
    message = f"{source!r} is damaged: {reason}; get it again from where it came from"
    return UnreadableDocument(message, source=source)
