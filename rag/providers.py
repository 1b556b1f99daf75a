"""Servers that speak OpenAI's protocol: how they are reached, and what their failures mean.

In: where the server is, and a key from the environment. Out: the SDK's client, made when it
is first used because importing the SDK costs .9 s, and every failure of it as one of ours.

The SDK repeats a request that met 408, 409, 429, 5xx or no connection: after .5 s doubling
to 8 s, up to a quarter shorter by chance, or after what ``Retry-After`` asks, up to two
minutes. Nothing is repeated a second time here.
"""

# ruff: noqa: PLC0415 - importing the SDK costs .9 s and is left to the first request.

import logging
import os
import re
import weakref
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import cached_property
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from rag.errors import (
    BadResponse,
    ProviderError,
    ProviderTimeout,
    RateLimited,
    SettingsError,
)

if TYPE_CHECKING:
    import httpx2
    import openai

DEFAULT_URL = "https://api.openai.com/v1"
PLACEHOLDER_KEY = "no-key"
"""Sent where a server is named and no key is: local servers take any, the SDK wants one."""

_CONNECT_S = 5.0
"""A server that does not even accept the connection by then is down (the SDK's own value)."""
_QUOTED = 300
"""Characters of a server's own words that a message quotes."""
_TOO_LONG = re.compile(
    r"context[ _](length|size|window)|must have less than \d+ tokens"
    r"|(input|prompt|text|sequence)\b.{0,40}\btoo (long|large)|too many tokens",
    re.IGNORECASE | re.DOTALL,
)
"""How OpenAI, vLLM, llama.cpp, Ollama and text-embeddings-inference put it."""
_RETRIES_HEADER = "x-stainless-retry-count"
"""The SDK numbers its repetitions in this header of the request."""

_log = logging.getLogger(__name__)


class Provider:
    """One server and the way to it.

    Parameters
    ----------
    base_url : None takes ``OPENAI_BASE_URL`` from the environment, and OpenAI's own where
        that is not set.
    api_key : None takes ``OPENAI_API_KEY`` when the first request is made. A key is kept by
        the SDK's client and by nothing else.
    timeout_s : seconds to wait for the next byte of a reply.
    max_retries : how often a request is repeated.
    setting : the setting that bounds what is sent; named when the server says "too long".

    Raises
    ------
    SettingsError
        The URL is not one of HTTP.
    ValueError
        ``timeout_s`` or ``max_retries`` is out of range.
    """

    def __init__(
        self,
        base_url: str | None,
        *,
        api_key: str | None,
        timeout_s: float,
        max_retries: int,
        setting: str,
    ) -> None:
        if timeout_s <= 0:
            message = f"timeout_s must be above 0, not {timeout_s!r}"
            raise ValueError(message)
        if max_retries < 0:
            message = f"max_retries must not be negative, and is {max_retries!r}"
            raise ValueError(message)
        chosen = base_url or os.environ.get("OPENAI_BASE_URL", "").strip()
        self.url = chosen or DEFAULT_URL
        self.host, self.place = _host_and_place(
            self.url, key="base_url" if base_url else "OPENAI_BASE_URL"
        )
        self._is_chosen = bool(chosen)
        self._timeout_s = timeout_s
        self._max_retries = max_retries
        self._setting = setting
        if api_key is not None:
            self.client = self._connect(api_key)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.place!r})"

    @cached_property
    def client(self) -> "openai.OpenAI":
        """The SDK's client; closed when the provider is gone.

        Raises
        ------
        ProviderError
            No key is set and OpenAI's own server is asked, or the key cannot be sent.
        """
        return self._connect(os.environ.get("OPENAI_API_KEY", ""))

    def translate(self, error: Exception, *, usage: object = None) -> ProviderError:
        """Turn a failure of the SDK into one of ours; raise it ``from`` the original.

        Parameters
        ----------
        error : one of `failures`.
        usage : what the failed call had cost.
        """
        import httpx2
        import openai

        if isinstance(error, openai.APITimeoutError | httpx2.TimeoutException):
            message = (
                f"{self.host} did not answer within {self._timeout_s:g} s; "
                f"raise timeout_s, or see whether the server is overloaded"
            )
            return ProviderTimeout(message, provider=self.host, retryable=True, usage=usage)
        if isinstance(error, openai.APIConnectionError | httpx2.HTTPError):
            message = (
                f"no whole reply from {self.host} ({error.__cause__ or error}); see whether the "
                f"server runs and the base URL {self.place!r} is right (OPENAI_BASE_URL)"
            )
            return ProviderTimeout(message, provider=self.host, retryable=True, usage=usage)
        if isinstance(error, openai.APIStatusError):
            return self._translate_status(error, usage=usage)
        if isinstance(error, openai.APIResponseValidationError | ValueError | RecursionError):
            return self.bad_response(f"no valid reply ({error})", usage=usage)
        # An error that the server reports inside a stream is of no more special class.
        return ProviderError(
            f"{self.host} reports an error: {_quoted(error)}",
            provider=self.host,
            retryable=isinstance(error, openai.APIError),
            usage=usage,
        )

    def bad_response(self, what: str, *, usage: object = None) -> BadResponse:
        """Make the error for a reply that is not what the protocol promises."""
        message = (
            f"{self.host} answered {what}; "
            f"see whether the base URL {self.place!r} is right (most end in /v1)"
        )
        return BadResponse(message, provider=self.host, status=200, usage=usage)

    def _connect(self, key: str) -> "openai.OpenAI":
        import openai

        key = key.strip()
        if not key and not self._is_chosen:
            message = (
                f"no key for {self.host}: set OPENAI_API_KEY, or OPENAI_BASE_URL for a local "
                "server, which needs none"
            )
            raise ProviderError(message, provider=self.host)
        if not (key.isascii() and key.isprintable()):
            # The HTTP library would say so too, and quote the key.
            message = f"the key for {self.host} holds characters that no key has; copy it again"
            raise ProviderError(message, provider=self.host)
        _log.debug("connecting to %s", self.place)
        client = openai.OpenAI(
            api_key=key or PLACEHOLDER_KEY,
            base_url=self.url,
            timeout=openai.Timeout(self._timeout_s, connect=min(self._timeout_s, _CONNECT_S)),
            max_retries=self._max_retries,
        )
        # The client refers to itself in circles, so its connections would stay open until the
        # garbage collector comes by; they are closed when this object goes.
        weakref.finalize(self, client.close)
        return client

    def _translate_status(self, error: "openai.APIStatusError", *, usage: object) -> ProviderError:
        status = error.status_code
        words = _quoted(error)
        if status == 429 and error.code != "insufficient_quota":
            return RateLimited(
                f"{self.host} asks for patience: {words}; wait, or send less at once",
                provider=self.host,
                retry_after_s=_retry_after_s(error.response.headers),
                usage=usage,
            )
        if is_too_long(error):
            message = (
                f"{self.host} finds the text too long: {words}; "
                f"lower the setting {self._setting} to what its model takes"
            )
        elif status in {401, 403}:
            # Some servers quote the key that they refuse, so their words stay out.
            message = f"{self.host} refuses the key ({status}); see OPENAI_API_KEY"
        elif status == 404:
            message = (
                f"{self.host} does not know the model or the address: {words}; "
                f"see the model's name and the base URL {self.place!r} (most end in /v1)"
            )
        else:
            advice = (
                "try again later, and see its own log if that does not help"
                if status >= 500
                else "see what its documentation says about that"
            )
            message = f"{self.host} answered with status {status}: {words}; {advice}"
        return ProviderError(
            message,
            provider=self.host,
            status=status,
            retryable=not is_too_long(error) and (status in {408, 409} or status >= 500),
            usage=usage,
        )


