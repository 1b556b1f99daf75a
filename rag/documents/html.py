"""HTML becomes text: what a reader of the page sees, in blocks.

1. The bytes are decoded: a byte order mark, what the page declares, or detection.
2. lexbor builds the tree as browsers do. Nothing is fetched and no script is run.
3. The tree is walked in document order, without recursion. White space collapses as on the
   screen, save in ``<pre>``; blocks are set apart by blank lines, items and rows by line
   breaks. A table becomes rows ``| a | b |``; one that only lays out the page (it holds
   another table or a heading, or has one column) becomes the blocks in its cells.
"""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from rag.documents import encoding
from rag.documents.parsed import Parsed
from rag.documents.sections import Heading, find_sections
from rag.errors import UnreadableDocument
from rag.types import Span

if TYPE_CHECKING:
    from selectolax.lexbor import LexborNode


def _tags(names: str) -> frozenset[str]:
    return frozenset(names.split())


_DECLARED_IN = 4096
"""Bytes in which a declaration is looked for. Browsers look at 1,024, of pages that come with
an HTTP header; a saved page often begins with a comment of where it was saved from."""
_DECLARED = re.compile(
    rb"<meta\b[^>]*?\bcharset\s*=\s*[\"']?\s*([\w.:-]+)"
    rb"|<\?xml\b[^>]*?\bencoding\s*=\s*[\"']([\w.:-]+)",
    re.IGNORECASE,
)
_XHTML = re.compile(r"<\?xml\b|\bxmlns\s*=")
_SELF_CLOSED = re.compile(
    r"<(?!(?:area|base|br|col|embed|hr|img|input|link|meta|param|source|track|wbr)\b)"
    r"([A-Za-z][\w:.-]*+)([^<>]*)/>"
)
"""In XHTML ``<script/>`` is complete; HTML would take all that follows for the script."""
_TAG = re.compile(r"<!--(?:-?>|.*?--!?>|.*)|<(/?)([a-zA-Z][^\s/>]*)", re.DOTALL)
_RAW_END = {
    tag: re.compile(f"</{tag}", re.IGNORECASE) for tag in ("script", "style", "textarea", "title")
}
"""What ends an element in which tags are text."""
_CLOSED_ANYWAY = _tags(
    "area base br col embed hr img input link meta param source track wbr "
    "p li dt dd tr td th thead tbody tfoot colgroup html head body a"
)
"""Tags that are complete, or that the next of their kind closes."""
_DEEPEST = 5_000
"""lexbor looks through all open elements for each block: 20,000 nested ones take it 4 s, and
four times that for twice as many. Browsers stop at 512."""
_REPEATED = re.compile(
    r"<(/?)(b|big|code|em|font|i|nobr|option|optgroup|s|small|strike|strong|tt|u)(?=[\s/>])",
    re.IGNORECASE,
)
"""What costs the square of its number: each paragraph repeats every ``<b>`` and its like that
is still open, 70 kB of which become 4 GB; a ``<select>`` goes through its options for each."""
_ORDINARY = "\ufdd0"
"""Put behind such a name it makes an element that means nothing and that nothing repeats, and
whose text is shown the same. A noncharacter, as no text holds it."""

_DROPPED = _tags(
    "head script style template noscript noframes iframe object applet audio video canvas svg "
    "select datalist annotation annotation-xml rp title"
)
"""What is no text of the page, and what is shown only where something else cannot be."""
_HEADINGS = {f"h{level}": level for level in range(1, 7)}
_PREFORMATTED = frozenset({"pre", "listing", "xmp", "plaintext", "textarea"})
_LISTS = frozenset({"ul", "ol", "menu", "dir"})
_LINES = frozenset({"li", "tr", "dt", "dd", "caption", "summary", "legend", "figcaption"})
_BLOCKS = (
    _tags(
        "address article aside blockquote body center details dialog div dl fieldset figure "
        "footer form header hgroup hr main nav p section table td th"
    )
    | _PREFORMATTED
    | _LISTS
    | frozenset(_HEADINGS)
)
_NO_PROSE = _LISTS | _PREFORMATTED | {"dl", "blockquote"}
"""Where a number at the start of a line is no heading's."""
_HIDDEN = re.compile(r"(?:^|;)\s*display\s*:\s*none", re.IGNORECASE)
_EXPONENT = re.compile(r"[0-9+\u2212-]+")
_RAISED = str.maketrans("0123456789+-\u2212", "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁻")
"""10<sup>3</sup> is not 103."""
_SPACE = " \t\n\r\f"
_SPACES = re.compile(rf"[{_SPACE}]+")
_DEEPEST_INDENT = 8
"""Levels of lists that are indented; an indent for each of thousands would be the whole text."""


