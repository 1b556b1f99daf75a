"""The stand-ins, and the contracts on them."""

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np
import pytest

from rag.errors import RateLimited
from rag.terms import terms
from rag.testing import (
    CHUNKS,
    DOCUMENTS,
    AnswererContract,
    ChatModelContract,
    EmbedderContract,
    HashingEmbedder,
    RerankerContract,
    ScriptedModel,
    SearchContract,
)
from rag.types import Context, Hit, Message, Reply, Search, Vector

QUESTION = (Message(role="user", content="Where does the pilot board?"),)


class TestHashingEmbedder(EmbedderContract):
    @pytest.fixture
    def embedder(self) -> HashingEmbedder:
        return HashingEmbedder()


class TestScriptedModel(ChatModelContract):
    @pytest.fixture
    def model(self) -> ScriptedModel:
        return ScriptedModel(["The pilot boards at the fairway buoy [1]."])


class SharedTerms:
    """The simplest reranker: how many of the query's terms a text has."""

    name = "shared terms"

    def score(self, query: str, texts: Sequence[str]) -> Vector:
        wanted = set(terms(query))
        return np.array([len(wanted & set(terms(text))) for text in texts], dtype=np.float32)


class TestSharedTerms(RerankerContract):
    @pytest.fixture
    def reranker(self) -> SharedTerms:
        return SharedTerms()


class TestScanOfHashedChunks(SearchContract):
    @pytest.fixture
    def search(self) -> Search:
        embedder = HashingEmbedder()
        rows = embedder.embed_documents([chunk.embedded for chunk in CHUNKS])

        def scan(query: str, k: int) -> list[Hit]:
            scores = rows @ embedder.embed_query(query)
            best = sorted(range(len(CHUNKS)), key=lambda i: (-scores[i], CHUNKS[i].id))[:k]
            return [
                Hit(chunk=CHUNKS[i], rank=rank, score=float(scores[i]), by="dense")
                for rank, i in enumerate(best, start=1)
            ]

        return scan


class FirstPassage:
    """The simplest answerer: it says the first passage."""

    name = "first passage"

    def answer(self, question: str, context: Context) -> Reply:
        text = "".join(f"{passage.text} [1]" for passage in context.passages[:1])
        return ScriptedModel([text or "The documents do not say."]).stream([])


class TestFirstPassage(AnswererContract):
    @pytest.fixture
    def answerer(self) -> FirstPassage:
        return FirstPassage()


def test_shared_terms_make_vectors_near() -> None:
    pilot, pilots, anchor = HashingEmbedder().embed_documents(["the pilot", "pilots", "anchor"])
    assert float(pilot @ pilots) == pytest.approx(1)
    assert float(pilot @ anchor) == pytest.approx(0)


def test_the_embedder_says_what_it_is() -> None:
    embedder = HashingEmbedder()
    assert (embedder.name, embedder.revision) == ("hashing", "1")
    assert (embedder.dimension, embedder.max_tokens) == (384, 256)


def test_the_embedder_counts_terms() -> None:
    assert HashingEmbedder().count("The pilot boards the tanker") == 3
    assert HashingEmbedder().count("茶叶集市") == 3
    assert HashingEmbedder().count("🚢 the") == 0


@pytest.mark.parametrize("text", ["", "🚢", "the of", " "])
def test_a_text_without_terms_becomes_the_first_unit_vector(text: str) -> None:
    vector = HashingEmbedder().embed_query(text)
    assert vector[0] == 1
    assert not vector[1:].any()


def test_terms_that_cancel_out_still_give_a_vector_of_length_1() -> None:
    class Narrow(HashingEmbedder):
        dimension = 1

    words = [f"word{number}" for number in range(100)]
    rows = Narrow().embed_documents([f"{a} {b}" for a, b in pairwise(words)])
    assert np.abs(rows).tolist() == [[1.0]] * 99


def test_a_lone_surrogate_can_be_embedded() -> None:
    assert HashingEmbedder().embed_query("a\ud800b").shape == (384,)


def test_vectors_are_the_same_in_every_process() -> None:
    code = (
        "from rag.testing import HashingEmbedder; import hashlib; print(hashlib.sha256("
        "HashingEmbedder().embed_query('The pilot boards, 茶叶').tobytes()).hexdigest())"
    )
    digests = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(digests) == 1


def test_the_embedder_may_be_subclassed() -> None:
    class Small(HashingEmbedder):
        name = "small"
        dimension = 16

        def __init__(self) -> None:
            self.embedded: list[str] = []

        def embed_documents(
            self, texts: Sequence[str]
        ) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
            self.embedded.extend(texts)
            return super().embed_documents(texts)

    embedder = Small()
    assert embedder.embed_documents(["pilot"]).shape == (1, 16)
    assert embedder.embedded == ["pilot"]
    assert embedder.name == "small"


def test_replies_are_said_in_order_and_prompts_recorded() -> None:
    model = ScriptedModel(["first", "second"])
    later = (Message(role="user", content="And then?"),)
    assert "".join(model.stream(QUESTION)) == "first"
    assert "".join(model.stream(list(later))) == "second"
    assert model.prompts == [QUESTION, later]


def test_a_reply_is_cut_into_small_pieces() -> None:
    pieces = list(ScriptedModel(["The pilot boards [1]."]).stream(QUESTION))
    assert pieces == ["The pil", "ot boar", "ds [1]."]


def test_a_prompt_is_recorded_when_its_reply_is_read() -> None:
    model = ScriptedModel(["first"])
    reply = model.stream(QUESTION)
    assert model.prompts == []
    list(reply)
    assert model.prompts == [QUESTION]


def test_an_exception_is_raised_in_its_turn() -> None:
    error = RateLimited("slow down", provider="scripted", retry_after_s=1.0)
    model = ScriptedModel([error, "then this"])
    with pytest.raises(RateLimited) as caught:
        list(model.stream(QUESTION))
    assert caught.value is error
    assert "".join(model.stream(QUESTION)) == "then this"
    assert len(model.prompts) == 2


def test_a_model_without_replies_left_says_what_it_was_asked() -> None:
    with pytest.raises(AssertionError, match=r"no reply left.*Where does the pilot board"):
        list(ScriptedModel().stream(QUESTION))


def test_an_empty_reply_can_be_scripted() -> None:
    reply = ScriptedModel([""]).stream(QUESTION)
    assert list(reply) == []
    assert reply.finish_reason == "stop"


def test_a_scripted_reply_can_be_closed() -> None:
    reply = ScriptedModel(["The pilot boards [1]."]).stream(QUESTION)
    pieces: Iterator[str] = iter(reply)
    next(pieces)
    reply.close()
    assert list(pieces) == []
    assert reply.finish_reason == ""


def test_the_chunks_to_search_are_exact_slices_of_their_documents() -> None:
    texts = {document.id: document.text for document in DOCUMENTS}
    for chunk in CHUNKS:
        assert texts[chunk.document_id][chunk.start : chunk.end] == chunk.text
    assert len(CHUNKS) == 7
