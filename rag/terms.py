"""Texts become terms, the units of lexical search.

1. What looks the same becomes the same: compatibility forms (full-width letters, ligatures)
   by NFKC, then case; accents of Latin letters fall, and so do soft hyphens and joiners.
2. English words lose stop words and are stemmed (Snowball). Identifiers (``ISO-9001``,
   ``v2.1``, ``snake_case``, ``C++``) count whole and in their parts, and hyphens make no
   difference: ``e-mail`` is ``email`` too. A number counts without the commas between its
   thousands, initials without their full stops.
3. A run of Chinese characters gives its overlapping bigrams; a single character between
   other signs gives itself. Every character is also kept apart, as `characters`, for a
   query that has only one. Other scripts that put no spaces between words, or append
   particles to them (Japanese, Korean, Thai …), are treated alike.

The rules shape the index, so their version is written into it.
"""

import re
import unicodedata
from collections.abc import Iterator
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import Stemmer

RULES_VERSION = "1"
"""Raised whenever a text's terms change; an index of another version is made again."""

CHINESE = r"\u3005-\u3007\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U000323af"
_RUNNING = (
    CHINESE
    + r"\u3041-\u3096\u309d-\u309f\u30a1-\u30fa\u30fc-\u30ff\uac00-\ud7a3"  # Kana, Hangul.
    + r"\u0e01-\u0e3a\u0e40-\u0e4e\u0e81-\u0ece\u1000-\u103f\u1780-\u17d3"  # Thai to Khmer.
)
"""Scripts whose words cannot be told apart by their spaces."""
_MARKS = "".join(
    character
    for character in map(chr, range(0x300, 0x1D00))
    if unicodedata.category(character).startswith("M")
)
"""Accents and vowel signs, which Python's ``\\w`` leaves out of words."""
_WORD = rf"[^\W_{_RUNNING}]+(?:[{_MARKS}]+[^\W_{_RUNNING}]*)*"
_TERM = re.compile(
    rf"(?P<running>[{_RUNNING}]+)"
    r"|(?P<number>(?<!\d,)\d{1,3}(?:,\d{3})+(?:\.\d+)?(?!\d|,\d))"
    r"|(?P<signed>[A-Za-z](?:\+\+|#)(?!\w))"
    rf"|(?P<word>{_WORD}(?:(?:['./@&+-]|_+){_WORD})*)"
)
_RUN = re.compile(rf"[{_RUNNING}]{{2,}}")
_INVISIBLE = dict.fromkeys((0x00AD, 0x200B, 0x200C, 0x200D, 0x2060, 0xFEFF))
"""Soft hyphens, joiners and blanks of no width."""
_ALIKE = {0x2019: "'", 0x2010: "-"}
"""Apostrophe and hyphen as typesetters write them; NFKC leaves them."""
_SIMPLE = re.compile(r"[^\d'./@&+_-]+|\d+")
_PART = re.compile(r"[^\W\d_]{2,}|\d{2,}(?:\.\d+)*|\d(?:\.\d+)+")
"""A part of an identifier; single letters and digits would be found everywhere."""
_INITIALS = re.compile(r"[^\W\d_](?:\.[^\W\d_])+")
_CONTRACTION = re.compile(r"'(?:s|re|ve|m|ll|d)?$")
_LONGEST = 64
"""Characters of a term; of a longer one, which nobody types, the beginning counts."""
STOP_WORDS = frozenset(
    (  # noqa: SIM905 - a list would take a line a word
        "a an and are as at be been but by can could did do does for from had has have he her hers "
        "him his how i if in into is it its me my no nor not of on or our ours shall she should so "
        "some such than that the their theirs them then there these they this those to too us was "
        "we were what when where which while who whom whose why will with would you your yours"
    ).split()
)
"""English words too common to tell texts apart; ours, the usual function words."""
_NAMES = frozenset({"IT", "US", "WHO"})
"""In capitals these are no stop words."""


def terms(text: str) -> list[str]:
    """List the terms of a text, in order, repeats included. O(n) for n characters.

    Examples
    --------
    >>> terms("The pilots boarded per ISO-9001 at 3.5 knots")
    ['pilot', 'board', 'per', 'iso9001', 'iso', '9001', '3.5', 'knot']
    >>> terms("故乡的明月")
    ['故乡', '乡的', '的明', '明月']
    """
    return [term[:_LONGEST] for match in _TERM.finditer(_normal(text)) for term in _of(match)]


def characters(text: str) -> list[str]:
    """List the characters of a text that stand in runs of two or more without spaces.

    With `terms` they make every Chinese character findable, also by a query of one.
    """
    return [character for run in _RUN.findall(_normal(text)) for character in run]


def language(text: str) -> str:
    """Tell which of the two known languages a text is mostly in: "zh" or "en".

    Chinese characters carry about as much as half a word, so a text is Chinese when it has
    more of them than Latin words; what is neither counts as English.
    """
    chinese = len(re.findall(rf"[{CHINESE}]", text))
    return "zh" if chinese > len(re.findall(r"[A-Za-z]+", text)) else "en"


def _normal(text: str) -> str:
    """Bring the variants of a character to one, but leave capitals."""
    if text.isascii():
        return text
    return unicodedata.normalize("NFKC", text.translate(_INVISIBLE)).translate(_ALIKE)


def _of(match: re.Match[str]) -> Iterator[str]:
    """Yield the terms of a run, a number or a word."""
    run = match["running"]
    if run is not None:
        yield from (run[i : i + 2] for i in range(max(1, len(run) - 1)))
    elif match["number"] is not None:
        yield match["number"].replace(",", "")
    elif match["signed"] is not None:
        yield match["signed"].casefold()
    else:
        yield from _of_word(match["word"])


def _of_word(word: str) -> Iterator[str]:
    plain = _unaccented(word.casefold())
    if plain.endswith("n't"):
        return  # Only auxiliary verbs are contracted so.
    plain = _CONTRACTION.sub("", plain)
    if _SIMPLE.fullmatch(plain):
        if plain not in STOP_WORDS or word[: len(plain)] in _NAMES:
            yield _stem(plain)
        return
    if _INITIALS.fullmatch(plain):
        yield plain.replace(".", "")
        return
    parts = [part for part in _PART.findall(plain) if part not in STOP_WORDS]
    if parts != [plain]:
        joined = plain.replace("'", "").replace("-", "")
        # Joined, the days of a date or the ends of a range would look like another number.
        yield plain if joined.isdecimal() else _stem(joined)
    yield from map(_stem, parts)


def _unaccented(word: str) -> str:
    """Drop the accents of a word in Latin letters; elsewhere they make other letters."""
    if word.isascii():
        return word
    letters = [c for c in unicodedata.normalize("NFD", word) if not unicodedata.combining(c)]
    plain = "".join(letters)
    return plain if plain.isascii() else word


def _stem(word: str) -> str:
    return str(_stemmer().stemWord(word)) if word.isascii() and word.isalpha() else word


@cache
def _stemmer() -> "Stemmer.Stemmer":
    import Stemmer  # noqa: PLC0415 - a search that finds nothing English needs none

    return Stemmer.Stemmer("english")