@dataclass(slots=True)
class Rendered:
    """The text of a page, and what its sections are made from."""

    text: str
    title: str | None
    headings: list[Heading]
    prose: list[Span]
    """Where numbered headings may stand: no lists, tables, quotations or code."""


def read(data: bytes, *, source: str) -> Parsed:
    """Read an HTML file.

    Its title is that of ``<title>``, else its first heading of the outermost level.

    Raises
    ------
    UnreadableDocument
        It cannot be decoded, or is nested so deep that it was made to do harm.
    """
    markup, codec = decode(data, source=source)
    page = render(markup, source=source)
    outermost = [heading.title for heading in page.headings if heading.level == 1]
    return Parsed(
        text=page.text,
        title=page.title or next(iter(outermost), None),
        sections=find_sections(page.text, headings=page.headings, paragraphs=page.prose),
        metadata=(("encoding", codec),),
    )


def decode(data: bytes, *, source: str) -> tuple[str, str]:
    """Decode the bytes of a page by what it declares; returns text and encoding.

    Raises
    ------
    UnreadableDocument
        The bytes are in no encoding that can be told.
    """
    declared = _DECLARED.search(data, 0, _DECLARED_IN)
    label = (declared[1] or declared[2]).decode("ascii", "replace") if declared else None
    return encoding.decode(data, source=source, declared=label)


def render(markup: str, *, source: str) -> Rendered:
    """Turn HTML or XHTML into the text that it shows.

    Parameters
    ----------
    markup : a whole page, well formed or not.
    source : names the file in errors.

    Raises
    ------
    UnreadableDocument
        Elements are nested deeper than any page needs.
    """
    from selectolax.lexbor import LexborHTMLParser  # noqa: PLC0415

    if _XHTML.search(markup, 0, _DECLARED_IN):
        markup = _SELF_CLOSED.sub(r"<\1\2></\1>", markup)
    markup = _REPEATED.sub(rf"<\1\2{_ORDINARY}", markup)
    if _depth(markup) > _DEEPEST:
        message = f"{source!r} nests more than {_DEEPEST:,} elements; save the page from a browser"
        raise UnreadableDocument(message, source=source)
    tree = LexborHTMLParser(markup)
    if tree.root is None:
        return Rendered("", None, [], [])
    page = _Page(_data_tables(tree.root))
    for node, begins in _walk(tree.root):
        if node.is_text_node:
            page.add(node.text_content or "")
        elif begins:
            page.enter(node)
        else:
            page.leave(node)
    title = tree.css_first("head title")
    return Rendered(
        text="".join(page.parts),
        title=_collapsed(title.text().replace(_ORDINARY, "")) or None if title else None,
        headings=page.headings,
        prose=page.prose,
    )


def _depth(markup: str) -> int:
    """Count how deep elements are nested, as far as tags alone tell."""
    is_open: Counter[str] = Counter()
    depth = deepest = position = 0
    while (match := _TAG.search(markup, position)) is not None:
        position = match.end()
        closing, name = match[1], (match[2] or "").lower()
        if not name or name in _CLOSED_ANYWAY or (name in {"rt", "rp"} and is_open["ruby"]):
            continue
        if closing:
            depth -= is_open[name] > 0
            is_open[name] -= is_open[name] > 0
            continue
        # In SVG and MathML tags are tags in these elements too.
        if name in _RAW_END and not is_open["svg"] and not is_open["math"]:
            end = _RAW_END[name].search(markup, position)
            position = end.start() if end else len(markup)
        is_open[name] += 1
        depth += 1
        deepest = max(deepest, depth)
    return deepest


