"""A filter by the user becomes a condition in SQL."""

import difflib
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import PurePosixPath

from rag.types import Scalar, Where

FIELDS = ("document_id", "folder", "suffix", "title")
"""What a filter may name, beside ``metadata.KEY``."""
_METADATA = "metadata."
_COLUMNS = {
    "document_id": "id IN (SELECT value FROM json_each(?))",
    "suffix": "suffix IN (SELECT value FROM json_each(?))",
    "title": "title IN (SELECT value FROM json_each(?))",
}
_BELOW = (
    "EXISTS (SELECT 1 FROM json_each(?) f WHERE f.value = '.' OR folder = f.value "
    "OR substr(folder, 1, length(f.value) + 1) = f.value || '/')"
)
_PAIR = (
    "EXISTS (SELECT 1 FROM json_each(metadata) pair WHERE json_extract(pair.value, '$[0]') = ? "
    "AND json_extract(pair.value, '$[1]') IN (SELECT value FROM json_each(?)))"
)


def check_where(where: Where) -> None:
    """Refuse a filter that could never mean anything.

    Raises
    ------
    ValueError
        An unknown field, with the nearest known one.
    TypeError
        ``where`` is no mapping; or a value that is neither text, number, boolean nor a list
        of these, or, outside the metadata, not text.
    """
    if not isinstance(where, Mapping):
        message = f"where must be a mapping of fields to values, not {where!r}"
        raise TypeError(message)
    for field, wanted in where.items():
        if field not in FIELDS and not (field.startswith(_METADATA) and field != _METADATA):
            known = (*FIELDS, f"{_METADATA}{field or 'KEY'}")
            near = difflib.get_close_matches(field, known, n=1, cutoff=0)[0]
            message = (
                f"there is no field {field!r} to filter by; the nearest is {near!r} (known are "
                f"{', '.join(FIELDS)} and {_METADATA}KEY)"
            )
            raise ValueError(message)
        kinds = str | int | float | bool if field.startswith(_METADATA) else str
        for option in _options(wanted):
            if not isinstance(option, kinds):
                message = f"field {field!r} cannot be {option!r}; give a value or a list of values"
                raise TypeError(message)


def condition_of(where: Where) -> tuple[str, list[Scalar]]:
    """Translate a filter to SQL over the table ``documents``, and its arguments.

    Raises
    ------
    ValueError, TypeError
        As `check_where`.
    """
    check_where(where)
    conditions, arguments = ["1"], []
    for field, wanted in where.items():
        condition, values = _condition(field, _options(wanted))
        conditions.append(condition)
        arguments.extend(values)
    return " AND ".join(conditions), arguments


def _options(wanted: Scalar | Sequence[Scalar]) -> list[Scalar]:
    if isinstance(wanted, str | int | float):
        return [wanted]
    # What cannot be iterated over either becomes an option that is refused.
    return list(wanted) if isinstance(wanted, Iterable) else [wanted]


def _condition(field: str, options: Sequence[Scalar]) -> tuple[str, list[Scalar]]:
    if field.startswith(_METADATA):
        key = field.removeprefix(_METADATA)
        return _PAIR, [key, json.dumps(options, allow_nan=False)]
    texts = [str(option) for option in options]
    if field == "folder":
        return _BELOW, [json.dumps([str(PurePosixPath(text.strip("/"))) for text in texts])]
    if field == "suffix":
        texts = [text.lower() if text[:1] in {"", "."} else f".{text.lower()}" for text in texts]
    return _COLUMNS[field], [json.dumps(texts)]
