"""Numbered headings in running text: ``text`` -> ``Numbered`` lines, in the text's order.

Three families are known: Chinese (第三章, 第十二条), English words (CHAPTER IV, Article 5) and
decimal numbers (4.2.1). None of them is marked up, so a line is believed to be a heading only
if everything speaks for it:

1. One pass of a regular expression finds the lines that begin like a heading.
2. Each is judged alone: short, no sentence, no date, decimal, table row or entry of a table
   of contents, at a paragraph's start.
3. Then they are judged together: tables of contents, numbered lists and running page headers
   are dropped.

A section that is missed costs a heading above a quotation; a sentence that is taken for a
heading cuts a paragraph in two. Where both are possible the line is no heading.
"""

import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from rag.types import Span

_DIGITS = "0-9０-９"
_CHINESE_NUMBER = rf"[{_DIGITS}〇零○一二三四五六七八九十百千万两]{{1,12}}"
_CHINESE = rf"第[ \u3000]{{0,2}}{_CHINESE_NUMBER}[ \u3000]{{0,2}}"
_UNITS = "分编|部分|[编篇卷部章回节条]"
_LATIN_NUMBER = (
    r"\d{1,4}(?:\.\d{1,3}){0,3}[A-Za-z]?|[IVXLC]{1,9}|[A-Z]"
    r"|(?i:one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|thirteen|fourteen"
    r"|fifteen|sixteen|seventeen|eighteen|nineteen|(?:twenty|thirty|forty)(?:-[a-z]{3,5})?"
    r"|(?:the )?(?:first|second|third|fourth|fifth|sixth|seventh|eighth|ninth|tenth))"
)
_WORDS = "volume|book|part|chapter|section|article|appendix|annex|schedule"
_WORD = "|".join(f"{word.upper()}|{word.capitalize()}" for word in _WORDS.split("|"))
_BREAKS = r"\n\r\f\u2028\u2029"
_CANDIDATE = re.compile(
    rf"(?<![^{_BREAKS}])(?P<indent>[ \t\u3000]*)(?P<strong>\*\*|__)?"
    r"(?P<number>"
    rf"{_CHINESE}(?P<unit>{_UNITS})(?:之{_CHINESE_NUMBER})?"
    rf"|(?P<word>{_WORD})[ \t]+(?:{_LATIN_NUMBER})(?!\w)"
    r"|(?P<decimal>\d{1,3}(?:\.\d{1,3}){0,5})(?P<stop>\.?)(?=[ \t\u3000]+\S)"
    rf")(?P<rest>[^{_BREAKS}]*)"
)
_INNER = re.compile(rf"(?P<word>{_WORD})[ \t]+(?:{_LATIN_NUMBER})[.:]?")
"""What follows in “VOLUME I. CHAPTER I”."""

# The kinds from the outermost to the innermost. Where two kinds of one rank meet, the rarer
# one is the outer: a code of few books has many volumes, articles of a constitution have
# several sections each, sections of a regulation several articles.
_RANKS = (
    ("volume", "book", "part", "编", "卷", "篇", "部", "部分", "appendix", "annex", "schedule"),
    ("分编",),
    ("chapter", "章", "回"),
    ("节", "article", "section"),
    ("条",),
)
_RANK = {kind: rank for rank, kinds in enumerate(_RANKS) for kind in kinds}
_ORDER = {kind: order for order, kind in enumerate(kind for kinds in _RANKS for kind in kinds)}

