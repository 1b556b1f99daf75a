"""A folder that can be asked: the only module that knows all five stages.

``open`` takes no lock and reads nothing but settings; ``sync``, ``put``, ``remove``, ``forget``
and ``reembed`` hold the write lock for their own duration; every other call only reads.
"""

import contextlib
import difflib
import hashlib
import math
import shlex
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cached_property, partial
from pathlib import Path
from types import TracebackType
from typing import Self, cast, get_args

from rag import doctor, forgetting, reembedding
from rag.documents import chunking, folder, loaders
from rag.embeddings import bundled
from rag.embeddings.onnx import OnnxEmbedder
from rag.embeddings.openai import OpenAIEmbedder
from rag.embeddings.sentence_transformer import SentenceTransformerEmbedder
from rag.errors import CorpusMismatch, CorpusNotFound, ProviderError
from rag.index import locks, succession
from rag.index.catalog import FORMAT, Catalog, Record, check_where, vector_key
from rag.index.store import Store
from rag.index.writer import Writer, check_facts, writing
from rag.interrupts import Interrupts, deferred
from rag.retrieval import retriever
from rag.settings import Settings, load_settings, naming_embedder
from rag.sync import BATCH_CHUNKS, OnProgress, Plan, Sync, make_plan
from rag.synthesis.answerers import ChatAnswerer, ExtractiveAnswerer
from rag.synthesis.citations import resolve
from rag.synthesis.context import pack
from rag.synthesis.messages import room_for_context
from rag.synthesis.models import OpenAIChat
from rag.tokens import count_tokens
from rag.types import (
    Answer,
    Answerer,
    By,
    ChatModel,
    Chunk,
    Context,
    Document,
    DocumentSummary,
    Embedder,
    Examination,
    ForgetReport,
    Hit,
    ReembedReport,
    Reranker,
    Scalar,
    Status,
    SyncReport,
    Usage,
    Where,
)

INDEX_FOLDER = folder.INDEX_FOLDER
OPENAI_PREFIX = "openai:"
_RETRIES = 2
"""Of a server of embeddings by its SDK, which waits up to two minutes each time and tells nobody;
a sync waits itself, longer and visibly."""
_TOKENS_A_HIT = 40
"""A context of so many tokens is offered one hit: chunks have 100 to 200, so that what is
offered exceeds what fits several times, and what is left out can be listed."""
_FEWEST_HITS = 50


