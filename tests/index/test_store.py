"""Both ways of searching give the same hits, from one state of the index, whatever is beside."""

import shutil
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from rag.errors import CorpusMismatch, CorpusNotFound
from rag.index import copies, locks
from rag.index.catalog import Catalog
from rag.index.chroma import ChromaVectors
from rag.index.lexicon import Lexicon
from rag.index.store import Store
from rag.index.writer import writing
from rag.testing import CHUNKS, DOCUMENTS, HashingEmbedder, SearchContract
from rag.types import Matrix, Search, Vector, Where
from tests.index.samples import (
    CHROMA,
    EMBEDDER,
    SCAN,
    a_record,
    add_vectors,
    opened,
    pairs,
    texts,
    write,
)

BOTH = pytest.mark.parametrize("exact_up_to", [SCAN, CHROMA], ids=["scan", "chroma"])


class RandomEmbedder(HashingEmbedder):
    """Gives each text a direction of its own: no structure that would help HNSW."""

    dimension = 64

    def embed_documents(self, texts: Sequence[str]) -> Matrix:
        return np.stack([self.embed_query(text) for text in texts])

    def embed_query(self, text: str) -> Vector:
        seed = [*text.encode()]
        vector = np.random.default_rng(seed).standard_normal(self.dimension)
        return (vector / np.linalg.norm(vector)).astype(np.float32)


RANDOM = RandomEmbedder()
ROWS = [f"row {number}" for number in range(1000)]


@pytest.fixture(scope="module")
def random_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("random") / ".rag"
    write(folder, a_record("rows.txt", *ROWS), embedder=RANDOM)
    return folder


@pytest.fixture
def store(folder: Path, request: pytest.FixtureRequest) -> Iterator[Store]:
    with opened(folder, exact_up_to=getattr(request, "param", SCAN)) as store:
        yield store


# ---- the contract of a search -----------------------------------------------------------


@pytest.mark.parametrize("store", [SCAN, CHROMA], indirect=True, ids=["scan", "chroma"])
class TestDense(SearchContract):
    @pytest.fixture
    def search(self, store: Store) -> Search:
        return store.dense


class TestLexical(SearchContract):
    @pytest.fixture
    def search(self, store: Store) -> Search:
        return store.lexical


# ---- both ways --------------------------------------------------------------------------


def test_both_ways_give_the_same_hits_and_scores(random_folder: Path) -> None:
    with (
        opened(random_folder, exact_up_to=SCAN, embedder=RANDOM) as scanning,
        opened(random_folder, exact_up_to=CHROMA, embedder=RANDOM) as asking,
    ):
        same = 0
        for number in range(50):
            same += asking.dense(f"query {number}", 10) == scanning.dense(f"query {number}", 10)
        assert asking._chroma is not None, "Chroma was not asked"
        assert scanning._chroma is None
        assert same == 50


@BOTH
def test_dense_search_agrees_with_brute_force(random_folder: Path, exact_up_to: int) -> None:
    matrix = RANDOM.embed_documents(ROWS).astype(np.float64)
    found = 0
    with opened(random_folder, exact_up_to=exact_up_to, embedder=RANDOM) as store:
        for number in range(100):
            scores = matrix @ RANDOM.embed_query(f"query {number}").astype(np.float64)
            best = np.argsort(-scores)[:10]
            hits = store.dense(f"query {number}", 10)
            found += len({ROWS[place] for place in best} & set(texts(hits)))
            for hit in hits:
                assert hit.score == pytest.approx(scores[ROWS.index(hit.chunk.text)], abs=1e-6)
    assert found >= 990


def test_a_larger_k_only_appends_also_where_chroma_is_asked_for_more(random_folder: Path) -> None:
    with opened(random_folder, exact_up_to=CHROMA, embedder=RANDOM) as store:
        everything = store.dense("query", 2000)
        assert len(everything) == 1000
        for k in (1, 10, 200, 224, 225, 256, 300, 999):
            assert store.dense("query", k) == everything[:k]


@BOTH
def test_ties_are_in_the_order_of_ids_wherever_k_cuts_them(
    tmp_path: Path, exact_up_to: int
) -> None:
    records = [a_record(f"{number}.txt", "the same tide") for number in range(240)]
    write(tmp_path / ".rag", *records, a_record("other.txt", "a tide"))
    ids = sorted(record.chunks[0].id for record in records)
    with opened(tmp_path / ".rag", exact_up_to=exact_up_to) as store:
        for search in (store.dense, store.lexical):
            for k in (1, 7, 224, 240):
                assert [hit.chunk.id for hit in search("same tide", k)] == ids[:k]


