"""A folder becomes a list of files."""

import os
from pathlib import Path

import pytest

from rag.documents.folder import list_files
from rag.errors import CorpusError, UnreadableDocument
from tests.unprivileged import run_unprivileged


def is_text(path: Path) -> bool:
    return path.suffix in {".txt", ".md"}


def write(folder: Path, *names: str) -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("text", encoding="utf-8")


def test_files_are_listed_by_their_path_below_the_corpus(tmp_path: Path) -> None:
    write(tmp_path, "b.md", "a/z.txt", "县志/卷一.md")
    listing = list_files(tmp_path, is_supported=is_text)
    assert [file.id for file in listing.files] == ["a/z.txt", "b.md", "县志/卷一.md"]
    assert listing.files[0].size == 4
    assert (listing.skipped, listing.failed) == ([], [])


def test_the_corpus_own_files_are_no_documents(tmp_path: Path) -> None:
    write(tmp_path, ".rag/catalog.txt", ".ragignore", "rag.toml")
    listing = list_files(tmp_path, is_supported=lambda _: True)
    assert (listing.files, listing.skipped, listing.failed) == ([], [], [])


def test_hidden_ignored_and_unknown_files_are_skipped_with_the_reason(tmp_path: Path) -> None:
    write(tmp_path, ".hidden.md", ".git/x.md", "drafts/a.md", "b.tmp.md", "c.png", "keep.md")
    (tmp_path / ".ragignore").write_text("drafts/\n*.tmp.md\n", encoding="utf-8")
    listing = list_files(tmp_path, is_supported=is_text)
    assert [file.id for file in listing.files] == ["keep.md"]
    assert {(skipped.id, skipped.reason) for skipped in listing.skipped} == {
        (".git/", "hidden"),
        (".hidden.md", "hidden"),
        ("b.tmp.md", "left out by .ragignore"),
        ("c.png", "no reader for this kind (.png)"),
        ("drafts/", "left out by .ragignore"),
    }


def test_a_link_that_leaves_the_corpus_is_not_followed_and_reported(tmp_path: Path) -> None:
    corpus, outside = tmp_path / "corpus", tmp_path / "outside"
    write(corpus, "a.md")
    write(outside, "secret.md")
    (corpus / "file.md").symlink_to(outside / "secret.md")
    (corpus / "folder").symlink_to(outside)
    (corpus / "inner.md").symlink_to(corpus / "a.md")
    listing = list_files(corpus, is_supported=is_text)
    assert [file.id for file in listing.files] == ["a.md"]
    reasons = {skipped.id: skipped.reason for skipped in listing.skipped}
    assert reasons["file.md"].startswith("a symbolic link that leaves the corpus")
    assert reasons["folder"].startswith("a symbolic link that leaves the corpus")
    assert reasons["inner.md"] == (
        "a symbolic link; what it points to is indexed under its own name"
    )


def test_a_pipe_is_not_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.md")
    listing = list_files(tmp_path, is_supported=is_text)
    assert [(s.id, s.reason) for s in listing.skipped] == [("pipe.md", "not a regular file")]


def test_a_name_that_is_not_utf8_is_a_failure(tmp_path: Path) -> None:
    (Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xc0\xaf.md"))).write_text("x", encoding="utf-8")
    listing = list_files(tmp_path, is_supported=is_text)
    assert [failure.id for failure in listing.failed] == [r"\xc0\xaf.md"]
    assert isinstance(listing.failed[0].error, UnreadableDocument)
    assert "rename it" in str(listing.failed[0].error)


def test_a_folder_that_cannot_be_opened_is_a_failure(tmp_path: Path) -> None:
    write(tmp_path, "open.md", "closed/a.md")
    (tmp_path / "closed").chmod(0)
    found = run_unprivileged(
        "from rag.documents.folder import list_files; from pathlib import Path; import sys\n"
        "listing = list_files(Path(sys.argv[1]), is_supported=lambda _: True)\n"
        "print([f.id for f in listing.files], [f.id for f in listing.failed])",
        tmp_path,
    )
    assert found.strip() == "['open.md'] ['closed/']"


def test_an_ignore_file_that_cannot_be_used_stops_the_listing(tmp_path: Path) -> None:
    (tmp_path / ".ragignore").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(CorpusError, match="ragignore"):
        list_files(tmp_path, is_supported=is_text)
