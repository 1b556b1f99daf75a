"""What it costs to sync a folder again, here and with two peers.

    python -m tests.benchmarks.resync --peers /tmp/peers

Two folders: 1,000 small files that do not change, and one book of some 400 chunks without
headings, of which a paragraph changes. Embeddings only count what they are given. ``--peers``
names an environment that holds LangChain and LlamaIndex; where there is none it is made, which
takes package registries and a few minutes. Without it only this package is measured.
"""

import argparse
import json
import random
import shutil
import subprocess
import tempfile
import venv
from collections.abc import Sequence
from pathlib import Path

from rag.corpus import Corpus
from rag.testing import HashingEmbedder
from rag.types import Matrix
from tests.benchmarks import peers

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = (
    "langchain-core",
    "langchain-chroma",
    "langchain-text-splitters",
    "llama-index-core",
)
_SYLLABLES = [consonant + vowel for consonant in "bcdfghklmnprst" for vowel in "aeiou"]


class Counting(HashingEmbedder):
    """Counts what it is given."""

    def __init__(self) -> None:
        self.n = 0

    def embed_documents(self, texts: Sequence[str]) -> Matrix:
        self.n += len(texts)
        return super().embed_documents(texts)


def paragraph(chance: random.Random) -> str:
    """Write some sentences of made-up words."""
    words = ["".join(chance.choices(_SYLLABLES, k=chance.randint(1, 4))) for _ in range(80)]
    ends = [place for place in range(len(words)) if place % 13 == 12]
    return " ".join(word + "." * (place in ends) for place, word in enumerate(words)) + "."


def make_folders(root: Path) -> tuple[Path, Path]:
    """Make the folder of many files and that of the book, whose next edition lies beside it."""
    chance = random.Random(1)
    many, book = root / "many", root / "book"
    for folder in (many, book):
        folder.mkdir()
    for number in range(1000):
        (many / f"{number:04}.txt").write_text(paragraph(chance), encoding="utf-8")
    paragraphs = [paragraph(chance) for _ in range(800)]
    for name in ("book.txt", "book.edited"):
        (book / name).write_text("\n\n".join(paragraphs), encoding="utf-8")
        paragraphs[400] = paragraph(chance)
    return many, book


def ours(folder: Path) -> list[peers.Measured]:
    """Measure this package on a copy of a folder."""
    with tempfile.TemporaryDirectory() as scratch:
        copy = Path(shutil.copytree(folder, Path(scratch) / "corpus"))
        embedder = Counting()
        with Corpus.open(copy, embedder=embedder) as corpus:

            def sync(_files: object) -> int:
                before = embedder.n
                assert corpus.sync().failed == ()
                return embedder.n - before

            return peers.measure(copy, sync)


def theirs(python: Path, folder: Path) -> dict[str, list[peers.Measured]]:
    """Measure the peers in their own environment."""
    command = [str(python), str(Path(peers.__file__)), str(folder)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    found: dict[str, list[peers.Measured]] = json.loads(done.stdout.splitlines()[-1])
    return found


def python_of(environment: Path) -> Path:
    """Give the Python of the peers' environment, which is made where it is not there."""
    python = environment / "bin" / "python"
    if not python.exists():
        venv.create(environment, with_pip=True)
        pip = [str(python), "-m", "pip", "install", "--quiet"]
        subprocess.run([*pip, "-c", str(ROOT / "constraints.txt"), *PACKAGES], check=True)
    return python


def main() -> None:
    """Print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peers", type=Path, help="environment of the peers, made if missing")
    chosen = parser.parse_args()
    print("| | first sync | unchanged | a paragraph of it changed |")  # noqa: T201 - the result
    print("|---|---|---|---|")  # noqa: T201
    with tempfile.TemporaryDirectory(prefix="rag-resync-") as root:
        for folder in make_folders(Path(root)):
            rows = {"rag": ours(folder)}
            if chosen.peers is not None:
                rows |= theirs(python_of(chosen.peers), folder)
            for name, steps in rows.items():
                cells = [f"{s['embedded']:,.0f} embedded, {s['seconds']:.2f} s" for s in steps]
                print(f"| {folder.name}: {name} | {' | '.join(cells)} |")  # noqa: T201


if __name__ == "__main__":
    main()
