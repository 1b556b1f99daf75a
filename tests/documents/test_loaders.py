"""A file becomes a document, or an error that says what to do."""

import io
import os
import sys
import threading
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from rag.documents.loaders import MAX_BYTES, left_out, load
from rag.errors import (
    DocumentError,
    EmptyDocument,
    MissingDependency,
    UnreadableDocument,
    UnsupportedFormat,
)
from rag.types import Document, Scalar
from tests.documents.make_pdf import make_pdf
from tests.unprivileged import run_unprivileged

with_proc = pytest.mark.skipif(not Path("/proc/self/mem").exists(), reason="needs Linux's /proc")


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str, bytes], Path]:
    def put(name: str, data: bytes) -> Path:
        path = tmp_path / name
        path.write_bytes(data)
        return path

    return put


Write = Callable[[str, bytes], Path]


def test_a_file_becomes_a_document_with_its_name_and_digest(write: Write) -> None:
    path = write("砚溪县志.txt", "水费".encode("gbk"))
    assert load(path) == Document(
        id="砚溪县志.txt",
        text="水费",
        digest="61afbbe1684390b3e928137be5949065a504752a790bb348509647adf0909eae",
        title="砚溪县志",
        source=str(path),
        metadata=(("encoding", "gb18030"), ("format", "text")),
    )


def test_a_path_may_be_a_string_and_the_id_be_given(write: Write) -> None:
    document = load(str(write("a.md", b"# Harbour dues\n\n## Pilots\n")), id="ports/a.md")
    assert (document.id, document.title) == ("ports/a.md", "Harbour dues")
    assert [(s.title, s.level) for s in document.sections] == [("Harbour dues", 1), ("Pilots", 2)]


def test_equal_texts_in_two_encodings_have_one_digest(write: Write) -> None:
    text = "第一章　总则\r\n"
    first = load(write("a.txt", text.encode("gbk")))
    second = load(write("b.txt", text.encode("utf-16")))
    assert first.text == second.text == text
    assert first.digest == second.digest


@pytest.mark.parametrize(
    ("name", "data", "text", "metadata"),
    [
        ("a.txt", b"a\r\nb", "a\r\nb", {"format": "text", "encoding": "utf-8"}),
        ("a.MD", b"# a\n", "# a\n", {"format": "markdown", "encoding": "utf-8"}),
        ("a.htm", b"<p>a</p>", "a", {"format": "html", "encoding": "utf-8"}),
        ("a.pdf", make_pdf([["a"]]), "a", {"format": "pdf"}),
        ("a.rst", b"a\r\n=", "a\r\n=", {"format": "rst", "encoding": "utf-8"}),
        ("a.tsv", b"a\tb", "a\tb", {"format": "csv", "encoding": "utf-8"}),
        ("a.jsonl", b"{}\n", "{}\n", {"format": "jsonl", "encoding": "utf-8"}),
        ("a.go", b"package a\n", "package a\n", {"format": "go", "encoding": "utf-8"}),
        ("a.eml", b"Subject: a\n\nb", "Subject: a\n\nb", {"format": "eml"}),
        (
            "a.pdf",
            make_pdf([["a"], []]),
            "a\n",
            {"format": "pdf", "pages_without_text": "2"},
        ),
    ],
)
def test_each_kind_has_its_reader(
    write: Write, name: str, data: bytes, text: str, metadata: dict[str, str]
) -> None:
    document = load(write(name, data))
    assert (document.text, dict(document.metadata)) == (text, metadata)


def test_the_words_that_end_a_text_for_a_model_stay(write: Write) -> None:
    assert load(write("a.txt", b"one <|endoftext|> two")).text == "one <|endoftext|> two"


def test_a_pdf_under_another_name_is_read_as_what_it_is(write: Write) -> None:
    document = load(write("scan.txt", make_pdf([["text of a page"]], title="Dues")))
    assert (document.text, document.title) == ("text of a page", "Dues")
    assert document.metadata == (("format", "pdf"),)


