"""Code that runs in a child which permissions hold back, also where root runs the tests."""

import os
import subprocess
import sys
from pathlib import Path

_CAPABILITIES = "-dac_override,-dac_read_search"
"""What lets root open what nobody may."""


def unprivileged(command: list[str]) -> list[str]:
    """Give the command that runs another without root's rights over files."""
    if os.geteuid() != 0:
        return command
    dropped = (f"--bounding-set={_CAPABILITIES}", f"--inh-caps={_CAPABILITIES}")
    return ["setpriv", *dropped, *command]


def run_unprivileged(code: str, *arguments: Path | str) -> str:
    """Run Python code; its arguments are ``sys.argv[1:]``, what it prints is returned."""
    command = unprivileged([sys.executable, "-c", code, *map(str, arguments)])
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout
