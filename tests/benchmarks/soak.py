"""Readers beside a writer, for as long as is wanted: what they meet is counted.

    python -m tests.benchmarks.soak --minutes 30

One process syncs an edition of the documents after the other, with files that come, change,
move and go; two readers stay open all the time, and fresh ones are started throughout. Every
line names its edition, so that a reader knows what it may meet: nothing older than the last
sync that was over when it asked, one edition of a document at a time, and all of its lines.
"""

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path

from tests.index.samples import Child, start
from tests.test_processes import READ, finish, longest_of, opened, write, write_editions

WRITE = """
import sys
from pathlib import Path
from tests.benchmarks.soak import write_for
write_for(Path(sys.argv[1]), minutes=float(sys.argv[2]), documents=int(sys.argv[3]))
"""
_LASTING = 2


def write_for(folder: Path, *, minutes: float, documents: int) -> None:
    """Sync one edition after the other until the time is over."""
    until = time.monotonic() + minutes * 60
    rounds = write_editions(folder, documents=documents, goes_on=lambda _: time.monotonic() < until)
    print(json.dumps({"rounds": rounds}))  # noqa: T201 - what the parent reads


def soak(folder: Path, *, minutes: float, documents: int) -> dict[str, float]:
    """Let them run; returns the sums of what the readers saw."""
    write(folder, 1, documents=documents)
    with opened(folder) as corpus:
        corpus.sync()
        chunks = corpus.status().chunks
    (folder / ".finished").write_text("1", encoding="utf-8")
    lasting = [start(READ, folder, "on") for _ in range(_LASTING)]
    writer = start(WRITE, folder, minutes, documents)
    reports = []
    while not (folder / ".stop").exists() and writer.poll() is None:
        reports.append(finish(start(READ, folder, "once")))
    (folder / ".stop").touch()
    fresh = len(reports)
    reports += [finish(child) for child in lasting]
    sums = {key: sum(report[key] for report in reports) for key in reports[-1]}
    return {
        **sums,
        **longest_of(reports),
        "fresh_readers": fresh,
        "chunks": chunks,
        **_rounds(writer),
    }


def _rounds(writer: Child) -> dict[str, float]:
    out, err = writer.communicate(timeout=300)
    if writer.returncode:
        sys.stderr.write(err)
        return {"rounds": 0, "writer_failed": 1}
    return {**json.loads(out), "writer_failed": 0}


def main() -> None:
    """Soak in a temporary folder, and print what was counted."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--documents", type=int, default=200)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="rag-soak-") as folder:
        seen = soak(Path(folder), minutes=chosen.minutes, documents=chosen.documents)
    print(json.dumps(seen, indent=2))  # noqa: T201 - the result
    wrong = ("crashes", "stale", "partial", "writer_failed")
    sys.exit(any(seen[key] for key in wrong))


if __name__ == "__main__":
    main()
