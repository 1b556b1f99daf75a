"""What the READMEs show is what a reader gets: Python lines, transcripts and figures.

Commands run as on a terminal of 96 columns, all of one README in one copy of corpora/, one
after another. Of their output only what differs each time is left out: seconds and times.
"""

import io
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from rag import cli
from tests.benchmarks.corpora import figures
from tests.conftest import ROOT

READMES = ("README.md", "README.zh.md")
TEXTS = {name: (ROOT / name).read_text(encoding="utf-8") for name in READMES}
COLUMNS = "96"
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")


@dataclass(frozen=True)
class Shown:
    """A command with the output that is shown below it."""

    command: str
    output: str


def blocks(name: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", TEXTS[name], re.MULTILINE | re.DOTALL)


def transcript(name: str) -> Iterator[Shown]:
    """Yield what is typed behind `$`, and what make types for its user."""
    for block in blocks(name, "console"):
        for part in re.split(r"^(?:\$ |\.venv/bin/)", block, flags=re.MULTILINE)[1:]:
            command, _, output = part.partition("\n")
            yield Shown(command, output)


def tables(name: str) -> list[str]:
    return re.findall(r"(?:^\|.*\n)+", TEXTS[name], re.MULTILINE)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def without_times(text: str) -> str:
    return re.sub(r"\d+(\.\d+)? s\b", "_ s", text).rstrip()


@pytest.fixture
def copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copytree(ROOT / "corpora", tmp_path / "corpora", ignore=shutil.ignore_patterns(".rag"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_python_lines_run_one_after_another(copy: Path) -> None:
    python = blocks("README.md", "python")
    assert len(python) >= 2
    done = subprocess.run(
        [sys.executable, "-c", "\n".join(python)],
        cwd=copy,
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr
    assert "two hours before high water" in done.stdout


def test_the_transcripts_are_what_the_commands_print(
    copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", COLUMNS)
    monkeypatch.setenv("LINES", "40")  # Without it a dumb terminal has 80 columns.
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("TERM", "dumb")
    for shown in transcript("README.md"):
        words = shlex.split(shown.command)
        if words[0] == "cd":
            monkeypatch.chdir(words[1])
        elif words[0] == "rag":
            terminal = Terminal()
            with monkeypatch.context() as patch:
                patch.setattr(sys, "stdout", terminal)
                code = cli.run(words[1:])
            assert code == 0, shown.command
            assert without_times(terminal.getvalue()) == without_times(shown.output), shown.command


def test_the_two_commands_are_shown_and_the_demo_is_the_makefiles() -> None:
    for name in READMES:
        commands = [shown.command for shown in transcript(name)]
        assert {"make demo", "make test"} <= set(commands)
        recipe = re.findall(r"^\t\$\(VENV\)/bin/(rag .*)$", MAKEFILE, re.MULTILINE)
        place = commands.index("make demo") + 1
        assert commands[place : place + len(recipe)] == recipe


def test_both_readmes_show_the_same_commands_outputs_and_python_lines() -> None:
    english, chinese = READMES
    assert list(transcript(english)) == list(transcript(chinese))
    uncommented = [
        [re.sub(r" *#.*", "", block) for block in blocks(name, "python")] for name in READMES
    ]
    assert uncommented[0] == uncommented[1]


def test_both_readmes_have_the_same_figures() -> None:
    numbers = [
        [re.findall(r"\d[\d,.]*", re.sub(r"`[^`]*`", "", table)) for table in tables(name)]
        for name in READMES
    ]
    assert numbers[0] == numbers[1]


@pytest.mark.parametrize("name", READMES)
def test_every_link_inside_the_repository_leads_somewhere(name: str) -> None:
    targets = re.findall(r"\]\((?!https?:|#)([^)#]+)\)", TEXTS[name])
    assert targets
    assert [target for target in targets if not (ROOT / target).exists()] == []


@pytest.mark.slow
@pytest.mark.skipif("RAG_FIGURES" in os.environ, reason="the figures are being measured")
def test_the_figures_are_those_that_make_figures_prints() -> None:
    printed = {row[0]: row[1:] for row in figures()}
    (table,) = (table for table in tables("README.md") if "quotations that hold" in table)
    for line in table.splitlines()[2:]:
        label, *cells = (cell.strip() for cell in line.strip("|").split("|"))
        if "sync" not in label:  # It takes another time on every machine.
            assert cells == printed[label], label
