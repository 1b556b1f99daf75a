"""A document becomes chunks: the units that are indexed.

1. The text is cut into stretches at the edges of its sections; a heading with no text of its
   own stays with what follows it. No chunk crosses from one stretch into another.
2. A stretch is cut into sentences; one that is over the limit alone is cut at clauses,
   then at words, then anywhere.
3. The end of each sentence is a place to end a chunk, and places are compared: the end of a
   paragraph is better than that of a sentence, and among equals that one is better whose
   surroundings hash lower. A place that is better than all others within one and a half
   chunks on either side is a fixed point: a chunk ends there.
4. Between fixed points sentences are gathered greedily. A chunk ends, between half of the
   limit and the limit, at the best place.

Where a line is a record or a statement (``formats.LINES``, and fenced code) lines take the
place of sentences. A chunk that begins among the rows of a table repeats the table's header
in what is embedded.

Steps 3 and 4 are what makes boundaries fall back into step. Plain greedy packing carries a
change at the front through the whole book. Places chosen by their surroundings alone are
chosen again after an edit, so the old boundaries return within a few chunks, and behind the
next fixed point for certain: a fixed point depends on the text within its reach and on
nothing else (content-defined chunking, Muthitacharoen, Chen, Mazières (2001),
doi:10.1145/502034.502052; the fixed points are the local minima of Bjørner, Blass, Gurevich
(2010), doi:10.1016/j.jcss.2009.06.004). In books of 470 to 530 chunks without headings a
paragraph put in or taken out changed 2.1 chunks on average and 7 at most, and without fixed
points up to 15.
"""

import hashlib
import re
from bisect import bisect_left, bisect_right
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise

from rag.documents.formats import LINES
from rag.documents.tables import Table, find_tables, header_at
from rag.sentences import TERMINATED, split_sentences, split_to_fit
from rag.types import Chunk, Count, Document, Page, Section, Span

DEFAULT_SIZE = 240
"""Tokens of a chunk where the embedder reads more. Chosen on open retrieval sets with
all-MiniLM-L6-v2, which reads 256; see docs/decisions."""
_SMALLEST_SIZE = 16
_SMALLEST_SHARE = 0.5
"""A chunk is at least so full where a better place to end lies behind. Half leaves a window
wide enough that two packings agree soon."""
_LAST_SHARE = 0.4
"""So much is left for the last chunk before a fixed point, where a place to end allows it."""
_REACH = 1.5
"""Chunks. Fixed points lie at least so far apart, twice as far on average; nearer ones make
more chunks that are not full, farther ones let a change go farther."""
_CHARACTERS_PER_TOKEN = 8
"""A chunk has at most so many characters per token of the limit. English has four to five;
a run of letters without a space is one unknown token however long, and nobody can read it."""
_HEADING_SHARE = 0.25
"""Headings may take so much of a chunk; the innermost are kept first."""
_TABLE_SHARE = 0.25
"""So may the header of a table; one that takes more is not repeated."""
_CONTEXT = 32
"""Characters on each side of a place that its hash is taken from."""
_LINE_END = re.compile(r"\r\n|[\n\r\u2028\u2029]")
_WHOLE_LINE = re.compile(r"[^\n\r\u2028\u2029]+")
_FENCE = re.compile(
    r"(?<![^\n\r]) {0,3}(`{3,}+|~{3,}+)[^`\n\r]*(?:.*?[\n\r] {0,3}\1[`~ \t]*(?![^\n\r])|.*\Z)",
    re.DOTALL,
)
"""Fenced code; a fence that is never closed reaches to the end, as in CommonMark."""
_FENCED = frozenset({"markdown", "ipynb"})
_RULES = frozenset("=-~^\"'`#*+.:_")
_AROUND_TITLE = "#*_ \t\u3000"
"""What may stand beside a title in its line: markup, and the indent of a paragraph."""
# How good a place is to end a chunk. A line without a terminator is often a heading, which
# belongs to what follows, so the middle of a paragraph is better.
_PARAGRAPH, _FINISHED_LINE, _SENTENCE, _BLOCK, _LINE, _INSIDE = range(6)


@dataclass(frozen=True, slots=True)
class _Unit:
    """A sentence, or a part of one that is too long."""

    start: int
    end: int
    tokens: int
    """Special tokens left out."""
    place: tuple[int, bytes]
    """What its end is, and the hash of what stands around it; the lower, the better."""


