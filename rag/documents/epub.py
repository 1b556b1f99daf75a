"""EPUB becomes text: its pages in reading order, each read as HTML is.

1. ``META-INF/container.xml`` names the package file; that lists the files of the book (the
   manifest) and which of them are its pages, in order (the spine). Pages beside the main
   order (``linear="no"``: notes, answers) stay where the spine has them.
2. Each page becomes text with its headings. Where a page marks up none, the titles that the
   table of contents has for it are looked for among its lines.
3. A page that is the table of contents is text, but its entries are no headings.
"""

import re
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import unquote

from rag.documents import archives, html
from rag.documents.archives import Archive
from rag.documents.parsed import Parsed
from rag.documents.sections import Heading, find_sections
from rag.errors import UnreadableDocument
from rag.types import Span

if TYPE_CHECKING:
    from lxml.etree import _Element

_CONTAINER = "META-INF/container.xml"
_ENCRYPTION = "META-INF/encryption.xml"
_FONT_OBFUSCATION = frozenset(
    {"http://www.idpf.org/2008/embedding", "http://ns.adobe.com/pdf/enc#RC"}
)
"""Algorithms for fonts, which leave the text open; EPUB 3.3, 4.3, and Adobe's before it."""
_NCX = "application/x-dtbncx+xml"
_NO_TEXT = ("image/", "audio/", "video/")
_TYPE = "{http://www.idpf.org/2007/ops}type"
_SPACES = re.compile(r"\s+")
_LINE = re.compile(r"[^\n]*\S[^\n]*")


def read(data: bytes, *, source: str) -> Parsed:
    """Read an EPUB file.

    Raises
    ------
    UnreadableDocument
        It is damaged, a page is missing, it is protected by DRM, or would unpack to too much.
    """
    archive = archives.open_archive(data, source=source)
    book = _open(archive)
    if not _encrypted(archive).isdisjoint(book.pages):
        message = f"{source!r} is protected by DRM; get a copy of the book without it"
        raise UnreadableDocument(message, source=source)
    parts: list[str] = []
    headings: list[Heading] = []
    prose: list[Span] = []
    length = 0
    for path in book.pages:
        page = _read_page(archive, book, path)
        if not page.text:
            continue
        gap = "\n\n" if parts else ""
        start = length + len(gap)
        parts += [gap, page.text]
        headings += [Heading(h.title, h.level, start + h.start) for h in page.headings]
        prose += [(start + begin, start + end) for begin, end in page.prose]
        length = start + len(page.text)
    text = "".join(parts)
    return Parsed(
        text=text,
        title=book.title,
        sections=find_sections(text, headings=headings, paragraphs=prose),
    )


@dataclass(frozen=True, slots=True)
class _Entry:
    """A line of the table of contents."""

    title: str
    level: int
    """From 1, the outermost."""


@dataclass(frozen=True, slots=True)
class _Book:
    """What the package file says."""

    title: str | None
    pages: Sequence[str]
    """The names of the pages in the archive, in reading order."""
    entries: Mapping[str, Sequence[_Entry]]
    """Page -> what the table of contents has for it, in order."""
    contents: frozenset[str]
    """Pages that are tables of contents."""


def _open(archive: Archive) -> _Book:
    """Read the files that say what the book consists of."""
    root = next((file.get("full-path") for file in _all(archive.xml(_CONTAINER), "rootfile")), None)
    if not root:
        raise archive.damaged(f"{_CONTAINER!r} names no package file")
    package = archive.xml(root)
    items = {item.get("id", ""): item for item in _all(package, "item")}
    navigation = _found(archive, root, [item for item in items.values() if _is_navigation(item)])
    tables = [item for item in items.values() if item.get("media-type") == _NCX]
    guides = [guide for guide in _all(package, "reference") if guide.get("type") == "toc"]
    entries: dict[str, list[_Entry]] = {}
    for path in (*navigation, *_found(archive, root, tables)):
        entries = entries or _entries(archive, path)
    return _Book(
        title=next(filter(None, map(_words, _all(package, "title"))), None),
        pages=_pages(archive, root, package, items),
        entries=entries,
        contents=frozenset([*navigation, *_found(archive, root, guides)]),
    )


def _pages(
    archive: Archive, root: str, package: "_Element", items: Mapping[str, "_Element"]
) -> list[str]:
    """Follow the spine; a page that comes again in it is read once."""
    pages: dict[str, None] = {}
    for reference in _all(package, "itemref"):
        item = items.get(reference.get("idref", ""))
        if item is None:
            raise archive.damaged(f"its page {reference.get('idref')!r} is not in its manifest")
        item = _with_text(item, items)
        if item is not None:
            path = archives.resolve(root, _path(item))
            pages[archive.find(path) or path] = None
    return list(pages)


