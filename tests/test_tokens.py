"""Tokens are counted as tiktoken counts them, without a network."""

import hashlib
import lzma
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import tiktoken

import rag
from rag.errors import RagError
from rag.tokens import RANKS_FILE, RANKS_SHA256, count_tokens

PACKAGE = Path(rag.__file__).parent
RANKS = PACKAGE / "resources" / RANKS_FILE
CORPORA = PACKAGE.parent / "corpora"
PUBLISHED = "https://openaipublic.blob.core.windows.net/encodings/o200k_base.tiktoken"
"""Where tiktoken would download the ranks; their name in its cache is the hash of this."""


@pytest.fixture
def no_way_out(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    """Cut tiktoken off from the world; returns its empty cache."""
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(tmp_path))
    with socket.socket() as unheard:
        unheard.bind(("127.0.0.1", 0))  # Nobody listens, so a connection is refused.
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{unheard.getsockname()[1]}")
        yield tmp_path


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tiktoken.Encoding]:
    """Build tiktoken's own o200k_base, whose ranks are put where it would keep a download."""
    cache = tmp_path_factory.mktemp("cache")
    name = hashlib.sha1(PUBLISHED.encode(), usedforsecurity=False).hexdigest()
    (cache / name).write_bytes(lzma.decompress(RANKS.read_bytes()))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TIKTOKEN_CACHE_DIR", str(cache))
        yield tiktoken.get_encoding("o200k_base")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", 0),
        (" ", 1),
        ("The tide turns at 06:40; be there.", 12),
        ("潮水在六点四十分转向。", 10),
        ("👨\u200d👩\u200d👧", 8),
    ],
)
def test_tokens_are_counted_offline(no_way_out: Path, text: str, expected: int) -> None:
    assert count_tokens(text) == expected


@pytest.mark.parametrize("text", ["<|endoftext|>", "<|endofprompt|>"])
def test_a_special_token_in_a_text_is_ordinary_text(text: str) -> None:
    assert count_tokens(text) == 7
    assert count_tokens(f"one {text} two") == 9


@pytest.mark.parametrize(
    "text",
    [
        "Don't, WON'T, I'll: HTTPServer2 iPhone café naïve 1234567 3.14 ISO-9001",
        "def f(x):\n    return x[1:]  # half\r\n\r\n\tnext = {'a': 1}\n\n\n",
        "第三章　水费：每立方米３.５元；“逾期”加收滞纳金……",
        "हिन्दी العربية 한국어 ひらがな ภาษาไทย",
        "👋🏽🇨🇳 \u200b\u00ad\ufeff\x00 e\u0301",
        "<|endoftext|><|fim_prefix|>",
    ],
)
def test_the_count_is_that_of_tiktokens_own_encoding(
    published: tiktoken.Encoding, text: str
) -> None:
    assert count_tokens(text) == len(published.encode_ordinary(text))


@pytest.mark.parametrize(
    "name", ["harbour-manual/harbour-manual.md", "county-gazetteer/砚溪县志.md"]
)
def test_a_long_text_counted_in_pieces_counts_as_it_does_whole(
    published: tiktoken.Encoding, name: str
) -> None:
    text = (CORPORA / name).read_text(encoding="utf-8") * 3
    assert len(text) > 30_000
    assert count_tokens(text) == len(published.encode_ordinary(text))


@pytest.mark.parametrize("model", ["gpt-4o", "o200k_base"])
def test_models_of_the_shipped_encoding_need_no_network(no_way_out: Path, model: str) -> None:
    assert count_tokens("The tide turns.", model=model) == 4


def test_another_encoding_is_tiktokens_own_where_it_has_it(published: tiktoken.Encoding) -> None:
    assert count_tokens("The tide turns.", model="o200k_harmony") == 4


@pytest.mark.parametrize("model", ["cl100k_base", "gpt-4"])
def test_another_encoding_out_of_reach_names_the_offline_choice(
    no_way_out: Path, model: str
) -> None:
    with pytest.raises(RagError, match=r"'cl100k_base' .* 'o200k_base' .* without a network"):
        count_tokens("The tide turns.", model=model)


def test_an_unknown_model_is_the_callers_mistake() -> None:
    with pytest.raises(ValueError, match=r"'gpt-unheard-of'.*leave it out"):
        count_tokens("The tide turns.", model="gpt-unheard-of")


@pytest.mark.timeout(60)
@pytest.mark.parametrize("character", [" ", "a", "港", "\n", "."])
def test_a_million_of_one_character_are_counted(character: str) -> None:
    # In one piece tiktoken panics over the blanks.
    assert 1_000 < count_tokens(character * 1_000_000) <= 1_000_000


def test_the_ranks_are_those_that_openai_published() -> None:
    assert hashlib.sha256(lzma.decompress(RANKS.read_bytes())).hexdigest() == RANKS_SHA256
    assert RANKS_SHA256 == "446a9538cb6c348e3516120d7c08b09f57c36495e2acfffe59a5bf8b0cfb1a2d"


def swap_two_ranks(file: Path) -> None:
    lines = lzma.decompress(file.read_bytes()).splitlines(keepends=True)
    lines[500], lines[501] = lines[501], lines[500]
    file.write_bytes(lzma.compress(b"".join(lines), preset=0))


def cut_short(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:100_000])


@pytest.mark.parametrize(
    ("damage", "found"),
    [
        (swap_two_ranks, "is damaged (sha256 "),
        (cut_short, "cannot be read ("),
        (Path.unlink, "cannot be read ("),
    ],
)
def test_damaged_ranks_are_never_counted_with(
    tmp_path: Path, damage: Callable[[Path], None], found: str
) -> None:
    copy = shutil.copytree(PACKAGE, tmp_path / "rag", ignore=shutil.ignore_patterns("__pycache__"))
    damage(copy / "resources" / RANKS_FILE)
    code = (
        "import rag.tokens\n"
        "try: print(rag.tokens.count_tokens('The tide turns.'))\n"
        "except rag.tokens.RagError as error: print(rag.tokens.__file__, error)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        cwd=tmp_path,
        capture_output=True,
        check=True,
        text=True,
    )
    assert done.stdout.startswith(str(copy / "tokens.py"))
    assert f"{RANKS_FILE} {found}" in done.stdout
    assert "install the package again" in done.stdout
