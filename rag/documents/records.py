r"""CSV and JSON: the decoded file, whose unit is the line.

The text is the file character for character, so that a quotation can be looked up where it
stands, and so that no file is too wide, too deep or too broken: nothing is parsed. A CSV has
its rows as lines, and chunks repeat the first one where it names the columns (``tables``).

JSON is exact too, but for one thing: programs write 水费 as ``\u6c34\u8d39`` unless told
otherwise, which nobody can search or read. Such escapes become their characters, and the
metadata count them; the text is still JSON and means the same.
"""

import re

from rag.documents import encoding
from rag.documents.parsed import Parsed

_ESCAPE = re.compile(
    r"\\(?:u(?P<high>[dD][89abAB][0-9a-fA-F]{2})\\u(?P<low>[dD][c-fC-F][0-9a-fA-F]{2})"
    r"|u(?P<code>[0-9a-fA-F]{4})|.)",
    re.DOTALL,
)
_FIRST_LETTER = 0xA0
"""Below are ASCII and characters that control, which JSON escapes for a reason."""
_STAY = re.compile(r"[\u2028\u2029\ud800-\udfff\ufeff\ufffe\uffff]")
"""Line breaks, half characters, and what is no character."""


def read_csv(data: bytes, *, source: str) -> Parsed:
    """Decode a table of comma- or tab-separated values.

    Raises
    ------
    UnreadableDocument
        The bytes are not text, or in no encoding that can be told.
    """
    text, codec = encoding.decode(data, source=source)
    return Parsed(text=text, metadata=(("encoding", codec),))


def read_json(data: bytes, *, source: str) -> Parsed:
    """Decode JSON, or lines of it; valid or not, however wide and however deep.

    Its metadata have ``escapes``, the number of escaped characters, where there are any.

    Raises
    ------
    UnreadableDocument
        The bytes are not text, or in no encoding that can be told.
    """
    text, codec = encoding.decode(data, source=source)
    escapes = 0

    def unescaped(match: re.Match[str]) -> str:
        nonlocal escapes
        character = _character(match)
        escapes += character is not None
        return match[0] if character is None else character

    text = _ESCAPE.sub(unescaped, text)
    counted = (("escapes", escapes),) if escapes else ()
    return Parsed(text=text, metadata=(("encoding", codec), *counted))


def _character(match: re.Match[str]) -> str | None:
    """Tell which character an escape means; None where it is to stay."""
    if match["high"]:
        return chr(
            0x10000 + ((int(match["high"], 16) - 0xD800) << 10 | int(match["low"], 16) - 0xDC00)
        )
    code = int(match["code"] or "0", 16)
    return chr(code) if code >= _FIRST_LETTER and not _STAY.match(chr(code)) else None
