"""A file that takes too long, takes too much, or crashes its reader fails alone."""

import os
import random
import re
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import pytest

from rag.documents import loaders
from rag.documents.folder import File
from rag.documents.worker import Worker
from rag.errors import DocumentError, EmptyDocument, UnreadableDocument
from tests.documents.make_pdf import make_pdf
from tests.documents.test_bombs import drawing_itself
from tests.documents.test_hostile import ARCHIVES, FILES, inside, members, part
from tests.index.samples import start

CRASH = "import ctypes; ctypes.string_at(0)"
LOOP = "while True: pass"


def write(folder: Path, name: str, data: bytes) -> File:
    path = folder / name
    path.write_bytes(data)
    return File(id=name, path=path, size=len(data), mtime_ns=1)


def a_pdf(folder: Path, name: str, line: str = "The pilot boards.") -> File:
    return write(folder, name, make_pdf([(line,)]))


def working(
    files: Sequence[File], *, timeout_s: float = 60, memory_bytes: int = 2_000_000_000
) -> Worker:
    return Worker(files, max_bytes=50_000_000, timeout_s=timeout_s, memory_bytes=memory_bytes)


def children() -> list[int]:
    """List the processes that this one has started and that live."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            state, parent = stat.read_text(encoding="ascii").rpartition(") ")[2].split()[:2]
            if int(parent) == os.getpid() and state != "Z":
                found.append(int(stat.parent.name))
    return found


def stand_in(folder: Path, monkeypatch: pytest.MonkeyPatch, module: str, code: str) -> None:
    """Put a library of this code into the place of one that a reader imports."""
    libraries = folder / "libraries"
    libraries.mkdir()
    (libraries / f"{module}.py").write_text(code, encoding="utf-8")
    monkeypatch.syspath_prepend(libraries)


def test_what_the_worker_reads_is_what_load_reads(tmp_path: Path) -> None:
    files = [write(tmp_path, name, data) for name, data in FILES.items()]
    with working(files) as worker:
        for file in files:
            assert worker.load(file) == loaders.load(file.path, id=file.id)


def test_an_error_of_a_file_is_the_one_that_load_raises(tmp_path: Path) -> None:
    files = [write(tmp_path, "a.html", b"<p></p>"), a_pdf(tmp_path, "b.pdf")]
    with working(files) as worker:
        with pytest.raises(EmptyDocument, match="save the page from a browser") as caught:
            worker.load(files[0])
        assert caught.value.source == str(tmp_path / "a.html")
        assert worker.load(files[1]).text == "The pilot boards."


def test_a_file_that_crashes_the_interpreter_fails_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_in(tmp_path, monkeypatch, "pypdfium2", CRASH)
    files = [a_pdf(tmp_path, "a.pdf"), write(tmp_path, "b.html", FILES["a.html"])]
    with working(files) as worker:
        with pytest.raises(UnreadableDocument) as caught:
            worker.load(files[0])
        assert str(caught.value) == (
            f"'{tmp_path}/a.pdf' crashed its reader (SIGSEGV); save it anew in the program that "
            "it comes from, leave it out by .ragignore, or raise the setting "
            "documents.read_memory_bytes if it is large"
        )
        assert worker.load(files[1]).title == "Dues"


def test_a_file_whose_reading_does_not_end_fails_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_in(tmp_path, monkeypatch, "pypdfium2", LOOP)
    files = [a_pdf(tmp_path, "a.pdf"), write(tmp_path, "b.html", FILES["a.html"])]
    with working(files, timeout_s=5) as worker:
        with pytest.raises(UnreadableDocument) as caught:
            worker.load(files[0])
        assert str(caught.value) == (
            f"'{tmp_path}/a.pdf' was not read within 5 seconds; split it, leave it out by "
            ".ragignore, or raise the setting documents.read_timeout_s"
        )
        assert worker.load(files[1]).title == "Dues"


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere no limit of memory holds")
@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("a.html", b"<p>water</p>" * 2_000_000),
        ("a.json", b"[" + b'{"a":[1]},' * 2_000_000 + b"1]"),
        ("a.csv", b"water,dues\n" * 4_000_000),
    ],
)
def test_a_file_that_takes_too_much_memory_fails_alone(
    tmp_path: Path, name: str, data: bytes
) -> None:
    files = [write(tmp_path, name, data), a_pdf(tmp_path, "b.pdf")]
    with working(files, memory_bytes=100_000_000) as worker:
        with pytest.raises(UnreadableDocument) as caught:
            worker.load(files[0])
        assert str(caught.value) == (
            f"'{tmp_path}/{name}' takes more memory than 100,000,000 bytes to read; split it, "
            "leave it out by .ragignore, or raise the setting documents.read_memory_bytes"
        )
        assert worker.load(files[1]).text == "The pilot boards."


def test_a_pdf_that_draws_itself_without_end_fails_alone(tmp_path: Path) -> None:
    # pdfium goes on until the memory ends, and crashes; a newer one may know better.
    files = [write(tmp_path, "a.pdf", drawing_itself()), a_pdf(tmp_path, "b.pdf")]
    with working(files, memory_bytes=100_000_000) as worker:
        with suppress(UnreadableDocument):
            assert worker.load(files[0]).text == "The pilot boards"
        assert worker.load(files[1]).text == "The pilot boards."


def test_an_error_that_no_reader_knows_of_fails_its_file_alone_and_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    code = "print('x' * 9_000_000)\nraise BufferError('no page tree')"
    stand_in(tmp_path, monkeypatch, "pypdfium2", code)
    files = [a_pdf(tmp_path, "a.pdf"), write(tmp_path, "b.html", FILES["a.html"])]
    with working(files) as worker:
        with pytest.raises(UnreadableDocument, match="exit status 1, BufferError: no page tree"):
            worker.load(files[0])
        assert worker.load(files[1]).title == "Dues"
    assert capfd.readouterr() == ("", "")


def test_a_file_is_not_blamed_for_what_an_earlier_one_broke(tmp_path: Path) -> None:
    files = [
        a_pdf(tmp_path, "a.pdf"),
        write(tmp_path, "b.txt", b"Tides."),
        a_pdf(tmp_path, "c.pdf"),
    ]
    with working(files) as worker:
        worker.load(files[0])
        (child,) = children()
        os.kill(child, signal.SIGSEGV)
        worker.load(files[1])
        assert worker.load(files[2]).text == "The pilot boards."


def test_where_no_process_starts_each_file_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = [a_pdf(tmp_path, "a.pdf"), write(tmp_path, "b.txt", b"Tides.")]
    monkeypatch.setattr(sys, "executable", str(tmp_path / "none"))
    with working(files) as worker:
        with pytest.raises(UnreadableDocument, match="no process to read it started: No such file"):
            worker.load(files[0])
        assert worker.load(files[1]).text == "Tides."


def test_the_files_are_asked_for_in_their_order(tmp_path: Path) -> None:
    files = [a_pdf(tmp_path, "a.pdf"), a_pdf(tmp_path, "b.pdf")]
    with working(files) as worker, pytest.raises(ValueError, match=r"'b\.pdf' is not the next"):
        worker.load(files[1])


def test_no_process_starts_for_nothing_or_for_small_texts(tmp_path: Path) -> None:
    small = [write(tmp_path, "a.md", b"# Tides"), write(tmp_path, "b.txt", "潮汐。".encode())]
    for files in ([], small):
        with working(files) as worker:
            for file in files:
                worker.load(file)
            assert children() == []


def test_a_text_that_only_claims_to_be_one_is_read_by_the_worker(tmp_path: Path) -> None:
    files = [
        write(tmp_path, "a.txt", FILES["a.pdf"]),
        write(tmp_path, "b.txt", "水费".encode("gbk")),
    ]
    with working(files) as worker:
        assert dict(worker.load(files[0]).metadata)["format"] == "pdf"
        assert len(children()) == 1


def test_one_process_reads_all_files_and_ends_with_the_last(tmp_path: Path) -> None:
    files = [a_pdf(tmp_path, f"{number}.pdf") for number in range(5)]
    seen = set()
    with working(files) as worker:
        for file in files:
            worker.load(file)
            seen.update(children())
    assert len(seen) == 1
    assert children() == []


def test_ctrl_c_is_for_the_parent_alone(tmp_path: Path) -> None:
    file = a_pdf(tmp_path, "a.pdf")
    with working([file]) as worker:
        worker.load(file)
        (child,) = children()
        assert os.getpgid(child) == child


ORPHAN = """
import sys
from pathlib import Path
from tests.documents.test_worker import LOOP, a_pdf, children, working
folder = Path(sys.argv[1])
(folder / "pypdfium2.py").write_text(LOOP)
sys.path.insert(0, str(folder))
file = a_pdf(folder, "a.pdf")
with working([file]) as worker:
    print(*children(), flush=True)
    worker.load(file)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere an orphan reads to its file's end")
