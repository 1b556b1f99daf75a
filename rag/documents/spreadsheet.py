"""XLSX becomes text: each sheet a section, its rows ``| a | b |``, as openpyxl reads them.

1. openpyxl reads row by row from a copy that was checked (``archives``); no formula is
   calculated. A cell shows the value that the program which saved it calculated; a formula
   without one is shown itself (``=SUM(B2:B9)``), and the metadata count them.
2. Blank rows set tables apart. A row with a single cell above a table is its caption, and
   single cells alone are lines.
3. Dates are written ``2024-03-01``, percentages as they are shown, other numbers in full. A
   merged cell stands where it begins.

Hidden sheets are not read, as nobody sees them who opens the file; the metadata name them.
Rows that a filter hides are read: they will be back. Charts, text boxes, comments and headers
of printed pages are not read.
"""

import re
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from itertools import groupby, takewhile, zip_longest
from typing import Any

from rag.documents import archives
from rag.documents.archives import Archive
from rag.documents.parsed import Parsed
from rag.documents.sections import Heading, find_sections
from rag.errors import UnreadableDocument, require
from rag.types import Scalar

MOST_CELLS = 20_000_000
"""Cells of all sheets, each row counted up to its last one, as openpyxl makes them all. A full
sheet of a million rows and twenty columns is read; one cell at the far end of each row is not."""
MOST_ROWS = 1_048_576
"""Of a sheet; Excel's own limit."""
_NOT_CALCULATED = re.compile(
    rb"<(?:\w+:)?c\b(?![^>]*\bt=[\"']str)[^>]*>\s*<(?:\w+:)?f\b(?:[^<>]*/>|[^<>]*>[^<]*</(?:\w+:)?f>)"
    rb"\s*(?:<(?:\w+:)?v\s*/>|<(?:\w+:)?v></(?:\w+:)?v>)?\s*</"
)
_SPACES = re.compile(r"(?:\s|_x000[9AD]_)+")
_ZEROS = re.compile(r"0{2,20}")
"""The number format of codes, whose leading zeros the sheet shows: 0042."""
_DIGITS = 15
"""As many as Excel shows of a number."""

_Row = tuple[str, ...]


@dataclass(slots=True)
class _Budget:
    """Counts the cells of a workbook."""

    source: str
    cells: int = 0

    def spend(self, cells: int, row: int) -> None:
        self.cells += cells
        if self.cells > MOST_CELLS or row > MOST_ROWS:
            what, most = ("rows", MOST_ROWS) if row > MOST_ROWS else ("cells", MOST_CELLS)
            message = (
                f"{self.source!r} has a sheet that reaches over more than {most:,} {what}; delete "
                "what lies far from its tables, or save it as .csv"
            )
            raise UnreadableDocument(message, source=self.source)


def read(data: bytes, *, source: str) -> Parsed:
    """Read an XLSX file.

    Raises
    ------
    MissingDependency
        openpyxl is not installed.
    UnreadableDocument
        It is damaged, would unpack to too much, or has more than ``MOST_CELLS`` cells.
    """
    archive = archives.open_archive(data, source=source)
    values = _opened(archive, data_only=True)
    formulas = _opened(archive, data_only=False) if _has_uncalculated(archive) else None
    budget = _Budget(source)
    parts: list[str] = []
    headings: list[Heading] = []
    hidden: list[str] = []
    n_uncalculated = length = 0
    for place, sheet in enumerate(values.worksheets):
        if sheet.sheet_state != "visible":
            hidden.append(sheet.title)
            continue
        beside = None if formulas is None else formulas.worksheets[place]
        rows, missing = _rows(sheet, beside, budget)
        n_uncalculated += missing
        body = "\n\n".join(_blocks(rows))
        if body:
            gap = "\n\n" if parts else ""
            headings.append(Heading(sheet.title, 1, length + len(gap)))
            parts.append(f"{gap}{sheet.title}\n\n{body}")
            length += len(parts[-1])
    text = "".join(parts)
    metadata: list[tuple[str, Scalar]] = []
    if n_uncalculated:
        metadata.append(("formulas_without_value", n_uncalculated))
    if hidden:
        metadata.append(("hidden_sheets", ", ".join(hidden)))
    return Parsed(
        text=text,
        title=_collapsed(values.properties.title or "") or None,
        sections=find_sections(text, headings=headings, paragraphs=()),
        metadata=tuple(metadata),
    )


