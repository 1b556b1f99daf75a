"""A folder and what is indexed of it become equal: files -> plan -> records.

1. Each file is compared with what the catalog knows: by size and time first, by the hash of
   its bytes where those do not settle it. A new file with the bytes of a vanished one has
   moved.
2. New and changed files are read and chunked; one that cannot be read is a failure of its
   own, and its older version goes on answering.
3. Chunks whose vector is not known are embedded, some hundred at a time, and the vectors
   kept at once: whatever stops a sync, the next one goes on from there. A server that asks
   for patience is waited for.
4. Whole documents are written, one batch in one transaction.

Beside `rag.corpus` this is the only module that knows several stages.
"""

import hashlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from rag.documents import loaders
from rag.documents.folder import File, Listing
from rag.errors import (
    DocumentError,
    MissingDependency,
    ProviderError,
    UnreadableDocument,
    UnsupportedFormat,
)
from rag.index.catalog import FileFacts, Record, vector_key
from rag.index.writer import Writer
from rag.interrupts import Interrupts
from rag.patience import Patience
from rag.types import Chunk, Document, Embedder, Failure, Progress, Skipped, SyncReport

BATCH_CHUNKS = 512
"""Chunks after which what was read is written. A batch costs a transaction and a commit of
the terms, together .1 s, against some 20 s for embedding as many on two cores."""
SLICE_CHUNKS = 64
"""Chunks after which vectors are kept, progress is told and a sync may be interrupted: two to
three seconds' work."""
_CLOCK_NS = 50_000_000
"""A file changed so shortly before it was looked at may change again under the same time:
systems tell times in steps of up to some 10 ms."""
_THE_TEXTS_FAULT = frozenset({400, 413, 422})
"""Statuses by which a server refuses one text; at any other error it need not be asked again."""

Load = Callable[[File], Document]
Split = Callable[[Document], list[Chunk]]
OnProgress = Callable[[Progress], None]


@dataclass(slots=True)
class Plan:
    """What a sync has to do, known before anything is read."""

    to_read: list[tuple[File, FileFacts | None]] = field(default_factory=list)
    """With None for a text that is no file."""
    added: list[str] = field(default_factory=list)
    updated: list[str] = field(default_factory=list)
    moved: dict[str, str] = field(default_factory=dict)
    """New id -> old id."""
    removed: list[str] = field(default_factory=list)
    unchanged: list[str] = field(default_factory=list)
    touched: dict[str, FileFacts] = field(default_factory=dict)
    """Unchanged by their bytes, with a new time."""
    failed: list[Failure] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)
    incomplete: list[Skipped] = field(default_factory=list)

    def report(self, *, seconds: float) -> SyncReport:
        """Say what would be done."""
        moved = sorted((old, new) for new, old in self.moved.items())
        return SyncReport(
            added=tuple(self.added),
            updated=tuple(self.updated),
            moved=tuple(moved),
            removed=tuple(self.removed),
            unchanged=tuple(self.unchanged),
            failed=tuple(sorted(self.failed, key=lambda failure: failure.id)),
            skipped=tuple(sorted(self.skipped, key=lambda skipped: skipped.id)),
            incomplete=tuple(self.incomplete),
            seconds=seconds,
        )


def make_plan(
    listing: Listing,
    *,
    known: Mapping[str, FileFacts],
    put_ids: frozenset[str],
    reader: str,
    max_bytes: int,
    check: Callable[[], None] = lambda: None,
) -> Plan:
    """Compare a folder with what is indexed of it.

    Parameters
    ----------
    known : the files that are indexed.
    put_ids : the ids of texts that are no files.
    reader : version of the readers; what another one read is read again.
    max_bytes : a larger file is not hashed, since it will be refused.
    check : called before each file; what it raises ends the planning.

    Notes
    -----
    A file is taken for unchanged without being opened when size and time are what they were
    and the time lies well before the last look at it.
    """
    plan = Plan(failed=list(listing.failed), skipped=list(listing.skipped))
    present = {file.id for file in listing.files} | {failure.id for failure in listing.failed}
    hidden = tuple(failure.id for failure in listing.failed if failure.id.endswith("/"))
    vanished = [id_ for id_ in sorted(known) if id_ not in present and not id_.startswith(hidden)]
    for file in listing.files:
        check()
        _plan_file(file, plan, known=known, put_ids=put_ids, reader=reader, max_bytes=max_bytes)
    _find_moves(plan, {known[id_].file_hash: id_ for id_ in reversed(vanished)})
    gone = set(vanished) - set(plan.moved.values())
    plan.removed = [id_ for id_ in vanished if id_ in gone]
    return plan


