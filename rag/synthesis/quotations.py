"""A reply becomes statements: its sentences, each with its markers and quotations.

1. Markers are found: ``[1]``, ``[1, 2]``, ``[1][2]``, ``【1】``, ``［１］``. Those that stand side
   by side are one mark.
2. Quotations are found by their signs, in one pass with a stack for each kind. Of nested ones
   the outermost counts. Where the signs alone do not tell, the caller is asked whether the
   words stand in the source: a stretch that holds a marker, or one that is wider than the
   signs say, is a quotation only then.
3. The markers are taken out and the rest is split into sentences, so that a marker behind a
   full stop belongs to the sentence before it.

Everything is linear in the length of the reply.
"""

import re
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from rag.sentences import split_sentences

_ONE = r"\d{1,9}(?:\s?[-–—~～]\s?\d{1,9})?"
_MARK = re.compile(
    rf"(?:[\[【［]\s?{_ONE}(?:[\s,，、;；]{{1,3}}{_ONE}){{0,30}}\s?[\]】］][ ,，、]{{0,2}}){{1,30}}"
    r"(?<![ ,，、])"
)
_RANGE = re.compile(r"(\d+)(?:\s?[-–—~～]\s?(\d+))?")
_WIDEST_RANGE = 30
"""[1-3] stands for three markers; a longer range is taken for its two ends."""
_PAIRS = {"“": "”", "「": "」", "『": "』", "‘": "’", '"': '"', "＂": "＂"}
_OPENING = {closing: opening for opening, closing in _PAIRS.items()}
_SIGN = re.compile(r"[“”「」『』‘\"＂]|’(?![A-Za-z])|\n\s*\n")
"""A quotation mark, but no apostrophe, or a blank line, over which no quotation goes on."""
_GAP = re.compile(r"[\s.,;:!?。，；：！？、…)）*_~”’」』\"＂]+")
"""What may stand between the words of a quotation and its marker."""
_WIDEST_GAP = 8
_LONGEST_ASKED = 2000
"""Characters of a stretch that the caller is asked about; such stretches may lie in one another,
so asking about any length would cost the square of a hostile reply's length."""
_ENDS_LINE = re.compile(r"[ \t]*(?:\n|$)")


@dataclass(frozen=True, slots=True)
class Mark:
    """Markers that stand side by side."""

    start: int
    end: int
    numbers: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Quotation:
    """Words between quotation marks, without these and the white space inside them."""

    start: int
    end: int
    words: str
    mark: Mark | None
    """The mark directly behind it."""


@dataclass(frozen=True, slots=True)
class Claim:
    """A mark, and the quotations that it vouches for."""

    mark: Mark
    quotations: tuple[Quotation, ...]


@dataclass(frozen=True, slots=True)
class Statement:
    """A sentence of a reply."""

    start: int
    end: int
    text: str
    """Without its markers."""
    claims: tuple[Claim, ...]


def read(text: str, *, stands: Callable[[str, Mark], bool]) -> list[Statement]:
    """Find the statements of a reply.

    Parameters
    ----------
    text : the reply.
    stands : whether words stand in a source that a mark names; asked where signs do not tell.

    Returns
    -------
    list of Statement
        In order. Each mark is in one of them, and so is each quotation for which its
        sentence has a mark: the next one, or else the last one before it.
    """
    marks = list(_marks(text))
    quotations = _chosen(text, marks, stands)
    marks = [mark for mark in marks if not _inside(mark, quotations)]
    return _statements(text, marks, quotations)


def _marks(text: str) -> Iterator[Mark]:
    for match in _MARK.finditer(text):
        numbers = [number for one in _RANGE.finditer(match[0]) for number in _numbers(one)]
        yield Mark(match.start(), match.end(), tuple(dict.fromkeys(numbers)))


def _numbers(match: re.Match[str]) -> Iterable[int]:
    first, last = int(match[1]), int(match[2] or match[1])
    return range(first, last + 1) if first <= last < first + _WIDEST_RANGE else (first, last)


def _chosen(
    text: str, marks: Sequence[Mark], stands: Callable[[str, Mark], bool]
) -> list[Quotation]:
    """Choose quotations that do not overlap, the outermost first."""
    chosen: list[Quotation] = []
    for start, end, mark, is_certain in sorted(
        _candidates(text, marks), key=lambda each: (each[0], -each[1])
    ):
        if chosen and start < chosen[-1].end:
            continue
        if not is_certain and (mark is None or end - start > _LONGEST_ASKED):
            continue
        words = text[start:end].strip()
        if words and (is_certain or mark is None or stands(words, mark)):
            begin = text.index(words, start)
            chosen.append(Quotation(begin, begin + len(words), words, mark))
    return chosen


