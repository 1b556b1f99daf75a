"""Which reader a file needs: its suffix is a promise, its first bytes are the fact."""

import io
import zipfile
from pathlib import PurePath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag.documents.formats import SUFFIXES, is_supported, promised, recognise
from rag.errors import UnreadableDocument, UnsupportedFormat
from tests.documents.make_pdf import make_pdf

KNOWN = (
    "known are .txt, .text, .log, .md, .markdown, .html, .htm, .xhtml, .pdf, .docx, .epub, .rst, "
    ".pptx, .pptm, .xlsx, .xlsm, .csv, .tsv, .json, .jsonl, .ndjson, .ipynb, .eml, .srt, .vtt and "
    "source code"
)
OLD_OFFICE = bytes.fromhex("d0cf11e0a1b11ae1") + bytes(504)


def archive(*names: str) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as written:
        for name in names:
            written.writestr(name, "x")
    return out.getvalue()


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("a.txt", "text"),
        ("a.TXT", "text"),
        ("a.text", "text"),
        ("县志.md", "markdown"),
        ("a.b.markdown", "markdown"),
        ("a.html", "html"),
        ("a.HTM", "html"),
        ("a.xhtml", "html"),
        ("folder.pdf/a.pdf", "pdf"),
        ("a.docx", "docx"),
        ("a.epub", "epub"),
        ("a.rst", "rst"),
        ("a.pptx", "pptx"),
        ("a.XLSM", "xlsx"),
        ("a.tsv", "csv"),
        ("a.ndjson", "jsonl"),
        ("a.ipynb", "ipynb"),
        ("a.eml", "eml"),
        ("a.vtt", "subtitles"),
        ("a.py", "python"),
        ("a.tsx", "typescript"),
        ("a.hpp", "c"),
        ("a.yml", "yaml"),
    ],
)
def test_a_suffix_promises_a_format(name: str, kind: str) -> None:
    assert is_supported(PurePath(name))
    assert promised(PurePath(name)) == kind


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("a.doc", "'a.doc': files of the kind '.doc' are not read; save it as .docx"),
        ("a.RTF", "'a.RTF': files of the kind '.rtf' are not read; save it as .docx"),
        ("a.ppt", "'a.ppt': files of the kind '.ppt' are not read; save it as .pptx"),
        ("a.xls", "'a.xls': files of the kind '.xls' are not read; save it as .xlsx"),
        ("a.msg", "'a.msg': files of the kind '.msg' are not read; save it as .eml"),
        ("a.mobi", "'a.mobi': files of the kind '.mobi' are not read; convert it to .epub"),
        ("a.tar.gz", "'a.tar.gz': files of the kind '.gz' are not read; unpack it"),
        ("a.png", f"'a.png': files of the kind '.png' are not read; {KNOWN}"),
        ("README", f"'README': its name has no suffix; {KNOWN}"),
        (".txt", f"'.txt': its name has no suffix; {KNOWN}"),
    ],
)
def test_a_kind_that_no_reader_knows_is_refused_with_advice(name: str, message: str) -> None:
    assert not is_supported(PurePath(name))
    with pytest.raises(UnsupportedFormat) as told:
        promised(PurePath(name))
    assert (str(told.value), told.value.source) == (message, name)


@pytest.mark.parametrize("named", sorted(set(SUFFIXES.values())))
def test_a_signature_wins_over_the_suffix(named: str) -> None:
    assert recognise(make_pdf([["x"]]), named=named, source="x") == "pdf"
    word = archive("[Content_Types].xml", "word/document.xml")
    assert recognise(word, named=named, source="x") == "docx"
    book = archive("mimetype", "META-INF/container.xml", "OEBPS/1.xhtml")
    assert recognise(book, named=named, source="x") == "epub"
    assert recognise(archive("ppt/presentation.xml"), named=named, source="x") == "pptx"
    assert recognise(archive("xl/workbook.xml"), named=named, source="x") == "xlsx"


