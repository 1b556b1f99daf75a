"""What a terminal and a pipe get: lines that fit, nothing obeyed, nothing lost."""

import io
import os
import re
import signal
import sys
from contextlib import suppress
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from rag.interrupts import deferred
from rag.terminal import Flow, Screen, listed, number, on_one_line, size, visible, wrapped
from rag.types import Progress

MIXED = st.text(alphabet="ab ,.“”（）。，中文字é\n\t🙂-1", max_size=120)


def terminal(
    monkeypatch: pytest.MonkeyPatch, stream: str = "stdout", *, columns: int = 40
) -> io.StringIO:
    """Make a stream a terminal without colours."""
    fake = Terminal()
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setenv("LINES", "24")
    monkeypatch.setenv("TERM", "dumb")
    monkeypatch.setattr(sys, stream, fake)
    return fake


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


# ---- lines ----------------------------------------------------------------------------------


def test_a_line_is_broken_at_a_blank() -> None:
    assert wrapped("The pilot boards at the fairway buoy.", 20) == [
        "The pilot boards at",
        "the fairway buoy.",
    ]


def test_a_chinese_line_is_broken_between_any_two_characters_each_two_columns_wide() -> None:
    assert wrapped("引航员在锚地登船", 8) == ["引航员在", "锚地登船"]


def test_no_line_begins_with_a_chinese_full_stop_or_ends_with_an_opening_mark() -> None:
    assert wrapped("引航员登船。之后", 10) == ["引航员登", "船。之后"]
    assert wrapped("他说：“登船”", 8) == ["他说：", "“登船”"]


def test_a_word_longer_than_a_line_begins_one_and_is_cut_where_it_ends() -> None:
    assert wrapped("see https://harbour.example/tides now", 12) == [
        "see",
        "https://harb",
        "our.example/",
        "tides now",
    ]


def test_a_line_break_of_the_text_stays_one() -> None:
    assert wrapped("one\n\ntwo", 20) == ["one", "", "two"]


def test_without_a_width_a_line_stays_as_long_as_it_is() -> None:
    assert wrapped("word " * 100 + "end", None) == ["word " * 100 + "end"]


@given(MIXED, st.integers(min_value=2, max_value=30))
def test_no_line_is_wider_than_it_may_be(text: str, width: int) -> None:
    assert all(cell_len(line) <= width for line in wrapped(text, width))


@given(MIXED, st.integers(min_value=2, max_value=30))
def test_breaking_loses_nothing_but_blanks(text: str, width: int) -> None:
    assert re.sub(r"\s", "", "".join(wrapped(text, width))) == re.sub(r"\s", "", visible(text))


@given(st.lists(MIXED, max_size=8), st.one_of(st.none(), st.integers(min_value=2, max_value=30)))
def test_a_text_in_pieces_is_broken_as_the_whole_is(pieces: list[str], width: int | None) -> None:
    whole: list[str] = []
    parts: list[str] = []
    for written, texts in ((whole, ["".join(pieces)]), (parts, pieces)):
        flow = Flow(width, written.append)
        for text in texts:
            flow.write(text)
        flow.end()
    assert "".join(parts) == "".join(whole)


def test_what_is_written_is_on_the_screen_up_to_the_last_word() -> None:
    written: list[str] = []
    flow = Flow(20, written.append)
    flow.write("The pilot boa")
    assert "".join(written) == "The pilot"
    flow.write("rds")
    flow.end()
    assert "".join(written) == "The pilot boards\n"


def test_what_was_begun_is_ended_by_a_line_break_once() -> None:
    for text in ("done", "done\n"):
        written: list[str] = []
        flow = Flow(None, written.append)
        flow.write(text)
        flow.end()
        flow.end()
        assert "".join(written) == "done\n"


# ---- characters -------------------------------------------------------------------------------


def test_what_would_command_a_terminal_is_shown_as_a_picture() -> None:
    assert visible("\x1b[31mred\x07 \x7f \x9b2J") == "␛[31mred␇ ␡ \N{REPLACEMENT CHARACTER}2J"


def test_a_windows_line_break_is_one_line_break() -> None:
    assert visible("one\r\ntwo") == "one\ntwo"
    assert visible("one\rtwo") == "one␍two"


@given(st.text())
def test_no_control_character_reaches_the_terminal(text: str) -> None:
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]", visible(text))


def test_a_text_on_one_line_is_cut_with_an_ellipsis_where_it_is_too_wide() -> None:
    assert on_one_line("The pilot\nboards  at\tnoon") == "The pilot boards at noon"
    assert on_one_line("The pilot boards", 10) == "The pilot…"
    assert on_one_line("引航员在锚地登船", 9) == "引航员在…"
    assert on_one_line("short", 5) == "short"


@given(MIXED, st.integers(min_value=2, max_value=30))
def test_a_cut_line_has_at_most_its_columns(text: str, width: int) -> None:
    assert cell_len(on_one_line(text, width)) <= width


# ---- numbers ----------------------------------------------------------------------------------


def test_numbers_are_grouped_and_their_nouns_agree() -> None:
    assert number(1234567) == "1,234,567"
    assert (number(0, "hit"), number(1, "hit"), number(2, "hit")) == ("0 hits", "1 hit", "2 hits")


def test_bytes_are_written_in_steps_of_a_thousand() -> None:
    assert [size(n) for n in (0, 999, 1000, 1_500_000, 2_000_000_000, 5e12)] == [
        "0 B",
        "999 B",
        "1.0 kB",
        "1.5 MB",
        "2.0 GB",
        "5,000.0 GB",
    ]


