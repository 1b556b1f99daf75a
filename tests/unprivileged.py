"""Code that runs in a child which permissions hold back, also where root runs the tests."""

import os
import subprocess
import sys
from pathlib import Path

_CAPABILITIES = "-dac_override,-dac_read_search"
"""What lets root open what nobody may."""


def run_unprivileged(code: str, *arguments: Path | str) -> str:
    """Run Python code; its arguments are ``sys.argv[1:]``, what it prints is returned."""
    command = [sys.executable, "-c", code, *map(str, arguments)]
    if os.geteuid() == 0:
        dropped = (f"--bounding-set={_CAPABILITIES}", f"--inh-caps={_CAPABILITIES}")
        command = ["setpriv", *dropped, *command]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout
