"""EPUB becomes text: its pages in reading order, each read as HTML is."""

import io
import zipfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import rag
from rag.documents.epub import read
from rag.documents.parsed import Parsed
from rag.errors import DocumentError, EmptyDocument, UnreadableDocument

CONTAINER = """<?xml version="1.0"?>
<container version="1.0" xmlns="urn:oasis:names:tc:opendocument:xmlns:container"><rootfiles>
<rootfile full-path="{root}" media-type="application/oebps-package+xml"/></rootfiles></container>"""
XHTML = "application/xhtml+xml"
NCX = "application/x-dtbncx+xml"


def page(body: str, *, title: str = "") -> str:
    return (
        '<?xml version="1.0" encoding="utf-8"?><!DOCTYPE html>'
        '<html xmlns="http://www.w3.org/1999/xhtml" xmlns:epub="http://www.idpf.org/2007/ops">'
        f"<head><title>{title}</title></head><body>{body}</body></html>"
    )


def item(key: str, href: str, kind: str = XHTML, extra: str = "") -> str:
    return f'<item id="{key}" href="{href}" media-type="{kind}" {extra}/>'


def package(items: Sequence[str], spine: Sequence[str], *, title: str = "", guide: str = "") -> str:
    references = "".join(
        reference if reference.startswith("<") else f'<itemref idref="{reference}"/>'
        for reference in spine
    )
    return (
        '<?xml version="1.0"?><package xmlns="http://www.idpf.org/2007/opf" version="3.0">'
        '<metadata xmlns:dc="http://purl.org/dc/elements/1.1/">'
        f"<dc:title>{title}</dc:title></metadata><manifest>{''.join(items)}</manifest>"
        f"<spine>{references}</spine><guide>{guide}</guide></package>"
    )


