"""Small files that claim, repeat or refer to what is not in them."""

import base64
import io
import json
import re
import zipfile
from collections.abc import Sequence
from email.message import EmailMessage
from pathlib import Path

import pytest

from rag.documents.loaders import load
from rag.errors import DocumentError, UnreadableDocument, UnsupportedFormat
from tests.documents.test_hostile import FILES, TEXT, inside, part

SHEET = "xl/worksheets/sheet1.xml"
SLIDES = "ppt/presentation.xml"


def loaded(folder: Path, name: str, data: bytes) -> str:
    path = folder / name
    path.write_bytes(data)
    return load(path).text


def a_sheet(rows: str, *, dimension: str) -> bytes:
    contents = (
        '<worksheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main">'
        f'<dimension ref="{dimension}"/><sheetData>{rows}</sheetData></worksheet>'
    )
    return inside(FILES["a.xlsx"], SHEET, contents.encode())


def a_cell(place: str, value: int) -> str:
    return f'<row r="{re.sub("[A-Z]", "", place)}"><c r="{place}"><v>{value}</v></c></row>'


def test_a_sheet_is_as_large_as_what_is_in_it_whatever_it_claims(tmp_path: Path) -> None:
    data = a_sheet(a_cell("A1", 7), dimension="A1:XFD1048576")
    assert loaded(tmp_path, "a.xlsx", data).startswith("Sheet\n\n7\n\nb")


@pytest.mark.slow
def test_a_cell_in_the_last_corner_of_a_sheet_is_read(tmp_path: Path) -> None:
    data = a_sheet(a_cell("A1", 7) + a_cell("XFD1048576", 8), dimension="A1")
    assert loaded(tmp_path, "a.xlsx", data).startswith("Sheet\n\n7\n\n8\n\nb")


LAUGHS = "".join(
    f'<!ENTITY a{n} "{f"&a{n - 1};" * 10 if n else "laugh"}">' for n in range(9)
).encode()


@pytest.mark.parametrize(
    ("name", "entry"),
    [
        ("a.docx", "word/document.xml"),
        ("a.docx", "word/styles.xml"),
        ("a.pptx", "ppt/slides/slide1.xml"),
        ("a.xlsx", SHEET),
        ("a.epub", "a.xhtml"),
        ("a.epub", "c.opf"),
    ],
)
@pytest.mark.parametrize(
    "entities", [LAUGHS, b'<!ENTITY a8 SYSTEM "file:///etc/passwd">'], ids=["inner", "outer"]
)
def test_no_entity_becomes_text(tmp_path: Path, name: str, entry: str, entities: bytes) -> None:
    contents = part(name, entry)
    if contents.startswith(b"<?xml"):
        contents = contents.partition(b"?>")[2]
    named = re.sub(rb">([^<>]*(?:pilot|Dues)[^<>]*)<", rb">&a8;\1<", contents)
    data = inside(FILES[name], entry, b"<!DOCTYPE x [" + entities + b"]>" + named)
    try:
        text = loaded(tmp_path, name, data)
    except UnreadableDocument:
        return
    assert "laugh" not in text
    assert "root:" not in text
    assert len(text) < 300


def test_a_chapter_that_a_book_names_ten_thousand_times_is_read_once(tmp_path: Path) -> None:
    named = b'<itemref idref="a"/>'
    package = part("a.epub", "c.opf").replace(named, named * 10_000)
    text = loaded(tmp_path, "a.epub", inside(FILES["a.epub"], "c.opf", package))
    assert text.count(TEXT) == 1


def test_a_document_that_lies_outside_its_archive_is_not_there(tmp_path: Path) -> None:
    relations = part("a.docx", "_rels/.rels").replace(b"word/document.xml", b"../../../etc/passwd")
    with pytest.raises(DocumentError):
        loaded(tmp_path, "a.docx", inside(FILES["a.docx"], "_rels/.rels", relations))


@pytest.mark.parametrize("target", [b"slide1.xml", b"../presentation.xml"])
def test_a_slide_that_refers_to_itself_ends(tmp_path: Path, target: bytes) -> None:
    entry = "ppt/slides/_rels/slide1.xml.rels"
    relations = re.sub(
        rb'Target="[^"]*Layout[^"]*"', b'Target="%s"' % target, part("a.pptx", entry)
    )
    try:
        text = loaded(tmp_path, "a.pptx", inside(FILES["a.pptx"], entry, relations))
    except UnreadableDocument:
        return
    assert text.count("Dues") == 1


def a_pdf(objects: Sequence[bytes]) -> bytes:
    """Write the objects of a PDF, the first of which is its catalog."""
    parts = [b"%PDF-1.4\n"]
    places = []
    place = len(parts[0])
    for number, contents in enumerate(objects, 1):
        places.append(place)
        parts.append(b"%d 0 obj\n%s\nendobj\n" % (number, contents))
        place += len(parts[-1])
    parts.append(b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1))
    parts += [b"%010d 00000 n \n" % at for at in places]
    parts.append(b"trailer<</Size %d/Root 1 0 R>>\n" % (len(objects) + 1))
    parts.append(b"startxref\n%d\n%%%%EOF" % place)
    return b"".join(parts)


