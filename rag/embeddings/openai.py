"""Text becomes vectors by any server that speaks OpenAI's embeddings protocol.

1. Texts are gathered into requests, bounded in number and in tokens.
2. Each is sent; failures are repeated and translated by ``rag.providers``.
3. A reply is checked before it is believed: one vector a text, put in the order of their
   ``index``, all of one dimension, all finite. Then rows are brought to length 1.

The protocol tells neither the model's limit nor its dimension: the limit is an argument, the
dimension is learned from the first reply.
"""

import json
import logging
import math
import re
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from rag.errors import BadResponse
from rag.providers import Provider, failures, sendable
from rag.terms import CHINESE
from rag.tokens import count_tokens
from rag.types import Count, Matrix, Vector

REQUEST_TOKENS = 250_000
"""Tokens of one request; OpenAI refuses more than 300,000."""

_CHINESE_CHARACTER = re.compile(f"[{CHINESE}]")
_TOKENS_FACTOR = 1.25
_CHINESE_TOKENS = 0.35
_SPECIAL_TOKENS = 2

_log = logging.getLogger(__name__)


class OpenAIEmbedder:
    """The Embedder role by a server.

    The server is asked when the first vector is needed, and not before; ``OPENAI_API_KEY``
    and ``OPENAI_BASE_URL`` are read from the environment as OpenAI's SDK reads them.

    Parameters
    ----------
    model : the model's name on the server.
    max_tokens : the most tokens the model reads. Servers refuse longer texts, or cut them
        and do not say so.
    batch_size : texts of one request.
    timeout_s : seconds to wait for the next byte of a reply.
    max_retries : how often a request is repeated that met 408, 409, 429, 5xx or no connection.
    base_url : None takes ``OPENAI_BASE_URL``, and OpenAI's own where that is not set.
    api_key : None takes ``OPENAI_API_KEY``. A server named by its URL needs none.
    count : the model's tokenizer; None means `count_cautiously`.

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
        max_tokens: int = 512,
        batch_size: int = 128,
        timeout_s: float = 60.0,
        max_retries: int = 5,
        base_url: str | None = None,
        api_key: str | None = None,
        count: Count | None = None,
    ) -> None:
        if not model:
            message = "the embedding model's name must not be empty"
            raise ValueError(message)
        if max_tokens < 1 or batch_size < 1:
            message = f"max_tokens={max_tokens!r} and batch_size={batch_size!r} must be at least 1"
            raise ValueError(message)
        self._model = model
        self._max_tokens = max_tokens
        self._batch_size = batch_size
        self._count = count or count_cautiously
        self._dimension: int | None = None
        self._provider = Provider(
            base_url,
            api_key=api_key,
            timeout_s=timeout_s,
            max_retries=max_retries,
            setting="embeddings.max_tokens",
        )

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._model!r}, at={self._provider.place!r})"

    @property
    def name(self) -> str:
        """``openai:`` and the model's name."""
        return f"openai:{self._model}"

    @property
    def revision(self) -> str:
        """Where the server is: host, port and path.

        The protocol does not tell the version of the weights. Two servers may serve different
        ones under one name, so another address counts as another version.
        """
        return self._provider.place

    @property
    def dimension(self) -> int:
        """Length of a vector; asks the server when nothing was embedded yet.

        Raises
        ------
        ProviderError
            The server cannot be asked.
        """
        if self._dimension is None:
            self._embed(["dimension"])
        return int(self._dimension or 0)

    @property
    def max_tokens(self) -> int:
        """The most tokens the model reads, as the caller gave it."""
        return self._max_tokens

    def count(self, text: str) -> int:
        """Count tokens by the ``count`` given, or cautiously."""
        return self._count(text)

    def embed_documents(self, texts: Sequence[str]) -> Matrix:
        """Embed texts to be found: (n, d).

        Raises
        ------
        ProviderError
            The server cannot be reached, refuses, or answers nonsense (``BadResponse``);
            nothing of what it embedded before is returned.
        """
        if not texts:
            return np.zeros((0, self.dimension), dtype=np.float32)
        return np.concatenate([self._embed(batch) for batch in self._batches(texts)])

    def embed_query(self, text: str) -> Vector:
        """Embed a text to search with: (d,); raises as `embed_documents` does."""
        vector: Vector = self._embed([text])[0]
        return vector

    def _batches(self, texts: Sequence[str]) -> Iterator[list[str]]:
        batch: list[str] = []
        tokens = 0
        for text in texts:
            more = self.count(text)
            if batch and (len(batch) == self._batch_size or tokens + more > REQUEST_TOKENS):
                yield batch
                batch, tokens = [], 0
            batch.append(text)
            tokens += more
        yield batch

    def _embed(self, texts: Sequence[str]) -> Matrix:
        client = self._provider.client
        # The SDK's own parsing visits every number in Python, so the plain JSON is taken.
        # Base64 would be shorter, but not every server knows it. OpenAI refuses empty texts.
        try:
            reply = client.embeddings.with_raw_response.create(
                model=self._model,
                input=[sendable(text) or " " for text in texts],
                encoding_format="float",
            )
            content = json.loads(reply.content)
        except failures() as error:
            raise self._provider.translate(error) from error
        rows = self._rows(content, len(texts))
        self._dimension = rows.shape[1]
        _log.debug("embedded %d texts by %r", len(texts), self)
        return rows

    def _rows(self, content: Any, n_texts: int) -> Matrix:
        """Check a reply and bring its rows into the order of the texts: (n, d)."""
        try:
            items = content["data"]
            places = [item["index"] for item in items]
            rows = np.asarray([item["embedding"] for item in items], dtype=np.float64)  # (n, d)
        except (KeyError, TypeError, ValueError) as error:
            raise self._provider.bad_response(f"no vectors ({error!r})") from error
        # A number that stands there as text or as 1.0 is not believed to be a place.
        numbered = all(type(place) is int for place in places)
        if not numbered or sorted(places) != list(range(n_texts)):
            raise self._bad(f"{len(places)} vectors, numbered {_few(places)}, for {n_texts} texts")
        if rows.ndim != 2 or rows.shape[1] == 0:
            raise self._bad("vectors without numbers")
        if self._dimension not in {None, rows.shape[1]}:
            raise self._bad(f"vectors of {rows.shape[1]} numbers after some of {self._dimension}")
        with np.errstate(over="ignore"):
            lengths = np.linalg.norm(rows, axis=1, keepdims=True)  # (n, 1)
        if not np.isfinite(lengths).all() or not lengths.all():
            raise self._bad("vectors that are zero or not finite")
        return np.ascontiguousarray((rows / lengths)[np.argsort(places)], dtype=np.float32)

    def _bad(self, what: str) -> BadResponse:
        return self._provider.bad_response(f"{what} (model {self._model!r})")


def count_cautiously(text: str) -> int:
    """Count tokens for a tokenizer that is not known, rather too many than too few.

    Parameters
    ----------
    text : any text.

    Notes
    -----
    ``1.25 * o200k_base + 0.35 * Chinese characters + 2``, ours. Compared on English and Chinese
    prose in stretches of 800 characters, a WordPiece vocabulary of 30,000 gives up to 1.26
    times, cl100k_base up to 1.07 times (Chinese: 1.62 times) the tokens of o200k_base, which
    has .7 tokens a Chinese character. 2 are the special tokens at both ends.

    Examples
    --------
    >>> count_cautiously("The pilot boards at the fairway buoy.")
    14
    """
    chinese = len(_CHINESE_CHARACTER.findall(text))
    tokens = _TOKENS_FACTOR * count_tokens(text) + _CHINESE_TOKENS * chinese
    return math.ceil(tokens) + _SPECIAL_TOKENS


def _few(places: list[object]) -> str:
    listed = ", ".join(map(repr, places[:5]))
    return f"{listed} …" if len(places) > 5 else listed