@dataclass(frozen=True, slots=True)
class _Limit:
    """How much fits into a chunk behind its headings."""

    size: int
    count: Count
    special: int
    """Tokens that the embedder adds to every text."""
    prefix: str
    """The headings, and the header of the table that the chunk goes on with."""
    room: int
    """Tokens for the text."""

    @property
    def characters(self) -> int:
        return self.size * _CHARACTERS_PER_TOKEN

    def tokens(self, part: str) -> int:
        return self.count(self.prefix + part)

    def fits(self, part: str) -> bool:
        return len(part) <= self.characters and self.tokens(part) <= self.size


class _Limits:
    """The limits of the chunks of a stretch, which depend on where each begins."""

    def __init__(
        self, headings: Sequence[str], tables: Sequence[Table], *, size: int, count: Count
    ) -> None:
        self._tables = tables
        self._size = size
        self._count = count
        self._special = count("")
        self._plain = self._behind(_prefix(headings, size * _HEADING_SHARE, count))
        self._within = {"": self._plain}

    @property
    def room(self) -> int:
        """Tokens for the text outside tables."""
        return self._plain.room

    def at(self, place: int) -> _Limit:
        """Tell the limit of a chunk that begins at a place of the text."""
        header = header_at(self._tables, place)
        if header not in self._within:
            longer = self._behind(f"{self._plain.prefix}{header}\n")
            is_short = self.room - longer.room <= self._size * _TABLE_SHARE
            self._within[header] = longer if is_short else self._plain
        return self._within[header]

    def _behind(self, prefix: str) -> _Limit:
        room = self._size - self._count(prefix)
        return _Limit(self._size, self._count, self._special, prefix, room)


def chunk(document: Document, *, size: int = DEFAULT_SIZE, count: Count) -> list[Chunk]:
    """Split a document into chunks of whole sentences.

    Parameters
    ----------
    document : sections and pages, where it has them, are carried over to the chunks.
    size : the most tokens of ``Chunk.embedded``, special tokens included; at least 16, and
        8 more than ``count("")``.
    count : counts the embedder's tokens, special tokens included.

    Returns
    -------
    list of Chunk
        In the text's order, disjoint, with strictly ascending starts; every character of
        the text that is not white space lies in one. No chunk is over ``size`` tokens or
        8 characters per token of it, and none ends inside a sentence that fits alone.
        Empty for a blank document.

    Raises
    ------
    ValueError
        ``size`` is too small.

    Notes
    -----
    O(n log n) for n sentences, each counted once alone and once in its chunk. There is no
    overlap: neighbouring hits are merged when they are packed, so repeated text would only
    cost vectors.
    """
    special = count("")
    smallest = max(_SMALLEST_SIZE, special + 8)
    if size < smallest:
        message = (
            f"size is {size}; a chunk needs at least {smallest} tokens, {special} of them special"
        )
        raise ValueError(message)
    seen: Counter[str] = Counter()
    chunks: list[Chunk] = []
    split = _splitter(document)
    tables = find_tables(document)
    for (start, end), headings in _stretches(document):
        limits = _Limits(headings, tables, size=size, count=count)
        units = _units(document.text, split(start, end), limits)
        for (left, right), tokens in _gather(document.text, units, limits):
            text = document.text[left:right]
            embedded = limits.at(left).prefix + text
            chunks.append(
                Chunk(
                    id=_identity(document.id, embedded, seen[embedded]),
                    document_id=document.id,
                    start=left,
                    end=right,
                    text=text,
                    embedded=embedded,
                    tokens=tokens,
                    headings=headings,
                    pages=_pages(document.pages, left, right),
                )
            )
            seen[embedded] += 1
    return chunks


