"""A function of this package runs in a process of its own.

Three things are done nowhere else. Raw files of SQLite are read there, since the system drops
all locks that a process has on a file when the process closes it once. And copies that may be
damaged are opened there: a wrong byte in Chroma's graph can end the process that reads it.
And Chroma's copy is filled there after a text was forgotten, of which a process that held it
would leave traces. On Linux the process ends with its parent, however that ends.
"""

import ctypes
import importlib
import os
import pickle
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from rag.index.copies import CopyFailed

Result = TypeVar("Result")
_ROOT = Path(__file__).resolve().parents[2]
_SET_PDEATHSIG = 1
"""PR_SET_PDEATHSIG of Linux's ``prctl.h``."""
_PROGRAM = "from rag.index.child import serve; serve()"


def call(function: Callable[..., Result], *arguments: object) -> Result:
    """Call a function in a new process, and wait for what it returns.

    Parameters
    ----------
    function : of a module of this package; it and its arguments can be pickled.

    Raises
    ------
    CopyFailed
        The process ended without a result: the function raised, which its message tells, or
        the system ended it.
    """
    places = [str(_ROOT), os.environ.get("PYTHONPATH", "")]
    done = subprocess.run(  # noqa: S603 - a fixed program, its input of our own making
        [sys.executable, "-c", _PROGRAM],
        input=pickle.dumps((function.__module__, function.__name__, arguments)),
        capture_output=True,
        check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, places))},
    )
    if done.returncode < 0:
        raise CopyFailed(f"the process that read it ended by {_name_of(-done.returncode)}")
    if done.returncode:
        last = done.stderr.decode(errors="replace").strip().splitlines()[-1:]
        said = re.sub(r"^(\w+\.)+(?=\w+: )", "", " ".join(last))  # The module of the error.
        raise CopyFailed(said or f"the process ended with {done.returncode}")
    result: Result = pickle.loads(done.stdout)  # noqa: S301 - of our own child
    return result


def serve() -> None:
    """Be that process."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_SET_PDEATHSIG, signal.SIGKILL)
    output = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # What a library prints is no part of the result.
    module, name, arguments = pickle.load(sys.stdin.buffer)  # noqa: S301 - of our own parent
    function: Any = getattr(importlib.import_module(module), name)
    output.write(pickle.dumps(function(*arguments)))
    output.close()


def _name_of(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
