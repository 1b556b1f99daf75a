"""What a sync plans from a folder and a catalog, and what becomes of the plan."""

import os
import signal
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

import numpy as np
import pytest

from rag.documents.folder import File, Listing
from rag.errors import (
    CorpusMismatch,
    MissingDependency,
    ProviderError,
    RateLimited,
    UnreadableDocument,
    UnsupportedFormat,
)
from rag.index.catalog import FileFacts
from rag.index.writer import Writer, writing
from rag.interrupts import deferred
from rag.sync import BATCH_CHUNKS, SLICE_CHUNKS, Plan, Sync, make_plan
from rag.testing import HashingEmbedder
from rag.types import Chunk, Document, Failure, Matrix, Progress, Skipped
from tests.index.samples import CHROMA, a_record, opened, texts

LONG_AGO = 1_600_000_000_000_000_000
READER = "1"


def a_file(folder: Path, name: str, text: str, *, mtime_ns: int = LONG_AGO) -> File:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    os.utime(path, ns=(mtime_ns, mtime_ns))
    return File(id=name, path=path, size=path.stat().st_size, mtime_ns=mtime_ns)


def plan_of(
    files: Sequence[File],
    known: dict[str, FileFacts] | None = None,
    *,
    put_ids: Sequence[str] = (),
    failed: Sequence[Failure] = (),
    reader: str = READER,
    max_bytes: int = 1000,
) -> Plan:
    listing = Listing(files=list(files), failed=list(failed))
    return make_plan(
        listing,
        known=known or {},
        put_ids=frozenset(put_ids),
        reader=reader,
        max_bytes=max_bytes,
    )


def facts_of(*files: File) -> dict[str, FileFacts]:
    """Give what is known of files once they are indexed."""
    return {file.id: facts for file, facts in plan_of(files).to_read if facts is not None}


def lists(plan: Plan) -> dict[str, object]:
    """Give the lists of a plan that are not empty."""
    found = {
        "added": plan.added,
        "updated": plan.updated,
        "moved": plan.moved,
        "removed": plan.removed,
        "unchanged": plan.unchanged,
        "touched": list(plan.touched),
        "failed": [failure.id for failure in plan.failed],
    }
    return {name: ids for name, ids in found.items() if ids}


# ---- the plan ---------------------------------------------------------------------------


def test_a_file_that_is_not_known_is_added_and_read(tmp_path: Path) -> None:
    file = a_file(tmp_path, "a.txt", "The pilot boards.")
    plan = plan_of([file])
    assert lists(plan) == {"added": ["a.txt"]}
    ((read, facts),) = plan.to_read
    assert read == file
    assert facts is not None
    assert (facts.size, facts.mtime_ns, facts.reader) == (17, LONG_AGO, "1")
    assert facts.file_hash == "3419642f0825498f9fbd56ec5e9f1a51e80077cbe8bb42d643176d13fc2e95a3"
    assert facts.checked_ns > LONG_AGO


def test_a_file_of_the_same_size_and_time_is_unchanged_without_being_opened(
    tmp_path: Path,
) -> None:
    file = a_file(tmp_path, "a.txt", "The pilot boards.")
    known = facts_of(file)
    file.path.unlink()
    assert lists(plan_of([file], known)) == {"unchanged": ["a.txt"]}


def test_a_file_changed_in_the_instant_of_the_last_look_is_looked_into(tmp_path: Path) -> None:
    file = a_file(tmp_path, "a.txt", "The pilot boards.")
    (facts,) = facts_of(file).values()
    just_now = FileFacts(
        size=facts.size,
        mtime_ns=LONG_AGO,
        file_hash=facts.file_hash,
        reader=READER,
        checked_ns=LONG_AGO + 40_000_000,
    )
    a_file(tmp_path, "a.txt", "The pilot sleeps.")
    assert lists(plan_of([file], {"a.txt": just_now})) == {"updated": ["a.txt"]}


