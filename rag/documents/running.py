"""Running headers, footers and page numbers: lines of the page and not of the text.

1. The first and the last lines of every page are candidates. A number in one counts as the
   same on every page if it rises with the pages by one: “Dues 7” on page 9, “Dues 8” on 10.
2. What stands on most pages there, or on most of the even or of the odd ones, is running.
3. Such lines leave the text, so that a sentence goes on from page to page. A header that says
   the same on each page stays where it first stands: there it may be the title.

A single word with a number that rises, “Step 3”, is as likely the heading of what is on the
page; it stays. So does a line that stands more often amid the pages than at their edges, as the
rows of a table and the clauses of a form may. What was left out, and on which pages, is told.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from rag.documents.parsed import ranges

_DEPTH = 3
"""Lines at the top and at the bottom that are looked at: a header, a rule of dashes, a number."""
_FEWEST = 3
"""Pages; what stands on two may stand there by chance."""
_MOST = 0.6
"""Of the pages with text: not on title pages, plates and the first pages of chapters."""
_LONGEST = 200
"""Characters; two lines of small print."""
_NUMBER = re.compile(r"\d{1,6}")
_LETTERS = re.compile(r"[^\W\d_]")
_WORDS = re.compile(r"[\u2e80-\uffdc]|[^\W\d_\u2e80-\uffdc]+")
_OF_PAGES = frozenset({"page", "p", "pg", "seite", "s", "of", "von", "第", "页", "頁", "共"})
_FEWEST_WORDS = 2
"""Beside a number that rises; Chinese characters count as words."""
_SPACES = re.compile(r"\s+")


@dataclass(frozen=True, slots=True)
class _Candidate:
    """A line near the edge of a page, and what it is if it is running."""

    page: int
    line: int
    """Its place on the page."""
    keys: tuple[str, ...]
    """The line as it is, and with a number replaced by how far it is from the page's."""
    shown: str
    edge: str
    """"top" or "bottom"."""


def leave_out(pages: Sequence[Sequence[str]]) -> tuple[list[list[str]], str]:
    """Take the running lines off the pages of a document.

    Parameters
    ----------
    pages : the lines of each page, none for a page without text.

    Returns
    -------
    The pages without them, and what was left out, such as “Tariff (2-9); # (1-9)” with ``#``
    for a number; "" for nothing.
    """
    candidates = [found for place, lines in enumerate(pages) for found in _edges(place, lines)]
    at_edges = {(found.page, found.line) for found in candidates}
    inside = Counter(
        _SPACES.sub(" ", line).strip()
        for place, lines in enumerate(pages)
        for number, line in enumerate(lines)
        if (place, number) not in at_edges
    )
    filled = [place for place, lines in enumerate(pages) if lines]
    running = _running(candidates, filled, inside)
    gone: dict[str, list[int]] = defaultdict(list)
    dropped: set[tuple[int, int]] = set()
    kept: dict[str, tuple[int, int]] = {}
    for found in candidates:
        key = next((key for key in found.keys if (found.edge, key) in running), None)
        place = (found.page, found.line)
        # On a short page a line is near both edges.
        if key is None or place in dropped or kept.get(key) == place:
            continue
        if found.edge == "top" and key == found.shown and key not in kept:
            kept[key] = place
            continue
        dropped.add(place)
        shown = found.shown if key == found.shown else _NUMBER.sub("#", found.shown)
        gone[shown].append(found.page + 1)
    left = [
        [line for number, line in enumerate(lines) if (place, number) not in dropped]
        for place, lines in enumerate(pages)
    ]
    return left, "; ".join(
        f"{shown} ({ranges(list(dict.fromkeys(on)))})" for shown, on in gone.items()
    )


def _edges(page: int, lines: Sequence[str]) -> Iterator[_Candidate]:
    """Yield the outer lines of a page, each with what it may be known by."""
    filled = [number for number, line in enumerate(lines) if line.strip()]
    for edge, numbers in (("top", filled[:_DEPTH]), ("bottom", filled[-_DEPTH:])):
        for number in numbers:
            shown = _SPACES.sub(" ", lines[number]).strip()
            if len(shown) <= _LONGEST:
                yield _Candidate(page, number, tuple(_keys(shown, page)), shown, edge)


def _keys(line: str, page: int) -> Iterator[str]:
    if _LETTERS.search(line):
        yield line
    numbers = list(_NUMBER.finditer(line))
    words = [word.lower() for word in _WORDS.findall(line)]
    if not set(words) <= _OF_PAGES and len(words) < _FEWEST_WORDS:
        return
    for number in numbers[:1] + numbers[1:][-1:]:
        yield f"{line[: number.start()]}\0{int(number[0]) - page}\0{line[number.end() :]}"


def _running(
    candidates: Sequence[_Candidate], filled: Sequence[int], inside: Mapping[str, int]
) -> set[tuple[str, str]]:
    """Find what stands at the same edge of most pages, or of most even or odd ones.

    ``inside`` counts the lines that stand elsewhere.
    """
    counts: Counter[tuple[str, str, int]] = Counter()
    for page, edge, key in {(c.page, c.edge, key) for c in candidates for key in c.keys}:
        counts[edge, key, page % 2] += 1
    sizes = Counter(page % 2 for page in filled)
    found = set()
    for edge, key, parity in counts:
        of_all = counts[edge, key, 0] + counts[edge, key, 1]
        if inside.get(key, 0) > of_all:
            continue
        enough = max(_FEWEST, _MOST * len(filled))
        if of_all >= enough or counts[edge, key, parity] >= max(_FEWEST, _MOST * sizes[parity]):
            found.add((edge, key))
    return found