def test_while_a_writer_changes_chroma_the_answer_is_the_same_and_nobody_waits(
    random_folder: Path,
) -> None:
    with opened(random_folder, exact_up_to=CHROMA, embedder=RANDOM) as store:
        expected = store.dense("query", 10)
        with locks.changing_chroma(random_folder):
            assert store.dense("query", 10) == expected
            with opened(random_folder, exact_up_to=CHROMA, embedder=RANDOM) as other:
                assert other.dense("query", 10) == expected
                assert other._chroma is None
        assert store.dense("query", 10) == expected


# ---- filters ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("library") / ".rag"
    write(
        folder,
        a_record("contracts/lease.md", "rent", metadata=(("format", "md"), ("year", 2020))),
        a_record("contracts/old/lease.PDF", "rent", metadata=(("signed", True), ("year", 2019))),
        a_record("合同/租约.md", "rent", metadata=(("year", "2020"),)),
        a_record("memo", "rent"),
    )
    return folder


@BOTH
@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ({}, ["contracts/lease.md", "contracts/old/lease.PDF", "memo", "合同/租约.md"]),
        ({"document_id": "memo"}, ["memo"]),
        ({"document_id": ["memo", "nowhere"]}, ["memo"]),
        ({"folder": "contracts"}, ["contracts/lease.md", "contracts/old/lease.PDF"]),
        ({"folder": "contracts/old"}, ["contracts/old/lease.PDF"]),
        ({"folder": "contract"}, []),
        ({"folder": "合同"}, ["合同/租约.md"]),
        ({"suffix": ".pdf"}, ["contracts/old/lease.PDF"]),
        ({"suffix": [".md", ".pdf"], "folder": "contracts/old"}, ["contracts/old/lease.PDF"]),
        ({"title": "memo"}, ["memo"]),
        ({"metadata.year": 2020}, ["contracts/lease.md"]),
        ({"metadata.year": "2020"}, ["合同/租约.md"]),
        ({"metadata.year": [2019, 2020]}, ["contracts/lease.md", "contracts/old/lease.PDF"]),
        ({"metadata.signed": True}, ["contracts/old/lease.PDF"]),
        ({"metadata.format": "pdf"}, []),
        ({"document_id": []}, []),
    ],
)
def test_a_filter_leaves_what_matches_all_its_fields(
    library: Path, exact_up_to: int, where: Where, expected: list[str]
) -> None:
    with opened(library, exact_up_to=exact_up_to) as store:
        for search in (store.dense, store.lexical):
            hits = search("rent", 10, where=where)
            assert sorted(hit.chunk.document_id for hit in hits) == expected


def test_a_filter_changes_no_score(folder: Path) -> None:
    with opened(folder) as store:
        for search in (store.dense, store.lexical):
            everything = search("the pilot bakes bread", 10)
            inside = search("the pilot bakes bread", 10, where={"suffix": "md"})
            kitchen = search("the pilot bakes bread", 10, where={"document_id": "kitchen.md"})
            assert pairs(inside) == pairs(everything)
            assert pairs(kitchen) == [
                pair
                for pair, hit in zip(pairs(everything), everything, strict=True)
                if hit.chunk.document_id == "kitchen.md"
            ]


def test_an_unknown_field_is_named_with_the_nearest(store: Store) -> None:
    for search in (store.dense, store.lexical):
        with pytest.raises(ValueError, match=r"'sufix'.*nearest is 'suffix'"):
            search("rent", 10, where={"sufix": ".md"})


# ---- what is never returned -------------------------------------------------------------


def smuggle(folder: Path, name: copies.Name, add: Callable[[Path], None]) -> None:
    """Put something into a copy that the catalog does not know, and record it as whole."""
    with writing(folder, {}) as writer:
        copy = copies.recorded(writer.catalog, name)
        assert copy is not None
        add(folder / copy.folder)
        copies.record(writer.catalog, name, folder / copy.folder)


def test_a_hit_of_chroma_that_the_catalog_does_not_know_is_never_returned(folder: Path) -> None:
    stranger = a_record("ghost.md", "A ghost boards at midnight.").chunks[0]

    def add(copy: Path) -> None:
        vectors = ChromaVectors(copy)
        vectors.add([(stranger, EMBEDDER.embed_query(stranger.embedded))])
        vectors.close()

    smuggle(folder, "chroma", add)
    with opened(folder, exact_up_to=CHROMA) as store, opened(folder) as scanning:
        hits = store.dense("a ghost boards at midnight", 3)
        assert store._chroma is not None, "Chroma was not asked"
        assert hits == scanning.dense("a ghost boards at midnight", 3)
        assert "ghost.md" not in {hit.chunk.document_id for hit in hits}


