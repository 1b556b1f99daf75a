"""Where sentences begin and end, in English and Chinese, as offsets.

1. Every place where a sentence may end is found in one pass: terminators with the closing
   quotes, brackets and reference marks behind them, and line breaks.
2. A Chinese terminator (。！？；…) ends one, unless it stands inside a title (《谁？》) or a
   comma follows. A Latin one (. ! ?) does before white space, unless the word before it is
   an abbreviation, an initial or the number of an item, or the text goes on in lower case.
3. A blank line always ends one. A single line break does too (heading, list item, table
   row, turn of a conversation), unless it looks like the wrapping of a paragraph.

Spans are trimmed of white space and together hold every other character of the text.
Where English leaves both open, two sentences stay one: half a sentence misleads a reader
more than two do.
"""

import re
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain, islice

from rag.types import Count, Span

_CLOSERS = "”’」』】》〉〕］）｝\"')]}»"
_OPENERS = "“‘「『【《〈〔［（｛\"'([{«—–-"
_CJK = "\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff"
_CLOSING = rf"(?:[{re.escape(_CLOSERS)}*_]|\[\d{{1,3}}\])*+"
"""With the asterisks of Markdown's emphasis and the marks of footnotes, as in “end.[12]”."""
TERMINATED = re.compile(rf"[.!?。！？；…｡]{_CLOSING}\Z")
"""Text that ends like a sentence."""
_NEWLINE = r"(?:\r\n|[\n\r\u2028\u2029])"
# Possessive repeats and the look-behind keep this linear on a megabyte of dots or blanks.
_BREAK = re.compile(
    rf"(?P<chinese>[。！？；…｡][。！？；…｡!?]*+)(?P<closing>{_CLOSING})"
    rf"|(?P<latin>(?<![.!?])[.!?]++{_CLOSING})(?=\s|\Z|[{_CJK}]|[—–]+[“\"]?[A-Z])"
    rf"|(?P<line>{_NEWLINE}\s*+)"
)
_NEWLINES = re.compile(_NEWLINE)
_NOT_YET = tuple("，、：:,;)。！？；…｡")
"""What goes on with the sentence whose quotation has just ended, or ends it once more."""
_WORD_BEFORE = re.compile(r"[^\W_\u2e80-\u9fff]+(?:\.[^\W_\u2e80-\u9fff]+)*\Z")
_LOOK = 24
"""Characters in which the word before a full stop and the one behind it are looked for."""

# Words whose full stop is not an end; ours, from what style guides list. Some of them never
# end a sentence, some are abbreviations only before a number, and some may end one.
_NEVER_END = frozenset(
    (  # noqa: SIM905 - a list would take a line a word
        "mr mrs ms dr prof rev hon st messrs mme mlle gen col capt lt sgt gov sen rep pres fr "
        "vs cf eg ie e.g i.e viz approx appx ca"
    ).split()
)
_BEFORE_NUMBER = frozenset(
    (  # noqa: SIM905 - a list would take a line a word
        "no nos vol vols pp p ch chs fig figs eq eqs sec secs art arts par para paras tel ext est "
        "max min jan feb mar apr jun jul aug sep sept oct nov dec mon tue wed thu fri sat sun"
    ).split()
)
_MAY_END = frozenset(
    (  # noqa: SIM905 - as above
        "etc al inc ltd co corp jr sr bros dept univ assn ed eds trans ph.d mt ft ave blvd rd"
    ).split()
)
_NUMBER = re.compile(r"[A-Z]?\d|[IVXLC]+\b(?! [a-z])")
_DOTTED = re.compile(r"[^\W\d_](?:\.[^\W\d_])*")
"""An initial, or a word of them: the U.S, 5 p.m, J. Austen."""
_BEGINS = re.compile(
    r"(?:The|An?|In|On|At|Its?|This|That|These|Those|He|She|His|Her|They|Their|We|Our|You|Your"
    r"|I|My|But|And|Or|So|If|When|While|Where|Who|What|Why|How|There|Then|For|As|After|Before"
    r"|By|With|To|From|No|Not|Each|All|Any|Some|Both|One|However|Although|Because|Since|Under"
    r"|Until|Unless|Such|Yet|Now|Here|During|Upon|Once|Whether|Which)(?=[\s,’'])"
)
"""Words that are no names; with a capital they begin a sentence."""
_ITEM_NUMBER = re.compile(r"\d{1,3}(?:\.\d{1,3})*|[A-Za-z]|[ivx]{1,5}|[IVX]{1,5}")
_ITEM_MARKS = " \t\u3000#>*_(-"
_LINE_ENDS = tuple("\n\r\u2028\u2029")

