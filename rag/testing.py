"""For tests: an embedder and a chat model that need nothing, and what every role promises.

``HashingEmbedder`` and ``ScriptedModel`` stand in for models. The contracts are classes of
tests: whoever writes a role subclasses one in a test module and gives its object as the one
fixture that the contract names::

    class TestMyEmbedder(EmbedderContract):
        @pytest.fixture
        def embedder(self):
            return MyEmbedder()

``pytest.register_assert_rewrite("rag.testing")`` in ``conftest.py``, before the first import,
makes their failures show values.
"""

# A contract is a test: it asserts, and the name of each is its sentence.
# ruff: noqa: S101, D102

import hashlib
import re
from collections import deque
from collections.abc import Generator, Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import pairwise

import numpy as np

from rag.terms import terms
from rag.tokens import count_tokens
from rag.types import (
    Answerer,
    ChatModel,
    Chunk,
    Context,
    Document,
    Embedder,
    Matrix,
    Message,
    Passage,
    Reranker,
    Search,
    Usage,
    Vector,
)

_PIECE = 7
"""Characters of a scripted piece: few enough to cut markers and quotations apart."""
_MARKER = re.compile(r"\[(\d+)")


class HashingEmbedder:
    """The Embedder role without a model: texts that share terms get near vectors.

    Each term of a text adds 1 or -1 to one of the dimensions, both chosen by the term's hash;
    the sum is brought to length 1. A text without terms, or one whose terms cancel out, gets
    the first unit vector. The same in every process. Subclass it to change an attribute or to
    count, delay or fail its calls.

    Notes
    -----
    The hashing trick with signs of [1]_, the hash being BLAKE2b.

    References
    ----------
    .. [1] Weinberger et al. (2009), ICML, doi:10.1145/1553374.1553516

    Examples
    --------
    >>> embedder = HashingEmbedder()
    >>> pilot, same, other = embedder.embed_documents(["the pilot", "pilots", "anchor"])
    >>> float(pilot @ same), float(pilot @ other)
    (1.0, 0.0)
    """

    name: str = "hashing"
    revision: str = "1"
    dimension: int = 384
    max_tokens: int = 256

    def count(self, text: str) -> int:
        """Count the terms of a text; 0 where it has none."""
        return len(terms(text))

    def embed_documents(self, texts: Sequence[str]) -> Matrix:
        """Embed texts to be found: (n, d)."""
        rows = np.zeros((len(texts), self.dimension), dtype=np.float32)
        for row, text in zip(rows, texts, strict=True):
            row[:] = self._embed(text)
        return rows

    def embed_query(self, text: str) -> Vector:
        """Embed a text to search with: (d,), as `embed_documents` would."""
        return self._embed(text)

    def _embed(self, text: str) -> Vector:
        sums = np.zeros(self.dimension, dtype=np.float64)  # (d,)
        for term in terms(text):
            hashed = _hash(term)
            sums[(hashed >> 1) % self.dimension] += 1 if hashed & 1 else -1
        if not sums.any():
            sums[0] = 1
        return (sums / np.linalg.norm(sums)).astype(np.float32)


@lru_cache(maxsize=1 << 16)
def _hash(term: str) -> int:
    digest = hashlib.blake2b(term.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "big")


