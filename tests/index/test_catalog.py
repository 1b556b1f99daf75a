"""The catalog gives back what it was given, tells readers of changes, and keeps its numbers."""

import shutil
from contextlib import closing, suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rag.errors import CorpusError, CorpusMismatch, CorpusNotFound
from rag.index.catalog import Catalog, FileFacts, Record, vector_key
from rag.types import Chunk, Document, Page, Section
from tests.index.samples import EMBEDDER, a_record, a_record_of

FACTS = FileFacts(size=7, mtime_ns=10**18 + 1, file_hash="f", reader="txt 1", checked_ns=10**18 + 9)


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    (tmp_path / ".rag").mkdir()
    return Catalog(tmp_path / ".rag", write=True)


def put(catalog: Catalog, *records: Record) -> None:
    for record in records:
        texts = [chunk.embedded for chunk in record.chunks]
        catalog.add_vectors(record.keys, EMBEDDER.embed_documents(texts))
        with catalog.transaction():
            catalog.replace(record)
            catalog.raise_generation()


def test_a_document_comes_back_as_it_was_given(catalog: Catalog) -> None:
    text = "\ufeffЁ 砚溪县\r\n🚢\0<|endoftext|>'; DROP TABLE documents; --"
    document = Document(
        id="合同/a.MD",
        text=text,
        digest="d",
        title="租约 'x'",
        source="/somewhere/a.MD",
        pages=(Page(number=1, start=0, end=3), Page(number=2, start=3, end=len(text))),
        sections=(Section(title="第一章", level=1, start=0, end=9),),
        metadata=(("author", "李"), ("signed", True), ("size", 1.5), ("year", 2020)),
    )
    put(catalog, a_record_of(document, []))
    assert catalog.document("合同/a.MD") == document
    assert catalog.document("合同/a.md") is None
    (summary,) = catalog.summaries()
    assert (summary.characters, summary.pages, summary.sections) == (len(text), 2, 1)
    assert summary.metadata == document.metadata


@settings(max_examples=50)
@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_any_text_comes_back_character_for_character(
    tmp_path_factory: pytest.TempPathFactory, text: str
) -> None:
    catalog = Catalog(tmp_path_factory.mktemp("texts"), write=True)
    document = Document(id="a.txt", text=text, digest="d", title=text)
    put(catalog, a_record_of(document, []))
    assert catalog.document("a.txt") == document
    catalog.close()


def test_a_chunk_comes_back_as_it_was_given(catalog: Catalog) -> None:
    chunk = Chunk(
        id="c",
        document_id="a.md",
        start=4,
        end=13,
        text="pays rent",
        embedded="Lease > 第二条\npays rent",
        tokens=6,
        headings=("Lease", "第二条"),
        pages=(2, 3),
    )
    document = Document(id="a.md", text="He  pays rent.", digest="d", title="a")
    put(catalog, a_record_of(document, [chunk]))
    assert catalog.chunks(["c", "unknown"]) == {"c": chunk}
    assert list(catalog.all_chunks()) == [chunk]
    assert catalog.totals() == (1, 1, 6)


def test_replacing_keeps_the_rows_of_chunks_that_stayed_and_moves_them(catalog: Catalog) -> None:
    put(catalog, a_record("a.md", "Rent is due.", "The roof leaks."))
    catalog.clear_pending()
    before = catalog.rows()
    put(catalog, a_record("a.md", "A new first line.", "Rent is due."))
    after = catalog.rows()
    assert [chunk.text for chunk in catalog.all_chunks()] == ["Rent is due.", "A new first line."]
    assert after.numbers[0] == before.numbers[0]
    assert after.numbers[1] not in before.numbers, "a number was used again"
    (stayed, *_) = catalog.all_chunks()
    assert (stayed.start, stayed.end) == (18, 30)
    texts = {change: len(catalog.pending(change)) for change in ("new", "moved", "gone")}
    assert texts == {"new": 1, "moved": 1, "gone": 1}


def test_what_is_written_again_unchanged_is_no_change(catalog: Catalog) -> None:
    put(catalog, a_record("a.md", "Rent is due."))
    catalog.clear_pending()
    put(catalog, a_record("a.md", "Rent is due."))
    assert not catalog.is_pending()


