"""OpenAIEmbedder against a real HTTP server on this machine."""

import pickle
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from rag.embeddings.openai import OpenAIEmbedder, count_cautiously
from rag.errors import BadResponse, ProviderError, ProviderTimeout, RateLimited
from rag.testing import EmbedderContract, HashingEmbedder
from rag.tokens import count_tokens
from tests.server import Fault, Server, raw, slow, status, too_long

KEY = "sk-secret-of-the-tests"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with Server() as running:
        yield running


def an_embedder(server: Server, **changes: Any) -> OpenAIEmbedder:
    return OpenAIEmbedder("hash-384", **{"base_url": server.url, "max_retries": 0, **changes})


class TestOpenAIEmbedder(EmbedderContract):
    @pytest.fixture
    def embedder(self, server: Server) -> OpenAIEmbedder:
        return an_embedder(server)


class TestOpenAIEmbedderInSmallBatches(EmbedderContract):
    @pytest.fixture
    def embedder(self, server: Server) -> OpenAIEmbedder:
        return an_embedder(server, batch_size=2)


def test_vectors_are_those_of_the_server_brought_to_length_1(server: Server) -> None:
    rows = an_embedder(server).embed_documents(["the pilot", "the anchor"])
    expected = HashingEmbedder().embed_documents(["the pilot", "the anchor"])
    np.testing.assert_allclose(rows, expected, atol=1e-6)


def test_name_and_revision_say_the_model_and_where_the_server_is() -> None:
    embedder = OpenAIEmbedder("bge", base_url="https://user:word@Models.example.org:8443/v1/")
    assert embedder.name == "openai:bge"
    assert embedder.revision == "models.example.org:8443/v1"


def test_nothing_is_asked_before_the_first_vector_is_needed(server: Server) -> None:
    embedder = an_embedder(server)
    assert embedder.max_tokens == 512
    assert embedder.count("pilot") > 0
    assert server.requests == []


def test_dimension_is_learned_once_from_the_first_reply(server: Server) -> None:
    embedder = an_embedder(server)
    assert embedder.embed_query("pilot").shape == (384,)
    assert embedder.dimension == 384
    assert len(server.requests) == 1


def test_dimension_asks_the_server_when_nothing_was_embedded(server: Server) -> None:
    assert an_embedder(server).dimension == 384
    assert len(server.requests) == 1


def test_batches_hold_no_more_texts_than_asked_for(server: Server) -> None:
    rows = an_embedder(server, batch_size=2).embed_documents(["a1", "b2", "c3", "d4", "e5"])
    assert [request.body["input"] for request in server.requests] == [
        ["a1", "b2"],
        ["c3", "d4"],
        ["e5"],
    ]
    assert rows.shape == (5, 384)


def test_batches_hold_no_more_tokens_than_servers_take(server: Server) -> None:
    embedder = an_embedder(server, count=lambda text: 100_000)
    embedder.embed_documents(["a1", "b2", "c3"])
    assert [request.body["input"] for request in server.requests] == [["a1", "b2"], ["c3"]]


def test_an_empty_text_is_sent_as_a_space(server: Server) -> None:
    an_embedder(server).embed_documents(["", "pilot"])
    assert server.requests[0].body["input"] == [" ", "pilot"]


def test_vectors_are_sorted_by_their_index(server: Server) -> None:
    server.faults.append(Fault(change=lambda reply: {**reply, "data": reply["data"][::-1]}))
    rows = an_embedder(server).embed_documents(["pilot", "anchor", "tide"])
    expected = HashingEmbedder().embed_documents(["pilot", "anchor", "tide"])
    np.testing.assert_allclose(rows, expected, atol=1e-6)


def test_a_server_named_by_its_url_needs_no_key(server: Server) -> None:
    an_embedder(server).embed_query("pilot")
    assert server.requests[0].headers["authorization"] == "Bearer no-key"


