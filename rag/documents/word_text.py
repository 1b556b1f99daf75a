"""The text of one paragraph of a Word document, as it reads when all changes are accepted.

Text is looked for in whatever a paragraph holds (runs, hyperlinks, content controls, inserted
and moved text, equations), so that a wrapper not known here costs none. What is left out:

1. what was deleted, or moved to another place;
2. what is hidden, and the instructions of fields, of which only the result shows;
3. of ``mc:AlternateContent`` the versions for older programs.

Text boxes are collected and not read: they hold paragraphs of their own.
"""

import re
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, ClassVar

from rag.documents.wordml import attribute, child, children, choice, is_on, name_of, number

if TYPE_CHECKING:
    from lxml.etree import _Element

SKIPPED = frozenset(
    f"w:{name}"
    for name in (
        *("pPr", "rPr", "sdtPr", "sdtEndPr", "tblPr", "tblGrid", "trPr", "tcPr", "sectPr"),
        *("del", "moveFrom"),
    )
)
"""Properties, and what is no longer in the text."""
_TEXT = frozenset({"w:t", "m:t"})
_SIGNS = {
    "w:tab": "\t",
    "w:ptab": "\t",
    "w:br": "\n",
    "w:cr": "\n",
    "w:noBreakHyphen": "-",
    "w:softHyphen": "",  # It shows only where a line breaks.
}
_LINE_ENDS = re.compile(r"[\r\n]+")
"""Of the file's own lines; on the page they are spaces."""
_CODE = re.compile(r"[0-9A-Fa-f]{1,4}")
_SYMBOLS = {
    "symbol": dict(enumerate(map(chr, range(0x20, 0x7F)), 0x20))
    | dict(enumerate("ΑΒΧΔΕΦΓΗΙϑΚΛΜΝΟΠΘΡΣΤΥςΩΞΨΖ", 0x41))
    | dict(enumerate("αβχδεφγηιϕκλμνοπθρστυϖωξψζ", 0x61))
    | {0x22: "∀", 0x24: "∃", 0x27: "∋", 0x2D: "−", 0x40: "≅", 0x5C: "∴", 0x5E: "⊥", 0x7E: "∼"}
    | dict(enumerate("′≤⁄∞", 0xA2))
    | dict(enumerate("↔←↑→↓°±″≥×∝∂•÷≠≡≈…⏐⎯↵", 0xAB))
    | dict(enumerate("⊗⊕∅∩∪⊃⊇⊄⊂⊆∈∉∠∇", 0xC4))
    | dict(enumerate("∏√⋅¬∧∨⇔⇐⇑⇒", 0xD5))
    | {0xE5: "∑", 0xF2: "∫"},
    "wingdings": dict(zip((0x6E, 0x6F, 0xA8, 0xE0), "■□☐→", strict=True))
    | dict(enumerate("✗✓☒☑", 0xFB)),
    "wingdings 2": {0x50: "✓", 0x52: "☑", 0x53: "☒", 0x54: "☒", 0xA3: "☐"},
}
"""Font -> code -> character: Adobe's Symbol encoding, and of Wingdings what forms are ticked
with. The codes of such fonts mean letters to whoever does not have the font."""
_BEFORE_GROUP = {"m:num": "", "m:den": "/", "m:sup": "^", "m:sub": "_", "m:lim": "_"}
"""Parts of an equation -> the sign that sets them off from what stands before: 1/2 is no 12."""