@pytest.mark.parametrize("named", sorted(set(SUFFIXES.values())))
@pytest.mark.parametrize("data", [b"", b"plain text", b"<p>a page", "水费".encode("utf-16")])
def test_without_a_signature_the_suffix_is_believed(data: bytes, named: str) -> None:
    assert recognise(data, named=named, source="x") == named


@pytest.mark.parametrize(
    "data",
    [
        b"PK is a pair of letters",
        b"GIF89a is an image format of 1989",
        b"%PDF-1.7 is how a PDF begins",
        b"7z packs well",
        b"Rar! it said",
        b"SQLite format 3 is a file format",
        b"\\rtf1",
    ],
)
def test_a_text_that_begins_like_a_signature_stays_text(data: bytes) -> None:
    assert recognise(data, named="text", source="x.txt") == "text"


@pytest.mark.parametrize(
    ("data", "really"),
    [
        (b"\x89PNG\r\n\x1a\n", "a PNG image; text in images needs OCR"),
        (b"\xff\xd8\xff\xe0\x00\x10JFIF", "a JPEG image; text in images needs OCR"),
        (b"GIF89a\x01\x00\x01\x00", "a GIF image; text in images needs OCR"),
        (archive("a.txt"), "a zip archive; unpack it"),
        (archive(), "a zip archive; unpack it"),
        (archive("a.txt")[:40], "a zip archive; unpack it"),
        (archive("xl/workbook.bin"), "a binary workbook; save it as .xlsx"),
        (
            archive("mimetype", "content.xml"),
            "an OpenDocument file; save it as .docx, .xlsx or .pptx",
        ),
        (b"\x1f\x8b\x08", "a gzip archive; unpack it"),
        (b"7z\xbc\xaf\x27\x1c\x00", "a 7z archive; unpack it"),
        (b"Rar!\x1a\x07\x01\x00", "a RAR archive; unpack it"),
        (b"\xfd7zXZ\x00", "an xz archive; unpack it"),
        (OLD_OFFICE, "an old Office file; save it as .docx, .xlsx or .pptx"),
        (rb"{\rtf1\ansi text}", "an RTF file; save it as .docx"),
        (b"\x7fELF\x02", "a program"),
        (b"SQLite format 3\x00", "a database"),
    ],
)
@pytest.mark.parametrize("named", ["text", "markdown", "html", "pdf"])
def test_what_no_reader_knows_is_called_what_it_is(data: bytes, really: str, named: str) -> None:
    with pytest.raises(UnsupportedFormat) as told:
        recognise(data, named=named, source="notes.txt")
    assert str(told.value) == f"'notes.txt' is really {really}"


@pytest.mark.parametrize("named", ["docx", "epub", "pptx", "xlsx"])
def test_a_damaged_archive_goes_to_the_reader_that_its_suffix_names(named: str) -> None:
    assert recognise(archive("word/document.xml")[:40], named=named, source="x") == named
    assert recognise(archive("a.txt"), named=named, source="x") == named


def test_an_old_word_file_under_a_new_suffix_is_told() -> None:
    with pytest.raises(UnsupportedFormat, match=r"really an old Office file; save it as \.docx"):
        recognise(OLD_OFFICE, named="docx", source="report.docx")


def test_a_docx_with_a_password_says_so() -> None:
    data = OLD_OFFICE + "EncryptedPackage".encode("utf-16-le") + bytes(32)
    with pytest.raises(UnreadableDocument, match=r"'a\.docx' is encrypted; save it without a pass"):
        recognise(data, named="docx", source="a.docx")


@given(st.binary(max_size=60), st.integers(0, 200), st.sampled_from([b"PK\x03\x04", b"PK\x05\x06"]))
def test_no_damage_to_an_archive_is_more_than_an_archive_that_is_unknown(
    noise: bytes, place: int, start: bytes
) -> None:
    whole = archive("word/document.xml", "水.xml")
    data = start + whole[4:place] + noise + whole[place + len(noise) :]
    assert recognise(data, named="docx", source="x") in {"docx", "epub"}
