"""OpenAIChat against a real HTTP server on this machine."""

import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from rag.errors import BadResponse, ProviderError, ProviderTimeout, RateLimited
from rag.synthesis.models import OpenAIChat
from rag.testing import ChatModelContract
from rag.types import Message, Usage
from tests.server import CHAT_REPLY, Fault, Server, raw, refusal, slow, status, too_long

KEY = "sk-secret-of-the-tests"
PROMPT = (
    Message(role="system", content="Answer from the passages."),
    Message(role="user", content="Where does the pilot board?"),
)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with Server() as running:
        yield running


def a_model(server: Server, **changes: Any) -> OpenAIChat:
    return OpenAIChat("local-7b", **{"base_url": server.url, "max_retries": 0, **changes})


def usage_of(error: ProviderError) -> Usage:
    usage = vars(error)["usage"]
    assert isinstance(usage, Usage)
    return usage


class TestOpenAIChat(ChatModelContract):
    @pytest.fixture
    def model(self, server: Server) -> OpenAIChat:
        return a_model(server)


def test_a_reply_is_streamed_piece_by_piece(server: Server) -> None:
    pieces = list(a_model(server).stream(PROMPT))
    assert "".join(pieces) == CHAT_REPLY
    assert len(pieces) > 5
    assert "" not in pieces


def test_the_request_carries_messages_and_parameters(server: Server) -> None:
    list(a_model(server, reply_tokens=300, temperature=0.5).stream(PROMPT))
    assert server.requests[0].path == "/v1/chat/completions"
    assert server.requests[0].body == {
        "model": "local-7b",
        "messages": [
            {"role": "system", "content": "Answer from the passages."},
            {"role": "user", "content": "Where does the pilot board?"},
        ],
        "stream": True,
        "max_tokens": 300,
        "temperature": 0.5,
        "stream_options": {"include_usage": True},
    }


def test_nothing_is_requested_before_the_reply_is_read(server: Server) -> None:
    reply = a_model(server).stream(PROMPT)
    iter(reply)
    assert server.requests == []
    assert reply.usage == Usage()


def test_usage_and_finish_reason_are_those_of_the_server(server: Server) -> None:
    reply = a_model(server).stream(PROMPT)
    list(reply)
    assert reply.finish_reason == "stop"
    assert (reply.usage.prompt_tokens, reply.usage.completion_tokens) == (21, 17)
    assert reply.usage.calls == 1
    assert reply.usage.seconds > 0


def test_repetitions_count_as_calls(server: Server) -> None:
    server.faults.extend([status(429, retry_after="0.01"), status(503, retry_after="0.01")])
    reply = a_model(server, max_retries=2).stream(PROMPT)
    assert "".join(reply) == CHAT_REPLY
    assert reply.usage.calls == 3


def test_closing_the_iterator_closes_the_connection(server: Server) -> None:
    server.chat_reply = "tide " * 60_000
    reply = a_model(server).stream(PROMPT)
    pieces = iter(reply)
    next(pieces)
    reply.close()
    assert server.cut_off.wait(5)
    assert list(pieces) == []
    assert reply.usage.calls == 1
    assert reply.usage.prompt_tokens > 0
    assert reply.finish_reason == ""


def test_closing_a_reply_that_was_never_read_requests_nothing(server: Server) -> None:
    reply = a_model(server).stream(PROMPT)
    reply.close()
    assert list(reply) == []
    assert server.requests == []


@pytest.mark.parametrize("silent_end", [False, True])
def test_a_stream_that_breaks_off_is_an_error(server: Server, silent_end: bool) -> None:
    server.faults.append(Fault(breaks_after=3, silent_end=silent_end))
    reply = a_model(server).stream(PROMPT)
    pieces: list[str] = []
    with pytest.raises(ProviderError, match="broke off after 10 characters") as caught:
        pieces.extend(reply)
    assert vars(caught.value)["retryable"] is True
    assert usage_of(caught.value).calls == 1
    assert usage_of(caught.value).prompt_tokens > 0
    assert reply.usage.calls == 1


def test_a_stream_that_ends_before_its_first_chunk_is_an_error(server: Server) -> None:
    server.faults.append(Fault(breaks_after=0, silent_end=True))
    with pytest.raises(ProviderError, match="broke off after 0 characters"):
        list(a_model(server).stream(PROMPT))


def test_a_stream_that_stalls_becomes_a_timeout(server: Server) -> None:
    server.faults.append(Fault(pause_s=0.5))
    with pytest.raises(ProviderTimeout) as caught:
        list(a_model(server, timeout_s=0.1).stream(PROMPT))
    assert usage_of(caught.value).calls == 1


def test_an_error_inside_a_stream_is_raised(server: Server) -> None:
    error = {"error": {"message": "the model crashed"}}
    server.faults.append(Fault(change=lambda chunks: [*chunks[:3], error]))
    with pytest.raises(ProviderError, match="the model crashed") as caught:
        list(a_model(server).stream(PROMPT))
    assert vars(caught.value)["retryable"] is True


