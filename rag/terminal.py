"""What the commands show: to people on a terminal or in a pipe, and to programs as JSON.

On a terminal lines are broken at words, a few things are coloured, and long lists are cut
and counted. In a pipe nothing is coloured and every line is whole. Characters that would
command a terminal are shown as pictures: a document's text is never obeyed.
"""

import json
import re
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from rich.cells import cell_len, chop_cells
from rich.console import Console
from rich.text import Text

from rag.interrupts import asked

if TYPE_CHECKING:
    from rag.types import Progress

WIDEST = 100
"""Columns of running text, however wide the terminal is; longer lines are hard to read."""
_WIDE = r"\u2e80-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff01-\uffe6\U00020000-\U0003ffff"
_OPENERS = "“‘「『（【《〈〔［｛(\\["
_CLOSERS = "”’」』）】》〉〕］｝、。，；：？！…—·"
_UNIT = re.compile(
    rf"\n|[^\S\n]+|[{_OPENERS}]*(?:[{_WIDE}]|[^\s{_WIDE}{_CLOSERS}]+|(?<!\S)[{_CLOSERS}])[{_CLOSERS}]*"
    rf"|[{_OPENERS}{_CLOSERS}]+"
)
"""What a line is not broken inside: a word, or a Chinese character with its punctuation."""
_PICTURES = {
    **{code: 0x2400 + code for code in range(0x20) if chr(code) not in "\n\t"},
    0x7F: 0x2421,
    **dict.fromkeys(range(0x80, 0xA0), 0xFFFD),
}


class Screen:
    """Standard output and standard error, as they are when it is made."""

    def __init__(self) -> None:
        self._out = _Console(file=sys.stdout, highlight=False, markup=False, emoji=False)
        self._err = _Console(file=sys.stderr, highlight=False, markup=False, emoji=False)
        self.width = min(self._out.width, WIDEST) if sys.stdout.isatty() else None
        """Columns of standard output; None where lines stay whole."""

    def line(self, *parts: str | tuple[str, str] | Text) -> None:
        """Print one line of parts, each a text or a text and its style."""
        self._out.print(Text.assemble(*parts), soft_wrap=True)

    def paragraph(self, text: str, *, indent: int = 0, style: str = "") -> None:
        """Print a text, broken at words on a terminal."""
        for line in wrapped(text, self.room(indent)):
            self.line(" " * indent, (line, style))

    def room(self, indent: int) -> int | None:
        """Tell the columns behind an indentation; None: any number."""
        return None if self.width is None else max(self.width - indent, 20)

    def note(self, message: str, *, label: str = "", style: str = "") -> None:
        """Tell people, not programs, something: on standard error."""
        width = min(self._err.width, WIDEST) if sys.stderr.isatty() else None
        first, *others = wrapped(label + message, width)
        self._err.print(Text.assemble((label, style), first.removeprefix(label)), soft_wrap=True)
        for line in others:
            self._err.print(Text(line), soft_wrap=True)

    def json(self, value: Any) -> None:
        """Print a value for programs; a lone surrogate becomes JSON's own escape for it."""
        sys.stdout.write(json.dumps(value, ensure_ascii=False, indent=2) + "\n")

    def json_line(self, value: Any) -> None:
        """Print a value for programs on one line, which they get at once."""
        sys.stdout.write(json.dumps(value, ensure_ascii=False) + "\n")
        sys.stdout.flush()

    @contextmanager
    def flow(self) -> Iterator[Callable[[str], None]]:
        """Print a text as it comes; what was begun is ended by a line break."""
        flow = Flow(self.width, sys.stdout.write)

        def write(piece: str) -> None:
            flow.write(visible(piece))
            sys.stdout.flush()

        try:
            yield write
        finally:
            flow.end()

    @contextmanager
    def waiting(self, what: str) -> Iterator[Callable[[str], None]]:
        """Show on a terminal that something is at work; yields how to tell what it is at now."""
        if not sys.stderr.isatty():
            yield lambda _: None
            return
        with self._err.status(visible(what), spinner="dots") as status:
            yield lambda now: status.update(visible(now))

    @contextmanager
    def progress(self) -> Iterator["Callable[[Progress], None]"]:
        """Show a bar with rate and remaining time while a sync tells its progress.

        In a pipe only what may take long is told: that a server is waited for, once a wait.
        """
        if not sys.stderr.isatty():
            yield _Waits(self)
            return
        from rich import progress, table  # noqa: PLC0415 - only a sync on a terminal needs them

        class Stage(progress.ProgressColumn):
            def render(self, task: progress.Task) -> Text:
                return Text(f"{'stopping' if asked() else task.description:<9}")

        label = table.Column(ratio=1, no_wrap=True, overflow="ellipsis")
        bar = progress.Progress(
            progress.SpinnerColumn(),
            Stage(),
            progress.BarColumn(bar_width=20),
            progress.TaskProgressColumn(),
            progress.TextColumn("{task.fields[rate]}"),
            progress.TimeRemainingColumn(compact=True),
            progress.TextColumn("{task.fields[label]}", "dim", markup=False, table_column=label),
            console=self._err,
            transient=True,
            expand=True,
            refresh_per_second=4,
        )
        task = bar.add_task("looking", total=None, rate="", label="")
        started = time.monotonic()

        def tell(now: "Progress") -> None:
            rate = f"{now.embedded / max(time.monotonic() - started, 0.001):,.0f} chunks/s"
            bar.update(
                task,
                description=now.stage,
                total=now.total_bytes or None,
                completed=now.done_bytes,
                rate=duration(now.wait_s) if now.wait_s else rate if now.embedded else "",
                label=visible(now.label),
            )

        with bar:
            yield tell


