"""How servers are reached, and how their failures are told."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import openai
import pytest

from rag.errors import ProviderError, RateLimited, SettingsError
from rag.providers import Provider, requests_sent
from tests.server import Fault, Server, raw, refusal, status


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as running:
        yield running


def a_provider(base_url: str | None = None, **changes: Any) -> Provider:
    arguments: dict[str, Any] = {"api_key": None, "timeout_s": 5.0, "max_retries": 0}
    return Provider(base_url, setting="synthesis.window", **{**arguments, **changes})


def failure_of(server: Server, fault: Fault) -> ProviderError:
    server.faults.append(fault)
    provider = a_provider(server.url)
    with pytest.raises(openai.OpenAIError) as caught:
        provider.client.embeddings.create(model="bge", input=["pilot"])
    return provider.translate(caught.value)


def test_the_server_is_openai_when_nothing_else_is_said() -> None:
    provider = a_provider()
    assert provider.url == "https://api.openai.com/v1"
    assert provider.host == "api.openai.com"
    assert provider.place == "api.openai.com/v1"


def test_the_argument_wins_over_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", "http://environment:1/v1")
    assert a_provider("http://argument:2/v1").host == "argument:2"
    assert a_provider().host == "environment:1"


def test_an_empty_variable_counts_as_unset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", " ")
    assert a_provider().host == "api.openai.com"


def test_host_and_place_hold_no_password() -> None:
    provider = a_provider("http://user:secret@[::1]:8080/v1/")
    assert provider.host == "[::1]:8080"
    assert provider.place == "[::1]:8080/v1"
    assert "secret" not in repr(provider)


@pytest.mark.parametrize("url", ["localhost:8080", "ftp://host/v1", "http://", "http://host:port"])
def test_a_url_that_is_not_one_of_http_is_refused(url: str) -> None:
    with pytest.raises(SettingsError, match="must be a URL like") as caught:
        a_provider(url)
    assert vars(caught.value) == {"key": "base_url", "value": url}


def test_a_wrong_url_of_the_environment_is_named_after_its_variable(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", "localhost:8080")
    with pytest.raises(SettingsError, match="OPENAI_BASE_URL must be a URL"):
        a_provider()


@pytest.mark.parametrize("key", ["sk-…", "sk-a\nb"])
def test_a_key_that_cannot_be_sent_is_refused_without_being_quoted(key: str) -> None:
    with pytest.raises(ProviderError, match="characters that no key has") as caught:
        a_provider(api_key=key)
    assert key not in str(caught.value)


def test_spaces_around_a_key_are_left_out(server: Server) -> None:
    provider = a_provider(server.url, api_key=" sk-1\n")
    provider.client.embeddings.create(model="bge", input=["pilot"])
    assert server.requests[0].headers["authorization"] == "Bearer sk-1"


@pytest.mark.parametrize(
    ("code", "retryable"),
    [(400, False), (401, False), (403, False), (404, False), (409, True), (500, True), (503, True)],
)
def test_a_status_says_whether_to_try_again(server: Server, code: int, retryable: bool) -> None:
    error = failure_of(server, status(code))
    assert type(error) is ProviderError
    assert vars(error)["status"] == code
    assert vars(error)["retryable"] is retryable
    assert vars(error)["provider"] == server.host


def test_a_refused_key_is_not_quoted(server: Server) -> None:
    error = failure_of(server, status(401, message="wrong key: sk-1234"))
    assert "sk-1234" not in str(error)
    assert "OPENAI_API_KEY" in str(error)


def test_a_spent_quota_is_not_worth_a_repetition(server: Server) -> None:
    words = {"message": "You exceeded your current quota", "code": "insufficient_quota"}
    error = failure_of(server, refusal(429, words))
    assert not isinstance(error, RateLimited)
    assert vars(error)["retryable"] is False
    assert "exceeded your current quota" in str(error)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "7"}, 7.0),
        ({"retry-after": "0.5"}, 0.5),
        ({"retry-after-ms": "250", "retry-after": "9"}, 0.25),
        ({"retry-after": "-3"}, 0.0),
        ({"retry-after": "soon"}, None),
        ({}, None),
    ],
)
def test_the_time_to_wait_is_read_from_the_headers(
    server: Server, headers: dict[str, str], seconds: float | None
) -> None:
    error = failure_of(server, refusal(429, {"message": "slow down"}, headers))
    assert isinstance(error, RateLimited)
    assert vars(error)["retry_after_s"] == seconds


def test_the_time_to_wait_may_be_a_date(server: Server) -> None:
    date = format_datetime(datetime.now(UTC) + timedelta(seconds=100), usegmt=True)
    error = failure_of(server, refusal(429, {"message": "slow down"}, {"retry-after": date}))
    assert 90 < vars(error)["retry_after_s"] <= 100


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (400, "This model's maximum context length is 8192 tokens"),
        (413, "Input validation error: `inputs` must have less than 512 tokens. Given: 600"),
        (400, "the request exceeds the available context size, try increasing it"),
        (500, "input is too large to process. increase the physical batch size"),
        (400, "the input length exceeds the context length"),
        (400, "Prompt is too long"),
    ],
)
def test_servers_say_in_many_words_that_a_text_is_too_long(
    server: Server, code: int, words: str
) -> None:
    error = failure_of(server, status(code, message=words))
    assert "synthesis.window" in str(error)
    assert words in str(error)
    assert vars(error)["retryable"] is False


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b'{"detail": "bad field"}', "bad field"),
        (b'{"error": "bad field"}', "bad field"),
        (b"bad field", "bad field"),
        (b"", "418"),
    ],
)
def test_the_words_of_a_server_are_quoted_however_it_puts_them(
    server: Server, body: bytes, words: str
) -> None:
    assert words in str(failure_of(server, Fault(status=418, body=body)))


def test_many_words_of_a_server_are_cut(server: Server) -> None:
    error = failure_of(server, status(400, message="word " * 1000))
    assert len(str(error)) < 400
    assert "word …; see" in str(error)


def test_a_reply_that_is_no_json_is_a_bad_response(server: Server) -> None:
    server.faults.append(raw(b"{"))
    provider = a_provider(server.url)
    with pytest.raises(ValueError, match="Expecting") as caught:
        provider.client.embeddings.create(model="bge", input=["pilot"])
    error = provider.translate(caught.value, usage=3)
    assert type(error).__name__ == "BadResponse"
    assert vars(error)["usage"] == 3


def test_connections_are_closed_when_the_provider_is_gone(server: Server) -> None:
    provider = a_provider(server.url)
    client = provider.client
    client.embeddings.create(model="bge", input=["pilot"])
    assert not client.is_closed()
    del provider
    assert client.is_closed()


def test_a_failure_without_a_request_sent_none() -> None:
    assert requests_sent(None) == 0