def pack(files: Mapping[str, str | bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("mimetype", "application/epub+zip", zipfile.ZIP_STORED)
        for name, contents in files.items():
            archive.writestr(name, contents)
    return out.getvalue()


def make_epub(
    pages: Mapping[str, str | bytes],
    *,
    items: Sequence[str] | None = None,
    spine: Sequence[str] | None = None,
    title: str = "",
    guide: str = "",
    files: Mapping[str, str | bytes] | None = None,
) -> bytes:
    """Write a book of pages, each by its name in OEBPS/; its id is that name."""
    if items is None:
        items = [item(name, name) for name in pages]
    contents = package(items, list(pages) if spine is None else spine, title=title, guide=guide)
    written = {
        "META-INF/container.xml": CONTAINER.format(root="OEBPS/content.opf"),
        "OEBPS/content.opf": contents,
    }
    bodies = {
        f"OEBPS/{name}": page(body) if isinstance(body, str) else body
        for name, body in pages.items()
    }
    return pack({**written, **bodies, **(files or {})})


def parse(pages: Mapping[str, str | bytes], **book: object) -> Parsed:
    return read(make_epub(pages, **book), source="a.epub")  # type: ignore[arg-type]


def nav(*entries: str) -> str:
    lines = "".join(
        f'<li><a href="{href}">{title}</a></li>'
        for href, title in (entry.split("|") for entry in entries)
    )
    return f'<nav epub:type="toc"><h1>Contents</h1><ol>{lines}</ol></nav>'


def sections(parsed: Parsed) -> list[tuple[int, str]]:
    """List the sections, each checked to begin where its title stands."""
    for section in parsed.sections:
        words = parsed.text[section.start :].split()
        assert section.title.split() == words[: len(section.title.split())]
    return [(section.level, section.title) for section in parsed.sections]


def test_a_book_is_its_pages_in_the_order_of_the_spine() -> None:
    pages = {
        "b.xhtml": "<h2>引航</h2><p>引航员须在转潮前两小时登船。</p>",
        "a.xhtml": "<h1>Harbour rules</h1><p>The pilot boards first.</p><ul><li>lamp</li></ul>",
        "unused.xhtml": "<p>no page</p>",
    }
    parsed = parse(pages, spine=["a.xhtml", "b.xhtml"], title=" Harbour\n rules ")
    assert parsed.text == (
        "Harbour rules\n\nThe pilot boards first.\n\n- lamp\n\n引航\n\n引航员须在转潮前两小时登船。"
    )
    assert parsed.title == "Harbour rules"
    assert [(s.level, s.title, s.start, s.end) for s in parsed.sections] == [
        (1, "Harbour rules", 0, 66),
        (2, "引航", 48, 66),
    ]


def test_pages_beside_the_main_order_keep_their_place() -> None:
    spine = ["a", '<itemref idref="n" linear="no"/>', "b"]
    items = [item(key, f"{key}.xhtml") for key in "anb"]
    pages = {f"{key}.xhtml": f"<p>{key}</p>" for key in "anb"}
    assert parse(pages, items=items, spine=spine).text == "a\n\nn\n\nb"


def test_a_page_that_comes_twice_in_the_spine_is_read_once() -> None:
    items = [item("a", "a.xhtml"), item("again", "./a.xhtml")]
    parsed = parse({"a.xhtml": "<p>once</p>"}, items=items, spine=["a", "again", "a"])
    assert parsed.text == "once"


def test_pages_without_text_leave_no_gap() -> None:
    pages = {"a": "<p>a</p>", "blank": "<img src='x.png'/>", "b": "<p>b</p>"}
    assert parse(pages).text == "a\n\nb"


@pytest.mark.parametrize(
    ("href", "stored"),
    [
        ("ch%201.xhtml", "OEBPS/ch 1.xhtml"),
        ("%E7%AC%AC%E4%B8%80%E7%AB%A0.xhtml", "OEBPS/第一章.xhtml"),
        ("第一章.xhtml", "OEBPS/第一章.xhtml"),
        ("../text/a.xhtml", "text/a.xhtml"),
        ("./text/../a.xhtml#top", "OEBPS/a.xhtml"),
        ("../../../a.xhtml", "a.xhtml"),
        ("Text/A.xhtml", "OEBPS/text/a.XHTML"),
    ],
)
def test_a_path_is_resolved_inside_the_archive(href: str, stored: str) -> None:
    parsed = parse({}, items=[item("a", href)], spine=["a"], files={stored: page("<p>found</p>")})
    assert parsed.text == "found"


def test_pages_may_be_in_any_encoding_they_declare() -> None:
    old = page("<p>引航员须在转潮前两小时登船。</p>").replace("utf-8", "gb18030").encode("gb18030")
    parsed = parse({"a": old, "b": page("<p>utf-16 航道</p>").encode("utf-16")})
    assert parsed.text == "引航员须在转潮前两小时登船。\n\nutf-16 航道"


def test_an_element_that_xhtml_closes_at_once_swallows_no_text() -> None:
    assert parse({"a": "<p><a id='x'/>The <i/>tide</p><script src='x'/><p>turns</p>"}).text == (
        "The tide\n\nturns"
    )


def test_the_page_of_a_picture_has_no_text_unless_something_stands_for_it() -> None:
    items = [
        item("cover", "cover.svg", "image/svg+xml"),
        item("map", "map.png", "image/png", 'fallback="drawn"'),
        item("drawn", "map.svg", "image/svg+xml", 'fallback="told"'),
        item("told", "map.xhtml"),
        item("loop", "x.png", "image/png", 'fallback="loop"'),
    ]
    parsed = parse(
        {"map.xhtml": "<p>The quay lies east.</p>"}, items=items, spine=["cover", "map", "loop"]
    )
    assert parsed.text == "The quay lies east."


# Headings


def test_each_page_keeps_the_levels_of_its_own_headings() -> None:
    pages = {
        "part": "<h1>Part One</h1>",
        "c1": "<h2>Chapter 1</h2><p>x</p><h3>Fees</h3><p>y</p>",
        "c2": "<h2>Chapter 2</h2><p>z</p>",
    }
    parsed = parse(pages)
    assert sections(parsed) == [(1, "Part One"), (2, "Chapter 1"), (3, "Fees"), (2, "Chapter 2")]
    assert parsed.sections[0].end == len(parsed.text)


def test_numbered_headings_are_found_in_paragraphs() -> None:
    pages = {"a": "<h1>供水办法</h1><p>第一条　水费按月计。</p><p>第二条　水费由用水人交付。</p>"}
    assert sections(parse(pages)) == [(1, "供水办法"), (2, "第一条"), (2, "第二条")]


CHAPTERS = {
    "a.xhtml": "<p class='t'>The  Storm</p><p>The Storm came at night.</p>",
    "b.xhtml": "<p>二</p><p>归航</p><p>船在清晨归航。</p>",
    "c.xhtml": "<p>No title here.</p>",
    "d.xhtml": "<h3>Marked</h3><p>The End</p>",
}


def test_titles_of_the_contents_are_looked_for_where_a_page_marks_none() -> None:
    entries = ["a.xhtml|The Storm", "b.xhtml|二　归航", "c.xhtml|No title", "d.xhtml#end|The End"]
    items = [item(name, name) for name in CHAPTERS]
    items.append(item("nav", "nav.xhtml", extra='properties="nav"'))
    parsed = parse(CHAPTERS, items=items, files={"OEBPS/nav.xhtml": page(nav(*entries))})
    assert parsed.text.startswith("The Storm\n\nThe Storm came at night.\n\n二\n\n归航")
    assert [(s.level, s.title, s.start) for s in parsed.sections] == [
        (1, "The Storm", 0),
        (1, "二 归航", 37),
        (3, "Marked", 69),
    ]


def test_titles_in_an_ncx_have_the_level_of_their_depth() -> None:
    ncx = (
        '<?xml version="1.0"?><!DOCTYPE ncx PUBLIC "-//NISO//DTD ncx 2005-1//EN" "ncx.dtd">'
        '<ncx xmlns="http://www.daisy.org/z3986/2005/ncx/"><docTitle><text>Book</text></docTitle>'
        "<navMap><navPoint><navLabel><text>Part One</text></navLabel>"
        '<content src="text/a.xhtml"/><navPoint><navLabel><text>Fish &amp; Fees</text></navLabel>'
        '<content src="text/a.xhtml#f"/></navPoint></navPoint></navMap></ncx>'
    )
    body = page("<p>Part One</p><p>On fees.</p><p>Fish &amp; Fees</p><p>Fees are due.</p>")
    parsed = parse(
        {},
        items=[item("a", "text/a.xhtml"), item("ncx", "toc.ncx", NCX)],
        spine=["a"],
        files={"OEBPS/text/a.xhtml": body, "OEBPS/toc.ncx": ncx},
    )
    assert sections(parsed) == [(1, "Part One"), (2, "Fish & Fees")]


def test_a_title_that_comes_again_is_looked_for_after_the_last() -> None:
    body = "<p>One</p><p>Notes</p><p>x</p><p>Two</p><p>Notes</p><p>y</p>"
    entries = ["a#1|One", "a#2|Notes", "a#3|Two", "a#4|Notes"]
    items = [item("a", "a"), item("nav", "nav", extra='properties="nav"')]
    parsed = parse({"a": body}, items=items, files={"OEBPS/nav": page(nav(*entries))})
    assert [(s.title, s.start) for s in parsed.sections] == [
        *(("One", 0), ("Notes", 5), ("Two", 15), ("Notes", 20))
    ]


@pytest.mark.parametrize("broken", ["", "\0", "<ncx><navMap><navPoint>", "text"])
def test_a_broken_table_of_contents_costs_only_its_titles(broken: str) -> None:
    items = [item("a", "a"), item("ncx", "toc.ncx", NCX)]
    parsed = parse({"a": "<p>text</p>"}, items=items, files={"OEBPS/toc.ncx": broken})
    assert (parsed.text, parsed.sections) == ("text", ())


def test_the_contents_are_no_page_unless_the_spine_has_them() -> None:
    items = [item("a", "a"), item("nav", "nav", extra='properties="nav"')]
    pages = {"a": "<h1>One</h1><p>x</p>", "nav": nav("a|One")}
    assert parse(pages, items=items, spine=["a"]).text == "One\n\nx"
    parsed = parse(pages, items=items, spine=["nav", "a"])
    assert parsed.text == "Contents\n\n1. One\n\nOne\n\nx"
    assert [(s.title, s.start) for s in parsed.sections] == [("Contents", 0), ("One", 18)]


def test_the_entries_of_an_older_contents_page_are_no_sections() -> None:
    toc = "<h2>目录</h2><h3><a href='a'>第一章　总则</a></h3><p><a href='b'>第二章　水费</a></p>"
    pages = {
        "toc": toc,
        "a": "<h2>第一章　总则</h2><p>本办法适用于全市。</p>",
        "b": "<h2>第二章　水费</h2><p>水费按月计。</p>",
    }
    points = "".join(
        f'<navPoint><navLabel><text>{title}</text></navLabel><content src="{href}"/></navPoint>'
        for href, title in (("a", "第一章　总则"), ("b", "第二章　水费"))
    )
    parsed = parse(
        pages,
        items=[*(item(key, key) for key in pages), item("ncx", "toc.ncx", NCX)],
        spine=list(pages),
        guide='<reference type="toc" href="toc"/>',
        files={"OEBPS/toc.ncx": f"<ncx><navMap>{points}</navMap></ncx>"},
    )
    assert [s.title for s in parsed.sections] == ["目录", "第一章　总则", "第二章　水费"]
    assert parsed.text[parsed.sections[0].start : parsed.sections[0].end] == (
        "目录\n\n第一章　总则\n\n第二章　水费\n\n"
    )


def test_a_book_in_one_page_keeps_the_headings_beside_its_contents() -> None:
    body = nav("all#one|One") + "<h2>One</h2><p>x</p>"
    items = [item("all", "all", extra='properties="nav"')]
    assert sections(parse({"all": body}, items=items)) == [(1, "Contents"), (2, "One")]


# Damage and protection


def encryption(*targets: tuple[str, str]) -> str:
    inner = "".join(
        f'<EncryptedData><EncryptionMethod Algorithm="{algorithm}"/><CipherData>'
        f'<CipherReference URI="{path}"/></CipherData></EncryptedData>'
        for algorithm, path in targets
    )
    return (
        f'<encryption xmlns="urn:oasis:names:tc:opendocument:xmlns:container">{inner}</encryption>'
    )


AES = "http://www.w3.org/2001/04/xmlenc#aes256-cbc"


def test_a_book_whose_pages_are_encrypted_is_protected() -> None:
    files = {"META-INF/encryption.xml": encryption((AES, "OEBPS/%E7%AB%A0.xhtml"))}
    with pytest.raises(UnreadableDocument, match=r"'a\.epub' is protected by DRM; get a copy"):
        parse({"章.xhtml": b"\x8f\x02noise"}, files=files)


@pytest.mark.parametrize(
    "target",
    [
        ("http://www.idpf.org/2008/embedding", "OEBPS/a.otf"),
        ("http://ns.adobe.com/pdf/enc#RC", "OEBPS/a.otf"),
        (AES, "OEBPS/cover.jpg"),
    ],
)
def test_fonts_and_pictures_may_be_encrypted(target: tuple[str, str]) -> None:
    files = {"META-INF/encryption.xml": encryption(target), target[1]: b"\x8f"}
    assert parse({"a": "<p>text</p>"}, files=files).text == "text"


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({}, r"'META-INF/container\.xml' is missing"),
        ({"META-INF/container.xml": "<container/>"}, "names no package file"),
        ({"META-INF/container.xml": "<container>"}, r"'META-INF/container\.xml', "),
        ({"META-INF/container.xml": CONTAINER.format(root="x.opf")}, r"'x\.opf' is missing"),
        (
            {"META-INF/container.xml": CONTAINER.format(root="x.opf"), "x.opf": "<package"},
            r"'x\.opf', ",
        ),
    ],
)
def test_a_book_without_what_names_its_pages_is_damaged(
    files: dict[str, str], message: str
) -> None:
    with pytest.raises(UnreadableDocument, match=r"'a\.epub' is damaged.*" + message):
        read(pack(files), source="a.epub")