def test_a_long_list_is_cut_and_the_rest_counted() -> None:
    assert listed("abcde", most=3) == (["a", "b", "c"], 2)
    assert listed("abcde", most=None) == (["a", "b", "c", "d", "e"], 0)


# ---- the screen -------------------------------------------------------------------------------


def test_in_a_pipe_lines_stay_whole_and_nothing_is_coloured(
    capsys: pytest.CaptureFixture[str],
) -> None:
    screen = Screen()
    assert screen.room(4) is None
    screen.paragraph("word " * 60 + "end", indent=2, style="bold red")
    screen.note("word " * 60 + "end", label="error: ", style="bold red")
    shown = capsys.readouterr()
    assert shown.out == "  " + "word " * 60 + "end\n"
    assert shown.err == "error: " + "word " * 60 + "end\n"


def test_on_a_terminal_a_paragraph_is_broken_and_indented(monkeypatch: pytest.MonkeyPatch) -> None:
    out = terminal(monkeypatch)
    Screen().paragraph("The pilot boards at the fairway buoy, never later.", indent=4)
    assert out.getvalue() == "    The pilot boards at the fairway\n    buoy, never later.\n"


def test_a_wide_terminal_gets_lines_of_a_hundred_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal(monkeypatch, columns=220)
    assert Screen().width == 100


def test_an_error_on_a_terminal_is_broken_at_words(monkeypatch: pytest.MonkeyPatch) -> None:
    err = terminal(monkeypatch, "stderr")
    Screen().note("there is no document 'manual.md'; the nearest is 'a.md'", label="error: ")
    assert err.getvalue() == ("error: there is no document 'manual.md';\nthe nearest is 'a.md'\n")


def test_markup_in_a_text_is_text(capsys: pytest.CaptureFixture[str]) -> None:
    Screen().line("[bold]not bold[/bold] :smile: ", ("[1]", "green"))
    assert capsys.readouterr().out == "[bold]not bold[/bold] :smile: [1]\n"


def test_json_keeps_chinese_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    Screen().json({"text": "砚溪"})
    assert capsys.readouterr().out == '{\n  "text": "砚溪"\n}\n'


def test_a_flow_that_breaks_off_ends_its_line(capsys: pytest.CaptureFixture[str]) -> None:
    with suppress(KeyError), Screen().flow() as write:
        write("The pilot boa")
        raise KeyError
    assert capsys.readouterr().out == "The pilot boa\n"


def test_in_a_pipe_there_is_no_bar_and_no_waiting(capsys: pytest.CaptureFixture[str]) -> None:
    screen = Screen()
    with screen.waiting("searching"), screen.progress() as progress:
        progress(a_step(stage="reading"))
        progress(a_step(stage="embedding"))
    assert capsys.readouterr() == ("", "")


def test_in_a_pipe_each_wait_for_a_server_is_told_once(capsys: pytest.CaptureFixture[str]) -> None:
    with Screen().progress() as progress:
        for wait_s in (90.0, 89.0, 1.0, 180.0, 179.0):
            progress(a_step(stage="waiting", label="the server asks", wait_s=wait_s))
        progress(a_step(stage="embedding"))
        progress(a_step(stage="waiting", label="again", wait_s=2.0))
    assert capsys.readouterr() == (
        "",
        "waiting 90 s: the server asks\nwaiting 3 min: the server asks\nwaiting 2 s: again\n",
    )


def test_on_a_terminal_a_wait_shows_why_and_how_long(monkeypatch: pytest.MonkeyPatch) -> None:
    err = terminal(monkeypatch, "stderr", columns=90)
    monkeypatch.setenv("TERM", "xterm")
    with Screen().progress() as progress:
        progress(a_step(stage="waiting", label="the server asks for patience", wait_s=42.0))
    last = re.sub(r"\x1b\[[\d;?]*\w", "", err.getvalue())
    assert re.search(r"waiting   ━+\S*\s+25% 42 s .*the server asks for pat", last)


def test_on_a_terminal_a_sync_that_is_asked_to_stop_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    err = terminal(monkeypatch, "stderr", columns=90)
    monkeypatch.setenv("TERM", "xterm")
    before = signal.signal(signal.SIGINT, signal.default_int_handler)

    def work() -> None:
        with deferred(), Screen().progress() as progress:
            os.kill(os.getpid(), signal.SIGINT)
            progress(a_step(stage="embedding"))

    try:
        with pytest.raises(KeyboardInterrupt):
            work()
    finally:
        signal.signal(signal.SIGINT, before)
    assert "stopping  ━" in re.sub(r"\x1b\[[\d;?]*\w", "", err.getvalue())


def a_step(
    *,
    stage: Literal["reading", "embedding", "waiting", "indexing"],
    label: str = "",
    wait_s: float = 0.0,
) -> Progress:
    return Progress(
        stage=stage, done_bytes=30, total_bytes=120, embedded=8, label=label, wait_s=wait_s
    )


def test_on_a_terminal_a_bar_tells_stage_share_rate_and_file(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    err = terminal(monkeypatch, "stderr", columns=90)
    monkeypatch.setenv("TERM", "xterm")
    with Screen().progress() as progress:
        progress(a_step(stage="embedding", label="砚溪\x1b.md"))
    last = re.sub(r"\x1b\[[\d;?]*\w", "", err.getvalue())
    assert re.search(r"embedding ━+\S*\s+25% [\d,]+ chunks/s .*砚溪␛\.md", last)
