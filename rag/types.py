"""The values that travel along the path, and the roles that can be swapped.

Every position in this package is a half-open span ``[start, end)`` of Unicode code
points in ``Document.text``, and ``document.text[x.start:x.end] == x.text`` holds for
every chunk, passage and citation. Pages, markers and ranks count from 1, as people do.

Two tokenizers are never mixed: ``Chunk.tokens`` counts the embedder's own tokens, its
ceiling is hard; ``Passage.tokens``, ``Context.tokens`` and every budget count the chat
model's.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from rag.errors import RagError

Vector = NDArray[np.float32]
"""One text as numbers, shape (d,), of length 1."""
Matrix = NDArray[np.float32]
"""One row a text, shape (n, d), rows of length 1."""
Scalar = str | int | float | bool
"""What a metadata value may be."""
Where = Mapping[str, Scalar | Sequence[Scalar]]
"""A filter: field -> value, or list of values of which one must match; all fields must hold."""
Count = Callable[[str], int]
"""How many tokens a text has, by somebody's tokenizer."""
Span = tuple[int, int]
"""``(start, end)``, half-open, in characters."""
By = Literal["fused", "dense", "lexical"]
"""Which ranking a search returns."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """One page of a paged document; pages are consecutive and ascend."""

    number: int
    start: int
    end: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """A heading and everything under it; sections are nested or disjoint."""

    title: str
    level: int
    """1 is the outermost, 6 the innermost."""
    start: int
    """Where the heading begins."""
    end: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """A text with its structure.

    ``id`` says *which* document this is and survives every edit; ``digest`` says
    *which version* of it.
    """

    id: str
    text: str
    digest: str
    """sha256 of the text in UTF-8, hexadecimal."""
    title: str
    source: str | None = None
    """Where the text was read from; None for a text that was no file."""
    pages: tuple[Page, ...] = ()
    sections: tuple[Section, ...] = ()
    """In the order of their starts, an outer one before its inner ones."""
    metadata: tuple[tuple[str, Scalar], ...] = ()
    """Sorted pairs, so that a document is hashable."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DocumentSummary:
    """A document without its text, for listings."""

    id: str
    title: str
    digest: str
    characters: int
    chunks: int
    pages: int
    """0 where the format has no pages."""
    sections: int
    metadata: tuple[tuple[str, Scalar], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunk:
    """The unit that is indexed."""

    id: str
    """A hash of the document's id, ``embedded`` and its occurrence number there."""
    document_id: str
    start: int
    end: int
    text: str
    embedded: str
    """What the embedder reads: headings, then the text, which always ends it."""
    tokens: int
    """Of ``embedded``, by the embedder's tokenizer, special tokens included."""
    headings: tuple[str, ...] = ()
    """The sections around the chunk, outermost first."""
    pages: tuple[int, int] | None = None
    """First and last page; None where the format has no pages."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hit:
    """A chunk that a search found."""

    chunk: Chunk
    rank: int
    score: float
    """Higher is better, always; comparable only within one ranking of the same ``by``."""
    by: str
    """"dense", "lexical", "fused" or "rerank:<name>"."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Passage:
    """The unit that is shown to the model: neighbouring hits merged into one exact slice."""

    marker: int
    document_id: str
    start: int
    end: int
    text: str
    tokens: int
    """Of the rendered passage, its heading line included, by the chat model's tokenizer."""
    headings: tuple[str, ...]
    pages: tuple[int, int] | None
    hits: tuple[Hit, ...]
    """The hits it was merged from, best first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """The passages a prompt carries, and what did not fit."""

    text: str
    """The rendered block, word for word what the model reads."""
    passages: tuple[Passage, ...]
    tokens: int
    """Of ``text``; never more than ``budget``."""
    budget: int
    dropped: tuple[Hit, ...]
    """The hits that did not fit, best first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Citation:
    """A quotation that holds: ``quote == document.text[start:end]``."""

    marker: int
    document_id: str
    start: int
    end: int
    quote: str
    pages: tuple[int, int] | None
    by: Literal["model", "match"]
    """"model": the reply gave the quote. "match": the reply gave a bare marker, and this is
    the sentence of the passage that the answer rests on most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejection:
    """A marker or quotation of a reply that does not hold."""

    marker: int
    quote: str
    """Empty where a bare marker was given."""
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What a reply cost; failed calls are counted too."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    calls: int = 0
    seconds: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A reply whose every marker was checked.

    Each marker in ``text`` belongs to ``citations``, to ``rejected`` or to
    ``unknown_markers``.
    """

    question: str
    text: str
    citations: tuple[Citation, ...]
    rejected: tuple[Rejection, ...]
    context: Context
    refusal: str | None
    """Why the question was not answered; None when it was."""
    unsupported: tuple[str, ...]
    """The sentences of ``text`` that no holding citation backs."""
    unknown_markers: tuple[int, ...]
    """Markers of passages that were never shown."""
    model: str
    usage: Usage
    finish_reason: str

    @property
    def refused(self) -> bool:
        """Whether the question was left unanswered."""
        return self.refusal is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class Skipped:
    """A file, or a part of one, that is left out on purpose, and why."""

    id: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """A file that should have been indexed and could not be; its old version still answers."""

    id: str
    error: RagError

    def __iter__(self) -> Iterator[str | RagError]:
        """Unpack as the pair ``id, error``."""
        yield self.id
        yield self.error


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncReport:
    """What a sync did, or would do."""

    added: tuple[str, ...] = ()
    updated: tuple[str, ...] = ()
    moved: tuple[tuple[str, str], ...] = ()
    """Pairs of old and new id."""
    removed: tuple[str, ...] = ()
    unchanged: tuple[str, ...] = ()
    failed: tuple[Failure, ...] = ()
    skipped: tuple[Skipped, ...] = ()
    incomplete: tuple[Skipped, ...] = ()
    """Documents that were read now, and lack a part of their file, such as a scanned page."""
    embedded: int = 0
    """Chunks whose vector was computed."""
    reused: int = 0
    """Chunks of new or changed documents whose vector was already known."""
    repaired: tuple[str, ...] = ()
    """Search indexes that did not match the catalog and were rebuilt from it."""
    unused_vectors: int = 0
    """Kept for texts that may come back, though no chunk has them now."""
    seconds: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ForgetReport:
    """What was forgotten, and the search for what is left of it.

    A *run* is 32 bytes of a forgotten text, in UTF-8, that no remaining document shares.
    """

    ids: tuple[str, ...]
    ignored: tuple[str, ...]
    """Patterns that were written into ``.ragignore``."""
    unknown: tuple[str, ...]
    """Of ``ids``, those that were no documents any more: their texts could not be looked for."""
    vectors: int
    """Removed, all that no chunk uses."""
    reembedding: str | None
    """The embedder of an unfinished reembedding that was dropped, since it held the texts too."""
    runs: int
    """Different runs that were looked for."""
    files: int
    """Of the index, all of which were searched."""
    size_bytes: int
    """Of those files."""
    found: tuple[str, ...]
    """Those of the files, relative to the index, that hold a run."""
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexShape:
    """What an index was made with."""

    embedder: str
    revision: str
    """Of the embedder's weights."""
    chunk_size: int
    """Tokens of a chunk, at most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReembedReport:
    """What a reembedding did; nothing where ``before == after``."""

    before: IndexShape
    after: IndexShape
    documents: int
    chunks: int
    embedded: int
    """Chunks whose vector was computed in this run."""
    reused: int
    """Chunks whose vector was known: from an interrupted run, or of an equal text."""
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """Something of an index that is not as it should be."""

    check: str
    """What was checked: "catalog", "texts", "terms", "chroma" …"""
    what: str
    mend: str
    """What to do about it."""
    fixable: bool = False
    """Whether ``doctor(fix=True)`` does that."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """Something of an index that was checked."""

    name: str
    told: str
    """What was compared or measured, or why it was not looked at; empty where it failed at once."""
    findings: tuple[Finding, ...] = ()
    skipped: bool = False
    """Whether it could not be looked at now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Examination:
    """What a doctor has found out about an index."""

    checks: tuple[Check, ...]
    """In their order; where the catalog is damaged, those end that would read on in it."""
    fixed: tuple[Finding, ...] = ()
    """What was wrong before ``fix``, and is no more."""
    size_bytes: tuple[tuple[str, int], ...] = ()
    """Part of the index -> its size on disk."""
    seconds: float = 0.0

    @property
    def findings(self) -> tuple[Finding, ...]:
        """What is wrong."""
        return tuple(finding for check in self.checks for finding in check.findings)


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far a sync or a reembedding has come; passed to the ``progress`` callback."""

    stage: Literal["reading", "embedding", "waiting", "indexing"]
    done_bytes: int
    """Of the new and changed files, those that are indexed or being embedded; a text that is
    no file has as many as characters."""
    total_bytes: int
    embedded: int
    """Chunks whose vector was computed so far."""
    label: str
    """The document at hand; while a server is waited for, what it said."""
    wait_s: float = 0.0
    """Seconds until that server is asked again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """A corpus at a glance."""

    path: Path
    documents: int
    chunks: int
    tokens: int
    """Of all chunks, by the embedder's tokenizer."""
    embedder: str | None
    """None before the first sync."""
    generation: int
    """Rises with every finished batch of documents."""
    size_bytes: tuple[tuple[str, int], ...]
    """Part of the index -> its size on disk."""
    synced_at: datetime | None
    writer: str | None
    """The process that is writing now, if one is."""
    version: str
    """Of the index format."""
    unused_vectors: int = 0
    """Kept for texts that may come back, though no chunk has them now."""
    findings: tuple[str, ...] = ()
    """What is wrong with the search indexes; the catalog answers in their place."""
    reembedding: str | None = None
    """The embedder of a reembedding that is at work or was interrupted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One message of a chat."""

    role: Literal["system", "user", "assistant"]
    content: str


Search = Callable[[str, int], list[Hit]]
"""Any ``(query, k) -> hits``, best first, is a search."""


class Embedder(Protocol):
    """Turns texts into vectors of length 1."""

    @property
    def name(self) -> str:
        """Which model; written into the index."""
        ...

    @property
    def revision(self) -> str:
        """Which version of its weights; an index never mixes two."""
        ...

    @property
    def dimension(self) -> int:
        """Length of a vector."""
        ...

    @property
    def max_tokens(self) -> int:
        """The most tokens it reads, special tokens included."""
        ...

    def count(self, text: str) -> int:
        """Tokens of a text by its own tokenizer, special tokens included."""
        ...

    def embed_documents(self, texts: Sequence[str]) -> Matrix:
        """Embed texts to be found: (n, d), each row independent of its neighbours."""
        ...

    def embed_query(self, text: str) -> Vector:
        """Embed a text to search with: (d,)."""
        ...


class Reranker(Protocol):
    """Judges how well each text answers a query."""

    @property
    def name(self) -> str:
        """Which model."""
        ...

    def score(self, query: str, texts: Sequence[str]) -> Vector:
        """Score each text: (n,), higher is better."""
        ...


class Reply(Protocol):
    """Text as it is written; ``usage`` and ``finish_reason`` are final once exhausted."""

    usage: Usage
    finish_reason: str

    def __iter__(self) -> Iterator[str]:
        """Iterate over the pieces of text."""
        ...


class ChatModel(Protocol):
    """A language model that answers messages."""

    @property
    def name(self) -> str:
        """Which model."""
        ...

    @property
    def window(self) -> int:
        """Tokens it takes, prompt and reply together."""
        ...

    def count(self, text: str) -> int:
        """Tokens of a text by its tokenizer."""
        ...

    def stream(self, messages: Sequence[Message]) -> Reply:
        """Answer the messages piece by piece."""
        ...


class Answerer(Protocol):
    """Answers a question from a context."""

    @property
    def name(self) -> str:
        """Who answers."""
        ...

    def answer(self, question: str, context: Context) -> Reply:
        """Answer piece by piece; markers ``[n]`` refer to the context's passages."""
        ...