def test_hits_of_terms_that_the_catalog_does_not_know_are_never_returned(folder: Path) -> None:
    strangers = a_record("ghost.md", *[f"A pilot boards, ghost {n}." for n in range(200)]).chunks
    smuggle(folder, "terms", lambda copy: Lexicon(copy).add(strangers))
    with opened(folder) as store:
        hits = store.lexical("pilot boards ghost", 3)
        assert [hit.chunk.document_id for hit in hits] == ["pilots.md"] * 3


@BOTH
def test_a_text_that_was_removed_is_not_found_by_a_reader_opened_before(
    folder: Path, exact_up_to: int
) -> None:
    with opened(folder, exact_up_to=exact_up_to) as store:
        assert texts(store.dense("bread", 1)) == [CHUNKS[3].text]
        assert len(store.lexical("bread", 5)) == 1
        write(folder, removed=["kitchen.md"])
        assert CHUNKS[3].text not in texts(store.dense("bread", 5))
        assert store.lexical("bread", 5) == []
        write(folder, a_record("bakery.md", "Bread is sold at six."))
        assert texts(store.dense("bread", 1)) == ["Bread is sold at six."]
        assert texts(store.lexical("bread", 5)) == ["Bread is sold at six."]


@BOTH
def test_what_a_writer_has_written_is_found_before_it_has_finished(
    folder: Path, exact_up_to: int
) -> None:
    record = a_record("bakery.md", "Bread is sold at six.", "Rolls cost less.")
    with opened(folder, exact_up_to=exact_up_to) as store, writing(folder, {}) as writer:
        assert "Bread is sold at six." not in texts(store.dense("bread sold at six", 9))
        add_vectors(writer, record)
        assert "Bread is sold at six." not in texts(store.dense("bread sold at six", 9))
        writer.write([record], removed=["kitchen.md"])
        assert texts(store.dense("bread sold at six", 1)) == ["Bread is sold at six."]
        assert texts(store.lexical("bread sold", 5)) == ["Bread is sold at six."]
        assert "baked" not in "".join(texts(store.dense("bread", 9)))


# ---- one state --------------------------------------------------------------------------


@BOTH
def test_inside_a_snapshot_nothing_changes(folder: Path, exact_up_to: int) -> None:
    with opened(folder, exact_up_to=exact_up_to) as store:
        with store.snapshot():
            before = store.dense("bread", 7), store.lexical("bread", 7)
            write(folder, a_record("bakery.md", "Bread, bread, bread."), removed=["kitchen.md"])
            assert (store.dense("bread", 7), store.lexical("bread", 7)) == before
            assert store.document("kitchen.md").text.startswith("Bread")
        assert texts(store.lexical("bread", 7)) == ["Bread, bread, bread."]
        with pytest.raises(KeyError, match=r"kitchen\.md"):
            store.document("kitchen.md")


@BOTH
def test_threads_may_share_a_store(folder: Path, exact_up_to: int) -> None:
    stop = threading.Event()

    def search(store: Store) -> set[tuple[str, ...]]:
        seen = set()
        while not stop.is_set():
            seen.add(tuple(sorted(hit.chunk.document_id for hit in store.lexical("bread", 9))))
            assert store.dense("pilot on board tide", 1)[0].chunk.document_id == "pilots.md"
        return seen

    with opened(folder, exact_up_to=exact_up_to) as store, ThreadPoolExecutor(4) as pool:
        searches = [pool.submit(search, store) for _ in range(4)]
        try:
            for number in range(2):
                write(folder, a_record("bakery.md", f"Bread at {number}.", "More bread."))
                write(folder, removed=["bakery.md"])
        finally:
            stop.set()
        seen = set().union(*(search.result() for search in searches))
    assert seen <= {("kitchen.md",), ("bakery.md", "bakery.md", "kitchen.md")}


def test_a_reader_of_an_index_that_was_deleted_says_so_until_there_is_a_new_one(
    folder: Path,
) -> None:
    with opened(folder) as store:
        assert store.lexical("bread", 1)
        shutil.rmtree(folder)
        for _ in range(2):
            with pytest.raises(CorpusNotFound, match="sync first"):
                store.lexical("bread", 1)
        write(folder, a_record("bakery.md", "Bread is sold at six."))
        assert texts(store.lexical("bread", 5)) == ["Bread is sold at six."]
        assert texts(store.dense("bread", 5)) == ["Bread is sold at six."]


def test_chroma_is_not_asked_while_it_is_behind_the_catalog(folder: Path) -> None:
    record = a_record("bakery.md", "Bread is sold at six.")
    catalog = Catalog(folder, write=True)
    catalog.add_vectors(record.keys, EMBEDDER.embed_documents(["Bread is sold at six."]))
    with catalog.transaction():
        catalog.replace(record)
        catalog.raise_generation()
    catalog.close()
    with opened(folder, exact_up_to=CHROMA) as store:
        assert texts(store.dense("bread sold at six", 1)) == ["Bread is sold at six."]
        assert store._chroma is None
        assert store.findings() == ["chroma: it is behind the catalog; sync brings it level"]


