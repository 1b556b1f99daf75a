"""Subtitles become text: what is said, in paragraphs of about a minute.

A cue is half a sentence with two times around it; searched and quoted as it stands, SRT and
WebVTT are mostly numbers. So the text is their words, each cue a line, and a section begins
about every minute, where a sentence ends: its title, “0:12:30”, is when it is said.

Marks of style go, speakers (``<v Ann>``) come before what they say. Captions that are made as
one speaks show each line twice, in one cue and in the next; the second goes, and the metadata
count such lines.
"""

import html
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rag.documents import encoding
from rag.documents.parsed import Parsed
from rag.documents.sections import Heading, find_sections
from rag.errors import UnreadableDocument
from rag.sentences import TERMINATED

_SECTION_S = 60
"""Seconds until a new section may begin; some 150 words."""
_LONGEST_S = 120
"""Seconds until one begins though no sentence ends, as captions without punctuation need."""
_NEWLINE = re.compile(r"\r\n?|\n")
_TIMING = re.compile(
    r"[ \t]*(?:(?P<hours>\d{1,4}):)?(?P<minutes>\d{1,2}):(?P<seconds>\d{1,2})[.,]\d{1,3}"
    r"[ \t]*-->[ \t]*(?:\d{1,4}:)?\d{1,2}:\d{1,2}[.,]\d{1,3}"
)
_VOICE = re.compile(r"<v(?:\.[^\s>]{0,50})?[ \t]+([^<>]{1,80})>")
_TAG = re.compile(r"</?[A-Za-z0-9][^<>]{0,100}>|\{\\[^{}]{0,100}\}")
_SPACES = re.compile(r"\s+")


@dataclass(frozen=True, slots=True)
class _Cue:
    """What is shown at a time."""

    start_s: int
    lines: Sequence[str]


def read(data: bytes, *, source: str) -> Parsed:
    """Read an SRT or WebVTT file.

    Raises
    ------
    UnreadableDocument
        It cannot be decoded, or has no line of times.
    """
    written, codec = encoding.decode(data, source=source)
    cues = list(_cues(_NEWLINE.split(written)))
    if written.strip() and not cues:
        message = f"{source!r} has no cue like '00:01:02,000 --> 00:01:04,000'; rename it to .txt"
        raise UnreadableDocument(message, source=source)
    parts: list[str] = []
    headings: list[Heading] = []
    length = repeated = begun_s = 0
    last = ""
    for cue in cues:
        for line in cue.lines:
            if line == last:
                repeated += 1
                continue
            past_s = cue.start_s - begun_s
            if not parts or past_s >= (_SECTION_S if TERMINATED.search(last) else _LONGEST_S):
                begun_s = cue.start_s
                headings.append(Heading(_clock(begun_s), 1, length + 2 * bool(parts)))
                parts.append(("\n\n" if parts else "") + _clock(begun_s))
                length += len(parts[-1])
            parts.append(f"\n{line}")
            length += len(parts[-1])
            last = line
    text = "".join(parts)
    metadata = (("repeated_lines", repeated),) if repeated else ()
    return Parsed(
        text=text,
        sections=find_sections(text, headings=headings, paragraphs=()),
        metadata=(("encoding", codec), *metadata),
    )


def _cues(lines: Sequence[str]) -> Iterator[_Cue]:
    """Find the lines of times; what follows up to a blank line is shown then."""
    place = 0
    while place < len(lines):
        timing = _TIMING.match(lines[place])
        place += 1
        if timing is None:
            continue  # A number, a note, a style.
        shown = []
        while place < len(lines) and lines[place].strip() and not _TIMING.match(lines[place]):
            shown.append(_plain(lines[place]))
            place += 1
        hours, minutes, seconds = (int(timing[name] or 0) for name in timing.groupdict())
        yield _Cue(hours * 3600 + minutes * 60 + seconds, [line for line in shown if line])


def _plain(line: str) -> str:
    """Drop the marks of a line; who speaks is text."""
    return _SPACES.sub(" ", html.unescape(_TAG.sub("", _VOICE.sub(r"\1: ", line)))).strip()


def _clock(seconds: int) -> str:
    return f"{seconds // 3600}:{seconds // 60 % 60:02}:{seconds % 60:02}"
