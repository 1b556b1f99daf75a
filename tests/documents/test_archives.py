"""Zip archives are opened without trusting them."""

import io
import tracemalloc
import zipfile
import zlib
from collections.abc import Callable
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag.documents.archives import LARGEST_UNPACKED, open_archive, resolve
from rag.errors import UnreadableDocument


def make_zip(
    files: dict[str, bytes | str], *, method: int = zipfile.ZIP_DEFLATED, **entry: int
) -> bytes:
    """Write an archive; ``entry`` overwrites fields of all its entries."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        for name, contents in files.items():
            archive.writestr(name, contents)
        for written in archive.infolist():
            for field, value in entry.items():
                setattr(written, field, value)
    return out.getvalue()


def test_a_file_is_read() -> None:
    archive = open_archive(make_zip({"a.txt": "anchor", "县志.txt": "卷一"}), source="a.epub")
    assert archive.read("a.txt") == b"anchor"
    assert archive.read("县志.txt").decode() == "卷一"


@pytest.mark.parametrize(
    ("stored", "asked"),
    [
        ("Word/Document.XML", "word/document.xml"),
        ("word\\document.xml", "word/document.xml"),
        ("cafe\u0301.xhtml", "caf\u00e9.xhtml"),
    ],
)
def test_a_name_written_carelessly_is_found(stored: str, asked: str) -> None:
    archive = open_archive(make_zip({stored: "text"}), source="a.docx")
    assert archive.find(asked) == stored
    assert archive.read(asked) == b"text"


def test_a_name_in_utf8_that_is_not_marked_as_such_is_found() -> None:
    data = make_zip({"第一章.xhtml": "text"})
    for header in (b"PK\x03\x04\x14\x00", b"PK\x01\x02\x14\x03\x14\x00"):
        assert header + b"\x00\x08" in data
        data = data.replace(header + b"\x00\x08", header + b"\x00\x00")
    assert open_archive(data, source="a.epub").read("第一章.xhtml") == b"text"


def test_the_exact_name_wins_over_a_similar_one() -> None:
    archive = open_archive(make_zip({"a.xml": "small", "A.xml": "large"}), source="a.docx")
    assert archive.read("A.xml") == b"large"
    assert archive.read("a.xml") == b"small"


def test_a_missing_file_is_named() -> None:
    archive = open_archive(make_zip({"a.txt": ""}), source="a.docx")
    assert archive.find("b.txt") is None
    with pytest.raises(
        UnreadableDocument, match=r"'a\.docx' is damaged: 'b\.txt' is missing in it"
    ):
        archive.read("b.txt")


@pytest.mark.parametrize("data", [b"", b"PK\x03\x04 nothing more", b"no archive"])
def test_what_is_no_archive_is_damaged(data: bytes) -> None:
    with pytest.raises(UnreadableDocument, match=r"damaged.*get it again") as caught:
        open_archive(data, source="a.docx")
    assert caught.value.source == "a.docx"


def test_an_archive_that_claims_to_unpack_to_too_much_is_refused_unread() -> None:
    data = make_zip({"a.txt": "x"}, file_size=LARGEST_UNPACKED + 1)
    with pytest.raises(UnreadableDocument, match="would unpack to 250,000,001 bytes"):
        open_archive(data, source="a.docx")


def traced(call: Callable[[], object]) -> int:
    """Tell the most bytes that a call holds at once."""
    tracemalloc.start()
    try:
        call()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_many_files_that_unpack_to_too_much_together_are_refused() -> None:
    data = make_zip(dict.fromkeys("abcde", b"x"), file_size=60_000_000)
    with pytest.raises(UnreadableDocument, match="300,000,000 bytes"):
        open_archive(data, source="a.docx")


def test_a_lie_about_the_size_gains_no_memory() -> None:
    archive = open_archive(make_zip({"a.txt": bytes(9_000_000)}, file_size=10), source="a.docx")

    def read() -> None:
        with pytest.raises(UnreadableDocument, match="damaged"):
            archive.read("a.txt")

    assert traced(read) < 1_000_000


def test_a_file_with_a_password_is_encrypted() -> None:
    archive = open_archive(make_zip({"a.txt": "x"}, flag_bits=1), source="a.epub")
    with pytest.raises(UnreadableDocument, match=r"'a\.epub' is encrypted; save it without"):
        archive.read("a.txt")


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_compression_that_no_format_allows_is_damage(method: int) -> None:
    archive = open_archive(make_zip({"a.txt": "x" * 99}, method=method), source="a.epub")
    with pytest.raises(UnreadableDocument, match="compressed in a way"):
        archive.read("a.txt")


def test_contents_that_do_not_match_their_checksum_are_damaged() -> None:
    archive = open_archive(make_zip({"a.txt": "x"}, CRC=zlib.crc32(b"y")), source="a.epub")
    with pytest.raises(UnreadableDocument, match="Bad CRC-32"):
        archive.read("a.txt")


@pytest.mark.parametrize(
    ("base", "href", "path"),
    [
        ("", "word/document.xml", "word/document.xml"),
        ("word/document.xml", "styles.xml", "word/styles.xml"),
        ("word/document.xml", "/word/styles.xml", "word/styles.xml"),
        ("OEBPS/nav/toc.xhtml", "../text/./第一章.xhtml", "OEBPS/text/第一章.xhtml"),
        ("OEBPS/content.opf", "../../../../etc/passwd", "etc/passwd"),
    ],
)
def test_a_path_is_resolved_inside_the_archive(base: str, href: str, path: str) -> None:
    assert resolve(base, href) == path


def test_xml_is_parsed() -> None:
    archive = open_archive(make_zip({"a.xml": "<?xml version='1.0'?><a><b/>x</a>"}), source="a")
    assert archive.xml("a.xml")[0].tag == "b"


@pytest.mark.parametrize("xml", ["", "<a>", "<a><b></a>", "<a>&nbsp;</a>", "<a>" * 300, "\0"])
def test_xml_that_is_not_well_formed_is_damage(xml: str) -> None:
    archive = open_archive(make_zip({"a.xml": xml}), source="a.docx")
    with pytest.raises(UnreadableDocument, match=r"'a\.docx' is damaged: 'a\.xml'"):
        archive.xml("a.xml")
    with pytest.raises(UnreadableDocument, match=r"'a\.docx' is damaged: 'a\.xml'"):
        list(archive.iterate_xml("a.xml", parent="b"))


def test_what_can_be_made_out_of_broken_xml_is_recovered() -> None:
    files = {"a.xml": "<a><b>Fish &nbsp; chips</b><c>", "empty.xml": "", "noise.xml": "\x01\x02"}
    archive = open_archive(make_zip(dict(files)), source="a.epub")
    root = archive.recovered_xml("a.xml")
    assert root is not None
    assert [child.tag for child in root] == ["b", "c"]
    assert archive.recovered_xml("empty.xml") is None
    assert archive.recovered_xml("noise.xml") is None


def bomb(levels: int) -> str:
    """Write the billion laughs: each entity ten times the one before."""
    lines = ["<!ENTITY e0 'laugh'>"]
    lines += [f"<!ENTITY e{n} '{f'&e{n - 1};' * 10}'>" for n in range(1, levels)]
    return (
        f"<!DOCTYPE a [{''.join(lines)}]><a x='&e{levels - 1};'><b><c>&e{levels - 1};</c></b></a>"
    )


def test_entities_are_not_expanded() -> None:
    archive = open_archive(make_zip({"a.xml": bomb(3)}), source="a.docx")
    assert "".join(archive.xml("a.xml").itertext("c")) == ""
    with pytest.raises(UnreadableDocument, match="declares a document type"):
        list(archive.iterate_xml("a.xml", parent="b"))


def test_an_entity_bomb_is_damage() -> None:
    archive = open_archive(make_zip({"a.xml": bomb(12)}), source="a.docx")
    with pytest.raises(UnreadableDocument, match="damaged"):
        archive.xml("a.xml")
    assert archive.recovered_xml("a.xml") is None


def test_an_entity_never_reads_another_file() -> None:
    xml = "<!DOCTYPE a [<!ENTITY e SYSTEM 'file:///etc/hostname'>]><a><b>&e;</b></a>"
    archive = open_archive(make_zip({"a.xml": xml}), source="a.docx")
    assert "".join(archive.xml("a.xml").itertext("b")) == ""


def test_a_large_file_is_parsed_piece_by_piece() -> None:
    xml = f"<a><head/><b>{'<c><d>anchor</d></c>' * 3}</b><b><c/></b></a>"
    archive = open_archive(make_zip({"a.xml": xml}), source="a.docx")
    pieces = [
        (piece.tag, "".join(piece.itertext())) for piece in archive.iterate_xml("a.xml", parent="b")
    ]
    assert pieces == [("c", "anchor")] * 3 + [("c", "")]


def test_xml_without_the_parent_is_damaged() -> None:
    archive = open_archive(make_zip({"a.xml": "<b><c/></b>"}), source="a.docx")
    with pytest.raises(UnreadableDocument, match=r"'a\.xml' has no 'b'"):
        list(archive.iterate_xml("a.xml", parent="b"))


ARCHIVE = make_zip({"a.xml": "<a><b>anchor</b></a>", "卷一.txt": "text " * 50})


def read_all(data: bytes) -> None:
    archive = open_archive(data, source="a.docx")
    for path in ("a.xml", "卷一.txt"):
        archive.read(path)


@given(st.integers(0, len(ARCHIVE) - 1))
def test_an_archive_cut_short_is_damaged(length: int) -> None:
    with pytest.raises(UnreadableDocument):
        read_all(ARCHIVE[:length])


@given(st.lists(st.tuples(st.integers(0, len(ARCHIVE) - 1), st.integers(1, 255)), min_size=1))
def test_flipped_bits_raise_nothing_but_our_error(flips: list[tuple[int, int]]) -> None:
    data = bytearray(ARCHIVE)
    for place, bits in flips:
        data[place] ^= bits
    with suppress(UnreadableDocument):
        read_all(bytes(data))
