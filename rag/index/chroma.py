"""Vectors in Chroma: the only module that imports chromadb.

The collection holds for each chunk its id, vector, text and span, so that any other Chroma
tool can read it. Distances never leave this module; who needs scores takes them from the
catalog's vectors, so that they are the same whichever way a chunk was found.

Chroma writes its graph (HNSW) to disk once so many changes have gathered, 1,000 by default.
Until then they are in its SQLite file alone, every reader adds them to the graph again
(2.6 s instead of .2 s for its first query over 50,000 chunks), readers rewrite the graph's
files, and a deleted text stays on the disk. Here every change is written at once: filling an
empty folder with 50,000 chunks is no slower, since a batch holds thousands.
"""

import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from rag.index.copies import guarded
from rag.types import Chunk, Matrix, Vector

COLLECTION = "rag"
SEARCH_EF = 400
"""Candidates HNSW keeps while it searches. Over 5,000 sentences embedded by MiniLM it found
1.000 of the nearest 10 and .992 of the nearest 200; with 200 .998 and .980, with Chroma's
default of 100 .999 and .978."""
_CONFIGURATION: Any = {
    "hnsw": {"space": "cosine", "ef_search": SEARCH_EF, "batch_size": 1, "sync_threshold": 1}
}
_PAGE = 2_000
"""Rows read at once: 3 MB of vectors."""
_names: set[str] = set()
_names_lock = threading.Lock()


class ChromaRows(NamedTuple):
    """Some rows of a collection, column by column."""

    ids: list[str]
    vectors: Matrix  # (n, d)
    texts: list[str | None]
    facts: list[dict[str, str | int] | None]


class ChromaVectors:
    """One Chroma collection in a folder of its own.

    Parameters
    ----------
    folder : made if it is not there.

    Raises
    ------
    CopyFailed
        Whatever Chroma raised, here and in every method.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._name = _own_name(folder)
        with ExitStack() as undo, guarded():
            self._client = _client(self._name)  # Where it fails, Chroma keeps what is half begun.
            undo.callback(_names.discard, self._name)
            undo.callback(self._client.close)
            self._collection = self._client.get_or_create_collection(
                COLLECTION, embedding_function=None, configuration=_CONFIGURATION
            )
            self._close = undo.pop_all()

    def __len__(self) -> int:
        with guarded():
            return int(self._collection.count())

    def add(self, chunks: Iterable[tuple[Chunk, Vector]]) -> None:
        """Add chunks with their vectors, or replace those of the same id."""
        with guarded():
            for batch in self._batches(chunks):
                self._collection.upsert(
                    ids=[chunk.id for chunk, _ in batch],
                    embeddings=np.stack([vector for _, vector in batch]),
                    documents=[chunk.text for chunk, _ in batch],
                    metadatas=[facts_of(chunk) for chunk, _ in batch],
                )

    def move(self, chunks: Iterable[Chunk]) -> None:
        """Give chunks that are there new positions; their vectors stay as they are."""
        with guarded():
            for batch in self._batches(chunks):
                self._collection.update(
                    ids=[chunk.id for chunk in batch],
                    metadatas=[facts_of(chunk) for chunk in batch],
                )

    def remove(self, ids: Sequence[str]) -> None:
        """Remove chunks; unknown ids are no error."""
        with guarded():
            for batch in self._batches(ids):
                self._collection.delete(ids=batch)

    def rows(self) -> "Iterator[ChromaRows]":
        """Read everything, some thousand chunks at a time, in no certain order."""
        for offset in range(0, len(self), _PAGE):
            with guarded():
                page = self._collection.get(
                    limit=_PAGE, offset=offset, include=["embeddings", "documents", "metadatas"]
                )
            yield ChromaRows(page["ids"], page["embeddings"], page["documents"], page["metadatas"])

    def nearest(self, vector: Vector, n: int) -> list[str]:
        """Find the ids of the n nearest chunks, approximately, nearest first."""
        with guarded():
            found = self._collection.query(query_embeddings=[vector], n_results=n, include=[])
        return list(found["ids"][0])

    def close(self) -> None:
        """Let go of the folder's files."""
        with guarded():
            self._close.close()

    def _batches(self, things: Iterable[Any]) -> Iterator[list[Any]]:
        rest = iter(things)
        size = self._client.get_max_batch_size()
        while batch := list(islice(rest, size)):
            yield batch


def _own_name(folder: Path) -> str:
    """Name a folder as no open client of this process does.

    Within one process Chroma gives all clients of one path the same connection, which would
    go on answering from the state in which the first of them was opened.
    """
    with _names_lock:
        name = str(folder)
        while name in _names:
            name += "/."
        _names.add(name)
    return name


def _client(path: str) -> Any:
    import chromadb  # noqa: PLC0415 - .6 s that an exact scan need not wait for
    from chromadb.config import Settings  # noqa: PLC0415

    # No `.env` file of the current directory has a say.
    settings = Settings(
        _env_file=None,  # type: ignore[call-arg] # pydantic-settings takes it
        anonymized_telemetry=False,
        chroma_api_impl="chromadb.api.rust.RustBindingsAPI",
    )
    return chromadb.PersistentClient(path, settings=settings)


def facts_of(chunk: Chunk) -> dict[str, str | int]:
    """Give what Chroma keeps of a chunk beside its id, vector and text."""
    facts: dict[str, str | int] = {
        "document_id": chunk.document_id,
        "start": chunk.start,
        "end": chunk.end,
        "tokens": chunk.tokens,
        "headings": " > ".join(chunk.headings),
    }
    if chunk.pages is not None:
        facts["first_page"], facts["last_page"] = chunk.pages
    return facts
