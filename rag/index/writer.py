"""One writer changes an index; a crash at any moment leaves something right.

1. The terms' copy is marked as being changed.
2. New chunks go to Tantivy. The catalog does not know them yet, so no search returns them.
3. One transaction of the catalog replaces the documents and raises the generation.
4. When all batches are written, Tantivy is built anew if chunks have gone, Chroma is brought
   level with the catalog, and both copies are recorded as whole.

What is found damaged or half written at the start is built anew from the catalog, in a new
folder: readers go on with the old one, or with the catalog, until the new one is recorded.
"""

import logging
import shlex
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from rag.errors import CorpusError, CorpusMismatch, RagError
from rag.index import child, copies, locks
from rag.index.catalog import Catalog, Record
from rag.index.copies import CopyFailed
from rag.index.lexicon import Lexicon
from rag.types import Chunk

if TYPE_CHECKING:
    from rag.index.chroma import ChromaVectors

_log = logging.getLogger(__name__)

DEAD_SHARE = 1.0
"""Chunks deleted from Chroma's graph, against those it holds, after which it is built anew.
Recall is no reason to: over 5,000 MiniLM vectors, of which 250 at a time were deleted and as
many new ones added, it stayed at .997 of 10 and .980 of 200 up to a share of .6, and as high
under deletions alone up to 2 (what hurts is rewriting an id, which is never done here). The
vectors of what was deleted do stay in the file, which at this share is half of it."""