def test_a_page_that_is_missing_is_damage() -> None:
    items = [item("a", "a.xhtml"), item("b", "b.xhtml")]
    with pytest.raises(UnreadableDocument, match=r"damaged: 'OEBPS/b\.xhtml' is missing in it"):
        parse({"a.xhtml": "<p>a</p>"}, items=items, spine=["a", "b"])
    with pytest.raises(UnreadableDocument, match="its page 'c' is not in its manifest"):
        parse({"a.xhtml": "<p>a</p>"}, items=items, spine=["a", "c"])


def test_a_page_never_comes_from_outside_the_archive(tmp_path: Path) -> None:
    outside = tmp_path / "secret.xhtml"
    outside.write_text(page("<p>secret</p>"), encoding="utf-8")
    for href in (str(outside), f"file://{outside}", f"{'../' * 20}{outside}"):
        with pytest.raises(UnreadableDocument, match="is missing in it"):
            parse({}, items=[item("a", href)], spine=["a"])


def test_a_page_that_cannot_be_decoded_is_an_error() -> None:
    with pytest.raises(UnreadableDocument, match=r"a\.epub"):
        parse({"a": page("<p>引航员先登船。</p>" * 99).encode() + b"\xff"})


def test_a_book_with_a_page_nested_beyond_reason_is_refused() -> None:
    with pytest.raises(UnreadableDocument, match="nests more than"):
        parse({"a": "<div>" * 6000})


