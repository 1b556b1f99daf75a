"""The catalog and its copies are looked at row by row: ``folder`` -> ``Inspection``.

Each function is made to run in a process of its own (`rag.index.child`), since what it reads
may be damaged. All only read, take no write lock, and look at one snapshot of the catalog.
"""

import hashlib
import random
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from rag.index import copies, locks
from rag.index.catalog import Catalog, Rows, vector_key
from rag.index.lexicon import Lexicon
from rag.types import Chunk, Document, Vector

SEED = 0
"""The same chunks are looked at each time, so that a finding can be looked at again."""
QUERIES = 32
"""Chunks whose texts, or vectors, are used as queries: .3 s over 50,000 chunks."""
NEAREST = 10
LOWEST_RECALL = 0.95
"""Of the nearest 10. Over MiniLM's vectors Chroma finds .997 and more with these settings, and
found .90 once a library had rewritten each id seven times."""
_NOISE = 1e-4
"""By so much vectors and scores may differ: Chroma brings vectors to length 1 in float32."""
_SHOWN = 3
"""Names in a sentence about many."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Inspection:
    """What was looked at, and what is wrong with it."""

    told: str
    flaws: tuple[str, ...] = ()
    skipped: bool = False
    """Whether it could not be looked at now."""
    recall: float | None = None
    """Of Chroma, where it was measured."""


# ---- the catalog ------------------------------------------------------------------------


def inspect_catalog(folder: Path) -> Inspection:
    """Let SQLite check its file and the references in it."""
    with closing(Catalog(folder, write=False)) as catalog, catalog.snapshot():
        flaws = catalog.damages()
        documents, chunks, tokens = catalog.totals()
        told = f"{documents:,} documents, {chunks:,} chunks, {tokens:,} tokens"
        return Inspection(told=told, flaws=tuple(flaws))


def inspect_texts(folder: Path) -> Inspection:
    """Compare every chunk with its document, and every vector with its chunk."""
    with closing(Catalog(folder, write=False)) as catalog, catalog.snapshot():
        found: dict[str, list[str]] = {}
        for summary in catalog.summaries():
            document = catalog.document(summary.id)
            chunks = list(catalog.chunks(catalog.chunk_ids(summary.id)).values())
            keys = catalog.vector_keys([chunk.id for chunk in chunks])
            flaws = ["has no text"] if document is None else _text_flaws(document, chunks)
            if len(chunks) != summary.chunks:
                flaws.append(f"has {len(chunks)} chunks of {summary.chunks}")
            if any(keys[chunk.id] != vector_key(chunk) for chunk in chunks):
                flaws.append("has a chunk with the vector of another text")
            for flaw in flaws:
                found.setdefault(flaw, []).append(summary.id)
        rows = catalog.rows()
        lengths = np.linalg.norm(rows.matrix, axis=1)  # (n,)
        bad = [rows.ids[place] for place in np.flatnonzero(~(np.abs(lengths - 1) < _NOISE))]
        sentences = [f"{_names(ids)} {flaw}" for flaw, ids in found.items()]
        if bad:
            sentences.append(f"{len(bad):,} vectors are not of length 1: of {_names(bad)}")
        told = "every chunk is its document's slice, and only blanks lie outside of them"
        return Inspection(told=told, flaws=tuple(sentences))


def _text_flaws(document: Document, chunks: Iterable[Chunk]) -> list[str]:
    flaws = []
    if hashlib.sha256(document.text.encode()).hexdigest() != document.digest:
        flaws.append("is not the text that was read")
    uncovered = reached = 0
    for chunk in sorted(chunks, key=lambda chunk: chunk.start):
        if document.text[chunk.start : chunk.end] != chunk.text:
            flaws.append("has a chunk that is not its slice")
            break
        uncovered += len(document.text[reached : chunk.start].strip())
        reached = max(reached, chunk.end)
    else:
        uncovered += len(document.text[reached:].strip())
    if uncovered:
        flaws.append("has characters that lie in no chunk")
    return flaws


# ---- the copies -------------------------------------------------------------------------


def inspect_terms(folder: Path) -> Inspection:
    """Compare Tantivy's copy with the catalog, and with terms built anew in memory."""
    with closing(Catalog(folder, write=False)) as catalog, catalog.snapshot():
        state = _state(folder, catalog, "terms")
        if isinstance(state, Inspection):
            return state
        lexicon, fresh = Lexicon(state, must_exist=True), Lexicon(None)
        fresh.add(catalog.all_chunks())
        ids = catalog.all_ids()
        flaws = _differing_ids(lexicon.ids(), ids)
        queries = [] if flaws else list(catalog.each(sample(ids)))
        for chunk in queries:
            found, expected = (
                np.array([score for _, score in one.search(chunk.text, NEAREST)[:NEAREST]])
                for one in (lexicon, fresh)
            )
            if found.shape != expected.shape or not np.allclose(found, expected, rtol=_NOISE):
                flaws = [f"the chunk {chunk.id} is scored otherwise than by its terms"]
                break
        told = (
            f"Tantivy holds the catalog's {len(ids):,} chunks, and scores {QUERIES} queries alike"
        )
        return Inspection(told=told, flaws=tuple(flaws))