@pytest.mark.parametrize("text", ["", " \n"])
def test_an_empty_reply_is_a_bad_response(server: Server, text: str) -> None:
    server.chat_reply = text
    with pytest.raises(BadResponse, match="empty reply and says 'stop'") as caught:
        list(a_model(server).stream(PROMPT))
    assert usage_of(caught.value).prompt_tokens == 21


def test_an_empty_reply_at_its_limit_names_the_setting(server: Server) -> None:
    def cut(chunks: list[dict[str, Any]]) -> list[dict[str, Any]]:
        first, *_, end, usage = chunks
        end["choices"][0]["finish_reason"] = "length"
        return [first, end, usage]

    server.faults.append(Fault(change=cut))
    with pytest.raises(BadResponse, match=r"synthesis\.reply_tokens"):
        list(a_model(server).stream(PROMPT))


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(raw(b"<html>Log in</html>", content_type="text/html"), id="a web page"),
        pytest.param(raw(b'{"choices": []}'), id="no stream"),
        pytest.param(raw(b"data: {not json\n\n", content_type="text/event-stream"), id="no JSON"),
        pytest.param(raw(b"data: \xff\n\n", content_type="text/event-stream"), id="no UTF-8"),
        pytest.param(raw(b"data: [1, 2]\n\n", content_type="text/event-stream"), id="a list"),
        pytest.param(
            raw(b'data: {"choices": ["stop"]}\n\n', content_type="text/event-stream"),
            id="another form",
        ),
    ],
)
def test_a_reply_that_breaks_the_protocol_is_a_bad_response(server: Server, fault: Fault) -> None:
    server.faults.append(fault)
    with pytest.raises(BadResponse) as caught:
        list(a_model(server).stream(PROMPT))
    assert usage_of(caught.value).calls == 1


def test_a_lone_surrogate_in_a_question_is_sent_as_a_question_mark(server: Server) -> None:
    question = Message(role="user", content="a\udcffb")
    assert "".join(a_model(server).stream([question])) == CHAT_REPLY
    assert server.requests[0].body["messages"][0]["content"] == "a?b"


def test_a_chunk_without_text_is_passed_over(server: Server) -> None:
    empty = {"id": "1", "choices": [{"index": 0, "delta": None, "finish_reason": None}]}
    bare = {"id": "1", "choices": None}
    server.faults.append(Fault(change=lambda chunks: [empty, bare, *chunks]))
    assert "".join(a_model(server).stream(PROMPT)) == CHAT_REPLY


def test_what_a_model_says_in_refusing_is_its_reply(server: Server) -> None:
    def refused(chunks: list[dict[str, Any]]) -> list[dict[str, Any]]:
        chunks[0]["choices"][0]["delta"] = {"refusal": "I will not."}
        return [chunks[0], *chunks[-2:]]

    server.faults.append(Fault(change=refused))
    assert "".join(a_model(server).stream(PROMPT)) == "I will not."


def refuse(parameter: str) -> Fault:
    message = f"Unsupported value: '{parameter}' is not supported with this model."
    return refusal(400, {"message": message, "param": parameter})


@pytest.mark.parametrize(
    ("fault", "missing", "present"),
    [
        pytest.param(refuse("temperature"), "temperature", "max_tokens", id="temperature"),
        pytest.param(refuse("stream_options"), "stream_options", "max_tokens", id="usage"),
        pytest.param(refuse("max_tokens"), "max_tokens", "max_completion_tokens", id="limit"),
        pytest.param(
            status(422, message="extra fields: stream_options"),
            "stream_options",
            "temperature",
            id="named in words only",
        ),
    ],
)
def test_a_refused_parameter_is_changed_and_remembered(
    server: Server, fault: Fault, missing: str, present: str
) -> None:
    model = a_model(server)
    server.faults.append(fault)
    reply = model.stream(PROMPT)
    assert "".join(reply) == CHAT_REPLY
    assert reply.usage.calls == 2
    assert "".join(model.stream(PROMPT)) == CHAT_REPLY
    assert len(server.requests) == 3
    for request in server.requests[1:]:
        assert missing not in request.body
        assert present in request.body


def test_a_refusal_that_names_no_parameter_is_an_error(server: Server) -> None:
    server.faults.append(status(400, message="no"))
    with pytest.raises(ProviderError, match="status 400: no"):
        list(a_model(server).stream(PROMPT))
    assert len(server.requests) == 1


def test_parameters_left_out_in_vain_are_sent_again(server: Server) -> None:
    model = a_model(server)
    server.faults.extend([refuse("temperature"), status(400, message="no")])
    with pytest.raises(ProviderError, match="status 400: no"):
        list(model.stream(PROMPT))
    assert "".join(model.stream(PROMPT)) == CHAT_REPLY
    assert "temperature" in server.requests[-1].body


def test_the_limit_of_a_reply_keeps_its_value_under_its_other_name(server: Server) -> None:
    server.faults.append(refuse("max_tokens"))
    list(a_model(server, reply_tokens=300).stream(PROMPT))
    assert server.requests[1].body["max_completion_tokens"] == 300