def test_an_image_under_another_name_is_refused_as_what_it_is(write: Write) -> None:
    path = write("a.md", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR")
    with pytest.raises(UnsupportedFormat, match=r"a\.md' is really a PNG image; text in images"):
        load(path)


def test_a_kind_without_a_reader_is_refused(write: Write) -> None:
    with pytest.raises(UnsupportedFormat, match=r"'\.xyz' are not read; known are \.txt"):
        load(write("a.xyz", b"x"))


@pytest.mark.parametrize(("name", "module"), [("a.pptx", "pptx"), ("a.xlsx", "openpyxl")])
def test_a_reader_whose_extra_is_not_installed_names_it(
    write: Write, monkeypatch: pytest.MonkeyPatch, name: str, module: str
) -> None:
    monkeypatch.setitem(sys.modules, module, None)  # As if it were not there.
    contents = io.BytesIO()
    zipfile.ZipFile(contents, "w").close()
    with pytest.raises(MissingDependency, match=r"comes with: pip install 'rag\[office\]'"):
        load(write(name, contents.getvalue()))


# Empty files


@pytest.mark.parametrize(
    ("name", "data", "advice"),
    [
        ("a.txt", b"", "it has no bytes"),
        ("a.pdf", b"", "it has no bytes"),
        ("a.docx", b"", "it has no bytes"),
        ("a.txt", b" \r\n\t\xe3\x80\x80", "it holds no text"),
        ("a.md", b"\xef\xbb\xbf", "it holds no text"),
        ("a.html", b"<script>x()</script>", "it holds no text outside scripts; save the page"),
        ("a.pdf", make_pdf([[], []]), "its pages hold pictures but no text; run OCR first, for"),
    ],
)
def test_a_file_without_text_is_an_error_with_advice(
    write: Write, name: str, data: bytes, advice: str
) -> None:
    path = write(name, data)
    with pytest.raises(EmptyDocument) as told:
        load(path)
    assert str(path) in str(told.value)
    assert advice in str(told.value)
    assert told.value.source == str(path)


# Limits


def test_a_file_over_the_limit_is_refused_without_being_read(tmp_path: Path) -> None:
    path = tmp_path / "huge.txt"
    with path.open("wb") as file:
        file.truncate(200_000_000)
    tracemalloc.start()
    with pytest.raises(UnreadableDocument) as told:
        load(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1_000_000
    assert str(told.value) == (
        f"{str(path)!r} has 200,000,000 bytes, more than the limit of 100,000,000; split it, or "
        "raise the setting documents.max_bytes"
    )
    assert MAX_BYTES == 100_000_000


def test_the_limit_itself_is_read_and_one_byte_more_is_not(write: Write) -> None:
    path = write("a.txt", "水费".encode())
    assert load(path, max_bytes=6).text == "水费"
    with pytest.raises(UnreadableDocument, match="has 6 bytes, more than the limit of 5;"):
        load(path, max_bytes=5)


@with_proc
def test_a_file_that_is_longer_than_its_size_says_is_refused_too(tmp_path: Path) -> None:
    # The kernel makes it as it is read; so does a log that grows.
    path = tmp_path / "grows.txt"
    path.symlink_to("/proc/self/status")
    assert path.stat().st_size == 0
    with pytest.raises(UnreadableDocument, match="has 11 bytes, more than the limit of 10;"):
        load(path, max_bytes=10)
    assert load(path).text.startswith("Name:")


@pytest.mark.parametrize("max_bytes", [0, -1])
def test_a_limit_that_no_file_meets_is_the_callers_mistake(tmp_path: Path, max_bytes: int) -> None:
    with pytest.raises(ValueError, match=f"max_bytes must be at least 1, not {max_bytes}"):
        load(tmp_path / "not there.txt", max_bytes=max_bytes)


# What cannot be read


def test_a_file_that_is_not_there_says_so(tmp_path: Path) -> None:
    (tmp_path / "link.txt").symlink_to("gone.txt")
    for name in ("gone.txt", "link.txt", "gone/a.txt"):
        with pytest.raises(UnreadableDocument, match="is not there; it was removed, renamed or"):
            load(tmp_path / name)


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    (tmp_path / "a.txt").mkdir()
    with pytest.raises(UnreadableDocument, match=r"a\.txt' is a directory; name a file in it"):
        load(tmp_path / "a.txt")


def test_a_named_pipe_is_refused_without_waiting_for_a_writer(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.txt")
    told: list[str] = []

    def read() -> None:
        try:
            load(tmp_path / "a.txt")
        except DocumentError as error:
            told.append(str(error))

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    reader.join(timeout=30)
    assert told == [f"{str(tmp_path / 'a.txt')!r} is no regular file; copy it to one"]


def test_a_device_is_refused(tmp_path: Path) -> None:
    (tmp_path / "endless.txt").symlink_to("/dev/zero")
    with pytest.raises(UnreadableDocument, match="is no regular file; copy it to one"):
        load(tmp_path / "endless.txt")


def test_a_file_that_may_not_be_read_says_so(write: Write) -> None:
    path = write("closed.txt", b"secret")
    path.chmod(0)
    told = run_unprivileged(
        "import sys\n"
        "from rag.documents.loaders import load\n"
        "from rag.errors import UnreadableDocument\n"
        "try: load(sys.argv[1])\n"
        "except UnreadableDocument as error: print(error)",
        path,
    )
    assert told.strip() == (f"{str(path)!r} may not be read; grant this user permission to read it")


@pytest.mark.parametrize(
    ("name", "reason"),
    [("file/a.txt", "Not a directory"), ("x" * 300 + ".txt", "File name too long")],
)
def test_what_else_the_system_refuses_is_said_in_its_words(
    tmp_path: Path, name: str, reason: str
) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UnreadableDocument, match=f"cannot be read: {reason}") as told:
        load(tmp_path / name)
    assert isinstance(told.value.__cause__, OSError)


@with_proc
def test_a_file_that_fails_while_it_is_read_says_so(tmp_path: Path) -> None:
    # No process has memory at address 0, where reading begins.
    (tmp_path / "disk.txt").symlink_to("/proc/self/mem")
    with pytest.raises(UnreadableDocument, match=r"disk\.txt' cannot be read: Input/output error"):
        load(tmp_path / "disk.txt")


@with_proc
def test_no_file_stays_open_when_it_is_refused(write: Write, tmp_path: Path) -> None:
    def opened() -> set[str]:
        own = Path("/proc/self/fd")
        return {str(entry.readlink()) for entry in own.iterdir() if entry.is_symlink()}

    (tmp_path / "folder.txt").mkdir()
    os.mkfifo(tmp_path / "pipe.txt")
    write("a.txt", b"\0"), write("b.pdf", b"x"), write("c.png", b"x"), write("d.txt", b"long")
    for path in tmp_path.iterdir():
        with pytest.raises(DocumentError):
            load(path, max_bytes=3)
    assert not [name for name in opened() if name.startswith(str(tmp_path))]


def test_a_name_that_is_not_utf8_is_read_and_shown_in_errors(tmp_path: Path) -> None:
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.txt"))
    path.write_bytes(b"")
    with pytest.raises(EmptyDocument, match=r"caf\\udce9\.txt' is empty") as told:
        load(path)
    assert str(told.value).encode()


@pytest.mark.parametrize(
    ("metadata", "said"),
    [
        (("charts", 2), ["the text of charts is not read: 2"]),
        (("diagrams", 1), ["the text of diagrams is not read: 1"]),
        (("hidden_sheets", "Costs"), ["hidden sheets are not read: Costs"]),
        (
            ("pages_without_text", "3, 7-9"),
            [
                "no text on page 3, 7-9; if it was scanned, run OCR: ocrmypdf in.pdf out.pdf",
            ],
        ),
        (("format", "pptx"), []),
    ],
)
def test_what_a_document_lacks_is_said(metadata: tuple[str, Scalar], said: list[str]) -> None:
    document = Document(id="a", text="Dues", digest="", title="Dues", metadata=(metadata,))
    assert left_out(document) == said
