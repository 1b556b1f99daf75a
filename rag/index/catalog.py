"""The catalog: documents, texts, chunks and vectors in SQLite, the truth of an index.

Chroma and Tantivy hold copies for speed; whatever happens to them, they are made again
from here without embedding anything. A number, the generation, rises in the very
transaction that changes a document, so that a reader knows when it has to look again.

A chunk's id names one text of one document for good, and a chunk that comes has a number
that none had before: what was read of a number once holds as long as the number is there.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from rag.errors import CorpusError, CorpusMismatch, CorpusNotFound
from rag.index.database import Database, damaged, translated
from rag.index.filters import FIELDS, check_where, condition_of
from rag.types import Chunk, Document, DocumentSummary, Matrix, Page, Scalar, Section, Vector, Where

__all__ = [
    "FIELDS",
    "FILE_NAME",
    "FORMAT",
    "Catalog",
    "FileFacts",
    "Record",
    "Rows",
    "check_where",
    "vector_key",
]

FILE_NAME = "catalog.sqlite3"
FORMAT = "1"
"""Version of the tables; an index of another one is made again from the documents."""
UNUSED_FLOOR = 10_000
UNUSED_SHARE = 0.5
"""So many vectors that no chunk uses are kept, and of those that are used this share more. A
text that comes back is then not embedded again: 10,000 chunks take MiniLM a quarter of an hour
on two cores. One takes 1.6 KB, where a chunk with its copies takes some 10: the floor costs 16
MB, the share a twelfth of the index."""
_DAMAGES = 10
"""Told at most, of a file that is damaged."""
_MANY = 500
"""Values of one SQL statement, well under SQLite's limit of 32,766."""

_SCHEMA = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE documents (
    number INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, digest TEXT NOT NULL,
    title TEXT NOT NULL, source TEXT, folder TEXT NOT NULL, suffix TEXT NOT NULL,
    is_file INTEGER NOT NULL, size INTEGER, mtime_ns INTEGER, file_hash TEXT, reader TEXT,
    checked_ns INTEGER, characters INTEGER NOT NULL, n_chunks INTEGER NOT NULL,
    n_tokens INTEGER NOT NULL, n_pages INTEGER NOT NULL, n_sections INTEGER NOT NULL,
    metadata TEXT NOT NULL);
CREATE TABLE contents (
    document INTEGER PRIMARY KEY REFERENCES documents (number) ON DELETE CASCADE,
    pages TEXT NOT NULL, sections TEXT NOT NULL, text TEXT NOT NULL);
CREATE TABLE vectors (
    number INTEGER PRIMARY KEY AUTOINCREMENT, key BLOB NOT NULL UNIQUE, vector BLOB NOT NULL);
CREATE TABLE chunks (
    number INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE,
    document INTEGER NOT NULL REFERENCES documents (number), start INTEGER NOT NULL,
    end INTEGER NOT NULL, tokens INTEGER NOT NULL, headings TEXT NOT NULL, first_page INTEGER,
    last_page INTEGER, vector INTEGER NOT NULL REFERENCES vectors (number),
    embedded TEXT NOT NULL);
CREATE INDEX chunks_by_document ON chunks (document, start);
CREATE INDEX chunks_by_vector ON chunks (vector);
CREATE TABLE pending (chunk_id TEXT PRIMARY KEY, change TEXT NOT NULL) WITHOUT ROWID;
"""
_VANISHED = "CREATE TABLE IF NOT EXISTS vanished (id TEXT PRIMARY KEY) WITHOUT ROWID"
_UNUSED = "v.number NOT IN (SELECT vector FROM chunks)"
_TAKE_OVER = """
DELETE FROM main.pending;
DELETE FROM main.chunks;
DELETE FROM main.vectors;
INSERT INTO main.vectors (key, vector) SELECT key, vector FROM other.vectors
    WHERE number IN (SELECT vector FROM other.chunks) ORDER BY number;
