"""Source code: the decoded file, character for character, with its definitions as sections.

A citation of code is a place in the file, and white space has a meaning there, so the text is
exact. Python is parsed (``ast``), never run: classes, functions and methods are sections,
with their decorators and the comment above them. Other languages are looked at line by line:
a line that begins like a definition begins a section, which reaches to the next. That is
simple enough to be right for whatever is formatted as usual; where it errs, in a comment or a
string, a section too many does no harm.
"""

import ast
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence

from rag.documents import encoding
from rag.documents.parsed import Parsed
from rag.documents.sections import INNERMOST, Heading, find_sections
from rag.types import Section

_LONGEST_PARSED = 2_000_000
"""Characters of Python. A tree takes some hundred times the text; no module that a person has
written is near this, and lines tell enough of one that a program has."""
_LONGEST_LINE = 200
"""Characters of a line that is looked at; definitions are shorter, and patterns stay cheap."""
_DEEPEST_INDENT = 8
"""Spaces before a definition, two levels of four; a tab is as wide as four."""
_LINE = re.compile(r"[^\n\r]+")
_LINE_END = re.compile(r"\r\n?|\n")
_COMMENT = re.compile(r"[ \t]*#")

_WORDS = r"(?:[a-z]+(?:\([\w: ]*\))? +){0,6}"
"""Modifiers: ``public static``, ``pub(crate) unsafe``."""
_TYPES = "class|interface|enum|struct|record|object|protocol|extension|trait|namespace|module"
_SCRIPT = re.compile(
    rf"{_WORDS}(?:(?:function\*?|{_TYPES}|type) +[\w$.]+"
    r"|(?:const|let|var) +[\w$]+(?:: [^=]{1,80})? *= *(?:async *)?(?:function\b|\(|\w+ *=>))"
)
_CLASSES = re.compile(
    rf"{_WORDS}(?:{_TYPES}|annotation class|data class|@interface) +\w+"
    rf"|{_WORDS}(?:fun|func|function) +(?:<[^>]*> *)?[\w.]+"
    # A method has a modifier before its type; without one it could be a call.
    r"|(?:(?:public|private|protected|internal|static|final|abstract|override|virtual|async"
    r"|synchronized|native|default|sealed|partial) +)+(?:[\w<>\[\],.?]+ +){0,4}\w+ *\([^;=]*$"
)
_PATTERNS: Mapping[str, re.Pattern[str]] = {
    "javascript": _SCRIPT,
    "typescript": _SCRIPT,
    "java": _CLASSES,
    "kotlin": _CLASSES,
    "csharp": _CLASSES,
    "swift": _CLASSES,
    "php": _CLASSES,
    "python": re.compile(r"(?:async )?def +\w+|class +\w+"),
    "go": re.compile(r"func +(?:\([^)]*\) *)?\w+|type +\w+ +(?:struct|interface|func)\b"),
    "rust": re.compile(
        rf"{_WORDS}(?:(?:fn|struct|enum|union|trait|mod|type) +\w+|impl\b[^;]*|macro_rules! *\w+)"
    ),
    "c": re.compile(
        r"(?:typedef +|template *<.*> *)?(?:class|struct|enum|union|namespace) +[\w: ]+(?=[^;()]*$)"
        r"|(?!(?:if|for|while|switch|return|else|do|case|goto|delete|new|throw|using)\b)"
        r"[A-Za-z_][\w:<>,*&~ ]*[ *&][\w:~]+ *\([^;={}]*\)?[^;={}]*\{?$"
    ),
    "ruby": re.compile(r"(?:class|module|def) +[\w.:?!=]+"),
    "shell": re.compile(r"function +[\w:.-]+|[\w:.-]+ *\(\)"),
    "sql": re.compile(
        r"create +(?:or +replace +)?(?:\w+ +){0,3}?(?:table|view|function|procedure|trigger|type)"
        r" +(?:if +not +exists +)?[\w.\"`\[\]]+",
        re.IGNORECASE,
    ),
    "toml": re.compile(r"\[{1,2}[^\[\]]+\]{1,2}"),
    "yaml": re.compile(r"(?!)"),
}
"""Language -> what a line that begins a definition begins with, behind its indent. YAML has
none: its keys are too many."""
_ONLY_UNINDENTED = frozenset({"c", "go", "toml", "sql", "shell"})


def read(data: bytes, *, source: str, language: str) -> Parsed:
    """Decode a file of source code and find its definitions.

    Parameters
    ----------
    data : the file.
    source : names it in errors.
    language : one of the values of ``formats.CODE``.

    Raises
    ------
    UnreadableDocument
        The bytes are not text, or in no encoding that can be told.
    """
    text, codec = encoding.decode(data, source=source)
    sections = _python_sections(text) if language == "python" else None
    if sections is None:
        headings = list(_definitions(text, language))
        sections = find_sections(text, headings=headings, paragraphs=())
    return Parsed(text=text, sections=sections, metadata=(("encoding", codec),))


def _definitions(text: str, language: str) -> Iterator[Heading]:
    """Find the lines that begin a definition."""
    pattern = _PATTERNS[language]
    deepest = 0 if language in _ONLY_UNINDENTED else _DEEPEST_INDENT
    for line in _LINE.finditer(text):
        if line.end() - line.start() > _LONGEST_LINE:
            continue
        stripped = line[0].expandtabs(4).lstrip(" ")
        indent = len(line[0].expandtabs(4)) - len(stripped)
        found = pattern.match(stripped) if indent <= deepest else None
        if found:
            title = found[0].rstrip(" {(:=")
            yield Heading(title, min(1 + (indent + 2) // 4, INNERMOST), line.start())


def _python_sections(text: str) -> tuple[Section, ...] | None:
    """Find classes, functions and methods; None where Python cannot parse the text."""
    if len(text) > _LONGEST_PARSED:
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Of what a string in it escapes.
            module = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None  # Another version of Python, or none.
    starts = [0, *(match.end() for match in _LINE_END.finditer(text)), len(text)]
    return tuple(_sections(text, starts, module))


def _sections(text: str, starts: Sequence[int], module: ast.Module) -> Iterator[Section]:
    """Walk through definitions in the order of the text, without recursion."""
    waiting: list[tuple[ast.stmt, int]] = [(statement, 1) for statement in reversed(module.body)]
    while waiting:
        statement, level = waiting.pop()
        inner: list[ast.stmt] = []
        if isinstance(statement, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield _section(text, starts, statement, min(level, INNERMOST))
            if isinstance(statement, ast.ClassDef):
                inner, level = statement.body, level + 1
        elif isinstance(statement, ast.If | ast.Try | ast.With):
            inner = [
                child for child in ast.iter_child_nodes(statement) if isinstance(child, ast.stmt)
            ]
        waiting += [(child, level) for child in reversed(inner)]


def _section(
    text: str,
    starts: Sequence[int],
    found: ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef,
    level: int,
) -> Section:
    kind = "class" if isinstance(found, ast.ClassDef) else "def"
    first = min([found.lineno, *(decorator.lineno for decorator in found.decorator_list)]) - 1
    while first and _is_comment(text[starts[first - 1] : starts[first]], found.col_offset):
        first -= 1
    end = starts[min(found.end_lineno or found.lineno, len(starts) - 1)]
    return Section(title=f"{kind} {found.name}", level=level, start=starts[first], end=end)


def _is_comment(line: str, indent: int) -> bool:
    return line[indent : indent + 1] == "#" and not line[:indent].strip()