def _plan_file(
    file: File,
    plan: Plan,
    *,
    known: Mapping[str, FileFacts],
    put_ids: frozenset[str],
    reader: str,
    max_bytes: int,
) -> None:
    if file.id in put_ids:
        message = (
            f"{file.id!r} is the id of a text that was put into the corpus; rename the file, or "
            "remove the text"
        )
        plan.failed.append(_failed(file.id, message))
        return
    before = known.get(file.id)
    looked_at = time.time_ns()
    same_stat = (
        before is not None
        and (before.size, before.mtime_ns) == (file.size, file.mtime_ns)
        and before.mtime_ns < before.checked_ns - _CLOCK_NS
    )
    if before is not None and same_stat and before.reader == reader:
        plan.unchanged.append(file.id)
        return
    try:
        file_hash = _hash(file.path) if file.size <= max_bytes else ""
    except OSError as error:
        message = f"{file.id!r} cannot be read: {error.strerror}"
        plan.failed.append(_failed(file.id, message))
        return
    facts = FileFacts(
        size=file.size,
        mtime_ns=file.mtime_ns,
        file_hash=file_hash,
        reader=reader,
        checked_ns=looked_at,
    )
    if before is not None and before.file_hash == file_hash and before.reader == reader:
        plan.unchanged.append(file.id)
        plan.touched[file.id] = facts
        return
    (plan.added if before is None else plan.updated).append(file.id)
    plan.to_read.append((file, facts))


def _find_moves(plan: Plan, vanished: dict[str, str]) -> None:
    """Pair new files with vanished ones of the same bytes."""
    hashes = {file.id: facts.file_hash for file, facts in plan.to_read if facts is not None}
    for id_ in plan.added:
        old = vanished.pop(hashes[id_], None) if hashes[id_] else None
        if old is not None:
            plan.moved[id_] = old
    plan.added = [id_ for id_ in plan.added if id_ not in plan.moved]


