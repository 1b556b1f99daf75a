"""Source code: exact text, its definitions as sections."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag.documents.code import read
from rag.documents.formats import CODE
from rag.types import Section

PYTHON = '''"""A module."""
import os

# Dues of a vessel.
@cache
class Dues:
    """By tonnage."""

    def of(self, tons):
        return tons

    # A fee.
    async def fee(self): pass

if os.name:
    def line(): return """
def no_function(): pass
"""
'''


def titles(text: str, language: str) -> list[tuple[int, str]]:
    parsed = read(text.encode(), source="a", language=language)
    return [(section.level, section.title) for section in parsed.sections]


def test_classes_functions_and_methods_of_python_are_sections() -> None:
    parsed = read(PYTHON.encode(), source="a.py", language="python")
    assert parsed.text == PYTHON
    assert parsed.metadata == (("encoding", "utf-8"),)
    found = [(s.level, s.title, PYTHON[s.start : s.end]) for s in parsed.sections]
    assert found[0] == (1, "class Dues", PYTHON[PYTHON.index("# Dues") : PYTHON.index("\nif")])
    assert found[1:] == [
        (2, "def of", "    def of(self, tons):\n        return tons\n"),
        (2, "def fee", "    # A fee.\n    async def fee(self): pass\n"),
        (1, "def line", '    def line(): return """\ndef no_function(): pass\n"""\n'),
    ]


@pytest.mark.parametrize("end", ["\r\n", "\r"])
def test_line_ends_make_no_difference(end: str) -> None:
    text = f"x = 1{end}def f():{end}    return 2{end}y = 3"
    parsed = read(text.encode(), source="a.py", language="python")
    (section,) = parsed.sections
    assert text[section.start : section.end] == f"def f():{end}    return 2{end}"


def test_python_of_another_version_is_known_by_its_lines() -> None:
    assert titles("class A:\n    def f(self):\n        print 'x'\n", "python") == [
        (1, "class A"),
        (2, "def f"),
    ]


LINES = {
    "javascript": "export default async function main() {\n}\nconst dues = (n) => {\nconst n = 5;",
    "typescript": "export interface Dues {\n  tons: number\n}",
    "java": "public class A {\n    private static int of(int n) {\n        return of(n);",
    "kotlin": "data class A(val n: Int)\n    fun of(): Int {",
    "go": "func (d *Dues) Of(n int) error {\n}\ntype Dues struct {",
    "rust": "pub(crate) async fn of<T>(n: T) {\n}\nimpl Dues {\n    pub fn fee() {",
    "c": "static int of(char *a, int n)\n{\n  if (n) {\n  of(a, 1);\nof(1);\nstruct dues {",
    "ruby": "module A\n  def of!(n)",
    "shell": "of() {\n  echo\n}\nfunction fee {",
    "sql": "CREATE TABLE IF NOT EXISTS port.dues (\n  create int",
    "toml": "[tool.x]\na = [1]\n[[b]]",
    "yaml": "a:\n  - b",
}


@pytest.mark.parametrize(
    ("language", "expected"),
    [
        ("javascript", [(1, "export default async function main"), (1, "const dues")]),
        ("typescript", [(1, "export interface Dues")]),
        ("java", [(1, "public class A"), (2, "private static int of(int n)")]),
        ("kotlin", [(1, "data class A"), (2, "fun of")]),
        ("go", [(1, "func (d *Dues) Of"), (1, "type Dues struct")]),
        ("rust", [(1, "pub(crate) async fn of"), (1, "impl Dues"), (2, "pub fn fee")]),
        ("c", [(1, "static int of(char *a, int n)"), (1, "struct dues")]),
        ("ruby", [(1, "module A"), (2, "def of!")]),
        ("shell", [(1, "of()"), (1, "function fee")]),
        ("sql", [(1, "CREATE TABLE IF NOT EXISTS port.dues")]),
        ("toml", [(1, "[tool.x]"), (1, "[[b]]")]),
        ("yaml", []),
    ],
)
def test_lines_that_begin_a_definition_are_sections(
    language: str, expected: list[tuple[int, str]]
) -> None:
    assert titles(LINES[language], language) == expected


@given(
    st.text(st.sampled_from("def class(x):{}\n\r\t #=func\"'@水\f\\0")),
    st.sampled_from(sorted(CODE.values())),
)
def test_no_text_is_too_odd(text: str, language: str) -> None:
    parsed = read(text.encode(), source="a", language=language)
    assert parsed.text == text
    last = Section(title="", level=1, start=0, end=len(text))
    for section in parsed.sections:
        assert last.start <= section.start < section.end <= len(text)
        last = section


@pytest.mark.parametrize(
    "text", ["(" * 100_000, "-" * 100_000 + "1", "x = " + "(" * 90 + ")" * 90, "if 1:\n" * 1_000]
)
def test_python_that_was_made_to_break_a_parser_is_text(text: str) -> None:
    assert read(text.encode(), source="a.py", language="python").text == text


@pytest.mark.parametrize("language", sorted(set(CODE.values())))
@pytest.mark.parametrize("line", ["a " * 300_000, "pub " * 300_000, "x = " + "1, " * 300_000])
def test_a_line_of_a_megabyte_takes_little_time(language: str, line: str) -> None:
    assert read(line.encode(), source="a", language=language).sections == ()