def _with_text(item: "_Element", items: Mapping[str, "_Element"]) -> "_Element | None":
    """Take what stands in for a page that is a picture; None where nothing does."""
    seen: list[_Element] = []
    while item.get("media-type", "").startswith(_NO_TEXT):
        seen.append(item)
        fallback = items.get(item.get("fallback", ""))
        if fallback is None or fallback in seen:
            return None
        item = fallback
    return item


def _read_page(archive: Archive, book: _Book, path: str) -> html.Rendered:
    markup, _ = html.decode(archive.read(path), source=archive.source)
    page = html.render(markup, source=archive.source)
    if path in book.contents:
        elsewhere = {
            _letters(entry.title)
            for other, entries in book.entries.items()
            if other != path
            for entry in entries
        }
        page.headings = [h for h in page.headings if _letters(h.title) not in elsewhere]
        page.prose = []
    elif not page.headings:
        page.headings = list(_headings(page.text, book.entries.get(path, ())))
    return page


def _headings(text: str, entries: Sequence[_Entry]) -> Iterator[Heading]:
    """Find the titles that are a line of a page, or two: “Chapter 1” above “The Storm”."""
    lines = [(line.start(), _letters(line[0])) for line in _LINE.finditer(text)]
    places: dict[str, list[int]] = {}
    for place, (start, line) in enumerate(lines):
        for title in {line, "".join(words for _, words in lines[place : place + 2])}:
            places.setdefault(title, []).append(start)
    last = -1
    for entry in entries:
        starts = places.get(_letters(entry.title), [])
        place = bisect_right(starts, last)
        if place < len(starts):
            last = starts[place]
            yield Heading(entry.title, entry.level, last)


def _entries(archive: Archive, path: str) -> dict[str, list[_Entry]]:
    """Read a table of contents: the lists of links of EPUB 3, or the NCX of EPUB 2."""
    root = archive.recovered_xml(path)
    if root is None:
        return {}
    found: dict[str, list[_Entry]] = {}
    for target, title, level in (*_links(root), *_points(root)):
        page = archive.find(archives.resolve(path, _path(target)))
        if page is not None and title:
            found.setdefault(page, []).append(_Entry(title, level))
    return found


def _links(root: "_Element") -> Iterator[tuple["_Element", str, int]]:
    lists = _all(root, "nav")
    for table in [nav for nav in lists if "toc" in nav.get(_TYPE, "").split()] or lists[:1]:
        for link in _all(table, "a"):
            yield link, _words(link), max(1, sum(1 for _ in link.iterancestors("{*}ol")))


def _points(root: "_Element") -> Iterator[tuple["_Element", str, int]]:
    for point in _all(root, "navPoint"):
        label, content = point.find("{*}navLabel"), point.find("{*}content")
        if label is not None and content is not None:
            yield content, _words(label), 1 + sum(1 for _ in point.iterancestors("{*}navPoint"))


def _encrypted(archive: Archive) -> set[str | None]:
    """Find the files that are encrypted, other than fonts."""
    if archive.find(_ENCRYPTION) is None:
        return set()
    return {
        archive.find(archives.resolve("", unquote(reference.get("URI", ""))))
        for data in _all(archive.xml(_ENCRYPTION), "EncryptedData")
        for method in data.iterchildren("{*}EncryptionMethod")
        if method.get("Algorithm") not in _FONT_OBFUSCATION
        for reference in _all(data, "CipherReference")
    }


def _found(archive: Archive, root: str, elements: Sequence["_Element"]) -> list[str]:
    """Name the files that elements of the package file lead to, those that are there."""
    names = (archive.find(archives.resolve(root, _path(element))) for element in elements)
    return [name for name in names if name is not None]


def _is_navigation(item: "_Element") -> bool:
    return "nav" in item.get("properties", "").split()


def _path(element: "_Element") -> str:
    """Read the path that an element leads to, without the place inside the file."""
    href = element.get("href") or element.get("src") or ""
    return unquote(href.partition("#")[0])


def _all(root: "_Element", name: str) -> list["_Element"]:
    return list(root.iter(f"{{*}}{name}"))


def _words(element: "_Element") -> str:
    return _SPACES.sub(" ", "".join(element.itertext())).strip()


def _letters(title: str) -> str:
    return _SPACES.sub("", title).casefold()
