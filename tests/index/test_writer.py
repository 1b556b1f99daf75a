"""What a writer leaves: the same index whatever its history, and after a death at any step."""

import os
import shutil
import signal
import textwrap
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rag.errors import CorpusError, CorpusLocked, CorpusMismatch
from rag.index import copies
from rag.index.catalog import Record
from rag.index.writer import writing
from rag.testing import CHUNKS
from rag.types import Chunk
from tests.index.samples import (
    CHROMA,
    SAMPLES,
    SCAN,
    a_record,
    add_vectors,
    opened,
    output,
    pairs,
    read_only,
    start,
    texts,
    write,
)

QUERIES = ("the pilot boards", "bread in the morning", "茶叶集市", "salt and tide", "at six")
BAKERY = a_record("bakery.md", "Bread is sold at six.", "Rolls cost less.")


def answers(folder: Path) -> list[list[tuple[str, float]]]:
    """Ask everything both ways, which must agree."""
    with opened(folder, exact_up_to=SCAN) as scanning, opened(folder, exact_up_to=CHROMA) as asking:
        dense = [pairs(scanning.dense(query, 20)) for query in QUERIES]
        assert [pairs(asking.dense(query, 3)) for query in QUERIES] == [d[:3] for d in dense]
        return dense + [pairs(scanning.lexical(query, 20)) for query in QUERIES]


def folders(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.is_dir())


def findings(folder: Path) -> list[str]:
    with opened(folder) as store:
        return store.findings()


# ---- the same index, whatever its history -----------------------------------------------


def test_an_index_that_grew_and_shrank_answers_as_one_that_was_made_at_once(
    tmp_path: Path,
) -> None:
    grown, fresh = tmp_path / "grown", tmp_path / "fresh"
    write(grown, *SAMPLES)
    write(grown, a_record("attic.md", "Bread at the tide.", "The pilot boards bread."))
    write(grown, BAKERY, removed=["attic.md"])
    write(grown, a_record("pilots.md", "The pilot boards at six.", "No salt."))
    write(
        fresh, BAKERY, *SAMPLES[1:], a_record("pilots.md", "The pilot boards at six.", "No salt.")
    )
    assert answers(grown) == answers(fresh)


def test_an_index_that_only_grew_answers_as_one_that_was_made_at_once(tmp_path: Path) -> None:
    grown, fresh = tmp_path / "grown", tmp_path / "fresh"
    for record in SAMPLES:
        write(grown, record)
    write(fresh, *SAMPLES)
    assert answers(grown) == answers(fresh)
    assert folders(grown) == ["chroma-0001", "terms-0001"]


SENTENCES = ("The pilot boards.", "Bread and salt.", "茶叶集市。", "The tide at six.")
HISTORIES = st.lists(
    st.tuples(st.sampled_from("ab"), st.lists(st.sampled_from(SENTENCES), max_size=3)),
    min_size=1,
    max_size=5,
)


@pytest.mark.slow
@settings(max_examples=40)
@given(HISTORIES)
def test_any_history_gives_the_index_of_its_end(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, list[str]]]
) -> None:
    root = tmp_path_factory.mktemp("history")
    end: dict[str, Record] = {}
    for name, sentences in steps:
        if sentences:
            end[name] = a_record(name, *sentences)
            write(root / "grown", end[name])
        else:
            write(root / "grown", removed=[name])
            end.pop(name, None)
    write(root / "fresh", *end.values())
    assert answers(root / "grown") == answers(root / "fresh")
    assert findings(root / "grown") == []


def test_terms_are_added_to_and_built_anew_only_when_chunks_have_gone(folder: Path) -> None:
    write(folder, BAKERY)
    assert folders(folder) == ["chroma-0001", "terms-0001"]
    write(folder, removed=["bakery.md"])
    assert folders(folder) == ["chroma-0001", "terms-0002"]


