"""A function in a process of its own returns, raises or dies, and the caller lives on."""

import ctypes
import os
from pathlib import Path

import pytest

from rag.index import child
from rag.index.copies import CopyFailed


def test_a_function_gets_its_arguments_and_returns_its_result() -> None:
    assert child.call(os.path.join, "溪", Path("b")) == "溪/b"


def test_it_runs_in_another_process() -> None:
    assert child.call(os.getpid) != os.getpid()


def test_what_it_raises_is_told() -> None:
    with pytest.raises(CopyFailed, match=r"FileNotFoundError.*'nowhere'"):
        child.call(os.listdir, "nowhere")


def test_a_process_that_the_system_ends_costs_only_itself() -> None:
    with pytest.raises(CopyFailed, match="ended by SIGSEGV"):
        child.call(ctypes.string_at, 1)