def test_a_file_with_a_new_time_and_the_old_bytes_is_unchanged_and_noted(tmp_path: Path) -> None:
    known = facts_of(a_file(tmp_path, "a.txt", "The pilot boards."))
    touched = a_file(tmp_path, "a.txt", "The pilot boards.", mtime_ns=LONG_AGO + 10**9)
    plan = plan_of([touched], known)
    assert lists(plan) == {"unchanged": ["a.txt"], "touched": ["a.txt"]}
    assert plan.touched["a.txt"].mtime_ns == LONG_AGO + 10**9


def test_a_file_with_other_bytes_is_updated(tmp_path: Path) -> None:
    known = facts_of(a_file(tmp_path, "a.txt", "The pilot boards."))
    file = a_file(tmp_path, "a.txt", "The pilot sleeps.", mtime_ns=LONG_AGO + 10**9)
    plan = plan_of([file], known)
    assert lists(plan) == {"updated": ["a.txt"]}
    assert [read for read, _ in plan.to_read] == [file]


def test_what_another_version_of_the_readers_has_read_is_read_again(tmp_path: Path) -> None:
    file = a_file(tmp_path, "a.txt", "The pilot boards.")
    assert lists(plan_of([file], facts_of(file), reader="2")) == {"updated": ["a.txt"]}


def test_a_file_that_is_gone_is_removed(tmp_path: Path) -> None:
    gone = facts_of(a_file(tmp_path, "b.txt", "b"), a_file(tmp_path, "a.txt", "a"))
    assert lists(plan_of([], gone)) == {"removed": ["a.txt", "b.txt"]}


def test_a_new_file_with_the_bytes_of_a_vanished_one_has_moved(tmp_path: Path) -> None:
    known = facts_of(a_file(tmp_path, "a.txt", "The pilot boards."))
    plan = plan_of([a_file(tmp_path, "b.txt", "The pilot boards.")], known)
    assert lists(plan) == {"moved": {"b.txt": "a.txt"}}
    assert [file.id for file, _ in plan.to_read] == ["b.txt"]
    assert plan.report(seconds=0).moved == (("a.txt", "b.txt"),)


def test_a_copy_beside_its_original_is_added(tmp_path: Path) -> None:
    original = a_file(tmp_path, "a.txt", "The pilot boards.")
    plan = plan_of([original, a_file(tmp_path, "b.txt", "The pilot boards.")], facts_of(original))
    assert lists(plan) == {"added": ["b.txt"], "unchanged": ["a.txt"]}


def test_of_two_new_files_with_the_bytes_of_one_vanished_the_first_has_moved(
    tmp_path: Path,
) -> None:
    known = facts_of(a_file(tmp_path, "z.txt", "The pilot boards."))
    new = [a_file(tmp_path, name, "The pilot boards.") for name in ("a.txt", "b.txt")]
    assert lists(plan_of(new, known)) == {"added": ["b.txt"], "moved": {"a.txt": "z.txt"}}


def test_of_two_vanished_files_with_the_bytes_of_one_new_the_first_has_moved(
    tmp_path: Path,
) -> None:
    old = [a_file(tmp_path, name, "The pilot boards.") for name in ("a.txt", "b.txt")]
    new = a_file(tmp_path, "z.txt", "The pilot boards.")
    plan = plan_of([new], facts_of(*old))
    assert lists(plan) == {"moved": {"z.txt": "a.txt"}, "removed": ["b.txt"]}


def test_a_file_under_the_id_of_a_put_text_fails_with_what_to_do(tmp_path: Path) -> None:
    plan = plan_of([a_file(tmp_path, "memo", "A file.")], put_ids=["memo"])
    assert lists(plan) == {"failed": ["memo"]}
    assert "rename the file, or remove the text" in str(plan.failed[0].error)


def test_a_file_that_vanishes_while_it_is_hashed_fails_and_removes_nothing(tmp_path: Path) -> None:
    known = facts_of(a_file(tmp_path, "a.txt", "The pilot boards."))
    file = a_file(tmp_path, "a.txt", "Longer than it was before.")
    file.path.unlink()
    plan = plan_of([file], known)
    assert lists(plan) == {"failed": ["a.txt"]}
    assert "No such file" in str(plan.failed[0].error)


