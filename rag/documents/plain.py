"""Plain text and Markdown: the decoded file, character for character."""

import re

from rag.documents import encoding
from rag.documents.parsed import Parsed
from rag.documents.sections import find_sections, front_matter, outline_markdown

_TITLE = re.compile(r"^title:([^\n\r]+)", re.MULTILINE)


def read_text(data: bytes, *, source: str) -> Parsed:
    """Decode a text file, and find the headings that their numbers give away.

    Raises
    ------
    UnreadableDocument
        The bytes are not text, or in no encoding that can be told.
    """
    text, codec = encoding.decode(data, source=source)
    return Parsed(text=text, sections=find_sections(text), metadata=(("encoding", codec),))


def read_markdown(data: bytes, *, source: str) -> Parsed:
    """Decode a Markdown file; its markup stays, and says where the headings are.

    Its title is the one in the YAML block at its start, else the first heading.

    Raises
    ------
    UnreadableDocument
        The bytes are not text, or in no encoding that can be told.
    """
    text, codec = encoding.decode(data, source=source)
    outline = outline_markdown(text)
    named = _TITLE.search(text, 0, front_matter(text)[1])
    titles = [named[1].strip().strip("\"'")] if named else []
    titles += [heading.title for heading in outline.headings]
    return Parsed(
        text=text,
        title=next(filter(None, titles), None),
        sections=find_sections(text, headings=outline.headings, paragraphs=outline.paragraphs),
        metadata=(("encoding", codec),),
    )