class ScriptedModel:
    """The ChatModel role without a model: it says what it was told to say, in small pieces.

    Parameters
    ----------
    replies : in the order in which they are asked for; a str is said, an exception raised.

    Attributes
    ----------
    prompts : the messages of each request, in order. A request is made when its reply is
        first iterated over, as with a real model.

    Examples
    --------
    >>> model = ScriptedModel(["Two hours before the tide turns [1]."])
    >>> "".join(model.stream([Message(role="user", content="When?")]))
    'Two hours before the tide turns [1].'
    >>> model.prompts[0][0].content
    'When?'
    """

    name: str = "scripted"
    window: int = 8192

    def __init__(self, replies: Iterable[str | Exception] = ()) -> None:
        self.prompts: list[tuple[Message, ...]] = []
        self._replies = deque(replies)

    def count(self, text: str) -> int:
        """Count tokens by o200k_base."""
        return count_tokens(text)

    def stream(self, messages: Sequence[Message]) -> "ScriptedReply":
        """Say the next reply.

        Returns
        -------
        ScriptedReply
            Iterating over it raises the exception whose turn it is, or AssertionError when
            no reply is left.
        """
        return ScriptedReply(self, tuple(messages))

    def next_reply(self, messages: tuple[Message, ...]) -> str:
        """Record a prompt and take the reply whose turn it is, or raise it."""
        self.prompts.append(messages)
        if not self._replies:
            message = (
                f"ScriptedModel was asked {len(self.prompts)} times and has no reply left; "
                f"give it one more for: {messages[-1].content[:80] if messages else ''!r}"
            )
            raise AssertionError(message)
        reply = self._replies.popleft()
        if isinstance(reply, Exception):
            raise reply
        return reply


class ScriptedReply:
    """A reply of `ScriptedModel`; can be read once."""

    def __init__(self, model: ScriptedModel, messages: tuple[Message, ...]) -> None:
        self.usage = Usage()
        self.finish_reason = ""
        self._pieces = self._say(model, messages)

    def __iter__(self) -> Iterator[str]:
        """Iterate over the pieces."""
        return self._pieces

    def close(self) -> None:
        """Stop reading."""
        self._pieces.close()

    def _say(
        self, model: ScriptedModel, messages: tuple[Message, ...]
    ) -> Generator[str, None, None]:
        text = model.next_reply(messages)
        for start in range(0, len(text), _PIECE):
            yield text[start : start + _PIECE]
        self.usage = Usage(
            prompt_tokens=sum(model.count(message.content) for message in messages),
            completion_tokens=model.count(text),
            calls=1,
        )
        self.finish_reason = "stop"


_TEXTS = {
    "pilots.md": (
        "A pilot boards every tanker at the fairway buoy.",
        "The pilot must be on board two hours before the tide turns.",
        "Pilots are relieved after eight hours on duty.",
    ),
    "kitchen.md": (
        "Bread is baked at four in the morning.",
        "The cook keeps apples, flour and salt in the cellar.",
    ),
    "县志.md": ("砚溪县位于山谷之中。", "每年三月举行茶叶集市。"),
}


def _document(document_id: str, sentences: tuple[str, ...]) -> Document:
    text = "\n".join(sentences)
    digest = hashlib.sha256(text.encode()).hexdigest()
    return Document(id=document_id, text=text, digest=digest, title=document_id)


def _chunks(document: Document) -> Iterator[Chunk]:
    start = 0
    for number, line in enumerate(document.text.splitlines(keepends=True)):
        text = line.rstrip("\n")
        yield Chunk(
            id=f"{document.id}#{number}",
            document_id=document.id,
            start=start,
            end=start + len(text),
            text=text,
            embedded=text,
            tokens=max(1, len(terms(text))),
        )
        start += len(line)


DOCUMENTS: tuple[Document, ...] = tuple(_document(*pair) for pair in _TEXTS.items())
"""Three small documents, English and Chinese, that `SearchContract` searches."""
CHUNKS: tuple[Chunk, ...] = tuple(chunk for document in DOCUMENTS for chunk in _chunks(document))
"""Their sentences, one a chunk; ``tokens`` are those of `HashingEmbedder`."""

_SHORT = "a"
_MIXED = (
    "The pilot boards at the fairway buoy.",
    _SHORT,
    "",
    "砚溪县位于山谷之中,每年三月举行茶叶集市。",
    "🚢⚓️🌊",
    " \n\t",
    "a lone surrogate: \ud800",
    "Tide tables: 04:12 3.5 m, 10:30 0.8 m.",
)