INSERT INTO main.chunks (id, document, start, end, tokens, headings, first_page, last_page,
    vector, embedded)
    SELECT c.id, d.number, c.start, c.end, c.tokens, c.headings, c.first_page, c.last_page,
        v.number, c.embedded
    FROM other.chunks c
    JOIN other.documents o ON o.number = c.document JOIN main.documents d ON d.id = o.id
    JOIN other.vectors w ON w.number = c.vector JOIN main.vectors v ON v.key = w.key
    ORDER BY c.number;
UPDATE main.documents SET (n_chunks, n_tokens) =
    (SELECT o.n_chunks, o.n_tokens FROM other.documents o WHERE o.id = documents.id);
"""
_CHUNKS = (
    "SELECT c.id, d.id, c.start, c.end, c.embedded, c.tokens, c.headings, c.first_page, "
    "c.last_page FROM chunks c JOIN documents d ON d.number = c.document"
)
_PLACES = "SELECT id, start, end, headings, first_page, last_page FROM chunks WHERE document = ?"

Change = Literal["new", "moved", "gone"]
"""What became of a chunk since Chroma's copy was last level; "moved": other positions only."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FileFacts:
    """What is known of a file without reading it again."""

    size: int
    mtime_ns: int
    file_hash: str
    """sha256 of its bytes."""
    reader: str
    """Version of the reader that read it."""
    checked_ns: int
    """When it was looked at; a file changed in that very instant is not trusted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """A document with its chunks, ready to be stored."""

    document: Document
    chunks: Sequence[Chunk]
    keys: Sequence[bytes]
    """For each chunk the key of its vector, which is stored already."""
    facts: FileFacts | None
    """None for a text that is no file."""


@dataclass(frozen=True, slots=True)
class Rows:
    """The chunks as the exact scan sees them, by number."""

    numbers: NDArray[np.int64]  # (n,)
    ids: list[str]  # n
    documents: NDArray[np.int64]  # (n,)
    matrix: Matrix  # (n, d)


def vector_key(chunk: Chunk) -> bytes:
    """Name the vector of a chunk: equal texts to be embedded share one."""
    return hashlib.sha256(chunk.embedded.encode("utf-8", "surrogatepass")).digest()


class Catalog:
    """One connection to the catalog; use it from one thread at a time.

    Parameters
    ----------
    folder : the index folder.
    write : whether the catalog may be changed and, where there is none, made.

    Raises
    ------
    CorpusNotFound
        There is no catalog, and ``write`` is False.
    CorpusMismatch
        It was made by another version.
    CorpusError
        It is damaged, or the folder cannot be used.
    """

    def __init__(self, folder: Path, *, write: bool) -> None:
        self.path = folder / FILE_NAME
        self._write = write
        self._open()

    def _open(self) -> None:
        if not self._write and not self.path.is_file():
            raise self._not_found()
        self._database = Database(self.path, write=self._write)
        try:
            self._check()
        except BaseException:
            self.close()
            raise

    def _check(self) -> None:
        if not self._has_tables():
            if not self._write:
                raise self._not_found()  # Its first writer is at work, or died at once.
            self._make()
        found = self.get("format")
        if found != FORMAT:
            raise self._wrong_format(str(found))
        if self._write:  # It came later than the others, and no reader asks for it.
            self._rows(_VANISHED)

    def _has_tables(self) -> bool:
        return self._row("SELECT 1 FROM sqlite_master WHERE name = 'meta'") is not None

    def _make(self) -> None:
        with self.transaction():
            for statement in _SCHEMA.split(";"):
                self._rows(statement)
            self.set(format=FORMAT, generation="0")

    def close(self) -> None:
        """Close the connection."""
        self._database.close()

    @property
    def aside(self) -> bool:
        """Whether the folder cannot be written, so that the copies in it cannot be opened."""
        return self._database.aside

    def refresh(self) -> bool:
        """Open the file again if another has taken its place; returns whether one has.

        Raises
        ------
        CorpusNotFound
            The index was deleted.
        """
        before = self._database
        with translated(self.path):
            busy = before.connection.in_transaction
        if busy or not before.replaced():
            return False
        try:
            self._open()
        except BaseException:
            self._database = before  # Until there is another, each call looks again.
            raise
        before.close()
        return True

    # ---- statements and transactions ----------------------------------------------------

    def _rows(self, sql: str, *arguments: object) -> list[Any]:
        with translated(self.path):
            return self._database.connection.execute(sql, arguments).fetchall()

    def _row(self, sql: str, *arguments: object) -> Any:
        rows = self._rows(sql, *arguments)
        return rows[0] if rows else None

    def _many(self, sql: str, rows: Iterable[Sequence[object]]) -> int:
        with translated(self.path):
            return self._database.connection.executemany(sql, rows).rowcount

    def _in(self, sql: str, values: Sequence[object]) -> Iterator[Any]:
        """Run a statement with an IN list of any length."""
        for start in range(0, len(values), _MANY):
            part = values[start : start + _MANY]
            yield from self._rows(sql.format(", ".join("?" * len(part))), *part)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Change several things at once or not at all."""
        connection = self._database.connection
        with translated(self.path):
            connection.execute("BEGIN IMMEDIATE")
        try:
            yield
            with translated(self.path):
                connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:  # SQLite itself undoes it when the disk is full.
                with translated(self.path):
                    connection.execute("ROLLBACK")
            raise

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """Read several things as of one moment; may be nested."""
        connection = self._database.connection
        if connection.in_transaction:
            yield
            return
        with translated(self.path):
            connection.execute("BEGIN")
        try:
            yield
        finally:
            if connection.in_transaction:
                connection.execute("ROLLBACK")

    @contextmanager
    def _beside(self, folder: Path) -> Iterator[None]:
        """Reach the tables of another folder's catalog as those of ``other``."""
        with translated(self.path):
            self._rows("ATTACH DATABASE ? AS other", str((folder / FILE_NAME).absolute()))
        try:
            yield
        finally:
            with translated(self.path):
                self._rows("DETACH DATABASE other")

    # ---- facts of the index -------------------------------------------------------------

    def get(self, key: str) -> str | None:
        """Read one fact of the index."""
        row = self._row("SELECT value FROM meta WHERE key = ?", key)
        return None if row is None else str(row[0])

    def set(self, **facts: str) -> None:
        """Write facts of the index."""
        self._many(
            "INSERT INTO meta VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value",
            facts.items(),
        )

    def latest(self, key: str) -> str | None:
        """Read one fact as it is now, whatever snapshot this connection stands in."""
        if self.aside:
            return self.get(key)
        with closing(Catalog(self.path.parent, write=False)) as catalog:
            return catalog.get(key)

    @property
    def generation(self) -> int:
        """The number that rises with every change of a document."""
        return int(self.get("generation") or 0)

    def raise_generation(self) -> None:
        """Tell readers to look again; call it inside the transaction that changes something."""
        self.set(generation=str(self.generation + 1))

    # ---- writing ------------------------------------------------------------------------

    def add_vectors(self, keys: Sequence[bytes], matrix: Matrix) -> None:
        """Keep vectors for chunks to come; what is known already stays as it is.

        Raises
        ------
        CorpusMismatch
            They have another dimension than the index's.
        """
        if not len(keys):
            return
        if not np.isfinite(matrix).all():
            raise ValueError("a vector holds numbers that are not finite")
        rows = np.ascontiguousarray(matrix, dtype=np.float32)  # (n, d)
        with self.transaction():
            self._fit(rows.shape[1])
            self._many(
                "INSERT INTO vectors (key, vector) VALUES (?, ?) ON CONFLICT (key) DO NOTHING",
                ((key, row.tobytes()) for key, row in zip(keys, rows, strict=True)),
            )

    def _fit(self, dimension: int) -> None:
        """Hold an index to the dimension of its first vector."""
        found = self.get("dimension")
        if found is None:
            self.set(dimension=str(dimension))
        elif found != str(dimension):
            raise wrong_dimension(self.path.parent, expected=str(dimension), found=found)

    def known_vectors(self, keys: Sequence[bytes]) -> AbstractSet[bytes]:
        """Tell which vectors need not be computed."""
        return {row[0] for row in self._in("SELECT key FROM vectors WHERE key IN ({})", keys)}

    def replace(self, record: Record) -> list[str]:
        """Put a document in the place of its older version, inside a transaction.

        Returns
        -------
        list of str
            The ids of the chunks that are no more.
        """
        number = self._replace_document(record)
        old = {row[0]: row[1:] for row in self._rows(_PLACES, number)}
        new: list[tuple[object, ...]] = []
        moved: list[tuple[object, ...]] = []
        for chunk, key in zip(record.chunks, record.keys, strict=True):
            place = _place(chunk)
            if chunk.id not in old:
                new.append((chunk.id, *place, number, chunk.tokens, chunk.embedded, key))
            elif old[chunk.id] != place:
                moved.append((*place, chunk.id))
        gone = sorted(old.keys() - {chunk.id for chunk in record.chunks})
        self._forget(gone)
        self._many(
            "UPDATE chunks SET start = ?, end = ?, headings = ?, first_page = ?, last_page = ? "
            "WHERE id = ?",
            moved,
        )
        self._many(
            "INSERT INTO chunks (id, start, end, headings, first_page, last_page, document, "
            "tokens, embedded, vector) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, "
            "(SELECT number FROM vectors WHERE key = ?))",
            new,
        )
        self._note("moved", [str(row[-1]) for row in moved])
        self._note("new", [str(row[0]) for row in new])
        return gone

    def _replace_document(self, record: Record) -> int:
        document, facts = record.document, record.facts
        path = PurePosixPath(document.id)
        values = {
            "id": document.id,
            "digest": document.digest,
            "title": document.title,
            "source": document.source,
            "folder": str(path.parent),
            "suffix": path.suffix.lower(),
            "is_file": facts is not None,
            "size": facts and facts.size,
            "mtime_ns": facts and facts.mtime_ns,
            "file_hash": facts and facts.file_hash,
            "reader": facts and facts.reader,
            "checked_ns": facts and facts.checked_ns,
            "characters": len(document.text),
            "n_chunks": len(record.chunks),
            "n_tokens": sum(chunk.tokens for chunk in record.chunks),
            "n_pages": len(document.pages),
            "n_sections": len(document.sections),
            "metadata": json.dumps(document.metadata, ensure_ascii=False),
        }
        names = list(values)
        (number,) = self._row(
            f"INSERT INTO documents ({', '.join(names)}) VALUES ({', '.join('?' * len(names))}) "  # noqa: S608 - the names are those above
            f"ON CONFLICT (id) DO UPDATE SET {', '.join(f'{n} = excluded.{n}' for n in names)} "
            "RETURNING number",
            *values.values(),
        )
        pages = [(page.number, page.start, page.end) for page in document.pages]
        sections = [(s.title, s.level, s.start, s.end) for s in document.sections]
        self._rows(
            "INSERT OR REPLACE INTO contents VALUES (?, ?, ?, ?)",
            number,
            json.dumps(pages),
            json.dumps(sections, ensure_ascii=False),
            document.text,
        )
        return int(number)

    def remove(self, document_id: str) -> list[str]:
        """Remove a document, inside a transaction; returns the ids of its chunks."""
        gone = self.chunk_ids(document_id)
        self._forget(gone)
        self._many("DELETE FROM documents WHERE id = ?", [(document_id,)])
        self.note_vanished([document_id])
        return gone

    def _forget(self, ids: Sequence[str]) -> None:
        self._note("gone", ids)
        self._many("DELETE FROM chunks WHERE id = ?", [(id_,) for id_ in ids])

    def _note(self, change: Change, ids: Iterable[str]) -> None:
        """Remember what Chroma's copy has yet to learn."""
        self._many(
            "INSERT INTO pending VALUES (?, ?) ON CONFLICT (chunk_id) DO UPDATE SET change = "
            "CASE WHEN excluded.change = 'moved' THEN change ELSE excluded.change END",
            [(id_, change) for id_ in ids],
        )

    def touch(self, document_id: str, facts: FileFacts) -> None:
        """Note that a file was looked at and holds what it held."""
        self._many(
            "UPDATE documents SET size = ?, mtime_ns = ?, checked_ns = ? WHERE id = ?",
            [(facts.size, facts.mtime_ns, facts.checked_ns, document_id)],
        )

    def unused_vectors(self) -> int:
        """Count the vectors that no chunk uses."""
        return int(self._row(f"SELECT count(*) FROM vectors v WHERE {_UNUSED}")[0])  # noqa: S608 - it holds no value

    def prune_vectors(self, most: int | None = None) -> int:
        """Forget vectors that no chunk uses, the oldest first.

        Parameters
        ----------
        most : so many are kept; None: as `UNUSED_FLOOR` and `UNUSED_SHARE` say.

        Returns
        -------
        int
            How many were forgotten.
        """
        if most is None:
            most = UNUSED_FLOOR + int(UNUSED_SHARE * self.totals()[1])
        return self._many(
            f"DELETE FROM vectors WHERE number IN (SELECT number FROM vectors v WHERE {_UNUSED} "  # noqa: S608 - as above
            "ORDER BY number DESC LIMIT -1 OFFSET ?)",
            [(most,)],
        )

    def all_texts(self) -> Iterator[str]:
        """Read whatever the catalog holds of documents, as it is stored."""
        for sql in (
            "SELECT text FROM contents",
            "SELECT sections FROM contents",
            "SELECT embedded FROM chunks",
            "SELECT headings FROM chunks",
            "SELECT id || char(10) || title || char(10) || metadata FROM documents",
        ):
            with translated(self.path):
                cursor = self._database.connection.execute(sql)
                while rows := cursor.fetchmany(_MANY):
                    yield from (row[0] for row in rows)

    def vector_keys(self, ids: Sequence[str]) -> dict[str, bytes]:
        """Read under which keys the vectors of chunks are kept."""
        return dict(
            self._in(
                "SELECT c.id, v.key FROM chunks c JOIN vectors v ON v.number = c.vector "
                "WHERE c.id IN ({})",
                ids,
            )
        )

    def damages(self) -> list[str]:
        """Say what SQLite finds wrong with the file, and which references lead nowhere."""
        found = [str(row[0]) for row in self._rows(f"PRAGMA integrity_check({_DAMAGES})")]
        broken = Counter((row[0], row[2]) for row in self._rows("PRAGMA foreign_key_check"))
        lost = [f"{n:,} rows of {a} belong to no row of {b}" for (a, b), n in broken.items()]
        return [line for line in found if line != "ok"] + lost

    # ---- what is no more ----------------------------------------------------------------

    def vanished(self) -> AbstractSet[str]:
        """List the documents that were removed and may have left traces on the disk."""
        return {row[0] for row in self._rows("SELECT id FROM vanished")}

    def note_vanished(self, ids: Iterable[str]) -> None:
        """Remember documents that may have left traces."""
        self._many("INSERT OR IGNORE INTO vanished VALUES (?)", ((id_,) for id_ in ids))

    def vacuum(self) -> None:
        """Write the file anew, so that nothing is in it but what its tables hold.

        Raises
        ------
        CorpusError
            A reader held an older state for too long, or the disk is full.
        """
        self._rows("VACUUM")
        self._truncate_log()

    def forget_vanished(self) -> None:
        """Note that no removed document has left a trace.

        Raises
        ------
        CorpusError
            As `vacuum`.
        """
        self._rows("DELETE FROM vanished")  # Overwritten with zeros, as all that is deleted.
        self._truncate_log()

    def _truncate_log(self) -> None:
        busy, *_ = self._row("PRAGMA wal_checkpoint(TRUNCATE)")
        if busy:
            message = (
                f"the catalog {self.path} still holds what was deleted: a reader holds an older "
                "state of it; end it, and try again"
            )
            raise CorpusError(message, path=str(self.path))

    def borrow_vectors(self, folder: Path) -> None:
        """Add all vectors of another folder's catalog; they were made by the same embedder."""
        with self._beside(folder), self.transaction():
            self._rows(
                "INSERT INTO main.vectors (key, vector) SELECT key, vector FROM other.vectors "
                "WHERE true ON CONFLICT (key) DO NOTHING"
            )
            self._take_dimension()

    @contextmanager
    def taking_over(self, folder: Path) -> Iterator[None]:
        """Put the chunks and vectors of another folder's catalog in the place of these.

        What the block changes belongs to the same transaction, which writes into this file
        alone, so that it happens at once or not at all.

        Raises
        ------
        CorpusError
            The other one lacks a document, or the disk is full; nothing has changed.
        """
        with self._beside(folder), self.transaction():
            for statement in _TAKE_OVER.split(";"):
                self._rows(statement)
            self._take_dimension()
            held, taken = self._row(
                "SELECT (SELECT count(*) FROM main.chunks), (SELECT count(*) FROM other.chunks)"
            )
            if held != taken:
                raise damaged(folder / FILE_NAME, f"{taken - held} chunks have lost their vector")
            yield

    def _take_dimension(self) -> None:
        self._rows("DELETE FROM main.meta WHERE key = 'dimension'")
        self._rows("INSERT INTO main.meta SELECT * FROM other.meta WHERE key = 'dimension'")

    def pending(self, change: Change) -> list[str]:
        """List the chunks that changed so since Chroma's copy was last level."""
        return [
            row[0] for row in self._rows("SELECT chunk_id FROM pending WHERE change = ?", change)
        ]

    def is_pending(self) -> bool:
        """Whether Chroma's copy has anything to learn."""
        return self._row("SELECT 1 FROM pending LIMIT 1") is not None

    def clear_pending(self) -> None:
        """Note that Chroma's copy is level with the catalog."""
        self._rows("DELETE FROM pending")

    # ---- reading documents --------------------------------------------------------------

    def files(self) -> dict[str, FileFacts]:
        """List the files that are indexed."""
        rows = self._rows(
            "SELECT id, size, mtime_ns, file_hash, reader, checked_ns FROM documents WHERE is_file"
        )
        return {
            row[0]: FileFacts(
                size=row[1], mtime_ns=row[2], file_hash=row[3], reader=row[4], checked_ns=row[5]
            )
            for row in rows
        }

    def is_file(self, document_id: str) -> bool | None:
        """Whether a document came from a file; None where there is none of this id."""
        row = self._row("SELECT is_file FROM documents WHERE id = ?", document_id)
        return None if row is None else bool(row[0])

    def summaries(self) -> list[DocumentSummary]:
        """List the documents by id, without their texts."""
        rows = self._rows(
            "SELECT id, title, digest, characters, n_chunks, n_pages, n_sections, metadata "
            "FROM documents ORDER BY id"
        )
        return [
            DocumentSummary(
                id=row[0], title=row[1], digest=row[2], characters=row[3], chunks=row[4],
                pages=row[5], sections=row[6], metadata=_pairs(row[7]),
            )
            for row in rows
        ]  # fmt: skip

    def document(self, document_id: str) -> Document | None:
        """Read a document with its text; None where there is none of this id."""
        row = self._row(
            "SELECT id, digest, title, source, pages, sections, metadata, text FROM documents "
            "JOIN contents ON document = number WHERE id = ?",
            document_id,
        )
        if row is None:
            return None
        return Document(
            id=row[0], digest=row[1], title=row[2], source=row[3],
            pages=tuple(Page(number=n, start=s, end=e) for n, s, e in json.loads(row[4])),
            sections=tuple(
                Section(title=t, level=v, start=s, end=e) for t, v, s, e in json.loads(row[5])
            ),
            metadata=_pairs(row[6]), text=row[7],
        )  # fmt: skip

    def totals(self) -> tuple[int, int, int]:
        """Count documents, chunks and tokens."""
        documents, chunks, tokens = self._row(
            "SELECT count(*), coalesce(sum(n_chunks), 0), coalesce(sum(n_tokens), 0) FROM documents"
        )
        return documents, chunks, tokens

    def matching(self, where: Where) -> dict[int, str]:
        """Find the documents that a filter leaves: number -> id.

        Raises
        ------
        ValueError
            As `check_where`.
        """
        condition, arguments = condition_of(where)
        return dict(
            self._rows(f"SELECT number, id FROM documents WHERE {condition}", *arguments)  # noqa: S608 - it holds no value
        )

    # ---- reading chunks and vectors -----------------------------------------------------

    def chunk_ids(self, document_id: str) -> list[str]:
        """List a document's chunks in the order of its text."""
        rows = self._rows(
            "SELECT id FROM chunks WHERE document = (SELECT number FROM documents WHERE id = ?) "
            "ORDER BY start, number",
            document_id,
        )
        return [row[0] for row in rows]

    def all_ids(self) -> list[str]:
        """List every chunk, in the order of their numbers."""
        return [row[0] for row in self._rows("SELECT id FROM chunks ORDER BY number")]

    def chunks(self, ids: Sequence[str]) -> dict[str, Chunk]:
        """Read chunks by their ids; unknown ones are left out."""
        rows = self._in(f"{_CHUNKS} WHERE c.id IN ({{}})", ids)
        return {row[0]: _chunk(row) for row in rows}

    def neighbours(self, ids: Sequence[str]) -> dict[str, tuple[str | None, str | None]]:
        """Find the chunks before and after each in its document, None at the document's ends."""
        rows = self._in(
            "SELECT c.id, (SELECT p.id FROM chunks p WHERE p.document = c.document "
            "AND p.start < c.start ORDER BY p.start DESC LIMIT 1), "
            "(SELECT n.id FROM chunks n WHERE n.document = c.document "
            "AND n.start > c.start ORDER BY n.start LIMIT 1) FROM chunks c WHERE c.id IN ({})",
            ids,
        )
        return {row[0]: (row[1], row[2]) for row in rows}

    def all_chunks(self) -> Iterator[Chunk]:
        """Read every chunk, in the order of their numbers."""
        with translated(self.path):
            cursor = self._database.connection.execute(f"{_CHUNKS} ORDER BY c.number")
            while rows := cursor.fetchmany(_MANY):
                yield from map(_chunk, rows)

    def each(self, ids: Sequence[str]) -> Iterator[Chunk]:
        """Read chunks, a few hundred at a time; unknown ids are left out."""
        for start in range(0, len(ids), _MANY):
            yield from self.chunks(ids[start : start + _MANY]).values()

    def with_vectors(self, ids: Sequence[str]) -> Iterator[tuple[Chunk, Vector]]:
        """Read chunks with their vectors, a few hundred at a time; unknown ids are left out."""
        for start in range(0, len(ids), _MANY):
            chunks = self.chunks(ids[start : start + _MANY])
            yield from zip(chunks.values(), self.vectors(list(chunks)), strict=True)

    def vectors(self, ids: Sequence[str]) -> Matrix:
        """Read the vectors of chunks, in the order given: (n, d); KeyError for an unknown id."""
        found = dict(
            self._in(
                "SELECT c.id, v.vector FROM chunks c LEFT JOIN vectors v ON v.number = c.vector "
                "WHERE c.id IN ({})",
                ids,
            )
        )
        if None in found.values():
            raise damaged(self.path, "a chunk has lost its vector")
        return _matrix([found[id_] for id_ in ids])

    def rows(self, known: Rows | None = None) -> Rows:
        """Read all vectors, taking from an earlier reading what is still there."""
        numbers = np.array(
            [row[0] for row in self._rows("SELECT number FROM chunks ORDER BY number")], np.int64
        )
        last = int(known.numbers[-1]) if known is not None and len(known.numbers) else 0
        new = self._rows(
            "SELECT c.id, c.document, v.vector FROM chunks c JOIN vectors v ON v.number = c.vector "
            "WHERE c.number > ? ORDER BY c.number",
            last,
        )
        ids = [row[0] for row in new]
        documents = np.array([row[1] for row in new], np.int64)
        matrix = _matrix([row[2] for row in new])
        if known is not None and last:
            kept = np.isin(known.numbers, numbers, assume_unique=True)
            ids = [known.ids[place] for place in np.flatnonzero(kept)] + ids
            documents = np.concatenate([known.documents[kept], documents])
            matrix = np.concatenate([known.matrix[kept], matrix.reshape(-1, known.matrix.shape[1])])
        if len(ids) != len(numbers):
            raise damaged(self.path, "a chunk has lost its vector")
        return Rows(numbers, ids, documents, matrix)

    # ---- errors -------------------------------------------------------------------------

    def _not_found(self) -> CorpusNotFound:
        folder = self.path.parent.parent
        message = f"{folder} has no index yet; sync first: rag sync"
        return CorpusNotFound(message, path=str(folder))

    def _wrong_format(self, found: str) -> CorpusMismatch:
        folder = self.path.parent
        message = (
            f"{folder} was made by another version of rag (index format {found}, this one reads "
            f"{FORMAT}); move it away and sync again (the documents are not touched)"
        )
        return CorpusMismatch(message, path=str(folder), expected=FORMAT, found=found)