_WIDEST = 130
"""Columns, a Chinese character taking two. A longer line is a paragraph of its own."""
_WRAPPED_FROM = 40
"""Columns. A shorter line is a line of its own …"""
_LOWER_FROM = 30
"""… unless the next goes on in lower case, as in the narrow columns of a journal."""
_RAGGED = 0.8
"""Had the first word of the next line found room, up to so much of that line's width, the
line would not have been broken there. Proportional type makes widths differ by a fifth."""
_OWN_LINE = re.compile(
    r"[-*+–]\s|[•·▪◦‣①-⑳|>]|#{1,6}\s"
    r"|[(（]?(?:\d{1,3}|[a-z]|[ivx]{1,5}|[一二三四五六七八九十]{1,3})[.)、）](?!\d)"
    r"|第[0-9〇零一二三四五六七八九十百千]+[编卷章节条]"
    r"|[A-Z][\w'’-]*(?: [\w'’.-]+){0,3}:\s"
)
"""An item, a heading, a row, a quotation, a turn of a conversation."""
_ROW = re.compile(r"\t|\S {3,}\S|\A[#|>]|[:：]\Z")
"""A line that the next does not continue: columns, a heading, the introduction of a list."""
_AMOUNT = re.compile(r"(?:\A|\s)[-+(]?[$€£¥]?\d(?:[\d,.]*\d)?[)%]*\Z")
"""What the rows of a table end in. In prose hardly two lines in a row do, where a new one does
not go on in lower case."""
_WIDE = re.compile(r"[\u2e80-\uffdc]")


def split_sentences(text: str) -> list[Span]:
    """Find the sentences of a text.

    Parameters
    ----------
    text : any text; English and Chinese are known, others end at the same signs.

    Returns
    -------
    list of (start, end)
        Ascending, disjoint, trimmed of white space; every character that is not white
        space lies in one. Empty for a blank text. O(n) for n characters.

    Examples
    --------
    >>> text = 'Dr. Lin paid 3.5 yuan. “Why?” 他说：“走吧。”然后走了。'
    >>> [text[start:end] for start, end in split_sentences(text)]
    ['Dr. Lin paid 3.5 yuan.', '“Why?”', '他说：“走吧。”', '然后走了。']
    """
    return list(_trimmed(text, 0, len(text), _ends(text)))


def _ends(text: str) -> Iterator[int]:
    """Yield the offsets where a sentence ends, ascending."""
    line_start = counted = quotes = 0
    for match in _BREAK.finditer(text):
        if match["line"] is not None:
            if not _is_wrapped(text, line_start, match):
                yield match.start()
                quotes = 0
            line_start = counted = match.end()
        elif match["chinese"] is None:
            if _ends_latin(text, match):
                yield match.end()
        elif _ends_chinese(text, match):
            # A straight quote closes only where one is open; else it opens the next sentence.
            quotes += text.count('"', counted, match.end("chinese"))
            counted = match.end("chinese")
            opening = -1 if quotes % 2 else match["closing"].find('"')
            yield match.end() if opening < 0 else match.start("closing") + opening


def _ends_chinese(text: str, match: re.Match[str]) -> bool:
    """Whether a Chinese terminator ends a sentence."""
    if match["closing"].endswith(("》", "〉")):
        return False
    if set(match["chinese"]) == {"…"}:
        following = _following(text, match.end())
        if following[:1].islower() or following[:1].isdigit():
            return False
    return not text.startswith(_NOT_YET, match.end())


