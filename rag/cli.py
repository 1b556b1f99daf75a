"""The command line: what was typed runs, and ends with an exit code.

Standard output carries the result, for people or by ``--json`` for programs; everything else
goes to standard error.

====  ================================================================================
   0  done; also a question that was refused, and a search that found nothing
   1  something unexpected; ``--debug`` shows where
   2  the command cannot mean this: an option, a field, a document's name, a setting
   3  a document could not be read; the others are indexed
   4  the corpus: not found, locked by another process, damaged, made otherwise
   5  a model server failed
 130  stopped by Ctrl-C; 143: by SIGTERM
 141  nobody reads the output any more
====  ================================================================================
"""

import logging
import os
import signal
import sys
import traceback
from collections.abc import Sequence
from io import TextIOWrapper
from types import FrameType
from typing import NoReturn, TextIO

import typer

import rag.advising  # noqa: F401 - whose command it adds, and that of `rag.judging`.
from rag.commands import CORPUS, DOCUMENT, PROVIDER, app
from rag.errors import CorpusError, DocumentError, ProviderError, RagError, WindowExceeded
from rag.terminal import Screen

UNEXPECTED, USAGE = 1, 2
INTERRUPTED, TERMINATED, UNREAD = 130, 143, 141


class _Terminated(KeyboardInterrupt):
    """SIGTERM: what is tidied up for Ctrl-C is tidied up for it too."""


def _terminate(_number: int, _frame: FrameType | None) -> NoReturn:
    raise _Terminated


def main() -> NoReturn:
    """Run the program that was typed, and end with its exit code."""
    signal.signal(signal.SIGTERM, _terminate)
    sys.stdout, sys.stderr = _opened(sys.stdout, 1), _opened(sys.stderr, 2)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            # A terminal says its encoding, a pipe gets UTF-8; a name that is not UTF-8 is shown.
            encoding = None if stream.isatty() else "utf-8"
            stream.reconfigure(encoding=encoding, errors="backslashreplace")
    code = run(sys.argv[1:])
    for stop in (signal.SIGINT, signal.SIGTERM):
        signal.signal(stop, signal.SIG_DFL)  # Nothing is left to tidy up, or to tell.
    sys.exit(code)


def _opened(stream: TextIO | None, descriptor: int) -> TextIO:
    """Put the void in the place of a stream that was closed, as by ``rag sync >&-``.

    Otherwise the next file that is opened, the index above all, would have its number.
    """
    if stream is not None:
        return stream
    os.dup2(os.open(os.devnull, os.O_WRONLY), descriptor)
    return open(descriptor, "w", encoding="utf-8")


def run(arguments: Sequence[str]) -> int:
    """Run a command line.

    Parameters
    ----------
    arguments : without the program's name.

    Returns
    -------
    int
        The exit code; nothing is raised.
    """
    try:
        try:
            return _run(arguments)
        except BrokenPipeError:
            raise
        except KeyboardInterrupt as stop:
            Screen().note("; ".join(["stopped", *getattr(stop, "__notes__", [])]))
            return TERMINATED if isinstance(stop, _Terminated) else INTERRUPTED
        except Exception as error:  # noqa: BLE001 - here, and only here, every error ends.
            return _report(error)
    except BrokenPipeError:
        # What is still buffered goes nowhere, or the interpreter would complain at its end.
        for stream in (sys.stdout, sys.stderr):
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
        return UNREAD


def _run(arguments: Sequence[str]) -> int:
    command = typer.main.get_command(app)
    code = 0
    try:
        with command.make_context("rag", list(arguments)) as context:
            command.invoke(context)
    except typer.Exit as done:
        code = done.exit_code
    sys.stdout.flush()
    return code


def _report(error: Exception) -> int:
    """Say what went wrong and what to do about it."""
    debug = logging.getLogger("rag").isEnabledFor(logging.DEBUG)
    if debug:
        traceback.print_exception(error)
    code = _code(error)
    message = "; ".join([str(error), *getattr(error, "__notes__", [])])
    if isinstance(error, typer.TyperException):
        message = _advised(error)
    elif code == UNEXPECTED and not isinstance(error, RagError):
        hint = "" if debug else "; run again with --debug to see where"
        message = f"unexpected {type(error).__name__}: {message}{hint}"
    Screen().note(message, label="error: ", style="bold red")
    return code


def _advised(error: typer.TyperException) -> str:
    """Say what was typed wrongly, and where to read on."""
    message = error.format_message().replace("Value error, ", "")
    if message.startswith("Got unexpected extra argument"):
        message += "; put several words into quotes, and a folder behind --corpus"
    context = getattr(error, "ctx", None)
    return message if context is None else f"{message}\nTry: {context.command_path} --help"


def _code(error: Exception) -> int:
    match error:
        case typer.TyperException():
            return error.exit_code
        case ProviderError():
            return PROVIDER
        case CorpusError():
            return CORPUS
        case DocumentError():
            return DOCUMENT
        case ValueError() | WindowExceeded():
            return USAGE
    return UNEXPECTED
