"""What a reader makes of a file: the text with its structure, before it has a name."""

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