def _ends_latin(text: str, match: re.Match[str]) -> bool:
    """Whether a full stop, exclamation or question mark ends a sentence."""
    following = _following(text, match.end())
    begun = following.lstrip(_OPENERS)
    if begun[:1].islower() or following.startswith((".", "!", "?", ",", ";")):
        return False
    if match["latin"].endswith(("》", "〉")):
        return False
    if _WIDE.match(text, match.end()) and match["latin"][-1] in ".!?":
        # Before a Chinese character without a blank: “Yahoo!公司”, “图1.系统”.
        return bool(_WIDE.match(text, match.start() - 1))
    if not match["latin"].startswith(".") or match["latin"].startswith(".."):
        return True
    before = _WORD_BEFORE.search(text, max(0, match.start() - _LOOK), match.start())
    return before is None or _may_end(text, before, following, begun)


def _may_end(text: str, before: re.Match[str], following: str, begun: str) -> bool:
    """Whether the full stop behind a word is more than the mark of an abbreviation."""
    word = before[0].lower()
    if word in _NEVER_END:
        return False
    if word in _BEFORE_NUMBER:
        return not _NUMBER.match(following)
    if _ITEM_NUMBER.fullmatch(before[0]) and _begins_line(text, before.start()):
        return False
    if word in _MAY_END or (_DOTTED.fullmatch(word) and before[0] != "I"):
        return bool(_BEGINS.match(begun)) or (len(word) == 1 and before[0].islower())
    return True


def _begins_line(text: str, place: int) -> bool:
    lead = text[max(0, place - _LOOK) : place].rstrip(_ITEM_MARKS)
    return not lead or lead.endswith(_LINE_ENDS)


def _following(text: str, place: int) -> str:
    return text[place : place + _LOOK].lstrip()


def _is_wrapped(text: str, line_start: int, match: re.Match[str]) -> bool:
    """Whether a line break only wraps a paragraph."""
    if match.end() == len(text) or len(_NEWLINES.findall(match["line"])) > 1:
        return False
    line = text[max(line_start, match.start() - _WIDEST - 1) : match.start()].strip()
    following = _NEWLINES.split(text[match.end() : match.end() + _WIDEST + 1], maxsplit=1)[0]
    if _OWN_LINE.match(following) or _ROW.search(line):
        return False
    width = _columns(line)
    first = following.lstrip(_OPENERS)[:1]
    if first.islower():
        return width >= _LOWER_FROM
    if _AMOUNT.search(line) and _AMOUNT.search(following.rstrip()):
        return False
    if not (first.isalnum() and _WRAPPED_FROM <= width <= _WIDEST):
        return False
    word = 2 if _WIDE.match(first) else len(following.split(maxsplit=1)[0])
    return width + 1 + word >= _RAGGED * _columns(following)


def _columns(line: str) -> int:
    return len(line) + len(_WIDE.findall(line))


def _trimmed(text: str, start: int, end: int, ends: Iterable[int]) -> Iterator[Span]:
    """Yield the stretches between ends without the white space around them."""
    for stop in chain(ends, (end,)):
        if stop <= start:
            continue
        stretch = text[start:stop]
        left = len(stretch) - len(stretch.lstrip())
        if left < len(stretch):
            yield start + left, start + len(stretch.rstrip())
        start = stop


# What may end a part of a sentence that is too long to stay whole, best first. A comma inside
# a number and the colon of an address end nothing.
_CLAUSE = re.compile(
    rf"(?:[，、；：—）]|--)+{_CLOSING}|[,;:)]+{_CLOSING}(?=\s|\Z|[{_CJK}])|[\n\r\u2028\u2029|]\s*+"
    r"|,(?=[\"{\[])"  # As in JSON.
)
_WORD = re.compile(rf"\s++|(?<=[{_CJK}])(?=[{_CJK}])")
_JOINED = re.compile(
    r"(?<=\u200d)."
    r"|[\u0300-\u036f\u200d\ufe00-\ufe0f\U0001f3fb-\U0001f3ff\U000e0100-\U000e01ef]"
    rf"|[。！？；…｡，、：{re.escape(_CLOSERS)}]",
    re.DOTALL,
)
"""Marks, joiners, skin tones and what closes belong to the character before them."""
_LONGEST_MARKS = 16
"""So many of them are kept with their character; no writing needs more."""
_RUN = 64
"""Words that are tried at once."""
_UNBROKEN = 4096
"""Characters of a run without a place to cut that are tried at once."""


