"""Mail becomes text: who wrote to whom and when, what about, and the message.

1. The standard library takes the message apart; nothing is fetched, opened or verified.
2. First come the lines From, To, Cc, Date and Subject, decoded; then the message, as plain
   text where it has that, else as its HTML shows (``html``).
3. A message that was forwarded as an attachment is read the same way, as a section below.
   Other attachments are listed by name, kind and size; save them to have them read.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.errors import MessageError
from email.header import decode_header
from email.message import Message
from email.utils import collapse_rfc2231_value
from itertools import starmap

from rag.documents import archives, encoding, html
from rag.documents.parsed import Parsed
from rag.documents.sections import Heading, find_sections
from rag.errors import UnreadableDocument

MOST_PARTS = 1_000
"""Parts of a message, those of messages in it included; a letter has five."""
DEEPEST = 20
"""Messages in messages, and parts in parts."""
_SHOWN = ("From", "To", "Cc", "Date", "Subject")
_SPACES = re.compile(r"\s+")
_LONGEST_HEADER = 100_000
"""Characters; a list of a thousand addresses takes half."""


def read(data: bytes, *, source: str) -> Parsed:
    """Read an .eml file; its title is the subject.

    Raises
    ------
    UnreadableDocument
        A text in it cannot be decoded, it is no mail, or nested too deep.
    """
    with archives.damage_told(source, MessageError):
        message = message_from_bytes(data, policy=policy.compat32)
        letter = _Letter(source)
        if not any(message[name] for name in _SHOWN):
            message_text = f"{source!r} is no mail: it has none of {', '.join(_SHOWN)}"
            raise UnreadableDocument(message_text, source=source)
        letter.add(message, level=1)
    text = "".join(letter.parts)
    return Parsed(
        text=text,
        title=_header(message, "Subject") or None,
        sections=find_sections(text, headings=letter.headings, paragraphs=()),
        metadata=(("attachments", letter.n_attachments),) if letter.n_attachments else (),
    )


@dataclass(slots=True)
class _Letter:
    """The text as it is written."""

    source: str
    parts: list[str] = field(default_factory=list)
    headings: list[Heading] = field(default_factory=list)
    n_attachments: int = 0
    _length: int = 0
    _n_parts: int = 0

    def add(self, message: Message, *, level: int) -> None:
        """Add a message with what it carries."""
        head = [(name, _header(message, name)) for name in _SHOWN]
        start = self._add("\n".join(f"{name}: {value}" for name, value in head if value))
        subject = dict(head)["Subject"]
        if subject:
            self.headings.append(Heading(subject, level, start))
        attached: list[str] = []
        inner: list[Message] = []
        self._add_part(message, level, attached, inner)
        if attached:
            self._add("Attachments:\n" + "\n".join(f"- {line}" for line in attached))
            self.n_attachments += len(attached)
        for forwarded in inner:
            self.add(forwarded, level=level + 1)

    def _add_part(
        self, part: Message, depth: int, attached: list[str], inner: list[Message]
    ) -> None:
        """Add the text of a part, or note what it carries."""
        self._n_parts += 1
        if depth > DEEPEST or self._n_parts > MOST_PARTS:
            limit = f"{DEEPEST} levels" if depth > DEEPEST else f"{MOST_PARTS:,} parts"
            message = f"{self.source!r} has more than {limit}; save the messages in it one by one"
            raise UnreadableDocument(message, source=self.source)
        kind = part.get_content_type()
        if kind == "message/rfc822":
            inner += list(_children(part))[:1]
        elif part.is_multipart():
            chosen = _chosen(part) if kind == "multipart/alternative" else _children(part)
            for child in chosen:
                self._add_part(child, depth + 1, attached, inner)
        elif part.get_content_disposition() != "attachment" and kind in {"text/plain", "text/html"}:
            self._add(self._text(part, kind))
        else:
            attached.append(_attachment(part))

    def _text(self, part: Message, kind: str) -> str:
        contents = _payload(part)
        declared = part.get_content_charset()
        if kind == "text/plain":
            return encoding.decode(contents, source=self.source, declared=declared)[0]
        if declared is None:
            markup, _ = html.decode(contents, source=self.source)
        else:
            markup, _ = encoding.decode(contents, source=self.source, declared=declared)
        return html.render(markup, source=self.source).text

    def _add(self, written: str) -> int:
        """Add a block, and tell where it starts."""
        written = written.replace("\r\n", "\n").strip()
        gap = "\n\n" if self._length and written else ""
        start = self._length + len(gap)
        if written:
            self.parts.append(gap + written)
            self._length = start + len(written)
        return start


def _children(part: Message) -> Iterator[Message]:
    payload = part.get_payload()
    yield from (
        (child for child in payload if isinstance(child, Message))
        if isinstance(payload, list)
        else ()
    )


def _chosen(part: Message) -> list[Message]:
    """Choose among versions of the same text: the plain one, else the last, which is richest."""
    versions = list(_children(part))
    plain = [version for version in versions if version.get_content_type() == "text/plain"]
    filled = [version for version in plain if _payload(version).strip()]
    return filled[:1] or versions[-1:]


def _payload(part: Message) -> bytes:
    payload = part.get_payload(decode=True)
    return payload if isinstance(payload, bytes) else b""


def _attachment(part: Message) -> str:
    name = part.get_param("filename", header="content-disposition") or part.get_param("name")
    written = _decoded(collapse_rfc2231_value(name)) if name else "without a name"
    return f"{written} ({part.get_content_type()}, {len(_payload(part)):,} bytes)"


def _header(message: Message, name: str) -> str:
    """Read a header; several of one name are joined."""
    found = [value for key, value in message.raw_items() if key.lower() == name.lower()]
    return ", ".join(_decoded(str(value)) for value in found)


def _decoded(value: str) -> str:
    """Decode the words of a header that are in another encoding (RFC 2047).

    What cannot be decoded, or is too long for a header, stays as it stands in the file.
    """
    value = _SPACES.sub(" ", value).strip()
    if len(value) > _LONGEST_HEADER:
        return value
    try:
        # Bytes that are not ASCII, which no header may have and many do, come as surrogates.
        value = encoding.decode(value.encode("utf-8", "surrogateescape"), source="")[0]
        words = decode_header(value)
        return _SPACES.sub(" ", "".join(starmap(_word, words))).strip()
    except (MessageError, LookupError, ValueError, UnreadableDocument):
        return value.encode("utf-8", "backslashreplace").decode()


def _word(word: str | bytes, charset: str | None) -> str:
    if isinstance(word, str):
        return word
    if charset is None:
        return word.decode("raw-unicode-escape")
    return encoding.decode(word, source="", declared=charset)[0]
