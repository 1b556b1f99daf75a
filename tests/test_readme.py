"""What the README shows works as it stands there."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")
COMMANDS = re.findall(r"^\$ (rag .*)$", README, re.MULTILINE)


def test_the_python_lines_run_one_after_another(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "corpora", tmp_path / "corpora", ignore=shutil.ignore_patterns(".rag"))
    blocks = re.findall(r"^```python\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
    assert len(blocks) >= 2
    done = subprocess.run(
        [sys.executable, "-c", "\n".join(blocks)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr
    assert "two hours before" in done.stdout


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_shown_is_one_that_exists(command: str) -> None:
    name = command.split()[1]
    done = subprocess.run(
        [sys.executable, "-m", "rag.cli", name, "--help"],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0
    for option in re.findall(r"(?<= )--?[a-z-]+", command):
        assert option in done.stdout


def test_commands_are_shown() -> None:
    assert {command.split()[1] for command in COMMANDS} >= {"sync", "search", "ask"}
    assert "make demo" in README
    assert "make test" in README
