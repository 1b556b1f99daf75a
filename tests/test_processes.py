"""Several processes at one corpus: a writer that is killed, readers beside one that writes."""

import json
import os
import random
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from rag.corpus import Corpus
from rag.errors import CorpusLocked
from rag.index.catalog import Catalog
from rag.settings import settings_from
from rag.testing import HashingEmbedder
from rag.types import By, Progress
from tests.documents.make_pdf import make_pdf
from tests.documents.test_worker import children
from tests.index.samples import Child, output, start

DOCUMENTS = 12
LINES = 8
SETTINGS = settings_from({"documents": {"chunk_size": 16}, "index": {"exact_up_to": 0}})
"""A line is a chunk, and Chroma is asked wherever it can be trusted."""


@contextmanager
def opened(folder: Path) -> Iterator[Corpus]:
    with Corpus.open(folder, settings=SETTINGS, embedder=HashingEmbedder()) as corpus:
        yield corpus


def write(folder: Path, version: int, *, documents: int = DOCUMENTS) -> None:
    """Write every document in a version, which each of its lines names."""
    for number in range(documents):
        lines = (
            f"In edition {version} of log {number} the keeper of lamp {line} counted "
            f"{line * 17 + number} ships and barge {line} of berth {number}."
            for line in range(LINES)
        )
        (folder / f"{number:02}.txt").write_text("\n\n".join(lines), encoding="utf-8")


# ---- a writer that is killed ------------------------------------------------------------

SYNC = """
import sys
from pathlib import Path
from tests.test_processes import opened
with opened(Path(sys.argv[1])) as corpus:
    import chromadb
    print("ready", flush=True)
    sys.stdin.readline()
    corpus.sync()
    print("done", flush=True)
"""


def state(folder: Path) -> dict[str, Any]:
    """Give all that the catalog says of documents and chunks, whatever their numbers."""
    with closing(Catalog(folder / ".rag", write=False)) as catalog:
        chunks = {chunk.id: chunk for chunk in catalog.all_chunks()}
        ids = sorted(chunks)
        return {
            "documents": catalog.summaries(),
            "texts": catalog._rows(
                "SELECT text FROM contents JOIN documents ON document = number ORDER BY id"
            ),
            "chunks": [chunks[id_] for id_ in ids],
            "vectors": catalog.vectors(ids).tolist(),
            "hashes": {id_: facts.file_hash for id_, facts in catalog.files().items()},
            "vectors held": catalog._rows("SELECT count(*) FROM vectors"),
        }


def answers(folder: Path) -> list[tuple[str, float]]:
    with opened(folder) as corpus:
        return [
            (hit.chunk.text, hit.score)
            for by in BYS
            for query in ("barge 3 of berth 7", "keeper of lamp 5")
            for hit in corpus.search(query, k=20, by=by)
        ]


BYS: tuple[By, ...] = ("fused", "dense", "lexical")