_LONGEST_LINE = 80
"""Columns of a heading's line; titles of chapters are rarely longer."""
_MOST_WORDS = 12
_SHORT_LINE = 45
"""Columns. A line shorter than this does not reach the margin; a paragraph ends with it."""
_WIDE_LINE = 40
"""Columns. A line at least so long may have been broken at the margin."""
_LARGEST_STEP = 5
"""Numbers of chapters grow by one; more than so many are not lost between two headings."""
_LOOKBACK = 400
"""Characters in which the line before is looked at; in a longer one only its end counts."""
_SPACES = re.compile(r"[ \t]+")
_WIDE = re.compile(r"[\u2e80-\u9fff\uac00-\ud7a3\uf900-\ufaff\uff01-\uff60]")
_BLANK_LINE = re.compile(r"\n(?=[ \t\r\u3000]*\n)")
_TERMINATED = re.compile(r"[.。!！?？…:：;；”’\"'」』》)）\]】]\s*$")
_SENTENCE = re.compile(r"[。；！？;]|[.!?]\s+\S|[,，、:：]$")
"""What no heading has, in its middle or at its end."""
_CONTENTS_ENTRY = re.compile(r"(?:\.{3}|…|·{3}|(?:\. ){3}|\t)[ \t.…·]*\d*$|[ \u3000]\d{1,4}$")
_TABLE_ROW = re.compile(r"\t|\||\S {3,}\S|(?<!\S)(?!(?:1[5-9]|20)\d\d$)\d[\d.,%]*$")
"""Columns, or an amount at the end that is no year."""
_MONTH = re.compile(
    r"(?:jan|feb|mar|apr|may|june?|july?|aug|sept?|oct|nov|dec)[a-z]*\b", re.IGNORECASE
)
_MEASURE = re.compile(
    r"[年月日号秒元角个名次件米吨斤克升亩台辆套℃°%％￥$€£]|时(?!间)|分(?![类析工布])|人(?![员事力])"
    r"|条(?![件款])|款(?!项)|项(?!目)|里(?!程)|户(?!型)"
)
"""What makes the number before it an amount or a date."""
_UNIT = re.compile(
    r"(?:hundred|thousand|million|billion|trillion|per|percent|dollars?|euros?|pounds?|yuan|cents?"
    r"|seconds?|minutes?|hours?|days?|weeks?|months?|years?|miles?|feet|inch(?:es)?|degrees?"
    r"|(?:centi|kilo|milli)?(?:metres?|meters?|grams?|lit(?:re|er)s?)|tons?|tonnes|times"
    r"|[A-Za-z]{1,2}|[kMG](?:Hz|iB|bps))\b",
    re.IGNORECASE,
)
_VERB = re.compile(
    r"\b(?:is|are|was|were|be|shall|will|must|may|means?|has|have|hereby|should|can(?:not)?)\b"
    r"|\b(?:a|an|the|of|to|at|in|on|by|for|from|and|or|as|with|that|which)$|，"
)
"""What a sentence has, and the end of a line that is not the end of a phrase."""
_MENTION = re.compile(
    r"的|规定|[、，。；]|所[称指列规述定]|之规定|中[的所规]|[内外]的|以外|项下"
    r"|(?:以及|和|与|或|及|至|到)[^。；]{0,6}第|[)）》〉」』”’\]】]"
    rf"|{_CHINESE}[款项条章节]"
)
"""What follows 第十二条 where a sentence speaks of the article."""
_SPACED_MENTION = re.compile(rf"[、，。；)）》〉」』”’]|{_CHINESE}[款项条]")
_SEPARATOR = re.compile(r"[ \t\u3000]*(?P<sign>[.:：—–-]+)[ \t\u3000]*|[ \t\u3000]+")
_NEEDS_SPACE = frozenset({"部", "部分", "篇", "回"})
"""第二部电影, 第一回合: what these count is more often no part of a text."""
_ENDS_WITH_STOP = frozenset({"volume", "book", "part", "chapter"})
"""Old books close the titles of their chapters with a full stop."""


@dataclass(frozen=True, slots=True)
class Numbered:
    """A line that is a heading by its number."""

    start: int
    end: int
    """Where its line ends."""
    kind: str
    """"chapter", "章" or, for decimal numbers, how many parts they have: "1", "2"."""
    title: str
    has_text: bool
    """Whether its text begins on the same line."""
    parts: tuple[int, ...] = ()
    """Of a decimal number."""


def find_numbered(
    text: str, *, within: Sequence[Span] | None = None, decimals: bool = True
) -> list[Numbered]:
    """Find the lines that are headings by their number alone.

    Parameters
    ----------
    text : with any line ends.
    within : ascending, disjoint spans a heading must begin in; None means everywhere.
    decimals : whether “1.2 Terms” is looked for; where headings are marked up, such a line
        is an item of a list.

    Returns
    -------
    list of Numbered
        Ascending. O(n) for n characters.
    """
    spaced = _has_blank_lines(text)
    found: list[Numbered] = []
    for match in _CANDIDATE.finditer(text):
        if within is not None and not _lies_within(match.start(), within):
            continue
        if match["decimal"] and not decimals:
            continue
        line = _Line(text, match, spaced=spaced, after=found[-1].end if found else -1)
        heading = _judge(line)
        if heading is not None:
            found.append(heading)
    return list(_without_repeats(_in_sequence(_without_lists(text, found))))


