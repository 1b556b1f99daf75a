"""An index becomes that of another embedder: whole, at once, and with nothing embedded twice."""

import os
import random
import shutil
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from rag.corpus import Corpus
from rag.errors import (
    CorpusError,
    CorpusLocked,
    CorpusMismatch,
    CorpusNotFound,
    ProviderError,
    RateLimited,
    SettingsError,
)
from rag.index import succession
from rag.index.catalog import Catalog
from rag.settings import Settings, settings_from
from rag.testing import HashingEmbedder
from rag.types import By, IndexShape, Matrix, Progress
from tests.index.samples import output, start
from tests.test_damage import fill, small_disk
from tests.test_processes import state

DOCUMENTS = 8
LINES = 30
CHROMA = settings_from({"index": {"exact_up_to": 0}, "embeddings": {"patience_s": 0}})
"""Chroma is asked wherever it can be trusted, and no server is waited for."""
__all__ = ["small_disk"]  # A fixture.
BYS: tuple[By, ...] = ("fused", "dense", "lexical")


class Wide(HashingEmbedder):
    """Reads less than the other, and gives longer vectors; notes what it was asked to embed."""

    name = "wide"
    dimension = 512
    max_tokens = 40

    def __init__(self, *, fail_at: int | None = None, error: ProviderError | None = None) -> None:
        self.texts: list[str] = []
        self._fail_at = fail_at
        self._error = error

    def embed_documents(self, texts: Sequence[str]) -> Matrix:
        if self._fail_at is not None and len(self.texts) + len(texts) > self._fail_at:
            assert self._error is not None
            raise self._error
        self.texts += texts
        return super().embed_documents(texts)


class Revised(Wide):
    """The same model in another version."""

    revision = "2"


@contextmanager
def opened(
    folder: Path, embedder: HashingEmbedder, settings: Settings = CHROMA
) -> Iterator[Corpus]:
    with Corpus.open(folder, settings=settings, embedder=embedder) as corpus:
        yield corpus


def write(folder: Path, *, edition: int = 1, documents: int = DOCUMENTS) -> None:
    for number in range(documents):
        lines = (
            f"In edition {edition} of log {number} the keeper of lamp {line} counted "
            f"{line * 17 + number} ships and barge {line} of berth {number}."
            for line in range(LINES)
        )
        (folder / f"{number:02}.txt").write_text("\n\n".join(lines), encoding="utf-8")
    county = "# 砚溪县志\n\n## 水\n\n石门坎水库由县防汛指挥部下令开闸。每立方米收水费0.12元。\n"
    (folder / "砚溪.md").write_text(county, encoding="utf-8")


def put_memo(corpus: Corpus, year: int = 1871) -> None:
    corpus.put("memo", "The dredger works at night.", metadata={"year": year})