def test_the_process_ends_with_a_parent_that_is_killed(tmp_path: Path) -> None:
    with start(ORPHAN, tmp_path) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        time.sleep(1)  # It may be starting, or in the loop: it ends either way.
        parent.kill()
        parent.wait()
    deadline = time.monotonic() + 30
    while Path(f"/proc/{child}").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not Path(f"/proc/{child}").exists()


# ---- files damaged at random ------------------------------------------------------------

SEED = 20_261_127
_UNGUARDED = re.compile("crashed its reader|not read within|takes more memory")
"""What the worker says of a file that met no error of its reader."""


def broken(rng: random.Random, data: bytes) -> bytes:
    """Flip bits of a file, cut a piece out of it, or put a piece of another file into it."""
    changed = bytearray(data)
    place = rng.randrange(len(data))
    match rng.choice(["flip", "cut", "end", "splice"]):
        case "flip":
            for _ in range(rng.randint(1, 30)):
                changed[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        case "cut":
            del changed[place : place + rng.randint(1, 200)]
        case "end":
            del changed[place:]
        case "splice":
            other = rng.choice(list(FILES.values()))
            start = rng.randrange(len(other))
            changed[place : place + rng.randint(0, 50)] = other[start : start + 500]
    return bytes(changed)


def damaged_files(folder: Path, *, each: int) -> Iterator[File]:
    """Damage files of every format; of archives every second one inside, checksums mended."""
    rng = random.Random(SEED)
    for name, data in FILES.items():
        for number in range(each):
            if name in ARCHIVES and number % 2:
                member = rng.choice(members(name))
                worse = inside(data, member, broken(rng, part(name, member)))
            else:
                worse = broken(rng, data)
            yield write(folder, f"{number}{name}", worse)


@pytest.mark.parametrize("each", [3, pytest.param(150, marks=pytest.mark.slow)])
def test_no_damaged_file_is_more_than_an_error_of_ours(tmp_path: Path, each: int) -> None:
    files = list(damaged_files(tmp_path, each=each))
    refusals: list[str] = []
    # So little memory and time that a reader which ran away would meet a limit.
    with working(files, timeout_s=120, memory_bytes=500_000_000) as worker:
        for file in files:
            try:
                assert worker.load(file).text.strip()
            except DocumentError as error:
                refusals.append(str(error))
    assert len(files) / 10 < len(refusals) < len(files)
    assert [told for told in refusals if _UNGUARDED.search(told)] == []