def inspect_chroma(folder: Path) -> Inspection:
    """Compare Chroma's copy with the catalog, and its nearest vectors with the exact ones."""
    with (
        closing(Catalog(folder, write=False)) as catalog,
        catalog.snapshot(),
        locks.reading_chroma(folder) as allowed,
    ):
        if not allowed:
            return Inspection(told="not looked at, since a writer is at work on it", skipped=True)
        state = _state(folder, catalog, "chroma")
        return state if isinstance(state, Inspection) else _compare_chroma(state, catalog)


def _compare_chroma(folder: Path, catalog: Catalog) -> Inspection:
    from rag.index.chroma import ChromaVectors, facts_of  # noqa: PLC0415 - .6 s

    rows = catalog.rows()
    held: list[str] = []
    differing: Counter[str] = Counter()
    with closing(ChromaVectors(folder)) as vectors:
        for batch in vectors.rows():
            held += batch.ids
            expected = {
                chunk.id: (chunk, vector) for chunk, vector in catalog.with_vectors(batch.ids)
            }
            for id_, vector, text, facts in zip(*batch, strict=True):
                if id_ not in expected:
                    continue
                chunk, own = expected[id_]
                differing["texts"] += text != chunk.text
                differing["positions or headings"] += facts != facts_of(chunk)
                differing["vectors"] += not np.allclose(vector, own, atol=_NOISE)
        flaws = _differing_ids(held, rows.ids)
        flaws += [f"{n:,} {what} are not the catalog's" for what, n in differing.items() if n]
        told = f"Chroma holds the catalog's {len(rows.ids):,} chunks, texts and vectors"
        inspection = Inspection(told=told, flaws=tuple(flaws))
        return inspection if flaws else replace(inspection, recall=_recall(vectors.nearest, rows))


def _recall(nearest: Callable[[Vector, int], Sequence[str]], rows: Rows) -> float | None:
    """Tell which share of the nearest 10 an approximate search finds, ties counted as found."""
    if not rows.ids:
        return None
    places = {id_: place for place, id_ in enumerate(rows.ids)}
    k = min(NEAREST, len(places))
    shares = []
    for id_ in sample(rows.ids):
        vector = rows.matrix[places[id_]]
        scores = rows.matrix @ vector  # (n,)
        kth = np.partition(scores, -k)[-k]
        found = [scores[places[other]] for other in nearest(vector, k)]
        shares.append(sum(score >= kth - _NOISE for score in found) / k)
    return float(np.mean(shares))


def _state(folder: Path, catalog: Catalog, name: copies.Name) -> Path | Inspection:
    """Find the folder of a copy that may be opened, or tell why it may not."""
    copy = copies.recorded(catalog, name)
    if locks.writer(folder) is not None:
        return Inspection(told="not looked at, since a writer is at work", skipped=True)
    if catalog.aside:
        told = "not looked at, since the folder cannot be written"
        return Inspection(told=told, skipped=True)
    if copy is None:
        outdated = copies.is_outdated(catalog, name)
        flaw = "they were made by other rules" if outdated else "it was never finished"
        return Inspection(told="", flaws=(flaw,))
    if not copy.whole:
        return Inspection(told="", flaws=("the last write did not end",))
    if different := copies.differences(folder, copy):
        return Inspection(told="", flaws=(f"{_names(different)} is not what was written",))
    if name == "chroma" and catalog.is_pending():
        return Inspection(told="", flaws=("it is behind the catalog",))
    return folder / copy.folder


def _differing_ids(held: Sequence[str], expected: Collection[str]) -> list[str]:
    unknown, missing = set(held) - set(expected), set(expected) - set(held)
    return [
        f"{count:,} {what}"
        for count, what in (
            (len(missing), "chunks of the catalog are missing"),
            (len(unknown), "chunks are not in the catalog"),
            (len(held) - len(set(held)), "chunks are held twice"),
        )
        if count
    ]


def sample(ids: Sequence[str]) -> list[str]:
    """Draw the chunks that are looked at closely."""
    return random.Random(SEED).sample(sorted(ids), min(QUERIES, len(ids)))  # noqa: S311 - no secret


def _names(names: Sequence[str]) -> str:
    """Name the first of some."""
    more = f" and {len(names) - _SHOWN:,} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