# ---- queries ----------------------------------------------------------------------------


class ShortSighted(HashingEmbedder):
    """Reads four terms; fails where it is given more."""

    max_tokens = 4

    def embed_query(self, text: str) -> Vector:
        assert self.count(text) <= 4
        return super().embed_query(text)


def test_a_query_longer_than_the_embedder_reads_is_embedded_in_windows(folder: Path) -> None:
    query = "pilots board tankers here. apples flour salt cellar."
    with opened(folder, embedder=ShortSighted()) as store:
        hits = store.dense(query, 7)
    first, second = EMBEDDER.embed_documents(query.split(". "))
    mean = (first + second) / np.linalg.norm(first + second)
    cook = EMBEDDER.embed_query("The cook keeps apples, flour and salt in the cellar.")
    assert {hit.chunk.document_id for hit in hits[:2]} == {"kitchen.md", "pilots.md"}
    (score,) = [hit.score for hit in hits if "cook" in hit.chunk.text]
    assert score == pytest.approx(float(cook @ mean), abs=1e-6)


@pytest.mark.parametrize("k", [0, -1])
def test_none_asked_for_is_none_found(store: Store, k: int) -> None:
    assert store.dense("bread", k) == store.lexical("bread", k) == []


def test_an_index_that_holds_nothing_finds_nothing(tmp_path: Path) -> None:
    write(tmp_path / ".rag")
    with opened(tmp_path / ".rag", exact_up_to=CHROMA) as store:
        assert store.dense("bread", 5) == store.lexical("bread", 5) == []
        assert store.dense("bread", 5, where={"suffix": ".md"}) == []
        assert store.findings() == []


def test_an_embedder_of_another_dimension_is_refused_with_both_numbers(folder: Path) -> None:
    with (
        opened(folder, embedder=RANDOM) as store,
        pytest.raises(CorpusMismatch, match=r"64 numbers.*holds 384; use the embedder") as error,
    ):
        store.dense("bread", 1)
    assert (error.value.expected, error.value.found) == ("64", "384")


def test_an_index_made_with_other_facts_is_refused_with_what_to_do(folder: Path) -> None:
    with writing(folder, {"chunk_size": "200"}):
        pass
    with pytest.raises(
        CorpusMismatch, match=r"size '200'.*'100'.*rag reembed --embedder NAME"
    ) as error:
        Store(folder, embedder=EMBEDDER, facts={"chunk_size": "100"})
    assert (error.value.expected, error.value.found) == ("100", "200")
    Store(folder, embedder=EMBEDDER, facts={"chunk_size": "200"}).close()


# ---- looking up -------------------------------------------------------------------------


def test_a_document_comes_back_with_its_text_and_an_unknown_one_is_a_key_error(
    store: Store,
) -> None:
    assert store.document("县志.md") == DOCUMENTS[2]
    with pytest.raises(KeyError):
        store.document("nowhere")


def test_vectors_come_in_the_order_asked_for(store: Store) -> None:
    ids = [CHUNKS[6].id, CHUNKS[0].id]
    expected = EMBEDDER.embed_documents([CHUNKS[6].text, CHUNKS[0].text])
    np.testing.assert_array_equal(store.vectors(ids), expected)
    with pytest.raises(KeyError):
        store.vectors(["nowhere"])


def test_neighbours_are_those_of_the_same_document(store: Store) -> None:
    ids = [CHUNKS[2].id, CHUNKS[1].id, CHUNKS[3].id, "nowhere"]
    assert store.neighbours(ids) == {
        CHUNKS[1].id: (CHUNKS[0].id, CHUNKS[2].id),
        CHUNKS[2].id: (CHUNKS[1].id, None),
        CHUNKS[3].id: (None, CHUNKS[4].id),
    }


@BOTH
def test_a_document_replaced_through_the_store_answers_at_the_next_query(
    folder: Path, exact_up_to: int
) -> None:
    record = a_record("kitchen.md", "Bread is baked at five.")
    vectors = EMBEDDER.embed_documents(["Bread is baked at five."])
    with opened(folder, exact_up_to=exact_up_to) as store:
        store.dense("bread", 1)
        store.replace(record.document, record.chunks, vectors)
        assert texts(store.dense("bread baked", 1)) == ["Bread is baked at five."]
        assert texts(store.lexical("bread", 5)) == ["Bread is baked at five."]
        assert store.findings() == []


def test_a_closed_store_is_the_callers_mistake(folder: Path) -> None:
    with opened(folder) as store:
        pass
    with pytest.raises(ValueError, match="closed"):
        store.lexical("bread", 1)
