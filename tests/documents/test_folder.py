"""A folder becomes a list of files."""

import os
import socket
from pathlib import Path

import pytest

from rag.documents.folder import leave_out, list_files
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


def test_what_is_skipped_for_its_kind_comes_with_the_way_to_have_it_read(tmp_path: Path) -> None:
    write(tmp_path, "a.zip", "b.tar.gz", "c.7z", "d.RAR", "e.doc", "f")
    listing = list_files(tmp_path, is_supported=is_text)
    assert [skipped.reason for skipped in listing.skipped] == [
        "no reader for this kind (.zip); unpack it",
        "no reader for this kind (.gz); unpack it",
        "no reader for this kind (.7z); unpack it",
        "no reader for this kind (.RAR); unpack it",
        "no reader for this kind (.doc); save it as .docx",
        "no reader for this kind (no suffix)",
    ]


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


def test_a_link_within_a_corpus_that_is_itself_opened_by_a_link_stays_inside(
    tmp_path: Path,
) -> None:
    write(tmp_path, "corpus/a.md")
    (tmp_path / "corpus/b.md").symlink_to("a.md")
    (tmp_path / "link").symlink_to("corpus")
    listing = list_files(tmp_path / "link", is_supported=is_text)
    assert [file.id for file in listing.files] == ["a.md"]
    assert [s.reason for s in listing.skipped] == [
        "a symbolic link; what it points to is indexed under its own name"
    ]


def test_a_neighbour_whose_name_begins_like_the_corpus_lies_outside(tmp_path: Path) -> None:
    write(tmp_path, "corpus/a.md", "corpus-old/b.md")
    (tmp_path / "corpus/b.md").symlink_to("../corpus-old/b.md")
    listing = list_files(tmp_path / "corpus", is_supported=is_text)
    assert [(s.id, s.reason) for s in listing.skipped] == [
        ("b.md", f"a symbolic link that leaves the corpus ({tmp_path}/corpus-old/b.md)")
    ]


def test_links_to_nothing_and_to_themselves_are_reported(tmp_path: Path) -> None:
    (tmp_path / "gone.md").symlink_to("removed.md")
    (tmp_path / "round.md").symlink_to("round.md")
    listing = list_files(tmp_path, is_supported=is_text)
    assert [(s.id, s.reason) for s in listing.skipped] == [
        ("gone.md", f"a symbolic link to nothing ({tmp_path}/removed.md)"),
        ("round.md", f"a symbolic link to nothing ({tmp_path}/round.md)"),
    ]


def test_a_link_that_leads_back_up_ends_no_walk(tmp_path: Path) -> None:
    write(tmp_path, "a/b/c.md")
    (tmp_path / "a/b/up").symlink_to(tmp_path)
    listing = list_files(tmp_path, is_supported=is_text)
    assert [file.id for file in listing.files] == ["a/b/c.md"]


def test_a_pipe_is_not_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.md")
    listing = list_files(tmp_path, is_supported=is_text)
    assert [(s.id, s.reason) for s in listing.skipped] == [("pipe.md", "not a regular file")]


