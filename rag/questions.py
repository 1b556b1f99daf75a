"""Files of lines: questions with the places that answer them, and what each of them gave.

Each line of questions is one JSON object::

    {"id": "pilot-1", "question": "When must the pilot be on board?",
     "answers": ["two hours before high water"], "type": "condition",
     "evidence": [{"document_id": "harbour.md", "start": 22, "end": 80, "text": "The pilot …"}]}

``answers`` must all be in a full answer; ``evidence`` is empty where the documents do not
answer. ``answers`` and ``type`` may be left out, other keys are let pass. Every span is
checked against its document: figures over places that have moved would mean nothing.
"""

import json
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

from rag.evaluation import Row
from rag.types import Document

FILE_NAME = "questions.jsonl"
"""Where a corpus keeps its own."""
TYPE = "question"
"""Of a question that has none."""
Json = dict[str, Any]
T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """A place that answers a question: ``document.text[start:end] == text``."""

    document_id: str
    start: int
    end: int
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """A question, and what a right answer is and rests on."""

    id: str
    question: str
    answers: tuple[str, ...] = ()
    evidence: tuple[Evidence, ...] = ()
    """Empty where the documents do not answer the question."""
    type: str = TYPE


def read_questions(
    path: Path, *, document_of: Callable[[str], Document] | None = None
) -> list[Question]:
    """Read a file of questions.

    Parameters
    ----------
    path : in UTF-8; blank lines are skipped.
    document_of : id -> the document its spans must hold in; it raises a ValueError that names
        the nearest id where there is none. None: spans are not checked.

    Raises
    ------
    ValueError
        The file cannot be read or has no question, or a line is wrong: it names the first
        such line and counts the others.
    """
    ids: set[str] = set()

    def parse(fields: Json) -> Question:
        question = _question(fields)
        _check_spans(question, document_of)
        if question.id in ids:
            message = f"the id {question.id!r} stands twice; give each question its own"
            raise ValueError(message)
        ids.add(question.id)
        return question

    questions = _read(path, parse)
    if not questions:
        message = f"{path} has no question; each line is one, as a JSON object"
        raise ValueError(message)
    return questions


def write_questions(path: Path, questions: Iterable[Question]) -> None:
    """Write questions to a new file.

    Raises
    ------
    ValueError
        There is such a file already, or it cannot be written.
    """
    _write(path, map(asdict, questions), mode="x")


def read_rows(path: Path) -> list[Row]:
    """Read what `write_rows` wrote: per line an id, a type, and figures beside them.

    Raises
    ------
    ValueError
        As `read_questions`; a figure that is no number is let pass.
    """

    def parse(fields: Json) -> Row:
        numbers = {
            name: float(value)
            for name, value in fields.items()
            if isinstance(value, int | float) and not isinstance(value, bool)
        }
        return Row(
            id=_field(fields, "id", str), type=str(fields.get("type", TYPE)), figures=numbers
        )

    return _read(path, parse)


def write_rows(path: Path, rows: Iterable[Row]) -> None:
    """Write a line a question, ``{"id": …, "type": …, "recall@10": …}``, over an older file.

    Raises
    ------
    ValueError
        The file cannot be written.
    """
    _write(path, ({"id": row.id, "type": row.type, **row.figures} for row in rows), mode="w")


def _read(path: Path, parse: Callable[[Json], T]) -> list[T]:
    """Read every line, or tell the first that is wrong and count the others."""
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        message = f"{str(path)!r} cannot be read: {error}"
        raise ValueError(message) from error
    found: list[T] = []
    wrong: list[str] = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            found.append(parse(_object(line)))
        except ValueError as error:
            wrong.append(f"{path}:{number}: {error}")
    if wrong:
        more = f"\n{len(wrong) - 1} more lines are wrong too" if len(wrong) > 1 else ""
        raise ValueError(wrong[0] + more)
    return found


def _write(path: Path, objects: Iterable[Json], *, mode: Literal["x", "w"]) -> None:
    lines = [json.dumps(each, ensure_ascii=False) + "\n" for each in objects]
    try:
        with path.open(mode, encoding="utf-8") as file:
            file.writelines(lines)
    except FileExistsError:
        message = f"{str(path)!r} is there already; name another file, or move it away"
        raise ValueError(message) from None
    except OSError as error:
        message = f"{str(path)!r} cannot be written: {error.strerror}"
        raise ValueError(message) from error


def _object(line: str) -> Json:
    try:
        fields = json.loads(line)
    except json.JSONDecodeError as error:
        message = f"this is no JSON ({error.msg}, column {error.colno})"
        raise ValueError(message) from None
    if not isinstance(fields, dict):
        message = f"a line is an object {{…}}, not {type(fields).__name__}"
        raise ValueError(message)  # noqa: TRY004 - a wrong file, not a wrong argument.
    return fields


def _question(fields: Json) -> Question:
    evidence = _field(fields, "evidence", list)
    question = Question(
        id=_field(fields, "id", str),
        question=_field(fields, "question", str),
        answers=tuple(_texts(fields.get("answers") or [])),
        evidence=tuple(_evidence(span) for span in evidence),
        type=_field(fields, "type", str) if "type" in fields else TYPE,
    )
    if not question.question.strip():
        raise ValueError("the question is empty")
    return question


def _evidence(span: Any) -> Evidence:
    if not isinstance(span, dict):
        message = f"evidence is a list of objects {{document_id, start, end, text}}, not {span!r}"
        raise ValueError(message)  # noqa: TRY004
    return Evidence(
        document_id=_field(span, "document_id", str),
        start=_field(span, "start", int),
        end=_field(span, "end", int),
        text=_field(span, "text", str),
    )


def _texts(values: Any) -> list[str]:
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        message = f"answers is a list of texts, not {values!r}"
        raise ValueError(message)
    return values


def _field(fields: Json, name: str, kind: type) -> Any:
    if name not in fields:
        message = f"the field {name!r} is missing"
        raise ValueError(message)
    value = fields[name]
    if not isinstance(value, kind) or isinstance(value, bool):
        words = {str: "a text", int: "a whole number", list: "a list"}
        message = f"the field {name!r} is {value!r}; it must be {words[kind]}"
        raise ValueError(message)  # noqa: TRY004 - a wrong file, not a wrong argument.
    return value


def _check_spans(question: Question, document_of: Callable[[str], Document] | None) -> None:
    for span in question.evidence:
        if span.start < 0 or span.end <= span.start:
            message = f"the evidence {span.start}-{span.end} is no span; start < end, from 0"
            raise ValueError(message)
        if document_of is None:
            continue
        text = document_of(span.document_id).text
        stands = text[span.start : span.end]
        if stands != span.text:
            place = text.find(span.text) if span.text else -1
            hint = (
                f"it stands at {place}-{place + len(span.text)}" if place >= 0 else "find it anew"
            )
            message = (
                f"the evidence {_short(span.text)} is not what stands at {span.start}-{span.end} "
                f"of {span.document_id!r}, which is {_short(stands)}; {hint}"
            )
            raise ValueError(message)


def _short(text: str) -> str:
    return repr(text if len(text) <= 40 else text[:39] + "…")
