"""The store answers the two searches from the catalog and its copies.

A copy that does not check out is never asked. Dense search scans the catalog's vectors
then, and also where that is better anyway: up to `exact_up_to` chunks, under a filter (over
50,000 chunks Chroma takes 50 to 340 ms with one, a scan 15 ms), while a writer is at work.
Lexical search builds its index in memory from the catalog. Both ways give the same hits:
Chroma's candidates are scored again with the catalog's vectors, and ties are ordered by id.

Every query is answered from one snapshot of the catalog, so that a writer beside it changes
nothing while it runs and everything for the next one.
"""

import logging
import shutil
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from rag.index import copies, locks
from rag.index.catalog import Catalog, Record, Rows, vector_key, wrong_dimension
from rag.index.copies import CopyFailed
from rag.index.lexicon import Lexicon
from rag.index.writer import check_facts, writing
from rag.sentences import windows
from rag.types import Chunk, Document, Embedder, Hit, Matrix, Vector, Where

if TYPE_CHECKING:
    from rag.index.chroma import ChromaVectors

__all__ = ["Store", "vector_key"]

_log = logging.getLogger(__name__)
_CANDIDATES = 256
"""Asked of Chroma at least, and doubled as k needs it: all k below get the same candidates."""
_SPARE = 32
"""Candidates beyond k, since Chroma's order is that of approximate distances."""
_DIGITS = 6
"""Of a score: float32 vectors carry no more."""
_NOISE = 1e-5
"""By so much a product of float32 may be off; what may be among the best is scored again."""

_REMEMBERED = 8192
"""Chunks, some 2 kB each, and as many pairs of neighbours that are kept between queries: all
of a corpus of 2,000 chunks, whose warm query they halve."""


