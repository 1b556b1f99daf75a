"""Whatever lies in a file, reading it ends in a document or in an error of ours."""

import io
import json
import tracemalloc
import zipfile
from collections.abc import Callable
from contextlib import suppress
from email.message import EmailMessage
from pathlib import Path

import pptx
import pytest
from docx import Document as WordDocument
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from openpyxl import Workbook

from rag.documents.chunking import chunk
from rag.documents.loaders import load
from rag.errors import DocumentError
from tests.documents.make_pdf import make_pdf

TEXT = "The pilot must be on board two hours before the tide turns. 用水人应当按月交付水费。"


def a_docx() -> bytes:
    word = WordDocument()
    word.add_heading("Dues", 1)
    word.add_paragraph(TEXT)
    word.add_table(2, 2).cell(0, 0).text = "a"
    out = io.BytesIO()
    word.save(out)
    return out.getvalue()


def a_pptx() -> bytes:
    show = pptx.Presentation()
    slide = show.slides.add_slide(show.slide_layouts[1])
    slide.shapes.title.text = "Dues"
    slide.placeholders[1].text = TEXT
    slide.notes_slide.notes_text_frame.text = "note"
    slide.shapes.add_table(2, 2, 0, 0, 99, 99).table.cell(0, 0).text = "a"
    out = io.BytesIO()
    show.save(out)
    return out.getvalue()


def an_xlsx() -> bytes:
    workbook = Workbook()
    workbook.active.append(["Vessel", "Tons", "=1+1", 0.5, True])
    workbook.active.append([TEXT, 300])
    workbook.create_sheet("b").append(["x"])
    out = io.BytesIO()
    workbook.save(out)
    return out.getvalue()


def an_epub() -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as book:
        book.writestr(
            "META-INF/container.xml",
            '<container><rootfiles><rootfile full-path="c.opf"/></rootfiles></container>',
        )
        book.writestr(
            "c.opf",
            '<package><metadata><title>T</title></metadata><manifest><item id="a" href="a.xhtml" '
            'media-type="application/xhtml+xml"/></manifest><spine><itemref idref="a"/></spine>'
            "</package>",
        )
        book.writestr("a.xhtml", f"<html><body><h1>Dues</h1><p>{TEXT}</p></body></html>")
    return out.getvalue()


def a_mail() -> bytes:
    mail = EmailMessage()
    mail["From"], mail["Subject"] = "Ann <a@x.org>", "水费"
    mail.set_content(TEXT)
    mail.add_alternative(f"<p>{TEXT}</p>", subtype="html")
    mail.add_attachment(b"1,2", maintype="text", subtype="csv", filename="帐.csv")
    return mail.as_bytes()


def a_notebook() -> bytes:
    output = {"output_type": "stream", "text": ["1\n"]}
    cells = [
        {"cell_type": "markdown", "source": ["# Dues\n", TEXT]},
        {"cell_type": "code", "source": "print(1)", "outputs": [output]},
    ]
    return json.dumps({"cells": cells, "metadata": {}}).encode()


FILES: dict[str, bytes] = {
    "a.txt": TEXT.encode(),
    "a.md": f"# Dues\n\n{TEXT}\n\n| a | b |\n|---|---|\n| 1 | 2 |\n".encode(),
    "a.html": f"<h1>Dues</h1><p>{TEXT}</p><table><tr><td>a<td>b</table>".encode(),
    "a.pdf": make_pdf([(TEXT[:50], "1"), (TEXT[:40], "2"), ("x", "3")], title="Dues"),
    "a.docx": a_docx(),
    "a.epub": an_epub(),
    "a.rst": f"Dues\n====\n\n{TEXT}\n".encode(),
    "a.pptx": a_pptx(),
    "a.xlsx": an_xlsx(),
    "a.csv": f'a,b\n1,"{TEXT}"\n'.encode(),
    "a.json": json.dumps({"a": [TEXT, {"b": 1}]}).encode(),
    "a.jsonl": (json.dumps({"a": TEXT}) + "\n").encode() * 2,
    "a.ipynb": a_notebook(),
    "a.eml": a_mail(),
    "a.srt": f"1\n00:00:01,000 --> 00:00:02,000\n<i>{TEXT}</i>\n".encode(),
    "a.vtt": f"WEBVTT\n\n00:01.000 --> 00:02.000\n<v Ann>{TEXT}\n".encode(),
    "a.py": f'class A:\n    """{TEXT}"""\n    def f(self): pass\n'.encode(),
    "a.rs": f"// {TEXT}\nfn main() {{\n}}\n".encode(),
}


def words(text: str) -> int:
    return len(text.split())


def check(path: Path) -> None:
    """Load a file as far as it can be, and hold the document to what every one promises."""
    try:
        document = load(path)
    except DocumentError:
        return
    assert document.text.strip()
    size = len(document.text)
    for section in document.sections:
        assert 0 <= section.start <= section.end <= size
    if document.pages:
        assert document.pages[0].start == 0
        assert document.pages[-1].end == size
    for found in chunk(document, size=32, count=words):
        assert found.embedded.endswith(document.text[found.start : found.end])