def test_what_chroma_has_yet_to_learn_is_the_sum_of_the_changes(catalog: Catalog) -> None:
    put(catalog, a_record("a.md", "Rent is due."))
    put(catalog, a_record("a.md", "First.", "Rent is due."))
    assert len(catalog.pending("new")) == 2, "a new chunk that moved is still new"
    put(catalog, a_record("a.md", "First."))
    assert (len(catalog.pending("new")), len(catalog.pending("gone"))) == (1, 1)
    put(catalog, a_record("a.md", "First.", "Rent is due."))
    assert (len(catalog.pending("new")), len(catalog.pending("gone"))) == (2, 0)
    with catalog.transaction():
        catalog.remove("a.md")
    assert (len(catalog.pending("new")), len(catalog.pending("gone"))) == (0, 2)


SENTENCES = ("Rent is due.", "The roof leaks.", "砚溪县。", "Keys are lost.")


@settings(max_examples=40)
@given(
    st.lists(
        st.tuples(st.sampled_from("abc"), st.lists(st.sampled_from(SENTENCES), max_size=5)),
        max_size=8,
    )
)
def test_rows_read_step_by_step_are_those_read_at_once(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, list[str]]]
) -> None:
    catalog = Catalog(tmp_path_factory.mktemp("rows"), write=True)
    known = catalog.rows()
    for name, sentences in steps:
        if sentences:
            put(catalog, a_record(name, *sentences))
        else:
            with catalog.transaction():
                catalog.remove(name)
        known, fresh = catalog.rows(known), catalog.rows()
        assert known.ids == fresh.ids == [chunk.id for chunk in catalog.all_chunks()]
        assert known.numbers.tolist() == fresh.numbers.tolist()
        assert known.documents.tolist() == fresh.documents.tolist()
        if fresh.ids:
            np.testing.assert_array_equal(known.matrix, fresh.matrix)
            np.testing.assert_array_equal(fresh.matrix, catalog.vectors(fresh.ids))
    catalog.close()


def test_equal_texts_share_a_vector_which_is_unused_after_the_last(catalog: Catalog) -> None:
    put(catalog, a_record("a.md", "Rent is due."), a_record("b.md", "Rent is due.", "The end."))
    keys = [vector_key(chunk) for chunk in catalog.all_chunks()]
    assert len(set(keys)) == 2
    assert catalog.known_vectors([*keys, b"unknown"]) == set(keys)
    with catalog.transaction():
        catalog.remove("b.md")
    assert catalog.unused_vectors() == 1
    assert catalog.prune_vectors() == 0
    assert catalog.known_vectors(keys) == set(keys)
    assert catalog.prune_vectors(0) == 1
    assert catalog.known_vectors(keys) == {keys[0]}
    assert catalog.unused_vectors() == 0


def test_of_unused_vectors_the_oldest_go_first_beyond_a_floor_and_a_share(
    catalog: Catalog,
) -> None:
    keys = [number.to_bytes(4) for number in range(10_020)]
    catalog.add_vectors(keys, np.ones((len(keys), 384), dtype=np.float32))
    put(catalog, a_record("a.md", *(f"Rent {number} is due." for number in range(30))))
    assert catalog.prune_vectors() == 5  # 10,000, and one for every two that are used.
    assert catalog.known_vectors(keys) == set(keys[5:])
    assert catalog.prune_vectors() == 0


def test_a_removed_document_is_remembered_until_it_has_left_no_trace(catalog: Catalog) -> None:
    put(catalog, a_record("a.md", "Rent is due."), a_record("b.md", "The end."))
    assert catalog.vanished() == set()
    with catalog.transaction():
        catalog.remove("b.md")
    assert catalog.vanished() == {"b.md"}
    catalog.vacuum()
    assert catalog.vanished() == {"b.md"}
    catalog.forget_vanished()
    assert catalog.vanished() == set()


def test_a_catalog_cannot_be_cleaned_while_a_reader_holds_an_older_state(catalog: Catalog) -> None:
    catalog._rows("PRAGMA busy_timeout = 100")
    catalog.set(secret="the lamp")
    with closing(Catalog(catalog.path.parent, write=False)) as reader:
        with reader.snapshot():
            assert reader.get("secret") == "the lamp"
            catalog.set(secret="")
            with pytest.raises(CorpusError, match="holds an older state of it; end it"):
                catalog.vacuum()
        catalog.vacuum()
    assert not any(b"the lamp" in path.read_bytes() for path in catalog.path.parent.iterdir())


def test_a_vector_that_is_known_stays_as_it_is(catalog: Catalog) -> None:
    put(catalog, a_record("a.md", "Rent is due."))
    (chunk,) = catalog.all_chunks()
    other = EMBEDDER.embed_documents(["something else"])
    catalog.add_vectors([vector_key(chunk)], other)
    np.testing.assert_array_equal(
        catalog.vectors([chunk.id]), EMBEDDER.embed_documents(["Rent is due."])
    )