@pytest.fixture(scope="module")
def synced(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a corpus of nine files and a text that is none, indexed by the hashing embedder."""
    folder = tmp_path_factory.mktemp("synced")
    write(folder)
    with opened(folder, HashingEmbedder()) as corpus:
        corpus.sync()
        put_memo(corpus)
    return folder


@pytest.fixture
def folder(synced: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(synced, tmp_path / "corpus"))


def fresh(folder: Path, place: Path, embedder: HashingEmbedder) -> Path:
    """Sync the same files and texts by an embedder from the beginning."""
    shutil.copytree(folder, place, ignore=shutil.ignore_patterns(".rag"))
    with opened(folder, Wide()) as old, opened(place, embedder) as new:
        new.sync()
        if any(summary.id == "memo" for summary in old.documents()):
            memo = old.document("memo")
            new.put("memo", memo.text, metadata=dict(memo.metadata))
    return place


def answers(corpus: Corpus) -> list[tuple[str, str, float]]:
    return [
        (hit.chunk.document_id, hit.chunk.text, hit.score)
        for by in BYS
        for query in ("barge 3 of berth 7", "dredger", "石门坎水库")
        for hit in corpus.search(query, k=20, by=by)
    ]


def embedder_of(folder: Path) -> str | None:
    with closing(Catalog(folder / ".rag", write=False)) as catalog:
        return catalog.get("embedder")


def check_equals_a_fresh_sync(folder: Path, tmp_path: Path, embedder: HashingEmbedder) -> None:
    other = fresh(folder, tmp_path / "fresh", embedder)
    assert state(folder) == state(other)
    with opened(folder, embedder) as left, opened(other, embedder) as right:
        assert answers(left) == answers(right)
        for corpus in (left, right):
            assert corpus._opened._chroma is not None
            assert corpus.status().findings == ()


# ---- the new index ----------------------------------------------------------------------


def test_it_equals_a_fresh_sync_of_the_same_texts_by_the_new_embedder(
    folder: Path, tmp_path: Path
) -> None:
    with opened(folder, HashingEmbedder()) as corpus:
        report = corpus.reembed(Wide())
        assert report.before == IndexShape(embedder="hashing", revision="1", chunk_size=240)
        assert report.after == IndexShape(embedder="wide", revision="1", chunk_size=40)
        assert (report.documents, report.reused) == (10, 0)
        assert report.embedded == report.chunks == corpus.status().chunks > 100
    check_equals_a_fresh_sync(folder, tmp_path, Wide())


def test_no_file_is_read_and_the_next_sync_finds_all_unchanged(folder: Path) -> None:
    away = folder.with_name("away")
    away.mkdir()
    for path in folder.glob("*.*"):
        if path.is_file():
            path.rename(away / path.name)
    with opened(folder, HashingEmbedder()) as corpus:
        assert corpus.reembed(Wide()).documents == 10
        assert corpus.document("00.txt").text == (away / "00.txt").read_text(encoding="utf-8")
        for path in away.iterdir():
            path.rename(folder / path.name)
        report = corpus.sync()
        assert len(report.unchanged) == 9
        assert report.embedded == 0


def test_the_same_corpus_goes_on_with_the_new_embedder(folder: Path) -> None:
    with opened(folder, HashingEmbedder()) as corpus:
        corpus.search("dredger")
        corpus.reembed(Wide())
        assert corpus.embedder.name == "wide"
        assert corpus.search("dredger")[0].chunk.document_id == "memo"
        (folder / "new.txt").write_text("The lighthouse was lit in 1871.", encoding="utf-8")
        assert corpus.sync().added == ("new.txt",)


def test_the_old_index_answers_until_the_new_one_takes_its_place(folder: Path) -> None:
    with opened(folder, HashingEmbedder()) as reader, opened(folder, HashingEmbedder()) as corpus:
        before = answers(reader)
        seen = []
        corpus.reembed(Wide(), progress=lambda _: seen.append(answers(reader) == before))
        assert len(seen) > 10
        assert all(seen)
        message = r"reembedded meanwhile, with embedder 'wide' instead of 'hashing'; open it again"
        calls: tuple[Callable[[], object], ...] = (
            lambda: reader.search("dredger"),
            lambda: reader.search("dredger", by="dense"),
            lambda: reader.search("dredger", by="lexical"),
            reader.documents,
            reader.status,
        )
        for call in calls:
            for _ in range(2):
                with pytest.raises(CorpusMismatch, match=message) as raised:
                    call()
        assert (raised.value.expected, raised.value.found) == ("hashing", "wide")


def test_progress_counts_bytes_of_files_and_characters_of_texts(folder: Path) -> None:
    told: list[Progress] = []
    with opened(folder, HashingEmbedder()) as corpus:
        corpus.reembed(Wide(), progress=told.append)
    size = sum(path.stat().st_size for path in folder.glob("*.*") if path.is_file())
    assert {progress.total_bytes for progress in told} == {size + 27}
    assert told[-1].done_bytes == size + 27
    assert [progress.stage for progress in (told[0], told[-1])] == ["reading", "indexing"]


def test_an_empty_corpus_gets_the_new_embedder_too(tmp_path: Path) -> None:
    with opened(tmp_path, HashingEmbedder()) as corpus:
        corpus.sync()
        assert corpus.reembed(Wide()).chunks == 0
        (tmp_path / "a.txt").write_text("The pilot boards.", encoding="utf-8")
        assert corpus.sync().embedded == 1
        assert corpus.search("pilot", by="dense")[0].score > 0.5


def test_a_corpus_that_was_never_synced_says_sync_first(tmp_path: Path) -> None:
    with (
        opened(tmp_path, HashingEmbedder()) as corpus,
        pytest.raises(CorpusNotFound, match="sync first"),
    ):
        corpus.reembed(Wide())
    assert not (tmp_path / ".rag").exists()


def test_damaged_copies_of_the_old_index_hinder_nothing(folder: Path) -> None:
    for path in (folder / ".rag").glob("*-0*/**/*.*"):
        if path.is_file():
            path.write_bytes(b"no copy")
    with opened(folder, HashingEmbedder()) as corpus:
        corpus.reembed(Wide())
        assert corpus.status().findings == ()
        assert corpus.search("dredger")[0].chunk.document_id == "memo"


# ---- what need not be embedded ----------------------------------------------------------


def test_the_embedder_of_the_index_leaves_nothing_to_do(folder: Path) -> None:
    with opened(folder, HashingEmbedder()) as corpus:
        corpus.reembed(Wide())
        generation = corpus.status().generation
        again = Wide()
        report = corpus.reembed(again)
        assert report.before == report.after
        assert (report.embedded, again.texts) == (0, [])
        assert corpus.status().generation == generation


def test_another_revision_embeds_all_anew(folder: Path) -> None:
    with opened(folder, HashingEmbedder()) as corpus:
        corpus.reembed(Wide())
        report = corpus.reembed(Revised())
        assert (report.before.revision, report.after.revision) == ("1", "2")
        assert report.embedded == report.chunks


def test_another_chunk_size_embeds_only_chunks_with_another_text(
    folder: Path, tmp_path: Path
) -> None:
    settings = settings_from({"documents": {"chunk_size": 30}, "index": {"exact_up_to": 0}})
    with opened(folder, HashingEmbedder()) as corpus:
        corpus.reembed(Wide())
    with pytest.raises(CorpusMismatch, match=r"chunk size '40'.*'30'.*--embedder wide"):
        Corpus.open(folder, settings=settings, embedder=Wide())
    corpus.settings = settings
    report = corpus.reembed(Wide())
    corpus.close()
    assert (report.before.chunk_size, report.after.chunk_size) == (40, 30)
    assert 0 < report.reused < report.chunks
    with Corpus.open(folder, settings=settings, embedder=Wide()) as corpus:
        assert "vectors held" in (held := state(folder))
        assert held["vectors held"] == [(report.chunks,)]
        assert {hit.chunk.document_id for hit in corpus.search("dredger", k=1)} == {"memo"}


# ---- interrupted ------------------------------------------------------------------------

BUSY = RateLimited("the server asks for patience", provider="test", retry_after_s=None)
REFUSED = ProviderError("the text is too long", provider="test", status=400)


@pytest.mark.parametrize("error", [BUSY, REFUSED])
def test_a_failing_server_leaves_the_old_index_and_the_next_run_embeds_nothing_twice(
    folder: Path, tmp_path: Path, error: ProviderError
) -> None:
    failing, whole = Wide(fail_at=100, error=error), Wide()
    with opened(folder, HashingEmbedder()) as corpus:
        before = answers(corpus)
        with pytest.raises(type(error), match=str(error)) as raised:
            corpus.reembed(failing)
        assert raised.value.__notes__[-1].startswith("it was to embed '0")
        assert answers(corpus) == before
        assert corpus.embedder.name == "hashing"
        assert corpus.status().reembedding == "wide"
        report = corpus.reembed(whole)
        assert corpus.status().reembedding is None
    assert 0 < len(failing.texts) <= 100
    assert report.embedded == len(whole.texts) > 0
    assert report.reused == len(failing.texts)
    assert not set(failing.texts) & set(whole.texts)
    assert len({*failing.texts, *whole.texts}) == report.chunks
    check_equals_a_fresh_sync(folder, tmp_path, Wide())


def test_a_server_that_asks_for_patience_is_waited_for(folder: Path) -> None:
    class BusyOnce(Wide):
        def embed_documents(self, texts: Sequence[str]) -> Matrix:
            if not self.texts:
                self.texts.append("asked for patience")
                raise RateLimited("wait", provider="test", retry_after_s=0)
            return super().embed_documents(texts)

    with opened(folder, HashingEmbedder()) as corpus:
        corpus.settings = settings_from({"embeddings": {"patience_s": 5}})
        report = corpus.reembed(BusyOnce())
        assert report.embedded == report.chunks


def test_ctrl_c_leaves_the_old_index_and_the_next_run_goes_on(folder: Path) -> None:
    def stop(progress: Progress) -> None:
        if progress.embedded > 50:
            raise KeyboardInterrupt

    first, second = Wide(), Wide()
    with opened(folder, HashingEmbedder()) as corpus:
        with pytest.raises(KeyboardInterrupt):
            corpus.reembed(first, progress=stop)
        assert corpus.search("dredger")[0].chunk.document_id == "memo"
        report = corpus.reembed(second)
    assert len(first.texts) + len(second.texts) == report.chunks


def interrupted(folder: Path, embedder: HashingEmbedder | None = None) -> Wide:
    """Leave a reembedding that was stopped half-way."""
    failing = Wide(fail_at=100, error=BUSY)
    with opened(folder, HashingEmbedder()) as corpus, pytest.raises(RateLimited):
        corpus.reembed(embedder or failing)
    return failing


def test_what_a_sync_changed_meanwhile_is_in_the_new_index_and_nothing_is_embedded_twice(
    folder: Path, tmp_path: Path
) -> None:
    first, second = interrupted(folder), Wide()
    with closing(Catalog(folder / ".rag" / succession.NEXT, write=False)) as catalog:
        before = set(catalog.files())
    assert before == set()  # The vectors alone are there.
    (folder / "01.txt").unlink()
    (folder / "00.txt").rename(folder / "moved.txt")
    text = (folder / "02.txt").read_text(encoding="utf-8")
    (folder / "02.txt").write_text(text.replace("lamp 3", "light 3"), encoding="utf-8")
    (folder / "new.txt").write_text("The lighthouse was lit in 1871.", encoding="utf-8")
    with opened(folder, HashingEmbedder()) as corpus:
        corpus.sync()
        put_memo(corpus, year=1872)
        report = corpus.reembed(second)
        assert corpus.document("memo").metadata == (("year", 1872),)
    assert not set(first.texts) & set(second.texts)
    assert report.embedded == len(second.texts)
    check_equals_a_fresh_sync(folder, tmp_path, Wide())


def test_documents_that_were_written_and_then_changed_removed_or_put_anew_are_brought_level(
    folder: Path, tmp_path: Path
) -> None:
    """The new index was whole, but for the last step."""
    with opened(folder, HashingEmbedder()) as corpus:
        with pytest.raises(KeyboardInterrupt):
            corpus.reembed(Wide(), progress=stop_at_the_end)
        (folder / "01.txt").unlink()
        (folder / "00.txt").rename(folder / "moved.txt")
        (folder / "02.txt").write_text("The lighthouse was lit in 1871.", encoding="utf-8")
        os.utime(folder / "03.txt")
        corpus.sync()
        put_memo(corpus, year=1872)
        second = Wide()
        report = corpus.reembed(second)
    assert second.texts == ["The lighthouse was lit in 1871."]
    assert report.embedded == 1
    check_equals_a_fresh_sync(folder, tmp_path, Wide())


def stop_at_the_end(progress: Progress) -> None:
    if progress.stage == "indexing":
        raise KeyboardInterrupt


def test_copies_that_were_moved_before_the_last_step_are_built_again(folder: Path) -> None:
    """As if killed just before the transaction that ends it."""
    with opened(folder, HashingEmbedder()) as corpus:
        with pytest.raises(KeyboardInterrupt):
            corpus.reembed(Wide(), progress=stop_at_the_end)
        following = folder / ".rag" / succession.NEXT
        (terms,) = following.glob("terms-*")
        terms.rename(folder / ".rag" / "terms-0009")
        second = Wide()
        corpus.reembed(second)
        assert second.texts == []
        assert corpus.status().findings == ()
        assert len(list((folder / ".rag").glob("terms-*"))) == 1
        assert corpus.search("dredger", by="lexical")[0].chunk.document_id == "memo"


@pytest.mark.parametrize(
    ("embedder", "settings"),
    [
        (Revised(), CHROMA),
        (Wide(), settings_from({"documents": {"chunk_size": 30}})),
    ],
)
def test_what_was_begun_for_another_embedder_or_chunk_size_is_dropped(
    folder: Path, embedder: Wide, settings: Settings
) -> None:
    interrupted(folder)
    with opened(folder, HashingEmbedder()) as corpus:
        corpus.settings = settings
        report = corpus.reembed(embedder)
        assert report.embedded == report.chunks
        assert embedder_of(folder) == "wide"


def test_going_back_to_the_embedder_of_the_index_drops_what_was_begun(folder: Path) -> None:
    interrupted(folder)
    with opened(folder, HashingEmbedder()) as corpus:
        assert dict(corpus.status().size_bytes)["next"] > 100_000
        corpus.reembed(HashingEmbedder())
        assert corpus.status().reembedding is None
        assert set(dict(corpus.status().size_bytes)) == {"catalog", "chroma", "terms"}


def test_a_sync_leaves_what_was_begun_alone(folder: Path) -> None:
    interrupted(folder)
    with opened(folder, HashingEmbedder()) as corpus:
        corpus.sync()
        assert corpus.status().reembedding == "wide"
        assert corpus.status().findings == ()


def test_what_is_forgotten_leaves_what_was_begun_too(folder: Path) -> None:
    interrupted(folder)
    with opened(folder, HashingEmbedder()) as corpus:
        report = corpus.forget("memo")
        assert report.found == ()
        assert corpus.status().reembedding is None
    assert not (folder / ".rag" / succession.NEXT).exists()


def test_a_second_writer_is_told_who_writes(folder: Path) -> None:
    with opened(folder, HashingEmbedder()) as corpus, opened(folder, HashingEmbedder()) as other:

        def write_beside(progress: Progress) -> None:
            if progress.stage == "indexing":
                status = other.status()
                assert status.reembedding == "wide"
                assert status.writer is not None
                for call in (other.sync, lambda: other.reembed(Revised())):
                    with pytest.raises(CorpusLocked, match=f"process {os.getpid()}"):
                        call()

        corpus.reembed(Wide(), progress=write_beside)


# ---- killed, with a reader beside -------------------------------------------------------

REEMBED = """
import sys
from pathlib import Path
from rag.testing import HashingEmbedder
from tests.test_reembedding import Slow, opened
with opened(Path(sys.argv[1]), HashingEmbedder()) as corpus:
    import chromadb
    print("ready", flush=True)
    sys.stdin.readline()
    corpus.reembed(Slow(Path(sys.argv[2])))
    print("done", flush=True)
"""


class Slow(Wide):
    """Takes its time, and notes the texts in a file that outlives a kill."""

    def __init__(self, notes: Path) -> None:
        super().__init__()
        self._notes = notes

    def embed_documents(self, texts: Sequence[str]) -> Matrix:
        time.sleep(0.03)
        with self._notes.open("a", encoding="utf-8") as file:
            file.write("".join(f"{text!r}\n" for text in texts))
        return super().embed_documents(texts)


def read_beside(folder: Path, expected: dict[str, list[tuple[str, str, float]]]) -> set[str]:
    """Ask until the writer that holds the index is done or dead; returns what answered."""
    seen = set()
    for embedder in (HashingEmbedder(), Wide()):
        try:
            with opened(folder, embedder) as reader:
                assert answers(reader) == expected[embedder.name]
                seen.add(embedder.name)
        except CorpusMismatch:
            continue
    return seen


def check_kills(folder: Path, tmp_path: Path, *, kills: int, seed: int) -> None:
    moments = random.Random(seed)
    expected = {}
    with opened(folder, HashingEmbedder()) as corpus:
        expected["hashing"] = answers(corpus)
    whole = Path(shutil.copytree(folder, tmp_path / "whole"))
    with opened(whole, HashingEmbedder()) as corpus:
        corpus.reembed(Wide())
        expected["wide"] = answers(corpus)
        n_chunks = corpus.status().chunks
    unfinished = 0
    for number in range(kills):
        place = Path(shutil.copytree(folder, tmp_path / str(number)))
        notes = tmp_path / f"{number}.notes"
        notes.touch()
        for _ in range(2):
            unfinished += not run_and_kill(place, notes, moments.uniform(0, 1.2), expected)
        with (
            opened(place, Wide())
            if embedder_of(place) == "wide"
            else opened(place, HashingEmbedder()) as corpus
        ):
            corpus.reembed(Slow(notes))
            assert corpus.status().findings == ()
            assert corpus.status().reembedding is None
            assert answers(corpus) == expected["wide"]
        assert state(place) == state(whole)
        texts = notes.read_text(encoding="utf-8").splitlines()
        # A kill may come between the note of a slice and its vectors' commit.
        repeated = len(texts) - len(set(texts))
        assert len(set(texts)) == n_chunks
        assert repeated <= 2 * 64
        shutil.rmtree(place)
    assert unfinished, "every reembedding ended before it was killed"


def run_and_kill(
    place: Path, notes: Path, after_s: float, expected: dict[str, list[tuple[str, str, float]]]
) -> bool:
    """Reembed in a process that is killed, and ask meanwhile; returns whether it had ended."""
    if embedder_of(place) == "wide":
        return True
    child = start(REEMBED, place, notes, stdin=True)
    assert child.stdin is not None
    assert child.stdout is not None
    assert child.stdout.readline() == "ready\n"
    child.stdin.write("\n")
    child.stdin.flush()
    end = time.monotonic() + after_s
    while time.monotonic() < end:
        assert len(read_beside(place, expected)) <= 1
    child.send_signal(signal.SIGKILL)
    said, err = child.communicate()
    assert child.returncode in (-signal.SIGKILL, 0), err
    assert len(read_beside(place, expected)) == 1
    return said == "done\n"


def test_killed_at_any_moment_readers_meet_the_old_index_or_the_new_one_and_never_both(
    folder: Path, tmp_path: Path
) -> None:
    check_kills(folder, tmp_path, kills=1, seed=1)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_killed_at_sixty_moments_readers_meet_the_old_index_or_the_new_one(
    folder: Path, tmp_path: Path
) -> None:
    check_kills(folder, tmp_path, kills=30, seed=2)


READ = """
import sys
from pathlib import Path
from tests.test_reembedding import read_on
read_on(Path(sys.argv[1]))
"""


def read_on(folder: Path) -> None:
    """Ask one open corpus until its index is another embedder's."""
    with opened(folder, HashingEmbedder()) as reader:
        before = answers(reader)
        print("reading", flush=True)  # noqa: T201
        n_queries = 0
        with pytest.raises(CorpusMismatch, match="with embedder 'wide'"):  # noqa: PT012
            while True:
                assert answers(reader) == before
                n_queries += 1
    print(n_queries)  # noqa: T201


def test_an_open_reader_beside_answers_from_the_old_index_until_it_is_told(
    folder: Path, tmp_path: Path
) -> None:
    reader = start(READ, folder)
    assert reader.stdout is not None
    assert reader.stdout.readline() == "reading\n"
    with opened(folder, HashingEmbedder()) as corpus:
        corpus.reembed(Slow(tmp_path / "notes"))
    assert int(output(reader)) > 0


# ---- a full disk ------------------------------------------------------------------------

REEMBED_WITH_LIMIT = """
import resource, sys
from pathlib import Path
from rag.errors import CorpusError
from rag.testing import HashingEmbedder
from tests.test_reembedding import Wide, answers, opened
with opened(Path(sys.argv[1]), HashingEmbedder()) as corpus:
    before = answers(corpus)
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), resource.RLIM_INFINITY))
    try:
        corpus.reembed(Wide())
        print("done")
    except CorpusError as error:
        print(error)
    print(answers(corpus) == before)
"""


@pytest.mark.parametrize("limit", [0, 300_000, 600_000])
def test_on_a_full_disk_the_old_index_answers_and_the_next_run_ends_right(
    folder: Path, limit: int, tmp_path: Path
) -> None:
    """No file may grow beyond the limit."""
    said = output(start(REEMBED_WITH_LIMIT, folder, limit)).splitlines()
    assert "make room" in said[0]
    assert said[1:] == ["True"]
    with opened(folder, HashingEmbedder()) as corpus:
        corpus.reembed(Wide())
    check_equals_a_fresh_sync(folder, tmp_path, Wide())


@pytest.mark.parametrize("free_bytes", [100_000, 700_000, 1_300_000, 1_800_000])
def test_the_less_is_free_the_earlier_it_stops_and_nothing_is_lost(
    small_disk: Path, folder: Path, free_bytes: int
) -> None:
    place = Path(shutil.copytree(folder, small_disk / "corpus"))
    filler = small_disk / "filler"
    with pytest.raises(OSError, match="No space"):
        fill(filler)
    os.truncate(filler, filler.stat().st_size - free_bytes)
    with opened(place, HashingEmbedder()) as corpus:
        before = answers(corpus)
        with pytest.raises(CorpusError, match="make room"):
            corpus.reembed(Wide())
        assert answers(corpus) == before
        filler.unlink()
        corpus.reembed(Wide())
        assert corpus.status().findings == ()
        hits = corpus.search("keeper", k=500, by="lexical")
        assert {hit.chunk.document_id for hit in hits} == {f"{n:02}.txt" for n in range(8)}


# ---- other rules of terms ---------------------------------------------------------------


def test_terms_made_by_other_rules_are_not_asked_and_the_next_sync_builds_them_anew(
    folder: Path,
) -> None:
    with opened(folder, HashingEmbedder()) as corpus:
        before = answers(corpus)
    with closing(Catalog(folder / ".rag", write=True)) as catalog:
        catalog.set(term_rules="of old")
    with opened(folder, HashingEmbedder()) as corpus:
        assert answers(corpus) == before
        assert corpus.status().findings == ("terms: made by other rules; sync builds them anew",)
        report = corpus.sync()
        assert (report.repaired, report.embedded) == (("terms",), 0)
        assert corpus.status().findings == ()
        assert answers(corpus) == before


# ---- how an index is opened -------------------------------------------------------------


def made_by(folder: Path, embedder: str, revision: str, chunk_size: int = 240) -> None:
    """Have an empty index say that it was made so."""
    with opened(folder, HashingEmbedder()) as corpus:
        corpus.sync()
    with closing(Catalog(folder / ".rag", write=True)) as catalog:
        catalog.set(embedder=embedder, revision=revision, chunk_size=str(chunk_size))


def test_settings_that_name_no_model_open_an_index_with_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9/v1")
    made_by(tmp_path, "openai:bge-m3", "127.0.0.1:9/v1", chunk_size=100)
    with Corpus.open(tmp_path) as corpus:
        assert (corpus.embedder.name, corpus._size) == ("openai:bge-m3", 100)
        assert corpus.sync().failed == ()


def test_settings_that_name_a_model_win_and_the_message_names_the_command(
    tmp_path: Path,
) -> None:
    made_by(tmp_path, "openai:bge-m3", "127.0.0.1:9/v1")
    (tmp_path / "rag.toml").write_text('embeddings.model = "all-MiniLM-L6-v2"\n', encoding="utf-8")
    message = r"embedder 'openai:bge-m3'.*'all-MiniLM-L6-v2'.*--embedder all-MiniLM-L6-v2"
    with pytest.raises(CorpusMismatch, match=message):
        Corpus.open(tmp_path)


def test_another_revision_of_the_same_model_is_told_with_the_command(tmp_path: Path) -> None:
    made_by(tmp_path, "all-MiniLM-L6-v2", "of old")
    with (
        Corpus.open(tmp_path) as corpus,
        pytest.raises(CorpusMismatch, match=r"revision 'of old'.*--embedder all-MiniLM-L6-v2"),
    ):
        corpus.sync()


def test_a_model_that_cannot_be_had_any_more_is_told_and_can_be_replaced(folder: Path) -> None:
    with Corpus.open(folder) as corpus:
        message = "embedder 'hashing', which cannot be had.*rag reembed --embedder all-MiniLM-L6-v2"
        with pytest.raises(CorpusMismatch, match=message) as raised:
            corpus.search("dredger")
        assert raised.value.found == "hashing"
        corpus.reembed(Wide())
        assert corpus.search("dredger")[0].chunk.document_id == "memo"


def test_an_empty_name_is_a_wrong_setting() -> None:
    from rag.corpus import named_embedder  # noqa: PLC0415

    with pytest.raises(SettingsError, match=r"embeddings\.model"):
        named_embedder(Settings(), "")
