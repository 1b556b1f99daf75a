"""Texts that must be gone are looked for, byte by byte, in every file of an index.

A *run* is 32 bytes of a text in UTF-8 that stand nowhere in the documents that remain.

1. The runs of the texts are hashed, all that begin at any byte. Equal hashes are compared
   word by word, so that nothing is found or missed by chance.
2. What the catalog still holds, of other documents, is taken off.
3. Every file is cut into blocks of 16 bytes. A run of 32, wherever it begins, holds one of
   them whole, so that one look at a table for each block passes over nearly everything; around
   the few blocks that are in the table, whole runs are hashed and compared.

Looking through an index of 500 MB for a document of 10 MB takes 13 s of one core, and up to 850
MB of memory; for one of 100 kB 1.4 s.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rag.index.catalog import Catalog

RUN_BYTES = 32
"""Ten Chinese characters, or five English words: less is shared by chance."""
_BLOCK_BYTES = 16
"""Half of a run: one that begins anywhere holds a whole block."""
_PIECE_BYTES = 1 << 21
"""Of a file, looked through at once; around it is some 100 MB of scratch memory at worst."""
_PART_BYTES = 1 << 22
"""Of the texts, looked for at once with some 600 MB of memory; longer ones take more rounds."""
_TABLE_BITS = (12, 27)
"""The table has eight places a run, within these bounds: 4 kB to 128 MB."""

Places = NDArray[np.int64]
Hashes = NDArray[np.uint64]
Words = NDArray[np.uint64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Searched:
    """What was looked for, where, and what was found."""

    runs: int
    """Different runs of the texts that no remaining document shares."""
    files: int
    size_bytes: int
    found: tuple[str, ...]
    """Files, relative to the index, that hold one of the runs."""


def search(folder: Path, texts: Sequence[str]) -> Searched:
    """Look for the runs of texts in every file of an index.

    To be called in a process that has none of the files open otherwise (`rag.index.child`).

    Parameters
    ----------
    folder : the index folder; no writer is at work in it.
    texts : what must be gone.
    """
    n_runs = 0
    found: set[str] = set()
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    sizes = []
    for path in files:
        with suppress(FileNotFoundError):  # The two that SQLite has go with the last reader.
            sizes.append(path.stat().st_size)
    for part in _parts(texts):
        runs = Runs(part)
        with closing(Catalog(folder, write=False)) as catalog:
            for text in catalog.all_texts():
                runs.discard(text.encode("utf-8", "surrogatepass"))
        n_runs += len(runs)
        found |= {
            path.relative_to(folder).as_posix()
            for path in files
            if any(runs.are_in(piece) for piece in _pieces(path))
        }
    return Searched(
        runs=n_runs,
        files=len(files),
        size_bytes=sum(sizes),
        found=tuple(sorted(found)),
    )


def _parts(texts: Iterable[str]) -> Iterator[bytes]:
    """Join texts by what no text holds, and cut what is too long so that no run is lost."""
    joined = b"\xff".join(text.encode("utf-8", "surrogatepass") for text in texts)
    for start in range(0, max(len(joined) - RUN_BYTES + 1, 1), _PART_BYTES):
        yield joined[start : start + _PART_BYTES + RUN_BYTES - 1]


def _pieces(path: Path) -> Iterator[bytes]:
    """Read a file in pieces, each of which begins a run and a block before the last one ends."""
    kept = b""
    with suppress(FileNotFoundError), path.open("rb") as file:
        while piece := file.read(_PIECE_BYTES):
            yield kept + piece
            kept = (kept + piece)[-(RUN_BYTES + _BLOCK_BYTES) :]


class Runs:
    """The different runs of one text.

    Parameters
    ----------
    text : bytes; runs that hold the byte 0xFF, which UTF-8 never has, or nothing but zeros, of
        which every database is full, are none.
    """

    def __init__(self, text: bytes) -> None:
        self._text = np.frombuffer(text, np.uint8)
        self._words = _words_of(self._text)
        starts = self._starts()
        source = np.random.default_rng(0)
        while True:
            self._factors = source.integers(1, 1 << 63, 4, np.uint64) | np.uint64(1)
            hashes = self._hash(self._words, starts, RUN_BYTES)
            order = np.argsort(hashes, kind="stable")
            hashes, places = hashes[order], starts[order]
            again = np.flatnonzero(hashes[1:] == hashes[:-1])
            if self._are_equal(self._words, places[again], places[again + 1]).all():
                break  # Else two different runs have one hash: others are tried.
        first = np.ones(len(hashes), np.bool_)
        first[again + 1] = False
        self._hashes, self._places = hashes[first], places[first]
        self._fill_table()

    def __len__(self) -> int:
        return len(self._hashes)

    def discard(self, data: bytes) -> None:
        """Take off the runs that stand in other bytes."""
        for start in range(0, len(data), _PIECE_BYTES):
            end = start + _PIECE_BYTES + RUN_BYTES + _BLOCK_BYTES
            if len(shared := self._matches(data[start:end])):
                kept = np.ones(len(self), np.bool_)
                kept[shared] = False
                self._hashes, self._places = self._hashes[kept], self._places[kept]
                self._stale = True

    def are_in(self, data: bytes) -> bool:
        """Tell whether a run stands in some bytes."""
        if self._stale:
            self._fill_table()
        return bool(len(self._matches(data)))

    def _starts(self) -> Places:
        """Find where runs begin."""
        n_runs = max(len(self._text) - RUN_BYTES + 1, 0)
        separators, others = (
            np.concatenate([[0], np.cumsum(same, dtype=np.int32)])
            for same in (self._text == 0xFF, self._text != 0)
        )
        ends = slice(RUN_BYTES, RUN_BYTES + n_runs)
        whole = separators[ends] == separators[:n_runs]
        return np.flatnonzero(whole & (others[ends] > others[:n_runs]))

    def _fill_table(self) -> None:
        """Note the hashes of all runs, and of the blocks that begin in the first half of one."""
        self._stale = False
        inside = np.zeros(len(self._text), np.bool_)
        inside[self._places] = True
        for step in (1, 2, 4, 8):  # Each doubles how far it reaches: 1 + 1 + 2 + 4 + 8 = 16.
            inside[step:] |= inside[:-step].copy()
        self._blocks = np.sort(self._hash(self._words, np.flatnonzero(inside), _BLOCK_BYTES))
        n = len(self._blocks) + len(self)
        bits = min(max(_TABLE_BITS[0], (8 * n).bit_length()), _TABLE_BITS[1])
        self._shift = np.uint64(64 - bits)
        self._table = np.zeros(1 << bits, np.bool_)
        for hashes in (self._hashes, self._blocks):
            self._table[hashes >> self._shift] = True

    def _matches(self, data: bytes) -> Places:
        """Find the runs that stand in some bytes, as places in the sorted hashes."""
        none = np.zeros(0, np.int64)
        if len(data) < RUN_BYTES or not len(self):
            return none
        words = _words_of(np.frombuffer(data, np.uint8))
        n_starts = len(data) - RUN_BYTES + 1
        blocks, _ = self._known(
            self._hash(words, slice(0, len(data) - _BLOCK_BYTES + 1, _BLOCK_BYTES), _BLOCK_BYTES),
            self._blocks,
        )
        if not len(blocks):
            return none
        begins = np.zeros(len(data), np.bool_)
        for back in range(_BLOCK_BYTES):
            begins[np.maximum(blocks * _BLOCK_BYTES - back, 0)] = True
        starts = np.flatnonzero(begins[:n_starts])
        words = np.ascontiguousarray(words)
        asked, found = self._known(self._hash(words, starts, RUN_BYTES), self._hashes)
        equal = self._are_equal(words, starts[asked], self._places[found])
        return np.unique(found[equal])

    def _known(self, hashes: Hashes, among: Hashes) -> tuple[Places, Places]:
        """Find which hashes are among others, which are sorted: their places in both."""
        asked = np.flatnonzero(self._table[hashes >> self._shift])
        # In the order of the others the search goes through memory once, not all over it.
        asked = asked[np.argsort(hashes[asked])]
        found = np.minimum(np.searchsorted(among, hashes[asked]), len(among) - 1)
        same = among[found] == hashes[asked]
        return asked[same], found[same]

    def _hash(self, words: Words, starts: Places | slice, n_bytes: int) -> Hashes:
        """Hash runs or blocks of some bytes; the higher a bit, the better it is."""
        first = words[starts]
        total: Hashes = first * self._factors[0]
        for n in range(1, n_bytes // 8):
            total += words[8 * n :][starts][: len(first)] * self._factors[n]
        return total

    def _are_equal(self, words: Words, starts: Places, places: Places) -> NDArray[np.bool_]:
        """Compare runs of some words with runs of the text."""
        equal = np.ones(len(starts), np.bool_)
        for n in range(0, RUN_BYTES, 8):
            equal &= words[starts + n] == self._words[places + n]
        return equal


def _words_of(data: NDArray[np.uint8]) -> Words:
    """View bytes as words of eight, one beginning at each byte: (n - 7,)."""
    n_words = max(len(data) - 7, 0)
    return np.ndarray((n_words,), np.dtype("<u8"), buffer=data if n_words else b"", strides=(1,))