def test_a_book_without_text_is_empty(tmp_path: Path) -> None:
    path = tmp_path / "a.epub"
    path.write_bytes(make_epub({"a": "<img src='scan.png'/>"}))
    with pytest.raises(EmptyDocument, match="it holds no text"):
        rag.load(path)


# All the way


BOOK = make_epub(
    {
        "a.xhtml": "<h1>第一章　总则</h1><p>本办法适用于全市。</p>",
        "b.xhtml": "<p>Fees</p><p>The fee is due monthly.</p>",
    },
    items=[
        item("a.xhtml", "a.xhtml"),
        item("b.xhtml", "b.xhtml"),
        item("nav", "nav.xhtml", extra='properties="nav"'),
    ],
    title="供水办法",
    files={"OEBPS/nav.xhtml": page(nav("a.xhtml|第一章　总则", "b.xhtml|Fees"))},
)


def test_a_book_loads_with_its_offsets(tmp_path: Path) -> None:
    path = tmp_path / "书.epub"
    path.write_bytes(BOOK)
    document = rag.load(path)
    assert (document.id, document.title) == ("书.epub", "供水办法")
    assert dict(document.metadata) == {"format": "epub"}
    assert [document.text[s.start : s.end] for s in document.sections] == [
        "第一章　总则\n\n本办法适用于全市。\n\n",
        "Fees\n\nThe fee is due monthly.",
    ]