@pytest.fixture(scope="module")
def before_and_after(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Give a corpus that is synced, and what a sync of its second edition makes of it."""
    before, after = tmp_path_factory.mktemp("before"), tmp_path_factory.mktemp("after")
    for folder in (before, after):
        write(folder, 1)
        with opened(folder) as corpus:
            corpus.sync()
    write(after, 2, documents=DOCUMENTS - 2)
    (after / "11.txt").unlink()
    (after / "10.txt").rename(after / "moved.txt")
    with opened(after) as corpus:
        corpus.sync()
    return before, after


def kill_at(folder: Path, after_s: float) -> str:
    """Start a sync and kill it; returns what it had said."""
    child = start(SYNC, folder, stdin=True)
    assert child.stdin is not None
    assert child.stdout is not None
    assert child.stdout.readline() == "ready\n"
    child.stdin.write("\n")
    child.stdin.flush()
    time.sleep(after_s)
    child.send_signal(signal.SIGKILL)
    said, err = child.communicate()
    assert child.returncode in (-signal.SIGKILL, 0), err
    return said


def check_kills(
    before_and_after: tuple[Path, Path], tmp_path: Path, *, kills: int, seed: int
) -> None:
    before, after = before_and_after
    moments = random.Random(seed)
    unfinished = 0
    for number in range(kills):
        folder = tmp_path / str(number)
        copy(before, folder)
        copy(after, folder, index=False)
        unfinished += kill_at(folder, moments.uniform(0, 0.6)) == ""
        check_answers(folder)
        with opened(folder) as corpus:
            report = corpus.sync()
            assert report.failed == ()
            assert corpus.status().findings == ()
            assert corpus.status().writer is None
        assert state(folder) == state(after)
        assert answers(folder) == answers(after)
    assert unfinished, "every sync ended before it was killed"


def copy(source: Path, target: Path, *, index: bool = True) -> None:
    """Copy a corpus, or put its files in the place of another's."""
    if index:
        shutil.copytree(source, target)
        return
    for path in target.glob("*.txt"):
        path.unlink()
    for path in source.glob("*.txt"):
        shutil.copy2(path, target)


def check_answers(folder: Path) -> None:
    """A reader after the death of a writer finds whole documents of one edition each."""
    with opened(folder) as corpus:
        for summary in corpus.documents():
            text = corpus.document(summary.id).text
            for by in BYS:
                where = {"document_id": summary.id}
                hits = corpus.search("keeper barge", k=50, by=by, where=where)
                assert sorted(hit.chunk.start for hit in hits) == starts(text)
                assert all(text[h.chunk.start : h.chunk.end] == h.chunk.text for h in hits)
        for hit in corpus.search("keeper of lamp 5", k=20):
            assert hit.chunk.text in corpus.document(hit.chunk.document_id).text


def starts(text: str) -> list[int]:
    places = [0]
    while (end := text.find("\n\n", places[-1])) >= 0:
        places.append(end + 2)
    return places


def test_a_sync_killed_at_any_moment_leaves_answers_and_the_next_ends_as_a_clean_one(
    before_and_after: tuple[Path, Path], tmp_path: Path
) -> None:
    check_kills(before_and_after, tmp_path, kills=2, seed=1)


@pytest.mark.slow
def test_a_sync_killed_at_thirty_moments_leaves_answers_and_the_next_ends_as_a_clean_one(
    before_and_after: tuple[Path, Path], tmp_path: Path
) -> None:
    check_kills(before_and_after, tmp_path, kills=30, seed=2)


def test_a_first_sync_that_is_killed_can_be_run_again(
    before_and_after: tuple[Path, Path], tmp_path: Path
) -> None:
    _, after = before_and_after
    for number, after_s in enumerate((0.05,)):
        folder = tmp_path / str(number)
        folder.mkdir()
        copy(after, folder, index=False)
        kill_at(folder, after_s)
        with opened(folder) as corpus:
            corpus.sync(dry_run=True)
            corpus.sync()
            assert corpus.status().findings == ()
        assert answers(folder) == answers(after)


# ---- two writers ------------------------------------------------------------------------


def test_a_second_writer_is_told_who_writes_and_a_dead_ones_lock_holds_nobody(
    before_and_after: tuple[Path, Path], tmp_path: Path
) -> None:
    copy(before_and_after[0], tmp_path / "corpus")
    code = """
import sys
from pathlib import Path
from rag.index.writer import writing
with writing(Path(sys.argv[1]) / ".rag", {}):
    print("writing", flush=True)
    sys.stdin.readline()
"""
    child = start(code, tmp_path / "corpus", stdin=True)
    assert child.stdout is not None
    assert child.stdout.readline() == "writing\n"
    with opened(tmp_path / "corpus") as corpus:
        calls = (
            corpus.sync,
            lambda: corpus.put("memo", "The dredger works at night."),
            lambda: corpus.remove("memo"),
        )
        for call in calls:
            with pytest.raises(CorpusLocked, match=rf"process {child.pid}, writing since 20"):
                call()
        assert len(corpus.search("keeper of lamp 5", k=7)) == 7
        child.send_signal(signal.SIGKILL)
        child.communicate()
        assert corpus.sync().failed == ()


# ---- readers beside a writer ------------------------------------------------------------

WRITE = """
import sys
from pathlib import Path
from tests.test_processes import write_editions
rounds = int(sys.argv[2])
write_editions(Path(sys.argv[1]), goes_on=lambda edition: edition < rounds + 2)
"""
READ = """
import sys
from pathlib import Path
import chromadb.api.rust, tantivy
import rag
from tests.test_processes import read_on
rag.count_tokens("What a process loads but once is no waiting for a writer.")
read_on(Path(sys.argv[1]), once=sys.argv[2] == "once")
"""


def write_editions(
    folder: Path, *, goes_on: Callable[[int], bool], documents: int = DOCUMENTS
) -> int:
    """Sync one edition after the other, and note each that is finished; returns how many."""
    edition = 2
    with opened(folder) as corpus:
        try:
            while goes_on(edition):
                write(folder, edition, documents=documents)
                if edition % 2:
                    (folder / "11.txt").unlink()
                move_rover(folder, edition)
                assert corpus.sync().failed == ()
                note = folder / ".finished.new"
                note.write_text(str(edition), encoding="utf-8")
                note.replace(folder / ".finished")
                edition += 1
                time.sleep(0.2)  # So that readers also meet an index at rest.
        finally:
            (folder / ".stop").touch()
    return edition - 2


def move_rover(folder: Path, edition: int) -> None:
    """Move a document that never changes; it names no edition but in its id."""
    path = folder / f"rover-{edition}.txt"
    for old in folder.glob("rover-*.txt"):
        old.rename(path)
    if not path.exists():
        path.write_text("The keeper of every lamp counted barge and barge.", encoding="utf-8")


class Reader:
    """Asks all the time, and counts what should not be."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.seen = {"queries": 0, "chroma open": 0, "stale": 0, "partial": 0}
        self.longest_s = 0.0
        self.longest_cpu_s = 0.0

    def finished(self) -> int:
        """Tell the last edition whose sync was over."""
        return int((self.folder / ".finished").read_text(encoding="utf-8"))

    def ask(self, corpus: Corpus, number: int) -> None:
        """Ask for a few lines of many documents, all of one, and a context."""
        at_least = self.finished()
        started, cpu = time.perf_counter(), time.process_time()
        match number % 3:
            case 0:
                by = BYS[number // 3 % 3]
                hits = corpus.search(f"keeper of lamp {number % LINES}", k=20, by=by)
                found = [(hit.chunk.document_id, hit.chunk.text) for hit in hits]
                whole = False
            case 1:
                where = {"document_id": f"{number % (DOCUMENTS - 1):02}.txt"}
                by = BYS[number // 3 % 3]
                hits = corpus.search("keeper barge", k=50, by=by, where=where)
                found = [(hit.chunk.document_id, hit.chunk.text) for hit in hits]
                whole = True
            case _:
                context = corpus.context("keeper of which lamp?", budget=600)
                found = [(p.document_id, p.text) for p in context.passages]
                whole = False
        self.longest_s = max(self.longest_s, time.perf_counter() - started)
        self.longest_cpu_s = max(self.longest_cpu_s, time.process_time() - cpu)
        self.judge(found, at_least, whole=whole)
        store = corpus._store
        self.seen["chroma open"] += store is not None and store._chroma is not None

    def judge(self, found: list[tuple[str, str]], at_least: int, *, whole: bool) -> None:
        self.seen["queries"] += 1
        editions: dict[str, set[int]] = {}
        rovers = {document_id for document_id, _ in found if document_id.startswith("rover")}
        self.seen["stale"] += any(int(rover[6:-4]) < at_least for rover in rovers)
        self.seen["partial"] += len(rovers) > 1
        for document_id, text in found:
            if document_id in rovers:
                continue
            named = {int(part.split()[0]) for part in text.split("In edition ")[1:]}
            editions.setdefault(document_id, set()).update(named)
        self.seen["stale"] += any(min(found) < at_least for found in editions.values())
        self.seen["partial"] += any(len(found) > 1 for found in editions.values()) or (
            whole and len(found) != LINES
        )

    def report(self) -> None:
        longest = {"longest_s": self.longest_s, "longest_cpu_s": self.longest_cpu_s}
        print(json.dumps({**self.seen, **longest}))  # noqa: T201


def read_on(folder: Path, *, once: bool) -> None:
    """Ask a corpus that another process writes, nine times or until that one stops."""
    reader = Reader(folder)
    number = 0
    with opened(folder) as corpus:
        while number < 9 if once else not (folder / ".stop").exists():
            reader.ask(corpus, number)
            (folder / ".asked").touch()
            number += 1
        reader.ask(corpus, 0)  # Once more after the last sync.
    reader.report()


def run_beside(folder: Path, *, rounds: int) -> dict[str, float]:
    """Read in two processes while a third writes; returns the sums of what readers saw."""
    write(folder, 1)
    with opened(folder) as corpus:
        corpus.sync()
    (folder / ".finished").write_text("1", encoding="utf-8")
    lasting = start(READ, folder, "on")
    while not (folder / ".asked").exists():  # On a busy machine a reader starts for seconds.
        assert lasting.poll() is None, "the reader has ended"
        time.sleep(0.05)
    writer = start(WRITE, folder, rounds)
    reports = []
    while not (folder / ".stop").exists():
        reports.append(finish(start(READ, folder, "once")))
    output(writer)
    reports.append(finish(lasting))
    sums = {key: sum(report[key] for report in reports) for key in reports[0]}
    return {**sums, **longest_of(reports), "readers": len(reports), "rounds": rounds}


def longest_of(reports: Sequence[dict[str, float]]) -> dict[str, float]:
    """Tell the longest query, and the processor's part of it: the rest is waiting for anything."""
    return {key: max(report[key] for report in reports) for key in ("longest_s", "longest_cpu_s")}


def finish(child: Child) -> dict[str, float]:
    out, err = child.communicate(timeout=300)
    counts = ("queries", "chroma open", "stale", "partial", "longest_s", "longest_cpu_s")
    if child.returncode:
        sys.stderr.write(err)
        return {**dict.fromkeys(counts, 0.0), "crashes": 1}
    return {**json.loads(out), "crashes": 0}


def check_beside(seen: dict[str, float]) -> None:
    # How many more there are depends on how fast the writer ends its rounds.
    assert seen["queries"] > 10
    assert seen["chroma open"] > 0
    assert (seen["crashes"], seen["stale"], seen["partial"]) == (0, 0, 0)


def test_readers_beside_a_writer_meet_no_crash_no_stale_and_no_partial_hit(
    tmp_path: Path,
) -> None:
    check_beside(run_beside(tmp_path, rounds=2))


@pytest.mark.slow
def test_readers_beside_a_writer_of_twenty_rounds_meet_nothing_wrong(tmp_path: Path) -> None:
    seen = run_beside(tmp_path, rounds=20)
    print(seen)  # noqa: T201 - shown with -s
    check_beside(seen)


def test_a_reader_opened_before_sees_a_finished_sync_at_its_next_query(
    before_and_after: tuple[Path, Path], tmp_path: Path
) -> None:
    before, after = before_and_after
    copy(before, tmp_path / "corpus")
    with opened(tmp_path / "corpus") as corpus:
        first = corpus.search("edition of log 3", k=5, by="dense")
        assert {hit.chunk.text.split()[2] for hit in first} == {"1"}
        copy(after, tmp_path / "corpus", index=False)
        child = start(SYNC, tmp_path / "corpus", stdin=True)
        assert output(child, text="\n") == "ready\ndone\n"
        for by in BYS:
            hits = corpus.search("edition of log 3", k=5, by=by, where={"document_id": "03.txt"})
            assert {hit.chunk.text.split()[2] for hit in hits} == {"2"}
        assert corpus.search("edition", where={"document_id": "11.txt"}) == []
        assert len(corpus.documents()) == 11


def test_a_reader_of_five_chunks_finds_all_twenty_five_once_another_process_has_added_twenty(
    tmp_path: Path,
) -> None:
    """Chroma alone goes on answering with five, and counts twenty-five."""

    def add(numbers: range) -> None:
        for number in numbers:
            text = f"The keeper of lamp {number} counted {number * 17} barges at the quay."
            (tmp_path / f"{number}.txt").write_text(text, encoding="utf-8")

    add(range(5))
    with opened(tmp_path) as corpus:
        corpus.sync()
        assert len(corpus.search("barges", k=4, by="dense")) == 4
        assert corpus._opened._chroma is not None, "Chroma was not asked"
        add(range(5, 25))
        assert output(start(SYNC, tmp_path, stdin=True), text="\n") == "ready\ndone\n"
        for by in BYS:
            assert len(corpus.search("barges", k=24, by=by)) == 24
        assert corpus._opened._chroma is not None, "Chroma was not asked"
        assert corpus.status().chunks == 25


# ---- the process that reads files -------------------------------------------------------


@pytest.mark.skipif(sys.platform != "linux", reason="what a process has open is read in /proc")
def test_the_process_that_reads_files_holds_none_of_the_index(tmp_path: Path) -> None:
    for name in ("a.pdf", "b.pdf"):
        (tmp_path / name).write_bytes(make_pdf([("The pilot boards.",)]))
    held: dict[int, set[str]] = {}

    def look(_: Progress) -> None:
        for child in children():
            files = Path(f"/proc/{child}/fd").iterdir()
            held[child] = {os.readlink(file) for file in files}  # noqa: PTH115 - no path, maybe

    with opened(tmp_path) as corpus:
        corpus.sync(progress=look)
    (files,) = held.values()
    assert any(file.startswith("socket:") for file in files)
    assert not [file for file in files if file.startswith(str(tmp_path / ".rag"))]
