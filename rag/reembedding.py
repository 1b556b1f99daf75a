"""An index is made anew for another embedder, without reading a file again.

1. The texts come from the catalog, and are chunked anew: a chunk's size depends on what the
   embedder reads, and is counted by its tokenizer.
2. The new index gathers beside the old one, which goes on answering. What an interrupted run
   has embedded is kept; of the documents only those are done that are not there yet as the
   old index has them now.
3. It takes the old one's place at once.
"""

import time
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

from rag.documents.folder import File
from rag.index.catalog import Catalog, FileFacts
from rag.index.succession import abandon, succeeding
from rag.index.writer import writing
from rag.interrupts import deferred
from rag.sync import OnProgress, Plan, Split, Sync
from rag.types import Document, DocumentSummary, Embedder, IndexShape, ReembedReport


def reembed(
    index: Path,
    *,
    facts: Mapping[str, str],
    embedder: Embedder,
    split: Split,
    patience_s: float = 0,
    progress: OnProgress | None = None,
) -> ReembedReport:
    """Make an index that of another embedder, or with chunks of another size.

    Parameters
    ----------
    index : the index folder.
    facts : what shapes it from now on: embedder, revision, chunk_size.
    embedder, split : make vectors and chunks so.
    patience_s : how long a server is waited for; see `rag.patience`.

    Raises
    ------
    ProviderError
        A text could not be embedded. The old index answers, and the next run goes on.
    CorpusLocked, CorpusError
        As `rag.index.writer.writing`; likewise.
    """
    started = time.perf_counter()
    embedded = 0
    with deferred() as interrupts, writing(index, {}) as writer:
        before = {key: writer.catalog.get(key) or "" for key in facts}
        if before == facts:
            abandon(index)
        else:
            with succeeding(writer, facts) as following:
                plan = _plan(writer.catalog, following.catalog)
                sync = Sync(
                    plan,
                    following,
                    load=partial(_load, writer.catalog, plan),
                    split=split,
                    embedder=embedder,
                    interrupts=interrupts,
                    patience_s=patience_s,
                    progress=progress,
                )
                sync.run()
                _stop_at_failure(plan)
                embedded = sync.embedded
        documents, chunks, _ = writer.catalog.totals()
    return ReembedReport(
        before=_shape(before),
        after=_shape(facts),
        documents=documents,
        chunks=chunks,
        embedded=embedded,
        reused=chunks - embedded,
        seconds=time.perf_counter() - started,
    )


def _shape(facts: Mapping[str, str]) -> IndexShape:
    return IndexShape(
        embedder=facts["embedder"],
        revision=facts["revision"],
        chunk_size=int(facts["chunk_size"] or 0),
    )


def _load(old: Catalog, plan: Plan, file: File) -> Document:
    """Read a document of the old index."""
    _stop_at_failure(plan)
    document = old.document(file.id)
    assert document is not None  # noqa: S101 - nobody else writes meanwhile
    return document


def _plan(old: Catalog, new: Catalog) -> Plan:
    """List the documents that the new index does not hold as the old one does."""
    wanted, held = _documents(old), _documents(new)
    differing = {id_: facts for id_, facts in wanted.items() if held.get(id_) != facts}
    return Plan(
        to_read=[(_as_file(summary, facts), facts) for summary, facts in differing.values()],
        removed=[id_ for id_ in held if id_ not in wanted],
    )


def _documents(catalog: Catalog) -> dict[str, tuple[DocumentSummary, FileFacts | None]]:
    """Give whatever is known of each document, but for how it is chunked."""
    files = catalog.files()
    return {s.id: (replace(s, chunks=0), files.get(s.id)) for s in catalog.summaries()}


def _as_file(summary: DocumentSummary, facts: FileFacts | None) -> File:
    size = summary.characters if facts is None else facts.size
    return File(id=summary.id, path=Path(summary.id), size=size, mtime_ns=0)


def _stop_at_failure(plan: Plan) -> None:
    """One text that cannot be embedded leaves no whole index: the others may wait."""
    if plan.failed:
        id_, error = plan.failed[0].id, plan.failed[0].error
        error.add_note(f"it was to embed {id_!r}")
        raise error