class Sync:
    """One run of a plan by one writer.

    Parameters
    ----------
    plan : it is carried out and brought up to date where files turn out unreadable.
    load, split : a file becomes a document, a document chunks.
    embedder : makes the vectors that are not known yet.
    interrupts : a sync that is asked to stop ends the slice in hand and writes what is whole.
    patience_s : how long a server is waited for; see `rag.patience`.
    progress : called at least every few seconds of work.
    """

    def __init__(
        self,
        plan: Plan,
        writer: Writer,
        *,
        load: Load,
        split: Split,
        embedder: Embedder,
        interrupts: Interrupts,
        patience_s: float = 0,
        progress: OnProgress | None = None,
    ) -> None:
        self.embedded = 0
        self.reused = 0
        self.unused_vectors = 0
        self._plan = plan
        self._writer = writer
        self._load = load
        self._split = split
        self._embedder = embedder
        self._progress = progress or (lambda _: None)
        self._total_bytes = sum(file.size for file, _ in plan.to_read)
        self._done_bytes = 0
        self._refusal: ProviderError | None = None
        self._interrupts = interrupts
        self._patience = Patience(patience_s, interrupts=interrupts, tell=self._tell_wait)

    def run(self) -> None:
        """Carry the plan out.

        Raises
        ------
        CorpusError
            The index cannot be written; what was written before still answers.
        KeyboardInterrupt
            Or what else the handler of the signal raises, once the work in hand is kept.
        """
        catalog = self._writer.catalog
        with catalog.transaction():
            for id_, facts in self._plan.touched.items():
                catalog.touch(id_, facts)
        if self._plan.removed:
            self._writer.write([], removed=self._plan.removed)
        for batch in self._batches():
            self.write(batch)
        if not self._plan.failed:  # Else some belong to what the next sync will try again.
            catalog.prune_vectors()
        self.unused_vectors = catalog.unused_vectors()
        self._tell("indexing")

    def record(self, document: Document, facts: FileFacts | None) -> Record:
        """Chunk a document."""
        chunks = self._split(document)
        keys = [vector_key(chunk) for chunk in chunks]
        return Record(document=document, chunks=chunks, keys=keys, facts=facts)

    def write(self, batch: Sequence[Record]) -> None:
        """Embed what has to be, then put the documents in the place of their old versions."""
        missing = self._embed(batch)
        whole, left = [], []
        for record in batch:
            errors = [missing[key] for key in record.keys if key in missing]
            if not errors:
                whole.append(record)
            elif errors[0] is None:
                left.append(record)
            else:
                self._fail(record.document.id, errors[0])
        moved = [
            self._plan.moved[r.document.id] for r in whole if r.document.id in self._plan.moved
        ]
        if whole:
            self._writer.write(whole, removed=moved)
        self._done_bytes += _size(batch) - _size(left)
        self._interrupts.check()
        if left:  # The signal's handler wants no stop.
            self.write(left)

    def _batches(self) -> Iterator[list[Record]]:
        """Read and chunk, some hundred chunks at a time."""
        batch: list[Record] = []
        for file, facts in self._plan.to_read:
            self._interrupts.check()
            self._tell("reading", file.id)
            try:
                document = self._load(file)
            except UnsupportedFormat as error:
                self._skip(file.id, reason=str(error))
            except (DocumentError, MissingDependency) as error:
                self._fail(file.id, error)
            else:
                reasons = loaders.left_out(document)
                self._plan.incomplete += [Skipped(id=file.id, reason=r) for r in reasons]
                batch.append(self.record(document, facts))
            if sum(len(record.chunks) for record in batch) >= BATCH_CHUNKS:
                yield batch
                batch = []
        if batch:
            yield batch

    def _embed(self, batch: Sequence[Record]) -> dict[bytes, ProviderError | None]:
        """Make the vectors that are missing and keep them.

        Returns
        -------
        dict
            What is missing still, by key: its error, or None where the sync shall stop.
        """
        known = self._writer.catalog.known_vectors([key for r in batch for key in r.keys])
        new = {
            key: chunk
            for record in batch
            for chunk, key in zip(record.chunks, record.keys, strict=True)
            if key not in known
        }
        self.reused += sum(key not in new for record in batch for key in record.keys)
        # Texts of like length need the least padding; an embedder sorts only what it is given.
        keys = sorted(new, key=lambda key: (new[key].tokens, key))
        missing: dict[bytes, ProviderError | None] = {}
        if keys:  # The model is loaded first, which takes seconds.
            self._tell("embedding", batch[0].document.id)
        for start in range(0, len(keys), SLICE_CHUNKS):
            part = {key: new[key].embedded for key in keys[start : start + SLICE_CHUNKS]}
            missing |= self._embed_slice(part)
            done = _size(batch) * (start + len(part)) // len(keys)
            self._tell("embedding", batch[0].document.id, done_bytes=done)
        return missing

    def _embed_slice(self, texts: Mapping[bytes, str]) -> dict[bytes, ProviderError | None]:
        """Embed some texts and keep their vectors; where a server refuses, find which it is."""
        if self._refusal is not None or self._interrupts.asked:
            return dict.fromkeys(texts, self._refusal)
        keys = list(texts)
        try:
            matrix = self._patience.ask(  # (n, d)
                lambda: self._embedder.embed_documents([texts[key] for key in keys])
            )
        except ProviderError as error:
            if error.status not in _THE_TEXTS_FAULT:
                self._refusal = error
            elif len(keys) > 1:
                half = len(keys) // 2
                first = {key: texts[key] for key in keys[:half]}
                second = {key: texts[key] for key in keys[half:]}
                return self._embed_slice(first) | self._embed_slice(second)
            return dict.fromkeys(keys, error)
        if matrix is None:
            return dict.fromkeys(keys)
        self._writer.catalog.add_vectors(keys, matrix)
        self.embedded += len(keys)
        return {}

    def _skip(self, id_: str, *, reason: str) -> None:
        before = self._plan.moved.get(id_, id_ if id_ in self._plan.updated else None)
        if before is not None:  # It was a document, and is none any more.
            self._writer.write([], removed=[before])
            self._plan.removed.append(before)
        self._plan.skipped.append(Skipped(id=id_, reason=reason))
        self._leave_out(id_)

    def _fail(self, id_: str, error: DocumentError | MissingDependency | ProviderError) -> None:
        self._plan.failed.append(Failure(id=id_, error=error))
        self._leave_out(id_)

    def _leave_out(self, id_: str) -> None:
        """Take a file that was not indexed off the lists of those that were."""
        self._plan.moved.pop(id_, None)
        for ids in (self._plan.added, self._plan.updated):
            if id_ in ids:
                ids.remove(id_)

    def _tell(
        self,
        stage: Literal["reading", "embedding", "waiting", "indexing"],
        label: str = "",
        *,
        done_bytes: int = 0,
        wait_s: float = 0.0,
    ) -> None:
        self._progress(
            Progress(
                stage=stage,
                done_bytes=self._done_bytes + done_bytes,
                total_bytes=self._total_bytes,
                embedded=self.embedded,
                label=label,
                wait_s=wait_s,
            )
        )

    def _tell_wait(self, error: ProviderError, wait_s: float) -> None:
        self._tell("waiting", str(error), wait_s=wait_s)


def _size(batch: Sequence[Record]) -> int:
    return sum(len(r.document.text) if r.facts is None else r.facts.size for r in batch)


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _failed(id_: str, message: str) -> Failure:
    return Failure(id=id_, error=UnreadableDocument(message, source=id_))
