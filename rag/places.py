"""Where a span of a document stands, so that a person can find it: line, page, headings."""

from bisect import bisect_right
from collections.abc import Callable

from rag.types import Document, Span

_BESIDE = 3
"""Lines shown before and behind a passage that is longer than all that were asked for."""
_MOST_CHARACTERS = 6000
"""Of an excerpt, where lines are so long that a few of them would be pages."""


class Places:
    """Where spans stand in their documents.

    Parameters
    ----------
    document_of : id -> the document; a ValueError means that it has gone since.
    """

    def __init__(self, document_of: Callable[[str], Document]) -> None:
        self._document_of = document_of
        self._documents: dict[str, Document | None] = {}

    def line(self, document_id: str, start: int) -> int | None:
        """Tell the line, from 1; None where the document has gone."""
        document = self._get(document_id)
        return None if document is None else line_of(document, start)

    def headings(self, document_id: str, start: int) -> tuple[str, ...]:
        """List the headings that a place stands under, outermost first."""
        document = self._get(document_id)
        return () if document is None else headings_of(document, start)

    def _get(self, document_id: str) -> Document | None:
        if document_id not in self._documents:
            try:
                self._documents[document_id] = self._document_of(document_id)
            except ValueError:
                self._documents[document_id] = None
        return self._documents[document_id]


def line_of(document: Document, start: int) -> int:
    """Tell the line of a character, from 1."""
    return document.text.count("\n", 0, start) + 1


def headings_of(document: Document, start: int) -> tuple[str, ...]:
    """List the headings that a character stands under, outermost first."""
    return tuple(s.title for s in document.sections if s.start <= start < s.end)


def pages_of(document: Document, start: int, end: int) -> tuple[int, int] | None:
    """Tell the first and last page of a span; None where there are no pages."""
    if not document.pages:
        return None
    starts = [page.start for page in document.pages]
    first = max(bisect_right(starts, start) - 1, 0)
    last = max(bisect_right(starts, max(end - 1, start)) - 1, 0)
    return document.pages[first].number, document.pages[last].number


def lines_around(text: str, at: Span | None, n_lines: int) -> Span:
    """Choose whole lines around a span, a third of the others before it."""
    if n_lines == 0:
        return 0, len(text)
    first, last = at or (0, 0)
    within = text.count("\n", first, last)
    others = max(n_lines - within - 1, min(2 * _BESIDE, n_lines - 1))
    before = 0 if at is None else max(others // 3, min(_BESIDE, others // 2))
    start = text.rfind("\n", 0, first) + 1
    for _ in range(before):
        start = text.rfind("\n", 0, max(start - 1, 0)) + 1
    end = text.rfind("\n", 0, first) + 1
    for _ in range(within + 1 + others - before):
        end = text.find("\n", end) + 1 or len(text)
    if end - start > _MOST_CHARACTERS:
        start = max(start, first - _MOST_CHARACTERS // 3)
        end = min(end, max(start + _MOST_CHARACTERS, last))
    return start, end
