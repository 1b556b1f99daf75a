"""What a reader makes of a file: the text with its structure, before it has a name."""

from collections.abc import Sequence
from dataclasses import dataclass

from rag.types import Page, Scalar, Section


@dataclass(frozen=True, slots=True, kw_only=True)
class Parsed:
    """The contents of one file."""

    text: str
    title: str | None = None
    """What the file itself says it is called; None where it does not."""
    pages: tuple[Page, ...] = ()
    sections: tuple[Section, ...] = ()
    metadata: tuple[tuple[str, Scalar], ...] = ()


def ranges(numbers: Sequence[int]) -> str:
    """Write ascending numbers as “3, 7-9”."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return ", ".join(str(a) if a == b else f"{a}-{b}" for a, b in runs)