def test_chroma_is_built_anew_when_it_has_lost_as_many_chunks_as_it_holds(folder: Path) -> None:
    for number in range(3):  # Of 9 chunks 2 are replaced at a time, then 7 are left.
        write(folder, a_record("bakery.md", f"Bread at {number}.", f"Rolls at {number}."))
        assert "chroma-0001" in folders(folder)
    write(folder, removed=["bakery.md"])
    assert "chroma-0001" in folders(folder)
    write(folder, removed=["pilots.md"])
    assert "chroma-0002" in folders(folder)
    with opened(folder, exact_up_to=CHROMA) as store:
        assert len(store.dense("bread", 3)) == 3
        assert store._chroma is not None
        assert len(store._chroma) == 4


def test_a_chunk_that_only_moved_has_its_new_place_in_every_answer(folder: Path) -> None:
    kitchen = [chunk.text for chunk in CHUNKS if chunk.document_id == "kitchen.md"]
    write(folder, a_record("kitchen.md", *kitchen))
    write(folder, a_record("kitchen.md", "A new first line.", *kitchen))
    with opened(folder, exact_up_to=CHROMA) as store:
        for search in (store.dense, store.lexical):
            (chunk,) = [h.chunk for h in search("bread baked", 3) if "Bread" in h.chunk.text]
            assert (chunk.start, chunk.end) == (18, 56)
            text = store.document("kitchen.md").text
            assert text[chunk.start : chunk.end] == chunk.text


def test_a_writer_that_writes_nothing_changes_nothing(folder: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in folder.glob("*-0001/**/*")}
    with opened(folder) as store:
        generation = store.catalog.generation
    assert write(folder) == []
    assert {path: path.stat().st_mtime_ns for path in folder.glob("*-0001/**/*")} == before
    with opened(folder) as store:
        assert store.catalog.generation == generation


def test_the_index_is_kept_out_of_git(folder: Path) -> None:
    assert (folder / ".gitignore").read_text() == "*\n"


# ---- refusals ---------------------------------------------------------------------------


def test_other_facts_are_refused_before_anything_is_written(folder: Path) -> None:
    with writing(folder, {"embedder": "hashing"}):
        pass
    before = (folder / "catalog.sqlite3").read_bytes()
    message = r"made with embedder 'hashing' and is opened with 'other'.*--embedder other"
    with pytest.raises(CorpusMismatch, match=message), writing(folder, {"embedder": "other"}):
        pass
    assert (folder / "catalog.sqlite3").read_bytes() == before


def test_a_second_writer_is_refused(folder: Path) -> None:
    with writing(folder, {}), pytest.raises(CorpusLocked, match=f"process {os.getpid()}"):
        write(folder, BAKERY)


def changed(**changes: object) -> Callable[[Chunk], Chunk]:
    return lambda chunk: replace(chunk, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (changed(id="1"), "two chunks have the same id"),
        (changed(document_id="other.md"), "no chunk of 'bakery.md'"),
        (changed(text="Something else."), "no chunk of 'bakery.md'"),
        (changed(end=1000), "no chunk of 'bakery.md'"),
    ],
)
def test_chunks_that_would_not_come_back_are_refused(
    folder: Path, change: Callable[[Chunk], Chunk], words: str
) -> None:
    before = answers(folder)
    record = replace(BAKERY, chunks=tuple(map(change, BAKERY.chunks)))
    with pytest.raises(ValueError, match=words):
        write(folder, record)
    assert answers(folder) == before


def test_an_id_cannot_come_to_stand_for_another_text(folder: Path) -> None:
    write(folder, BAKERY)
    other = a_record("bakery.md", "Bread is sold out now", "Rolls cost less.")
    chunks = (replace(other.chunks[0], id=BAKERY.chunks[0].id), other.chunks[1])
    with pytest.raises(ValueError, match=r"stood for another text, of 'bakery\.md'"):
        write(folder, replace(other, chunks=chunks))


def test_a_chunk_without_a_vector_is_refused(folder: Path) -> None:
    with writing(folder, {}) as writer, pytest.raises(ValueError, match="needs a vector"):
        writer.write([BAKERY])
    with writing(folder, {}) as writer:
        add_vectors(writer, BAKERY)
        with pytest.raises(ValueError, match="needs a vector"):
            writer.write([replace(BAKERY, keys=BAKERY.keys[:1])])


