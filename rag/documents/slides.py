"""PPTX becomes text: each slide a page, and a section if it has a title.

1. python-pptx reads a copy that was checked (``archives``).
2. A slide is its title, then its shapes in their own order, which is the one a screen reader
   takes; groups are opened. Paragraphs of a list begin with ``- ``, tables become rows
   ``| a | b |`` in which a merged cell stands where it begins.
3. The speaker's notes follow behind “Notes:”.

Footers, dates and slide numbers belong to the page and are no text. Slides that are hidden in
the show are read, as everyone sees them who opens the file; the metadata name them, and count
the charts, diagrams and pictures, whose text is not read.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from rag.documents import archives
from rag.documents.parsed import Parsed, ranges
from rag.errors import require
from rag.types import Page, Scalar, Section

_SPACES = re.compile(r"\s+")
_FURNITURE = frozenset({"DATE", "FOOTER", "HEADER", "SLIDE_NUMBER"})
_LISTS = frozenset({"BODY", "OBJECT", "VERTICAL_BODY", "VERTICAL_OBJECT"})
"""Kinds of placeholders, as python-pptx names them."""
_DEEPEST_INDENT = 8
_CHART = "http://schemas.openxmlformats.org/drawingml/2006/chart"
_DIAGRAM = "http://schemas.openxmlformats.org/drawingml/2006/diagram"


def read(data: bytes, *, source: str) -> Parsed:
    """Read a PPTX file.

    Its title is that of its properties, else that of its first slide with one.

    Raises
    ------
    MissingDependency
        python-pptx is not installed.
    UnreadableDocument
        It is damaged, or would unpack to too much.
    """
    pptx = require("pptx", extra="office")
    from pptx.exc import PythonPptxError  # noqa: PLC0415

    copy = archives.open_archive(data, source=source).repacked()
    with archives.damage_told(source, PythonPptxError):
        presentation = pptx.Presentation(copy)
        named = _collapsed(presentation.core_properties.title or "")
        read_slides = [_Slide(slide) for slide in presentation.slides]
    parts: list[str] = []
    pages: list[Page] = []
    sections: list[Section] = []
    start = 0
    for number, slide in enumerate(read_slides, start=1):
        text = slide.text + "\n\n" * (number < len(read_slides))
        end = start + len(text)
        parts.append(text)
        pages.append(Page(number=number, start=start, end=end))
        if slide.title:
            sections.append(Section(title=slide.title, level=1, start=start, end=end))
        start = end
    return Parsed(
        text="".join(parts),
        title=named or next((section.title for section in sections), None),
        pages=tuple(pages),
        sections=tuple(sections),
        metadata=tuple(_left_out(read_slides)),
    )


class _Slide:
    """What one slide says."""

    def __init__(self, slide: Any) -> None:
        self.is_hidden = slide._element.get("show") in {"0", "false"}  # noqa: SLF001 - no other way
        self.not_read: Counter[str] = Counter()
        heading = slide.shapes.title
        self.title = "" if heading is None else _collapsed(heading.text_frame.text)
        blocks = [self.title]
        blocks += [
            self._block(shape)
            for shape in _opened(slide.shapes)
            if heading is None or shape.shape_id != heading.shape_id
        ]
        if slide.has_notes_slide:
            notes = slide.notes_slide.notes_text_frame
            if notes is not None and notes.text.strip():
                blocks.append(f"Notes:\n{_lines(notes, is_list=False)}")
        self.text = "\n\n".join(filter(None, blocks))

    def _block(self, shape: Any) -> str:
        """Read a shape; "" where it has no text."""
        kind = getattr(shape.placeholder_format.type, "name", "") if shape.is_placeholder else ""
        if kind in _FURNITURE:
            return ""
        if shape.has_text_frame:
            return _lines(shape.text_frame, is_list=kind in _LISTS)
        if getattr(shape, "has_table", False):
            return "\n".join(_rows(shape.table))
        drawn = getattr(shape._element, "graphicData_uri", "")  # noqa: SLF001
        if drawn in {_CHART, _DIAGRAM}:
            self.not_read["charts" if drawn == _CHART else "diagrams"] += 1
        elif shape._element.tag.endswith("}pic"):  # noqa: SLF001
            self.not_read["pictures"] += 1
        return ""


def _opened(shapes: Iterable[Any]) -> Iterator[Any]:
    """Yield the shapes of a slide, those in groups too."""
    for shape in shapes:
        if hasattr(shape, "shapes"):
            yield from _opened(shape.shapes)
        else:
            yield shape


def _lines(frame: Any, *, is_list: bool) -> str:
    """Read the paragraphs of a shape, a line each."""
    paragraphs = [(p.level, _collapsed(p.text)) for p in frame.paragraphs if p.text.strip()]
    mark = "- " if is_list and len(paragraphs) > 1 else ""
    return "\n".join("  " * min(level, _DEEPEST_INDENT) + mark + text for level, text in paragraphs)


def _rows(table: Any) -> Iterator[str]:
    for row in table.rows:
        cells = ["" if cell.is_spanned else _collapsed(cell.text_frame.text) for cell in row.cells]
        if any(cells):
            yield f"| {' | '.join(cells)} |"


def _left_out(slides: Sequence[_Slide]) -> Iterator[tuple[str, Scalar]]:
    """Name what a reader of the text should know to be elsewhere."""
    not_read: Counter[str] = Counter()
    for slide in slides:
        not_read.update(slide.not_read)
    yield from not_read.items()
    hidden = [number for number, slide in enumerate(slides, start=1) if slide.is_hidden]
    if hidden:
        yield "hidden_slides", ranges(hidden)
    blank = [number for number, slide in enumerate(slides, start=1) if not slide.text]
    if blank:
        yield "pages_without_text", ranges(blank)


def _collapsed(text: str) -> str:
    return _SPACES.sub(" ", text).strip()
