"""A folder that can be asked: the only module that knows all five stages.

``open`` takes no lock and reads nothing but settings; ``sync``, ``put`` and ``remove`` hold
the write lock for their own duration; every other call only reads.
"""

import contextlib
import difflib
import hashlib
import math
import shlex
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cached_property, partial
from pathlib import Path
from types import TracebackType
from typing import Self, cast, get_args

from rag.documents import chunking, folder, loaders
from rag.embeddings import bundled
from rag.embeddings.onnx import OnnxEmbedder
from rag.embeddings.openai import OpenAIEmbedder
from rag.embeddings.sentence_transformer import SentenceTransformerEmbedder
from rag.errors import CorpusNotFound
from rag.index import locks
from rag.index.catalog import FORMAT, Catalog, check_where
from rag.index.store import Store
from rag.index.writer import Writer, check_facts, writing
from rag.retrieval import retriever
from rag.settings import Settings, load_settings
from rag.sync import OnProgress, Plan, Sync, make_plan
from rag.synthesis.answerers import ChatAnswerer, ExtractiveAnswerer
from rag.synthesis.citations import resolve
from rag.synthesis.context import pack
from rag.synthesis.messages import room_for_context
from rag.synthesis.models import OpenAIChat
from rag.terms import RULES_VERSION
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
    Hit,
    Reranker,
    Scalar,
    Status,
    SyncReport,
    Usage,
    Where,
)

INDEX_FOLDER = folder.INDEX_FOLDER
OPENAI_PREFIX = "openai:"
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
        embedder: Embedder,
        reranker: Reranker | None,
        answerer: Answerer,
        model: ChatModel | None,
    ) -> None:
        self.path = path
        self.settings = settings
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
        embedder : None makes the one that the settings name.
        reranker : None leaves the fused order as it is.
        model : a chat model, or an answerer; None makes the chat model that the settings
            name, and where they name none answers by quoting the best sentences.

        Raises
        ------
        CorpusNotFound
            There is no such folder.
        CorpusMismatch
            Its index was made with another embedder, chunk size, term rules or format.
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
            embedder=_embedder(chosen) if embedder is None else embedder,
            reranker=reranker,
            answerer=answerer,
            model=chat,
        )
        corpus._check()
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

        Notes
        -----
        Stopped at any moment, by an exception or by the end of the process, it leaves an
        index that answers; what was embedded is kept, and the next sync goes on from there.
        """
        started = time.perf_counter()
        if dry_run:
            return self._dry_run().report(seconds=time.perf_counter() - started)
        self.close()  # Its own open copies would be other versions of what is written.
        with writing(self._index, facts=self._facts) as writer:
            # Listed before, the folder would lack what another writer had indexed since.
            listing = folder.list_files(self.path, is_supported=loaders.is_supported)
            plan = self._plan(listing, writer.catalog)
            sync = self._sync(plan, writer, progress)
            sync.run()
        return replace(
            plan.report(seconds=time.perf_counter() - started),
            embedded=sync.embedded,
            reused=sync.reused,
            repaired=tuple(writer.repaired),
        )

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
        with writing(self._index, facts=self._facts) as writer:
            if writer.catalog.is_file(id):
                message = f"{id!r} was a file of the corpus; sync first, or choose another id"
                raise ValueError(message)
            plan = Plan()
            sync = self._sync(plan, writer, None)
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
                findings=tuple(store.findings()),
            )

    # ---- inside -------------------------------------------------------------------------

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

    def _check(self) -> None:
        """Compare the index, if there is one, with how it is opened."""
        try:
            catalog = Catalog(self._index, write=False)
        except CorpusNotFound:
            return
        with contextlib.closing(catalog):
            check_facts(catalog, self._facts)

    @cached_property
    def _size(self) -> int:
        """Tokens of a chunk."""
        chosen = self.settings.documents.chunk_size
        return min(chosen or chunking.DEFAULT_SIZE, self.embedder.max_tokens)

    @cached_property
    def _facts(self) -> dict[str, str]:
        """What shapes the index."""
        return {
            "embedder": self.embedder.name,
            "revision": self.embedder.revision,
            "chunk_size": str(self._size),
            "term_rules": RULES_VERSION,
        }

    def _count(self, text: str) -> int:
        return count_tokens(text) if self._model is None else self._model.count(text)

    def _split(self, document: Document) -> list[Chunk]:
        return chunking.chunk(document, size=self._size, count=self.embedder.count)

    def _load(self, file: folder.File) -> Document:
        return loaders.load(file.path, id=file.id, max_bytes=self.settings.documents.max_bytes)

    def _sync(self, plan: Plan, writer: Writer, progress: OnProgress | None) -> Sync:
        return Sync(
            plan,
            writer,
            load=self._load,
            split=self._split,
            embedder=self.embedder,
            progress=progress,
        )

    def _plan(self, listing: folder.Listing, catalog: Catalog | None) -> Plan:
        known = {} if catalog is None else catalog.files()
        ids = [] if catalog is None else [summary.id for summary in catalog.summaries()]
        return make_plan(
            listing,
            known=known,
            put_ids=frozenset(ids) - known.keys(),
            reader=loaders.READER_VERSION,
            max_bytes=self.settings.documents.max_bytes,
        )

    def _dry_run(self) -> Plan:
        listing = folder.list_files(self.path, is_supported=loaders.is_supported)
        try:
            catalog = Catalog(self._index, write=False)
        except CorpusNotFound:
            return self._plan(listing, None)
        with contextlib.closing(catalog):
            return self._plan(listing, catalog)

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


def _embedder(settings: Settings) -> Embedder:
    """Make the embedder that the settings name."""
    chosen = settings.embeddings
    if chosen.model.startswith(OPENAI_PREFIX):
        return OpenAIEmbedder(
            chosen.model.removeprefix(OPENAI_PREFIX),
            max_tokens=chosen.max_tokens,
            batch_size=chosen.batch_size,
            timeout_s=chosen.timeout_s,
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
        part = file.relative_to(index).parts[0].split(".")[0].rpartition("-")[0]
        with contextlib.suppress(OSError):
            sizes[part or "catalog"] += file.stat().st_size if file.is_file() else 0
    return tuple(sorted(sizes.items()))
