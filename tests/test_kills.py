"""A sync of three hundred documents, stopped at any moment and by anything, costs nobody anything.

Whatever stops it, a reader answers right at once, and the next sync ends in the state of one
that was never stopped. ``TESTS_KILLS`` sets how often each test that is marked slow stops
one; by default 200 times where the process is killed.
"""

import json
import os
import random
import shutil
import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rag.corpus import Corpus
from rag.errors import RateLimited
from rag.index.catalog import Catalog
from rag.settings import settings_from
from rag.testing import HashingEmbedder
from rag.types import By, Matrix, SyncReport
from tests.index.samples import Child, output, start

DOCUMENTS = 320
KILLS = int(os.environ.get("TESTS_KILLS", "200"))
SETTINGS = settings_from(
    {
        "documents": {"chunk_size": 16},
        "embeddings": {"patience_s": 0},
        "index": {"exact_up_to": 0},
    }
)
"""A line is a chunk, Chroma is asked wherever it can be trusted, and no server is waited for."""
BYS: tuple[By, ...] = ("fused", "dense", "lexical")
QUERIES = tuple(f"keeper of lamp {n % 5} at berth {n * 13 % DOCUMENTS}" for n in range(20))


@contextmanager
def opened(folder: Path, embedder: HashingEmbedder | None = None) -> Iterator[Corpus]:
    with Corpus.open(folder, settings=SETTINGS, embedder=embedder or HashingEmbedder()) as corpus:
        yield corpus


def write(folder: Path, number: int, edition: int) -> None:
    """Write a document of one to five lines; each names the edition, and all but two change."""
    lines = [
        f"Edition {edition if line < 3 else 0} of log {number}: the keeper of lamp {line} counted "
        f"{line * 17 + number} ships at berth {number * 7 % DOCUMENTS}."
        for line in range(1 + number % 5)
    ]
    (folder / f"{number:03}.txt").write_text("\n\n".join(lines), encoding="utf-8")


def change(folder: Path) -> None:
    """Add forty documents, change, move and delete some sixty each; 140 stay as they are."""
    for number in range(DOCUMENTS):
        path = folder / f"{number:03}.txt"
        match number % 16:
            case 0 | 5 | 10:
                write(folder, number, 2)
            case 1 | 6 | 11:
                path.rename(folder / f"moved-{number:03}.txt")
            case 2 | 7 | 12:
                path.unlink()
    for number in range(DOCUMENTS, DOCUMENTS + 40):
        write(folder, number, 1)


class Editions:
    """The folder before and after, and what a sync that nobody stopped makes of it."""

    def __init__(self, before: Path, after: Path) -> None:
        self.before = before
        self.after = after
        self.state = state_of(after)
        self.ranks = ranks_of(after)
        self.texts = {
            path.name: path.read_text(encoding="utf-8")
            for folder in (before, after)
            for path in sorted(folder.glob("*.txt"))
        }
        self.old_texts = {p.name: p.read_text(encoding="utf-8") for p in before.glob("*.txt")}

    def begin(self, folder: Path) -> Path:
        """Give the folder of the second edition with the index of the first."""
        shutil.copytree(self.before / ".rag", folder / ".rag")
        for path in self.after.glob("*.txt"):
            shutil.copy2(path, folder)
        return folder


@pytest.fixture(scope="module")
def editions(tmp_path_factory: pytest.TempPathFactory) -> Editions:
    before, after = tmp_path_factory.mktemp("before"), tmp_path_factory.mktemp("after")
    for number in range(DOCUMENTS):
        write(before, number, 1)
    with opened(before) as corpus:
        corpus.sync()
    shutil.copytree(before, after, dirs_exist_ok=True)
    change(after)
    with opened(after) as corpus:
        report = corpus.sync()
    counts = [len(ids) for ids in (report.added, report.updated, report.moved, report.removed)]
    assert counts == [40, 60, 60, 60]
    assert len(report.unchanged) == 140
    return Editions(before, after)


# ---- what must hold ---------------------------------------------------------------------


def state_of(folder: Path) -> dict[str, Any]:
    """Give all that the catalog says of documents and chunks, whatever their numbers."""
    with closing(Catalog(folder / ".rag", write=False)) as catalog:
        chunks = {chunk.id: chunk for chunk in catalog.all_chunks()}
        ids = sorted(chunks)
        return {
            "documents": catalog.summaries(),
            "texts": catalog._rows(
                "SELECT id, text FROM contents JOIN documents ON document = number ORDER BY id"
            ),
            "chunks": [chunks[id_] for id_ in ids],
            "vectors": catalog.vectors(ids).tobytes(),
            "hashes": {id_: facts.file_hash for id_, facts in catalog.files().items()},
            "vectors held": catalog._rows("SELECT count(*) FROM vectors"),
        }