def _opened(archive: Archive, *, data_only: bool) -> Any:
    """Open the workbook with openpyxl."""
    openpyxl = require("openpyxl", extra="office")
    from openpyxl.utils.exceptions import InvalidFileException  # noqa: PLC0415

    copy = archive.repacked()
    with archives.damage_told(archive.source, InvalidFileException), warnings.catch_warnings():
        # Of formats and extensions that are not text.
        warnings.simplefilter("ignore")
        return openpyxl.load_workbook(copy, read_only=True, data_only=data_only, keep_links=False)


def _has_uncalculated(archive: Archive) -> bool:
    """Whether a formula was saved without its value, as by programs that do not calculate."""
    return any(
        _NOT_CALCULATED.search(archive.read(name))
        for name in archive.names()
        if "/worksheets/" in name and name.endswith(".xml")
    )


def _rows(sheet: Any, formulas: Any, budget: _Budget) -> tuple[list[_Row], int]:
    """Read the rows of a sheet as text, and count the formulas that have no value."""
    rows: list[_Row] = []
    missing = 0
    for sheet_read in filter(None, (sheet, formulas)):
        sheet_read.reset_dimensions()  # What the file says of its size is often wrong.
    with archives.damage_told(budget.source), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pairs = zip_longest(sheet.iter_rows(), formulas.iter_rows() if formulas else ())
        for number, (row, beside) in enumerate(pairs, start=1):
            budget.spend(len(row), number)
            shown = [_shown(cell) for cell in row]
            for place, cell in enumerate(beside or ()):
                if cell.data_type == "f" and row[place].value is None:
                    shown[place] = _formula(cell.value)
                    missing += 1
            rows.append(_trimmed(shown))
    return rows, missing


def _shown(cell: Any) -> str:
    """Write the value of a cell as people read it."""
    match cell.value:
        case None:
            return ""
        case bool() as value:
            return "TRUE" if value else "FALSE"
        case int() | float() as value if "%" in (cell.number_format or ""):
            return f"{value * 100:.{_DIGITS}g}%"
        case int() as value:
            digits = _ZEROS.fullmatch(cell.number_format or "")
            return f"{value:0{len(digits[0])}d}" if digits and value >= 0 else str(value)
        case float() as value:
            return f"{value:.{_DIGITS}g}"
        case datetime() as value:
            is_day = value.time() == time()
            return value.date().isoformat() if is_day else _to_the_minute(value.isoformat(" "))
        case date() as value:
            return value.isoformat()
        case time() as value:
            return _to_the_minute(value.isoformat())
        case timedelta() as value:
            return str(value)
        case value:
            return _collapsed(str(value))


def _to_the_minute(written: str) -> str:
    """Leave out seconds that are none; “09:30” is what the sheet shows."""
    return written.removesuffix(":00")


def _formula(value: object) -> str:
    """Write a formula; those over several cells are objects of openpyxl."""
    return _collapsed(str(getattr(value, "text", None) or value))


def _trimmed(cells: list[str]) -> _Row:
    while cells and not cells[-1]:
        cells.pop()
    return tuple(cells)


def _blocks(rows: Sequence[_Row]) -> Iterator[str]:
    """Write what blank rows set apart: lines, and tables that begin at their first column."""
    for is_row, group in groupby(rows, key=bool):
        if not is_row:
            continue
        block = list(group)
        caption = list(takewhile(lambda row: sum(map(bool, row)) == 1, block))
        if caption:
            yield "\n".join("".join(row) for row in caption)
        table = block[len(caption) :]
        if table:
            left = min(len(list(takewhile(lambda cell: not cell, row))) for row in table)
            yield "\n".join(f"| {' | '.join(row[left:])} |" for row in table)


def _collapsed(text: str) -> str:
    return _SPACES.sub(" ", text).strip()