class Writer:
    """Changes to one index; made by `writing`, which holds the lock.

    Attributes
    ----------
    catalog : facts and vectors may be written to it directly, documents by `write` only.
    repaired : the copies that were not what they should have been and are built anew.
    """

    def __init__(self, folder: Path, catalog: Catalog) -> None:
        self.catalog = catalog
        self.repaired: list[copies.Name] = []
        self._folder = folder
        self._lexicon: Lexicon | None = None
        self._lingering: set[str] = set()  # Chunks that only the terms' folder still holds.
        self._dead = 0  # Chunks that only Chroma's graph still holds.
        # Chroma writes memory that it has not set into its graph's file, and with it whatever
        # this process had there before: what was forgotten, for one.
        self._apart = False
        self._terms = self._checked("terms")
        self._chroma = self._checked("chroma")

    def _checked(self, name: copies.Name) -> Path | None:
        """Find the folder of a copy that may be added to; None: it has to be built."""
        copy = copies.recorded(self.catalog, name)
        different = ["unfinished"]
        if copy is None:
            if not copies.is_outdated(self.catalog, name):
                return None
            different = ["made by other rules"]
        elif copy.whole:
            with locks.changing_chroma(self._folder):
                different = copies.differences(self._folder, copy, alone=True)
        if different:
            _log.info("%s is built anew: %s", name, ", ".join(different))
            self.repaired.append(name)
        if copy is None or different:
            return None
        if name == "chroma":
            self._dead = copy.dead
        return self._folder / copy.folder

    # ---- documents ----------------------------------------------------------------------

    def write(self, records: Sequence[Record], removed: Sequence[str] = ()) -> None:
        """Replace and remove documents, all at once for every reader.

        Parameters
        ----------
        records : no document twice; the vectors of the chunks are in the catalog already.
        removed : ids of documents; one that is also in ``records`` is removed first.

        Raises
        ------
        ValueError
            A vector is missing, a chunk is not what its id stood for before, or its text is
            not the end of what is embedded.
        CorpusError
            The index cannot be written; what was written before still answers.
        """
        chunks = [chunk for record in records for chunk in record.chunks]
        self._check(records, chunks)
        with _translated(self._folder):
            lexicon = self._open_lexicon()
            try:
                self._write(lexicon, chunks, records, removed)
            except BaseException:
                self._terms = self._lexicon = None  # It may hold what the catalog never knew.
                raise

    def _write(
        self,
        lexicon: Lexicon,
        chunks: Sequence[Chunk],
        records: Sequence[Record],
        removed: Sequence[str],
    ) -> None:
        held = self.catalog.chunks([chunk.id for chunk in chunks]).keys() | self._lingering
        if new := [chunk for chunk in chunks if chunk.id not in held]:
            lexicon.add(new)
        with self.catalog.transaction():
            gone = [id_ for document_id in removed for id_ in self.catalog.remove(document_id)]
            gone += [id_ for record in records for id_ in self.catalog.replace(record)]
            self.catalog.raise_generation()
        self._lingering = (self._lingering | set(gone)) - {chunk.id for chunk in chunks}

    def _check(self, records: Sequence[Record], chunks: Sequence[Chunk]) -> None:
        """Refuse what would make a copy differ from the catalog for good."""
        keys = [key for record in records for key in record.keys]
        before = self.catalog.chunks([chunk.id for chunk in chunks])
        if len(keys) != len(chunks) or not self.catalog.known_vectors(keys) >= set(keys):
            raise ValueError("every chunk needs a vector: add it to the catalog first")
        if len({chunk.id for chunk in chunks}) != len(chunks):
            raise ValueError("two chunks have the same id")
        for record in records:
            for chunk in record.chunks:
                old = before.get(chunk.id, chunk)
                if chunk.document_id != record.document.id or not _keeps(chunk):
                    message = f"chunk {chunk.id!r} is no chunk of {record.document.id!r}"
                    raise ValueError(message)
                if (old.document_id, old.embedded) != (chunk.document_id, chunk.embedded):
                    message = (
                        f"the id {chunk.id!r} stood for another text, of {old.document_id!r}; a "
                        "chunk's id has to change with its text"
                    )
                    raise ValueError(message)

    # ---- terms --------------------------------------------------------------------------

    def _open_lexicon(self) -> Lexicon:
        """Open the terms to be added to, and say so before anything is."""
        if self._lexicon is None:
            if self._terms is None:
                self._terms, self._lexicon = self._build_lexicon()
            else:
                self._lexicon = Lexicon(self._terms, must_exist=True)
            copies.mark(self.catalog, "terms", self._terms)
        return self._lexicon

    def _build_lexicon(self) -> tuple[Path, Lexicon]:
        folder = copies.new_folder(self._folder, "terms")
        lexicon = Lexicon(folder)
        lexicon.add(self.catalog.all_chunks())
        self._lingering = set()
        return folder, lexicon

    def _finish_terms(self) -> None:
        if self._terms is not None and self._lexicon is None:
            return  # Nothing was added.
        built = self._terms is None or bool(self._lingering)
        if built:
            self._terms, _ = self._build_lexicon()
        assert self._terms is not None  # noqa: S101 - built above if it was not there
        with self.catalog.transaction():
            copies.record(self.catalog, "terms", self._terms)
            if built:
                self.catalog.raise_generation()
        self._lexicon = None

    # ---- Chroma -------------------------------------------------------------------------

    def _finish_chroma(self) -> None:
        if self._chroma is not None and not self.catalog.is_pending():
            return
        folder, dead = self._chroma, self._dead + len(self.catalog.pending("gone"))
        total = self.catalog.totals()[1]
        if folder is None or dead > DEAD_SHARE * total or not self._level(folder, total):
            folder, dead = copies.new_folder(self._folder, "chroma"), 0
            copies.mark(self.catalog, "chroma", folder)
            self._fill(folder)
        with locks.changing_chroma(self._folder), self.catalog.transaction():
            copies.record(self.catalog, "chroma", folder, dead=dead)
            self.catalog.clear_pending()
        self._chroma, self._dead = folder, dead

    def _level(self, folder: Path, total: int) -> bool:
        """Bring a whole copy level; False where it turned out not to have been whole."""
        copies.mark(self.catalog, "chroma", folder)
        try:
            with self._vectors(folder) as vectors:
                vectors.remove(self.catalog.pending("gone"))
                vectors.add(self.catalog.with_vectors(self.catalog.pending("new")))
                vectors.move(self.catalog.each(self.catalog.pending("moved")))
                if len(vectors) == total:
                    return True
                reason = f"it holds {len(vectors)} chunks of {total}"
        except CopyFailed as error:
            reason = str(error)
        _log.info("chroma is built anew: %s", reason)
        self.repaired.append("chroma")
        return False

    def _fill(self, folder: Path) -> None:
        if self._apart:
            with locks.changing_chroma(self._folder):
                child.call(fill_chroma, self._folder, folder)
        else:
            with self._vectors(folder) as vectors:
                vectors.add(self.catalog.with_vectors(self.catalog.all_ids()))

    @contextmanager
    def _vectors(self, folder: Path) -> "Iterator[ChromaVectors]":
        from rag.index.chroma import ChromaVectors  # noqa: PLC0415 - only who writes waits for it

        with locks.changing_chroma(self._folder), closing(ChromaVectors(folder)) as vectors:
            yield vectors

    # ---- another index ------------------------------------------------------------------

    def take_over(self, folder: Path, facts: Mapping[str, str]) -> None:
        """Put the index of another folder in the place of this one, at once for every reader.

        Parameters
        ----------
        folder : on the same disk; it is closed, finished, and of the same documents. It loses
            its copies.
        facts : what shapes it.

        Raises
        ------
        CorpusError
            The disk is full, or the other index is damaged; this one answers as before.
        """
        with _translated(self._folder):
            with closing(Catalog(folder, write=False)) as other:
                found = {name: copies.recorded(other, name) for name in copies.NAMES}
            moved = {
                name: copies.move(copy, name, source=folder, target=self._folder)
                for name, copy in found.items()
                if copy is not None
            }
            with self.catalog.taking_over(folder):
                self.catalog.set(**facts)
                for name, copy in moved.items():
                    copies.note(self.catalog, name, copy)
                self.catalog.raise_generation()
        self._terms, self._chroma = (self._folder / moved[name].folder for name in copies.NAMES)
        self._lexicon, self._lingering, self._dead = None, set(), moved["chroma"].dead

    # ---- the end ------------------------------------------------------------------------

    def rebuild(self, name: copies.Name) -> None:
        """Have a copy built anew from the catalog, whatever it looks like."""
        if name == "terms":
            self._terms = self._lexicon = None
        else:
            self._chroma = None

    def forget(self, removed: Sequence[str]) -> int:
        """Remove documents, and whatever files hold of what is no more.

        Parameters
        ----------
        removed : ids of documents; none is fine too.

        Returns
        -------
        int
            How many vectors were removed, all that no chunk uses.

        Raises
        ------
        CorpusError
            The index cannot be written, or a reader held an older state for too long.
        """
        if removed:
            self.write([], removed)
        n_vectors = self.catalog.prune_vectors(0)
        for name in copies.NAMES:
            self.rebuild(name)
        self._apart = True
        self.finish()
        with _translated(self._folder):
            self.catalog.vacuum()
        return n_vectors

    def finish(self) -> None:
        """Bring both copies level with the catalog and record them as whole.

        Raises
        ------
        CorpusError
            A copy cannot be written; the catalog is whole and answers.
        """
        with _translated(self._folder):
            self._finish_terms()
            self._finish_chroma()
            self.sweep()

    def sweep(self) -> None:
        """Delete the folders that are no copy any more."""
        with locks.changing_chroma(self._folder):
            copies.sweep(self._folder, self.catalog)


