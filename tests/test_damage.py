"""A damaged index costs a rebuild, never a wrong answer; a full disk or bad names cost no text."""

import os
import random
import shutil
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from rag.corpus import Corpus
from rag.errors import CorpusError, CorpusMismatch
from rag.settings import settings_from
from rag.testing import HashingEmbedder
from rag.types import By
from tests.index.samples import output, start

SETTINGS = settings_from({"documents": {"chunk_size": 16}, "index": {"exact_up_to": 0}})
"""A line is a chunk, and Chroma is asked wherever it can be trusted."""
BYS: tuple[By, ...] = ("fused", "dense", "lexical")
Answers = list[tuple[str, str, float]]


@contextmanager
def opened(folder: Path) -> Iterator[Corpus]:
    with Corpus.open(folder, settings=SETTINGS, embedder=HashingEmbedder()) as corpus:
        yield corpus


def write(folder: Path, *, berths: int = 60) -> None:
    for number in range(4):
        lines = (
            f"Berth {berth} of quay {number} takes {berth * 7 + number} barges, says keeper "
            f"{berth % 5}, and lamp {berth % 11} burns there until the tide turns."
            for berth in range(berths)
        )
        (folder / f"{number}.txt").write_text("\n\n".join(lines), encoding="utf-8")


def answers(corpus: Corpus) -> Answers:
    return [
        (hit.chunk.document_id, hit.chunk.text, hit.score)
        for by in BYS
        for query in ("keeper 3 of lamp 7", "berth 17 of quay 2")
        for hit in corpus.search(query, k=10, by=by)
    ]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Answers]:
    """Give a corpus of 240 chunks, and what it answers."""
    folder = tmp_path_factory.mktemp("whole")
    write(folder)
    with opened(folder) as corpus:
        corpus.sync()
        found = answers(corpus)
        assert corpus._opened._chroma is not None, "Chroma was not asked"
        return folder, found


@pytest.fixture
def folder(whole: tuple[Path, Answers], tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole[0], tmp_path / "corpus"))


# ---- Chroma and Tantivy -----------------------------------------------------------------


def graph(index: Path) -> Path:
    """Find Chroma's folder of the graph, HNSW."""
    (folder,) = (path for path in (index / "chroma-0001").iterdir() if path.is_dir())
    return folder


def largest(folder: Path) -> Path:
    return max(
        (path for path in folder.iterdir() if path.is_file()), key=lambda p: p.stat().st_size
    )


def cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def overwrite(path: Path) -> None:
    path.write_bytes(os.urandom(path.stat().st_size))