def order_kinds(headings: Sequence[Numbered]) -> list[str]:
    """Put the kinds found in one document in order, the outermost first."""
    counts: dict[str, int] = {}
    for heading in headings:
        counts[heading.kind] = counts.get(heading.kind, 0) + 1
    words = [kind for kind in counts if kind in _RANK]
    words.sort(key=lambda kind: (_RANK[kind], counts[kind], _ORDER[kind]))
    return words + sorted(kind for kind in counts if kind not in _RANK)


def kind_of(title: str) -> str | None:
    """Tell of which kind a heading is that is marked up as one; None without a number."""
    match = _CANDIDATE.match(title)
    if match is None or match["decimal"]:
        return None
    return str(match["unit"] or match["word"].lower())


class _Line:
    """A line that begins like a heading, and what stands around it."""

    def __init__(self, text: str, match: re.Match[str], *, spaced: bool, after: int) -> None:
        self.match = match
        strong = match["strong"]
        self.rest = match["rest"].replace(strong, "") if strong else match["rest"]
        self.body = self.rest.strip()
        self.title = _SPACES.sub(" ", match["number"] + self.rest).strip()
        window = text[max(0, match.start() - _LOOKBACK) : match.start()].splitlines()
        previous = window[-1].strip() if window else ""
        under_heading = after >= match.start() - _LOOKBACK and text[after : match.start()].isspace()
        self._free = not previous or under_heading
        self._previous = previous
        self._spaced = spaced
        self._next = text[match.end() : match.end() + _LOOKBACK].lstrip("\r").removeprefix("\n")

    @property
    def begins_paragraph(self) -> bool:
        """Whether nothing before it on the page belongs to it."""
        if self._free or self._spaced:
            return self._free
        return bool(_TERMINATED.search(self._previous)) or _width(self._previous) < _SHORT_LINE

    @property
    def continues(self) -> bool:
        """Whether it may be the middle of a sentence that was broken at the margin."""
        return (
            not self._free
            and _TERMINATED.search(self._previous) is None
            and _width(self._previous) >= _WIDE_LINE
        )

    @property
    def goes_on(self) -> bool:
        """Whether the next line continues it."""
        return self._next.lstrip(" \t")[:1].islower()

    def as_heading(
        self, kind: str, *, text_follows: bool = False, parts: tuple[int, ...] = ()
    ) -> Numbered:
        return Numbered(
            start=self.match.start(),
            end=self.match.end(),
            kind=kind,
            title=_SPACES.sub(" ", self.match["number"]) if text_follows else self.title,
            has_text=text_follows,
            parts=parts,
        )


def _judge(line: _Line) -> Numbered | None:
    if line.match["unit"] == "条":
        return _judge_article(line)
    if line.match["unit"]:
        return _judge_chinese(line)
    if not line.begins_paragraph:
        return None
    return _judge_word(line) if line.match["word"] else _judge_decimal(line)


def _judge_article(line: _Line) -> Numbered | None:
    """第十二条: its text mostly begins on the same line."""
    if line.rest[:1].strip():
        if line.continues or _MENTION.match(line.body):
            return None
    elif _SPACED_MENTION.match(line.body):
        return None
    return line.as_heading("条", text_follows=bool(line.body))


def _judge_chinese(line: _Line) -> Numbered | None:
    """第三章　水费: the whole line is the title."""
    kind = line.match["unit"]
    if line.rest[:1].strip(" \t\u3000:："):
        if kind in _NEEDS_SPACE or line.continues or _MENTION.match(line.body):
            return None
        if "，" in line.body:
            return None
    elif _SPACED_MENTION.match(line.body):
        return None
    if _SENTENCE.search(line.body) or not _reads_as_title(line.title, line.body):
        return None
    return line.as_heading(kind)


def _judge_word(line: _Line) -> Numbered | None:
    """CHAPTER IV. The Storm; Section 3. The tenant pays the rent."""
    kind = line.match["word"].lower()
    separator = _SEPARATOR.match(line.rest)
    if not line.body.strip(".:"):
        return line.as_heading(kind)
    if separator is None:
        return None
    body = line.rest[separator.end() :].strip()
    inner = _INNER.match(body)
    if inner:
        kind = inner["word"].lower()
        body = body[inner.end() :].strip()
    elif not (_opens(body) or (separator["sign"] and not body[0].isdigit())):
        return None
    title = body.rstrip(".?!") if kind in _ENDS_WITH_STOP else body
    if (
        not title.endswith((".", "?", "!"))
        and not _SENTENCE.search(title)
        and _reads_as_title(line.title, title)
        and not line.goes_on
    ):
        return line.as_heading(kind)
    if kind in {"section", "article"} and separator["sign"] and _opens(body):
        return line.as_heading(kind, text_follows=True)
    return None