def pages(tree: bytes, *more: bytes, drawn: bytes = b"", resources: bytes = b"") -> bytes:
    """Write a PDF whose page tree is ``tree``; object 3 is a page that says one sentence."""
    said = drawn + b"BT /F 9 Tf 10 100 Td (The pilot boards) Tj ET"
    return a_pdf(
        [
            b"<</Type/Catalog/Pages 2 0 R>>",
            b"<</Type/Pages" + tree + b">>",
            b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 200 200]/Contents 4 0 R/Resources<<"
            b"/Font<</F<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>>>" + resources + b">>>>",
            b"<</Length %d>>stream\n%s\nendstream" % (len(said), said),
            *more,
        ]
    )


def drawing_itself() -> bytes:
    """Write a page whose picture draws itself, three times."""
    again = b"/X Do /X Do /X Do"
    picture = (
        b"<</Type/XObject/Subtype/Form/BBox[0 0 9 9]/Resources<</XObject<</X 5 0 R>>>>"
        b"/Length %d>>stream\n%s\nendstream" % (len(again), again)
    )
    resources = b"/XObject<</X 5 0 R>>"
    return pages(b"/Count 1/Kids[3 0 R]", picture, drawn=b"/X Do ", resources=resources)


@pytest.mark.parametrize(
    "tree", [b"/Count 2000000000/Kids[3 0 R]", b"/Count 1/Kids[3 0 R]/Parent 2 0 R"]
)
def test_a_pdf_has_the_pages_that_are_in_it(tmp_path: Path, tree: bytes) -> None:
    assert loaded(tmp_path, "a.pdf", pages(tree)) == "The pilot boards"


def test_a_pdf_whose_pages_hold_each_other_is_damaged(tmp_path: Path) -> None:
    with pytest.raises(UnreadableDocument, match="page 2 of 9 cannot be read"):
        loaded(tmp_path, "a.pdf", pages(b"/Count 9/Kids[2 0 R 3 0 R 2 0 R]"))


def test_a_pdf_of_many_objects_that_mean_nothing_is_read(tmp_path: Path) -> None:
    data = pages(b"/Count 1/Kids[3 0 R]", *[b"null"] * 200_000)
    assert loaded(tmp_path, "a.pdf", data) == "The pilot boards"


def test_what_a_page_refers_to_is_not_fetched(tmp_path: Path) -> None:
    (tmp_path / "secret.txt").write_text("the combination of the safe", encoding="utf-8")
    address = (tmp_path / "secret.txt").as_uri()
    page = (
        f"<link rel=stylesheet href={address}><img src={address}><iframe src={address}></iframe>"
        f"<object data={address}></object><script src={address}></script><p>water"
    )
    assert loaded(tmp_path, "a.html", page.encode()) == "water"


def test_pictures_in_the_outputs_of_a_notebook_are_no_text(tmp_path: Path) -> None:
    picture = {"image/png": base64.b64encode(bytes(3_000_000)).decode()}
    cell = {
        "cell_type": "code",
        "source": "plot()",
        "outputs": [{"output_type": "display_data", "data": picture}],
    }
    text = loaded(tmp_path, "a.ipynb", json.dumps({"cells": [cell]}).encode())
    assert text == "```\nplot()\n```"


def a_letter(depth: int) -> bytes:
    """Write a message that lies in a message, and so on."""
    letter = EmailMessage()
    letter["Subject"] = "Dues"
    letter.set_content("x")
    head = b"Subject: Dues\nContent-Type: message/rfc822\n\n"
    return head * depth + letter.as_bytes()


@pytest.mark.parametrize(
    ("data", "limit"),
    [
        (a_letter(2_000), "20 levels|damaged"),
        (
            b"Subject: x\nContent-Type: multipart/mixed; boundary=b\n\n"
            + b"--b\nContent-Type: text/plain\n\nx\n" * 20_000
            + b"--b--",
            "1,000 parts",
        ),
    ],
    ids=["nested", "many"],
)
def test_a_message_of_messages_is_refused(tmp_path: Path, data: bytes, limit: str) -> None:
    with pytest.raises(UnreadableDocument, match=limit):
        loaded(tmp_path, "a.eml", data)


def a_zip() -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("a.txt", "x")
    return out.getvalue()


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("a.zip", a_zip()),
        ("a.tar.gz", b"\x1f\x8b\x08"),
        ("a.7z", b"7z\xbc\xaf\x27\x1c"),
        ("a.rar", b"Rar!\x1a\x07\x00"),
        ("a.tar", b"a.txt"),
        ("a.txt", a_zip()),
        ("b.txt", b"\x1f\x8b\x08"),
        ("c.txt", b"7z\xbc\xaf\x27\x1c"),
        ("d.txt", b"Rar!\x1a\x07\x00"),
    ],
)
def test_an_archive_is_to_be_unpacked(tmp_path: Path, name: str, data: bytes) -> None:
    with pytest.raises(UnsupportedFormat, match="unpack it"):
        loaded(tmp_path, name, data)