class Store:
    """One index folder, opened for reading; `writing` changes it. Safe to share by threads.

    Parameters
    ----------
    folder : the index folder.
    embedder : embeds queries; the one the index was made with.
    facts : what shapes the index, compared with what it was made with.
    exact_up_to : up to so many chunks dense search scans instead of asking Chroma; 0: always
        Chroma where it can be trusted.

    Raises
    ------
    CorpusNotFound
        The folder holds no index.
    CorpusMismatch
        It was made with other facts, or by another version.
    CorpusError
        It is damaged.
    """

    def __init__(
        self,
        folder: Path,
        *,
        embedder: Embedder,
        facts: Mapping[str, str] | None = None,
        exact_up_to: int = 20_000,
    ) -> None:
        self.folder = folder
        self.embedder = embedder
        self.catalog = Catalog(folder, write=False)
        self._facts = facts or {}
        self._exact_up_to = exact_up_to
        self._lock = threading.RLock()
        self._chroma: ChromaVectors | None = None
        self._chroma_record: str | None = None
        self._chroma_error: str | None = None
        self._scratch = ExitStack()
        self._reset()
        try:
            check_facts(self.catalog, self._facts)
        except BaseException:
            self.catalog.close()
            raise

    @classmethod
    def create(
        cls, folder: str | Path, *, embedder: Embedder, facts: Mapping[str, str] | None = None
    ) -> "Store":
        """Open an index, and make an empty one where there is none.

        Parameters
        ----------
        folder : its parent exists.
        embedder, facts : as for the class.

        Raises
        ------
        CorpusLocked, CorpusMismatch, CorpusError
            As `writing`.
        """
        folder = Path(folder)
        with writing(folder, facts or {}):
            pass
        return cls(folder, embedder=embedder, facts=facts)

    def _reset(self) -> None:
        """Forget what was read of another file."""
        self._generation = -1
        self._total = 0
        self._rows: Rows | None = None
        self._fresh_rows = False
        self._lexicon: Lexicon | None = None
        self._chunks: dict[str, Chunk] = {}
        self._around: dict[str, tuple[str | None, str | None]] = {}
        self._scratch.close()

    def close(self) -> None:
        """Let go of every file."""
        with self._lock:
            self._close_chroma()
            self._reset()
            self.catalog.close()

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """Answer several questions from one state of the index; may be nested.

        Other threads wait meanwhile, and it has to be left by the thread that entered it.
        """
        with self._lock:
            if self.catalog.refresh():  # The index was deleted and made anew.
                self._reset()
                check_facts(self.catalog, self._facts)
            with self.catalog.snapshot():
                generation = self.catalog.generation
                if generation != self._generation:
                    check_facts(self.catalog, self._facts, was_open=True)
                    self._total = self.catalog.totals()[1]
                    self._fresh_rows = False
                    self._chunks, self._around = {}, {}
                    # Opened now, it outlives its folder, which the next write may replace.
                    self._lexicon = self._trusted_lexicon()
                    self._generation = generation
                yield

    # ---- searching ----------------------------------------------------------------------

    def dense(self, query: str, k: int, *, where: Where | None = None) -> list[Hit]:
        """Find the chunks nearest to a query in meaning.

        Parameters
        ----------
        query : embedded by the store's own embedder; a longer one than it reads is embedded
            in windows whose vectors are averaged.
        k : at most so many.
        where : None: all documents.

        Returns
        -------
        list of Hit
            Best first, ties by id, ``by="dense"``, score the cosine in [-1, 1].

        Raises
        ------
        CorpusMismatch
            The embedder's vectors have another dimension than the index's.
        ValueError
            ``where`` names an unknown field.
        """
        if k < 1:
            return []
        vector = self._embed_query(query)
        with self.snapshot():
            self._check_dimension(vector)
            if where is not None:
                scored = self._scan(vector, k, list(self.catalog.matching(where)))
            else:
                scored = self._ask_chroma(vector, k) or self._scan(vector, k, None)
            return self._hits(scored, k, by="dense")

    def lexical(self, query: str, k: int, *, where: Where | None = None) -> list[Hit]:
        """Find the chunks that share the rarest terms with a query.

        Returns
        -------
        list of Hit
            Best first, ties by id, ``by="lexical"``, score BM25 > 0; fewer than k where
            fewer chunks share a term.

        Raises
        ------
        ValueError
            ``where`` names an unknown field.
        """
        if k < 1:
            return []
        with self.snapshot():
            names = None if where is None else list(self.catalog.matching(where).values())
            if names == []:
                return []
            wanted = k
            while True:
                found = self._find_terms(query, wanted, names)
                hits = self._hits(found, k, by="lexical")
                if len(hits) == k or len(found) < wanted:
                    return hits
                wanted *= 2  # Some were chunks that the catalog does not know.

    def _hits(self, scored: Sequence[tuple[str, float]], k: int, *, by: str) -> list[Hit]:
        """Look chunks up; what the catalog does not know is never returned."""
        chunks = self._chunks_of([id_ for id_, _ in scored])
        known = [pair for pair in scored if pair[0] in chunks]
        return [
            Hit(chunk=chunks[id_], rank=rank, score=score, by=by)
            for rank, (id_, score) in enumerate(known[:k], start=1)
        ]

    def _chunks_of(self, ids: Sequence[str]) -> Mapping[str, Chunk]:
        """Read chunks, and perhaps others; each is read once while the index stays as it is."""
        new = [id_ for id_ in ids if id_ not in self._chunks]
        if len(self._chunks) + len(new) > _REMEMBERED:
            self._chunks, new = {}, list(ids)
        self._chunks |= self.catalog.chunks(new)
        return self._chunks

    def _embed_query(self, query: str) -> Vector:
        parts = windows(query, limit=self.embedder.max_tokens, count=self.embedder.count)
        matrix = np.stack([self.embedder.embed_query(part) for part in parts or [query]])  # (w, d)
        mean = matrix.mean(axis=0)
        vector: Vector = (mean / (np.linalg.norm(mean) or 1)).astype(np.float32)
        return vector

    def _check_dimension(self, vector: Vector) -> None:
        expected, found = str(len(vector)), self.catalog.get("dimension")
        if found is not None and found != expected:
            raise wrong_dimension(self.folder, expected=expected, found=found)

    # ---- the exact scan -----------------------------------------------------------------

    def _scan(
        self, vector: Vector, k: int, documents: Sequence[int] | None
    ) -> list[tuple[str, float]]:
        """Score every vector: O(n d)."""
        rows = self._current_rows()
        if not len(rows.numbers):
            return []
        near = rows.matrix @ vector  # (n,)
        if documents is None:
            places = np.arange(len(near))
        else:
            places = np.flatnonzero(np.isin(rows.documents, documents))
        if len(places) > k:
            kth = np.partition(near[places], -k)[-k]
            places = places[near[places] >= kth - _NOISE]
        ids = [rows.ids[place] for place in places]
        return _ordered(ids, rows.matrix[places], vector)[:k]

    def _current_rows(self) -> Rows:
        if not self._fresh_rows or self._rows is None:
            self._rows = self.catalog.rows(self._rows)
            self._fresh_rows = True
        return self._rows

    # ---- Chroma -------------------------------------------------------------------------

    def _ask_chroma(self, vector: Vector, k: int) -> list[tuple[str, float]] | None:
        """Ask Chroma where that is better; None: scan instead."""
        total = self._total
        if total <= max(self._exact_up_to, k) or self.catalog.aside:
            return None
        n = _CANDIDATES
        while n < k + _SPARE:
            n *= 2
        n = min(n, total)
        with locks.reading_chroma(self.folder) as allowed:
            if not allowed:
                return None
            try:
                chroma = self._open_chroma()
                ids = [] if chroma is None else chroma.nearest(vector, n)
            except CopyFailed as error:
                _log.info("chroma failed, scanning instead: %s", error)
                self._close_chroma()
                self._chroma_error = str(error)
                return None
        if len(set(ids)) < n:
            return None
        try:
            scored = _ordered(ids, self.catalog.vectors(ids), vector)
        except KeyError:  # It holds a chunk that the catalog does not.
            return None
        # Where a tie may go on beyond the candidates, only a scan can order it by id.
        return scored[:k] if n == total or scored[k - 1][1] > scored[-1][1] else None

    def _open_chroma(self) -> "ChromaVectors | None":
        """Open Chroma's copy of this very snapshot; None where there is none to be trusted.

        The record in the snapshot must still be the latest: a writer marks it before it
        waits for the lock that is held here.
        """
        text = self.catalog.get("chroma")
        if text is None or self.catalog.is_pending() or self.catalog.latest("chroma") != text:
            return None
        if text != self._chroma_record:
            self._close_chroma()
            self._chroma_record, self._chroma_error = text, None
            self._chroma = self._trusted_chroma()
        return self._chroma

    def _trusted_chroma(self) -> "ChromaVectors | None":
        from rag.index.chroma import ChromaVectors  # noqa: PLC0415 - a scan need not wait for it

        copy = copies.recorded(self.catalog, "chroma")
        if copy is None or not copy.whole:
            return None
        if different := copies.differences(self.folder, copy):
            _log.info("chroma is not asked, its files differ: %s", ", ".join(different))
            return None
        return ChromaVectors(self.folder / copy.folder)

    def _close_chroma(self) -> None:
        if self._chroma is not None:
            self._chroma.close()
            self._chroma = None

    # ---- Tantivy ------------------------------------------------------------------------

    def _find_terms(
        self, query: str, k: int, documents: Sequence[str] | None
    ) -> list[tuple[str, float]]:
        if self._lexicon is not None:
            try:
                return self._lexicon.search(query, k, documents=documents)
            except CopyFailed as error:
                _log.info("the terms failed, building them in memory: %s", error)
        self._lexicon = Lexicon(None)
        self._lexicon.add(self.catalog.all_chunks())
        return self._lexicon.search(query, k, documents=documents)

    def _trusted_lexicon(self) -> Lexicon | None:
        """Open the terms; None where they have to be built in memory."""
        copy = copies.recorded(self.catalog, "terms")
        if copy is None or not self._is_intact(copy):
            return None
        try:
            if not self.catalog.aside:
                return Lexicon(self.folder / copy.folder, must_exist=True)
            # Tantivy opens only folders that can be written.
            self._scratch.close()
            scratch = self._scratch.enter_context(tempfile.TemporaryDirectory(prefix="rag-"))
            folder = shutil.copytree(self.folder / copy.folder, Path(scratch) / copy.folder)
            return Lexicon(folder, must_exist=True)
        except (CopyFailed, OSError) as error:
            _log.info("the terms cannot be opened: %s", error)
            return None

    def _is_intact(self, copy: copies.Copy) -> bool:
        """Whether a folder of terms holds the snapshot's chunks, if others as well."""
        if copy.whole and not copies.differences(self.folder, copy):
            return True
        now = copies.recorded(self.catalog, "terms", now=True)
        if now is None or now.folder != copy.folder:
            return False  # It was replaced in this very moment.
        if now.whole:
            return not copies.differences(self.folder, now)
        return locks.writer(self.folder) is not None  # Else its writer died.

    # ---- looking up ---------------------------------------------------------------------

    def document(self, document_id: str) -> Document:
        """Read a document with its text.

        Raises
        ------
        KeyError
            There is none of this id.
        """
        with self.snapshot():
            document = self.catalog.document(document_id)
        if document is None:
            raise KeyError(document_id)
        return document

    def vectors(self, ids: Sequence[str]) -> Matrix:
        """Read the vectors of chunks, in the order given: (n, d).

        Raises
        ------
        KeyError
            There is no chunk of an id.
        """
        with self.snapshot():
            return self.catalog.vectors(ids)

    def neighbours(self, ids: Sequence[str]) -> dict[str, tuple[str | None, str | None]]:
        """Find the ids of the chunks before and after each in its document.

        Returns
        -------
        dict
            Chunk id -> (before, after), None at the document's ends; unknown ids are left out.
        """
        with self.snapshot():
            new = [id_ for id_ in ids if id_ not in self._around]
            if len(self._around) + len(new) > _REMEMBERED:
                self._around, new = {}, list(ids)
            self._around |= self.catalog.neighbours(new)
            return {id_: self._around[id_] for id_ in ids if id_ in self._around}

    def findings(self) -> list[str]:
        """Say what is wrong with the copies; empty means nothing."""
        found = []
        with self.snapshot():
            busy = locks.writer(self.folder) is not None
            for name in copies.NAMES:
                copy = copies.recorded(self.catalog, name)
                if busy:
                    continue
                if copy is None:
                    if copies.is_outdated(self.catalog, name):
                        found.append(f"{name}: made by other rules; sync builds them anew")
                elif not copy.whole:
                    found.append(f"{name}: the last write did not end; sync builds it anew")
                elif different := copies.differences(self.folder, copy):
                    files = ", ".join(different[:3])
                    found.append(f"{name}: {files} is not what was written; sync builds it anew")
                elif name == "chroma" and self.catalog.is_pending():
                    found.append(f"{name}: it is behind the catalog; sync brings it level")
                elif name == "chroma" and self._chroma_error is not None:
                    found.append(
                        f"{name}: it could not be asked ({self._chroma_error}); if that does not "
                        f"pass, remove {self.folder / copy.folder} and sync"
                    )
        return found

    # ---- writing ------------------------------------------------------------------------

    def replace(self, document: Document, chunks: Sequence[Chunk], vectors: Matrix) -> None:
        """Put one document with its chunks and their vectors in the place of its older version.

        Parameters
        ----------
        vectors : (n, d), one row a chunk.
        """
        with writing(self.folder, self._facts) as writer:
            keys = [vector_key(chunk) for chunk in chunks]
            writer.catalog.add_vectors(keys, vectors)
            writer.write([Record(document=document, chunks=chunks, keys=keys, facts=None)])


def _ordered(ids: Sequence[str], matrix: Matrix, vector: Vector) -> list[tuple[str, float]]:
    """Score chunks, best first, ties by id.

    In float64: the order in which a product of float32 is summed depends on how many rows
    there are, and with it the last digits.
    """
    exact = matrix.astype(np.float64) @ vector.astype(np.float64)
    scores = np.round(exact, _DIGITS) + 0.0  # (n,), without negative zeros
    return sorted(zip(ids, scores.tolist(), strict=True), key=lambda pair: (-pair[1], pair[0]))
