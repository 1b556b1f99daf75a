"""reStructuredText: the decoded file, character for character, with its titles as sections.

As with Markdown the markup is readable as it stands, and the text exact. A title is a line
with a rule under it, or with one over it too; which rule means which level each file decides
by the order in which it uses them (Docutils' specification, “Sections”).
"""

import re
from collections.abc import Iterator

from rag.documents import encoding
from rag.documents.parsed import Parsed
from rag.documents.sections import INNERMOST, Heading, find_sections

_LINE = re.compile(r"([^\n\r]*)(?:\r\n?|\n|\Z)")
_RULE = re.compile(r"([!-/:-@\[-`{-~])\1+[ \t]*")
_WIDE = re.compile(r"[\u2e80-\uffdc]")


def read(data: bytes, *, source: str) -> Parsed:
    """Decode a reStructuredText file and find its titles; its own is the first.

    Raises
    ------
    UnreadableDocument
        The bytes are not text, or in no encoding that can be told.
    """
    text, codec = encoding.decode(data, source=source)
    headings = list(_headings(text))
    return Parsed(
        text=text,
        title=headings[0].title if headings else None,
        sections=find_sections(text, headings=headings, paragraphs=()),
        metadata=(("encoding", codec),),
    )


def _headings(text: str) -> Iterator[Heading]:
    """Find the titles: what stands above a rule, behind a blank line or below the same rule."""
    styles: list[tuple[str, bool]] = []
    before_start, before, title_start, title = 0, "", 0, ""
    for line in _LINE.finditer(text):
        rule = _RULE.fullmatch(line[1])
        if rule and _is_title(title, len(rule[0].rstrip())):
            over = _RULE.fullmatch(before)
            style = (rule[1], over is not None and over[1] == rule[1])
            if style[1] or (title[0] not in " \t" and (over or _ends_block(before))):
                if style not in styles:
                    styles.append(style)
                level = min(styles.index(style) + 1, INNERMOST)
                yield Heading(title.strip(), level, before_start if style[1] else title_start)
        before_start, before, title_start, title = title_start, title, line.start(), line[1]


def _is_title(line: str, width: int) -> bool:
    words = line.strip()
    return bool(words) and not _RULE.fullmatch(line) and len(words) + _n_wide(words) <= width


def _n_wide(words: str) -> int:
    """Count the characters that are two columns wide."""
    return len(_WIDE.findall(words))


def _ends_block(line: str) -> bool:
    """Whether a title may follow: a blank line, or the target of a link to the title."""
    return not line.strip() or line.startswith(".. ")