def failures() -> tuple[type[Exception], ...]:
    """List what the SDK raises when a server fails; for ``except``.

    Its own errors; ``ValueError`` for what is no JSON or no UTF-8, ``RecursionError`` for JSON
    too deep; and, where the text of an error itself breaks off, those of its HTTP library.
    """
    import httpx2
    import openai

    return (openai.OpenAIError, httpx2.HTTPError, ValueError, RecursionError)


def sendable(text: str) -> str:
    """Replace lone surrogates, which UTF-8 cannot hold and JSON cannot carry, by ``?``.

    They come from a terminal or a file name that is not UTF-8.
    """
    return text.encode(errors="replace").decode()


def is_too_long(error: "openai.APIStatusError") -> bool:
    """Tell whether a server refuses a text for its length, by its words."""
    return error.code == "context_length_exceeded" or (
        # 413 and 500 are what text-embeddings-inference and llama.cpp answer.
        error.status_code in {400, 413, 422, 500} and bool(_TOO_LONG.search(words_of(error)))
    )


def words_of(error: Exception) -> str:
    """Find what a server says in the reply that the SDK raised."""
    body = getattr(error, "body", None)
    if isinstance(body, dict):
        for key in ("message", "detail", "error"):
            if isinstance(body.get(key), str):
                return str(body[key])
    return str(body or error)


def requests_sent(request: "httpx2.Request | None") -> int:
    """Count how often the SDK sent a request, its repetitions included; 0 for none."""
    if request is None:
        return 0
    retries = request.headers.get(_RETRIES_HEADER, "0")
    return 1 + (int(retries) if retries.isdecimal() else 0)


def _quoted(error: Exception) -> str:
    words = " ".join(words_of(error).split())
    return words if len(words) <= _QUOTED else f"{words[:_QUOTED]}…"


def _host_and_place(url: str, *, key: str) -> tuple[str, str]:
    """Split a URL into ``host:port``, and that with the path; name and password left out."""
    try:
        parts = urlsplit(url)
        port = f":{parts.port}" if parts.port is not None else ""
    except ValueError:
        parts, port = urlsplit(""), ""
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        message = f"{key} must be a URL like 'http://127.0.0.1:8080/v1', not {url!r}"
        raise SettingsError(message, key=key, value=url)
    name = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return f"{name}{port}", f"{name}{port}{parts.path.rstrip('/')}"


def _retry_after_s(headers: "httpx2.Headers") -> float | None:
    """Read how long a server asks to wait: milliseconds, seconds, or until a date."""
    for name, per_second in (("retry-after-ms", 1000), ("retry-after", 1)):
        try:
            return max(0.0, float(headers[name]) / per_second)
        except (KeyError, ValueError):
            continue
    try:
        until = parsedate_to_datetime(headers["retry-after"])
    except (KeyError, ValueError):
        return None
    return max(0.0, (until.astimezone(UTC) - datetime.now(UTC)).total_seconds())