def test_a_file_over_the_limit_is_read_without_being_hashed(tmp_path: Path) -> None:
    plan = plan_of([a_file(tmp_path, "a.txt", "x" * 1001)])
    ((_, facts),) = plan.to_read
    assert facts is not None
    assert facts.file_hash == ""


def test_two_files_over_the_limit_are_not_taken_for_one_that_moved(tmp_path: Path) -> None:
    small = facts_of(a_file(tmp_path, "a.txt", "x"))
    plan = plan_of([a_file(tmp_path, "b.txt", "x" * 1001)], small)
    assert lists(plan) == {"added": ["b.txt"], "removed": ["a.txt"]}


def test_nothing_below_a_folder_that_cannot_be_opened_is_taken_for_removed(
    tmp_path: Path,
) -> None:
    (tmp_path / "closed").mkdir()
    known = facts_of(
        a_file(tmp_path, "closed/a.txt", "a"),
        a_file(tmp_path, "closed.txt", "b"),
    )
    failed = Failure(id="closed/", error=UnreadableDocument("closed", source="closed/"))
    assert lists(plan_of([], known, failed=[failed])) == {
        "removed": ["closed.txt"],
        "failed": ["closed/"],
    }


def test_a_report_lists_failures_and_skipped_files_by_id() -> None:
    plan = Plan()
    for id_ in ("b", "a"):
        plan.failed.append(Failure(id=id_, error=UnreadableDocument("no", source=id_)))
        plan.skipped.append(Skipped(id=id_, reason="hidden"))
    report = plan.report(seconds=1.5)
    assert [failure.id for failure in report.failed] == ["a", "b"]
    assert [skipped.id for skipped in report.skipped] == ["a", "b"]
    assert report.seconds == 1.5


# ---- the run ----------------------------------------------------------------------------


class Counting(HashingEmbedder):
    """Remembers each call, and fails as it is told."""

    def __init__(self) -> None:
        self.calls: list[list[str]] = []
        self.fails: Callable[[list[str]], ProviderError | None] = lambda texts: None

    @property
    def texts(self) -> list[str]:
        return [text for call in self.calls for text in call]

    def embed_documents(self, texts: Sequence[str]) -> Matrix:
        self.calls.append(list(texts))
        if error := self.fails(list(texts)):
            raise error
        return super().embed_documents(texts)


def a_document(file: File) -> Document:
    """Read a file as a line a chunk; one that begins with "!" cannot be read."""
    text = file.path.read_text(encoding="utf-8")
    if text.startswith("!unsupported"):
        raise UnsupportedFormat("no reader for this kind", source=file.id)
    if text.startswith("!extra"):
        raise MissingDependency("openpyxl", extra="office")
    if text.startswith("!"):
        raise UnreadableDocument("it is damaged", source=file.id)
    return a_record(file.id, *text.split("\n")).document


def lines_of(document: Document) -> list[Chunk]:
    return list(a_record(document.id, *document.text.split("\n")).chunks)


