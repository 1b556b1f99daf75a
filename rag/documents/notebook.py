"""Jupyter notebooks become text: Markdown as it is, code and its output in fences.

The file is JSON and not what a person reads, so the text is its own: cells in their order, set
apart by blank lines, the headings of Markdown cells as sections. Of what code has put out the
text is kept (printed lines, results, the name and message of an error), each output up to
``LONGEST_OUTPUT`` characters; the metadata name the cells in which one was cut, and count the
pictures and other outputs without text. Nothing is run.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from rag.documents import encoding
from rag.documents.parsed import Parsed, ranges
from rag.documents.sections import Heading, find_sections, outline_markdown
from rag.errors import UnreadableDocument
from rag.types import Scalar, Span

LONGEST_OUTPUT = 10_000
"""Characters of one output: some hundred lines. What is longer is a log or a dump, of which the
notebook itself shows a part."""
_FENCE = re.compile(r"`{3,}")
_ESCAPES = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
"""Colours, as a terminal takes them."""


def read(data: bytes, *, source: str) -> Parsed:
    """Read a notebook of format 4; its title is its first heading.

    Raises
    ------
    UnreadableDocument
        It is no notebook, of an older format, or nested too deep.
    """
    text, codec = encoding.decode(data, source=source)
    try:
        contents = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise _unreadable(source, f"is no JSON: {error}") from error
    cells = contents.get("cells") if isinstance(contents, dict) else None
    if not isinstance(cells, list):
        raise _unreadable(source, "is no notebook of format 4; it has no list of cells")
    notebook = _Notebook(language=_language(contents))
    for number, cell in enumerate(cells, start=1):
        if isinstance(cell, dict):
            notebook.add(number, cell)
    whole = "".join(notebook.parts)
    return Parsed(
        text=whole,
        title=next((heading.title for heading in notebook.headings if heading.title), None),
        sections=find_sections(whole, headings=notebook.headings, paragraphs=notebook.prose),
        metadata=(("encoding", codec), *notebook.left_out()),
    )


@dataclass(slots=True)
class _Notebook:
    """The text as it is written."""

    language: str
    parts: list[str] = field(default_factory=list)
    headings: list[Heading] = field(default_factory=list)
    prose: list[Span] = field(default_factory=list)
    _length: int = 0
    _cut: list[int] = field(default_factory=list)
    """Cells in which an output was too long."""
    _n_without_text: int = 0

    def add(self, number: int, cell: Mapping[str, Any]) -> None:
        """Add one cell."""
        written = _joined(cell.get("source"))
        match cell.get("cell_type"):
            case "markdown":
                start = self._add(written)
                outline = outline_markdown(written)
                self.headings += [
                    Heading(h.title, h.level, start + h.start) for h in outline.headings
                ]
                self.prose += [(start + begin, start + end) for begin, end in outline.paragraphs]
            case "code":
                self._add(_fenced(written, self.language))
                for output in _dictionaries(cell.get("outputs")):
                    self._add(_fenced(self._shown(number, output), "text"))
            case _:  # Raw: for a converter.
                self._add(written)

    def left_out(self) -> Iterator[tuple[str, Scalar]]:
        """Name what the text does not have."""
        if self._cut:
            yield "cells_with_cut_output", ranges(list(dict.fromkeys(self._cut)))
        if self._n_without_text:
            yield "outputs_without_text", self._n_without_text

    def _add(self, written: str) -> int:
        """Add a block, and tell where it starts."""
        written = written.strip("\n")
        gap = "\n\n" if self._length and written.strip() else ""
        start = self._length + len(gap)
        if written.strip():
            self.parts.append(gap + written)
            self._length = start + len(written)
        return start

    def _shown(self, number: int, output: Mapping[str, Any]) -> str:
        """Read what a cell has put out; "" where that is no text."""
        if output.get("output_type") == "error":
            shown = f"{output.get('ename')}: {output.get('evalue')}"
        elif "text" in output:
            shown = _joined(output["text"])
        else:
            contents = output.get("data")
            shown = _joined(contents.get("text/plain")) if isinstance(contents, dict) else ""
            self._n_without_text += not shown
        shown = _ESCAPES.sub("", shown)
        if len(shown) <= LONGEST_OUTPUT:
            return shown
        self._cut.append(number)
        end = shown.rfind("\n", 0, LONGEST_OUTPUT)
        return shown[: end if end > 0 else LONGEST_OUTPUT]


def _language(contents: Mapping[str, Any]) -> str:
    """Tell in which language the code is, as far as a fence can say it."""
    metadata = contents.get("metadata")
    about = metadata.get("language_info") if isinstance(metadata, dict) else None
    name = about.get("name") if isinstance(about, dict) else None
    return name if isinstance(name, str) and re.fullmatch(r"[\w+#-]{1,30}", name) else ""


def _joined(lines: object) -> str:
    """Join text that JSON has as one string or as a list of lines."""
    if isinstance(lines, str):
        return lines
    return "".join(filter(_is_text, lines)) if isinstance(lines, list) else ""


def _is_text(line: object) -> bool:
    return isinstance(line, str)


def _dictionaries(outputs: object) -> Iterable[Mapping[str, Any]]:
    return [o for o in outputs if isinstance(o, dict)] if isinstance(outputs, list) else []


def _fenced(written: str, language: str) -> str:
    """Put code into a fence that is longer than any in it."""
    if not written.strip():
        return ""
    longest = max(map(len, _FENCE.findall(written)), default=2)
    fence = "`" * (longest + 1)
    body = written.strip("\n")
    return f"{fence}{language}\n{body}\n{fence}"


def _unreadable(source: str, reason: str) -> UnreadableDocument:
    message = f"{source!r} {reason}; open it in Jupyter and save it again"
    return UnreadableDocument(message, source=source)
