"""Messages become text by any server that speaks OpenAI's chat protocol.

1. Nothing is sent until a reply is iterated over.
2. The request goes out with streaming. Servers differ in the parameters they take; what one
   refuses by name is left out or renamed, once, and remembered for the next request.
3. Pieces are handed on as they come. A stream that ends without saying why is a failure, as
   is a reply without text: neither may pass for an answer.
"""

# ruff: noqa: PLC0415 - importing the SDK costs .9 s and is left to the first request.

import logging
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, cast

from rag.errors import BadResponse, ProviderError, RagError
from rag.providers import Provider, failures, is_too_long, requests_sent, sendable, words_of
from rag.tokens import count_tokens
from rag.types import Count, Message, Usage

if TYPE_CHECKING:
    import openai
    from openai.types.chat import ChatCompletionChunk, ChatCompletionMessageParam

_log = logging.getLogger(__name__)


class OpenAIChat:
    """The ChatModel role by a server.

    ``OPENAI_API_KEY`` and ``OPENAI_BASE_URL`` are read from the environment as OpenAI's SDK
    reads them.

    Parameters
    ----------
    model : the model's name on the server.
    window : tokens the model takes, prompt and reply together; the protocol does not tell.
    reply_tokens : the most tokens of a reply.
    timeout_s : seconds to wait for the next byte of a reply.
    max_retries : how often a request is repeated that met 408, 409, 429, 5xx or no connection.
        A stream that has begun is never repeated.
    base_url : None takes ``OPENAI_BASE_URL``, and OpenAI's own where that is not set.
    api_key : None takes ``OPENAI_API_KEY``. A server named by its URL needs none.
    temperature : 0 gives the likeliest words. Not sent to models that refuse it.

    Raises
    ------
    ValueError
        A number is out of range, or the model's name is empty.
    SettingsError
        The base URL is not one of HTTP.
    """

    def __init__(
        self,
        model: str,
        *,
        window: int = 8192,
        reply_tokens: int = 1024,
        timeout_s: float = 60.0,
        max_retries: int = 3,
        base_url: str | None = None,
        api_key: str | None = None,
        temperature: float = 0.0,
    ) -> None:
        if not model:
            message = "the chat model's name must not be empty"
            raise ValueError(message)
        if not 1 <= reply_tokens < window:
            message = (
                f"reply_tokens={reply_tokens!r} must be at least 1 and leave room for a prompt "
                f"in a window of {window!r}"
            )
            raise ValueError(message)
        if temperature < 0:
            message = f"temperature must not be negative, and is {temperature!r}"
            raise ValueError(message)
        self._model = model
        self._window = window
        self._parameters: Mapping[str, Any] = {
            "max_tokens": reply_tokens,
            "temperature": temperature,
            "stream_options": {"include_usage": True},
        }
        self._provider = Provider(
            base_url,
            api_key=api_key,
            timeout_s=timeout_s,
            max_retries=max_retries,
            setting="synthesis.window",
        )

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._model!r}, at={self._provider.place!r})"

    @property
    def name(self) -> str:
        """The model's name on the server."""
        return self._model

    @property
    def window(self) -> int:
        """Tokens the model takes, prompt and reply together."""
        return self._window

    def count(self, text: str) -> int:
        """Count tokens by the model's encoding, or o200k_base where it is not known.

        Names of models that tiktoken does not know, or whose encoding cannot be had without
        a network, are counted by ``o200k_base``.
        """
        return count_tokens(text, self._encoding)

    def stream(self, messages: Sequence[Message]) -> "ChatReply":
        """Answer the messages piece by piece.

        Parameters
        ----------
        messages : the whole chat, oldest first.

        Returns
        -------
        ChatReply
            Its iteration sends the request and raises what goes wrong: ProviderTimeout,
            RateLimited, BadResponse for a reply without text or of another form, and
            ProviderError for all else, each with the ``usage`` so far.
        """
        return ChatReply(partial(self._answer, tuple(messages)))

    @cached_property
    def _encoding(self) -> str | None:
        try:
            count_tokens("", self._model)
        except (ValueError, RagError) as error:
            _log.info("counting the tokens of %r by o200k_base: %s", self._model, error)
            return None
        return self._model

    def _answer(
        self, messages: tuple[Message, ...], reply: "ChatReply"
    ) -> Generator[str, None, None]:
        tally = _Tally(messages, self.count)
        try:
            with self._open(messages, tally) as stream:
                yield from self._read(stream, tally, reply)
        finally:
            # Also when the reader stops early: what was written until then was paid for.
            reply.usage = tally.usage()

    def _open(
        self, messages: tuple[Message, ...], tally: "_Tally"
    ) -> "openai.Stream[ChatCompletionChunk]":
        """Send the request, and send it again where the server refuses a parameter."""
        client = self._provider.client
        chat = cast(
            "list[ChatCompletionMessageParam]",
            [{"role": message.role, "content": sendable(message.content)} for message in messages],
        )
        parameters = self._parameters
        while True:
            try:
                stream = client.chat.completions.create(
                    model=self._model,
                    messages=chat,
                    stream=True,
                    extra_body=parameters,
                )
            except failures() as error:
                tally.calls += requests_sent(getattr(error, "request", None))
                accepted = _without_refused(parameters, error)
                if accepted is None:
                    raise self._provider.translate(error, usage=tally.usage()) from error
                _log.info("%r refuses a parameter: %s", self, words_of(error))
                parameters = accepted
            else:
                self._parameters = parameters
                tally.calls += requests_sent(stream.response.request)
                tally.opened = True
                return stream

    def _read(
        self, stream: "openai.Stream[ChatCompletionChunk]", tally: "_Tally", reply: "ChatReply"
    ) -> Iterator[str]:
        """Hand on the pieces of a stream, and raise unless it ended as it should."""
        import openai

        try:
            for chunk in stream:
                piece = tally.take(chunk)
                if piece:
                    yield piece
        except openai.APITimeoutError as error:
            raise self._provider.translate(error, usage=tally.usage()) from error
        except openai.APIConnectionError as error:
            raise self._broken(tally) from error
        except failures() as error:
            raise self._provider.translate(error, usage=tally.usage()) from error
        except (AttributeError, TypeError) as error:
            what = f"a piece of another form ({error})"
            raise self._provider.bad_response(what, usage=tally.usage()) from error
        if not tally.finish_reason:
            kind = stream.response.headers.get("content-type", "text/event-stream")
            if "event-stream" in kind:
                raise self._broken(tally)
            raise self._provider.bad_response(f"{kind!r} and no stream", usage=tally.usage())
        if not tally.text.strip():
            raise self._empty(tally)
        reply.finish_reason = tally.finish_reason

    def _broken(self, tally: "_Tally") -> ProviderError:
        message = (
            f"the reply of {self._model!r} at {self._provider.host} broke off after "
            f"{len(tally.text)} characters; ask again"
        )
        return ProviderError(
            message, provider=self._provider.host, retryable=True, usage=tally.usage()
        )

    def _empty(self, tally: "_Tally") -> BadResponse:
        message = (
            f"{self._model!r} at {self._provider.host} gave an empty reply and says "
            f"{tally.finish_reason!r}"
        )
        if tally.finish_reason == "length":
            message += "; raise the setting synthesis.reply_tokens"
        return BadResponse(message, provider=self._provider.host, status=200, usage=tally.usage())