@pytest.mark.parametrize("name", FILES)
def test_a_whole_file_is_read(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(FILES[name])
    assert load(path).text


@st.composite
def damaged(draw: st.DrawFn, data: bytes) -> bytes:
    """Flip bits of a file, and cut or repeat a piece of it."""
    changed = bytearray(data)
    places = st.integers(0, len(data) - 1)
    for place, bit in draw(st.lists(st.tuples(places, st.integers(0, 7)), max_size=8)):
        changed[place] ^= 1 << bit
    start, end = sorted((draw(places), draw(places)))
    match draw(st.sampled_from(["whole", "cut", "end", "twice"])):
        case "cut":
            del changed[start:end]
        case "end":
            del changed[end:]
        case "twice":
            changed[start:start] = changed[start:end]
    return bytes(changed)


def inside(archive: bytes, name: str, contents: bytes) -> bytes:
    """Write an archive anew with other contents of one file, so that its checksums hold."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(archive)) as old, zipfile.ZipFile(out, "w") as new:
        for entry in old.namelist():
            new.writestr(entry, contents if entry == name else old.read(entry))
    return out.getvalue()


_FUZZ = settings(
    max_examples=25,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
_LONG_FUZZ = settings(_FUZZ, max_examples=400)


@pytest.mark.parametrize("name", FILES)
@given(st.data())
@_FUZZ
def test_no_damage_is_more_than_an_error_of_ours(
    tmp_path: Path, name: str, data: st.DataObject
) -> None:
    path = tmp_path / name
    path.write_bytes(data.draw(damaged(FILES[name])))
    check(path)


def members(name: str) -> list[str]:
    with zipfile.ZipFile(io.BytesIO(FILES[name])) as archive:
        return [entry for entry in archive.namelist() if archive.getinfo(entry).file_size]


def part(name: str, entry: str) -> bytes:
    with zipfile.ZipFile(io.BytesIO(FILES[name])) as archive:
        return archive.read(entry)


def fuzz_inside(tmp_path: Path, name: str, data: st.DataObject) -> None:
    entry = data.draw(st.sampled_from(members(name)))
    path = tmp_path / name
    path.write_bytes(inside(FILES[name], entry, data.draw(damaged(part(name, entry)))))
    check(path)


ARCHIVES = ["a.docx", "a.epub", "a.pptx", "a.xlsx"]


@pytest.mark.parametrize("name", ARCHIVES)
@given(st.data())
@_FUZZ
def test_no_damage_inside_an_archive_is_more_either(
    tmp_path: Path, name: str, data: st.DataObject
) -> None:
    fuzz_inside(tmp_path, name, data)


@pytest.mark.slow
@pytest.mark.parametrize("name", FILES)
@given(st.data())
@_LONG_FUZZ
def test_no_damage_is_more_than_an_error_of_ours_at_length(
    tmp_path: Path, name: str, data: st.DataObject
) -> None:
    if name in ARCHIVES and data.draw(st.booleans()):
        fuzz_inside(tmp_path, name, data)
        return
    path = tmp_path / name
    path.write_bytes(data.draw(damaged(FILES[name])))
    check(path)


# Files that were made to do harm


@pytest.mark.parametrize(
    ("name", "make"),
    [
        ("one-line.json", lambda: b'{"a":"' + b"x" * 5_000_000 + b'"}'),
        ("minified.json", lambda: json.dumps([{"id": n} for n in range(200_000)]).encode()),
        ("deep.json", lambda: b"[" * 2_000_000),
        ("escaped.json", lambda: rb"\u6c34" * 100_000),
        ("field.csv", lambda: b'a,b\n1,"' + b"x" * 5_000_000 + b'"\n'),
        ("quotes.csv", lambda: b'"' * 3_000_000),
        ("bars.md", lambda: b"|" * 1_000_000 + b"\n" + b"| a |\n" * 200_000),
        ("fences.md", lambda: b"```\n" * 300_001),
        ("ticks.md", lambda: b"`" * 2_000_000),
        ("tags.vtt", lambda: b"00:01.000 --> 00:02.000\n" + b"<v " * 300_000),
        ("times.srt", lambda: b"00:00:01,000 --> 00:00:02,000\nx\n" * 10_000),
        ("words.eml", lambda: b"Subject: " + b"=?utf-8?q?x?= " * 5_000 + b"\n\nx"),
        ("address.eml", lambda: b"From: " + b"(" * 500_000 + b"\n\nx"),
        ("code.py", lambda: b"def f():\n" * 20_000),
        ("code.java", lambda: b"public " * 500_000),
        ("rules.rst", lambda: b"==\n" * 60_000),
    ],
)
def test_a_file_of_megabytes_that_means_harm_is_read_in_bounded_memory(
    tmp_path: Path, name: str, make: Callable[[], bytes]
) -> None:
    # What takes more than linear time takes longer than a test may.
    path = tmp_path / name
    path.write_bytes(make())
    tracemalloc.start()
    with suppress(DocumentError):
        load(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 60 * path.stat().st_size + 10_000_000
