"""The collection in Chroma: whole, readable by others, and as strict as Chroma is not."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from rag.index.chroma import ChromaVectors
from rag.index.copies import CopyFailed
from rag.types import Chunk, Matrix
from tests.index.samples import EMBEDDER, a_record, output, start

ANOTHER_TOOL = """
import json, sys, chromadb
client = chromadb.PersistentClient(sys.argv[1])
(collection,) = client.list_collections()
found = collection.get(include=["embeddings", "documents", "metadatas"])
near = collection.query(query_embeddings=[found["embeddings"][0]], n_results=2)
print(json.dumps({
    "name": collection.name,
    "space": collection.configuration["hnsw"]["space"],
    "ids": found["ids"],
    "vectors": [list(map(float, vector)) for vector in found["embeddings"]],
    "documents": found["documents"],
    "metadatas": found["metadatas"],
    "nearest": near["ids"][0],
    "distances": near["distances"][0],
}))
"""
RENT = Chunk(
    id="1",
    document_id="合同/lease.pdf",
    start=10,
    end=22,
    text="Rent is due.",
    embedded="Lease > 第二条\nRent is due.",
    tokens=7,
    headings=("Lease", "第二条"),
    pages=(2, 3),
)
ROOF = Chunk(
    id="2",
    document_id="合同/lease.pdf",
    start=23,
    end=38,
    text="The roof leaks.",
    embedded="The roof leaks.",
    tokens=2,
)


@pytest.fixture
def vectors(tmp_path: Path) -> Iterator[ChromaVectors]:
    vectors = ChromaVectors(tmp_path / "chroma-0001")
    yield vectors
    vectors.close()


def add(vectors: ChromaVectors, *chunks: Chunk) -> None:
    matrix = EMBEDDER.embed_documents([chunk.embedded for chunk in chunks])
    vectors.add(zip(chunks, matrix, strict=True))


def nearest(vectors: ChromaVectors, text: str, n: int) -> list[str]:
    return vectors.nearest(EMBEDDER.embed_query(text), n)


def test_another_tool_reads_ids_vectors_texts_and_places(tmp_path: Path) -> None:
    vectors = ChromaVectors(tmp_path / "chroma-0001")
    add(vectors, RENT, ROOF)
    vectors.close()
    found = json.loads(output(start(ANOTHER_TOOL, tmp_path / "chroma-0001")))
    assert (found["name"], found["space"]) == ("rag", "cosine")
    assert found["ids"] == ["1", "2"]
    assert found["documents"] == ["Rent is due.", "The roof leaks."]
    assert found["metadatas"] == [
        {
            "document_id": "合同/lease.pdf",
            "start": 10,
            "end": 22,
            "tokens": 7,
            "headings": "Lease > 第二条",
            "first_page": 2,
            "last_page": 3,
        },
        {"document_id": "合同/lease.pdf", "start": 23, "end": 38, "tokens": 2, "headings": ""},
    ]
    expected = EMBEDDER.embed_documents([RENT.embedded, ROOF.embedded])
    np.testing.assert_allclose(found["vectors"], expected, atol=1e-6)
    assert found["nearest"] == ["1", "2"]
    np.testing.assert_allclose(found["distances"], [0, 1], atol=1e-6)


def test_what_was_written_is_there_after_the_folder_is_opened_again(tmp_path: Path) -> None:
    vectors = ChromaVectors(tmp_path / "chroma-0001")
    add(vectors, RENT, ROOF)
    vectors.close()
    vectors = ChromaVectors(tmp_path / "chroma-0001")
    assert len(vectors) == 2
    assert nearest(vectors, "the roof leaks", 1) == ["2"]
    vectors.close()


def test_the_same_id_again_replaces_text_and_vector(vectors: ChromaVectors) -> None:
    add(vectors, RENT, ROOF)
    assert nearest(vectors, "the roof leaks", 1) == ["2"]
    rent, roof = EMBEDDER.embed_documents([RENT.embedded, ROOF.embedded])
    vectors.add([(RENT, roof), (ROOF, rent)])
    assert len(vectors) == 2
    assert nearest(vectors, "the roof leaks", 1) == ["1"]


def test_a_removed_chunk_is_not_found_and_an_unknown_id_is_no_error(
    vectors: ChromaVectors,
) -> None:
    add(vectors, RENT, ROOF)
    vectors.remove(["1", "nowhere"])
    assert len(vectors) == 1
    assert nearest(vectors, "rent", 1) == ["2"]


def test_a_moved_chunk_has_its_new_place_and_its_old_vector(tmp_path: Path) -> None:
    vectors = ChromaVectors(tmp_path / "chroma-0001")
    add(vectors, RENT, ROOF)
    vectors.move(
        [
            Chunk(
                id="2",
                document_id=ROOF.document_id,
                start=100,
                end=115,
                text=ROOF.text,
                embedded=ROOF.embedded,
                tokens=2,
            )
        ]
    )
    vectors.close()
    found = json.loads(output(start(ANOTHER_TOOL, tmp_path / "chroma-0001")))
    assert (found["metadatas"][1]["start"], found["metadatas"][1]["end"]) == (100, 115)
    np.testing.assert_allclose(found["vectors"][1], EMBEDDER.embed_query(ROOF.text), atol=1e-6)


def test_more_than_chroma_takes_at_once_are_added_moved_and_removed(tmp_path: Path) -> None:
    vectors = ChromaVectors(tmp_path / "chroma-0001")
    limit = vectors._client.get_max_batch_size()
    assert limit < 5_500, "the test no longer goes beyond what Chroma takes at once"
    chunks = a_record("a.md", *map(str, range(5_500))).chunks
    rows: Matrix = np.random.default_rng(1).standard_normal((5_500, 8)).astype(np.float32)
    vectors.add(zip(chunks, rows, strict=True))
    assert len(vectors) == 5_500
    assert vectors.nearest(rows[5_499], 1) == [chunks[5_499].id]
    vectors.move(chunks)
    vectors.remove([chunk.id for chunk in chunks[:5_490]])
    assert len(vectors) == 10
    vectors.close()


def test_two_openings_in_one_process_do_not_share_what_they_see(tmp_path: Path) -> None:
    first = ChromaVectors(tmp_path / "chroma-0001")
    add(first, RENT)
    second = ChromaVectors(tmp_path / "chroma-0001")
    add(second, ROOF)
    second.close()
    third = ChromaVectors(tmp_path / "chroma-0001")
    assert nearest(third, "the roof leaks", 1) == ["2"]
    third.close()
    first.close()


def test_a_folder_whose_sqlite_file_is_garbage_is_a_failed_copy(tmp_path: Path) -> None:
    folder = tmp_path / "chroma-0001"
    vectors = ChromaVectors(folder)
    add(vectors, RENT)
    vectors.close()
    good = shutil.copytree(folder, tmp_path / "good")
    (folder / "chroma.sqlite3").write_bytes(b"\xa5" * 50_000)
    with pytest.raises(CopyFailed):
        ChromaVectors(folder)
    shutil.rmtree(folder)
    shutil.copytree(good, folder)
    vectors = ChromaVectors(folder)
    assert nearest(vectors, "rent", 1) == ["1"], "the failed opening was kept"
    vectors.close()


def test_vectors_of_another_length_are_a_failed_copy(vectors: ChromaVectors) -> None:
    add(vectors, RENT)
    with pytest.raises(CopyFailed, match="384"):
        vectors.nearest(np.ones(3, dtype=np.float32), 1)


def test_nothing_to_add_move_or_remove_is_no_error(vectors: ChromaVectors) -> None:
    vectors.add([])
    vectors.move([])
    vectors.remove([])
    assert len(vectors) == 0
