"""Answers from texts far longer than the model's window, with quotations that hold.

The folders are the path that a text takes, in the order of their names::

    documents   a file becomes text, pages, sections and chunks     path -> Document -> Chunk
    embeddings  texts become vectors                                Chunk -> Matrix
    index       vectors and terms become searchable                 Chunk + Matrix -> Store
    retrieval   a query becomes hits                                query -> Hit
    synthesis   hits become a context and a checked answer          Hit -> Context -> Answer

`Corpus` walks the whole path over a folder; the functions below it are the same path opened
up. What travels is in ``rag.types``, what can go wrong in ``rag.errors``.
"""

import importlib
from typing import TYPE_CHECKING, Any

from rag.errors import RagError
from rag.types import (
    Answer,
    Answerer,
    ChatModel,
    Chunk,
    Citation,
    Context,
    Document,
    DocumentSummary,
    Embedder,
    Hit,
    Message,
    Page,
    Passage,
    Progress,
    Reranker,
    Section,
    Status,
    SyncReport,
    Usage,
)

if TYPE_CHECKING:
    from rag.corpus import AnswerStream, Corpus
    from rag.documents.chunking import chunk
    from rag.documents.loaders import load
    from rag.index.store import Store
    from rag.retrieval.fusion import fuse
    from rag.retrieval.retriever import retrieve
    from rag.settings import Settings
    from rag.synthesis.citations import resolve
    from rag.synthesis.context import pack
    from rag.synthesis.messages import build_messages
    from rag.tokens import count_tokens

__version__ = "0.1.0"

__all__ = [  # noqa: RUF022 - in the order of the path.
    # The whole path
    "AnswerStream",
    "Corpus",
    "RagError",
    "Settings",
    # documents
    "load",
    "chunk",
    # index
    "Store",
    # retrieval
    "retrieve",
    "fuse",
    # synthesis
    "pack",
    "build_messages",
    "resolve",
    # units
    "count_tokens",
    # values
    "Answer",
    "Chunk",
    "Citation",
    "Context",
    "Document",
    "DocumentSummary",
    "Hit",
    "Message",
    "Page",
    "Passage",
    "Progress",
    "Section",
    "Status",
    "SyncReport",
    "Usage",
    # roles
    "Answerer",
    "ChatModel",
    "Embedder",
    "Reranker",
]

_HOMES = {
    "AnswerStream": "rag.corpus",
    "Corpus": "rag.corpus",
    "Settings": "rag.settings",
    "load": "rag.documents.loaders",
    "chunk": "rag.documents.chunking",
    "Store": "rag.index.store",
    "retrieve": "rag.retrieval.retriever",
    "fuse": "rag.retrieval.fusion",
    "pack": "rag.synthesis.context",
    "build_messages": "rag.synthesis.messages",
    "resolve": "rag.synthesis.citations",
    "count_tokens": "rag.tokens",
}
"""Names whose modules are imported when they are first used: ``import rag`` stays light."""


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        message = f"module 'rag' has no attribute {name!r}"
        raise AttributeError(message)
    return getattr(importlib.import_module(home), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
