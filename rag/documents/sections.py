"""Headings become sections: ``text`` -> nested or disjoint ``Section`` spans.

1. Headings that are marked up are certain: those a reader hands over (HTML, DOCX, EPUB, the
   outline of a PDF), and in Markdown those that markdown-it-py finds.
2. Headings that only their number gives away are looked for in the rest of the text
   (``numbering``). Their kinds are ranked among each other, and they nest below the marked
   heading that stands before them. Decimal numbers are looked for only where next to
   nothing is marked up: elsewhere “1. Scope” is an item of a list.
3. A section begins with its heading's line and ends where the next heading of the same or
   an outer level begins.
"""

import re
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from rag.documents.numbering import Numbered, find_numbered, kind_of, order_kinds
from rag.types import Section, Span

if TYPE_CHECKING:
    from markdown_it.token import Token

INNERMOST = 6
"""Deeper levels are counted as this one, as in HTML."""
_SPACES = re.compile(r"[ \t\n]+")
_NEWLINE = re.compile(r"\r\n?|\n")
_MAY_BE_MARKED = re.compile(r"(?<![^\n\r])[ ]{0,3}(?:#|=|-+[ \t]*(?:[\n\r]|$))")
_FRONT_MATTER = re.compile(
    r"---[ \t]*\r?\n(?=[^\n]*:)(?:(?!---|\.\.\.|\s*\n)[^\n]*\n)+(?:---|\.\.\.)[ \t]*(?:\r?\n|$)"
)


@dataclass(frozen=True, slots=True)
class Heading:
    """A heading that is marked up as one."""

    title: str
    level: int
    """From 1, the outermost."""
    start: int
    """Where its line begins."""


@dataclass(frozen=True, slots=True)
class MarkdownOutline:
    """What the sections of a Markdown text are made from."""

    headings: tuple[Heading, ...]
    paragraphs: tuple[Span, ...]
    """Of the body: no lists, quotations, tables or code."""


def find_sections(
    text: str,
    *,
    markdown: bool = False,
    headings: Sequence[Heading] = (),
    paragraphs: Sequence[Span] | None = None,
) -> tuple[Section, ...]:
    r"""Find the headings of a text and what stands under each.

    Parameters
    ----------
    text : the whole document.
    markdown : whether its markup is read; ``headings`` and ``paragraphs`` are found then.
    headings : marked-up headings, ascending by start.
    paragraphs : ascending, disjoint spans where numbered headings may begin; None means
        everywhere.

    Returns
    -------
    tuple of Section
        Ascending by start, nested or disjoint, inside the text, levels from 1 to 6. A
        heading without a title is left out. O(n) for n characters.

    Examples
    --------
    >>> text = "第一章　总则\n第一条　水费按月计。\n第二条　水费由用水人交付。"
    >>> for section in find_sections(text):
    ...     print(section.level, section.title, section.start, section.end)
    1 第一章　总则 0 31
    2 第一条 7 18
    2 第二条 18 31
    """
    if markdown:
        outline = outline_markdown(text)
        headings, paragraphs = outline.headings, outline.paragraphs
    marked = [heading for heading in headings if heading.title]
    numbered = find_numbered(text, within=paragraphs, decimals=len(marked) <= 1)
    return _nest(_merge(marked, _not_marked(numbered, marked)), length=len(text))


def outline_markdown(text: str) -> MarkdownOutline:
    """Find the headings and the paragraphs of a Markdown text.

    Parameters
    ----------
    text : CommonMark; a YAML block at its very start is no part of it.

    Returns
    -------
    MarkdownOutline
        ATX and setext headings, their titles without markup; none that stands in code, in a
        quotation or in a list.
    """
    from markdown_it import MarkdownIt  # noqa: PLC0415

    parser = MarkdownIt("commonmark")
    start = front_matter(text)[1]
    if _MAY_BE_MARKED.search(text, start) is None and not find_numbered(text, decimals=True):
        return MarkdownOutline((), ())
    lines = [start, *(match.end() for match in _NEWLINE.finditer(text, start)), len(text)]
    # Only the blocks are parsed; of the rest, titles alone are wanted.
    blocks = MarkdownIt("commonmark")
    blocks.core.ruler.enableOnly(["normalize", "block"])
    headings: list[Heading] = []
    paragraphs: list[Span] = []
    tokens = blocks.parse(text[start:])
    for token, content in pairwise(tokens):
        if token.level or token.map is None:
            continue
        first, last = token.map
        if token.type == "heading_open":
            title = _plain(parser.parseInline(content.content))
            headings.append(Heading(title, int(token.tag[1:]), lines[first]))
        elif token.type == "paragraph_open":
            paragraphs.append((lines[first], lines[last]))
    return MarkdownOutline(tuple(headings), tuple(paragraphs))


def front_matter(text: str) -> Span:
    """Tell where the YAML block at the start of a Markdown text lies; ``(0, 0)`` without one."""
    match = _FRONT_MATTER.match(text)
    return (0, match.end()) if match else (0, 0)


def _plain(tokens: "Sequence[Token]") -> str:
    """Drop the markup of a title."""
    parts: list[str] = []
    for token in tokens:
        for child in token.children or ():
            if child.type in {"text", "code_inline", "image"}:
                parts.append(child.content)
            elif child.type in {"softbreak", "hardbreak"}:
                parts.append(" ")
    return _SPACES.sub(" ", "".join(parts)).strip()


def _not_marked(numbered: Sequence[Numbered], marked: Sequence[Heading]) -> list[Numbered]:
    """Drop the numbered headings whose line is marked up anyway."""
    starts = [heading.start for heading in marked]
    return [
        heading
        for heading in numbered
        if bisect_left(starts, heading.start) == bisect_left(starts, heading.end + 1)
    ]


def _merge(marked: Sequence[Heading], numbered: Sequence[Numbered]) -> Iterator[Heading]:
    """Give numbered headings their levels, and put all in order.

    A kind that is also marked up somewhere, 第三章 in one place and # 第四章 in another, has
    the level it has there.
    """
    known: dict[str, int] = {}
    for certain in marked:
        kind = kind_of(certain.title)
        if kind is not None:
            known[kind] = min(certain.level, known.get(kind, INNERMOST))
    kinds = [kind for kind in order_kinds(numbered) if kind not in known]
    below = 0
    everything: list[Heading | Numbered] = [*marked, *numbered]
    for heading in sorted(everything, key=lambda heading: heading.start):
        if isinstance(heading, Heading):
            below = level = heading.level
        elif heading.kind in known:
            below = level = known[heading.kind]
        else:
            level = below + 1 + kinds.index(heading.kind)
        yield Heading(heading.title, min(level, INNERMOST), heading.start)


def _nest(headings: Iterator[Heading], *, length: int) -> tuple[Section, ...]:
    """Let each heading reach to the next one of its own or an outer level."""
    ordered = list(headings)
    ends = [length] * len(ordered)
    is_open: list[int] = []
    for place, heading in enumerate(ordered):
        while is_open and ordered[is_open[-1]].level >= heading.level:
            ends[is_open.pop()] = heading.start
        is_open.append(place)
    return tuple(
        Section(title=heading.title, level=heading.level, start=heading.start, end=end)
        for heading, end in zip(ordered, ends, strict=True)
    )