def _long_text(embedder: Embedder) -> str:
    """Make the longest text of one sentence repeated that the embedder still reads."""
    sentence = "Every tanker takes a pilot at the fairway buoy. "
    text = sentence
    while embedder.count(text + sentence) <= min(embedder.max_tokens, 1000):
        text += sentence
    return text


class EmbedderContract:
    """What every Embedder promises; fixture ``embedder``."""

    def test_it_says_who_it_is(self, embedder: Embedder) -> None:
        assert embedder.name, "the name is empty"
        assert embedder.revision, "the revision is empty"
        assert embedder.max_tokens >= 1

    def test_documents_become_float32_rows_of_length_1(self, embedder: Embedder) -> None:
        rows = embedder.embed_documents([*_MIXED, _long_text(embedder)])
        assert rows.shape == (len(_MIXED) + 1, embedder.dimension)
        assert rows.dtype == np.float32
        np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-5)

    def test_a_query_becomes_one_float32_vector_of_length_1(self, embedder: Embedder) -> None:
        for query in ("When does the pilot board?", _SHORT, "茶"):
            vector = embedder.embed_query(query)
            assert vector.shape == (embedder.dimension,)
            assert vector.dtype == np.float32
            np.testing.assert_allclose(np.linalg.norm(vector), 1, atol=1e-5)

    def test_no_texts_become_no_rows(self, embedder: Embedder) -> None:
        rows = embedder.embed_documents([])
        assert rows.shape == (0, embedder.dimension)
        assert rows.dtype == np.float32

    def test_a_row_does_not_depend_on_its_neighbours(self, embedder: Embedder) -> None:
        texts = [*_MIXED, _long_text(embedder)]
        together = embedder.embed_documents(texts)
        alone = np.concatenate([embedder.embed_documents([text]) for text in texts])
        np.testing.assert_allclose(together, alone, atol=1e-5)

    def test_rows_are_in_the_order_of_the_texts(self, embedder: Embedder) -> None:
        texts = [*_MIXED, _long_text(embedder)]
        forwards = embedder.embed_documents(texts)
        backwards = embedder.embed_documents(texts[::-1])
        np.testing.assert_allclose(forwards, backwards[::-1], atol=1e-5)

    def test_the_same_text_gives_the_same_vector_again(self, embedder: Embedder) -> None:
        np.testing.assert_allclose(
            embedder.embed_documents(_MIXED), embedder.embed_documents(_MIXED), atol=1e-6
        )
        np.testing.assert_allclose(
            embedder.embed_query(_MIXED[0]), embedder.embed_query(_MIXED[0]), atol=1e-6
        )

    def test_different_texts_get_different_vectors(self, embedder: Embedder) -> None:
        pilot, bread = embedder.embed_documents([CHUNKS[0].text, CHUNKS[3].text])
        assert float(pilot @ bread) < 0.99

    def test_the_texts_are_not_changed(self, embedder: Embedder) -> None:
        texts = list(_MIXED)
        embedder.embed_documents(texts)
        assert texts == list(_MIXED)

    def test_words_count_at_least_1(self, embedder: Embedder) -> None:
        for text in ("pilot", "茶叶", *(chunk.text for chunk in CHUNKS)):
            assert embedder.count(text) >= 1, f"{text!r} counts 0"
        assert embedder.count("") >= 0

    def test_a_longer_text_counts_no_less_than_its_parts(self, embedder: Embedder) -> None:
        for first, second in pairwise(CHUNKS):
            parts = (embedder.count(first.text), embedder.count(second.text))
            assert embedder.count(f"{first.text} {second.text}") >= max(parts)


