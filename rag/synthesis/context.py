"""Hits become a context: the passages that a prompt carries, and what did not fit.

1. Hits are taken best first. One that overlaps a passage of its document, or is parted from
   it by white space alone, is merged into it; any other begins a passage.
2. A hit is taken where what it adds still fits the budget, by a sum of counts. One that does
   not is dropped, never cut, and smaller ones behind it are tried. Only while nothing is
   packed at all does a hit give those of its whole sentences that fit.
3. Passages are numbered by their best hit, each under a header line of about ten tokens. The
   text is counted whole: counts do not add up exactly, so while it is over the budget the
   last hit taken is taken out again.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import PurePosixPath

from rag.sentences import split_sentences
from rag.synthesis.matching import cover, finder, key_terms
from rag.types import Context, Count, Document, Hit, Passage, Span

SEPARATOR = "\n\n"
_NAME_COLUMNS = 24
_HEADING_COLUMNS = 32
"""The most of a file's name and of a heading that a header shows, a Chinese character counting
two columns: together about ten tokens. Both stand whole in the Passage."""
_HOPELESS = 1.5
"""A hit is dropped uncounted where it has this many times the characters that fill the rest of
the budget at the highest ratio of characters to tokens seen so far. Counting is most of the
work, and among 200 hits most come when the budget is nearly full."""


@dataclass(frozen=True, slots=True)
class _Block:
    """A passage in the making."""

    document: Document
    start: int
    end: int
    hits: tuple[tuple[int, Hit], ...]
    """With their places in the list of hits, best first."""
    tokens: int
    """Of the rendered passage; where hits were merged, a sum that may be off by a few."""


def pack(
    hits: Sequence[Hit],
    *,
    budget: int,
    count: Count,
    document_of: Callable[[str], Document],
    question: str = "",
) -> Context:
    """Pack hits into numbered passages that stay within a budget of tokens.

    Parameters
    ----------
    hits : best first.
    budget : the most tokens of ``Context.text``, at least 1.
    count : counts the chat model's tokens.
    document_of : id -> the document; a KeyError or ValueError means that it is gone.
    question : decides which sentences are kept where not even one hit fits whole; without
        it, the first ones.

    Returns
    -------
    Context
        ``count(context.text) <= budget``. Passages are disjoint exact slices of their
        documents, ordered by best hit and numbered from 1. ``dropped`` lists the hits that
        are not there in full: those that did not fit, and those whose document has changed
        or gone since the search. A budget too small for one sentence leaves no passage.

    Raises
    ------
    ValueError
        ``budget < 1``.

    Notes
    -----
    Each hit is counted at most once, and the text once more at the end: O(n) in the
    characters of the hits, and n_hits times n_passages comparisons.
    """
    if budget < 1:
        message = f"budget is {budget}; a context needs at least 1 token"
        raise ValueError(message)
    packer = _Packer(budget, lru_cache(maxsize=None)(count), key_terms(question))
    taken: list[tuple[int, Hit, Document]] = []
    blocks: list[_Block] = []
    for place, (hit, document) in enumerate(_standing(hits, document_of)):
        if document is not None:
            grown = packer.add(blocks, place, hit, document)
            if grown is not None:
                blocks = grown
                taken.append((place, hit, document))
    passages, text = packer.render(blocks)
    while taken and packer.count(text) > budget:
        taken.pop()
        blocks = []
        for place, hit, document in taken:
            blocks = packer.add(blocks, place, hit, document) or blocks
        passages, text = packer.render(blocks)
    whole = {place for block in blocks for place, hit in block.hits if _holds(block, hit)}
    return Context(
        text=text,
        passages=passages,
        tokens=packer.count(text),
        budget=budget,
        dropped=tuple(hit for place, hit in enumerate(hits) if place not in whole),
    )


def pages_of(document: Document, start: int, end: int) -> tuple[int, int] | None:
    """Find the first and last page that a span touches; None where there are no pages."""
    pages = document.pages
    if not pages:
        return None
    first = max(bisect_right(pages, start, key=lambda page: page.start) - 1, 0)
    last = max(bisect_left(pages, end, key=lambda page: page.start) - 1, first)
    return pages[first].number, pages[last].number


def _standing(
    hits: Sequence[Hit], document_of: Callable[[str], Document]
) -> Iterator[tuple[Hit, Document | None]]:
    """Pair each hit with its document; None where the hit no longer stands in it."""
    documents: dict[str, Document | None] = {}
    for hit in hits:
        chunk = hit.chunk
        if chunk.document_id not in documents:
            try:
                documents[chunk.document_id] = document_of(chunk.document_id)
            except (KeyError, ValueError):
                documents[chunk.document_id] = None
        document = documents[chunk.document_id]
        stands = document is not None and document.text[chunk.start : chunk.end] == chunk.text
        yield hit, document if stands else None


def _holds(block: _Block, hit: Hit) -> bool:
    return block.start <= hit.chunk.start and hit.chunk.end <= block.end


class _Packer:
    """The budget, and how to count against it."""

    def __init__(self, budget: int, count: Count, wanted: frozenset[str]) -> None:
        self.count = count
        self._budget = budget
        self._wanted = wanted
        self._separator = count(SEPARATOR)
        self._ratio = 1.0
        """The most characters a token has had so far."""

    def add(
        self, blocks: list[_Block], place: int, hit: Hit, document: Document
    ) -> list[_Block] | None:
        """Add a hit to the passages; None where it does not fit."""
        span = (hit.chunk.start, hit.chunk.end)
        touching = [block for block in blocks if _touches(block, document, *span)]
        others = [block for block in blocks if block not in touching]
        bare = _joined(touching, place, hit, document)
        new = list(_uncovered(bare.start, bare.end, touching))
        if blocks and self._is_hopeless(sum(end - start for start, end in new), blocks):
            return None
        block = self._counted(bare, touching, new)
        if self._total([*others, block]) <= self._budget:
            return [*others, block]
        trimmed = None if blocks else self._trim(block)
        return None if trimmed is None else [trimmed]

    def render(self, blocks: list[_Block]) -> tuple[tuple[Passage, ...], str]:
        """Write down the passages, numbered by their best hit."""
        passages: list[Passage] = []
        rendered: list[str] = []
        for marker, block in enumerate(sorted(blocks, key=_place), start=1):
            rendered.append(_render(block, marker))
            passages.append(
                Passage(
                    marker=marker,
                    document_id=block.document.id,
                    start=block.start,
                    end=block.end,
                    text=block.document.text[block.start : block.end],
                    tokens=self.count(rendered[-1]),
                    headings=_headings(block),
                    pages=pages_of(block.document, block.start, block.end),
                    hits=tuple(hit for _, hit in block.hits),
                )
            )
        return tuple(passages), SEPARATOR.join(rendered)

    def _total(self, blocks: list[_Block]) -> int:
        separators = self._separator * max(len(blocks) - 1, 0)
        return sum(block.tokens for block in blocks) + separators

    def _is_hopeless(self, characters: int, blocks: list[_Block]) -> bool:
        left = self._budget - self._total(blocks)
        return characters > max(left, 0) * self._ratio * _HOPELESS

    def _counted(self, block: _Block, touching: list[_Block], new: list[Span]) -> _Block:
        """Count a passage: anew where it is one hit, else by what is new in it."""
        if not touching:
            tokens = self.count(_render(block, 1))
            self._ratio = max(self._ratio, (block.end - block.start) / max(tokens, 1))
            return replace(block, tokens=tokens)
        headers = [self.count(_header(part, 1)) for part in touching]
        known = sum(part.tokens for part in touching) - sum(headers) + min(headers)
        added = sum(self.count(block.document.text[start:end]) for start, end in new)
        return replace(block, tokens=known + added)

    def _trim(self, block: _Block) -> _Block | None:
        """Keep as many neighbouring whole sentences as fit, around the one that fits best."""
        text = block.document.text[block.start : block.end]
        spans = split_sentences(text)
        find = finder(self._wanted)
        scores = cover(self._wanted, [find(text[start:end]) for start, end in spans])

        def cut(first: int, last: int) -> _Block | None:
            start, end = block.start + spans[first][0], block.start + spans[last][1]
            shorter = replace(block, start=start, end=end)
            tokens = self.count(_render(shorter, 1))
            return replace(shorter, tokens=tokens) if tokens <= self._budget else None

        best_first = sorted(range(len(spans)), key=lambda place: -scores[place])
        run = next(((place, place) for place in best_first if cut(place, place)), None)
        longer = run
        while longer is not None:
            run = first, last = longer
            # What follows goes before what precedes where neither covers more.
            sides = [(first, last + 1)] if last + 1 < len(spans) else []
            if first and (not sides or scores[first - 1] > scores[last + 1]):
                sides.insert(0, (first - 1, last))
            elif first:
                sides.append((first - 1, last))
            longer = next((side for side in sides if cut(*side)), None)
        return None if run is None else cut(*run)


def _joined(touching: list[_Block], place: int, hit: Hit, document: Document) -> _Block:
    """Make one passage of a hit and those that it touches, not yet counted."""
    pairs = [(place, hit), *(pair for block in touching for pair in block.hits)]
    return _Block(
        document=document,
        start=min([hit.chunk.start, *(block.start for block in touching)]),
        end=max([hit.chunk.end, *(block.end for block in touching)]),
        hits=tuple(sorted(pairs, key=lambda pair: pair[0])),
        tokens=0,
    )


def _touches(block: _Block, document: Document, start: int, end: int) -> bool:
    """Whether a span overlaps a passage or has only white space between."""
    if block.document is not document:
        return False
    if start <= block.end and block.start <= end:
        return True
    gap = (
        document.text[block.end : start] if block.end < start else document.text[end : block.start]
    )
    return gap.isspace()


def _uncovered(start: int, end: int, blocks: list[_Block]) -> Iterator[Span]:
    """Yield the parts of a span that no passage holds yet."""
    for block in sorted(blocks, key=lambda block: block.start):
        if start < block.start:
            yield start, block.start
        start = max(start, block.end)
    if start < end:
        yield start, end


def _place(block: _Block) -> int:
    return block.hits[0][0]


def _render(block: _Block, marker: int) -> str:
    return f"{_header(block, marker)}\n{block.document.text[block.start : block.end]}"


def _header(block: _Block, marker: int) -> str:
    """Write the line over a passage: marker, file, innermost heading, pages."""
    parts = [f"[{marker}] {_shorten(_name(block.document), _NAME_COLUMNS)}"]
    headings = _headings(block)
    first_line = block.document.text[block.start : block.end].split("\n", 1)[0]
    # A passage that begins with its heading shows it anyway.
    if headings and headings[-1] not in first_line:
        parts.append(_shorten(headings[-1], _HEADING_COLUMNS))
    pages = pages_of(block.document, block.start, block.end)
    if pages is not None:
        first, last = pages
        parts.append(f"p. {first}" if first == last else f"pp. {first}–{last}")
    return " · ".join(parts)


def _headings(block: _Block) -> tuple[str, ...]:
    """Take the headings around where a passage begins."""
    first = min((hit for _, hit in block.hits), key=lambda hit: hit.chunk.start)
    return first.chunk.headings


def _name(document: Document) -> str:
    return PurePosixPath(document.id).name or document.title


def _shorten(text: str, columns: int) -> str:
    """Put a text on one line of at most so many columns, the last for “…” where it is cut."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    width = 0
    for place, character in enumerate(line):
        width += 2 if character > "\u2e7f" else 1
        if width > columns:
            return f"{line[: max(place - 1, 1)].rstrip()}…"
    return line
