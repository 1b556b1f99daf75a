"""LangChain's and LlamaIndex's ways to keep an index in step with a folder, measured.

Run by `tests.benchmarks.resync` with the Python of an environment that holds them, which need
not hold this package: ``peers.py FOLDER`` syncs the files of a folder, then once more, then
after ``book.txt`` has become what ``book.edited`` holds, and prints what each cost as JSON. Both
are used as their documentation shows it, with their defaults and embeddings that only count.
"""

import hashlib
import importlib
import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

CHUNK_CHARACTERS = 1200
"""Two paragraphs of the book, of which there are 800."""
Measured = dict[str, float]


def vector_of(text: str) -> list[float]:
    digest = hashlib.sha256(text.encode()).digest()
    return [byte / 255 for byte in digest]


def measure(folder: Path, sync: Callable[[list[tuple[str, str]]], int]) -> list[Measured]:
    """Sync three times; ``sync`` takes names and texts and returns how many texts it embedded."""
    steps = []
    edition = folder / "book.edited"
    for step in ("first", "again", "edited")[: 3 if edition.exists() else 2]:
        if step == "edited":
            edition.replace(folder / "book.txt")
        started = time.perf_counter()
        files = [(path.name, path.read_text("utf-8")) for path in sorted(folder.glob("*.txt"))]
        embedded = sync(files)
        steps.append({"embedded": embedded, "seconds": time.perf_counter() - started})
    return steps


def langchain(scratch: Path) -> Callable[[list[tuple[str, str]]], int]:
    """Use ``index(cleanup="incremental")`` over a Chroma on disk."""
    indexing = importlib.import_module("langchain_core.indexing")
    documents = importlib.import_module("langchain_core.documents")
    splitters = importlib.import_module("langchain_text_splitters")
    embeddings: Any = importlib.import_module("langchain_core.embeddings").Embeddings
    store: Any = importlib.import_module("langchain_chroma").Chroma

    class Counting(embeddings):  # type: ignore[misc] # known when it runs
        n = 0

        def embed_documents(self, texts: list[str]) -> list[list[float]]:
            self.n += len(texts)
            return [vector_of(text) for text in texts]

        def embed_query(self, text: str) -> list[float]:
            return vector_of(text)

    counting = Counting()
    vectors = store("peer", embedding_function=counting, persist_directory=str(scratch))
    records = indexing.InMemoryRecordManager(namespace="peer")
    records.create_schema()
    splitter = splitters.RecursiveCharacterTextSplitter(
        chunk_size=CHUNK_CHARACTERS, chunk_overlap=0
    )

    def sync(files: list[tuple[str, str]]) -> int:
        before = counting.n
        chunks = splitter.split_documents(
            [
                documents.Document(page_content=text, metadata={"source": name})
                for name, text in files
            ]
        )
        indexing.index(
            chunks,
            records,
            vectors,
            cleanup="incremental",
            source_id_key="source",
            key_encoder="sha256",
        )
        return int(counting.n - before)

    return sync


def llama_index(_scratch: Path) -> Callable[[list[tuple[str, str]]], int]:
    """Use ``IngestionPipeline`` with the strategy "upserts"."""
    ingestion = importlib.import_module("llama_index.core.ingestion")
    schema = importlib.import_module("llama_index.core.schema")
    parsers = importlib.import_module("llama_index.core.node_parser")
    stores = importlib.import_module("llama_index.core.storage.docstore")
    vectors = importlib.import_module("llama_index.core.vector_stores")
    base: Any = importlib.import_module("llama_index.core.base.embeddings.base").BaseEmbedding
    counts = {"n": 0}

    class Counting(base):  # type: ignore[misc] # known when it runs
        def _get_text_embedding(self, text: str) -> list[float]:
            counts["n"] += 1
            return vector_of(text)

        def _get_query_embedding(self, query: str) -> list[float]:
            return vector_of(query)

        async def _aget_query_embedding(self, query: str) -> list[float]:
            return vector_of(query)

    pipeline = ingestion.IngestionPipeline(
        transformations=[
            parsers.SentenceSplitter(chunk_size=CHUNK_CHARACTERS // 4, chunk_overlap=0),
            Counting(model_name="counting"),
        ],
        docstore=stores.SimpleDocumentStore(),
        docstore_strategy=ingestion.DocstoreStrategy.UPSERTS,
        vector_store=vectors.SimpleVectorStore(),
    )

    def sync(files: list[tuple[str, str]]) -> int:
        before = counts["n"]
        pipeline.run(documents=[schema.Document(text=text, id_=name) for name, text in files])
        return counts["n"] - before

    return sync


def main() -> None:
    """Measure both, each on its own copy of the folder."""
    found: dict[str, list[Measured]] = {}
    for name, make in (("LangChain", langchain), ("LlamaIndex", llama_index)):
        with tempfile.TemporaryDirectory() as scratch:
            folder = Path(scratch) / "files"
            folder.mkdir()
            for path in Path(sys.argv[1]).iterdir():
                (folder / path.name).write_bytes(path.read_bytes())
            found[name] = measure(folder, make(Path(scratch) / "index"))
    print(json.dumps(found))  # noqa: T201 - what the parent reads


if __name__ == "__main__":
    main()