class ChatModelContract:
    """What every ChatModel promises; fixture ``model``, which has at least one reply to give."""

    _messages = (
        Message(role="system", content="Answer from the passages."),
        Message(role="user", content="When does the pilot board? 何时?"),
    )

    def test_it_says_who_it_is_and_how_much_it_takes(self, model: ChatModel) -> None:
        assert model.name, "the name is empty"
        assert model.window >= 1

    def test_a_reply_comes_in_pieces_of_text(self, model: ChatModel) -> None:
        pieces = list(model.stream(self._messages))
        assert all(isinstance(piece, str) for piece in pieces)
        assert "".join(pieces).strip(), "the reply is empty"

    def test_usage_and_finish_reason_are_final_once_exhausted(self, model: ChatModel) -> None:
        reply = model.stream(self._messages)
        text = "".join(reply)
        assert text
        assert reply.finish_reason
        assert reply.usage.calls >= 1
        assert reply.usage.prompt_tokens >= 1
        assert reply.usage.completion_tokens >= 1
        assert reply.usage.seconds >= 0
        usage = reply.usage
        assert not list(reply), "a reply that was read gave text again"
        assert reply.usage == usage

    def test_reading_may_stop_early(self, model: ChatModel) -> None:
        pieces = iter(model.stream(self._messages))
        assert isinstance(next(pieces), str)
        del pieces

    def test_the_messages_are_not_changed(self, model: ChatModel) -> None:
        messages = list(self._messages)
        list(model.stream(messages))
        assert messages == list(self._messages)

    def test_messages_changed_before_reading_do_not_change_the_prompt(
        self, model: ChatModel
    ) -> None:
        messages = list(self._messages)
        reply = model.stream(messages)
        messages.clear()
        assert "".join(reply).strip()

    def test_an_empty_text_counts_0(self, model: ChatModel) -> None:
        assert model.count("") == 0

    def test_a_longer_text_counts_more(self, model: ChatModel) -> None:
        assert 1 <= model.count("pilot") < model.count("The pilot boards at the fairway buoy.")
        assert model.count("茶叶集市") >= 1


class RerankerContract:
    """What every Reranker promises; fixture ``reranker``."""

    _query = "When must the pilot be on board?"
    _texts = tuple(chunk.text for chunk in CHUNKS)

    def test_it_says_who_it_is(self, reranker: Reranker) -> None:
        assert reranker.name, "the name is empty"

    def test_every_text_gets_a_finite_float32_score(self, reranker: Reranker) -> None:
        scores = reranker.score(self._query, [*self._texts, "", "🚢"])
        assert scores.shape == (len(self._texts) + 2,)
        assert scores.dtype == np.float32
        assert np.isfinite(scores).all()

    def test_no_texts_get_no_scores(self, reranker: Reranker) -> None:
        assert reranker.score(self._query, []).shape == (0,)

    def test_the_text_that_answers_scores_higher(self, reranker: Reranker) -> None:
        answer, other = reranker.score(self._query, [self._texts[1], self._texts[3]])
        assert answer > other

    def test_a_score_does_not_depend_on_its_neighbours(self, reranker: Reranker) -> None:
        together = reranker.score(self._query, self._texts)
        alone = [reranker.score(self._query, [text])[0] for text in self._texts]
        np.testing.assert_allclose(together, alone, atol=1e-4)

    def test_scores_are_in_the_order_of_the_texts(self, reranker: Reranker) -> None:
        forwards = reranker.score(self._query, self._texts)
        backwards = reranker.score(self._query, self._texts[::-1])
        np.testing.assert_allclose(forwards, backwards[::-1], atol=1e-4)

    def test_the_texts_are_not_changed(self, reranker: Reranker) -> None:
        texts = list(self._texts)
        reranker.score(self._query, texts)
        assert texts == list(self._texts)


