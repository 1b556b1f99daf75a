"""What is forgotten is gone from every file of the index, which this module looks for itself."""

import shutil
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from rag.corpus import Corpus
from rag.settings import settings_from
from rag.testing import HashingEmbedder
from rag.types import By, Progress
from tests.index.samples import output, start

SETTINGS = settings_from({"documents": {"chunk_size": 32}, "index": {"exact_up_to": 0}})
BYS: tuple[By, ...] = ("fused", "dense", "lexical")
SHARED = "Every vessel keeps clear of the cable that lies between the two yellow posts."
SECRET = "\n\n".join(
    f"In the night of {day} May keeper Ansgar {day * 7} sold lamp {day * 31} to a stranger."
    for day in range(60)
)
CHINESE = "\n\n".join(
    f"第{day}夜，守闸人老周把第{day * 7}盏铜灯卖给了外乡人，谁也没有告诉。" for day in range(60)
)
HARBOUR = "\n\n".join(
    f"Berth {number} takes {number * 7} barges, and lamp {number % 11} burns there till dawn."
    for number in range(60)
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "corpus"
    folder.mkdir()
    (folder / "secret.md").write_text(f"# Nights\n\n{SECRET}\n\n{SHARED}\n", encoding="utf-8")
    (folder / "铜灯 [密].md").write_text(f"# 夜\n\n{CHINESE}\n", encoding="utf-8")
    (folder / "harbour.md").write_text(f"# Harbour\n\n{HARBOUR}\n\n{SHARED}\n", encoding="utf-8")
    return folder


@pytest.fixture
def corpus(folder: Path) -> Iterator[Corpus]:
    with opened(folder) as corpus:
        corpus.sync()
        yield corpus


def opened(folder: Path) -> Corpus:
    return Corpus.open(folder, settings=SETTINGS, embedder=HashingEmbedder())


def holders(folder: Path, text: str) -> set[str]:
    """Name the parts of an index that hold 32 bytes in a row of a text, in two encodings."""
    windows = {
        data[at : at + 32]
        for data in (text.encode("utf-8"), text.encode("utf-16-le"))
        for at in range(len(data) - 31)
    }
    found = set()
    for path in (path for path in (folder / ".rag").rglob("*") if path.is_file()):
        # Closed in this process, a file of SQLite would lose the locks that it holds on it.
        data = subprocess.run(["cat", path], capture_output=True, check=True).stdout
        if any(data[at : at + 32] in windows for at in range(len(data) - 31)):
            found.add(path.relative_to(folder / ".rag").parts[0].split("-0")[0])
    return found


def rows(folder: Path) -> dict[str, int]:
    with closing(sqlite3.connect(folder / ".rag" / "catalog.sqlite3")) as connection:
        tables = ("documents", "contents", "chunks", "vectors", "pending", "vanished")
        return {
            table: connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
            for table in tables
        }


def test_a_deleted_file_is_gone_from_every_byte(corpus: Corpus, folder: Path) -> None:
    assert holders(folder, SECRET) >= {"catalog.sqlite3", "chroma"}
    chunks = {summary.id: summary.chunks for summary in corpus.documents()}
    (folder / "secret.md").unlink()
    report = corpus.forget("secret.md")
    assert holders(folder, SECRET) == set()
    assert (report.ids, report.ignored, report.unknown) == (("secret.md",), (), ())
    assert report.found == ()
    assert report.runs > 4000
    files = sum(path.is_file() for path in (folder / ".rag").rglob("*"))
    assert report.files - files in {0, 2}  # SQLite's two beside the catalog may have gone since.
    assert [summary.id for summary in corpus.documents()] == ["harbour.md", "铜灯 [密].md"]
    held = rows(folder)
    assert held["chunks"] == chunks["harbour.md"] + chunks["铜灯 [密].md"]
    assert (held["documents"], held["contents"]) == (2, 2)
    assert (held["pending"], held["vanished"]) == (0, 0)
    assert corpus.status().findings == ()
    assert corpus.status().unused_vectors == 0
    for by in BYS:
        hits = corpus.search("keeper sold lamp stranger", k=100, by=by)
        assert hits
        assert "secret.md" not in {hit.chunk.document_id for hit in hits}


def test_what_another_document_shares_stays_and_is_not_called_left(
    corpus: Corpus, folder: Path
) -> None:
    (folder / "secret.md").unlink()
    assert corpus.forget("secret.md").found == ()
    assert "catalog.sqlite3" in holders(folder, SHARED)
    (hit, *_) = corpus.search("cable between two yellow posts", by="lexical")
    assert hit.chunk.document_id == "harbour.md"


def test_a_file_that_still_lies_there_is_refused_unless_it_is_left_out(
    corpus: Corpus, folder: Path
) -> None:
    name = "铜灯 [密].md"
    before = {path: path.read_bytes() for path in folder.rglob("*.md")}
    with pytest.raises(ValueError, match=r"still lies in the folder.*delete the file.*ignore=True"):
        corpus.forget("harbour.md", name)
    assert len(corpus.documents()) == 3
    (folder / ".ragignore").write_text("*.tmp", encoding="utf-8")
    report = corpus.forget(name, ignore=True)
    assert report.ignored == ("/铜灯 \\[密\\].md",)
    assert (folder / ".ragignore").read_text("utf-8") == "*.tmp\n/铜灯 \\[密\\].md\n"
    assert holders(folder, CHINESE) == set()
    again = corpus.sync()
    assert (again.added, again.removed, again.embedded) == ((), (), 0)
    assert name in {skipped.id for skipped in again.skipped}
    assert {path: path.read_bytes() for path in folder.rglob("*.md")} == before


def test_a_text_that_was_put_is_gone_with_its_title_and_metadata(
    corpus: Corpus, folder: Path
) -> None:
    title = "What the keeper of the brass lamps told me on the quay"
    note = "overheard in the tavern beside the customs house"
    corpus.put(
        "note", f"A rumour. {SECRET[:300]} {CHINESE[:90]}", title=title, metadata={"at": note}
    )
    assert "catalog.sqlite3" in holders(folder, title)
    (folder / "secret.md").unlink()
    (folder / "铜灯 [密].md").unlink()
    report = corpus.forget("note", "secret.md", "铜灯 [密].md")
    assert report.found == ()
    for text in (title, note, SECRET, CHINESE):
        assert holders(folder, text) == set()
    assert rows(folder)["documents"] == 1


def test_what_vanished_earlier_is_forgotten_too(corpus: Corpus, folder: Path) -> None:
    (folder / "secret.md").unlink()
    corpus.put("note", f"{CHINESE[:200]}")
    corpus.remove("note")
    report = corpus.sync()
    assert report.removed == ("secret.md",)
    assert report.unused_vectors == corpus.status().unused_vectors > 0
    report_of_both = corpus.forget("secret.md", "note")
    assert report_of_both.unknown == ("secret.md", "note")
    assert report_of_both.vectors == report.unused_vectors
    assert report_of_both.runs == 0
    assert holders(folder, SECRET) == set()
    assert corpus.status().unused_vectors == 0
    with pytest.raises(ValueError, match="none of this name was removed"):
        corpus.forget("secret.md")


class Other(HashingEmbedder):
    name = "other"


def stop_at_the_end(progress: Progress) -> None:
    if progress.stage == "indexing":
        raise KeyboardInterrupt


def test_an_index_that_is_being_made_for_another_embedder_is_dropped_with_the_text(
    corpus: Corpus, folder: Path
) -> None:
    with pytest.raises(KeyboardInterrupt):
        corpus.reembed(Other(), progress=stop_at_the_end)
    assert "next" in holders(folder, SECRET)
    (folder / "secret.md").unlink()
    report = corpus.forget("secret.md")
    assert report.reembedding == "other"
    assert report.found == ()
    assert holders(folder, SECRET) == set()
    assert corpus.status().reembedding is None


def test_a_name_that_never_was_is_refused_with_the_nearest(corpus: Corpus) -> None:
    with pytest.raises(ValueError, match=r"'secrets.md'.*the nearest is 'secret.md'"):
        corpus.forget("secrets.md", ignore=True)
    with pytest.raises(ValueError, match="needs the ids"):
        corpus.forget()
    assert len(corpus.documents()) == 3


def test_readers_of_the_old_files_see_the_new_state(corpus: Corpus, folder: Path) -> None:
    with opened(folder) as reader:
        for by in BYS:
            assert "secret.md" in {
                hit.chunk.document_id for hit in reader.search("keeper sold lamp", by=by)
            }
        (folder / "secret.md").unlink()
        corpus.forget("secret.md")
        for by in BYS:
            hits = reader.search("keeper sold lamp", k=50, by=by)
            assert hits == corpus.search("keeper sold lamp", k=50, by=by)
            assert "secret.md" not in {hit.chunk.document_id for hit in hits}


def test_a_file_that_rag_has_not_written_is_named(corpus: Corpus, folder: Path) -> None:
    (folder / "secret.md").unlink()
    (folder / ".rag" / "backup.txt").write_text(SECRET, encoding="utf-8")
    assert corpus.forget("secret.md").found == ("backup.txt",)
    (folder / ".rag" / "backup.txt").unlink()
    assert corpus.forget("secret.md").found == ()


FORGET_AND_DIE = """
import os, sys
from pathlib import Path
from tests.test_forgetting import opened
left = int(sys.argv[2])
events = {"open", "os.mkdir", "os.remove", "os.rmdir", "subprocess.Popen", "sqlite3.connect"}
def watch(event, arguments):
    global left
    if event in events and ".rag" in str(arguments[0]) or event == "subprocess.Popen":
        left -= 1
        if not left:
            os._exit(9)
with opened(Path(sys.argv[1])) as corpus:
    import chromadb
    sys.addaudithook(watch)
    corpus.forget("secret.md", ignore=True)
print(int(sys.argv[2]) - left)
"""


@pytest.mark.slow
def test_a_forget_that_dies_anywhere_leaves_what_answers_and_ends_when_repeated(
    folder: Path, tmp_path: Path
) -> None:
    """At one of fifteen moments at which a file of the index is opened, made or deleted."""
    with opened(folder) as corpus:
        corpus.sync()
    whole = shutil.copytree(folder, tmp_path / "whole")
    total = int(output(start(FORGET_AND_DIE, folder, 1_000_000)))
    assert total > 30
    for stop in range(1, total + 1, total // 15):
        shutil.rmtree(folder)
        shutil.copytree(whole, folder)
        child = start(FORGET_AND_DIE, folder, stop)
        child.communicate(timeout=120)
        assert child.returncode == 9
        with opened(folder) as corpus:
            present = "secret.md" in {summary.id for summary in corpus.documents()}
            for by in BYS:
                hits = corpus.search("keeper sold lamp stranger", k=100, by=by)
                assert hits
                assert present or "secret.md" not in {hit.chunk.document_id for hit in hits}
            corpus.sync()
            assert corpus.forget("secret.md", ignore=True).found == ()
            assert corpus.status().findings == ()
        assert holders(folder, SECRET) == set()
        assert (folder / ".ragignore").read_text("utf-8").splitlines()[:1] == ["/secret.md"]
