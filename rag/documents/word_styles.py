"""Paragraph styles of a Word document: which are headings, and which are numbered.

A style inherits from the one it is based on. Of each the outline level counts before the
name, since both may be there and the outline is what Word's own navigation shows.
"""

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from rag.documents.word_numbers import Numbers
from rag.documents.wordml import attribute, child, children, number

if TYPE_CHECKING:
    from lxml.etree import _Element

_BODY_TEXT = 9
"""The outline level, from 0, of what is no heading."""
_HEADING = re.compile(
    r"(?:heading|标题|標題|見出し|제목|ü?berschrift|titre|título|titolo|заголовок|nagłówek"
    r"|kop|rubrik|overskrift|otsikko|başlık)\s*([1-9])"
)
"""The built-in styles; Word always names them in English, other programs in their language."""
_TITLE = frozenset({"title", "标题", "標題"})
_CONTENTS = re.compile(r"(?:toc|目录|目錄)\s*[1-9]")


@dataclass(frozen=True, slots=True)
class Style:
    """What is known of a paragraph by its style and its own properties."""

    kind: str = "paragraph"
    """"paragraph", "heading", "title" or "contents", an entry of a table of contents."""
    level: int = 0
    """Of a heading, from 1."""
    list_id: str = "0"
    place: int = 0
    """Its level in the list, from 0."""


class Styles:
    """The styles of one document."""

    def __init__(self, tree: "_Element | None", numbers: Numbers) -> None:
        self._numbers = numbers
        self._definitions = {
            attribute(style, "w:styleId") or "": style for style in children(tree, "w:style")
        }
        self._known = {"": Style()}

    def of(self, properties: "_Element | None") -> Style:
        """Tell what a paragraph's properties (``w:pPr``) make of it; None means it has none."""
        id_ = attribute(child(properties, "w:pStyle")) or ""
        return self._with(properties, id_, self._named(id_))

    def _named(self, id_: str) -> Style:
        """Look up a style; one that is not defined is told by its id."""
        chain: dict[str, None] = {}
        # From the far end: chains may be long, or lead in a circle.
        while id_ not in self._known and id_ not in chain:
            chain[id_] = None
            id_ = attribute(child(self._definitions.get(id_), "w:basedOn")) or ""
        style = self._known.get(id_, Style())
        for name in reversed(chain):
            style = self._known[name] = self._extended(name, style)
        return style

    def _extended(self, id_: str, base: Style) -> Style:
        definition = self._definitions.get(id_)
        name = (attribute(child(definition, "w:name")) or id_).partition(",")[0].strip().lower()
        heading = _HEADING.fullmatch(name) or _HEADING.fullmatch(id_.lower())
        if heading:
            base = replace(base, kind="heading", level=int(heading[1]))
        elif name in _TITLE:
            base = replace(base, kind="title")
        elif _CONTENTS.fullmatch(name):
            base = replace(base, kind="contents")
        return self._with(child(definition, "w:pPr"), id_, base)

    def _with(self, properties: "_Element | None", id_: str, base: Style) -> Style:
        """Let properties override what is inherited."""
        kind, level = base.kind, base.level
        outline = child(properties, "w:outlineLvl")
        if outline is not None:
            level = number(outline, default=_BODY_TEXT) + 1
            kind = "heading" if level <= _BODY_TEXT else "paragraph"
        listed = child(properties, "w:numPr")
        if listed is None:
            return Style(kind, level, base.list_id, base.place)
        own = attribute(child(listed, "w:numId"))
        list_id = own or base.list_id
        place = number(child(listed, "w:ilvl"), default=-1)
        if place < 0:
            linked = self._numbers.level_of(list_id, id_)
            place = linked if linked is not None else 0 if own else base.place
        return Style(kind, level, list_id, place)
