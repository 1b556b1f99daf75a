"""A folder that can be asked, from the first sync to the answer."""

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from rag.corpus import Corpus
from rag.errors import (
    CorpusError,
    CorpusLocked,
    CorpusMismatch,
    CorpusNotFound,
    EmptyDocument,
    ProviderError,
    UnreadableDocument,
    WindowExceeded,
)
from rag.settings import settings_from
from rag.testing import HashingEmbedder, ScriptedModel
from rag.tokens import count_tokens
from rag.types import By, Matrix, Progress
from tests.documents.make_pdf import make_pdf
from tests.unprivileged import run_unprivileged

HARBOUR = """# Harbour

## Pilots

The pilot must be on board two hours before the tide turns. A pilot boards every tanker at the \
fairway buoy.

## Kitchen

The cook keeps apples, flour and salt in the cellar. Bread is baked at four in the morning.
"""
COUNTY = """# 砚溪县志

## 茶

每年三月举行茶叶集市。雾芽产于云脚乡。

## 水

石门坎水库建于1958年。
"""


class CountingEmbedder(HashingEmbedder):
    """Remembers what it was asked to embed."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def embed_documents(self, texts: Sequence[str]) -> Matrix:
        self.texts += texts
        return super().embed_documents(texts)


class FailingEmbedder(HashingEmbedder):
    """Fails for texts with a word in them."""

    def __init__(self, word: str, status: int | None) -> None:
        self.word, self.status, self.calls = word, status, 0

    def embed_documents(self, texts: Sequence[str]) -> Matrix:
        self.calls += 1
        if any(self.word in text for text in texts):
            message = "the server is down"
            raise ProviderError(message, provider="test", status=self.status, retryable=True)
        return super().embed_documents(texts)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "corpus"
    write(folder, "harbour.md", HARBOUR)
    write(folder, "县志/砚溪.md", COUNTY)
    return folder


def write(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8", newline="")
    return path


def a_corpus(folder: Path, **changes: object) -> Corpus:
    return Corpus.open(folder, **{"embedder": HashingEmbedder(), **changes})  # type: ignore[arg-type]


@pytest.fixture
def corpus(folder: Path) -> Iterator[Corpus]:
    with a_corpus(folder) as corpus:
        corpus.sync()
        yield corpus


def found(corpus: Corpus, query: str, by: By = "fused") -> list[str]:
    return [hit.chunk.document_id for hit in corpus.search(query, by=by)]


# ---- opening ----------------------------------------------------------------------------


def test_a_folder_that_does_not_exist_cannot_be_opened(tmp_path: Path) -> None:
    with pytest.raises(CorpusNotFound, match="no folder"):
        Corpus.open(tmp_path / "nowhere")


def test_a_corpus_that_was_never_synced_says_sync_first(folder: Path) -> None:
    with a_corpus(folder) as corpus, pytest.raises(CorpusNotFound, match="sync first"):
        corpus.search("pilot")
    assert not (folder / ".rag").exists()


def test_an_empty_corpus_that_was_synced_finds_nothing(tmp_path: Path) -> None:
    with a_corpus(tmp_path) as corpus:
        corpus.sync()
        assert corpus.search("pilot") == []
        assert corpus.documents() == []
        assert corpus.ask("When does the pilot board?").refused


def test_an_index_in_fp32_is_opened_in_fp32_where_the_settings_do_not_say(folder: Path) -> None:
    def opened(**embeddings: str) -> Corpus:
        return Corpus.open(folder, settings=settings_from({"embeddings": embeddings}))

    with opened(precision="fp32") as corpus:
        corpus.sync()
    for embeddings in ({}, {"model": "all-MiniLM-L6-v2"}):
        with opened(**embeddings) as corpus:
            assert corpus.embedder.revision == "53aa51172d142c89"
            assert corpus.search("the pilot", k=1, by="dense")
    with (
        opened(precision="int8") as corpus,
        pytest.raises(CorpusMismatch, match="53aa51172d142c89-int8-1"),
    ):
        corpus.search("the pilot")


def test_an_index_of_another_embedder_is_not_opened(corpus: Corpus, folder: Path) -> None:
    class Other(HashingEmbedder):
        name = "other"

    with pytest.raises(CorpusMismatch, match="hashing") as raised:
        a_corpus(folder, embedder=Other())
    assert (raised.value.expected, raised.value.found) == ("other", "hashing")


def test_an_index_with_another_chunk_size_is_not_opened(corpus: Corpus, folder: Path) -> None:
    with pytest.raises(CorpusMismatch, match="chunk size"):
        a_corpus(folder, settings=settings_from({"documents": {"chunk_size": 50}}))


def test_an_index_from_another_version_is_not_opened(corpus: Corpus, folder: Path) -> None:
    corpus.close()
    connection = sqlite3.connect(folder / ".rag" / "catalog.sqlite3")
    connection.execute("UPDATE meta SET value = '0' WHERE key = 'format'")
    connection.commit()
    connection.close()
    with pytest.raises(CorpusMismatch, match="another version"):
        a_corpus(folder)


# ---- sync -------------------------------------------------------------------------------


def test_a_sync_reports_every_file_by_what_became_of_it(folder: Path) -> None:
    write(folder, "notes.png", "no picture")
    with a_corpus(folder) as corpus:
        first = corpus.sync()
        assert first.added == ("harbour.md", "县志/砚溪.md")
        assert [(skipped.id, skipped.reason) for skipped in first.skipped] == [
            ("notes.png", "no reader for this kind (.png)")
        ]
        assert first.embedded == corpus.status().chunks > 2
        write(folder, "harbour.md", HARBOUR.replace("four", "five"))
        (folder / "县志/砚溪.md").rename(folder / "yanxi.md")
        write(folder, "new.txt", "The lighthouse was lit in 1871.")
        second = corpus.sync()
        assert second.added == ("new.txt",)
        assert second.updated == ("harbour.md",)
        assert second.moved == (("县志/砚溪.md", "yanxi.md"),)
        assert second.embedded == 2
        (folder / "new.txt").unlink()
        third = corpus.sync()
        assert third.removed == ("new.txt",)
        assert third.unchanged == ("harbour.md", "yanxi.md")
        assert third.embedded == 0
        assert {summary.id for summary in corpus.documents()} == {"harbour.md", "yanxi.md"}


def test_an_unchanged_folder_embeds_nothing_and_changes_nothing(folder: Path) -> None:
    embedder = CountingEmbedder()
    with a_corpus(folder, embedder=embedder) as corpus:
        corpus.sync()
        before, generation = len(embedder.texts), corpus.status().generation
        hits = corpus.search("pilot")
        os.utime(folder / "harbour.md")
        report = corpus.sync()
        assert report.unchanged == ("harbour.md", "县志/砚溪.md")
        assert len(embedder.texts) == before
        assert corpus.status().generation == generation
        assert corpus.search("pilot") == hits


def test_a_moved_file_keeps_its_vectors(folder: Path) -> None:
    embedder = CountingEmbedder()
    with a_corpus(folder, embedder=embedder) as corpus:
        corpus.sync()
        embedder.texts.clear()
        (folder / "harbour.md").rename(folder / "port.md")
        assert corpus.sync().moved == (("harbour.md", "port.md"),)
        assert embedder.texts == []
        assert "port.md" in found(corpus, "pilot on board")
        assert "harbour.md" not in found(corpus, "pilot on board")


def test_only_the_changed_chunks_of_a_book_are_embedded_again(tmp_path: Path) -> None:
    paragraphs = [
        f"On day {day} the keeper of light {day % 7} noted {day * 13} ships, a wind of {day % 9} "
        f"and a swell of {day % 5} metres. Nothing else was to be seen from tower {day % 11}."
        for day in range(600)
    ]
    write(tmp_path, "log.txt", "\n\n".join(paragraphs))
    embedder = CountingEmbedder()
    with a_corpus(tmp_path, embedder=embedder) as corpus:
        corpus.sync()
        chunks = corpus.status().chunks
        assert chunks > 50
        embedder.texts.clear()
        paragraphs.insert(3, "A paragraph that nobody expected was written by the new keeper.")
        write(tmp_path, "log.txt", "\n\n".join(paragraphs))
        corpus.sync()
        assert 1 <= len(embedder.texts) <= 8


def test_a_dry_run_says_what_would_be_done_and_does_nothing(folder: Path) -> None:
    with a_corpus(folder) as corpus:
        assert corpus.sync(dry_run=True).added == ("harbour.md", "县志/砚溪.md")
        assert not (folder / ".rag").exists()
        corpus.sync()
        (folder / "harbour.md").unlink()
        write(folder, "new.txt", "A lighthouse.")
        report = corpus.sync(dry_run=True)
        assert (report.added, report.removed) == (("new.txt",), ("harbour.md",))
        assert "harbour.md" in found(corpus, "pilot")


def test_progress_runs_from_nothing_to_all_bytes(folder: Path) -> None:
    seen: list[Progress] = []
    with a_corpus(folder) as corpus:
        corpus.sync(progress=seen.append)
    total = sum(path.stat().st_size for path in folder.rglob("*.md"))
    assert {step.total_bytes for step in seen} == {total}
    done = [step.done_bytes for step in seen]
    assert done == sorted(done)
    assert (done[0], done[-1]) == (0, total)
    assert {step.stage for step in seen} == {"reading", "embedding", "indexing"}


@pytest.mark.parametrize(
    ("name", "contents", "error", "words"),
    [
        ("empty.txt", b"", EmptyDocument, "empty"),
        ("blank.md", b" \n\t\n", EmptyDocument, ""),
        ("noise.txt", bytes(range(1, 256)) * 8, UnreadableDocument, ""),
        ("broken.pdf", b"%PDF-1.7\nnothing more", UnreadableDocument, ""),
        ("broken.docx", b"PK\x03\x04 nothing more", UnreadableDocument, ""),
    ],
)
def test_a_file_that_cannot_be_read_fails_alone(
    folder: Path, name: str, contents: bytes, error: type[Exception], words: str
) -> None:
    (folder / name).write_bytes(contents)
    with a_corpus(folder) as corpus:
        report = corpus.sync()
        assert report.added == ("harbour.md", "县志/砚溪.md")
        assert [(id_, type(failure)) for id_, failure in report.failed] == [(name, error)]
        assert words in str(report.failed[0].error)
        assert found(corpus, "pilot")[0] == "harbour.md"


def test_a_file_that_becomes_unreadable_goes_on_answering_with_its_old_version(
    corpus: Corpus, folder: Path
) -> None:
    (folder / "harbour.md").write_bytes(bytes(range(1, 256)) * 8)
    report = corpus.sync()
    assert [failure.id for failure in report.failed] == ["harbour.md"]
    assert (report.updated, report.removed) == ((), ())
    assert found(corpus, "pilot")[0] == "harbour.md"


def test_a_file_larger_than_the_limit_is_refused_with_the_limit_named(folder: Path) -> None:
    with (folder / "huge.txt").open("wb") as file:
        file.truncate(200_000_000)
    with a_corpus(folder) as corpus:
        report = corpus.sync()
    assert [failure.id for failure in report.failed] == ["huge.txt"]
    assert "documents.max_bytes" in str(report.failed[0].error)


def test_a_file_that_crashes_its_reader_fails_alone_and_its_old_version_answers(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "a.pdf").write_bytes(make_pdf([("The lamp is lit at dusk.",)]))
    with a_corpus(folder) as corpus:
        corpus.sync()
        (tmp_path / "pypdfium2.py").write_text("import ctypes; ctypes.string_at(0)")
        monkeypatch.syspath_prepend(tmp_path)
        (folder / "a.pdf").write_bytes(make_pdf([("The lamp is lit at dawn.",)]))
        write(folder, "b.html", "<p>The tug waits.</p>")
        report = corpus.sync()
        assert report.added == ("b.html",)
        assert [(id_, type(error)) for id_, error in report.failed] == [
            ("a.pdf", UnreadableDocument)
        ]
        assert found(corpus, "lamp")[0] == "a.pdf"
        assert found(corpus, "tug waits")[0] == "b.html"


def test_a_file_that_takes_longer_than_the_settings_allow_fails(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "pypdfium2.py").write_text("while True: pass")
    monkeypatch.syspath_prepend(tmp_path)
    (folder / "a.pdf").write_bytes(make_pdf([("The lamp is lit at dusk.",)]))
    settings = settings_from({"documents": {"read_timeout_s": 1}})
    with a_corpus(folder, settings=settings) as corpus:
        report = corpus.sync()
    assert [id_ for id_, _ in report.failed] == ["a.pdf"]
    assert "not read within 1 seconds" in str(report.failed[0].error)
    assert len(report.added) == 2


def test_a_file_that_vanishes_during_a_sync_fails_alone(folder: Path) -> None:
    def take_away(_: Progress) -> None:
        (folder / "县志/砚溪.md").unlink(missing_ok=True)

    with a_corpus(folder) as corpus:
        report = corpus.sync(progress=take_away)
        assert report.added == ("harbour.md",)
        assert [failure.id for failure in report.failed] == ["县志/砚溪.md"]
        assert corpus.sync().failed == ()


def test_a_page_without_text_is_told_when_its_file_is_read(folder: Path) -> None:
    (folder / "lease.pdf").write_bytes(make_pdf([["The rent is 40 crowns."], []]))
    with a_corpus(folder) as corpus:
        report = corpus.sync()
        assert "lease.pdf" in report.added
        (part,) = report.incomplete
        assert part.id == "lease.pdf"
        assert part.reason.startswith("no text on page 2; if it was scanned, run OCR")
        assert corpus.sync().incomplete == ()


def test_a_link_that_leaves_the_corpus_is_reported_and_not_read(
    folder: Path, tmp_path: Path
) -> None:
    secret = write(tmp_path, "outside.md", "The password is swordfish.")
    (folder / "link.md").symlink_to(secret)
    with a_corpus(folder) as corpus:
        report = corpus.sync()
        assert [skipped.id for skipped in report.skipped] == ["link.md"]
        assert "leaves the corpus" in report.skipped[0].reason
        assert corpus.search("swordfish", by="lexical") == []


def test_special_tokens_in_a_file_are_text(folder: Path) -> None:
    write(folder, "tokens.txt", "The marker <|endoftext|> ends a training text. <|im_start|>")
    with a_corpus(folder) as corpus:
        assert corpus.sync().failed == ()
        context = corpus.context("training text marker", budget=500)
        assert "<|endoftext|>" in context.text


def test_a_folder_that_cannot_be_opened_loses_no_document(folder: Path) -> None:
    with a_corpus(folder) as corpus:
        corpus.sync()
    (folder / "县志").chmod(0)
    printed = run_unprivileged(
        "import sys; from rag.corpus import Corpus; from rag.testing import HashingEmbedder\n"
        "with Corpus.open(sys.argv[1], embedder=HashingEmbedder()) as corpus:\n"
        "    report = corpus.sync()\n"
        "    print([f.id for f in report.failed], report.removed, len(corpus.documents()))",
        folder,
    )
    (folder / "县志").chmod(0o755)
    assert printed.strip() == "['县志/'] () 2"


def test_a_file_without_permission_fails_alone(folder: Path) -> None:
    (folder / "harbour.md").chmod(0)
    printed = run_unprivileged(
        "import sys; from rag.corpus import Corpus; from rag.testing import HashingEmbedder\n"
        "with Corpus.open(sys.argv[1], embedder=HashingEmbedder()) as corpus:\n"
        "    report = corpus.sync()\n"
        "    print(report.added, [f.id for f in report.failed], report.failed[0].error)",
        folder,
    )
    assert printed.startswith("('县志/砚溪.md',) ['harbour.md']")
    assert "ermission" in printed


def test_in_a_read_only_folder_search_answers_and_sync_says_what_is_wrong(folder: Path) -> None:
    with a_corpus(folder) as corpus:
        corpus.sync()
    for path in (folder / ".rag", folder):
        path.chmod(0o555)
    for path in (folder / ".rag").rglob("*"):
        path.chmod(0o555 if path.is_dir() else 0o444)
    printed = run_unprivileged(
        "import sys; from rag.corpus import Corpus; from rag.testing import HashingEmbedder\n"
        "from rag.errors import CorpusError\n"
        "with Corpus.open(sys.argv[1], embedder=HashingEmbedder()) as corpus:\n"
        "    print([hit.chunk.document_id for hit in corpus.search('pilot tide', k=1)])\n"
        "    try:\n"
        "        corpus.sync()\n"
        "    except CorpusError as error:\n"
        "        print(error)\n"
        "    print([hit.chunk.document_id for hit in corpus.search('pilot tide', k=1)])",
        folder,
    )
    for path in (folder, folder / ".rag", *(folder / ".rag").rglob("*")):
        path.chmod(0o755)
    lines = printed.splitlines()
    assert lines[0] == lines[-1] == "['harbour.md']"
    assert "writ" in lines[1]


def test_a_second_writer_is_told_who_writes(folder: Path) -> None:
    with a_corpus(folder) as corpus:
        corpus.sync()
    program = textwrap.dedent("""
        import sys, time
        from pathlib import Path
        from rag.index.writer import writing
        with writing(Path(sys.argv[1]) / ".rag", facts={}):
            print("writing", flush=True)
            time.sleep(60)
    """)
    with subprocess.Popen(
        [sys.executable, "-c", program, folder], stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "writing\n"
        with a_corpus(folder) as corpus:
            with pytest.raises(CorpusLocked, match=str(other.pid)) as raised:
                corpus.sync()
            assert raised.value.pid == other.pid
            assert found(corpus, "pilot")[0] == "harbour.md"
            assert str(other.pid) in str(corpus.status().writer)
            other.send_signal(signal.SIGKILL)
            other.wait()
            assert corpus.sync().failed == ()
            assert corpus.status().writer is None


def test_a_sync_that_is_interrupted_leaves_a_corpus_that_answers_and_goes_on(
    tmp_path: Path,
) -> None:
    for berth in range(40):
        days = (f"On day {day} berth {berth} held {day + 3} barges of coal. " for day in range(160))
        write(tmp_path, f"{berth:02}.txt", "".join(days))
    embedder = CountingEmbedder()

    def interrupt(step: Progress) -> None:
        if step.embedded >= 100:
            raise KeyboardInterrupt

    with a_corpus(tmp_path, embedder=embedder) as corpus:
        with pytest.raises(KeyboardInterrupt):
            corpus.sync(progress=interrupt)
        kept = len(embedder.texts)
        corpus.search("barges of coal")
        report = corpus.sync()
        assert len(embedder.texts) == len(set(embedder.texts)), "a text was embedded twice"
        assert len(embedder.texts) > kept >= 100
        assert report.failed == ()
        assert len(corpus.documents()) == 40
        assert corpus.status().findings == ()


def test_a_server_that_is_down_fails_what_needs_it_and_is_not_asked_again(folder: Path) -> None:
    embedder = FailingEmbedder("barge", status=None)
    with a_corpus(folder, embedder=embedder) as corpus:
        corpus.sync()
        write(folder, "harbour.md", HARBOUR + "\n\nA barge was lost.\n")
        (folder / "县志/砚溪.md").rename(folder / "moved.md")
        calls = embedder.calls
        report = corpus.sync()
        assert [failure.id for failure in report.failed] == ["harbour.md"]
        assert isinstance(report.failed[0].error, ProviderError)
        assert report.moved == (("县志/砚溪.md", "moved.md"),)
        assert embedder.calls == calls + 1
        assert found(corpus, "pilot")[0] == "harbour.md"
        assert "barge" not in corpus.document("harbour.md").text
        embedder.word = "nothing"
        assert corpus.sync().updated == ("harbour.md",)


def test_a_text_that_a_server_refuses_fails_alone(folder: Path) -> None:
    write(folder, "barge.txt", "The barge.")
    embedder = FailingEmbedder("barge", status=400)
    with a_corpus(folder, embedder=embedder) as corpus:
        report = corpus.sync()
        assert [failure.id for failure in report.failed] == ["barge.txt"]
        assert report.added == ("harbour.md", "县志/砚溪.md")


# ---- put and remove ---------------------------------------------------------------------


def test_a_text_that_is_no_file_is_found_and_left_alone_by_sync(corpus: Corpus) -> None:
    corpus.put("memo-1", "The dredger works at night.", title="Memo", metadata={"year": 2024})
    assert found(corpus, "dredger")[0] == "memo-1"
    corpus.put("memo-1", "The dredger rests on Sundays.")
    assert corpus.document("memo-1").text == "The dredger rests on Sundays."
    assert corpus.sync().removed == ()
    corpus.remove("memo-1")
    assert "memo-1" not in found(corpus, "dredger")


def test_a_text_cannot_be_put_under_the_id_of_a_file(corpus: Corpus) -> None:
    with pytest.raises(ValueError, match="is a file"):
        corpus.put("harbour.md", "Something else.")
    with pytest.raises(ValueError, match="is a file"):
        corpus.remove("harbour.md")


def test_a_file_that_appears_under_the_id_of_a_text_fails(corpus: Corpus, folder: Path) -> None:
    corpus.put("memo.md", "The dredger works at night.")
    write(folder, "memo.md", "A file.")
    report = corpus.sync()
    assert [failure.id for failure in report.failed] == ["memo.md"]
    assert corpus.document("memo.md").text == "The dredger works at night."


def test_removing_an_unknown_text_names_the_nearest(corpus: Corpus) -> None:
    corpus.put("memo-1", "The dredger works at night.")
    with pytest.raises(ValueError, match="memo-1"):
        corpus.remove("memo-2")


@pytest.mark.parametrize(("id_", "text"), [("", "text"), ("memo", " \n")])
def test_nothing_empty_can_be_put(corpus: Corpus, id_: str, text: str) -> None:
    with pytest.raises(ValueError, match="not empty"):
        corpus.put(id_, text)


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"id": "memo \ud800"}, ValueError),
        ({"text": "half a \ud83d character"}, ValueError),
        ({"title": "\udc00"}, ValueError),
        ({"metadata": {"\udc00": 1}}, ValueError),
        ({"metadata": {"name": "\udc00"}}, ValueError),
        ({"metadata": {"weight": float("nan")}}, ValueError),
        ({"metadata": {"weight": float("inf")}}, ValueError),
        ({"metadata": {"tags": ["a", "b"]}}, TypeError),
        ({"metadata": {"year": None}}, TypeError),
    ],
)
def test_what_could_not_be_searched_for_cannot_be_put(
    folder: Path, changes: dict[str, object], error: type[Exception]
) -> None:
    embedder = CountingEmbedder()
    given: dict[str, Any] = {"id": "memo", "text": "The dredger works at night.", **changes}
    with a_corpus(folder, embedder=embedder) as corpus, pytest.raises(error):
        corpus.put(**given)
    assert embedder.texts == []
    assert not (folder / ".rag").exists()


def test_an_id_may_be_longer_than_a_files_name(corpus: Corpus) -> None:
    address = "https://harbour.example/" + "memo/" * 60
    corpus.put(address, "The dredger works at night.", metadata={"日期": "2024", "pages": 3})
    assert found(corpus, "dredger")[0] == address
    corpus.remove(address)
    assert "dredger" not in str(corpus.search("dredger"))


def test_a_text_that_cannot_be_embedded_leaves_its_older_version(folder: Path) -> None:
    with a_corpus(folder, embedder=FailingEmbedder("barge", status=500)) as corpus:
        corpus.put("memo", "The dredger works at night.")
        with pytest.raises(ProviderError, match="the server is down"):
            corpus.put("memo", "The barge works at night.")
        assert corpus.document("memo").text == "The dredger works at night."
        with pytest.raises(ValueError, match="there is no document 'note'"):
            corpus.remove("note")


def test_a_text_cannot_take_the_id_of_a_file_that_is_gone_but_still_indexed(
    corpus: Corpus, folder: Path
) -> None:
    (folder / "harbour.md").unlink()
    with pytest.raises(ValueError, match="was a file of the corpus; sync first"):
        corpus.put("harbour.md", "Something else.")
    corpus.sync()
    corpus.put("harbour.md", "Something else.")
    assert corpus.document("harbour.md").text == "Something else."


# ---- search -----------------------------------------------------------------------------


@pytest.mark.parametrize("by", ["fused", "dense", "lexical"])
@pytest.mark.parametrize(
    ("query", "expected"),
    [("pilot on board before the tide", "harbour.md"), ("茶叶集市", "县志/砚溪.md")],
)
def test_every_way_finds_the_document(corpus: Corpus, by: By, query: str, expected: str) -> None:
    hit = corpus.search(query, k=1, by=by)[0]
    assert hit.chunk.document_id == expected
    assert corpus.document(expected).text[hit.chunk.start : hit.chunk.end] == hit.chunk.text


@pytest.mark.parametrize("by", ["fused", "dense", "lexical"])
def test_a_larger_k_only_appends(corpus: Corpus, by: By) -> None:
    whole = corpus.search("the pilot and the cook at four 水库", k=50, by=by)
    for k in range(1, len(whole) + 2):
        assert corpus.search("the pilot and the cook at four 水库", k=k, by=by) == whole[:k]


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ({"document_id": "harbour.md"}, {"harbour.md"}),
        ({"document_id": ["harbour.md", "县志/砚溪.md"]}, {"harbour.md", "县志/砚溪.md"}),
        ({"folder": "县志"}, {"县志/砚溪.md"}),
        ({"suffix": [".txt", ".pdf"]}, set()),
        ({"title": "Harbour"}, {"harbour.md"}),
        ({"metadata.year": 2024}, {"memo"}),
        ({"metadata.year": [2023, 2024], "title": "memo"}, {"memo"}),
        ({"metadata.year": 1999}, set()),
        ({"folder": "县志", "suffix": ".txt"}, set()),
        ({"document_id": []}, set()),
    ],
)
@pytest.mark.parametrize("by", ["fused", "dense", "lexical"])
def test_a_filter_leaves_the_documents_that_match_all_fields(
    corpus: Corpus, by: By, where: dict[str, object], expected: set[str]
) -> None:
    corpus.put("memo", "pilot 水库 memo", metadata={"year": 2024})
    hits = corpus.search("pilot 水库", where=where, by=by)  # type: ignore[arg-type]
    assert {hit.chunk.document_id for hit in hits} == expected


def test_an_unknown_field_of_a_filter_names_the_nearest(corpus: Corpus) -> None:
    with pytest.raises(ValueError, match="suffix"):
        corpus.search("pilot", where={"sufix": ".md"})


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda c: c.search(""), "empty"),
        (lambda c: c.search(" \n"), "empty"),
        (lambda c: c.ask(""), "empty"),
        (lambda c: c.search("pilot", k=0), "k must be"),
        (lambda c: c.search("pilot", by="magic"), "by must be"),
        (lambda c: c.context("pilot", budget=0), "budget must be"),
        (lambda c: c.document("harbor.md"), "harbour.md"),
    ],
)
def test_the_callers_mistakes_are_named(
    corpus: Corpus, call: Callable[[Corpus], object], words: str
) -> None:
    with pytest.raises(ValueError, match=words):
        call(corpus)


def test_a_question_longer_than_the_embedder_reads_is_searched_whole(corpus: Corpus) -> None:
    long = "A berth, a crane and a rope lay there. " * 200 + "When is the bread baked?"
    assert corpus.embedder.count(long) > corpus.embedder.max_tokens
    assert len(corpus.search(long, k=3)) == 3
    assert "bread" in corpus.search(long, k=1, by="lexical")[0].chunk.text.lower()


def test_an_open_reader_lists_the_index_that_took_the_place_of_another(
    corpus: Corpus, folder: Path
) -> None:
    assert len(corpus.documents()) == 2
    shutil.rmtree(folder / ".rag")
    (folder / "harbour.md").write_text("A new text.", encoding="utf-8")
    with a_corpus(folder) as other:
        other.put("memo", "The dredger works at night.")
    assert [summary.id for summary in corpus.documents()] == ["memo"]
    with pytest.raises(ValueError, match=r"no document 'harbour\.md'; the nearest is 'memo'"):
        corpus.document("harbour.md")


def test_an_open_reader_sees_what_another_has_synced(corpus: Corpus, folder: Path) -> None:
    assert "new.txt" not in found(corpus, "lighthouse")
    write(folder, "new.txt", "The lighthouse was lit in 1871.")
    with a_corpus(folder) as other:
        other.sync()
    assert found(corpus, "lighthouse")[0] == "new.txt"
    (folder / "new.txt").unlink()
    with a_corpus(folder) as other:
        other.sync()
    assert "new.txt" not in found(corpus, "lighthouse")


# ---- context and answer -----------------------------------------------------------------


@pytest.mark.parametrize("budget", [1, 20, 60, 200, 2000])
def test_a_context_fits_its_budget_and_holds_exact_slices(corpus: Corpus, budget: int) -> None:
    context = corpus.context("When must the pilot be on board?", budget=budget)
    assert context.tokens == count_tokens(context.text) <= budget
    for passage in context.passages:
        text = corpus.document(passage.document_id).text
        assert text[passage.start : passage.end] == passage.text
        assert passage.text in context.text
    if not context.passages:
        assert context.dropped


def test_without_a_model_the_answer_is_quoted_and_cited(corpus: Corpus) -> None:
    answer = corpus.ask("When must the pilot be on board?")
    assert not answer.refused
    assert answer.citations[0].quote == (
        "The pilot must be on board two hours before the tide turns."
    )
    assert (answer.rejected, answer.unknown_markers) == ((), ())


def test_a_chinese_question_is_answered_from_a_chinese_text(corpus: Corpus) -> None:
    answer = corpus.ask("茶叶集市什么时候举行？")
    citation = answer.citations[0]
    assert citation.quote == "每年三月举行茶叶集市。"
    text = corpus.document(citation.document_id).text
    assert text[citation.start : citation.end] == citation.quote


def test_a_question_that_nothing_fits_is_refused(corpus: Corpus) -> None:
    answer = corpus.ask("Who painted the ceiling of the Sistine Chapel?")
    assert answer.refused
    assert answer.citations == ()


def test_a_chat_model_is_shown_the_context_and_its_quotes_are_checked(folder: Path) -> None:
    reply = (
        "“The pilot must be on board two hours before the tide turns.” [1] "
        "“Bread is baked at five in the morning.” [1] See also [7]."
    )
    model = ScriptedModel([reply])
    with a_corpus(folder, model=model) as corpus:
        corpus.sync()
        answer = corpus.ask("When must the pilot be on board?")
    assert answer.context.text in model.prompts[0][-1].content
    assert [citation.quote for citation in answer.citations] == [
        "The pilot must be on board two hours before the tide turns."
    ]
    assert [rejection.quote for rejection in answer.rejected] == [
        "Bread is baked at five in the morning."
    ]
    assert answer.unknown_markers == (7,)
    assert answer.model == "scripted"
    assert answer.usage.calls == 1


def test_a_stream_gives_the_pieces_and_then_the_checked_answer(folder: Path) -> None:
    reply = "“The pilot must be on board two hours before the tide turns.” [1]"
    with a_corpus(folder, model=ScriptedModel([reply])) as corpus:
        corpus.sync()
        stream = corpus.stream("When must the pilot be on board?")
        pieces = list(stream)
        assert len(pieces) > 1
        assert "".join(pieces) == stream.answer.text == reply
        assert stream.answer.citations[0].by == "model"


def test_the_prompt_fits_the_models_window(folder: Path) -> None:
    class Small(ScriptedModel):
        window = 1800

    model = Small(["The passages do not say."])
    write(folder, "long.txt", "\n\n".join(f"The pilot saw ship {n} pass." for n in range(2000)))
    with a_corpus(folder, model=model) as corpus:
        corpus.sync()
        answer = corpus.ask("What did the pilot see pass?", budget=100_000)
    prompt = sum(count_tokens(message.content) for message in model.prompts[0])
    assert prompt + corpus.settings.synthesis.reply_tokens <= 1800
    assert answer.context.passages
    assert answer.context.dropped


def test_a_question_that_leaves_no_room_in_the_window_is_refused_with_the_numbers(
    folder: Path,
) -> None:
    with a_corpus(folder, model=ScriptedModel([])) as corpus:
        corpus.sync()
        with pytest.raises(WindowExceeded) as raised:
            corpus.ask("Why does the pilot board there? " * 2000)
    assert raised.value.needed > raised.value.window == 8192


def test_an_answerer_of_the_callers_own_is_used(corpus: Corpus, folder: Path) -> None:
    class Shouting:
        name = "shouting"

        def answer(self, question: str, _: object) -> object:
            return ScriptedModel([question.upper()]).stream([])

    with a_corpus(folder, model=Shouting()) as other:
        assert other.ask("pilot?").text == "PILOT?"


def test_the_status_tells_what_is_there(corpus: Corpus, folder: Path) -> None:
    status = corpus.status()
    assert status.path == folder.resolve()
    assert status.documents == 2
    assert status.chunks == sum(summary.chunks for summary in corpus.documents())
    assert status.embedder == "hashing"
    assert status.synced_at is not None
    assert dict(status.size_bytes)["catalog"] > 0
    assert status.findings == ()


def test_a_damaged_catalog_says_what_to_do(folder: Path) -> None:
    with a_corpus(folder) as corpus:
        corpus.sync()
    catalog = folder / ".rag" / "catalog.sqlite3"
    catalog.write_bytes(catalog.read_bytes()[:5000])
    with pytest.raises(CorpusError, match="sync again"):
        a_corpus(folder).search("pilot")


# ---- the same documents, indexed otherwise ------------------------------------------------------


def test_the_chunks_of_a_document_come_in_its_order_and_an_unknown_id_names_the_nearest(
    corpus: Corpus,
) -> None:
    text = corpus.document("harbour.md").text
    chunks = corpus.chunks("harbour.md")
    assert [text[chunk.start : chunk.end] for chunk in chunks] == [chunk.text for chunk in chunks]
    assert [chunk.start for chunk in chunks] == sorted(chunk.start for chunk in chunks)
    assert {chunk.document_id for chunk in chunks} == {"harbour.md"}
    assert len(chunks) >= 2
    with pytest.raises(ValueError, match=r"the nearest is 'harbour\.md'"):
        corpus.chunks("harbor.md")


def test_a_corpus_is_rebuilt_elsewhere_and_stays_as_it_is(folder: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    with a_corpus(folder) as corpus:
        corpus.sync()
        corpus.put("note", "The tug is ordered by radio.")
        before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
        small = settings_from({"documents": {"chunk_size": 16}})
        with corpus.rebuild(elsewhere, settings=small) as other:
            assert [d.id for d in other.documents()] == [d.id for d in corpus.documents()]
            assert other.document("harbour.md") == corpus.document("harbour.md")
            assert other.status().chunks > corpus.status().chunks
            assert max(chunk.tokens for chunk in other.chunks("harbour.md")) <= 16
            assert found(other, "ordered by radio")[0] == "note"
    after = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert after == before


def test_rebuilt_under_the_same_settings_nothing_is_embedded_and_all_is_found_alike(
    folder: Path, tmp_path: Path
) -> None:
    embedder = CountingEmbedder()
    with a_corpus(folder, embedder=embedder) as corpus:
        corpus.sync()
        embedder.texts.clear()
        elsewhere = tmp_path / "elsewhere"
        elsewhere.mkdir()
        with corpus.rebuild(elsewhere, settings=corpus.settings) as other:
            for query in ("pilot on board", "茶叶集市"):
                assert other.search(query) == corpus.search(query)
    assert embedder.texts == []


def test_a_corpus_that_was_never_synced_cannot_be_rebuilt(folder: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    with a_corpus(folder) as corpus, pytest.raises(CorpusNotFound, match="sync first"):
        corpus.rebuild(elsewhere, settings=corpus.settings)


def test_a_text_that_cannot_be_embedded_fails_the_rebuilding(folder: Path, tmp_path: Path) -> None:
    embedder = FailingEmbedder("\0", status=None)
    with a_corpus(folder, embedder=embedder) as corpus:
        corpus.sync()
        embedder.word = "pilot"
        elsewhere = tmp_path / "elsewhere"
        elsewhere.mkdir()
        small = settings_from({"documents": {"chunk_size": 16}})
        with pytest.raises(ProviderError, match="the server is down"):
            corpus.rebuild(elsewhere, settings=small)