# ---- what goes wrong --------------------------------------------------------------------


class Stopped(BaseException):
    """As Ctrl-C, at a moment that the test chooses."""


def test_an_exception_keeps_what_was_written_and_leaves_the_copies_level(folder: Path) -> None:
    later = a_record("later.md", "Salt at six.")
    with suppress(Stopped), writing(folder, {}) as writer:
        add_vectors(writer, BAKERY, later)
        writer.write([BAKERY])
        raise Stopped
    assert findings(folder) == []
    with opened(folder, exact_up_to=CHROMA) as store:
        assert texts(store.lexical("sold at six", 5)) == ["Bread is sold at six."]
        assert texts(store.dense("bread sold at six", 1)) == ["Bread is sold at six."]
        assert store._chroma is not None
        assert store.catalog.known_vectors(later.keys) == set(later.keys)


def test_a_folder_that_may_not_be_written_is_an_error_that_says_so(folder: Path) -> None:
    code = """
import sys
from pathlib import Path
from rag.index.writer import writing
from rag.errors import CorpusError
try:
    with writing(Path(sys.argv[1]), {}):
        pass
except CorpusError as error:
    print(type(error).__name__, error)
"""
    with read_only(folder):
        printed = output(start(code, folder, with_rights=False))
        assert printed.startswith("CorpusError")
        assert "the index needs a writable folder" in printed
    with read_only(folder.parent):
        printed = output(start(code, folder.parent / "new", with_rights=False))
        assert "Permission denied" in printed
        assert "the folder must be writable" in printed


def test_a_file_in_the_place_of_the_index_is_an_error_that_says_so(tmp_path: Path) -> None:
    (tmp_path / ".rag").write_text("mine")
    with pytest.raises(CorpusError, match="cannot be written"):
        write(tmp_path / ".rag", BAKERY)
    assert (tmp_path / ".rag").read_text() == "mine"


# ---- death at every step ----------------------------------------------------------------

DIE = """
import os, signal, sys
from pathlib import Path
from rag.index import copies
from rag.index.writer import writing
from tests.index.samples import add_vectors
from tests.index.test_writer import BAKERY

def die():
    os.kill(os.getpid(), signal.SIGKILL)

with writing(Path(sys.argv[1]), {}) as writer:
    add_vectors(writer, BAKERY)
"""
WRITTEN = """
writer.write([BAKERY], removed=["kitchen.md"])
"""
TERMS_FINISHED = WRITTEN + "writer._finish_terms()\n"
CHROMA_MARKED = TERMS_FINISHED + "copies.mark(writer.catalog, 'chroma', writer._chroma)\n"
STEPS = {
    "vectors kept": "",
    "terms marked": "writer._open_lexicon()",
    "terms added": "writer._open_lexicon().add(BAKERY.chunks)",
    "inside the transaction": """
writer._open_lexicon().add(BAKERY.chunks)
with writer.catalog.transaction():
    writer.catalog.remove("kitchen.md")
    writer.catalog.replace(BAKERY)
    die()
""",
    "documents written": WRITTEN,
    "terms finished": TERMS_FINISHED,
    "chroma marked": CHROMA_MARKED,
    "chroma half changed": CHROMA_MARKED
    + """
with writer._vectors(writer._chroma) as vectors:
    vectors.remove(writer.catalog.pending("gone"))
    die()
""",
    "chroma finished": TERMS_FINISHED + "writer._finish_chroma()",
}
NOT_YET = ("vectors kept", "terms marked", "terms added", "inside the transaction")


@pytest.mark.parametrize("step", STEPS)
def test_after_a_death_at_any_step_readers_answer_and_the_next_writer_ends_right(
    folder: Path, tmp_path: Path, step: str
) -> None:
    child = start(DIE + textwrap.indent(STEPS[step] + "\ndie()", " " * 4), folder)
    _, err = child.communicate(timeout=60)
    assert child.returncode == -signal.SIGKILL, err
    before, after = tmp_path / "before", tmp_path / "after"
    write(before, *SAMPLES)
    write(after, *SAMPLES, BAKERY)
    write(after, removed=["kitchen.md"])
    left = answers(folder)
    assert left == answers(before if step in NOT_YET else after)
    write(folder, BAKERY, removed=["kitchen.md"])
    assert answers(folder) == answers(after)
    assert findings(folder) == []
    assert len(folders(folder)) == 2