def _judge_decimal(line: _Line) -> Numbered | None:
    """4.2.1 Fees; 1. Scope."""
    numbers = line.match["decimal"].split(".")
    if any(len(number) > 1 and number.startswith("0") for number in numbers):
        return None
    body = line.body
    if len(body) < 2 or not _opens(body) or body.endswith((".", "?", "!")):
        return None
    if (
        line.goes_on
        or any(sign.match(body) for sign in (_MONTH, _MEASURE, _UNIT))
        or any(sign.search(body) for sign in (_SENTENCE, _VERB, _TABLE_ROW))
        or not _reads_as_title(line.title, body)
    ):
        return None
    return line.as_heading(str(len(numbers)), parts=tuple(map(int, numbers)))


def _opens(body: str) -> bool:
    """Whether a title or a sentence may begin so: with a capital, or in a script without."""
    first = body.lstrip("“‘\"'「『《【(（*_")[:1]
    return first.isalpha() and not first.islower()


def _reads_as_title(title: str, body: str) -> bool:
    return (
        _width(title) <= _LONGEST_LINE
        and len(title.split()) <= _MOST_WORDS
        and not _CONTENTS_ENTRY.search(body)
    )


def _width(line: str) -> int:
    """Count columns; a Chinese character takes two."""
    return len(line) + len(_WIDE.findall(line))


def _has_blank_lines(text: str) -> bool:
    """Whether paragraphs are set apart by blank lines: at least one line of ten is blank."""
    return len(_BLANK_LINE.findall(text)) * 10 >= text.count("\n")


def _lies_within(start: int, spans: Sequence[Span]) -> bool:
    place = bisect_right(spans, start, key=lambda span: span[0]) - 1
    return place >= 0 and start < spans[place][1]


def _depth(kind: str) -> int:
    return _RANK[kind] if kind in _RANK else len(_RANKS) + int(kind)


def _without_lists(text: str, found: Sequence[Numbered]) -> Iterator[Numbered]:
    """Drop tables of contents and numbered lists: lines with nothing but more of them between.

    Headings that directly follow each other go ever deeper. Where they do not, one that
    comes again later is an entry of a table of contents, and a decimal number an item.
    """
    last_place = {_key(heading): place for place, heading in enumerate(found)}
    begin = 0
    while begin < len(found):
        end = begin + 1
        while end < len(found) and _follows_directly(text, found[end - 1], found[end]):
            end += 1
        run = found[begin:end]
        depths = [_depth(heading.kind) for heading in run]
        if all(outer < inner for outer, inner in pairwise(depths)):
            yield from run
        else:
            seen: set[str] = set()
            for place, heading in enumerate(run, start=begin):
                key = _key(heading)
                if last_place[key] == place and (not heading.parts or key in seen):
                    yield heading
                seen.add(key)
        begin = end


def _follows_directly(text: str, before: Numbered, after: Numbered) -> bool:
    return not before.has_text and not text[before.end : after.start].strip()


def _key(heading: Numbered) -> str:
    return "".join(heading.title.split()).casefold()


def _in_sequence(found: Iterable[Numbered]) -> Iterator[Numbered]:
    """Drop decimal numbers that do not go on from the last one, and a single one like 3.5."""
    found = list(found)
    decimals = [heading.parts for heading in found if heading.parts]
    if len(decimals) == 1 and len(decimals[0]) < 3 and decimals[0][0] > 1:
        found = [heading for heading in found if not heading.parts]
    last: tuple[int, ...] = (0,)
    for heading in found:
        if heading.parts:
            restarts = max(heading.parts) <= 1
            goes_on = last < heading.parts and heading.parts[0] - last[0] <= _LARGEST_STEP
            if not (restarts or goes_on):
                continue
            last = heading.parts
        yield heading


def _without_repeats(found: Iterable[Numbered]) -> Iterator[Numbered]:
    """Drop the headers of pages, which repeat the heading that is open."""
    is_open: dict[str, str] = {}
    for heading in found:
        key = _key(heading)
        if is_open.get(heading.kind) == key and not heading.has_text:
            continue
        depth = _depth(heading.kind)
        is_open = {kind: title for kind, title in is_open.items() if _depth(kind) < depth}
        is_open[heading.kind] = key
        yield heading
