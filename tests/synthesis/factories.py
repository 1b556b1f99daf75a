"""Small documents, hits and contexts for the tests of this stage."""

import hashlib
from collections.abc import Sequence

from rag.synthesis.context import pack
from rag.tokens import count_tokens
from rag.types import Chunk, Context, Document, Hit, Page, Reply, Usage


def a_document(text: str, *, id: str = "manual.md", pages: Sequence[int] = ()) -> Document:  # noqa: A002 - the field's name
    """Make a document; ``pages`` are where its pages begin."""
    ends = [*pages[1:], len(text)]
    return Document(
        id=id,
        text=text,
        digest=hashlib.sha256(text.encode()).hexdigest(),
        title=id,
        pages=tuple(
            Page(number=number, start=start, end=end)
            for number, (start, end) in enumerate(zip(pages, ends, strict=False), start=1)
        ),
    )


def a_hit(
    document: Document, words: str | tuple[int, int], *, rank: int = 1, headings: Sequence[str] = ()
) -> Hit:
    """Make a hit of the words, or of a span, of a document."""
    if isinstance(words, str):
        start = document.text.index(words)
        end = start + len(words)
    else:
        start, end = words
    text = document.text[start:end]
    chunk = Chunk(
        id=f"{document.id}:{start}-{end}",
        document_id=document.id,
        start=start,
        end=end,
        text=text,
        embedded=text,
        tokens=len(text),
        headings=tuple(headings),
    )
    return Hit(chunk=chunk, rank=rank, score=1 / rank, by="fused")


def a_context(*parts: tuple[Document, str], budget: int = 10_000) -> Context:
    """Pack the words of documents, best first."""
    documents = {document.id: document for document, _ in parts}
    hits = [a_hit(document, words, rank=n) for n, (document, words) in enumerate(parts, start=1)]
    return pack(hits, budget=budget, count=count_tokens, document_of=documents.__getitem__)


class AReply:
    """A reply in pieces that knows its usage only once it is exhausted."""

    def __init__(self, *pieces: str, finish_reason: str = "stop") -> None:
        self.usage = Usage()
        self.finish_reason = ""
        self._pieces = pieces
        self._finish_reason = finish_reason

    def __iter__(self):  # type: ignore[no-untyped-def]
        yield from self._pieces
        self.usage = Usage(prompt_tokens=7, completion_tokens=3, calls=1)
        self.finish_reason = self._finish_reason


_: type[Reply] = AReply
