"""XLSX: each sheet a section, its rows as a table."""

import io
import re
import zipfile
from collections.abc import Callable
from datetime import date, datetime, time, timedelta

import pytest
from openpyxl import Workbook

from rag.documents import spreadsheet
from rag.documents.parsed import Parsed
from rag.documents.spreadsheet import MOST_CELLS, read
from rag.errors import UnreadableDocument


def saved(workbook: Workbook) -> bytes:
    out = io.BytesIO()
    workbook.save(out)
    return out.getvalue()


def a_workbook(*rows: list[object], title: str = "Dues") -> Workbook:
    workbook = Workbook()
    workbook.active.title = title
    for row in rows:
        workbook.active.append(row)
    return workbook


def parsed(workbook: Workbook) -> Parsed:
    return read(saved(workbook), source="a.xlsx")


def changed(data: bytes, name: str, change: Callable[[bytes], bytes]) -> bytes:
    """Write an archive anew with one of its files changed, or added."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(out, "w") as new:
        for entry in old.namelist():
            if entry != name:
                new.writestr(entry, old.read(entry))
        new.writestr(name, change(old.read(name) if name in old.namelist() else b""))
    return out.getvalue()


def test_a_sheet_is_a_section_and_its_rows_are_a_table() -> None:
    workbook = a_workbook(["Vessel", "Tons"], ["Tug", 300], ["货轮", 5000])
    workbook.create_sheet("水费").append(["月", "元"])
    workbook.create_sheet("Empty")
    workbook.properties.title = "Harbour  dues"
    found = parsed(workbook)
    assert found.text == (
        "Dues\n\n| Vessel | Tons |\n| Tug | 300 |\n| 货轮 | 5000 |\n\n水费\n\n| 月 | 元 |"
    )
    assert [(s.level, s.title, s.start, s.end) for s in found.sections] == [
        (1, "Dues", 0, 53),
        (1, "水费", 53, 66),
    ]
    assert found.title == "Harbour dues"
    assert found.metadata == ()


@pytest.mark.parametrize(
    ("value", "number_format", "shown"),
    [
        (0.1 + 0.2, "General", "0.3"),
        (5.0, "General", "5"),
        (-1234567.25, "#,##0.00", "-1234567.25"),
        (1e300, "General", "1e+300"),
        (0.125, "0%", "12.5%"),
        (2, "0%", "200%"),
        (42, "00000", "00042"),
        (-42, "00000", "-42"),
        (True, "General", "TRUE"),
        (datetime.fromisoformat("2024-03-01"), "yyyy-mm-dd", "2024-03-01"),
        (datetime.fromisoformat("2024-03-01T09:30"), "yyyy-mm-dd hh:mm", "2024-03-01 09:30"),
        (datetime.fromisoformat("2024-03-01T09:30:05"), "hh:mm", "2024-03-01 09:30:05"),
        (date(2024, 3, 1), "dd/mm/yy", "2024-03-01"),
        (time(9, 30), "hh:mm", "09:30"),
        (timedelta(hours=30), "[h]:mm", "1 day, 6:00:00"),
        (" two\nlines ", "General", "two lines"),
    ],
)
def test_a_value_is_written_as_people_read_it(
    value: object, number_format: str, shown: str
) -> None:
    workbook = a_workbook(["a", value])
    workbook.active["B1"].number_format = number_format
    assert parsed(workbook).text == f"Dues\n\n| a | {shown} |"


def test_blank_rows_set_tables_apart_and_captions_are_lines() -> None:
    workbook = a_workbook(
        [None, "Dues of 2024"],
        [None, "Vessel", None, "Tons"],
        [None, "Tug", None, 300],
        [],
        [None, None, "One line."],
        [None, "Another."],
        [],
        ["a", "b"],
    )
    assert parsed(workbook).text == (
        "Dues\n\nDues of 2024\n\n| Vessel |  | Tons |\n| Tug |  | 300 |\n\n"
        "One line.\nAnother.\n\n| a | b |"
    )


def test_a_merged_cell_stands_where_it_begins() -> None:
    workbook = a_workbook(["Vessel", "b", "Tons"], ["Tug", "b", 300])
    workbook.active.merge_cells("A1:B2")
    assert parsed(workbook).text == "Dues\n\n| Vessel |  | Tons |\n|  |  | 300 |"


def test_a_formula_shows_its_value_or_itself_and_is_counted() -> None:
    workbook = a_workbook([1, 2, "=A1+B1"], [3, 4, "=A2+B2"])

    def calculated(sheet: bytes) -> bytes:
        return re.sub(rb"(<f>A1\+B1</f>).*?</c>", rb"\1<v>3</v></c>", sheet)

    data = changed(saved(workbook), "xl/worksheets/sheet1.xml", calculated)
    found = read(data, source="a.xlsx")
    assert found.text == "Dues\n\n| 1 | 2 | 3 |\n| 3 | 4 | =A2+B2 |"
    assert found.metadata == (("formulas_without_value", 1),)


def test_hidden_sheets_are_named_and_not_read() -> None:
    workbook = a_workbook(["a", "b"])
    for title, state in [("Lookup", "hidden"), ("Keys", "veryHidden")]:
        sheet = workbook.create_sheet(title)
        sheet.append(["secret"])
        sheet.sheet_state = state
    found = parsed(workbook)
    assert "secret" not in found.text
    assert found.metadata == (("hidden_sheets", "Lookup, Keys"),)


def test_rows_that_a_filter_hides_are_read() -> None:
    workbook = a_workbook(["a", "b"], [1, 2])
    workbook.active.row_dimensions[2].hidden = True
    assert parsed(workbook).text.endswith("| 1 | 2 |")


# Hostile files


def sheet_of(rows: str) -> bytes:
    xml = (
        '<worksheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main">'
        f"<sheetData>{rows}</sheetData></worksheet>"
    )
    return changed(saved(a_workbook(["a"])), "xl/worksheets/sheet1.xml", lambda _: xml.encode())


def test_cells_at_the_far_end_of_many_rows_are_refused_by_a_limit_that_is_named() -> None:
    data = sheet_of('<row><c t="b"><v>1</v></c><c r="XFD1"><v>1</v></c></row>' * 1_300)
    with pytest.raises(UnreadableDocument) as told:
        read(data, source="a.xlsx")
    assert str(told.value) == (
        f"'a.xlsx' has a sheet that reaches over more than {MOST_CELLS:,} cells; delete what "
        "lies far from its tables, or save it as .csv"
    )


def test_a_row_far_below_all_others_is_refused() -> None:
    with pytest.raises(UnreadableDocument, match="reaches over more than 1,048,576 rows"):
        read(sheet_of('<row r="99999999999"><c><v>1</v></c></row>'), source="a.xlsx")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_a_document_type_is_refused_wherever_it_stands(encoding: str) -> None:
    bomb = (
        f'<?xml version="1.0" encoding="{encoding}"?><!DOCTYPE b [<!ENTITY a "aaaaaaaaaa">'
        '<!ENTITY b "&a;&a;&a;">]><b>&b;</b>'
    )
    for name in ("xl/sharedStrings.xml", "docProps/core.xml", "xl/worksheets/sheet1.xml"):
        data = changed(saved(a_workbook(["a"])), name, lambda _: bomb.encode(encoding))
        with pytest.raises(UnreadableDocument, match="declares a document type, which none may"):
            read(data, source="a.xlsx")


def test_a_file_that_lies_about_its_size_unpacks_to_no_more_than_it_says() -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("xl/workbook.xml", b" " * 50_000_000)
    size = (50_000_000).to_bytes(4, "little")
    data = out.getvalue().replace(size, (100).to_bytes(4, "little"))
    with pytest.raises(UnreadableDocument, match=r"'a\.xlsx' is damaged"):
        read(data, source="a.xlsx")


@pytest.mark.parametrize(
    "rows",
    ['<row r="x"/>', '<row><c t="s"><v>99</v></c></row>', '<row><c r="ZZZZ1"><v>1</v></c></row>',
     '<row><c s="77"><v>1</v></c></row>', f"<row><c><v>{'9' * 5000}</v></c></row>"],
)  # fmt: skip
def test_values_that_are_not_what_they_should_be_are_damage(rows: str) -> None:
    with pytest.raises(UnreadableDocument, match=r"'a\.xlsx' is damaged: \w+, .*; get it again"):
        read(sheet_of(rows), source="a.xlsx")


def test_the_search_for_formulas_takes_linear_time() -> None:
    cells = b"<c r='A1'><f>" * 100_000
    assert spreadsheet._NOT_CALCULATED.search(cells) is None
    assert spreadsheet._NOT_CALCULATED.search(b"<c><f>A1</f>" + b" " * 1_000_000 + b"</c>")
    assert re.search(b"<c", cells)
