"""Runs of 32 bytes are found wherever they stand, and only they."""

import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag.index import erasure
from rag.index.erasure import RUN_BYTES, Runs, Searched, search
from tests.index.samples import a_record, write

PILOT = "The pilot must be on board two hours before high water at the bar."
BARGE = "Barges lie in the inner basin until the lock-keeper has had his tea."
CHINESE = "石门坎水库由县防汛指挥部下令开闸，茶园喷灌每立方米收水费。"


def windows(data: bytes) -> set[bytes]:
    return {data[at : at + RUN_BYTES] for at in range(len(data) - RUN_BYTES + 1)}


@given(
    st.binary(max_size=90).map(lambda data: bytes(byte % 2 + 97 for byte in data)),
    st.binary(max_size=40),
    st.integers(0, 90),
    st.integers(0, 60),
    st.binary(max_size=40),
)
def test_a_run_is_found_exactly_where_a_window_is_shared(
    text: bytes, before: bytes, start: int, length: int, behind: bytes
) -> None:
    data = before + text[start : start + length] + behind
    assert Runs(text).are_in(data) == bool(windows(text) & windows(data))
    runs = Runs(text)
    assert len(runs) == len(windows(text))
    runs.discard(data)
    assert len(runs) == len(windows(text) - windows(data))
    assert not runs.are_in(data)


def test_one_byte_less_than_a_run_is_nothing() -> None:
    text = PILOT.encode()
    assert Runs(text).are_in(b"x" * 5 + text[7 : 7 + 32] + b"y" * 40)
    assert not Runs(text).are_in(b"x" * 5 + text[7 : 7 + 31] + b"y" * 40)
    assert len(Runs(text[:31])) == 0


def test_zeros_and_joints_of_texts_are_no_runs() -> None:
    assert len(Runs(bytes(100))) == 0
    assert len(Runs(b"a" * 31 + b"\xff" + b"b" * 31)) == 0
    assert len(Runs(b"a" + bytes(31))) == 1


@pytest.fixture
def index(tmp_path: Path) -> Path:
    folder = tmp_path / ".rag"
    write(folder, a_record("a.md", BARGE, CHINESE))
    return folder


def test_a_text_that_is_nowhere_is_not_found(index: Path) -> None:
    found = search(index, [PILOT])
    assert (found.runs, found.found) == (len(PILOT) - 31, ())
    sizes = [path.stat().st_size for path in index.rglob("*") if path.is_file()]
    assert (found.files, found.size_bytes) == (len(sizes), sum(sizes))


def test_what_a_remaining_document_has_is_not_looked_for(index: Path) -> None:
    assert search(index, [BARGE, CHINESE]).runs == 0
    both = search(index, [f"{PILOT}\n{BARGE}"])
    assert both.runs == len(f"{PILOT}\n")  # Those that begin before the other one's text.
    assert both.found == ()


@pytest.mark.parametrize("at", [0, 1, 15, 16, 4099, (1 << 21) - 20, (1 << 21) + 3])
@pytest.mark.parametrize("text", [PILOT, "全县禁渔期改为每年二月十五日至七月十五日，头尾都算。"])
def test_a_run_is_found_wherever_it_lies(index: Path, text: str, at: int) -> None:
    noise = random.Random(at)
    piece = text.encode()[9:41]
    (index / "chroma-0001" / "left.bin").write_bytes(noise.randbytes(at) + piece + b"\0" * 9)
    (index / "other.bin").write_bytes(noise.randbytes(3 << 20))
    assert search(index, [text]).found == ("chroma-0001/left.bin",)


def test_texts_longer_than_one_round_lose_no_run(tmp_path: Path) -> None:
    text = random.Random(1).randbytes(erasure._PART_BYTES * 2).hex().encode()[: 9 << 20].decode()
    folder = tmp_path / ".rag"
    write(folder, a_record("a.md", BARGE))
    places = [0, erasure._PART_BYTES - 31, erasure._PART_BYTES - 1, len(text) - 32]
    for place in places:
        (folder / f"{place}").write_text(text[place : place + 32], encoding="ascii")
    found = search(folder, [PILOT, text])
    assert found == Searched(
        runs=len(PILOT) - 31 + len(text) - 31,
        files=found.files,
        size_bytes=found.size_bytes,
        found=tuple(sorted(str(place) for place in places)),
    )
