"""Notebooks: Markdown as it is, code and its output in fences."""

import json
from collections.abc import Mapping

import pytest

from rag.documents.notebook import LONGEST_OUTPUT, read
from rag.documents.parsed import Parsed
from rag.errors import UnreadableDocument


def markdown(source: str) -> dict[str, object]:
    return {"cell_type": "markdown", "source": source.splitlines(keepends=True)}


def code(source: str, *outputs: Mapping[str, object]) -> dict[str, object]:
    return {"cell_type": "code", "source": source, "outputs": list(outputs)}


def notebook(*cells: Mapping[str, object], language: str = "python") -> Parsed:
    contents = {"nbformat": 4, "metadata": {"language_info": {"name": language}}, "cells": cells}
    return read(json.dumps(contents).encode(), source="a.ipynb")


def test_cells_stand_in_their_order_and_headings_are_sections() -> None:
    parsed = notebook(
        markdown("# Dues\n\nBy *tonnage*."),
        code("print(1)\nprint(2)", {"output_type": "stream", "text": ["1\n", "2\n"]}),
        markdown("## Fees\n水费"),
        {"cell_type": "raw", "source": "raw"},
        markdown("  "),
    )
    assert parsed.text == (
        "# Dues\n\nBy *tonnage*.\n\n```python\nprint(1)\nprint(2)\n```\n\n```text\n1\n2\n```\n\n"
        "## Fees\n水费\n\nraw"
    )
    found = [(s.level, s.title, parsed.text[s.start :][:7]) for s in parsed.sections]
    assert found == [(1, "Dues", "# Dues\n"), (2, "Fees", "## Fees")]
    assert parsed.title == "Dues"
    assert parsed.metadata == (("encoding", "utf-8"),)


def test_results_and_errors_are_text_and_pictures_are_counted() -> None:
    parsed = notebook(
        code(
            "x",
            {"output_type": "execute_result", "data": {"text/plain": ["4", "2"]}},
            {"output_type": "error", "ename": "KeyError", "evalue": "'a'", "traceback": ["no"]},
            {"output_type": "display_data", "data": {"image/png": "aGk="}},
            {"output_type": "stream", "text": "\x1b[31mred\x1b[0m"},
        )
    )
    assert parsed.text == (
        "```python\nx\n```\n\n```text\n42\n```\n\n```text\nKeyError: 'a'\n```\n\n```text\nred\n```"
    )
    assert parsed.metadata == (("encoding", "utf-8"), ("outputs_without_text", 1))


def test_an_output_that_is_too_long_ends_with_a_line_and_its_cell_is_named() -> None:
    lines = "a line of a log\n" * 1_000
    parsed = notebook(code("x"), code("y", {"output_type": "stream", "text": lines}))
    assert dict(parsed.metadata)["cells_with_cut_output"] == "2"
    assert len(parsed.text) < LONGEST_OUTPUT + 100
    assert parsed.text.endswith("a line of a log\n```")


def test_a_fence_is_longer_than_any_in_the_code() -> None:
    assert notebook(code("s = '````'"), language="").text == "`````\ns = '````'\n`````"


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"{", "is no JSON: "),
        (b"[" * 100_000, "is no JSON: "),
        (b'{"a":' * 100_000, "is no JSON: "),
        (b"[]", "is no notebook of format 4"),
        (b'{"worksheets": []}', "is no notebook of format 4"),
        (b'{"cells": 5}', "is no notebook of format 4"),
    ],
)
def test_what_is_no_notebook_says_so(data: bytes, reason: str) -> None:
    with pytest.raises(UnreadableDocument, match=rf"'a\.ipynb' {reason}.*; open it in Jupyter"):
        read(data, source="a.ipynb")


@pytest.mark.parametrize(
    "cell",
    [5, {}, {"cell_type": "code", "source": 5, "outputs": 5}, {"source": [1, "a"]},
     {"cell_type": "code", "source": "", "outputs": [5, {}, {"data": 5}, {"text": {}}]}],
)  # fmt: skip
def test_odd_cells_do_no_harm(cell: object) -> None:
    data = json.dumps({"cells": [cell], "metadata": 5}).encode()
    assert read(data, source="a.ipynb").text in {"", "a"}