def _walk(root: "LexborNode") -> Iterator[tuple["LexborNode", bool]]:
    """Yield each visible element as it begins and as it ends, and each text once."""
    # Nodes are compared by mem_id: == compares all of their HTML.
    node, end = root, root.mem_id
    while True:
        shown = node.is_text_node or _is_shown(node)
        if shown:
            yield node, True
        child = node.child if shown else None
        if child is not None:
            node = child
            continue
        if shown and not node.is_text_node:
            yield node, False
        while node.mem_id != end and node.next is None:
            parent = node.parent
            if parent is None:
                return
            node = parent
            yield node, False
        if node.mem_id == end or node.next is None:
            return
        node = node.next


def _is_shown(node: "LexborNode") -> bool:
    if node.tag in _DROPPED or (node.tag or "-").startswith("-"):
        return False
    attributes = node.attributes
    return not (
        attributes
        and ("hidden" in attributes or _HIDDEN.search(attributes.get("style") or "") is not None)
    )


def _data_tables(root: "LexborNode") -> set[int]:
    """Find the tables that show data rather than lay out the page."""
    found: set[int] = set()
    is_open: list[int] = []
    columns: list[int] = []
    for node, begins in _walk(root):
        tag = node.tag
        if tag == "table" and begins:
            if is_open:
                columns[-1] = -1
            is_open.append(node.mem_id)
            columns.append(0)
        elif tag == "table":
            table = is_open.pop()
            if columns.pop() > 1:
                found.add(table)
        elif not is_open or not begins or columns[-1] < 0:
            continue
        elif tag in _HEADINGS:
            columns[-1] = -1
        elif tag in {"td", "th"}:
            # A cell that has a cell before it makes a second column.
            columns[-1] = max(columns[-1], 2 if _has_left_neighbour(node) else 1)
    return found


def _has_left_neighbour(cell: "LexborNode") -> bool:
    before = cell.prev
    while before is not None and (before.tag or "-").startswith("-"):  # Text and comments.
        before = before.prev
    return before is not None and before.tag in {"td", "th"}


