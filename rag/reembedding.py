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
from pathlib import Path

from rag.documents.folder import File
from rag.index.catalog import Catalog, FileFacts
from rag.index.succession import abandon, succeeding
from rag.index.writer import Writer, writing
from rag.sync import OnProgress, Plan, Split, Sync
from rag.types import Document, DocumentSummary, Embedder, IndexShape, ReembedReport


def reembed(
    index: Path,
    *,
    facts: Mapping[str, str],
    embedder: Embedder,
    split: Split,
    progress: OnProgress | None = None,
) -> ReembedReport:
    """Make an index that of another embedder, or with chunks of another size.

    Parameters
    ----------
    index : the index folder.
    facts : what shapes it from now on: embedder, revision, chunk_size.
    embedder, split : make vectors and chunks so.

    Raises
    ------
    ProviderError
        A text could not be embedded. The old index answers, and the next run goes on.
    CorpusLocked, CorpusError
        As `rag.index.writer.writing`; likewise.
    """
    started = time.perf_counter()
    embedded = 0
    with writing(index, {}) as writer:
        before = {key: writer.catalog.get(key) or "" for key in facts}
        if before == facts:
            abandon(index)
        else:
            with succeeding(writer, facts) as following:
                embedded = _fill(following, writer.catalog, embedder, split, progress)
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


def _fill(
    writer: Writer, old: Catalog, embedder: Embedder, split: Split, progress: OnProgress | None
) -> int:
    """Bring a new index level with the old one's documents; returns how many it embedded."""
    plan = _plan(old, writer.catalog)

    def load(file: File) -> Document:
        _stop_at_failure(plan)
        document = old.document(file.id)
        assert document is not None  # noqa: S101 - nobody else writes meanwhile
        return document

    sync = Sync(plan, writer, load=load, split=split, embedder=embedder, progress=progress)
    sync.run()
    _stop_at_failure(plan)
    return sync.embedded


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
