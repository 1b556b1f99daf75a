"""A healthy index has no findings; each damage is one, says what to do, and is mended."""

import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from rag.corpus import Corpus
from rag.doctor import unopened
from rag.embeddings.sentence_transformer import SentenceTransformerEmbedder
from rag.errors import CorpusError, CorpusNotFound
from rag.index import copies
from rag.index.catalog import Catalog
from rag.index.lexicon import Lexicon
from rag.index.writer import writing
from rag.testing import HashingEmbedder
from rag.types import Examination, Matrix
from tests.conftest import ROOT
from tests.index.samples import output, read_only, start
from tests.test_damage import DAMAGES, SETTINGS, Answers, answers, overwrite, write
from tests.test_damage import graph as graph_of

CHECKS = (
    *("catalog", "texts", "terms", "chroma", "recall", "vectors", "windows", "folders"),
    "versions",
)


@contextmanager
def opened(folder: Path, embedder: HashingEmbedder | None = None) -> Iterator[Corpus]:
    with Corpus.open(folder, settings=SETTINGS, embedder=embedder or HashingEmbedder()) as corpus:
        yield corpus


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Answers]:
    """Give a corpus of 240 chunks, and what it answers."""
    folder = tmp_path_factory.mktemp("whole")
    write(folder)
    with opened(folder) as corpus:
        corpus.sync()
        return folder, answers(corpus)


@pytest.fixture
def folder(whole: tuple[Path, Answers], tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole[0], tmp_path / "corpus"))


def change(folder: Path, *statements: str) -> None:
    with closing(sqlite3.connect(folder / ".rag" / "catalog.sqlite3")) as connection:
        for statement in statements:
            connection.execute(statement)
        connection.commit()


def told(found: Examination) -> dict[str, str]:
    return {check.name: check.told for check in found.checks}


def failed(found: Examination) -> dict[str, list[str]]:
    return {
        check.name: [finding.what for finding in check.findings]
        for check in found.checks
        if check.findings
    }


# ---- health -----------------------------------------------------------------------------


def test_a_healthy_index_has_no_findings(folder: Path) -> None:
    heard: list[str] = []
    with opened(folder) as corpus:
        found = corpus.doctor(progress=heard.append)
    assert (found.findings, found.fixed) == ((), ())
    assert tuple(check.name for check in found.checks) == CHECKS
    assert not any(check.skipped for check in found.checks)
    said = told(found)
    assert said["catalog"].startswith("4 documents, 240 chunks, ")
    assert "240 chunks" in said["terms"]
    assert said["chroma"] == "Chroma holds the catalog's 240 chunks, texts and vectors"
    assert said["recall"] == "1.000 of the nearest 10, against an exact scan"
    assert said["vectors"] == "32 chunks embedded again gave what is kept"
    assert [part for part, _ in found.size_bytes] == ["catalog", "chroma", "terms"]
    assert heard[:4] == ["catalog", "texts", "terms", "chroma"]


@pytest.mark.slow
def test_a_healthy_index_of_real_vectors_has_no_findings(
    tmp_path: Path, minilm: SentenceTransformerEmbedder
) -> None:
    for name in ("harbour-manual", "county-gazetteer"):
        folder = tmp_path / name
        shutil.copytree(ROOT / "corpora" / name, folder, ignore=shutil.ignore_patterns(".rag"))
        with Corpus.open(folder, embedder=minilm) as corpus:
            corpus.sync()
            found = corpus.doctor()
            assert failed(found) == {}
            assert tuple(check.name for check in found.checks) == CHECKS


def test_an_empty_corpus_has_no_findings(tmp_path: Path) -> None:
    with opened(tmp_path) as corpus:
        with pytest.raises(CorpusNotFound, match="sync first"):
            corpus.doctor()
        corpus.sync()
        assert failed(corpus.doctor()) == {}


def test_looking_changes_nothing_and_needs_no_lock(folder: Path) -> None:
    def state() -> dict[str, bytes]:
        files = (path for path in (folder / ".rag").rglob("*") if path.is_file())
        return {
            str(path): path.read_bytes()
            for path in files
            if path.name != "chroma.sqlite3" and not path.name.endswith(("-wal", "-shm"))
        }

    before = state()
    with opened(folder) as corpus, writing(folder / ".rag", corpus._facts):
        found = corpus.doctor()
        assert found.findings == ()
        skipped = {check.name for check in found.checks if check.skipped}
        assert skipped == {"terms", "chroma", "folders"}
    with opened(folder) as corpus:
        assert corpus.doctor().findings == ()
    after = state()
    changed = {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}
    assert {Path(name).name for name in changed} <= {"catalog.sqlite3"}  # When it was synced.