def _candidates(text: str, marks: Sequence[Mark]) -> Iterator[tuple[int, int, Mark | None, bool]]:
    """Yield what may be a quotation: start, end, the mark behind, whether it is certain."""
    starts = [mark.start for mark in marks]
    opened: dict[str, list[int]] = {opening: [] for opening in _PAIRS}
    first: dict[str, int] = {}
    passed = 0
    for match in _SIGN.finditer(text):
        sign, place = match[0], match.start()
        while passed < len(marks) and marks[passed].end <= place:
            passed += 1
            first.clear()
        opening = _OPENING.get(sign, "")
        if opening and (opening != sign or opened[opening]):
            behind = bisect_left(starts, place)
            mark = _directly_behind(text, place, marks[behind] if behind < len(marks) else None)
            begin = opened[opening].pop() if opened[opening] else None
            if begin is not None:
                yield begin, place, mark, bisect_left(starts, begin) == behind
            widest = first.get(opening)
            if widest is not None and widest != begin and mark is not None:
                yield widest, place, mark, False
        elif sign in _PAIRS:
            opened[sign].append(match.end())
            first.setdefault(sign, match.end())
        else:
            first.clear()
            for stack in opened.values():
                stack.clear()


def _directly_behind(text: str, place: int, mark: Mark | None) -> Mark | None:
    if mark is None or mark.start - place > _WIDEST_GAP:
        return None
    return mark if _GAP.fullmatch(text, place, mark.start) else None


def _statements(
    text: str, marks: Sequence[Mark], quotations: Sequence[Quotation]
) -> list[Statement]:
    """Split a reply into sentences, and give each its marks and quotations."""
    bare = _Bare(text, marks)
    spans = split_sentences(bare.text)
    starts = [start for start, _ in spans]
    if not spans:
        return [Statement(0, len(text), "", tuple(Claim(mark, ()) for mark in marks))]
    marks_of: list[list[Mark]] = [[] for _ in spans]
    for mark, place, leads in zip(marks, bare.places, bare.leads, strict=True):
        before = bisect_left(starts, place) - 1
        marks_of[min(max(before + leads, 0), len(spans) - 1)].append(mark)
    quotations_of: dict[Mark, list[Quotation]] = {}
    for quotation in quotations:
        own = marks_of[max(bisect_right(starts, bare.place(quotation.end - 1)) - 1, 0)]
        behind = [mark for mark in own if mark.start >= quotation.end] or own[-1:]
        # The mark directly behind counts even where the signs between end a sentence.
        for mark in [quotation.mark] if quotation.mark else behind[:1]:
            quotations_of.setdefault(mark, []).append(quotation)
    return [
        Statement(
            bare.origin(start),
            bare.origin(end - 1) + 1,
            bare.text[start:end],
            tuple(Claim(mark, tuple(quotations_of.get(mark, ()))) for mark in own),
        )
        for (start, end), own in zip(spans, marks_of, strict=True)
    ]


class _Bare:
    """A reply without its marks and the blanks before them, and the way back."""

    def __init__(self, text: str, marks: Sequence[Mark]) -> None:
        pieces: list[str] = []
        self.places: list[int] = []
        """Where each mark stood, in the bare text."""
        self.leads: list[bool] = []
        """Whether it began a line and something follows on that line."""
        self._origins = [0]
        """Where each piece begins in the reply; in the bare text it begins at a place."""
        length = 0
        for mark in marks:
            piece = text[self._origins[-1] : mark.start].rstrip(" \t\u3000")
            pieces.append(piece)
            length += len(piece)
            self.places.append(length)
            begins = piece.endswith("\n") or length == 0
            self.leads.append(begins and not _ENDS_LINE.match(text, mark.end))
            self._origins.append(mark.end)
        pieces.append(text[self._origins[-1] :])
        self.text = "".join(pieces)

    def origin(self, place: int) -> int:
        """Find where a character of the bare text stands in the reply."""
        piece = bisect_right(self.places, place)
        return self._origins[piece] + place - (self.places[piece - 1] if piece else 0)

    def place(self, origin: int) -> int:
        """Find where a character of the reply that is no part of a mark stands here."""
        piece = bisect_right(self._origins, origin) - 1
        return (self.places[piece - 1] if piece else 0) + origin - self._origins[piece]


def _inside(mark: Mark, quotations: Sequence[Quotation]) -> bool:
    behind = bisect_right(quotations, mark.start, key=lambda quotation: quotation.start)
    return behind > 0 and mark.start < quotations[behind - 1].end