def split_to_fit(text: str, start: int, end: int, *, fits: Callable[[str], bool]) -> list[Span]:
    """Cut a stretch of text into parts that fit: at clauses, then at words, then anywhere.

    Parameters
    ----------
    start, end : the stretch, in characters of ``text``.
    fits : whether a part is short enough; a single character is taken whatever it says.

    Returns
    -------
    list of (start, end)
        Ascending, trimmed of white space; every other character of the stretch lies in
        one. The stretch itself where it fits. Neighbours may be joined again by the caller
        as far as they fit together. O(n) for n characters, if ``fits`` is in its part.
    """
    return list(_fitting(text, start, end, fits))


def _fitting(text: str, start: int, end: int, fits: Callable[[str], bool]) -> Iterator[Span]:
    if fits(text[start:end]):
        yield from _trimmed(text, start, end, ())
        return
    clauses = (match.end() for match in _CLAUSE.finditer(text, start, end))
    for clause in _trimmed(text, start, end, clauses):
        if fits(text[slice(*clause)]):
            yield clause
            continue
        for run in _trimmed(text, *clause, _runs(text, *clause, fits)):
            if fits(text[slice(*run)]):
                yield run
            else:
                yield from _cut(text, *run, fits)


def _runs(text: str, start: int, end: int, fits: Callable[[str], bool]) -> Iterator[int]:
    """Yield where runs of words end that fit, or single words that do not."""
    ends = chain((match.end() for match in _WORD.finditer(text, start, end)), (end,))
    waiting: list[int] = []
    taken = _RUN
    while True:
        waiting.extend(islice(ends, _RUN - len(waiting)))
        if not waiting:
            return
        taken = _most(text, start, waiting[: 2 * taken], fits)
        start = waiting[taken - 1]
        del waiting[:taken]
        yield start


def _cut(text: str, start: int, end: int, fits: Callable[[str], bool]) -> Iterator[Span]:
    """Cut a run that has no natural place to cut."""
    taken = _UNBROKEN
    while start < end:
        ends = range(start + 1, min(start + min(2 * taken, _UNBROKEN), end) + 1)
        taken = _most(text, start, ends, fits)
        stop = start + taken
        marks = 0
        while stop - marks < end and _JOINED.match(text, stop - marks) and marks < _LONGEST_MARKS:
            marks += 1
        # Without them the part may count more: its letters alone may be no unknown word.
        if 0 < marks < min(taken, _LONGEST_MARKS) and fits(text[start : stop - marks]):
            stop -= marks
        yield start, stop
        start = stop


def _most(text: str, start: int, ends: Sequence[int], fits: Callable[[str], bool]) -> int:
    """Tell how many of the ends can be reached from the start: as many as fit, or one.

    Of many only every eighth is tried, since each try costs a count. Callers offer twice as
    many as they took last, and the same number is tried first: about four tries a part.
    """
    if len(ends) == 1 or fits(text[start : ends[-1]].strip()):
        return len(ends)
    step = max(1, len(ends) // 8)
    tried = range(step, len(ends), step)
    fitting = bisect_left(tried, 1, key=lambda n: not fits(text[start : ends[n - 1]].strip()))
    return tried[fitting - 1] if fitting else _most(text, start, ends[:step], fits)


def windows(text: str, *, limit: int, count: Count) -> list[str]:
    """Split a text into windows of whole sentences, none over a limit of tokens.

    Parameters
    ----------
    limit : the most tokens of a window; it has at most 16 characters a token, too.
    count : counts them, special tokens included.

    Returns
    -------
    list of str
        In the text's order; the text itself, stripped, where it fits; empty if blank. A
        sentence that does not fit is cut as `split_to_fit` does.
    """

    def fits(part: str) -> bool:
        # The bound keeps a megabyte of one unknown token from being counted again and again.
        return len(part) <= limit * 16 and count(part) <= limit

    stripped = text.strip()
    if not stripped:
        return []
    if fits(stripped):
        return [stripped]
    parts = [
        part
        for sentence in split_sentences(stripped)
        for part in split_to_fit(stripped, *sentence, fits=fits)
    ]
    found: list[str] = []
    left, right = parts[0]
    for start, end in parts[1:]:
        if not fits(stripped[left:end]):
            found.append(stripped[left:right])
            left = start
        right = end
    return [*found, stripped[left:right]]