def test_a_first_writer_that_dies_leaves_an_index_that_can_be_begun(tmp_path: Path) -> None:
    child = start(f"{DIE}    writer.write([BAKERY]); die()", tmp_path / ".rag")
    child.communicate(timeout=60)
    with opened(tmp_path / ".rag", exact_up_to=CHROMA) as store:
        assert texts(store.lexical("rolls", 5)) == ["Rolls cost less."]
        assert texts(store.dense("rolls cost less", 1)) == ["Rolls cost less."]
        assert store.findings() == ["terms: the last write did not end; sync builds it anew"]
    assert write(tmp_path / ".rag") == ["terms"]
    assert findings(tmp_path / ".rag") == []


# ---- repairs ----------------------------------------------------------------------------


def test_a_copy_that_was_damaged_is_built_anew_and_named(folder: Path) -> None:
    before = answers(folder)
    shutil.rmtree(folder / "chroma-0001")
    (folder / "terms-0001" / "meta.json").write_text("{}")
    assert answers(folder) == before
    assert [finding.split(":")[0] for finding in findings(folder)] == ["terms", "chroma"]
    assert write(folder) == ["terms", "chroma"]
    assert (findings(folder), answers(folder)) == ([], before)


def test_a_copy_that_fails_while_it_is_changed_is_built_anew_and_named(folder: Path) -> None:
    """Its SQLite file is damaged where no look at its length and beginning shows it."""
    path = folder / "chroma-0001" / "chroma.sqlite3"
    with path.open("r+b") as file:
        file.seek(100)
        file.write(b"\xa5" * (path.stat().st_size - 100))
    assert write(folder, BAKERY) == ["chroma"]
    assert folders(folder) == ["chroma-0002", "terms-0001"]
    assert findings(folder) == []
    with opened(folder, exact_up_to=CHROMA) as store:
        assert texts(store.dense("bread sold at six", 1)) == ["Bread is sold at six."]
        assert store._chroma is not None


def test_a_copy_that_lacks_a_chunk_is_built_anew_and_named(folder: Path) -> None:
    with writing(folder, {}) as writer:
        assert writer._chroma is not None
        with writer._vectors(writer._chroma) as vectors:
            vectors.remove([CHUNKS[3].id])
        copies.record(writer.catalog, "chroma", writer._chroma)
    with opened(folder, exact_up_to=CHROMA) as store:
        assert texts(store.dense("bread baked at four", 1)) == [CHUNKS[3].text]
    assert write(folder, BAKERY) == ["chroma"]
    with opened(folder, exact_up_to=CHROMA) as store:
        assert texts(store.dense("bread baked at four", 1)) == [CHUNKS[3].text]


def test_folders_that_nobody_uses_are_removed_and_nothing_else(folder: Path) -> None:
    for name in ("terms-0007", "chroma-0000", "notes"):
        (folder / name).mkdir()
    write(folder)
    assert folders(folder) == ["chroma-0001", "notes", "terms-0001"]


def test_a_write_whose_transaction_fails_is_found_in_no_copy(folder: Path) -> None:
    before = answers(folder)
    refuse = "CREATE TEMP TRIGGER refuse BEFORE INSERT ON documents "
    with writing(folder, {}) as writer:
        add_vectors(writer, BAKERY)
        writer.catalog._rows(refuse + "BEGIN SELECT RAISE(ABORT, 'told to fail'); END")
        with pytest.raises(CorpusError, match="told to fail"):
            writer.write([BAKERY])
    assert answers(folder) == before
    assert findings(folder) == []
    with opened(folder) as store:
        assert store.lexical("rolls", 5) == []
        assert store._lexicon is not None
        assert len(store._lexicon) == 7
    write(folder, BAKERY)
    with opened(folder) as store:
        assert texts(store.lexical("rolls", 5)) == ["Rolls cost less."]