def test_a_read_only_folder_is_looked_at_as_far_as_that_goes(folder: Path) -> None:
    code = """
import sys
from pathlib import Path
from tests.test_doctor import failed, opened
with opened(Path(sys.argv[1])) as corpus:
    found = corpus.doctor()
    print(failed(found), sorted(check.name for check in found.checks if check.skipped))
"""
    with read_only(folder):
        said = output(start(code, folder, with_rights=False))
    assert said.strip() == "{} ['chroma', 'terms']"


# ---- the copies -------------------------------------------------------------------------


def check_damage(folder: Path, whole: tuple[Path, Answers], damage: str) -> None:
    name, spoil = DAMAGES[damage]
    spoil(folder / ".rag")
    with opened(folder) as corpus:
        mended = corpus.doctor(fix=True)
        assert mended.findings == ()
        (finding,) = mended.fixed
        assert finding.check == name
        assert finding.what.endswith("is not what was written")
        assert "rag doctor --fix" in finding.mend
        assert answers(corpus) == whole[1]


@pytest.mark.parametrize("damage", ["chroma: vectors random", "terms: segment cut"])
def test_a_damaged_copy_is_found_and_built_anew(
    folder: Path, whole: tuple[Path, Answers], damage: str
) -> None:
    check_damage(folder, whole, damage)


@pytest.mark.slow
@pytest.mark.parametrize("damage", DAMAGES)
def test_whatever_happened_to_a_copy_is_found_and_mended(
    folder: Path, whole: tuple[Path, Answers], damage: str
) -> None:
    check_damage(folder, whole, damage)


def record_as_it_is(folder: Path, name: copies.Name) -> None:
    """Make the catalog believe that a copy is what was written."""
    with closing(Catalog(folder / ".rag", write=True)) as catalog:
        copies.record(catalog, name, folder / ".rag" / f"{name}-0001")


def forge_chroma(folder: Path, change_it: Callable[[sqlite3.Connection], object]) -> None:
    path = folder / ".rag" / "chroma-0001" / "chroma.sqlite3"
    with closing(sqlite3.connect(path)) as connection:
        change_it(connection)
        connection.commit()
    record_as_it_is(folder, "chroma")


def random_vectors(folder: Path) -> None:
    overwrite(graph_of(folder / ".rag") / "data_level0.bin")
    record_as_it_is(folder, "chroma")


def another_text(folder: Path) -> None:
    statement = (
        "UPDATE embedding_metadata SET string_value = 'forged' "
        "WHERE key = 'chroma:document' AND id IN (SELECT id FROM embeddings LIMIT 2)"
    )
    forge_chroma(folder, lambda connection: connection.execute(statement))


def another_place(folder: Path) -> None:
    statement = "UPDATE embedding_metadata SET int_value = 1 + int_value WHERE key = 'start'"
    forge_chroma(folder, lambda connection: connection.execute(statement))


def terms_of_other_chunks(folder: Path) -> None:
    shutil.rmtree(folder / ".rag" / "terms-0001")
    with closing(Catalog(folder / ".rag", write=False)) as catalog:
        chunks = list(catalog.all_chunks())
    Lexicon(folder / ".rag" / "terms-0001").add([*chunks[3:], chunks[5]])
    record_as_it_is(folder, "terms")


def terms_of_other_words(folder: Path) -> None:
    shutil.rmtree(folder / ".rag" / "terms-0001")
    with closing(Catalog(folder / ".rag", write=False)) as catalog:
        chunks = [
            replace(chunk, embedded="barge " + chunk.embedded) for chunk in catalog.all_chunks()
        ]
    Lexicon(folder / ".rag" / "terms-0001").add(chunks)
    record_as_it_is(folder, "terms")