class Workplace:
    """A folder of files and its index."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.index = folder / ".rag"
        self.embedder = Counting()
        self.steps: list[Progress] = []
        self.patience_s = 0.0
        self._clock = LONG_AGO

    def write(self, name: str, *lines: str) -> None:
        self._clock += 10**9
        a_file(self.folder, name, "\n".join(lines), mtime_ns=self._clock)

    @contextmanager
    def syncing(self) -> Iterator[tuple[Plan, Sync, Writer]]:
        with deferred() as interrupts, writing(self.index, {}) as writer:
            files = [
                File(
                    id=path.name,
                    path=path,
                    size=path.stat().st_size,
                    mtime_ns=path.stat().st_mtime_ns,
                )
                for path in sorted(self.folder.glob("*.txt"))
            ]
            plan = plan_of(files, writer.catalog.files(), max_bytes=10**9)
            sync = Sync(
                plan,
                writer,
                load=a_document,
                split=lines_of,
                embedder=self.embedder,
                interrupts=interrupts,
                patience_s=self.patience_s,
                progress=self.steps.append,
            )
            yield plan, sync, writer

    def sync(self) -> dict[str, object]:
        """Run a sync, and start counting calls anew before it."""
        self.embedder.calls.clear()
        self.steps.clear()
        with self.syncing() as (plan, sync, _):
            sync.run()
        self.embedded, self.reused, self.plan = sync.embedded, sync.reused, plan
        return lists(plan)

    def found(self, query: str) -> list[str]:
        with opened(self.index, exact_up_to=CHROMA) as store:
            assert store.findings() == []
            return texts(store.lexical(query, 20))

    def generation(self) -> int:
        with opened(self.index) as store:
            return store.catalog.generation


@pytest.fixture
def place(tmp_path: Path) -> Workplace:
    return Workplace(tmp_path)


def test_a_second_run_embeds_writes_and_changes_nothing(place: Workplace) -> None:
    place.write("a.txt", "The pilot boards.", "The tide turns.")
    assert place.sync() == {"added": ["a.txt"]}
    assert (place.embedded, place.reused) == (2, 0)
    generation = place.generation()
    assert place.sync() == {"unchanged": ["a.txt"]}
    assert (place.embedded, place.reused, place.embedder.calls) == (0, 0, [])
    assert place.generation() == generation


def test_a_run_without_changes_leaves_every_row_and_every_copy_as_it_was(
    place: Workplace,
) -> None:
    def rows() -> str:
        with closing(sqlite3.connect(place.index / "catalog.sqlite3")) as connection:
            return "\n".join(line for line in connection.iterdump() if "'synced_at'" not in line)

    def copies() -> dict[str, tuple[int, int]]:
        return {
            path.relative_to(place.index).as_posix(): (path.stat().st_size, path.stat().st_mtime_ns)
            for path in place.index.glob("*-0*/**/*")
        }

    place.write("a.txt", "The pilot boards.", "The tide turns.")
    place.sync()
    before = rows(), copies()
    assert place.sync() == {"unchanged": ["a.txt"]}
    assert (rows(), copies()) == before


def test_only_the_changed_chunks_are_embedded(place: Workplace) -> None:
    place.write("a.txt", "The pilot boards.", "The tide turns.")
    place.sync()
    place.write("a.txt", "A first line.", "The pilot boards.", "The tide rises.")
    assert place.sync() == {"updated": ["a.txt"]}
    assert sorted(place.embedder.texts) == ["A first line.", "The tide rises."]
    assert (place.embedded, place.reused) == (2, 1)
    assert place.found("tide") == ["The tide rises."]


def test_a_text_that_is_there_already_is_not_embedded_again(place: Workplace) -> None:
    place.write("a.txt", "The pilot boards.", "The pilot boards.")
    place.write("b.txt", "The pilot boards.")
    place.sync()
    assert place.embedder.texts == ["The pilot boards."]
    assert len(place.found("pilot")) == 3


def test_a_move_embeds_nothing_and_leaves_nothing_behind(place: Workplace) -> None:
    place.write("a.txt", "The pilot boards.")
    place.sync()
    (place.folder / "a.txt").rename(place.folder / "b.txt")
    assert place.sync() == {"moved": {"b.txt": "a.txt"}}
    assert place.embedder.calls == []
    with opened(place.index) as store:
        assert [hit.chunk.document_id for hit in store.lexical("pilot", 5)] == ["b.txt"]


def test_a_text_that_comes_back_is_not_embedded_again(place: Workplace) -> None:
    place.write("a.txt", "The pilot boards.", "The tide turns.")
    place.write("b.txt", "A barge lies here.")
    place.sync()
    (place.folder / "b.txt").unlink()
    place.write("a.txt", "The pilot boards.")
    place.sync()
    with opened(place.index) as store:
        assert store.catalog.unused_vectors() == 2
    place.embedder.calls.clear()
    place.write("a.txt", "The pilot boards.", "The tide turns.")
    place.write("c.txt", "A barge lies here.")
    place.sync()
    assert place.embedder.calls == []
    with opened(place.index) as store:
        assert store.catalog.unused_vectors() == 0


def test_a_file_whose_reader_is_not_installed_fails_alone(place: Workplace) -> None:
    place.write("a.txt", "!extra")
    place.write("b.txt", "The tide turns.")
    assert place.sync() == {"added": ["b.txt"], "failed": ["a.txt"]}


def test_vectors_of_what_failed_are_kept_for_the_next_run(place: Workplace) -> None:
    good = [f"The tide turns at {n}." for n in range(SLICE_CHUNKS)]
    place.write("a.txt", *good, "A very long refused line that comes last, being longest.")
    refused = ProviderError("no", provider="test", status=400)
    place.embedder.fails = lambda texts: refused if "refused" in "".join(texts) else None
    assert place.sync() == {"failed": ["a.txt"]}
    place.embedder.fails = lambda texts: None
    assert place.sync() == {"added": ["a.txt"]}
    assert place.embedder.texts == ["A very long refused line that comes last, being longest."]


def test_a_file_that_becomes_unreadable_goes_on_answering(place: Workplace) -> None:
    place.write("a.txt", "The pilot boards.")
    place.sync()
    place.write("a.txt", "!")
    assert place.sync() == {"failed": ["a.txt"]}
    assert place.found("pilot") == ["The pilot boards."]
    assert place.sync() == {"failed": ["a.txt"]}, "the failure was forgotten"
    place.write("a.txt", "The tide turns.")
    assert place.sync() == {"updated": ["a.txt"]}
    assert (place.found("pilot"), place.found("tide")) == ([], ["The tide turns."])


def test_a_file_that_is_no_document_any_more_is_removed_and_skipped(place: Workplace) -> None:
    place.write("a.txt", "The pilot boards.")
    place.write("b.txt", "The tide turns.")
    place.sync()
    place.write("a.txt", "!unsupported")
    assert place.sync() == {"removed": ["a.txt"], "unchanged": ["b.txt"]}
    assert [(skipped.id, skipped.reason) for skipped in place.plan.skipped] == [
        ("a.txt", "no reader for this kind")
    ]
    assert place.found("pilot") == []


def test_a_moved_file_that_is_no_document_any_more_is_removed_under_its_old_id(
    place: Workplace,
) -> None:
    place.write("a.txt", "The pilot boards.")
    place.sync()
    (place.folder / "a.txt").rename(place.folder / "b.txt")
    with place.syncing() as (plan, sync, _):

        def refuse(file: File) -> Document:
            raise UnsupportedFormat("no reader for this kind", source=file.id)

        sync._load = refuse
        sync.run()
        assert lists(plan) == {"removed": ["a.txt"]}
        assert [skipped.id for skipped in plan.skipped] == ["b.txt"]
    assert place.found("pilot") == []


def test_a_moved_file_that_cannot_be_read_goes_on_answering_under_its_old_id(
    place: Workplace,
) -> None:
    place.write("a.txt", "The pilot boards.")
    place.sync()
    (place.folder / "a.txt").rename(place.folder / "b.txt")
    with place.syncing() as (plan, sync, _):
        (place.folder / "b.txt").write_text("!", encoding="utf-8")
        sync.run()
        assert lists(plan) == {"failed": ["b.txt"]}
    assert place.found("pilot") == ["The pilot boards."]


def test_a_text_that_the_server_refuses_fails_its_file_alone(place: Workplace) -> None:
    for number in range(9):
        place.write(f"{number}.txt", f"The tide turns at {number}.", f"Buoy {number}.")
    refused = ProviderError("too long", provider="test", status=413)
    place.embedder.fails = lambda texts: refused if "Buoy 5." in texts else None
    assert place.sync() == {
        "added": [f"{number}.txt" for number in range(9) if number != 5],
        "failed": ["5.txt"],
    }
    assert place.plan.failed[0].error is refused
    assert len(place.found("tide")) == 8


@pytest.mark.parametrize(
    "error",
    [
        ProviderError("down", provider="test", status=500),
        ProviderError("unreachable", provider="test", status=None),
        RateLimited("slow down", provider="test", retry_after_s=None),
    ],
    ids=["500", "unreachable", "429"],
)
def test_a_server_that_is_down_is_asked_once_and_old_versions_answer(
    place: Workplace, error: ProviderError
) -> None:
    place.write("a.txt", "The pilot boards.")
    place.write("b.txt", "The tide turns.")
    place.sync()
    place.write("a.txt", "The pilot sleeps.")
    place.write("c.txt", "A new buoy.")
    (place.folder / "b.txt").rename(place.folder / "d.txt")
    place.embedder.fails = lambda texts: error
    assert place.sync() == {"moved": {"d.txt": "b.txt"}, "failed": ["a.txt", "c.txt"]}
    assert len(place.embedder.calls) == 1
    assert place.found("pilot") == ["The pilot boards."]
    assert place.found("tide buoy") == ["The tide turns."]
    place.embedder.fails = lambda texts: None
    assert place.sync() == {"added": ["c.txt"], "updated": ["a.txt"], "unchanged": ["d.txt"]}
    assert place.found("pilot") == ["The pilot sleeps."]


def test_one_call_that_is_refused_for_its_rate_keeps_what_was_embedded_before(
    place: Workplace,
) -> None:
    lines = [f"The tide turns at {n}." for n in range(3 * SLICE_CHUNKS)]
    for number in range(3):
        part = lines[number * SLICE_CHUNKS : (number + 1) * SLICE_CHUNKS]
        place.write(f"{number}.txt", *part)
    error = RateLimited("slow down", provider="test", retry_after_s=1.0)
    place.embedder.fails = lambda texts: error if len(place.embedder.calls) == 2 else None
    assert "failed" in place.sync()
    assert place.embedded == SLICE_CHUNKS
    place.embedder.fails = lambda texts: None
    done = set(place.embedder.calls[0])
    place.sync()
    assert place.plan.failed == []
    assert len(place.embedder.texts) == 2 * SLICE_CHUNKS
    assert not done & set(place.embedder.texts), "what was paid for was embedded again"
    assert len(place.found("tide turns")) == 20


def test_vectors_of_another_length_stop_the_sync_with_both_numbers(place: Workplace) -> None:
    place.write("a.txt", "The pilot boards.")
    place.sync()

    class Short(Counting):
        dimension = 64

    place.embedder = Short()
    place.write("b.txt", "The tide turns.")
    with pytest.raises(CorpusMismatch, match=r"64 numbers.*holds 384.*sync again"):
        place.sync()
    assert place.found("pilot") == ["The pilot boards."]


def test_vectors_that_are_not_numbers_stop_the_sync(place: Workplace) -> None:
    class Broken(Counting):
        def embed_documents(self, texts: Sequence[str]) -> Matrix:
            return np.full((len(texts), 384), np.nan, dtype=np.float32)

    place.embedder = Broken()
    place.write("a.txt", "The pilot boards.")
    with pytest.raises(ValueError, match="not finite"):
        place.sync()
    place.embedder = Counting()
    assert place.sync() == {"added": ["a.txt"]}


def test_documents_are_written_in_batches_as_they_are_read(place: Workplace) -> None:
    for name in ("a.txt", "b.txt", "c.txt"):
        place.write(name, *(f"Line {n} of {name}." for n in range(BATCH_CHUNKS // 2)))
    place.sync()
    assert place.generation() == 2
    assert max(map(len, place.embedder.calls)) == SLICE_CHUNKS
    with opened(place.index) as store:
        assert store.catalog.totals()[:2] == (3, 3 * BATCH_CHUNKS // 2)


def test_an_interrupted_run_is_gone_on_with_where_it_stopped(place: Workplace) -> None:
    for name in ("a.txt", "b.txt", "c.txt"):
        place.write(name, *(f"Line {n} of {name}." for n in range(BATCH_CHUNKS)))

    def interrupt(texts: list[str]) -> None:
        if len(place.embedder.calls) == BATCH_CHUNKS // SLICE_CHUNKS + 3:
            raise KeyboardInterrupt

    place.embedder.fails = interrupt
    with pytest.raises(KeyboardInterrupt):
        place.sync()
    with opened(place.index, exact_up_to=CHROMA) as store:
        assert store.findings() == []
        assert [summary.id for summary in store.catalog.summaries()] == ["a.txt"]
    place.embedder.fails = lambda texts: None
    assert place.sync() == {"added": ["b.txt", "c.txt"], "unchanged": ["a.txt"]}
    assert len(place.embedder.texts) == 2 * BATCH_CHUNKS - 2 * SLICE_CHUNKS


def test_a_run_that_is_asked_to_stop_keeps_the_slice_in_hand_and_writes_what_is_whole(
    place: Workplace,
) -> None:
    place.write("a.txt", *(f"Short {n}." for n in range(SLICE_CHUNKS // 2)))
    place.write("b.txt", *(f"A longer line for {n} of them." for n in range(2 * SLICE_CHUNKS)))

    def stop(texts: list[str]) -> None:
        if len(place.embedder.calls) == 1:
            os.kill(os.getpid(), signal.SIGINT)

    place.embedder.fails = stop
    with pytest.raises(KeyboardInterrupt):
        place.sync()
    assert len(place.embedder.calls) == 1
    with opened(place.index, exact_up_to=CHROMA) as store:
        assert store.findings() == []
        assert [summary.id for summary in store.catalog.summaries()] == ["a.txt"]
    done = set(place.embedder.texts)
    place.embedder.fails = lambda texts: None
    assert place.sync() == {"added": ["b.txt"], "unchanged": ["a.txt"]}
    assert not done & set(place.embedder.texts), "the slice in hand was thrown away"


def test_a_signal_whose_handler_wants_no_stop_changes_nothing(place: Workplace) -> None:
    place.write("a.txt", *(f"The tide turns at {n}." for n in range(3 * SLICE_CHUNKS)))

    def signalled(texts: list[str]) -> None:
        if len(place.embedder.calls) == 1:
            os.kill(os.getpid(), signal.SIGINT)

    place.embedder.fails = signalled
    came: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, frame: came.append(number))
    try:
        assert place.sync() == {"added": ["a.txt"]}
    finally:
        signal.signal(signal.SIGINT, before)
    assert came == [signal.SIGINT]
    assert len(set(place.embedder.texts)) == len(place.embedder.texts) == 3 * SLICE_CHUNKS


def test_a_server_that_asks_for_patience_is_waited_for_and_that_is_told(place: Workplace) -> None:
    place.patience_s = 60
    place.write("a.txt", "The pilot boards.")
    error = RateLimited("slow down", provider="test", retry_after_s=0.2)
    place.embedder.fails = lambda texts: error if len(place.embedder.calls) < 3 else None
    assert place.sync() == {"added": ["a.txt"]}
    assert len(place.embedder.calls) == 3
    waits = [step for step in place.steps if step.stage == "waiting"]
    assert [(step.label, round(step.wait_s, 1)) for step in waits] == [("slow down", 0.2)] * 2


def test_texts_are_embedded_in_the_order_of_their_lengths(place: Workplace) -> None:
    place.write("a.txt", "one two three four", "one", "one two three", "one two")
    place.sync()
    assert place.embedder.calls == [["one", "one two", "one two three", "one two three four"]]


def test_progress_tells_stage_bytes_and_document(place: Workplace) -> None:
    place.write("a.txt", "The pilot boards.")
    place.write("b.txt", "The tide.")
    place.sync()
    told = [(step.stage, step.label, step.done_bytes, step.embedded) for step in place.steps]
    assert told == [
        ("reading", "a.txt", 0, 0),
        ("reading", "b.txt", 0, 0),
        ("embedding", "a.txt", 0, 0),
        ("embedding", "a.txt", 26, 2),
        ("indexing", "", 26, 2),
    ]
    assert {step.total_bytes for step in place.steps} == {26}


def test_a_thousand_touched_files_are_noted_at_once(place: Workplace) -> None:
    for number in range(20):
        place.write(f"{number:02}.txt", f"The tide turns at {number}.")
    place.sync()
    for number in range(20):
        place.write(f"{number:02}.txt", f"The tide turns at {number}.")
    assert len(place.sync()["touched"]) == 20  # type: ignore[arg-type]
    assert place.embedder.calls == []
    assert set(place.sync()) == {"unchanged"}