def test_key_and_url_come_from_the_environment(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", server.url)
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    OpenAIEmbedder("hash-384").embed_query("pilot")
    assert server.requests[0].headers["authorization"] == f"Bearer {KEY}"


def test_a_missing_key_says_what_to_set(server: Server) -> None:
    with pytest.raises(ProviderError, match="OPENAI_API_KEY, or OPENAI_BASE_URL") as caught:
        OpenAIEmbedder("text-embedding-3-small").embed_query("pilot")
    assert vars(caught.value)["provider"] == "api.openai.com"
    assert vars(caught.value)["retryable"] is False


def test_the_key_stands_in_no_attribute_and_in_no_repr(server: Server) -> None:
    embedder = an_embedder(server, api_key=KEY)
    embedder.embed_query("pilot")
    assert server.requests[0].headers["authorization"] == f"Bearer {KEY}"
    assert KEY not in repr(embedder)
    assert KEY not in repr(vars(embedder))
    assert KEY not in repr(vars(vars(embedder)["_provider"]))


@pytest.mark.parametrize("code", [429, 500, 503])
def test_a_failure_that_passes_is_repeated(server: Server, code: int) -> None:
    server.faults.extend([status(code, retry_after="0.01"), status(code, retry_after="0.01")])
    vector = an_embedder(server, max_retries=2).embed_query("pilot")
    assert vector.shape == (384,)
    assert len(server.requests) == 3


def test_too_many_requests_become_rate_limited(server: Server) -> None:
    server.faults.append(status(429, message="slow down", retry_after="7"))
    with pytest.raises(RateLimited, match="slow down") as caught:
        an_embedder(server).embed_query("pilot")
    assert vars(caught.value)["retry_after_s"] == 7.0
    assert vars(caught.value)["provider"] == server.host
    assert caught.value.__cause__ is not None


def test_a_late_answer_becomes_a_timeout(server: Server) -> None:
    server.faults.append(slow(0.5))
    with pytest.raises(ProviderTimeout, match=r"within 0\.1 s") as caught:
        an_embedder(server, timeout_s=0.1).embed_query("pilot")
    assert vars(caught.value)["retryable"] is True


def test_a_server_that_is_not_there_becomes_a_timeout(server: Server) -> None:
    nowhere = OpenAIEmbedder("hash-384", base_url="http://127.0.0.1:1/v1", max_retries=0)
    with pytest.raises(ProviderTimeout, match=r"no whole reply from 127\.0\.0\.1:1 ") as caught:
        nowhere.embed_query("pilot")
    assert vars(caught.value)["retryable"] is True


def test_a_text_that_is_too_long_names_the_setting(server: Server) -> None:
    server.faults.append(too_long())
    with pytest.raises(ProviderError, match=r"embeddings\.max_tokens") as caught:
        an_embedder(server).embed_query("pilot")
    assert vars(caught.value)["status"] == 400
    assert vars(caught.value)["retryable"] is False


def first_vector(change: Callable[[list[float]], Any]) -> Fault:
    def changed(reply: dict[str, Any]) -> dict[str, Any]:
        first, *rest = reply["data"]
        return {**reply, "data": [{**first, "embedding": change(first["embedding"])}, *rest]}

    return Fault(change=changed)


def numbered(change: Callable[[int], Any]) -> Fault:
    def changed(reply: dict[str, Any]) -> dict[str, Any]:
        return {**reply, "data": [{**d, "index": change(d["index"])} for d in reply["data"]]}

    return Fault(change=changed)


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(Fault(change=lambda r: {**r, "data": r["data"][1:]}), id="one missing"),
        pytest.param(Fault(change=lambda r: {**r, "data": r["data"] * 2}), id="each twice"),
        pytest.param(Fault(change=lambda r: {**r, "data": []}), id="none"),
        pytest.param(Fault(change=lambda r: {**r, "data": None}), id="null"),
        pytest.param(Fault(change=lambda r: {}), id="empty object"),
        pytest.param(Fault(change=lambda r: []), id="a list"),
        pytest.param(first_vector(lambda v: [float("nan"), *v[1:]]), id="NaN"),
        pytest.param(first_vector(lambda v: [1e999, *v[1:]]), id="infinite"),
        pytest.param(first_vector(lambda v: [0.0] * len(v)), id="zero"),
        pytest.param(first_vector(lambda v: [None, *v[1:]]), id="null in it"),
        pytest.param(first_vector(lambda v: v[:10]), id="shorter"),
        pytest.param(first_vector(lambda v: []), id="empty"),
        pytest.param(first_vector(lambda v: "AAAA"), id="base64"),
        pytest.param(
            Fault(change=lambda r: {**r, "data": [{**d, "embedding": [[1.0]]} for d in r["data"]]}),
            id="a matrix",
        ),
        pytest.param(first_vector(lambda v: [1e308] * len(v)), id="too long to measure"),
        pytest.param(numbered(str), id="index as text"),
        pytest.param(numbered(lambda index: None), id="no index"),
        pytest.param(numbered(lambda index: "one" if index else 0), id="index of two kinds"),
        pytest.param(raw(b'{"data": ['), id="malformed JSON"),
        pytest.param(raw(b"[" * 100_000), id="JSON too deep"),
        pytest.param(raw(b"\xff\xfe"), id="no UTF-8"),
        pytest.param(raw(b"<html>Log in</html>", content_type="text/html"), id="a web page"),
    ],
)
def test_a_reply_that_breaks_the_protocol_is_a_bad_response(server: Server, fault: Fault) -> None:
    server.faults.append(fault)
    with pytest.raises(BadResponse) as caught:
        an_embedder(server).embed_documents(["pilot", "anchor"])
    assert vars(caught.value)["provider"] == server.host
    assert len(server.requests) == 1