class Corpus:
    """A folder of documents with its index; made by `open`, usable as a context manager.

    One object may be used from several threads, one call at a time; other objects and
    processes may read and write the same folder meanwhile.
    """

    def __init__(
        self,
        path: Path,
        *,
        settings: Settings,
        embedder: Embedder | None,
        reranker: Reranker | None,
        answerer: Answerer,
        model: ChatModel | None,
    ) -> None:
        self.path = path
        self.settings = settings
        if embedder is not None:
            self.embedder = embedder
        self.reranker = reranker
        self.answerer = answerer
        self._model = model
        self._store: Store | None = None

    @classmethod
    def open(
        cls,
        path: str | Path,
        *,
        settings: Settings | None = None,
        embedder: Embedder | None = None,
        reranker: Reranker | None = None,
        model: ChatModel | Answerer | None = None,
    ) -> "Corpus":
        """Open a folder, indexed or not.

        Parameters
        ----------
        path : an existing folder.
        settings : None reads ``rag.toml`` in the folder and ``RAG_…`` from the environment.
        embedder : None makes the one that the settings name; where they name none, the one
            that the index was made with, once it is needed.
        reranker : None leaves the fused order as it is.
        model : a chat model, or an answerer; None makes the chat model that the settings
            name, and where they name none answers by quoting the best sentences.

        Raises
        ------
        CorpusNotFound
            There is no such folder.
        CorpusMismatch
            Its index was made with another embedder, chunk size or format than is asked for;
            `reembed` makes it anew.
        SettingsError
            A setting is unknown or out of range.
        """
        root = Path(path).expanduser()
        if not root.is_dir():
            message = f"there is no folder {str(root)!r}; give one that holds documents"
            raise CorpusNotFound(message, path=str(root))
        root = root.resolve()
        chosen = load_settings(root) if settings is None else settings
        chat, answerer = _answering(model, chosen)
        corpus = cls(
            root,
            settings=chosen,
            embedder=embedder,
            reranker=reranker,
            answerer=answerer,
            model=chat,
        )
        corpus._check(is_named=embedder is not None or _names_embedder(chosen))
        return corpus

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Corpus({str(self.path)!r})"

    def close(self) -> None:
        """Let go of every file; a later call opens them again."""
        if self._store is not None:
            self._store.close()
            self._store = None

    # ---- writing ------------------------------------------------------------------------

    def sync(self, *, dry_run: bool = False, progress: OnProgress | None = None) -> SyncReport:
        """Make the index equal to the folder.

        Parameters
        ----------
        dry_run : only say what would be done; reads and hashes files, writes nothing.
        progress : called with a `Progress` at least every few seconds of work.

        Returns
        -------
        SyncReport
            With every file by what became of it. A file that cannot be read or embedded is
            in ``failed``, and its older version goes on answering.

        Raises
        ------
        CorpusLocked
            Another process is writing.
        CorpusMismatch
            The index was made otherwise than the settings say.
        CorpusError
            The index cannot be written (a read-only folder, a full disk) or is damaged.
        KeyboardInterrupt
            Ctrl-C, once the work in hand is kept, ten seconds at most; a second one at once.

        Notes
        -----
        Stopped at any moment, by an exception or by the end of the process, it leaves an
        index that answers; what was embedded is kept, and the next sync goes on from there.
        A server that asks for patience is waited for, for ``embeddings.patience_s`` seconds.
        """
        started = time.perf_counter()
        if dry_run:
            return self._dry_run().report(seconds=time.perf_counter() - started)
        self.close()  # Its own open copies would be other versions of what is written.
        with deferred() as interrupts, writing(self._index, facts=self._facts) as writer:
            # Listed before, the folder would lack what another writer had indexed since.
            listing = folder.list_files(self.path, is_supported=loaders.is_supported)
            plan = self._plan(listing, writer.catalog, check=interrupts.check)
            patience_s = self.settings.embeddings.patience_s
            with self._syncing(
                plan, writer, interrupts, patience_s=patience_s, progress=progress
            ) as sync:
                sync.run()
        return replace(
            plan.report(seconds=time.perf_counter() - started),
            embedded=sync.embedded,
            reused=sync.reused,
            repaired=tuple(writer.repaired),
            unused_vectors=sync.unused_vectors,
        )

    def count_new(self) -> int:
        """Count the files that the next sync would read for the first time; opens none.

        Raises
        ------
        CorpusError
            The folder or its ``.ragignore`` cannot be read, or the index is damaged.
        """
        listing = folder.list_files(self.path, is_supported=loaders.is_supported)
        with self._known() as catalog:
            known = {} if catalog is None else catalog.files()
        return sum(file.id not in known for file in listing.files)

    def put(
        self,
        id: str,  # noqa: A002 - the name that a document's field has.
        text: str,
        *,
        title: str | None = None,
        metadata: Mapping[str, Scalar] | None = None,
    ) -> None:
        """Index a text that is no file, or replace the one of this id.

        Parameters
        ----------
        id : not that of a file in the folder; `sync` leaves the text alone.
        title : None takes the id.
        metadata : found by ``where={"metadata.KEY": …}``.

        Raises
        ------
        ValueError
            The id or the text is empty or holds half a character (a lone surrogate), a number
            of the metadata is not finite, or the id is that of a file.
        TypeError
            A value of the metadata is neither text, number nor boolean.
        ProviderError
            The text could not be embedded; an older one of this id goes on answering.
        CorpusLocked, CorpusMismatch, CorpusError
            As `sync`.
        """
        _check_put(id, text, title=title, metadata=metadata or {})
        if self._is_file(id):
            message = f"{id!r} is a file of the corpus; sync indexes it, or choose another id"
            raise ValueError(message)
        document = Document(
            id=id,
            text=text,
            digest=hashlib.sha256(text.encode()).hexdigest(),
            title=title or id,
            metadata=tuple(sorted((metadata or {}).items())),
        )
        self.close()
        with deferred() as interrupts, writing(self._index, facts=self._facts) as writer:
            if writer.catalog.is_file(id):
                message = f"{id!r} was a file of the corpus; sync first, or choose another id"
                raise ValueError(message)
            plan = Plan()
            with self._syncing(plan, writer, interrupts) as sync:
                sync.write([sync.record(document, None)])
            if plan.failed:
                raise plan.failed[0].error

    def remove(self, *ids: str) -> None:
        """Remove texts that `put` has indexed.

        Raises
        ------
        ValueError
            There is no text of such an id, or it is a file: delete that, and sync.
        """
        self.close()
        with writing(self._index, facts=self._facts) as writer:
            for id_ in ids:
                is_file = writer.catalog.is_file(id_)
                if is_file is None:
                    raise self._unknown(id_, writer.catalog)
                if is_file:
                    message = f"{id_!r} is a file; delete it from the folder and sync"
                    raise ValueError(message)
            writer.write([], removed=list(dict.fromkeys(ids)))

    def forget(self, *ids: str, ignore: bool = False) -> ForgetReport:
        """Remove what must be gone: documents and every trace of them in the index.

        Parameters
        ----------
        ids : of files that are deleted, of texts that `put` has indexed, or of either that
            was removed before and may have left traces.
        ignore : whether a file that still lies in the folder is written into ``.ragignore``,
            so that no sync indexes it again.

        Returns
        -------
        ForgetReport
            With the search for the documents' texts in every file of the index; where its
            ``found`` is not empty, something that this package has not written holds them.

        Raises
        ------
        ValueError
            No id is given, there is and was no such document, or its file still lies in the
            folder and ``ignore`` is False; nothing was changed.
        CorpusLocked, CorpusMismatch, CorpusError
            As `sync`. Forget it again then: the documents may be removed, their traces not.

        Notes
        -----
        Both search indexes are built anew, which takes as long as it took at first, without
        the embedding. The vectors kept for texts that may come back go as well, whosever they
        were. What the file system keeps of deleted files, and backups, are out of reach.
        """
        if not self._index.is_dir():
            raise _never_synced(self.path)
        self.close()
        return forgetting.forget(self.path, ids, ignore=ignore, facts=self._facts)

    def leave_out(self, *ids: str) -> tuple[str, ...]:
        """Write files of the folder into ``.ragignore``, so that no sync indexes them.

        Returns
        -------
        tuple of str
            The lines that were written; none for a file that is left out already.

        Raises
        ------
        ValueError
            A name holds a line break.
        CorpusError
            ``.ragignore`` cannot be read or written.
        """
        is_out = folder.left_out(self.path)
        return folder.leave_out(self.path, [id_ for id_ in ids if not is_out(id_)])

    def reembed(self, embedder: Embedder, *, progress: OnProgress | None = None) -> ReembedReport:
        """Make the index that of another embedder, from the texts that it holds.

        Files are not read. Meanwhile the old index answers, here and for every other reader;
        at the end the new one takes its place at once, and this corpus goes on with it. Chunks
        are as large as the setting says, or as suits the new embedder.

        Parameters
        ----------
        embedder : where it, its revision and the chunk size are those of the index, there is
            nothing to do, and what an interrupted run for another one has made is dropped.
        progress : called with a `Progress` at least every few seconds of work.

        Raises
        ------
        ProviderError
            A text could not be embedded.
        CorpusNotFound
            The folder was never synced.
        CorpusLocked, CorpusError
            As `sync`.

        Notes
        -----
        Stopped at any moment, by an exception or by the end of the process, it leaves the old
        index as it is; the next run with the same embedder embeds nothing again, also if a
        sync came between. The disk has to hold both indexes, with the new vectors once more
        for a moment.
        """
        if not self._made.get("embedder"):
            raise _never_synced(self.path)
        self.close()
        size = self._size_for(embedder)
        report = reembedding.reembed(
            self._index,
            facts=_facts_of(embedder, size),
            embedder=embedder,
            split=partial(chunking.chunk, size=size, count=embedder.count),
            patience_s=self.settings.embeddings.patience_s,
            progress=progress,
        )
        self.embedder = embedder
        for stale in ("_size", "_facts"):
            self.__dict__.pop(stale, None)
        return report

    def rebuild(
        self,
        path: str | Path,
        *,
        settings: Settings,
        known: Sequence["Corpus"] = (),
        progress: OnProgress | None = None,
    ) -> "Corpus":
        """Index the same documents in another folder under other settings, to try them.

        Nothing is read from files, and this corpus is only read: texts come from its index,
        and so do the vectors of chunks that stay as they are.

        Parameters
        ----------
        path : an existing folder; its index is made, or made equal.
        settings : with another embedding model, every chunk is embedded anew.
        known : others of the same documents, whose vectors are taken over too.
        progress : as in `sync`.

        Returns
        -------
        Corpus
            Opened; close it before the folder is deleted.

        Raises
        ------
        CorpusNotFound
            This corpus was never synced, or there is no folder ``path``.
        ProviderError
            A text could not be embedded.
        CorpusError
            The index cannot be written.
        """
        same_model = settings.embeddings == self.settings.embeddings
        other: Corpus = Corpus.open(
            path,
            settings=settings,
            embedder=self.embedder if same_model else None,
            reranker=self.reranker,
            model=self.model or self.answerer,
        )
        plan = Plan()
        with (
            deferred() as interrupts,
            self._opened.snapshot(),
            writing(other._index, facts=other._facts) as writer,
            other._syncing(plan, writer, interrupts, progress=progress) as sync,
        ):
            for batch in self._batches(other._split):
                for source in (self, *known):
                    if source.settings.embeddings == settings.embeddings:
                        Corpus._lend_vectors(source, batch, writer.catalog)
                sync.write(batch)
        if plan.failed:
            raise plan.failed[0].error
        return other

    # ---- reading ------------------------------------------------------------------------

    def documents(self) -> list[DocumentSummary]:
        """List what is indexed, by id, without the texts."""
        store = self._opened
        with store.snapshot():
            return store.catalog.summaries()

    def document(self, id: str) -> Document:  # noqa: A002 - as in `put`.
        """Read one document with its text, as it was indexed.

        Raises
        ------
        ValueError
            There is none of this id; the nearest is named.
        """
        store = self._opened
        with store.snapshot():
            try:
                document = store.catalog.document(id)
            except UnicodeEncodeError:  # Half a character, as a terminal may send; no id has one.
                document = None
            if document is None:
                raise self._unknown(id, store.catalog)
            return document

    def chunks(self, id: str) -> list[Chunk]:  # noqa: A002 - as in `put`.
        """List what one document was split into, in the order of its text.

        Raises
        ------
        ValueError
            There is none of this id; the nearest is named.
        """
        store = self._opened
        with store.snapshot():
            ids = store.catalog.chunk_ids(self.document(id).id)
            found = store.catalog.chunks(ids)
            return [found[chunk_id] for chunk_id in ids]

    def search(
        self, query: str, *, k: int = 10, where: Where | None = None, by: By = "fused"
    ) -> list[Hit]:
        """Find the chunks that answer a query best.

        Parameters
        ----------
        query : one longer than the embedder reads is embedded in windows whose vectors are
            averaged, and searched by all of its terms.
        k : at most so many hits; a larger one only appends.
        where : field -> value or list of values, of which one must match; all fields must
            hold. Fields: ``document_id``, ``folder`` (with what lies below it), ``suffix``,
            ``title`` and ``metadata.KEY``. None: everything.
        by : "fused", or one half of it: "dense" (meaning) or "lexical" (words).

        Returns
        -------
        list of Hit
            Best first, ranks from 1; the same corpus and query give the same list.

        Raises
        ------
        ValueError
            The query is blank, ``k < 1``, or a field or ``by`` is unknown.
        CorpusNotFound
            The folder was never synced.
        """
        _check_question(query)
        if k < 1:
            message = f"k must be at least 1, not {k!r}"
            raise ValueError(message)
        if by not in get_args(By):
            message = f"by must be one of {', '.join(get_args(By))}, not {by!r}"
            raise ValueError(message)
        if where is not None:
            check_where(where)
        store = self._opened
        if by == "dense":
            return store.dense(query, k, where=where)
        if by == "lexical":
            return store.lexical(query, k, where=where)
        retrieval = self.settings.retrieval
        with store.snapshot():
            return retriever.retrieve(
                query,
                [partial(store.dense, where=where), partial(store.lexical, where=where)],
                k=k,
                candidates=retrieval.candidates,
                dense_weight=retrieval.dense_weight,
                neighbours=store.neighbours,
                reranker=self.reranker,
            )

    def context(
        self, question: str, *, budget: int | None = None, where: Where | None = None
    ) -> Context:
        """Pack the passages that answer a question best.

        Parameters
        ----------
        budget : tokens of ``Context.text``, by the chat model's tokenizer; None takes the
            setting ``synthesis.budget``.
        where : as in `search`.

        Raises
        ------
        ValueError
            The question is blank or ``budget < 1``, or as `search`.
        """
        budget = self.settings.synthesis.budget if budget is None else budget
        if budget < 1:
            message = f"budget must be at least 1 token, not {budget!r}"
            raise ValueError(message)
        k = max(_FEWEST_HITS, budget // _TOKENS_A_HIT)
        with self._opened.snapshot():
            hits = self.search(question, k=k, where=where)
            return pack(
                hits,
                budget=budget,
                count=self._count,
                document_of=self.document,
                question=question,
            )

    def ask(
        self, question: str, *, budget: int | None = None, where: Where | None = None
    ) -> Answer:
        """Answer a question, every quotation checked; `stream`, read to its end."""
        return self.stream(question, budget=budget, where=where).answer

    def stream(
        self, question: str, *, budget: int | None = None, where: Where | None = None
    ) -> "AnswerStream":
        """Answer a question piece by piece.

        Parameters
        ----------
        budget : as in `context`; with a chat model at most what its window leaves beside
            the prompt, the question and the reply.
        where : as in `search`.

        Raises
        ------
        WindowExceeded
            The question leaves no room in the chat model's window.
        ValueError, CorpusNotFound
            As `search`.
        ProviderError
            The chat model failed; raised while the stream is read.
        """
        _check_question(question)
        budget = self.settings.synthesis.budget if budget is None else budget
        if self._model is not None:
            room = room_for_context(
                question,
                window=self._model.window,
                reply_tokens=self.settings.synthesis.reply_tokens,
                count=self._model.count,
            )
            budget = min(budget, room)
        context = self.context(question, budget=budget, where=where)
        return AnswerStream(question, context, corpus=self)

    def status(self) -> Status:
        """Describe the corpus and its index."""
        if not self._index.is_dir():
            raise _never_synced(self.path)
        store = self._opened
        with store.snapshot():
            documents, chunks, tokens = store.catalog.totals()
            synced_at = store.catalog.get("synced_at")
            owner = locks.writer(self._index)
            return Status(
                path=self.path,
                documents=documents,
                chunks=chunks,
                tokens=tokens,
                embedder=store.catalog.get("embedder"),
                generation=store.catalog.generation,
                size_bytes=_sizes(self._index),
                synced_at=None if synced_at is None else datetime.fromisoformat(synced_at),
                writer=None if owner is None else f"process {owner[0]} since {owner[1]}",
                version=FORMAT,
                unused_vectors=store.catalog.unused_vectors(),
                findings=tuple(store.findings()),
                reembedding=succession.unfinished(self._index),
            )

    def doctor(
        self, *, fix: bool = False, progress: Callable[[str], None] | None = None
    ) -> Examination:
        """Check every promise of the index: rows, texts, vectors, files and versions.

        Parameters
        ----------
        fix : build anew what differs from the catalog, delete what belongs to nobody, and
            check again; takes the write lock only if there is something to do.
        progress : called with what is being checked.

        Returns
        -------
        Examination
            Its ``findings`` are empty where all is well; each says what to do about it. Damage
            of any kind is a finding, and no exception.

        Raises
        ------
        CorpusNotFound
            The folder was never synced.
        CorpusLocked, CorpusError
            With ``fix``: another process is writing, or the folder cannot be written.
        """
        if not self._index.is_dir():
            raise _never_synced(self.path)
        self.close()
        found = doctor.examine(
            self._index, embedder=self.embedder, facts=self._facts, fix=fix, tell=progress
        )
        return replace(found, size_bytes=_sizes(self._index))

    @property
    def model(self) -> ChatModel | None:
        """The chat model that answers; None where there is none, or an answerer was given."""
        return self._model

    # ---- inside -------------------------------------------------------------------------

    @cached_property
    def embedder(self) -> Embedder:
        """What makes the vectors."""
        name = self._made.get("embedder")
        settings = _as_precise(self.settings, self._made.get("revision"))
        if _names_embedder(settings) or name is None:
            return named_embedder(settings)
        try:
            return named_embedder(settings, name)
        except ProviderError as error:
            default = self.settings.embeddings.model
            message = (
                f"the index in {self._index} was made with embedder {name!r}, which cannot be had: "
                f"{error}; or make the index anew with another: rag reembed --embedder {default}"
            )
            raise CorpusMismatch(
                message, path=str(self._index), expected=default, found=name
            ) from error

    @property
    def _made(self) -> dict[str, str]:
        """What the index was made with; empty where there is none yet."""
        try:
            catalog = Catalog(self._index, write=False)
        except CorpusNotFound:
            return {}
        with contextlib.closing(catalog):
            found = {key: catalog.get(key) for key in ("embedder", "revision", "chunk_size")}
        return {key: value for key, value in found.items() if value is not None}

    @property
    def _index(self) -> Path:
        return self.path / INDEX_FOLDER

    @property
    def _opened(self) -> Store:
        if self._store is None:
            if not self._index.is_dir():
                raise _never_synced(self.path)
            self._store = Store(
                self._index,
                embedder=self.embedder,
                facts=self._facts,
                exact_up_to=self.settings.index.exact_up_to,
            )
        return self._store

    def _check(self, *, is_named: bool) -> None:
        """Compare the index, if there is one, with how it is opened.

        Where no embedder is named, they are compared when the index's own is first used, so
        that `reembed` can replace one that cannot be had any more.
        """
        if not self._made or not is_named:
            return
        with contextlib.closing(Catalog(self._index, write=False)) as catalog:
            check_facts(catalog, self._facts)

    def _size_for(self, embedder: Embedder) -> int:
        """Tokens of a chunk: as set, else as the index has them of the same embedder."""
        size = self.settings.documents.chunk_size
        if size is None and embedder.name == self._made.get("embedder"):
            size = int(self._made["chunk_size"])
        return min(size or chunking.DEFAULT_SIZE, embedder.max_tokens)

    @cached_property
    def _size(self) -> int:
        return self._size_for(self.embedder)

    @cached_property
    def _facts(self) -> dict[str, str]:
        return _facts_of(self.embedder, self._size)

    def _count(self, text: str) -> int:
        return count_tokens(text) if self._model is None else self._model.count(text)

    def _split(self, document: Document) -> list[Chunk]:
        return chunking.chunk(document, size=self._size, count=self.embedder.count)

    @contextlib.contextmanager
    def _syncing(
        self,
        plan: Plan,
        writer: Writer,
        interrupts: Interrupts,
        *,
        patience_s: float = 0,
        progress: OnProgress | None = None,
    ) -> Iterator[Sync]:
        """Prepare a run; the process that reads its files ends with the block."""
        from rag.documents.worker import Worker  # noqa: PLC0415 - .03 s, for who writes alone.

        chosen = self.settings.documents
        with Worker(
            [file for file, _ in plan.to_read],
            max_bytes=chosen.max_bytes,
            timeout_s=chosen.read_timeout_s,
            memory_bytes=chosen.read_memory_bytes,
        ) as worker:
            yield Sync(
                plan,
                writer,
                load=worker.load,
                split=self._split,
                embedder=self.embedder,
                interrupts=interrupts,
                patience_s=patience_s,
                progress=progress,
            )

    def _plan(
        self,
        listing: folder.Listing,
        catalog: Catalog | None,
        *,
        check: Callable[[], None] = lambda: None,
    ) -> Plan:
        known = {} if catalog is None else catalog.files()
        ids = [] if catalog is None else [summary.id for summary in catalog.summaries()]
        return make_plan(
            listing,
            known=known,
            put_ids=frozenset(ids) - known.keys(),
            reader=loaders.READER_VERSION,
            max_bytes=self.settings.documents.max_bytes,
            check=check,
        )

    def _dry_run(self) -> Plan:
        listing = folder.list_files(self.path, is_supported=loaders.is_supported)
        with self._known() as catalog:
            return self._plan(listing, catalog)

    @contextlib.contextmanager
    def _known(self) -> Iterator[Catalog | None]:
        """Open the catalog as it is now; None: nothing was indexed yet."""
        try:
            catalog = Catalog(self._index, write=False)
        except CorpusNotFound:
            yield None
            return
        with contextlib.closing(catalog):
            yield catalog

    def _batches(self, split: Callable[[Document], list[Chunk]]) -> Iterator[list[Record]]:
        """Split every document anew, some hundred chunks at a time."""
        batch: list[Record] = []
        for summary in self.documents():
            document = self.document(summary.id)
            chunks = split(document)
            keys = [vector_key(chunk) for chunk in chunks]
            batch.append(Record(document=document, chunks=chunks, keys=keys, facts=None))
            if sum(len(record.chunks) for record in batch) >= BATCH_CHUNKS:
                yield batch
                batch = []
        if batch:
            yield batch

    def _lend_vectors(self, batch: Sequence[Record], catalog: Catalog) -> None:
        """Give another index the vectors of the chunks that both have."""
        ids = [chunk.id for record in batch for chunk in record.chunks]
        with self._opened.snapshot():
            held = self._opened.catalog.chunks(ids)
            keys = [vector_key(chunk) for chunk in held.values()]
            catalog.add_vectors(keys, self._opened.catalog.vectors(list(held)))

    def _is_file(self, id_: str) -> bool:
        try:
            return (self.path / id_).is_file()
        except OSError:  # Too long for a name: a file's it cannot be.
            return False

    def _unknown(self, id_: str, catalog: Catalog) -> ValueError:
        ids = [summary.id for summary in catalog.summaries()]
        near = difflib.get_close_matches(id_, ids, n=1, cutoff=0)
        hint = f"; the nearest is {near[0]!r}" if near else "; the corpus is empty"
        return ValueError(f"there is no document {id_!r}{hint}")


class AnswerStream:
    """An answer as it is written: iterate over its pieces, then read ``answer``."""

    def __init__(self, question: str, context: Context, *, corpus: Corpus) -> None:
        self.question = question
        self.context = context
        self._corpus = corpus
        self._reply = corpus.answerer.answer(question, context)
        self._pieces: list[str] = []
        self._rest = iter(self._reply)

    def __iter__(self) -> Iterator[str]:
        """Hand on the pieces as they come; a second iteration goes on where the first stopped."""
        for piece in self._rest:
            self._pieces.append(piece)
            yield piece

    @cached_property
    def answer(self) -> Answer:
        """The whole answer with its quotations checked; reads what was not read yet."""
        for _ in self:
            continue
        return resolve(
            self.question,
            _Said(self._pieces, self._reply.usage, self._reply.finish_reason),
            self.context,
            document_of=self._corpus.document,
            model=self._corpus.answerer.name,
        )


@dataclass(frozen=True, slots=True)
class _Said:
    """A reply that was read, as a reply."""

    pieces: Sequence[str]
    usage: Usage
    finish_reason: str

    def __iter__(self) -> Iterator[str]:
        return iter(self.pieces)


def find_corpus(start: Path) -> Path | None:
    """Find the corpus that a folder belongs to: itself or the nearest above it that is indexed."""
    for path in (start.resolve(), *start.resolve().parents):
        if (path / INDEX_FOLDER).is_dir():
            return path
    return None


def named_embedder(settings: Settings, name: str | None = None) -> Embedder:
    """Make an embedder by its name, as the setting ``embeddings.model`` has it.

    Parameters
    ----------
    settings : say how it works; also which it is, where ``name`` is None.

    Raises
    ------
    ProviderError
        It is neither on this machine nor to be had.
    SettingsError
        The name is empty.
    """
    return _embedder(settings if name is None else naming_embedder(settings, name))


def _names_embedder(settings: Settings) -> bool:
    return "model" in settings.embeddings.model_fields_set


def _as_precise(settings: Settings, revision: str | None) -> Settings:
    """Take the default model in fp32 where an index was made so and the settings do not say."""
    embeddings = settings.embeddings
    if "precision" in embeddings.model_fields_set or revision != bundled.REVISION:
        return settings
    exact = embeddings.model_copy(update={"precision": "fp32"})
    return settings.model_copy(update={"embeddings": exact})


def _facts_of(embedder: Embedder, size: int) -> dict[str, str]:
    """Tell what shapes an index."""
    return {
        "embedder": embedder.name,
        "revision": embedder.revision,
        "chunk_size": str(size),
    }


def _embedder(settings: Settings) -> Embedder:
    """Make the embedder that the settings name."""
    chosen = settings.embeddings
    if chosen.model.startswith(OPENAI_PREFIX):
        return OpenAIEmbedder(
            chosen.model.removeprefix(OPENAI_PREFIX),
            max_tokens=chosen.max_tokens,
            batch_size=chosen.batch_size,
            timeout_s=chosen.timeout_s,
            max_retries=_RETRIES,
        )
    if chosen.model in bundled.NAMES and chosen.device in {None, "cpu"}:
        return OnnxEmbedder(precision=chosen.precision)
    return SentenceTransformerEmbedder(
        chosen.model, device=chosen.device, batch_size=chosen.batch_size
    )


def _answering(
    model: ChatModel | Answerer | None, settings: Settings
) -> tuple[ChatModel | None, Answerer]:
    """Tell the chat model, if one answers, and the answerer."""
    synthesis = settings.synthesis
    if model is None and synthesis.model is None:
        return None, ExtractiveAnswerer()
    if model is None:
        model = OpenAIChat(
            str(synthesis.model),
            window=synthesis.window,
            reply_tokens=synthesis.reply_tokens,
            timeout_s=synthesis.timeout_s,
        )
    if hasattr(model, "answer"):
        return None, cast("Answerer", model)
    chat = model
    return chat, ChatAnswerer(chat, reply_tokens=synthesis.reply_tokens)


def _check_question(question: str) -> None:
    if not question.strip():
        message = "the question is empty; ask something"
        raise ValueError(message)


def _check_put(id_: str, text: str, *, title: str | None, metadata: Mapping[str, Scalar]) -> None:
    if not id_.strip() or not text.strip():
        message = f"put needs an id and a text that are not empty; got {id_!r}, {text[:40]!r}"
        raise ValueError(message)
    for part in (id_, text, title or "", *metadata, *map(str, metadata.values())):
        part.encode()  # A lone surrogate is a ValueError that says where.
    for key, value in metadata.items():
        if not isinstance(value, str | int | float | bool):
            message = f"metadata {key!r} cannot be {value!r}; give a text, number or boolean"
            raise TypeError(message)
        if isinstance(value, float) and not math.isfinite(value):
            message = f"metadata {key!r} cannot be {value!r}; give a finite number"
            raise ValueError(message)


def _never_synced(path: Path) -> CorpusNotFound:
    message = f"{path} has no index yet; sync first: rag sync --corpus {shlex.quote(str(path))}"
    return CorpusNotFound(message, path=str(path))


def _sizes(index: Path) -> tuple[tuple[str, int], ...]:
    """Add up the bytes of each part of an index; what vanishes meanwhile counts nothing."""
    sizes: Counter[str] = Counter()
    for file in index.rglob("*"):
        first, *below = file.relative_to(index).parts
        part = first.rpartition("-")[0] if "-" in first and below else first if below else ""
        with contextlib.suppress(OSError):
            sizes[part or "catalog"] += file.stat().st_size if file.is_file() else 0
    return tuple(sorted(sizes.items()))
