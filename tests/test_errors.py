"""The tree of errors, what each carries, and how it travels between processes."""

import inspect
import pickle
import re
from pathlib import Path
from typing import Any

import httpx2
import openai
import pytest

from rag import errors
from rag.errors import (
    BadResponse,
    CorpusError,
    CorpusLocked,
    CorpusMismatch,
    CorpusNotFound,
    DocumentError,
    EmptyDocument,
    MissingDependency,
    ProviderError,
    ProviderTimeout,
    RagError,
    RateLimited,
    SettingsError,
    UnreadableDocument,
    UnsupportedFormat,
    WindowExceeded,
    require,
)

EVERY_ERROR: list[tuple[RagError, dict[str, Any]]] = [
    (RagError("broken", part=3), {"part": 3}),
    (SettingsError("broken", key="index.x", value=[1]), {"key": "index.x", "value": [1]}),
    (MissingDependency("gensim", extra="words"), {"module": "gensim", "extra": "words"}),
    (DocumentError("broken", source="a.pdf"), {"source": "a.pdf"}),
    (UnsupportedFormat("broken", source="a.exe"), {"source": "a.exe"}),
    (UnreadableDocument("broken", source="a.pdf"), {"source": "a.pdf"}),
    (EmptyDocument("broken", source="a.pdf"), {"source": "a.pdf"}),
    (CorpusError("broken", path="/c", part=3), {"path": "/c", "part": 3}),
    (CorpusNotFound("broken", path="/c"), {"path": "/c"}),
    (
        CorpusLocked("broken", path="/c", pid=7, since="12:00"),
        {"path": "/c", "pid": 7, "since": "12:00"},
    ),
    (
        CorpusMismatch("broken", path="/c", expected="1", found="2"),
        {"path": "/c", "expected": "1", "found": "2"},
    ),
    (
        ProviderError("broken", provider="host"),
        {"provider": "host", "status": None, "retryable": False, "usage": None},
    ),
    (
        ProviderTimeout("broken", provider="host", retryable=True),
        {"provider": "host", "status": None, "retryable": True, "usage": None},
    ),
    (
        RateLimited("broken", provider="host", retry_after_s=2.5),
        {
            "provider": "host",
            "status": 429,
            "retryable": True,
            "usage": None,
            "retry_after_s": 2.5,
        },
    ),
    (
        BadResponse("broken", provider="host", status=200),
        {"provider": "host", "status": 200, "retryable": False, "usage": None},
    ),
    (WindowExceeded("broken", needed=900, window=800), {"needed": 900, "window": 800}),
]


def every_class() -> set[type]:
    classes = inspect.getmembers(errors, inspect.isclass)
    return {kind for _, kind in classes if issubclass(kind, RagError)}


def test_the_tree_in_the_docstring_is_the_tree_of_the_classes() -> None:
    lines = re.findall(
        r"^    ([│ ]*(?:[├└]─ )?)(\w+)(?:\((\w+)\))?$", errors.__doc__ or "", re.MULTILINE
    )
    path: list[str] = []
    written: dict[str, set[str]] = {}
    for indent, name, other_base in lines:
        depth = len(indent) // 3
        path[depth:] = [name]
        written[name] = {base for base in (path[depth - 1] if depth else "", other_base) if base}
    actual = {kind.__name__: {base.__name__ for base in kind.__bases__} for kind in every_class()}
    assert written == actual


def test_every_error_has_its_example_here() -> None:
    assert {type(error) for error, _ in EVERY_ERROR} == every_class()


@pytest.mark.parametrize(("error", "data"), EVERY_ERROR, ids=lambda value: type(value).__name__)
def test_an_error_carries_its_data_also_through_pickle(
    error: RagError, data: dict[str, Any]
) -> None:
    assert vars(error) == data
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is type(error)
    assert str(copy) == str(error)
    assert vars(copy) == data


def raised_from(cause: BaseException) -> RagError:
    error = UnreadableDocument("broken", source="a.txt")
    error.__cause__ = cause
    copy: RagError = pickle.loads(pickle.dumps(error))
    return copy


def test_the_cause_travels_with_an_error() -> None:
    cause = raised_from(FileNotFoundError(2, "No such file", "a.txt")).__cause__
    assert isinstance(cause, FileNotFoundError)
    assert cause.filename == "a.txt"


def test_the_cause_of_a_cause_travels_with_an_error() -> None:
    inner = WindowExceeded("too much", needed=9, window=8)
    inner.__cause__ = ValueError("deep")
    cause = raised_from(inner).__cause__
    assert isinstance(cause, WindowExceeded)
    assert vars(cause) == {"needed": 9, "window": 8}
    assert str(cause.__cause__) == "deep"


def test_a_cause_that_cannot_be_pickled_is_told_in_words() -> None:
    request = httpx2.Request("POST", "http://127.0.0.1/v1")
    refused = openai.APIConnectionError(message="refused", request=request)
    assert str(raised_from(refused).__cause__) == "APIConnectionError: refused"


def test_an_error_without_a_cause_has_none_after_pickle() -> None:
    copy = pickle.loads(pickle.dumps(EmptyDocument("blank", source="a.md")))
    assert copy.__cause__ is None


def test_a_note_travels_with_an_error() -> None:
    error = EmptyDocument("blank", source="a.md")
    error.add_note("while reading page 3")
    assert pickle.loads(pickle.dumps(error)).__notes__ == ["while reading page 3"]


def test_a_missing_package_says_how_to_get_it() -> None:
    with pytest.raises(MissingDependency, match=r"pip install 'rag\[words\]'") as caught:
        require("a_package_that_is_not", extra="words")
    assert isinstance(caught.value, ImportError)
    assert isinstance(caught.value.__cause__, ModuleNotFoundError)


def test_a_missing_part_of_a_missing_package_says_how_to_get_it() -> None:
    with pytest.raises(MissingDependency, match=r"'a_package_that_is_not\.part'"):
        require("a_package_that_is_not.part", extra="words")


def test_a_package_that_is_there_is_imported() -> None:
    assert require("email.utils", extra="words").__name__ == "email.utils"


def test_what_a_package_itself_lacks_is_not_blamed_on_the_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "needs_another.py").write_text("import another_that_is_not\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError) as caught:
        require("needs_another", extra="words")
    assert not isinstance(caught.value, MissingDependency)
    assert caught.value.name == "another_that_is_not"


def test_a_package_whose_name_begins_alike_is_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "needs_a_prefix.py").write_text("import needs_a\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError) as caught:
        require("needs_a_prefix", extra="words")
    assert not isinstance(caught.value, MissingDependency)