def test_a_dimension_that_changes_is_a_bad_response(server: Server) -> None:
    embedder = an_embedder(server)
    embedder.embed_query("pilot")
    server.faults.append(first_vector(lambda vector: vector[:10]))
    with pytest.raises(BadResponse, match="10 numbers after some of 384"):
        embedder.embed_query("pilot")


def test_errors_can_be_pickled(server: Server) -> None:
    server.faults.append(status(429, retry_after="7"))
    with pytest.raises(RateLimited) as caught:
        an_embedder(server).embed_query("pilot")
    copy = pickle.loads(pickle.dumps(caught.value))
    assert str(copy) == str(caught.value)
    assert vars(copy) == vars(caught.value)


@pytest.mark.parametrize(
    "wrong",
    [{"max_tokens": 0}, {"batch_size": 0}, {"timeout_s": 0}, {"max_retries": -1}],
)
def test_numbers_out_of_range_are_refused_at_once(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        OpenAIEmbedder("bge", **wrong)


def test_an_empty_model_name_is_refused() -> None:
    with pytest.raises(ValueError, match="must not be empty"):
        OpenAIEmbedder("")


def test_the_given_count_is_used() -> None:
    assert OpenAIEmbedder("bge", count=len).count("pilot") == 5


@pytest.mark.parametrize(
    "text", ["", "The pilot boards.", "砚溪县位于山谷之中,每年三月举行茶叶集市。"]
)
def test_tokens_are_counted_rather_too_many_than_too_few(text: str) -> None:
    assert OpenAIEmbedder("bge").count(text) == count_cautiously(text)
    assert count_cautiously(text) >= count_tokens(text) + 2


def test_a_chinese_character_counts_at_least_one_token() -> None:
    text = "砚溪县位于山谷之中每年三月举行茶叶集市" * 20
    assert count_cautiously(text) >= len(text)


def test_importing_the_module_does_not_import_the_sdk() -> None:
    code = (
        "import sys, rag.embeddings.openai as module; "
        "module.OpenAIEmbedder('bge').count('pilot'); sys.exit('openai' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
