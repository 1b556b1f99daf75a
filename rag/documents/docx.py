"""DOCX becomes text: what a reader of the document sees, in blocks.

1. The package is a zip archive of XML files; relationships tell which of them is the body,
   the styles, the lists, the notes.
2. The body is read block by block, its tree never whole in memory. Styles tell the headings
   (``word_styles``), lists the numbers that Word writes before paragraphs (``word_numbers``),
   runs the text (``word_text``).
3. Blocks are set apart by blank lines, items and rows by line breaks. A table becomes rows
   ``| a | b |``; one that only lays out the page (it holds another table or a heading, or has
   one column) becomes the blocks in its cells, as in HTML.
4. A note follows the paragraph, list or table that refers to it: it is found with what it
   explains, where at the end it would stand under the last heading.

Headers and footers belong to the page, comments to whoever wrote them; neither is text. The
package is opened here and not by python-docx, which refuses what Word opens (strict files,
those with macros or without styles) and keeps neither text boxes nor content controls.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from rag.documents import archives
from rag.documents.archives import Archive
from rag.documents.parsed import Parsed
from rag.documents.sections import Heading, find_sections
from rag.documents.word_numbers import BULLET, Numbers, roman
from rag.documents.word_styles import Style, Styles
from rag.documents.word_text import SKIPPED, Runs
from rag.documents.wordml import attribute, child, children, choice, is_true, name_of, number
from rag.errors import UnreadableDocument
from rag.types import Span

if TYPE_CHECKING:
    from lxml.etree import _Element

_WORDED = re.compile(r"第|[A-Za-z]{4}")
"""A number with a word, “第3条” or “Article 3”, is an article's and not an item's."""
_DEEPEST_INDENT = 8
_MOST_COLUMNS = 63
"""As many as Word's tables may have; ``w:gridSpan`` alone could claim a thousand million."""
_SPACES = re.compile(r"[ \t\n]+")


def read(data: bytes, *, source: str) -> Parsed:
    """Read a DOCX file.

    Its title is that of its properties, else the first paragraph of the style Title, else its
    first heading of the outermost level.

    Raises
    ------
    UnreadableDocument
        It is damaged, would unpack to too much, or embeds another file as part of its text.
    """
    package = _Package(archives.open_archive(data, source=source))
    blocks = _Blocks(package)
    text = _Text()
    waiting: list[_Note] = []
    for block in blocks.body():
        if not text.goes_on_with(block):
            blocks.write_notes(waiting, text)
        text.add(block)
        waiting += block.notes
    blocks.write_notes(waiting, text)
    whole = "".join(text.parts)
    outermost = [heading.title for heading in text.headings if heading.level == 1]
    titles = [package.title(), *text.titles, *outermost]
    return Parsed(
        text=whole,
        title=next(filter(None, titles), None),
        sections=find_sections(whole, headings=text.headings, paragraphs=text.prose),
    )


@dataclass(frozen=True, slots=True)
class _Note:
    """A footnote or an endnote."""

    kind: str
    id_: str
    mark: str
    """"" where its own text begins with one."""


@dataclass(frozen=True, slots=True)
class _Block:
    """A paragraph, or a row of a table."""

    text: str
    kind: str
    """"paragraph", "heading", "title", "contents", "item", "row" or "note"."""
    level: int = 0
    """Of a heading, from 1."""
    mark: str = ""
    """What stands before the text: a number, or ``BULLET``."""
    indent: str = ""
    group: str = ""
    """Only line breaks stand between blocks of one group; "" means none."""
    notes: tuple[_Note, ...] = ()
    """Those it refers to first."""


@dataclass(slots=True)
class _Text:
    """The text as it is written."""

    parts: list[str] = field(default_factory=list)
    headings: list[Heading] = field(default_factory=list)
    titles: list[str] = field(default_factory=list)
    prose: list[Span] = field(default_factory=list)
    """Where numbered headings may stand: no items, tables, notes or tables of contents."""
    _length: int = 0
    _group: str = ""

    def goes_on_with(self, block: _Block) -> bool:
        return block.group != "" and block.group == self._group

    def add(self, block: _Block) -> None:
        gap = "" if not self._length else "\n" if self.goes_on_with(block) else "\n\n"
        written = block.indent + block.mark + block.text
        start = self._length + len(gap)
        self.parts += [gap, written]
        self._length = start + len(written)
        self._group = block.group
        title = block.mark + block.text
        for note in block.notes:
            title = title.replace(note.mark, "")
        if block.kind == "heading":
            self.headings.append(Heading(_collapsed(title), block.level, start))
        elif block.kind == "title":
            self.titles.append(_collapsed(title))
        if block.kind in {"paragraph", "heading", "title"}:
            self.prose.append((start, self._length))


