"""Where tables lie, and which line names their columns."""

import hashlib

import pytest

from rag.documents.tables import Table, find_tables, header_at
from rag.types import Document


def a_document(text: str, *, kind: str = "markdown") -> Document:
    digest = hashlib.sha256(text.encode()).hexdigest()
    metadata = (("format", kind),)
    return Document(id="a", text=text, digest=digest, title="a", metadata=metadata)


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_run_of_rows_is_a_table_headed_by_its_first(end: str) -> None:
    text = end.join(["Dues:", "", "| Vessel | Tons |", "|---|---|", "| Tug | 300 |", "", "End."])
    (table,) = find_tables(a_document(text))
    assert table.header == "| Vessel | Tons |"
    assert text[table.body : table.end].strip() == f"|---|---|{end}| Tug | 300 |"
    assert header_at([table], text.index("| Tug")) == "| Vessel | Tons |"
    assert header_at([table], text.index("| Vessel")) == ""
    assert header_at([table], text.index("End.")) == ""
    assert header_at([], 5) == ""


@pytest.mark.parametrize(
    "text", ["| only a header |", "a | b\nc | d", "|---|\n|---|", "", f"| {'x' * 2001} |\n| y |"]
)
def test_what_has_no_header_worth_repeating_is_no_table(text: str) -> None:
    assert find_tables(a_document(text)) == []


@pytest.mark.parametrize(
    "header", ["Vessel,Tons", "船名\t吨位", "Vessel;Tons;Dues", '"Vessel, name",Tons']
)
def test_a_csv_is_one_table_under_its_first_row(header: str) -> None:
    text = f"{header}\n1,2\n3,4\n"
    found = find_tables(a_document(text, kind="csv"))
    assert found == [Table(len(header), len(text), header)]


@pytest.mark.parametrize("first", ["Tug,300", "name", ",a", '"Vessel', "2024-01-01,x", ""])
def test_a_first_row_that_names_no_columns_is_not_repeated(first: str) -> None:
    assert find_tables(a_document(f"{first}\n1,2\n", kind="csv")) == []