def _identity(document_id: str, embedded: str, occurrence: int) -> str:
    """Name a chunk so that adding it twice adds it once, and an insertion renames no other."""
    parts = (document_id, embedded, str(occurrence))
    joined = "\0".join(f"{len(part)}\0{part}" for part in parts)
    return hashlib.sha256(joined.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def _stretches(document: Document) -> Iterator[tuple[Span, tuple[str, ...]]]:
    """Cut the text at the edges of its sections, keeping a bare heading with what follows.

    Each stretch comes with the titles of the sections around its end, outermost first.
    """
    text = document.text
    edges = {0, len(text)}
    edges.update(edge for section in document.sections for edge in (section.start, section.end))
    waiting = list(reversed(document.sections))
    around: list[Section] = []
    begin = 0
    for left, right in pairwise(sorted(edges)):
        around = [section for section in around if left < section.end]
        body = left
        while waiting and waiting[-1].start == left:
            around.append(waiting.pop())
            body = _heading_end(text, around[-1])
        if right == len(text) or text[body:right].strip():
            yield (begin, right), tuple(section.title for section in around)
            begin = right


def _heading_end(text: str, section: Section) -> int:
    """Find the end of a heading: the line it stands in, and a setext underline."""
    line = _LINE_END.search(text, section.start, section.end)
    if line is not None and _is_rule(text[section.start : line.start()]):
        # A rule over the title, as in reStructuredText, belongs to it.
        line = _LINE_END.search(text, line.end(), section.end)
    if line is None:
        line_end = next_line = section.end
    else:
        line_end, next_line = line.span()
    title = text.find(section.title, section.start, line_end) if section.title else -1
    if title >= 0 and not text[section.start : title].strip(_AROUND_TITLE):
        # An article's text may follow its number on the same line: “第三条　水费……”.
        title_end = title + len(section.title)
        if text[title_end:line_end].strip(_AROUND_TITLE):
            return title_end
    underline = _LINE_END.split(text[next_line : min(next_line + 80, section.end)], maxsplit=1)[0]
    if _is_rule(underline):
        return next_line + len(underline)
    return line_end


def _is_rule(line: str) -> bool:
    """Whether a line only sets a heading off: ``=====`` in Markdown, others elsewhere."""
    mark = line.strip()[:1]
    return mark in _RULES and len(line.strip()) > 1 and not line.strip().strip(mark)


def _prefix(headings: Sequence[str], most: float, count: Count) -> str:
    """Put as many headings before a chunk as a number of tokens lets, the innermost first."""
    prefix = ""
    for outermost in range(len(headings) - 1, -1, -1):
        longer = " > ".join(headings[outermost:]) + "\n"
        if count(longer) > most:
            break
        prefix = longer
    return prefix


def _splitter(document: Document) -> Callable[[int, int], Iterator[Span]]:
    """Choose how a stretch of a document is cut into what a chunk never ends inside."""
    text = document.text
    kind = dict(document.metadata).get("format")
    if kind in LINES:
        return lambda start, end: _lines(text, start, end)
    fences = [match.span() for match in _FENCE.finditer(text)] if kind in _FENCED else []

    def split(start: int, end: int) -> Iterator[Span]:
        first = bisect_right(fences, start, key=lambda fence: fence[1])
        for left, right in fences[first:]:
            if left >= end:
                break
            yield from _sentences(text, start, max(start, left))
            yield from _lines(text, max(start, left), min(right, end))
            start = min(right, end)
        yield from _sentences(text, start, end)

    return split


def _sentences(text: str, start: int, end: int) -> Iterator[Span]:
    for left, right in split_sentences(text[start:end]):
        yield start + left, start + right


def _lines(text: str, start: int, end: int) -> Iterator[Span]:
    """Yield the lines that are not blank, with the indent that means something in code."""
    for line in _WHOLE_LINE.finditer(text, start, end):
        if stripped := line[0].rstrip():
            yield line.start(), line.start() + len(stripped)


def _units(text: str, spans: Iterable[Span], limits: _Limits) -> list[_Unit]:
    """Measure sentences, and cut those that do not fit into parts."""
    units: list[_Unit] = []
    for left, right in spans:
        limit = limits.at(left)
        tokens = _tokens(text[left:right], limit)
        # Behind its headings a text may count a little more than the two do alone.
        if tokens < limit.room or limit.fits(text[left:right]):
            units.append(_Unit(left, right, tokens, (_kind(text, right), _hash(text, right))))
            continue
        for part in split_to_fit(text, left, right, fits=limit.fits):
            kind = _INSIDE if part[1] < right else _kind(text, right)
            tokens = _tokens(text[slice(*part)], limit)
            units.append(_Unit(*part, tokens, (kind, _hash(text, part[1]))))
    return units


def _tokens(part: str, limit: _Limit) -> int:
    """Count a part alone; one that is too long anyway is not worth counting."""
    if len(part) > limit.characters:
        return limit.size
    return limit.count(part) - limit.special


def _kind(text: str, end: int) -> int:
    """Tell what ends where a sentence ends."""
    following = text[end : end + 64]
    breaks = len(_LINE_END.findall(following[: len(following) - len(following.lstrip())]))
    if breaks and not TERMINATED.search(text, max(0, end - 16), end):
        return _BLOCK if breaks > 1 else _LINE
    return (_SENTENCE, _FINISHED_LINE, _PARAGRAPH)[min(breaks, 2)]


def _hash(text: str, place: int) -> bytes:
    around = text[max(0, place - _CONTEXT) : place + _CONTEXT]
    return hashlib.blake2b(around.encode("utf-8", "surrogatepass"), digest_size=8).digest()


def _gather(text: str, units: Sequence[_Unit], limits: _Limits) -> Iterator[tuple[Span, int]]:
    """Gather units into chunks, each with its tokens."""
    sums = list(accumulate((unit.tokens for unit in units), initial=0))
    ends = [unit.end for unit in units]
    first = 0
    for fixed in _fixed_points(units, sums, limits.room * _REACH):
        while first <= fixed:
            start = units[first].start
            limit = limits.at(start)
            last = min(
                fixed,
                bisect_right(sums, sums[first] + limit.room) - 2,
                bisect_right(ends, start + limit.characters) - 1,
            )
            stop = _best_end(units, sums, first, max(first, last), fixed, limit.room)
            tokens = limit.tokens(text[start : ends[stop]])
            # The sums are exact for tokenizers that split at white space; others may count a
            # joined text differently, and the limit is hard.
            while tokens > limit.size and stop > first:
                stop = _best_end(units, sums, first, stop - 1, fixed, limit.room)
                tokens = limit.tokens(text[start : ends[stop]])
            yield (start, ends[stop]), tokens
            first = stop + 1


def _fixed_points(units: Sequence[_Unit], sums: Sequence[int], reach: float) -> list[int]:
    """Find the units at whose end a chunk ends, wherever it begins; the last one is one."""
    indexes = range(len(units))
    forwards = _unbeaten(units, sums, reach, indexes)
    backwards = _unbeaten(units, sums, reach, reversed(indexes))
    inner = [
        index
        for index in sorted(forwards & backwards)
        if reach <= sums[index + 1] <= sums[-1] - reach and units[index].place[0] < _INSIDE
    ]
    return [*inner, len(units) - 1]


def _unbeaten(
    units: Sequence[_Unit], sums: Sequence[int], reach: float, order: Iterable[int]
) -> set[int]:
    """Find the units whose place is better than all that come before within reach, in O(n)."""
    unbeaten: set[int] = set()
    rivals: deque[int] = deque()
    for index in order:
        while rivals and units[rivals[-1]].place > units[index].place:
            rivals.pop()
        while rivals and abs(sums[index + 1] - sums[rivals[0] + 1]) > reach:
            rivals.popleft()
        if not rivals:
            unbeaten.add(index)
        rivals.append(index)
    return unbeaten


def _best_end(
    units: Sequence[_Unit], sums: Sequence[int], first: int, last: int, fixed: int, room: int
) -> int:
    """Choose the last unit of a chunk that begins at ``first`` and could reach ``last``."""
    if last == fixed:
        return last
    full = bisect_left(sums, sums[first] + room * _SMALLEST_SHARE) - 1
    good = range(min(max(full, first), last), last + 1)
    kept = [i for i in good if sums[fixed + 1] - sums[i + 1] >= room * _LAST_SHARE]
    best = min(kept or good, key=lambda index: units[index].place)
    if units[best].place[0] == _INSIDE:
        # Rather a short chunk than one that ends inside a sentence.
        whole = [i for i in range(first, last + 1) if units[i].place[0] < _INSIDE]
        return whole[-1] if whole else best
    return best


def _pages(pages: Sequence[Page], start: int, end: int) -> tuple[int, int] | None:
    """Find the first and last page that a stretch touches, in O(log n)."""
    if not pages:
        return None
    first = bisect_right(pages, start, key=lambda page: page.start) - 1
    last = bisect_left(pages, end, key=lambda page: page.start) - 1
    return pages[max(first, 0)].number, pages[max(last, first, 0)].number