class _Waits:
    """Notes each wait for a server as it begins."""

    def __init__(self, screen: Screen) -> None:
        self._screen = screen
        self._left_s = 0.0

    def __call__(self, now: "Progress") -> None:
        if now.wait_s > self._left_s:
            self._screen.note(f"waiting {duration(now.wait_s)}: {now.label}")
        self._left_s = now.wait_s


class _Console(Console):
    def on_broken_pipe(self) -> None:
        """Let the program end as it does for every other write, not by rich's own exit."""
        raise BrokenPipeError


class Flow:
    """Break a text into lines as it comes: at blanks and between Chinese characters.

    Parameters
    ----------
    width : columns of a line; None leaves every line as it is.
    write : takes what is finished. The last word is held back, since it may go on.
    """

    def __init__(self, width: int | None, write: Callable[[str], object]) -> None:
        self._width = width
        self._write = write
        self._pending = ""
        self._gap = ""
        self._column = 0
        self._wrapped = False

    def write(self, piece: str) -> None:
        """Take the next piece."""
        if self._width is None:
            self._column = 0 if piece.endswith("\n") else self._column + len(piece)
            self._write(piece)
            return
        self._pending += piece
        units = _UNIT.findall(self._pending)
        self._pending = units.pop() if units else ""
        for unit in units:
            self._put(unit, self._width)

    def end(self) -> None:
        """Take nothing more, and end the line."""
        if self._width is not None and self._pending:
            self._put(self._pending, self._width)
        self._pending = ""
        if self._column:
            self._write("\n")
        self._column = 0

    def _put(self, unit: str, width: int) -> None:
        if unit == "\n":
            self._break(wrapped=False)
        elif unit.isspace():
            self._gap = "" if self._wrapped and not self._column else unit
        else:
            if self._column and self._column + cell_len(self._gap + unit) > width:
                self._break(wrapped=True)
            # A word longer than a line, for example an address, is cut where the line ends.
            for part in chop_cells(self._gap + unit, width):
                if self._column and self._column + cell_len(part) > width:
                    self._break(wrapped=True)
                self._write(part)
                self._column += cell_len(part)
            self._gap = ""

    def _break(self, *, wrapped: bool) -> None:
        self._write("\n")
        self._gap, self._column, self._wrapped = "", 0, wrapped


def wrapped(text: str, width: int | None) -> list[str]:
    """Break a whole text into lines of at most so many columns."""
    pieces: list[str] = []
    flow = Flow(width, pieces.append)
    flow.write(visible(text))
    flow.end()
    return "".join(pieces).removesuffix("\n").split("\n")


def visible(text: str) -> str:
    """Show control characters as pictures, so that no terminal obeys them."""
    return text.replace("\r\n", "\n").translate(_PICTURES).expandtabs(4)


def on_one_line(text: str, width: int | None = None) -> str:
    """Put a text on one line, cut with “…” where it has more columns."""
    line = " ".join(visible(text).split())
    if width is None or cell_len(line) <= width:
        return line
    return chop_cells(line[:width], width - 1)[0].rstrip() + "…"


def listed(names: Iterable[str], *, most: int | None) -> tuple[list[str], int]:
    """Take the first of some names, and count the others; None: all."""
    names = list(names)
    shown = names if most is None else names[:most]
    return shown, len(names) - len(shown)


def number(n: int, noun: str = "") -> str:
    """Write a count, its noun in the right number.

    Examples
    --------
    >>> number(1234), number(1, "hit"), number(2, "hit")
    ('1,234', '1 hit', '2 hits')
    """
    return f"{n:,} {noun}{'' if n == 1 else 's'}" if noun else f"{n:,}"


def duration(seconds: float) -> str:
    """Write how long something takes, in whole seconds or minutes.

    Examples
    --------
    >>> duration(0.3), duration(42), duration(3600)
    ('1 s', '42 s', '60 min')
    """
    whole = max(round(seconds), 1)
    return f"{whole} s" if whole < 120 else f"{round(whole / 60)} min"


def size(n_bytes: float) -> str:
    """Write a number of bytes as people do, in steps of 1,000.

    Examples
    --------
    >>> size(950), size(23_456_789)
    ('950 B', '23.5 MB')
    """
    units = ["B", "kB", "MB", "GB"]
    while n_bytes >= 1000 and len(units) > 1:
        n_bytes /= 1000
        units.pop(0)
    return f"{n_bytes:,.{0 if units[0] == 'B' else 1}f} {units[0]}"