def test_a_socket_is_not_read(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        os.chdir(tmp_path)  # The path of a socket has at most 107 bytes.
        listener.bind("socket.md")
    listing = list_files(tmp_path, is_supported=is_text)
    assert [(s.id, s.reason) for s in listing.skipped] == [("socket.md", "not a regular file")]


def test_a_name_that_is_not_utf8_is_a_failure(tmp_path: Path) -> None:
    (Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xc0\xaf.md"))).write_text("x", encoding="utf-8")
    listing = list_files(tmp_path, is_supported=is_text)
    assert [failure.id for failure in listing.failed] == [r"\xc0\xaf.md"]
    assert isinstance(listing.failed[0].error, UnreadableDocument)
    said = str(listing.failed[0].error)
    assert said == r"the name '\xc0\xaf.md' is not UTF-8; rename it"


def test_a_folder_whose_name_is_not_utf8_is_one_failure_for_all_below(tmp_path: Path) -> None:
    folder = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9"))
    write(folder, "a.md", "b.md")
    write(tmp_path, "café/a.md")
    listing = list_files(tmp_path, is_supported=is_text)
    assert [file.id for file in listing.files] == ["café/a.md"]
    assert [failure.id for failure in listing.failed] == [r"caf\xe9"]


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


def test_a_corpus_that_cannot_be_opened_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match=r"gone cannot be opened: No such file") as told:
        list_files(tmp_path / "gone", is_supported=is_text)
    assert told.value.path == str(tmp_path / "gone")
    write(tmp_path, "file")
    with pytest.raises(CorpusError, match="Not a directory"):
        list_files(tmp_path / "file", is_supported=is_text)


def test_a_file_that_vanishes_while_it_is_listed_is_a_failure(tmp_path: Path) -> None:
    write(tmp_path, "a.md", "b.md")

    def is_text_and_removes(path: Path) -> bool:
        if path.name == "a.md":
            path.unlink()
        return is_text(path)

    listing = list_files(tmp_path, is_supported=is_text_and_removes)
    assert [file.id for file in listing.files] == ["b.md"]
    assert [str(failure.error) for failure in listing.failed] == [
        "'a.md' cannot be read: No such file or directory"
    ]


@pytest.mark.parametrize(
    ("patterns", "listed"),
    [
        ("*.md", ["b/c.txt", "d.txt"]),
        ("/*.md", ["b/a.md", "b/c.txt", "b/e/a.md", "d.txt"]),
        ("b/", ["a.md", "d.txt"]),
        ("b/*.md", ["a.md", "b/c.txt", "b/e/a.md", "d.txt"]),
        ("**/e/", ["a.md", "b/a.md", "b/c.txt", "d.txt"]),
        ("*.md\n!/a.md", ["a.md", "b/c.txt", "d.txt"]),
        ("b/\n!b/c.txt", ["a.md", "d.txt"]),
        ("# a.md\n\n[a-c].txt\r\n", ["a.md", "b/a.md", "b/e/a.md", "d.txt"]),
        ("\ufeffa.md", ["b/c.txt", "d.txt"]),
        ("e", ["a.md", "b/a.md", "b/c.txt", "d.txt"]),
    ],
)
def test_the_ignore_file_has_the_syntax_of_gitignore(
    tmp_path: Path, patterns: str, listed: list[str]
) -> None:
    write(tmp_path, "a.md", "b/a.md", "b/c.txt", "b/e/a.md", "d.txt")
    (tmp_path / ".ragignore").write_bytes(patterns.encode())
    listing = list_files(tmp_path, is_supported=is_text)
    assert [file.id for file in listing.files] == listed


def test_only_the_ignore_file_of_the_corpus_itself_holds(tmp_path: Path) -> None:
    write(tmp_path, "a/b.md")
    (tmp_path / "a/.ragignore").write_text("*", encoding="utf-8")
    listing = list_files(tmp_path, is_supported=is_text)
    assert [file.id for file in listing.files] == ["a/b.md"]
    assert [(s.id, s.reason) for s in listing.skipped] == [("a/.ragignore", "hidden")]


@pytest.mark.parametrize("kind", ["folder", "link to nothing"])
def test_what_is_called_ragignore_but_is_no_file_stops_the_listing(
    tmp_path: Path, kind: str
) -> None:
    path = tmp_path / ".ragignore"
    if kind == "folder":
        path.mkdir()
    else:
        path.symlink_to("patterns-of-mine")
    with pytest.raises(CorpusError, match=r"\.ragignore cannot be used"):
        list_files(tmp_path, is_supported=is_text)


def test_an_ignore_file_that_cannot_be_used_stops_the_listing(tmp_path: Path) -> None:
    (tmp_path / ".ragignore").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(CorpusError, match="ragignore"):
        list_files(tmp_path, is_supported=is_text)


@pytest.mark.parametrize(
    ("name", "others"),
    [
        ("a.md", ["b/a.md", "a.md.md"]),
        ("#a.md", ["a.md"]),
        ("!a.md", ["a.md"]),
        ("合同 第一.md", ["合同.md"]),
        ("a[1].md", ["a1.md"]),
        ("a*?.md", ["axy.md", "a**.md"]),
        ("a\\b.md", ["ab.md"]),
        ("]a[.md", ["a.md"]),
        ("x/ a.md", ["x/a.md", "a.md"]),
        ("a.md ", ["a.md"]),
        ("结尾.md\u3000", ["结尾.md"]),
    ],
)
def test_a_file_that_is_left_out_is_left_out_alone(
    tmp_path: Path, name: str, others: list[str]
) -> None:
    write(tmp_path, name, *others)
    assert len(leave_out(tmp_path, [name])) == 1
    listing = list_files(tmp_path, is_supported=lambda _: True)
    assert [file.id for file in listing.files] == sorted(others)
    assert [skipped.id for skipped in listing.skipped] == [name]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (None, b"/a.md\n"),
        (b"", b"/a.md\n"),
        (b"*.tmp\n", b"*.tmp\n/a.md\n"),
        (b"*.tmp", b"*.tmp\n/a.md\n"),
        (b"\xef\xbb\xbf# ours\r\n*.tmp\r\n", b"\xef\xbb\xbf# ours\r\n*.tmp\r\n/a.md\r\n"),
        (b"!a.md\n", b"!a.md\n/a.md\n"),
    ],
)
def test_what_stands_in_ragignore_stays(tmp_path: Path, before: bytes | None, after: bytes) -> None:
    if before is not None:
        (tmp_path / ".ragignore").write_bytes(before)
    write(tmp_path, "a.md", "b.md")
    leave_out(tmp_path, ["a.md"])
    assert (tmp_path / ".ragignore").read_bytes() == after
    assert [file.id for file in list_files(tmp_path, is_supported=is_text).files] == ["b.md"]


def test_a_name_with_a_line_break_cannot_be_left_out(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"line break in its name.*rename it"):
        leave_out(tmp_path, ["a.md", "b\nc.md"])
    assert not (tmp_path / ".ragignore").exists()