class _Package:
    """The files of a document."""

    def __init__(self, archive: Archive) -> None:
        self.archive = archive
        self._of_package = self._targets("")
        self._main = self._of_package.get("officeDocument", "word/document.xml")
        self._of_body = self._targets(self._main)

    def _targets(self, part: str) -> dict[str, str]:
        """Map each kind of relationship that a file has to the first file it leads to."""
        name = part.rpartition("/")[2]
        tree = self._parsed(archives.resolve(part, f"_rels/{name}.rels"))
        found: dict[str, str] = {}
        for relation in children(tree, ":Relationship"):
            kind = relation.get("Type", "").rpartition("/")[2]
            if relation.get("TargetMode") != "External":
                found.setdefault(kind, archives.resolve(part, relation.get("Target", "")))
        return found

    def _parsed(self, name: str) -> "_Element | None":
        return None if self.archive.find(name) is None else self.archive.xml(name)

    def body(self) -> Iterator["_Element"]:
        """Yield the blocks of the body, each emptied once the next is asked for."""
        return self.archive.iterate_xml(self._main, parent="body")

    def related(self, kind: str) -> "_Element | None":
        """Parse the file of a kind that belongs to the body; None where it has none."""
        usual = archives.resolve(self._main, f"{kind}.xml")
        return self._parsed(self._of_body.get(kind, usual))

    def title(self) -> str:
        """Read the title of the properties; "" where they have none."""
        usual = "docProps/core.xml"
        title = child(self._parsed(self._of_package.get("core-properties", usual)), "dc:title")
        return "" if title is None else _collapsed(title.text or "")