DAMAGES: dict[str, tuple[str, Callable[[Path], object]]] = {
    "chroma: graph removed": ("chroma", lambda index: shutil.rmtree(graph(index))),
    "chroma: vectors cut": ("chroma", lambda index: cut(graph(index) / "data_level0.bin")),
    "chroma: vectors random": ("chroma", lambda index: overwrite(graph(index) / "data_level0.bin")),
    "chroma: links removed": ("chroma", lambda index: (graph(index) / "link_lists.bin").unlink()),
    "chroma: header random": ("chroma", lambda index: overwrite(graph(index) / "header.bin")),
    "chroma: sqlite cut": ("chroma", lambda index: cut(index / "chroma-0001" / "chroma.sqlite3")),
    "chroma: sqlite removed": (
        "chroma",
        lambda index: (index / "chroma-0001" / "chroma.sqlite3").unlink(),
    ),
    "chroma: all removed": ("chroma", lambda index: shutil.rmtree(index / "chroma-0001")),
    "terms: all removed": ("terms", lambda index: shutil.rmtree(index / "terms-0001")),
    "terms: meta cut": ("terms", lambda index: cut(index / "terms-0001" / "meta.json")),
    "terms: segment cut": ("terms", lambda index: cut(largest(index / "terms-0001"))),
    "terms: segment random": ("terms", lambda index: overwrite(largest(index / "terms-0001"))),
    "terms: segment removed": ("terms", lambda index: largest(index / "terms-0001").unlink()),
    "terms: stranger added": (
        "terms",
        lambda index: (index / "terms-0001" / "stray.idx").write_bytes(b"x"),
    ),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_copy_changes_no_answer_is_reported_and_built_anew(
    folder: Path, whole: tuple[Path, Answers], damage: str
) -> None:
    name, spoil = DAMAGES[damage]
    spoil(folder / ".rag")
    with opened(folder) as corpus:
        assert answers(corpus) == whole[1]
        (finding,) = corpus.status().findings
        assert finding.startswith(f"{name}: ")
        assert finding.endswith("is not what was written; sync builds it anew")
    with opened(folder) as corpus:
        report = corpus.sync()
        assert report.repaired == (name,)
        assert (report.embedded, len(report.unchanged)) == (0, 4)
        assert corpus.status().findings == ()
        assert answers(corpus) == whole[1]
        assert corpus._opened._chroma is not None
        assert corpus.sync().repaired == ()


def test_a_chroma_file_of_garbage_changes_no_answer_is_reported_and_built_anew(
    folder: Path, whole: tuple[Path, Answers]
) -> None:
    overwrite(folder / ".rag" / "chroma-0001" / "chroma.sqlite3")
    with opened(folder) as corpus:
        assert answers(corpus) == whole[1]
        (finding,) = corpus.status().findings
        assert finding.startswith("chroma: it could not be asked (")
        assert finding.endswith("chroma-0001 and sync")
        assert corpus.sync().repaired == ("chroma",)
        assert answers(corpus) == whole[1]
        assert corpus.status().findings == ()


@pytest.mark.parametrize("damage", ["chroma: vectors random", "terms: segment random"])
def test_a_reader_opened_before_the_damage_goes_on_answering_and_sees_the_repair(
    folder: Path, whole: tuple[Path, Answers], damage: str
) -> None:
    with opened(folder) as reader, opened(folder) as writer:
        assert answers(reader) == whole[1]
        _, spoil = DAMAGES[damage]
        shutil.copytree(folder / ".rag", folder / ".rag.copy")  # A new file, as a restore makes it.
        spoil(folder / ".rag.copy")
        shutil.rmtree(folder / ".rag" / "chroma-0001")
        shutil.rmtree(folder / ".rag" / "terms-0001")
        for name in ("chroma-0001", "terms-0001"):
            shutil.move(folder / ".rag.copy" / name, folder / ".rag" / name)
        assert answers(reader) == whole[1]
        writer.sync()
        assert answers(reader) == whole[1]
        assert reader.status().findings == ()


def test_an_edit_of_a_damaged_index_repairs_it_too(folder: Path) -> None:
    DAMAGES["chroma: vectors cut"][1](folder / ".rag")
    DAMAGES["terms: segment cut"][1](folder / ".rag")
    (folder / "0.txt").write_text("The last dredger was sold.", encoding="utf-8")
    with opened(folder) as corpus:
        report = corpus.sync()
        assert (report.updated, report.embedded) == (("0.txt",), 1)
        assert report.repaired == ("terms", "chroma")
        for by in BYS:
            assert corpus.search("dredger sold", k=1, by=by)[0].chunk.document_id == "0.txt"
        assert len(corpus.search("berth", k=300, by="lexical")) == 180
        assert corpus.status().findings == ()


# ---- the catalog ------------------------------------------------------------------------


def check_refused(folder: Path, words: str) -> None:
    """Every call says what is wrong and what to do, and touches nothing."""
    path = folder / ".rag" / "catalog.sqlite3"
    before = path.read_bytes()
    with pytest.raises(CorpusError, match=words), opened(folder) as corpus:
        corpus.search("berth")
    with pytest.raises(CorpusError, match=words), opened(folder) as corpus:
        corpus.sync()
    assert path.read_bytes() == before


@pytest.mark.parametrize("share", [0, 0.001, 0.3, 0.9, 0.9999])
def test_a_catalog_that_was_cut_is_refused_with_what_to_do(folder: Path, share: float) -> None:
    path = folder / ".rag" / "catalog.sqlite3"
    os.truncate(path, int(path.stat().st_size * share))
    check_refused(folder, r"damaged.*restore it from a backup.*sync again \(the documents are not")


def test_a_catalog_of_garbage_is_refused_with_what_to_do(folder: Path) -> None:
    overwrite(folder / ".rag" / "catalog.sqlite3")
    check_refused(folder, r"damaged.*sync again")


def test_what_the_message_advises_helps(folder: Path, whole: tuple[Path, Answers]) -> None:
    overwrite(folder / ".rag" / "catalog.sqlite3")
    (folder / ".rag").rename(folder / ".old")
    with opened(folder) as corpus:
        assert len(corpus.sync().added) == 4
        assert answers(corpus) == whole[1]


def test_a_page_of_garbage_in_the_catalog_is_an_error_or_changes_nothing(
    folder: Path, whole: tuple[Path, Answers]
) -> None:
    path = folder / ".rag" / "catalog.sqlite3"
    good = path.read_bytes()
    garbage = random.Random(7)
    refused = 0
    for page in range(0, len(good) // 8192, 6):
        # The first bytes are now and then those of a page with a row, which SQLite believes.
        start = b"\x0d\x00\x00\x00\x01" if page % 4 else garbage.randbytes(5)
        bad = start + garbage.randbytes(8192 - 5)
        path.write_bytes(good[: page * 8192] + bad + good[(page + 1) * 8192 :])
        try:
            with opened(folder) as corpus:
                assert answers(corpus) == whole[1]
        except CorpusError as error:
            assert "sync again" in str(error)  # noqa: PT017 - it may not be raised
            refused += 1
    assert refused


def test_an_index_of_another_format_is_refused_with_what_to_do(folder: Path) -> None:
    with closing(sqlite3.connect(folder / ".rag" / "catalog.sqlite3")) as connection:
        connection.execute("UPDATE meta SET value = '99' WHERE key = 'format'")
        connection.commit()
    for call in (Corpus.sync, Corpus.status):
        with (
            pytest.raises(CorpusMismatch, match=r"format 99, this one reads 1.*sync again"),
            opened(folder) as corpus,
        ):
            call(corpus)


# ---- a full disk ------------------------------------------------------------------------

SYNC_WITH_LIMIT = """
import resource, sys
from pathlib import Path
from rag.errors import CorpusError
from tests.test_damage import answers, opened, write
folder = Path(sys.argv[1])
with opened(folder) as corpus:
    before = answers(corpus)
    write(folder, berths=90)
    (folder / "0.txt").unlink()
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), resource.RLIM_INFINITY))
    try:
        corpus.sync()
        print("synced")
    except CorpusError as error:
        print(error)
    print([hit.chunk.document_id for hit in corpus.search("berth 17 of quay 2", k=1)])
with opened(folder) as corpus:
    found = answers(corpus)
    print(found == before or all(document_id != "0.txt" for document_id, _, _ in found))
"""


@pytest.mark.parametrize("limit", [0, 500_000])
def test_on_a_full_disk_a_sync_says_so_and_the_next_one_ends_right(
    folder: Path, limit: int
) -> None:
    """No file may grow beyond the limit: from none at all to only the largest of them."""
    said = output(start(SYNC_WITH_LIMIT, folder, limit)).splitlines()
    assert said[0] != "synced"
    assert "disk is full, make room" in said[0]
    assert said[1:] == ["['2.txt']", "True"]
    with opened(folder) as corpus:
        assert corpus.sync().failed == ()
        assert corpus.status().findings == ()
        assert len(corpus.documents()) == 3
        assert len(corpus.search("berth", k=500, by="lexical")) == 270
        assert len(corpus.search("berth", k=500, by="dense")) == 270


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    disk = tmp_path / "disk"
    disk.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=12m", "tmpfs", str(disk)]
    try:
        subprocess.run(command, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("mounting a small disk needs root's rights")
    yield disk
    subprocess.run(["umount", disk], check=True)


def fill(path: Path) -> None:
    with path.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))


@pytest.mark.parametrize("free_bytes", [0, 200_000, 450_000, 650_000])
def test_on_a_small_disk_that_fills_up_nothing_is_lost(
    small_disk: Path, whole: tuple[Path, Answers], free_bytes: int
) -> None:
    """The less is free, the earlier a sync that adds 120 chunks is stopped."""
    folder = Path(shutil.copytree(whole[0], small_disk / "corpus"))
    write(folder, berths=90)
    new = {path: path.read_bytes() for path in folder.glob("*.txt")}
    write(folder)
    with opened(folder) as corpus:
        corpus.sync()
        for path, text in new.items():
            path.write_bytes(text)
        filler = small_disk / "filler"
        with pytest.raises(OSError, match="No space"):
            fill(filler)
        os.truncate(filler, filler.stat().st_size - free_bytes)
        with pytest.raises(CorpusError, match="make room"):
            corpus.sync()
        with opened(folder) as other:
            for reader in (corpus, other):
                for by in BYS[1:]:
                    assert len(reader.search("berth", k=500, by=by)) in (240, 360)
        filler.unlink()
        assert corpus.sync().failed == ()
        assert corpus.status().findings == ()
        assert len(corpus.search("berth", k=500, by="lexical")) == 360
        assert len(corpus.search("berth", k=500, by="dense")) == 360


# ---- names and links --------------------------------------------------------------------


def test_a_name_that_is_not_utf_8_fails_alone(folder: Path) -> None:
    Path(os.fsdecode(bytes(folder) + b"/berth-\xff.txt")).write_text("A berth.", encoding="utf-8")
    with opened(folder) as corpus:
        report = corpus.sync()
        assert [failure.id for failure in report.failed] == ["berth-\\xff.txt"]
        assert "not UTF-8; rename it" in str(report.failed[0].error)
        assert len(report.unchanged) == 4


def test_links_are_reported_and_not_followed(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "secret.txt").write_text("The password is swordfish.")
    (folder / "away").symlink_to(tmp_path / "outside")
    (folder / "loop").symlink_to(folder)
    (folder / "twin.txt").symlink_to(folder / "0.txt")
    with opened(folder) as corpus:
        report = corpus.sync()
        assert [skipped.id for skipped in report.skipped] == ["away", "loop", "twin.txt"]
        assert len(report.unchanged) == 4
        assert corpus.search("swordfish", by="lexical") == []


def test_a_file_that_became_a_link_is_no_document_any_more(folder: Path, tmp_path: Path) -> None:
    (folder / "0.txt").rename(tmp_path / "0.txt")
    (folder / "0.txt").symlink_to(tmp_path / "0.txt")
    with opened(folder) as corpus:
        report = corpus.sync()
        assert (report.removed, [s.id for s in report.skipped]) == (("0.txt",), ["0.txt"])
        assert len(corpus.documents()) == 3