class Runs:
    """Reads what stands in a paragraph.

    Parameters
    ----------
    mark_note : tells the mark of a footnote or an endnote that is referred to.
    """

    def __init__(self, mark_note: Callable[["_Element"], str]) -> None:
        self.boxes: list[_Element] = []
        """Text boxes, in order; each holds blocks."""
        self._mark_note = mark_note
        self._parts: list[str] = []
        self._fields: list[tuple[int | None, str]] = []
        """Of each open field where its instruction begins, None once its result has begun;
        and what it shows without a result."""

    @property
    def text(self) -> str:
        """What was read, without the white space around it."""
        return "".join(self._parts).strip(" \t\n")

    def read(self, elements: Iterable["_Element"]) -> None:
        """Read elements, or what one element holds."""
        for element in elements:
            name = name_of(element)
            if name in _TEXT:
                self._write(_LINE_ENDS.sub(" ", element.text or ""))
            elif name in _SIGNS:
                self._write(_SIGNS[name])
            elif name in self._SPECIAL:
                self._SPECIAL[name](self, element)
            elif name in _BEFORE_GROUP:
                start = len(self._parts)
                self.read(element)
                self._close_group(start, _BEFORE_GROUP[name])
            elif name not in SKIPPED:
                self.read(element)

    def _write(self, text: str) -> None:
        self._parts.append(text.replace("\xad", ""))

    def _run(self, run: "_Element") -> None:
        if not is_on(run, "w:rPr", "w:vanish"):
            self.read(run)

    def _alternatives(self, element: "_Element") -> None:
        chosen = choice(element)
        if chosen is not None:
            self.read(chosen)

    def _note(self, reference: "_Element") -> None:
        self._write(self._mark_note(reference))

    def _box(self, box: "_Element") -> None:
        self.boxes.append(box)

    def _symbol(self, symbol: "_Element") -> None:
        written = attribute(symbol, "w:char") or ""
        code = int(written, 16) if _CODE.fullmatch(written) else 0
        known = _SYMBOLS.get((attribute(symbol, "w:font") or "").lower(), {}).get(code & 0xFF)
        # A sign that is not known stays what it is; half a surrogate pair is no sign.
        if code >= 0x20 and not 0xD800 <= code < 0xE000:
            self._write(known or chr(code))

    def _ruby(self, ruby: "_Element") -> None:
        """Write the text, then how it is read, as the page shows one above the other."""
        for part, brackets in (("w:rubyBase", ("", "")), ("w:rt", ("(", ")"))):
            inner = child(ruby, part)
            if inner is not None:
                self._write(brackets[0])
                self.read(inner)
                self._write(brackets[1])

    def _field(self, sign: "_Element") -> None:
        """Remove the instruction of a field once it is known to have ended."""
        kind = attribute(sign, "w:fldCharType")
        if kind == "begin":
            self._fields.append((len(self._parts), _form_field(sign)))
        elif self._fields and kind in {"separate", "end"}:
            start, shown = self._fields.pop()
            if start is not None:
                del self._parts[start:]
            if kind == "separate":
                self._fields.append((None, shown))
            else:
                self._write(shown)

    def _close_group(self, start: int, sign: str) -> None:
        """Put a part of an equation in brackets unless it is one number or name."""
        inner = self._take(start)
        if inner:
            self._write(sign + (inner if inner.isalnum() else f"({inner})"))

    def _take(self, start: int) -> str:
        """Take back what was read from a place on."""
        inner = "".join(self._parts[start:]).strip()
        del self._parts[start:]
        return inner

    def _root(self, root: "_Element") -> None:
        start = len(self._parts)
        for degree in children(root, "m:deg"):
            self.read(degree)
        degree = self._take(start)
        self._write(f"[{degree}]√" if degree else "√")
        start = len(self._parts)
        for base in children(root, "m:e"):
            self.read(base)
        self._close_group(start, "")

    def _brackets(self, element: "_Element") -> None:
        signs = child(element, "m:dPr")
        self._write(_sign(child(signs, "m:begChr"), "("))
        for place, inner in enumerate(children(element, "m:e")):
            self._write(_sign(child(signs, "m:sepChr"), "|") if place else "")
            self.read(inner)
        self._write(_sign(child(signs, "m:endChr"), ")"))

    def _operator(self, element: "_Element") -> None:
        self._write(_sign(child(element, "m:naryPr", "m:chr"), "∫"))
        self.read(element)

    def _row(self, row: "_Element") -> None:
        """Set the cells of a matrix, the lines of an array and a function's argument apart."""
        for part in row:
            self._write(" ")
            self.read(part)

    def _function(self, function: "_Element") -> None:
        for part in ("m:fName", "m:e"):
            inner = child(function, part)
            if inner is not None:
                self.read(inner)
                self._write(" " if part == "m:fName" else "")

    _SPECIAL: ClassVar[dict[str, Callable[["Runs", "_Element"], None]]] = {
        "w:r": _run,
        "w:sym": _symbol,
        "w:ruby": _ruby,
        "w:fldChar": _field,
        "w:footnoteReference": _note,
        "w:endnoteReference": _note,
        "w:txbxContent": _box,
        "mc:AlternateContent": _alternatives,
        "m:rad": _root,
        "m:d": _brackets,
        "m:nary": _operator,
        "m:mr": _row,
        "m:eqArr": _row,
        "m:func": _function,
    }


def _sign(element: "_Element | None", default: str) -> str:
    """Read which sign an equation has; an empty one is none."""
    sign = attribute(element, "m:val")
    return default if sign is None else sign


def _form_field(sign: "_Element") -> str:
    """Tell what a box to tick or a list to choose from shows, which is no text of the file."""
    box = child(sign, "w:ffData", "w:checkBox")
    if box is not None:
        switch = "w:default" if child(box, "w:checked") is None else "w:checked"
        return "☒" if is_on(box, switch) else "☐"
    choices = child(sign, "w:ffData", "w:ddList")
    entries = [attribute(entry) or "" for entry in children(choices, "w:listEntry")]
    chosen = number(child(choices, "w:result"), default=0)
    return entries[chosen] if chosen < len(entries) else ""
