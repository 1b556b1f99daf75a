"""What the tests of the index are made of: small documents, an index, and processes beside it."""

import hashlib
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from rag.index.catalog import FileFacts, Record, vector_key
from rag.index.store import Store
from rag.index.writer import Writer, writing
from rag.testing import CHUNKS, DOCUMENTS, HashingEmbedder
from rag.types import Chunk, Document, Embedder, Hit, Scalar
from tests.unprivileged import unprivileged

EMBEDDER = HashingEmbedder()
SCAN = 1_000_000
"""As ``exact_up_to``: Chroma is never asked."""
CHROMA = 0
"""As ``exact_up_to``: Chroma is asked wherever it can be trusted."""


def a_record(
    id_: str,
    *sentences: str,
    metadata: tuple[tuple[str, Scalar], ...] = (),
    facts: FileFacts | None = None,
) -> Record:
    """Make a document of one sentence a chunk, with ids as `rag.chunk` gives them."""
    text = "\n".join(sentences)
    chunks = []
    start = 0
    for number, sentence in enumerate(sentences):
        identity = f"{id_}\0{sentence}\0{sentences[:number].count(sentence)}"
        chunk = Chunk(
            id=hashlib.sha256(identity.encode()).hexdigest()[:32],
            document_id=id_,
            start=start,
            end=start + len(sentence),
            text=sentence,
            embedded=sentence,
            tokens=max(1, EMBEDDER.count(sentence)),
        )
        chunks.append(chunk)
        start += len(sentence) + 1
    digest = hashlib.sha256(text.encode()).hexdigest()
    document = Document(id=id_, text=text, digest=digest, title=id_, metadata=metadata)
    return a_record_of(document, chunks, facts=facts)


def a_record_of(
    document: Document, chunks: Sequence[Chunk], *, facts: FileFacts | None = None
) -> Record:
    return Record(
        document=document,
        chunks=tuple(chunks),
        keys=tuple(vector_key(chunk) for chunk in chunks),
        facts=facts,
    )


SAMPLES = tuple(
    a_record_of(document, [c for c in CHUNKS if c.document_id == document.id])
    for document in DOCUMENTS
)
"""The three documents of `rag.testing`."""


def write(
    folder: Path,
    *records: Record,
    removed: Sequence[str] = (),
    embedder: Embedder = EMBEDDER,
) -> list[str]:
    """Write in one batch; returns what was repaired."""
    with writing(folder, {}) as writer:
        add_vectors(writer, *records, embedder=embedder)
        if records or removed:
            writer.write(records, removed)
    return list(writer.repaired)


def add_vectors(writer: Writer, *records: Record, embedder: Embedder = EMBEDDER) -> None:
    for record in records:
        texts = [chunk.embedded for chunk in record.chunks]
        writer.catalog.add_vectors(record.keys, embedder.embed_documents(texts))


@contextmanager
def opened(
    folder: Path, *, exact_up_to: int = SCAN, embedder: Embedder = EMBEDDER
) -> Iterator[Store]:
    store = Store(folder, embedder=embedder, exact_up_to=exact_up_to)
    try:
        yield store
    finally:
        store.close()


def pairs(hits: Sequence[Hit]) -> list[tuple[str, float]]:
    return [(hit.chunk.text, hit.score) for hit in hits]


def texts(hits: Sequence[Hit]) -> list[str]:
    return [hit.chunk.text for hit in hits]


Child = subprocess.Popen[str]


def start(code: str, *arguments: object, with_rights: bool = True, stdin: bool = False) -> Child:
    """Run code in a process of its own, with ``arguments`` as ``sys.argv[1:]``.

    ``with_rights``: permissions do not hold back root's process.
    """
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.Popen(
        command if with_rights else unprivileged(command),
        stdin=subprocess.PIPE if stdin else subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def output(child: Child, *, text: str | None = None, timeout_s: float = 120) -> str:
    """Give a process its input and wait for it; it has to end well."""
    out, err = child.communicate(text, timeout=timeout_s)
    assert child.returncode == 0, f"ended with {child.returncode}: {err}"
    return out


@contextmanager
def read_only(folder: Path) -> Iterator[None]:
    """Take away the right to write in a folder, and give it back for its removal."""
    places = [folder, *folder.rglob("*")]
    modes = {place: place.stat().st_mode for place in places}
    for place in places:
        place.chmod(modes[place] & ~0o222)
    try:
        yield
    finally:
        for place in places:
            place.chmod(modes[place])