def _place(chunk: Chunk) -> tuple[object, ...]:
    """Give what of a chunk may change while its id stays."""
    headings = json.dumps(chunk.headings, ensure_ascii=False)
    return (chunk.start, chunk.end, headings, *(chunk.pages or (None, None)))


def wrong_dimension(folder: Path, *, expected: str, found: str) -> CorpusMismatch:
    """Say that an embedder's vectors cannot be compared with the index's."""
    message = (
        f"the embedder gives vectors of {expected} numbers, the index in {folder} holds {found}; "
        "use the embedder it was made with, or move that folder away and sync again"
    )
    return CorpusMismatch(message, path=str(folder), expected=expected, found=found)


def _chunk(row: Sequence[Any]) -> Chunk:
    id_, document_id, start, end, embedded, tokens, headings, first, last = row
    # The text always ends what is embedded, so that it need not be stored twice.
    return Chunk(
        id=id_, document_id=document_id, start=start, end=end, tokens=tokens,
        text=embedded[len(embedded) - (end - start) :], embedded=embedded,
        headings=_titles(headings), pages=None if first is None else (first, last),
    )  # fmt: skip


@lru_cache(maxsize=4096)
def _titles(headings: str) -> tuple[str, ...]:
    """Read the headings of a chunk, which it shares with its neighbours."""
    return tuple(json.loads(headings))


def _matrix(blobs: Sequence[bytes]) -> Matrix:
    if not blobs:
        return np.zeros((0, 0), dtype=np.float32)
    return np.frombuffer(b"".join(blobs), dtype=np.float32).reshape(len(blobs), -1)


def _pairs(text: str) -> tuple[tuple[str, Scalar], ...]:
    return tuple((key, value) for key, value in json.loads(text))
