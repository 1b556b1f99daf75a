"""Tokens are counted, not guessed: tiktoken with its ranks inside the package.

``o200k_base`` needs no network, ever. Any other encoding is asked of tiktoken, which may
have it in its cache or download it; where it cannot, the error names the offline choice.
Text is always ordinary text: ``<|endoftext|>`` in a document is thirteen characters.
"""

import base64
import hashlib
import lzma
import re
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING

from rag.errors import RagError

if TYPE_CHECKING:
    import tiktoken

OFFLINE_ENCODING = "o200k_base"
RANKS_FILE = "o200k_base.tiktoken.xz"
RANKS_SHA256 = "446a9538cb6c348e3516120d7c08b09f57c36495e2acfffe59a5bf8b0cfb1a2d"
"""Of the uncompressed ranks, as tiktoken itself checks them (openai_public.py, MIT)."""

_PIECE = 10_000
"""Characters handed to tiktoken at once. Its regular expression backtracks over a run of
spaces and panics at 1,000,000 of them; 10,000 stay far below and cost nothing."""
_GAP = re.compile(r"(?<=[^\W_])(?=[ \n,.;!?，。；！？、：])")
"""Between a letter or digit and such a sign every tiktoken pattern ends a token, so cutting
there changes no count."""

# The encoding as OpenAI published it (tiktoken_ext/openai_public.py, MIT).
_PATTERN = (
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+"
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
    r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*"
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
    r"|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n/]*"
    r"|\s*[\r\n]+"
    r"|\s+(?!\S)"
    r"|\s+"
)
_SPECIAL_TOKENS = {"<|endoftext|>": 199_999, "<|endofprompt|>": 200_018}


def count_tokens(text: str, model: str | None = None) -> int:
    """Count the tokens of a text.

    Texts of more than 10,000 characters are counted in pieces that end where the encodings
    end a token too; a run of so many characters without such a place is cut anyway, which
    moves the count by one or two. O(n) for n characters.

    Parameters
    ----------
    text : any text; special-token strings in it are ordinary text.
    model : a model's or an encoding's name, as tiktoken knows them; None: ``o200k_base``.

    Raises
    ------
    ValueError
        tiktoken knows no such name.
    RagError
        The encoding is neither in the package nor in reach, or the package is damaged.

    Examples
    --------
    >>> count_tokens("The pilot boards at the fairway buoy.")
    9
    >>> count_tokens("<|endoftext|>") > 1
    True
    """
    encoding = _encoding(OFFLINE_ENCODING if model is None else _encoding_name(model))
    return sum(len(encoding.encode_ordinary(piece)) for piece in _pieces(text))


def _pieces(text: str) -> list[str]:
    if len(text) <= _PIECE:
        return [text]
    pieces, start = [], 0
    while start < len(text):
        end = start + _PIECE
        if end < len(text):
            gaps = [gap.start() for gap in _GAP.finditer(text, start + 1, end)]
            end = gaps[-1] if gaps else end
        pieces.append(text[start:end])
        start = end
    return pieces


@cache
def _encoding_name(model: str) -> str:
    import tiktoken  # noqa: PLC0415 - takes longer to import than all of this package

    if model in tiktoken.list_encoding_names():
        return model
    try:
        return tiktoken.encoding_name_for_model(model)
    except KeyError:
        message = (
            f"tiktoken knows no model or encoding {model!r}; "
            f"leave it out to count by {OFFLINE_ENCODING}"
        )
        raise ValueError(message) from None


@cache
def _encoding(name: str) -> "tiktoken.Encoding":
    import tiktoken  # noqa: PLC0415 - as above

    if name == OFFLINE_ENCODING:
        return tiktoken.Encoding(
            name=name,
            pat_str=_PATTERN,
            mergeable_ranks=_ranks(),
            special_tokens=_SPECIAL_TOKENS,
        )
    try:
        return tiktoken.get_encoding(name)
    except (OSError, ValueError) as error:  # No network, no cache; a wrong download.
        message = (
            f"the token encoding {name!r} is not in this package and cannot be downloaded; "
            f"{OFFLINE_ENCODING!r} (model=None) works without a network"
        )
        raise RagError(message) from error


def _ranks() -> dict[bytes, int]:
    """Read the ranks of o200k_base from the package."""
    try:
        packed = resources.files("rag").joinpath("resources", RANKS_FILE).read_bytes()
        plain = lzma.decompress(packed)
    except (OSError, lzma.LZMAError) as error:
        message = f"{RANKS_FILE} cannot be read ({error}); install the package again"
        raise RagError(message) from error
    found = hashlib.sha256(plain).hexdigest()
    if found != RANKS_SHA256:
        message = f"{RANKS_FILE} is damaged (sha256 {found}); install the package again"
        raise RagError(message)
    lines = (line.split() for line in plain.splitlines())
    return {base64.b64decode(token): int(rank) for token, rank in lines}