def fill_chroma(index: Path, folder: Path) -> None:
    """Fill a folder with Chroma's copy, in a process that never held what is no more."""
    from rag.index.chroma import ChromaVectors  # noqa: PLC0415 - as above

    with closing(Catalog(index, write=False)) as catalog, closing(ChromaVectors(folder)) as vectors:
        vectors.add(catalog.with_vectors(catalog.all_ids()))


@contextmanager
def writing(folder: Path, facts: Mapping[str, str]) -> Iterator[Writer]:
    """Change an index as its only writer.

    Both copies are level with the catalog when the block is left, also by an exception.

    Parameters
    ----------
    folder : the index folder; it is made if it is not there.
    facts : what shapes the index (embedder, its revision, chunk size); written into a new
        index, compared with an old one.

    Raises
    ------
    CorpusLocked
        Another process is writing.
    CorpusMismatch
        The index was made with other facts.
    CorpusError
        The folder cannot be written, or the catalog is damaged.
    """
    with _translated(folder):
        if not folder.is_dir():
            folder.mkdir()
            copies.make_durable(folder.parent)
        ignore = folder / ".gitignore"
        if not ignore.exists():
            ignore.write_text("*\n", encoding="utf-8")
    with locks.writing(folder), closing(Catalog(folder, write=True)) as catalog:
        check_facts(catalog, facts)
        if new := {key: fact for key, fact in facts.items() if catalog.get(key) is None}:
            catalog.set(**new)
        with _translated(folder):
            writer = Writer(folder, catalog)
            writer.sweep()
        try:
            yield writer
        except BaseException:
            try:
                writer.finish()
            except RagError as error:
                _log.info("the copies of %s could not be brought level: %s", folder, error)
            raise
        writer.finish()
        catalog.set(synced_at=datetime.now(UTC).isoformat(timespec="seconds"))


def check_facts(catalog: Catalog, facts: Mapping[str, str], *, was_open: bool = False) -> None:
    """Compare what shapes an index with how it is opened.

    Parameters
    ----------
    was_open : it was opened with these facts before, so that it has changed since.

    Raises
    ------
    CorpusMismatch
        With both values, and what to do.
    """
    for key, expected in facts.items():
        found = catalog.get(key)
        if found is not None and found != expected:
            what = key.replace("_", " ")
            if was_open:
                message = (
                    f"the index in {catalog.path.parent} was reembedded meanwhile, with {what} "
                    f"{found!r} instead of {expected!r}; open it again"
                )
            else:
                name = shlex.quote(facts.get("embedder", "NAME"))
                message = (
                    f"the index in {catalog.path.parent} was made with {what} {found!r} and is "
                    f"opened with {expected!r}; have the settings say what they said then, or make "
                    f"it anew for these: rag reembed --embedder {name} (corpus.reembed)"
                )
            raise CorpusMismatch(
                message, path=str(catalog.path.parent), expected=expected, found=found
            )


def _keeps(chunk: Chunk) -> bool:
    """Whether the catalog can give a chunk's text back: it keeps only what is embedded."""
    return chunk.embedded.endswith(chunk.text) and len(chunk.text) == chunk.end - chunk.start


@contextmanager
def _translated(folder: Path) -> Iterator[None]:
    """Turn the refusals of the system and of the copies' libraries into ours."""
    try:
        yield
    except (OSError, CopyFailed) as error:
        message = (
            f"the index {folder} cannot be written: {error}; the folder must be writable, and if "
            "the disk is full, make room; then sync again. What was indexed before still answers"
        )
        raise CorpusError(message, path=str(folder)) from error
