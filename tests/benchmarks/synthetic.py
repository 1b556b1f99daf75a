"""Many chunks, made up: their texts from words of real ones, their vectors around real ones."""

import hashlib
from collections.abc import Iterator, Sequence

import numpy as np

from rag.index.catalog import Record, vector_key
from rag.types import Chunk, Document, Embedder, Matrix

WORDS_A_CHUNK = 80
CHUNKS_A_DOCUMENT = 50
DOCUMENTS_A_BATCH = 100
SPREAD = 0.03
"""Of each number of a vector around a real one's: a cosine of .86 on average, as between
neighbouring chunks of a text."""


def batches(
    embedder: Embedder, questions: Sequence[str], size: int
) -> Iterator[tuple[Matrix, list[Record]]]:
    """Make ``size`` chunks, with the vectors of each batch: (n, d)."""
    random = np.random.default_rng(0)
    centres = embedder.embed_documents(questions)  # (q, d)
    words = np.array(sorted({word for question in questions for word in question.split()}))
    # As in a language: few words are frequent, most are rare.
    weights = 1 / np.arange(1, len(words) + 1)
    weights /= weights.sum()
    made = 0
    while made < size:
        records = []
        for _ in range(DOCUMENTS_A_BATCH):
            n = min(CHUNKS_A_DOCUMENT, size - made)
            if n > 0:
                chosen = random.choice(words, (n, WORDS_A_CHUNK), p=weights)
                records.append(_record(f"made/{made:08}.txt", [" ".join(row) for row in chosen]))
                made += n
        n = sum(len(record.chunks) for record in records)
        matrix = centres[random.integers(len(centres), size=n)]
        matrix = matrix + SPREAD * random.standard_normal(matrix.shape, dtype=np.float32)
        yield matrix / np.linalg.norm(matrix, axis=1, keepdims=True), records


def _record(document_id: str, parts: Sequence[str]) -> Record:
    text = "\n".join(parts)
    digest = hashlib.sha256(text.encode()).hexdigest()
    chunks, start = [], 0
    for number, part in enumerate(parts):
        chunks.append(
            Chunk(
                id=hashlib.sha256(f"{document_id}#{number}".encode()).hexdigest()[:32],
                document_id=document_id,
                start=start,
                end=start + len(part),
                text=part,
                embedded=part,
                tokens=2 * WORDS_A_CHUNK,
            )
        )
        start += len(part) + 1
    document = Document(id=document_id, text=text, digest=digest, title=document_id)
    keys = [vector_key(chunk) for chunk in chunks]
    return Record(document=document, chunks=chunks, keys=keys, facts=None)