def test_vectors_of_another_dimension_are_refused(catalog: Catalog) -> None:
    catalog.add_vectors([b"1"], np.ones((1, 384), dtype=np.float32))
    with pytest.raises(CorpusMismatch, match=r"512.*384") as error:
        catalog.add_vectors([b"2"], np.ones((1, 512), dtype=np.float32))
    assert (error.value.expected, error.value.found) == ("512", "384")
    assert catalog.known_vectors([b"1", b"2"]) == {b"1"}


def test_vectors_that_are_not_finite_are_refused(catalog: Catalog) -> None:
    with pytest.raises(ValueError, match="not finite"):
        catalog.add_vectors([b"1"], np.full((1, 384), np.nan, dtype=np.float32))


def test_no_vectors_are_no_change(catalog: Catalog) -> None:
    catalog.add_vectors([], np.zeros((0, 384), dtype=np.float32))
    assert catalog.get("dimension") is None


def test_files_are_told_from_other_texts(catalog: Catalog) -> None:
    put(catalog, a_record("a.md", "Rent.", facts=FACTS), a_record("note", "A note."))
    assert catalog.files() == {"a.md": FACTS}
    assert [catalog.is_file(id_) for id_ in ("a.md", "note", "nowhere")] == [True, False, None]
    later = FileFacts(size=7, mtime_ns=5, file_hash="f", reader="txt 1", checked_ns=6)
    catalog.touch("a.md", later)
    assert catalog.files() == {"a.md": later}


def test_a_transaction_that_fails_changes_nothing(catalog: Catalog) -> None:
    put(catalog, a_record("a.md", "Rent is due."))
    with suppress(ZeroDivisionError), catalog.transaction():
        catalog.remove("a.md")
        catalog.raise_generation()
        raise ZeroDivisionError
    assert (catalog.generation, catalog.totals()[0], len(catalog.pending("gone"))) == (1, 1, 0)


def test_a_snapshot_stays_what_it_was_while_another_connection_writes(catalog: Catalog) -> None:
    put(catalog, a_record("a.md", "Rent is due."))
    reader = Catalog(catalog.path.parent, write=False)
    with reader.snapshot():
        assert reader.generation == 1
        put(catalog, a_record("b.md", "The roof leaks."))
        with reader.snapshot():
            assert (reader.generation, reader.totals()[0]) == (1, 1)
        assert reader.latest("generation") == "2"
        assert (reader.generation, reader.totals()[0]) == (1, 1)
    assert (reader.generation, reader.totals()[0]) == (2, 2)
    reader.close()


def test_a_reader_cannot_write(catalog: Catalog) -> None:
    reader = Catalog(catalog.path.parent, write=False)
    with pytest.raises(Exception, match="readonly"):
        reader.set(format="2")
    reader.close()


def test_a_folder_without_an_index_asks_for_a_sync(tmp_path: Path) -> None:
    with pytest.raises(CorpusNotFound, match="sync first"):
        Catalog(tmp_path / ".rag", write=False)
    assert list(tmp_path.iterdir()) == []


def test_a_catalog_whose_first_writer_died_at_once_is_no_index_and_can_be_begun(
    tmp_path: Path,
) -> None:
    (tmp_path / "catalog.sqlite3").touch()
    with pytest.raises(CorpusNotFound, match="sync first"):
        Catalog(tmp_path, write=False)
    catalog = Catalog(tmp_path, write=True)
    assert catalog.totals() == (0, 0, 0)
    catalog.close()


def test_an_index_of_another_format_is_refused(catalog: Catalog) -> None:
    catalog.set(format="0")
    for write in (False, True):
        with pytest.raises(CorpusMismatch, match=r"format 0.*reads 1.*sync again"):
            Catalog(catalog.path.parent, write=write)


def test_a_reader_notices_that_the_index_was_deleted_or_made_anew(
    catalog: Catalog, tmp_path: Path
) -> None:
    folder = catalog.path.parent
    put(catalog, a_record("a.md", "Rent is due."))
    reader = Catalog(folder, write=False)
    assert not reader.refresh()
    catalog.close()
    shutil.rmtree(folder)
    with pytest.raises(CorpusNotFound):
        reader.refresh()
    folder.mkdir()
    anew = Catalog(folder, write=True)
    put(anew, a_record("b.md", "The roof leaks."))
    reader = Catalog(folder, write=False)
    anew.close()
    shutil.rmtree(folder)
    folder.mkdir()
    anew = Catalog(folder, write=True)
    put(anew, a_record("c.md", "Keys are lost."))
    assert reader.refresh()
    assert list(reader.matching({}).values()) == ["c.md"]
    anew.close()
    reader.close()