def ranks_of(folder: Path) -> list[list[tuple[str, float]]]:
    """Give what the searches by words find, with their scores."""
    with opened(folder) as corpus:
        return [
            [(hit.chunk.id, hit.score) for hit in corpus.search(query, k=20, by="lexical")]
            for query in QUERIES
        ]


def recall_of(folder: Path) -> float:
    """Give the share of the nearest ten, by an exact scan, that Chroma finds."""
    shares = []
    with opened(folder) as corpus:
        store = corpus._opened
        for query in QUERIES:
            vector = corpus.embedder.embed_query(query)
            found = corpus.search(query, k=10, by="dense")
            with store.snapshot():
                rows = store._current_rows()
            scores = np.sort(rows.matrix @ vector)[::-1]
            shares.append(np.mean([hit.score >= scores[9] - 1e-5 for hit in found]))
        assert store._chroma is not None, "Chroma was not asked"
    return float(np.mean(shares))


def check_reader(folder: Path, editions: Editions) -> None:
    """A reader finds each document whole, as it was or as it is, and hits that stand in it."""
    with opened(folder) as corpus:
        summaries = corpus.documents()
        documents = {summary.id: corpus.document(summary.id).text for summary in summaries}
        for id_, text in documents.items():
            assert text in (editions.old_texts.get(id_), editions.texts[id_]), id_
        unchanged = {f"{n:03}.txt" for n in range(DOCUMENTS) if n % 16 in (3, 4, 8, 9, 13, 14, 15)}
        assert documents.keys() >= unchanged
        for number in range(0, DOCUMENTS, 16):  # One that is updated, and where its twin went.
            old, new = f"{number + 1:03}.txt", f"moved-{number + 1:03}.txt"
            assert (old in documents) != (new in documents)
            for id_ in {f"{number:03}.txt", old, new} & documents.keys():
                check_whole(corpus, id_, documents[id_], by=BYS[number // 16 % 3])
        for query in QUERIES[:6]:
            for by in BYS:
                hits = corpus.search(query, k=10, by=by)
                assert len(hits) == 10
                for hit in hits:
                    text = documents[hit.chunk.document_id]
                    assert text[hit.chunk.start : hit.chunk.end] == hit.chunk.text


def check_whole(corpus: Corpus, id_: str, text: str, *, by: By) -> None:
    hits = corpus.search("keeper of lamp ships", k=50, by=by, where={"document_id": id_})
    assert sorted(hit.chunk.text for hit in hits) == sorted(text.split("\n\n"))


def check_recovery(folder: Path, editions: Editions) -> SyncReport:
    """The next sync ends in the state of a clean one."""
    with opened(folder) as corpus:
        report = corpus.sync()
        assert report.failed == ()
        assert corpus.status().findings == ()
        assert corpus.status().writer is None
    assert state_of(folder) == editions.state
    assert ranks_of(folder) == editions.ranks
    assert recall_of(folder) >= 0.99
    return report


# ---- kill -9 ----------------------------------------------------------------------------

SYNC = """
import sys
from pathlib import Path
from tests.test_kills import opened
with opened(Path(sys.argv[1])) as corpus:
    import chromadb
    print("ready", flush=True)
    sys.stdin.readline()
    corpus.sync()
    print("done", flush=True)
"""


def wait_ready(child: Child) -> None:
    assert child.stdout is not None
    assert child.stdout.readline() == "ready\n"


def go(child: Child) -> None:
    assert child.stdin is not None
    child.stdin.write("\n")
    child.stdin.flush()


def duration_of(folder: Path) -> float:
    """Measure a sync that nobody stops."""
    child = start(SYNC, folder, stdin=True)
    wait_ready(child)
    started = time.perf_counter()
    go(child)
    assert child.stdout is not None
    assert child.stdout.readline() == "done\n"
    seconds = time.perf_counter() - started
    output(child)
    return seconds


def check_kills(editions: Editions, tmp_path: Path, *, kills: int, seed: int) -> None:
    moments = random.Random(seed)
    longest = 0.0
    unfinished = 0
    for number in range(kills):
        if number % 10 == 0:  # How busy the machine is changes while hundreds are killed.
            whole = editions.begin(new(tmp_path, "whole"))
            longest = duration_of(whole)
            shutil.rmtree(whole)
        folder = editions.begin(new(tmp_path, str(number)))
        child = start(SYNC, folder, stdin=True)
        wait_ready(child)
        go(child)
        time.sleep(moments.uniform(0, longest))
        child.send_signal(signal.SIGKILL)
        said, err = child.communicate()
        assert child.returncode in (-signal.SIGKILL, 0), err
        unfinished += said == ""
        check_reader(folder, editions)
        check_recovery(folder, editions)
        shutil.rmtree(folder)
    print(json.dumps({"kills": kills, "unfinished": unfinished, "longest_s": longest}))  # noqa: T201 - shown with -s
    assert unfinished, "every sync ended before it was killed"


def new(tmp_path: Path, name: str) -> Path:
    folder = tmp_path / name
    folder.mkdir()
    return folder


def test_a_sync_killed_at_any_moment_leaves_answers_and_the_next_ends_as_a_clean_one(
    editions: Editions, tmp_path: Path
) -> None:
    check_kills(editions, tmp_path, kills=2, seed=1)


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_a_sync_killed_at_many_moments_leaves_answers_and_the_next_ends_as_a_clean_one(
    editions: Editions, tmp_path: Path
) -> None:
    check_kills(editions, tmp_path, kills=KILLS, seed=2)


# ---- a full disk ------------------------------------------------------------------------

SYNC_WITH_LIMIT = """
import resource, sys
from pathlib import Path
from rag.errors import CorpusError
from tests.test_kills import opened
with opened(Path(sys.argv[1])) as corpus:
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), resource.RLIM_INFINITY))
    try:
        corpus.sync()
        print("synced")
    except CorpusError as error:
        print(error)
"""


def check_full_disks(editions: Editions, tmp_path: Path, *, disks: int, seed: int) -> None:
    """No file may grow beyond a limit, which is anything up to what the largest will need."""
    limits = random.Random(seed)
    largest = max(path.stat().st_size for path in (editions.after / ".rag").rglob("*"))
    stopped = 0
    for number in range(disks):
        folder = editions.begin(new(tmp_path, str(number)))
        said = output(start(SYNC_WITH_LIMIT, folder, limits.randrange(int(largest * 1.1))))
        assert said == "synced\n" or "make room" in said
        stopped += said != "synced\n"
        check_reader(folder, editions)
        check_recovery(folder, editions)
        shutil.rmtree(folder)
    print(json.dumps({"disks": disks, "stopped": stopped}))  # noqa: T201 - shown with -s
    assert stopped, "no disk was full"


def test_a_sync_on_a_full_disk_leaves_answers_and_the_next_ends_as_a_clean_one(
    editions: Editions, tmp_path: Path
) -> None:
    check_full_disks(editions, tmp_path, disks=2, seed=3)


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_a_sync_on_many_full_disks_leaves_answers_and_the_next_ends_as_a_clean_one(
    editions: Editions, tmp_path: Path
) -> None:
    check_full_disks(editions, tmp_path, disks=max(KILLS // 4, 1), seed=4)


# ---- a server that refuses --------------------------------------------------------------


class Refusing(HashingEmbedder):
    """Answers some calls, and then asks for patience."""

    def __init__(self, calls: int) -> None:
        self.calls = calls
        self.embedded = 0

    def embed_documents(self, texts: Sequence[str]) -> Matrix:
        if self.calls == 0:
            raise RateLimited("slow down", provider="test", retry_after_s=None)
        self.calls -= 1
        self.embedded += len(texts)
        return super().embed_documents(texts)


@pytest.mark.parametrize("calls", range(4))
def test_a_sync_refused_at_any_call_leaves_answers_and_the_next_pays_for_nothing_twice(
    editions: Editions, tmp_path: Path, calls: int
) -> None:
    folder = editions.begin(new(tmp_path, "corpus"))
    refusing = Refusing(calls)
    with opened(folder, refusing) as corpus:
        assert corpus.sync().failed != ()
    check_reader(folder, editions)
    report = check_recovery(folder, editions)
    with opened(editions.begin(new(tmp_path, "clean"))) as corpus:
        assert refusing.embedded + report.embedded == corpus.sync().embedded