@dataclass(slots=True)
class _Page:
    """The text as it is written, and where in the tree the walk is."""

    tables: set[int]
    parts: list[str] = field(default_factory=list)
    headings: list[Heading] = field(default_factory=list)
    prose: list[Span] = field(default_factory=list)
    _length: int = 0
    _newlines: int = 0
    """Line breaks that come before the next text."""
    _space: bool = False
    """Whether a space comes before the next text, if it stands on the same line."""
    _marker: str = ""
    """What the next text begins with: the marker of an item."""
    _numbers: list[int | None] = field(default_factory=list)
    """Of each open list the number of its next item; None where it has bullets."""
    _no_prose: int = 0
    _preformatted: int = 0
    _superscript: int = 0
    _heading: int | None = None
    """The mem_id of the heading that is open."""
    _heading_start: int = 0
    _title: list[str] = field(default_factory=list)
    _table: int | None = None
    """The mem_id of the table of data that is open."""
    _cells: list[list[str]] = field(default_factory=list)
    """Of the row that is open, in a table of data."""

    def enter(self, node: "LexborNode") -> None:
        tag = node.tag or ""
        self._separate(tag)
        if tag == "br":
            self._break_line()
        elif tag in _LISTS:
            self._numbers.append(_first_number(node) if tag == "ol" else None)
        elif tag == "li":
            self._begin_item(node)
        elif tag == "table" and node.mem_id in self.tables:
            self._table = node.mem_id
            self._no_prose += 1
        elif tag in {"td", "th"} and self._table is not None:
            self._cells.append([])
        elif tag in _HEADINGS and self._heading is None and self._table is None:
            self._heading, self._title = node.mem_id, []
        elif tag == "rt" and node.child is not None:
            self.add("(")  # As browsers do that cannot write above the line.
        self._no_prose += tag in _NO_PROSE
        self._preformatted += tag in _PREFORMATTED
        self._superscript += tag == "sup"

    def leave(self, node: "LexborNode") -> None:
        tag = node.tag or ""
        if tag in _LISTS:
            self._numbers.pop()
        elif tag == "li":
            self._marker = ""
        elif tag == "rt" and node.child is not None:
            self.add(")")
        self._separate(tag)
        if tag == "tr" and self._cells:
            self._end_row()
        elif node.mem_id == self._table:
            self._table = None
            self._no_prose -= 1
        elif node.mem_id == self._heading:
            self._end_heading(_HEADINGS[tag])
        self._no_prose -= tag in _NO_PROSE
        self._preformatted -= tag in _PREFORMATTED
        self._superscript -= tag == "sup"

    def add(self, text: str) -> None:
        """Write text, its white space collapsed as on the screen."""
        # A soft hyphen shows only where a line breaks.
        text = text.replace("\xad", "").replace(_ORDINARY, "")
        if self._superscript and _EXPONENT.fullmatch(text):
            text = text.translate(_RAISED)
        if self._cells:
            self._cells[-1].append(text)
        elif self._preformatted:
            self._add_preformatted(text)
        else:
            body = text.strip(_SPACE)
            self._space = self._space or text[:1] in _SPACE
            if body:
                self._write(_SPACES.sub(" ", body))
                self._space = text[-1] in _SPACE

    def _add_preformatted(self, text: str) -> None:
        body = text.strip("\n")
        if not body:
            self._newlines = max(self._newlines, min(len(text), 2))
            return
        self._newlines = max(self._newlines, len(text) - len(text.lstrip("\n")))
        self._write(body)
        self._newlines = len(text) - len(text.rstrip("\n"))

    def _write(self, text: str) -> None:
        before = ""
        if self._length:
            before = "\n" * self._newlines or " " * self._space
        start = self._length + len(before)
        written = before + self._marker + text
        self.parts.append(written)
        self._length += len(written)
        if self._heading is not None:
            self._heading_start = self._heading_start if self._title else start
            self._title.append(before + text)
        self._newlines, self._space, self._marker = 0, False, ""
        if self._no_prose:
            return
        if self.prose and self.prose[-1][1] == start - len(before):
            start = self.prose.pop()[0]
        self.prose.append((start, self._length))

    def _separate(self, tag: str) -> None:
        """Begin a new line, or after a blank one, where an element begins or ends."""
        if tag not in _BLOCKS and tag not in _LINES:
            return
        if self._cells:
            self._cells[-1].append(" ")
        elif not self._marker and not (self._table is not None and tag in {"td", "th"}):
            close = tag in _LINES or (tag in _LISTS and self._numbers)
            self._newlines = max(self._newlines, 1 if close else 2)
            self._space = False

    def _break_line(self) -> None:
        if self._cells:
            self._cells[-1].append(" ")
        else:
            self._newlines = min(self._newlines + 1, 2)
            self._space = False

    def _begin_item(self, node: "LexborNode") -> None:
        indent = "  " * min(len(self._numbers) - 1, _DEEPEST_INDENT)
        number = self._numbers[-1] if self._numbers else None
        if number is not None:
            number = _number(node.attributes.get("value"), number)
            self._numbers[-1] = number + 1
        if not self._cells:
            self._marker = indent + ("- " if number is None else f"{number}. ")

    def _end_row(self) -> None:
        cells, self._cells = self._cells, []
        row = [_collapsed("".join(cell)) for cell in cells]
        if any(row):
            self._write(f"| {' | '.join(row)} |")
            self._newlines = 1

    def _end_heading(self, level: int) -> None:
        self._heading = None
        title = _collapsed("".join(self._title))
        if title:
            self.headings.append(Heading(title, level, self._heading_start))


def _first_number(node: "LexborNode") -> int | None:
    """Tell where an ordered list begins to count; None where it counts in letters or down."""
    attributes = node.attributes
    if (attributes.get("type") or "1") != "1" or "reversed" in attributes:
        return None
    return _number(attributes.get("start"), 1)


def _number(written: str | None, otherwise: int) -> int:
    return int(written) if written and re.fullmatch(r"[0-9]{1,6}", written) else otherwise


def _collapsed(text: str) -> str:
    return _SPACES.sub(" ", text).strip(_SPACE)