class SearchContract:
    """What every Search promises; fixture ``search``, over the `CHUNKS` of `DOCUMENTS`."""

    _queries = ("pilot on board before the tide turns", "bread", "茶叶集市")

    def test_hits_are_chunks_that_were_indexed(self, search: Search) -> None:
        known = {chunk.id: chunk for chunk in CHUNKS}
        for query in self._queries:
            for hit in search(query, 10):
                expected = known[hit.chunk.id]
                assert hit.chunk.document_id == expected.document_id
                assert (hit.chunk.start, hit.chunk.end) == (expected.start, expected.end)
                assert hit.chunk.text == expected.text
                assert hit.by

    def test_the_chunk_with_the_words_of_the_query_comes_first(self, search: Search) -> None:
        found = [search(query, 3)[0].chunk.text for query in self._queries]
        assert found == [CHUNKS[1].text, CHUNKS[3].text, CHUNKS[6].text]

    def test_ranks_count_from_1_and_scores_never_rise(self, search: Search) -> None:
        for query in self._queries:
            hits = search(query, 10)
            assert [hit.rank for hit in hits] == list(range(1, len(hits) + 1))
            scores = [hit.score for hit in hits]
            assert scores == sorted(scores, reverse=True)

    def test_no_chunk_is_found_twice(self, search: Search) -> None:
        for query in self._queries:
            ids = [hit.chunk.id for hit in search(query, 10)]
            assert len(ids) == len(set(ids))

    def test_a_larger_k_only_appends(self, search: Search) -> None:
        for query in self._queries:
            for k in range(1, len(CHUNKS) + 2):
                fewer = search(query, k)
                assert len(fewer) <= k
                assert search(query, k + 1)[: len(fewer)] == fewer

    def test_more_than_there_are_finds_what_there_are(self, search: Search) -> None:
        for query in self._queries:
            assert len(search(query, 1000)) <= len(CHUNKS)

    def test_the_same_query_finds_the_same_again(self, search: Search) -> None:
        for query in self._queries:
            assert search(query, 10) == search(query, 10)


class AnswererContract:
    """What every Answerer promises; fixture ``answerer``.

    An answerer that asks a chat model is given one that has an answer, for example
    ``ScriptedModel(["Two hours before the tide turns [1]."])``.
    """

    _question = "When must the pilot be on board?"

    def test_it_says_who_it_is(self, answerer: Answerer) -> None:
        assert answerer.name, "the name is empty"

    def test_an_answer_cites_only_markers_of_the_context(self, answerer: Answerer) -> None:
        text = "".join(answerer.answer(self._question, _context(CHUNKS[1], CHUNKS[3])))
        cited = {int(marker) for marker in _MARKER.findall(text)}
        assert cited, f"nothing is cited in {text!r}"
        assert cited <= {1, 2}

    def test_usage_and_finish_reason_are_final_once_exhausted(self, answerer: Answerer) -> None:
        reply = answerer.answer(self._question, _context(CHUNKS[1], CHUNKS[3]))
        assert "".join(reply).strip()
        assert reply.finish_reason
        usage = reply.usage
        list(reply)
        assert reply.usage == usage

    def test_an_empty_context_is_refused(self, answerer: Answerer) -> None:
        reply = answerer.answer(self._question, _context())
        text = "".join(reply)
        assert text.strip(), "a refusal says so"
        assert not _MARKER.findall(text), f"{text!r} cites passages that were never shown"
        assert reply.finish_reason


def _context(*chunks: Chunk) -> Context:
    """Pack whole chunks, in order, as passages numbered from 1."""
    passages, blocks = [], []
    for marker, chunk in enumerate(chunks, start=1):
        block = f"[{marker}] {chunk.document_id}\n{chunk.text}"
        blocks.append(block)
        passages.append(
            Passage(
                marker=marker,
                document_id=chunk.document_id,
                start=chunk.start,
                end=chunk.end,
                text=chunk.text,
                tokens=count_tokens(block),
                headings=(),
                pages=None,
                hits=(),
            )
        )
    text = "\n\n".join(blocks)
    return Context(
        text=text,
        passages=tuple(passages),
        tokens=count_tokens(text),
        budget=1000,
        dropped=(),
    )
