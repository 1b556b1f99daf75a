"""What is rewritten over and over costs neither hits nor ever more of the disk."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from rag.index import child, inspection
from rag.index.catalog import Record
from rag.testing import HashingEmbedder
from rag.types import Matrix
from tests.index.samples import a_record, write

EDITIONS = 8


class Scattering(HashingEmbedder):
    """Gives each text a direction of its own, which no other text is near to."""

    def embed_documents(self, texts: Sequence[str]) -> Matrix:
        seeds = [int(text.replace(" ", "")) for text in texts]
        rows = np.stack([np.random.default_rng(seed).normal(size=384) for seed in seeds])
        unit: Matrix = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
        return unit


def edition(document: int, number: int) -> Record:
    """Make a document of 50 chunks, every one of which differs from edition to edition."""
    return a_record(f"{document}.md", *(f"{number + 1} {document:02} {n:02}" for n in range(50)))


@pytest.mark.slow
def test_2000_chunks_rewritten_seven_times_are_found_as_before_on_as_much_of_the_disk(
    tmp_path: Path,
) -> None:
    """By Chroma's own rewriting of an id seven times recall falls to .90, and 8 MB become 32."""
    folder = tmp_path / ".rag"
    sizes = []
    for number in range(EDITIONS):
        for first in (0, 20):
            records = [edition(document, number) for document in range(first, first + 20)]
            write(folder, *records, embedder=Scattering())
        found = child.call(inspection.inspect_chroma, folder)
        assert found.flaws == ()
        assert found.recall is not None
        assert found.recall >= 0.99
        (copy,) = folder.glob("chroma-*")
        sizes.append(sum(path.stat().st_size for path in copy.rglob("*") if path.is_file()))
    assert max(sizes) < 2 * sizes[0]