class ChatReply:
    """Text as a server writes it; can be read once.

    Closing the iterator, or the reply, closes the connection. ``usage.calls`` counts the
    requests sent, repetitions and refused ones included; ``usage.seconds`` runs from the
    first request to the last piece. Where the server tells no tokens they are counted.
    """

    def __init__(self, answer: Callable[["ChatReply"], Generator[str, None, None]]) -> None:
        self.usage = Usage()
        self.finish_reason = ""
        self._pieces = answer(self)

    def __iter__(self) -> Iterator[str]:
        """Iterate over the pieces; a second iteration goes on where the first stopped."""
        return self._pieces

    def close(self) -> None:
        """Stop reading and close the connection; harmless when all was read."""
        self._pieces.close()


class _Tally:
    """What one reply has cost and said so far."""

    def __init__(self, messages: tuple[Message, ...], count: Count) -> None:
        self.calls = 0
        self.opened = False
        self.finish_reason = ""
        self._messages = messages
        self._count = count
        self._pieces: list[str] = []
        self._told: tuple[int, int] | None = None
        self._started = time.perf_counter()

    @property
    def text(self) -> str:
        return "".join(self._pieces)

    def take(self, chunk: "ChatCompletionChunk") -> str:
        """Note what a chunk says, and give its text."""
        if chunk.usage is not None:
            self._told = (int(chunk.usage.prompt_tokens), int(chunk.usage.completion_tokens))
        piece = ""
        for choice in chunk.choices or ():
            if choice.delta is not None:
                piece += choice.delta.content or choice.delta.refusal or ""
            self.finish_reason = choice.finish_reason or self.finish_reason
        self._pieces.append(piece)
        return piece

    def usage(self) -> Usage:
        prompt, completion = 0, 0
        if self._told is not None:
            prompt, completion = self._told
        elif self.opened:
            prompt = sum(self._count(message.content) for message in self._messages)
            completion = self._count(self.text)
        return Usage(
            prompt_tokens=prompt,
            completion_tokens=completion,
            calls=self.calls,
            seconds=time.perf_counter() - self._started,
        )


def _without_refused(parameters: Mapping[str, Any], error: Exception) -> Mapping[str, Any] | None:
    """Leave out or rename the parameter that a server refuses; None where it refuses none."""
    import openai

    if not isinstance(error, openai.BadRequestError | openai.UnprocessableEntityError):
        return None
    if is_too_long(error):
        return None  # vLLM names max_tokens in that answer too.
    words = f"{words_of(error)} {error.body}"
    told = [key for key in parameters if key == error.param]
    named = told or [key for key in parameters if key in words]
    if not named:
        return None
    refused = named[0]
    accepted = {key: value for key, value in parameters.items() if key != refused}
    if refused == "max_tokens":
        accepted["max_completion_tokens"] = parameters["max_tokens"]
    elif refused == "max_completion_tokens":
        return None  # A reply without any limit is not what was asked for.
    return accepted
