"""A text in which words are found whatever white space parts them.

1. Words are looked for as they are.
2. Then with each run of white space, in the text and in the words, taken for one space.
3. Then also with a line break between two Chinese characters taken for nothing: Chinese that
   was wrapped, as in a PDF, is copied without its line breaks.

Nothing else may differ. The place found is one of the text as it is.
"""

import re
from bisect import bisect_right
from functools import cache, cached_property

from rag.terms import CHINESE
from rag.types import Span

_PIECE = re.compile(r"\S+")
_WIDE_CHARACTERS = rf"[{CHINESE}\u3000-\u303f\uff01-\uff65“”‘’…—]"
_WIDE = re.compile(_WIDE_CHARACTERS)
_WRAPPED = re.compile(rf"{_WIDE_CHARACTERS}[ \t]*(?:\r\n|\n|\r)[ \t]*\Z")


class Searchable:
    """A text to find words in.

    Parameters
    ----------
    text : is squeezed, in O(n), when words are not found as they are, and then at most twice.
    """

    def __init__(self, text: str) -> None:
        self._text = text
        self._find = cache(self._look_up)

    def find(self, words: str) -> Span | None:
        r"""Find the first place of words.

        Parameters
        ----------
        words : not blank, without white space at either end.

        Returns
        -------
        (start, end) or None
            None where they stand nowhere.

        Examples
        --------
        >>> Searchable("The pilot\nboards first.").find("pilot boards")
        (4, 16)
        >>> Searchable("The pilot\nboards first.").find("pilotboards")
        """
        return self._find(words)

    def _look_up(self, words: str) -> Span | None:
        start = self._text.find(words)
        if start >= 0:
            return start, start + len(words)
        found = self._spaced.find(words)
        if found is None and self._unwrapped.text != self._spaced.text:
            found = self._unwrapped.find(words)
        return found

    @cached_property
    def _spaced(self) -> "_Squeezed":
        return _Squeezed(self._text, unwrap=False)

    @cached_property
    def _unwrapped(self) -> "_Squeezed":
        return _Squeezed(self._text, unwrap=True)


class _Squeezed:
    """A text without superfluous white space, and the way back."""

    def __init__(self, text: str, *, unwrap: bool) -> None:
        self._unwrap = unwrap
        self._origins: list[int] = []
        self._starts: list[int] = []
        """Where each piece between white space begins, in the text and when squeezed."""
        pieces: list[str] = []
        length = 0
        for match in _PIECE.finditer(text):
            space = "" if not pieces or (unwrap and _is_wrap(text, match.start())) else " "
            pieces.append(space + match[0])
            self._origins.append(match.start())
            self._starts.append(length + len(space))
            length += len(pieces[-1])
        self.text = "".join(pieces)

    def find(self, words: str) -> Span | None:
        """Find words, squeezed in the same way."""
        squeezed = _Squeezed(words, unwrap=self._unwrap).text
        start = self.text.find(squeezed)
        if start < 0:
            return None
        return self._origin(start), self._origin(start + len(squeezed) - 1) + 1

    def _origin(self, place: int) -> int:
        piece = bisect_right(self._starts, place) - 1
        return self._origins[piece] + place - self._starts[piece]


def _is_wrap(text: str, start: int) -> bool:
    """Whether one line break, and nothing but blanks, parts the piece from Chinese before it."""
    before = _WRAPPED.search(text, max(0, start - 8), start)
    return before is not None and _WIDE.match(text, start) is not None