class _Blocks:
    """Reads the blocks of a document in their order, in which lists count."""

    def __init__(self, package: _Package) -> None:
        self._package = package
        self._numbers = Numbers.of(package.related("numbering"))
        self._styles = Styles(package.related("styles"), self._numbers)
        self._notes: dict[str, dict[str, _Element]] = {}
        self._marks: dict[tuple[str, str], _Note] = {}
        self._n_notes: dict[str, int] = {}
        self._n_tables = 0
        self._waiting: list[_Note] = []
        """Notes that the paragraph being read refers to."""
        self._carried: Runs | None = None
        """Text before a deleted paragraph mark; it begins the next paragraph."""

    def body(self) -> Iterator[_Block]:
        yield from self._blocks(self._package.body())
        if self._carried is not None:
            yield from self._paragraph(None, self._carried)

    def write_notes(self, notes: list[_Note], text: _Text) -> None:
        """Write notes, and those that they refer to themselves; the list is emptied."""
        while notes:
            note = notes.pop(0)
            mark = f"{note.mark}: " if note.mark else ""
            for block in self._blocks(self._note(note)):
                text.add(_Block(block.mark + block.text, "note", mark=mark))
                notes += block.notes
                mark = ""

    def _note(self, note: _Note) -> "_Element":
        """Find the text of a note."""
        if note.kind not in self._notes:
            tree = self._package.related(f"{note.kind}s")
            self._notes[note.kind] = {
                attribute(found, "w:id") or "": found for found in children(tree, f"w:{note.kind}")
            }
        found = self._notes[note.kind].get(note.id_)
        if found is None:
            raise self._package.archive.damaged(f"{note.kind} {note.id_} is missing in it")
        return found

    def _mark(self, reference: "_Element") -> str:
        """Tell the mark of a note: 1, 2 … for footnotes, i, ii … for endnotes, as in Word."""
        kind = name_of(reference).removeprefix("w:").removesuffix("Reference")
        key = (kind, attribute(reference, "w:id") or "")
        if key not in self._marks:
            mark = ""
            if not is_true(attribute(reference, "w:customMarkFollows")):
                count = self._n_notes[kind] = self._n_notes.get(kind, 0) + 1
                mark = f"[^{count if kind == 'footnote' else roman(count)}]"
            self._marks[key] = _Note(*key, mark)
            self._waiting.append(self._marks[key])
        return self._marks[key].mark

    def _blocks(self, elements: Iterable["_Element"]) -> Iterator[_Block]:
        for element in elements:
            name = name_of(element)
            if name == "w:p":
                yield from self._read_paragraph(element)
            elif name == "w:tbl":
                yield from self._table(element)
            elif name == "w:altChunk":
                source = self._package.archive.source
                message = (
                    f"{source!r} embeds another file as part of its text; open it "
                    "in a word processor and save it again"
                )
                raise UnreadableDocument(message, source=source)
            elif name in {"m:oMathPara", "m:oMath", "w:r", "w:hyperlink"}:
                runs = Runs(self._mark)
                runs.read([element])
                yield from self._paragraph(None, runs)
            elif name == "mc:AlternateContent":
                chosen = choice(element)
                yield from self._blocks(() if chosen is None else chosen)
            elif name not in SKIPPED:
                yield from self._blocks(element)

    def _read_paragraph(self, paragraph: "_Element") -> Iterator[_Block]:
        properties = child(paragraph, "w:pPr")
        runs, self._carried = self._carried or Runs(self._mark), None
        runs.read(paragraph)
        end = child(properties, "w:rPr")
        if child(end, "w:del") is not None or child(end, "w:moveFrom") is not None:
            self._carried = runs
        else:
            yield from self._paragraph(properties, runs)

    def _paragraph(self, properties: "_Element | None", runs: Runs) -> Iterator[_Block]:
        style = self._styles.of(properties)
        mark = self._numbers.mark(style.list_id, style.place)
        notes, self._waiting = tuple(self._waiting), []
        if runs.text:
            yield _made(runs.text, style, mark, notes)
        for box in runs.boxes:
            yield from self._blocks(box)

    def _table(self, table: "_Element") -> Iterator[_Block]:
        rows = [
            (row, [(cell, list(self._blocks(cell))) for cell in _within(row, "w:tc")])
            for row in _within(table, "w:tr")
            if child(row, "w:trPr", "w:del") is None
        ]
        inside = [block for _, cells in rows for _, blocks in cells for block in blocks]
        columns = max((len(cells) for _, cells in rows), default=0)
        if columns < 2 or any(block.kind in {"row", "heading"} for block in inside):
            yield from inside
            return
        self._n_tables += 1
        for row, cells in rows:
            texts = [""] * _span(child(row, "w:trPr", "w:gridBefore"), default=0)
            for cell, blocks in cells:
                texts += _spanned(cell, _collapsed(" ".join(map(_in_cell, blocks))))
            if any(texts):
                yield _Block(
                    f"| {' | '.join(texts)} |",
                    "row",
                    group=f"table {self._n_tables}",
                    notes=tuple(
                        note for _, blocks in cells for block in blocks for note in block.notes
                    ),
                )


def _made(text: str, style: Style, mark: str, notes: tuple[_Note, ...]) -> _Block:
    if style.kind == "heading":
        mark = "" if mark == BULLET else mark
        return _Block(text, "heading", level=style.level, mark=mark, notes=notes)
    if style.kind == "contents":
        return _Block(text, "contents", mark=mark, group="contents", notes=notes)
    if mark and not _WORDED.search(mark):
        indent = "  " * min(style.place, _DEEPEST_INDENT)
        return _Block(text, "item", mark=mark, indent=indent, group="list", notes=notes)
    return _Block(text, style.kind, mark=mark, notes=notes)


def _within(parent: "_Element", name: str) -> Iterator["_Element"]:
    """Yield rows or cells, those in content controls too."""
    for element in parent:
        found = name_of(element)
        if found == name:
            yield element
        elif found not in SKIPPED:
            yield from _within(element, name)


def _spanned(cell: "_Element", text: str) -> Sequence[str]:
    """Write a merged cell once, and leave the other places that it covers empty."""
    properties = child(cell, "w:tcPr")
    for merged in ("w:vMerge", "w:hMerge"):
        merge = child(properties, merged)
        if merge is not None and attribute(merge) != "restart":
            text = ""
    return [text] + [""] * (_span(child(properties, "w:gridSpan"), default=1) - 1)


def _span(columns: "_Element | None", *, default: int) -> int:
    return min(number(columns, default=default), _MOST_COLUMNS)


def _in_cell(block: _Block) -> str:
    return block.text if block.mark == BULLET else block.mark + block.text


def _collapsed(text: str) -> str:
    return _SPACES.sub(" ", text).strip(" ")
