"""Text becomes vectors by the bundled model on the CPU, through onnxruntime: no torch.

1. Texts are cut into word pieces; one that the model would cut short is refused.
2. The vectors of the pieces and of their places are added, from the weights as they lie on
   the disk.
3. Each text goes through the model alone, several at the same time, one thread for each.
4. The vectors of its pieces are averaged, and the mean is brought to length 1.

The model is made from the published weights at every start (`rag.embeddings.graph`), within
.2 s, so that there is nothing to export, to keep and to keep right.
"""

# ruff: noqa: PLC0415 - opening a corpus need not wait for onnxruntime.

import json
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, get_args

import numpy as np
from numpy.typing import NDArray

from rag.embeddings import bundled
from rag.embeddings.graph import Precision, bert
from rag.errors import ProviderError
from rag.types import Matrix, Vector

if TYPE_CHECKING:
    from onnxruntime import InferenceSession
    from tokenizers import Tokenizer

PROVIDER = "onnxruntime"
_HEADS = 12
"""Of the bundled model, from its config.json."""
_MOST_WORKERS = 16
"""Threads beyond which nothing was measured."""
_QUANTISATION = "1"
"""Raise it when int8 gives other vectors than before: indexes are made with one."""
_ERRORS_ONLY = 3
"""Of onnxruntime's five levels; it warns on standard error, which belongs to the program."""


class OnnxEmbedder:
    """The Embedder role by the bundled all-MiniLM-L6-v2, on the CPU and without torch.

    Parameters
    ----------
    precision : "int8" is three to four times as fast as torch; its vectors have a mean cosine
        of .99 to those of "fp32", and none is below .97. "fp32" gives the vectors of
        `SentenceTransformerEmbedder` to within 1e-6, under the same revision.
    workers : texts that are embedded at the same time; None: one a processor, at most 16.

    Raises
    ------
    ValueError
        ``precision`` is unknown, or ``workers`` is below 1.
    ProviderError
        The package of the model is missing; by every other method: it is damaged, or
        onnxruntime cannot run it.

    Notes
    -----
    A row is the same to the last bit whatever stands beside its text, since each text is a
    run of its own. Safe to share by threads.
    """

    name = bundled.NAME
    dimension = bundled.DIMENSION
    max_tokens = bundled.MAX_TOKENS

    def __init__(self, *, precision: Precision = "int8", workers: int | None = None) -> None:
        if precision not in get_args(Precision):
            message = f"precision must be one of {get_args(Precision)}, not {precision!r}"
            raise ValueError(message)
        if workers is not None and workers < 1:
            message = f"workers must be at least 1, not {workers!r}"
            raise ValueError(message)
        self._precision: Precision = precision
        self._workers = workers or min(_processors(), _MOST_WORKERS)
        bundled.folder()

    def __repr__(self) -> str:
        return f"{type(self).__name__}(precision={self._precision!r})"

    @property
    def revision(self) -> str:
        """A hash of the weights, and how they were made smaller."""
        if self._precision == "fp32":
            return bundled.REVISION
        return f"{bundled.REVISION}-int8-{_QUANTISATION}"

    def count(self, text: str) -> int:
        """Count tokens as the model would read them, nothing cut."""
        return len(self._tokenizer.encode(bundled.readable(text)).ids)

    def embed_documents(self, texts: Sequence[str]) -> Matrix:
        """Embed texts to be found: (n, d).

        Raises
        ------
        ValueError
            A text counts more than ``max_tokens``; split it with ``rag.chunk`` first.
        ProviderError
            The model cannot be loaded.
        """
        rows = np.zeros((len(texts), self.dimension), dtype=np.float32)
        if not texts:
            return rows
        _ = self._tokenizer, self._session  # Loaded here, and not by each of the workers.
        with ThreadPoolExecutor(min(self._workers, len(texts))) as workers:
            pieces = list(workers.map(self._pieces, texts))
            # The longest first, or one worker would end with it while the others are idle.
            order = sorted(range(len(texts)), key=lambda place: -len(pieces[place]))
            rows[order] = list(workers.map(self._row, [pieces[place] for place in order]))
        return rows

    def embed_query(self, text: str) -> Vector:
        """Embed a text to search with: (d,), as `embed_documents` would."""
        return self._row(self._pieces(text))

    def _pieces(self, text: str) -> list[int]:
        """Cut a text into the numbers of its word pieces."""
        pieces: list[int] = self._tokenizer.encode(bundled.readable(text)).ids
        bundled.refuse_what_is_longer(
            text, tokens=len(pieces), max_tokens=self.max_tokens, name=self.name
        )
        return pieces

    def _row(self, pieces: Sequence[int]) -> Vector:
        words, places = self._tables
        embedded = words[pieces] + places[: len(pieces)]  # (n, d)
        tokens = self._session.run(["tokens"], {"embedded": embedded[np.newaxis]})[0][0]  # (n, d)
        mean = tokens.mean(axis=0)
        vector: Vector = mean / np.linalg.norm(mean)
        return vector

    @cached_property
    def _tokenizer(self) -> "Tokenizer":
        return bundled.tokenizer()

    @cached_property
    def _weights(self) -> dict[str, NDArray[np.float32]]:
        return _read(bundled.checked_weights())

    @cached_property
    def _tables(self) -> tuple[Matrix, Matrix]:
        """The vectors of words, and those of places with that of the first type of text."""
        name = "embeddings.{}_embeddings.weight"
        words, places, types = (
            self._weights[name.format(part)] for part in ("word", "position", "token_type")
        )
        return words, places + types[0]

    @cached_property
    def _session(self) -> "InferenceSession":
        import onnxruntime

        onnxruntime.set_default_logger_severity(_ERRORS_ONLY)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        # The graph is written as onnxruntime would make it, and texts have all lengths.
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        options.enable_mem_pattern = False
        model = bert(self._weights, heads=_HEADS, precision=self._precision)
        try:
            return onnxruntime.InferenceSession(model, options, ["CPUExecutionProvider"])
        except RuntimeError as error:
            message = (
                f"onnxruntime {onnxruntime.__version__} cannot run {self.name!r}: {error}; "
                "install the tested version (constraints.txt)"
            )
            raise ProviderError(message, provider=PROVIDER) from error


def _read(file: Path) -> dict[str, NDArray[np.float32]]:
    """Open the float32 tensors of a safetensors file, which are read where they are used."""
    with file.open("rb") as stream:
        header_size = int.from_bytes(stream.read(8), "little")
        header = json.loads(stream.read(header_size))
    content = np.asarray(np.memmap(file, mode="r", offset=8 + header_size))
    return {
        name: content[slice(*tensor["data_offsets"])].view(np.float32).reshape(tensor["shape"])
        for name, tensor in header.items()
        if tensor.get("dtype") == "F32"
    }


def _processors() -> int:
    """Count the processors this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
