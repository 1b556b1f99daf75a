"""Where tables lie in a text, and which line of each names its columns.

1. A run of lines ``| a | b |``, as in Markdown and as the other readers write tables.
2. The whole of a CSV, if its first row can be a header: names in every column, no number.

A row alone says “1,200” and not of what. A chunk that begins inside a table therefore repeats
the header in what is embedded, never in its span.
"""

import csv
import re
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

from rag.types import Document

_ROWS = re.compile(r"(?<![^\n\r])[ \t]{0,3}\|[^\n\r]*(?:(?:\r\n?|\n)[ \t]{0,3}\|[^\n\r]*)+")
_LINE = re.compile(r"[^\n\r]*")
_LONGEST_HEADER = 2_000
"""Characters. Nothing longer fits beside the rows of a chunk."""
_NUMBER = re.compile(r"[\s$€£¥%+\-(),.:/\d]*")
_DELIMITERS = ",\t;|"


@dataclass(frozen=True, slots=True)
class Table:
    """A table whose header is worth repeating."""

    body: int
    """Where the rows begin, behind the header."""
    end: int
    header: str


def find_tables(document: Document) -> list[Table]:
    """Find the tables of a document, in the order of the text. O(n) for n characters."""
    text = document.text
    if ("format", "csv") in document.metadata:
        first = _first_line(text, 0)
        header = text[:first].strip()
        return [Table(first, len(text), header)] if _names_columns(header) else []
    tables: list[Table] = []
    for match in _ROWS.finditer(text):
        first = _first_line(text, match.start())
        header = text[match.start() : first].strip()
        if len(header) <= _LONGEST_HEADER and any(map(str.isalnum, header)):
            tables.append(Table(first, match.end(), header))
    return tables


def header_at(tables: Sequence[Table], place: int) -> str:
    """Tell the header of the table whose rows a place lies in; "" where it lies in none."""
    before = bisect_right(tables, place, key=lambda table: table.body) - 1
    return tables[before].header if before >= 0 and place < tables[before].end else ""


def _first_line(text: str, start: int) -> int:
    line = _LINE.match(text, start)
    return start if line is None else line.end()


def _names_columns(line: str) -> bool:
    """Whether a line of a CSV names at least two columns, and is whole."""
    if len(line) > _LONGEST_HEADER or line.count('"') % 2:
        return False
    delimiter = max(_DELIMITERS, key=line.count)
    cells = next(csv.reader([line], delimiter=delimiter), [])
    return len(cells) > 1 and not any(_NUMBER.fullmatch(cell) for cell in cells)