@pytest.mark.parametrize(
    ("forge", "name", "what"),
    [
        # An error of Chroma's, or the end of the process that reads it by SIGSEGV.
        pytest.param(random_vectors, "chroma", "", marks=pytest.mark.slow),
        (another_text, "chroma", "2 texts are not the catalog's"),
        pytest.param(
            another_place,
            "chroma",
            "240 positions or headings are not the catalog's",
            marks=pytest.mark.slow,
        ),
        pytest.param(
            terms_of_other_chunks,
            "terms",
            "3 chunks of the catalog are missing",
            marks=pytest.mark.slow,
        ),
        pytest.param(
            terms_of_other_words,
            "terms",
            "is scored otherwise than by its terms",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_a_copy_that_says_something_else_than_the_catalog_is_found_and_built_anew(
    folder: Path,
    whole: tuple[Path, Answers],
    forge: Callable[[Path], None],
    name: str,
    what: str,
) -> None:
    forge(folder)
    with opened(folder) as corpus:
        mended = corpus.doctor(fix=True)
        assert failed(mended) == {}
        assert {finding.check for finding in mended.fixed} == {name}
        assert what in " ".join(finding.what for finding in mended.fixed)
        assert answers(corpus) == whole[1]


def test_a_folder_that_belongs_to_nobody_is_found_and_deleted(folder: Path) -> None:
    shutil.copytree(folder / ".rag" / "terms-0001", folder / ".rag" / "terms-0007")
    with opened(folder) as corpus:
        mended = corpus.doctor(fix=True)
        assert mended.findings == ()
        assert [finding.what for finding in mended.fixed] == ["terms-0007 is no copy any more"]
    assert not (folder / ".rag" / "terms-0007").exists()


# ---- the catalog ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("statement", "check", "what"),
    [
        ("DELETE FROM vectors WHERE number = 7", "catalog", "1 rows of chunks belong to no row"),
        ("DELETE FROM documents WHERE id = '1.txt'", "catalog", "rows of chunks belong to no row"),
        ("UPDATE contents SET text = 'x' || text WHERE document = 1", "texts", "not its slice"),
        ("UPDATE contents SET text = text || ' x' WHERE document = 1", "texts", "lie in no chunk"),
        ("UPDATE chunks SET start = start + 1 WHERE number = 9", "texts", "lie in no chunk"),
        (
            "UPDATE chunks SET start = start - 1, end = end - 1 WHERE number = 9",
            "texts",
            "not its slice",
        ),
        ("UPDATE documents SET digest = 'x' WHERE id = '1.txt'", "texts", "1.txt is not the text"),
        ("UPDATE chunks SET vector = 5 WHERE number = 9", "texts", "the vector of another text"),
        ("DELETE FROM chunks WHERE number = 9", "texts", "0.txt has 59 chunks of 60"),
        ("UPDATE contents SET sections = '[[' WHERE document = 1", "texts", "JSONDecodeError"),
        (
            "UPDATE vectors SET vector = zeroblob(1536) WHERE number = 9",
            "texts",
            "1 vectors are not of length 1",
        ),
    ],
)
def test_a_wrong_row_of_the_catalog_is_found_with_what_to_do(
    folder: Path, statement: str, check: str, what: str
) -> None:
    change(folder, "PRAGMA foreign_keys = OFF", statement)
    with opened(folder) as corpus:
        found = corpus.doctor(fix=True)
        assert what in "; ".join(failed(found)[check])
        assert "restore .rag from a backup" in found.findings[0].mend
        assert "the documents are not touched" in found.findings[0].mend
        assert found.fixed == ()


def test_a_page_of_garbage_in_the_catalog_is_a_finding(folder: Path) -> None:
    path = folder / ".rag" / "catalog.sqlite3"
    good = path.read_bytes()
    with opened(folder) as corpus:
        path.write_bytes(good[: 8192 * 9] + os.urandom(8192 * 3) + good[8192 * 12 :])
        found = corpus.doctor(fix=True)
    assert failed(found)
    assert "restore .rag from a backup" in found.findings[0].mend


def test_vectors_of_another_model_are_found(folder: Path) -> None:
    class Other(HashingEmbedder):
        def embed_documents(self, texts: list[str]) -> Matrix:  # type: ignore[override]
            return super().embed_documents([text.upper() + " other" for text in texts])

    with opened(folder, Other()) as corpus:
        (what,) = failed(corpus.doctor())["vectors"]
    assert what.startswith("32 of 32 chunks embedded again gave another vector (cosine 0.")


def test_a_chunk_that_the_embedder_cannot_read_whole_is_found(folder: Path) -> None:
    embedder = HashingEmbedder()
    with opened(folder, embedder) as corpus:
        embedder.max_tokens = 10
        found = failed(corpus.doctor())
    assert set(found) == {"windows"}
    assert "0.txt are longer than the 10 tokens that are read" in found["windows"][0]


def test_terms_of_other_rules_are_found_and_built_anew(folder: Path) -> None:
    change(folder, "UPDATE meta SET value = '0' WHERE key = 'term_rules'")
    with opened(folder) as corpus:
        mended = corpus.doctor(fix=True)
        assert mended.findings == ()
        assert [finding.what for finding in mended.fixed] == [
            "they were made by other rules",
            "terms-0001 is no copy any more",
        ]


def test_an_index_that_cannot_be_opened_is_a_finding_with_what_to_do(folder: Path) -> None:
    overwrite(folder / ".rag" / "catalog.sqlite3")
    with pytest.raises(CorpusError) as raised:
        opened(folder).__enter__()
    (finding,) = unopened(raised.value).findings
    assert finding.check == "catalog"
    assert finding.what.endswith("file is not a database")
    assert "restore it from a backup, or move its folder away and sync again" in finding.mend


def test_documents_of_an_older_reader_are_found(folder: Path) -> None:
    change(folder, "UPDATE documents SET reader = '0' WHERE id = '1.txt'")
    with opened(folder) as corpus:
        (finding,) = corpus.doctor(fix=True).findings
        assert finding.what == "1 documents were read by another version of the readers"
        assert finding.mend == "rag sync reads them again"