def test_a_book_is_known_by_its_contents_whatever_its_suffix(tmp_path: Path) -> None:
    path = tmp_path / "a.docx"
    path.write_bytes(BOOK)
    assert rag.load(path).title == "供水办法"


@given(st.integers(0, len(BOOK) - 1))
def test_a_book_cut_short_is_refused(length: int) -> None:
    path = Path("cut.epub")
    path.write_bytes(BOOK[:length])
    with pytest.raises(DocumentError):
        rag.load(path)


@given(st.lists(st.tuples(st.integers(0, len(BOOK) - 1), st.integers(1, 255)), min_size=1))
def test_flipped_bits_raise_nothing_but_our_errors(flips: list[tuple[int, int]]) -> None:
    data = bytearray(BOOK)
    for place, bits in flips:
        data[place] ^= bits
    path = Path("flipped.epub")
    path.write_bytes(data)
    with suppress(DocumentError):
        assert rag.load(path).text


PARTS = {
    name: zipfile.ZipFile(io.BytesIO(BOOK)).read(name)
    for name in zipfile.ZipFile(io.BytesIO(BOOK)).namelist()
    if name != "mimetype"
}
MISCHIEF = [
    b"",
    b"<",
    b"\xff",
    b"&x;",
    b"</p>",
    b"\xed\xa0\x80",
    b"%",
    b"..",
    b"#",
    b"<!DOCTYPE x[",
]


@given(st.sampled_from(sorted(PARTS)), st.data())
def test_a_damaged_part_raises_nothing_but_our_errors(name: str, draw: st.DataObject) -> None:
    part = PARTS[name]
    start = draw.draw(st.integers(0, len(part)))
    end = draw.draw(st.integers(start, min(start + 100, len(part))))
    damaged = part[:start] + draw.draw(st.sampled_from(MISCHIEF)) + part[end:]
    path = Path("part.epub")
    path.write_bytes(pack(PARTS | {name: damaged}))
    with suppress(DocumentError):
        document = rag.load(path)
        for section in document.sections:
            assert 0 <= section.start < section.end <= len(document.text)