def test_several_refused_parameters_are_changed_one_after_another(server: Server) -> None:
    server.faults.extend([refuse("max_tokens"), refuse("temperature"), refuse("stream_options")])
    reply = a_model(server).stream(PROMPT)
    assert "".join(reply) == CHAT_REPLY
    assert reply.usage.calls == 4


def test_a_parameter_refused_twice_is_an_error(server: Server) -> None:
    server.faults.extend([refuse("max_tokens"), refuse("max_completion_tokens")])
    with pytest.raises(ProviderError, match="max_completion_tokens") as caught:
        list(a_model(server).stream(PROMPT))
    assert vars(caught.value)["status"] == 400
    assert usage_of(caught.value).calls == 2


def test_tokens_are_counted_where_the_server_tells_none(server: Server) -> None:
    model = a_model(server)
    server.faults.append(refuse("stream_options"))
    reply = model.stream(PROMPT)
    list(reply)
    assert reply.usage.prompt_tokens == sum(model.count(message.content) for message in PROMPT)
    assert reply.usage.completion_tokens == model.count(CHAT_REPLY)


def test_a_prompt_that_is_too_long_names_the_setting_and_is_not_repeated(server: Server) -> None:
    message = (
        "'max_tokens' or 'max_completion_tokens' is too large: 1024. This model's maximum "
        "context length is 4096 tokens and your request has 3500 input tokens."
    )
    server.faults.append(status(400, message=message))
    with pytest.raises(ProviderError, match=r"synthesis\.window"):
        list(a_model(server).stream(PROMPT))
    assert len(server.requests) == 1


def test_a_failed_call_costs_a_call_and_no_tokens(server: Server) -> None:
    server.faults.extend([status(429, retry_after="0.01"), status(429, retry_after="9")])
    reply = a_model(server, max_retries=1).stream(PROMPT)
    with pytest.raises(RateLimited) as caught:
        list(reply)
    assert vars(caught.value)["retry_after_s"] == 9.0
    assert usage_of(caught.value).calls == 2
    assert usage_of(caught.value).prompt_tokens == 0
    assert caught.value.__cause__ is not None
    assert reply.usage.calls == 2


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (status(401), ProviderError),
        (status(500), ProviderError),
        (too_long(), ProviderError),
        (slow(0.5), ProviderTimeout),
        (Fault(status=400, body=b"no", headers={"content-length": "9"}), ProviderTimeout),
        (Fault(status=400, body=b"no", headers={"content-encoding": "gzip"}), ProviderTimeout),
        (refusal(400, {"message": 3, "param": ["x"], "code": {}}), ProviderError),
    ],
)
def test_errors_before_the_stream_are_translated(
    server: Server, fault: Fault, kind: type[ProviderError]
) -> None:
    server.faults.append(fault)
    with pytest.raises(ProviderError) as caught:
        list(a_model(server, timeout_s=0.1).stream(PROMPT))
    assert type(caught.value) is kind
    assert usage_of(caught.value).calls == 1


def test_a_missing_key_says_what_to_set(server: Server) -> None:
    reply = OpenAIChat("gpt-4o").stream(PROMPT)
    with pytest.raises(ProviderError, match="OPENAI_API_KEY, or OPENAI_BASE_URL"):
        list(reply)


def test_the_key_stands_in_no_attribute_and_in_no_repr(server: Server) -> None:
    model = a_model(server, api_key=KEY)
    list(model.stream(PROMPT))
    assert server.requests[0].headers["authorization"] == f"Bearer {KEY}"
    assert KEY not in repr(model)
    assert KEY not in repr(vars(model))
    assert KEY not in repr(vars(vars(model)["_provider"]))


def test_name_and_window_are_those_given() -> None:
    model = OpenAIChat("local-7b", window=4096)
    assert model.name == "local-7b"
    assert model.window == 4096


@pytest.mark.parametrize("name", ["gpt-4o", "local-7b"])
def test_tokens_are_counted_by_o200k_base_for_its_models_and_unknown_ones(name: str) -> None:
    model = OpenAIChat(name)
    assert model.count("") == 0
    assert model.count("The pilot boards at the fairway buoy.") == 9


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"reply_tokens": 0}, "reply_tokens"),
        ({"window": 1024, "reply_tokens": 1024}, "leave room"),
        ({"temperature": -1.0}, "temperature"),
        ({"timeout_s": 0}, "timeout_s"),
        ({"max_retries": -1}, "max_retries"),
    ],
)
def test_numbers_out_of_range_are_refused_at_once(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        OpenAIChat("local-7b", **wrong)


def test_an_empty_model_name_is_refused() -> None:
    with pytest.raises(ValueError, match="must not be empty"):
        OpenAIChat("")


def test_importing_the_module_does_not_import_the_sdk() -> None:
    code = (
        "import sys; from rag.synthesis.models import OpenAIChat; "
        "OpenAIChat('local-7b').stream([]); sys.exit('openai' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
