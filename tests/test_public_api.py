"""The names that programs outside the project use."""

import inspect
import subprocess
import sys

import pytest

import rag

FUNCTIONS = [name for name in rag.__all__ if inspect.isfunction(getattr(rag, name))]


def test_every_public_name_is_there_and_there_are_few() -> None:
    assert len(rag.__all__) == len(set(rag.__all__)) <= 45
    for name in rag.__all__:
        assert getattr(rag, name) is not None
    assert set(rag.__all__) <= set(dir(rag))


def test_the_functions_of_the_path_are_public() -> None:
    assert set(FUNCTIONS) == {
        *("load", "chunk", "retrieve", "fuse", "pack", "build_messages", "resolve"),
        "count_tokens",
    }


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_public_function_says_what_goes_in_and_comes_out(name: str) -> None:
    function = getattr(rag, name)
    doc = inspect.getdoc(function) or ""
    assert "Parameters\n----------" in doc
    for parameter in inspect.signature(function).parameters:
        assert f"{parameter} :" in doc or f"{parameter}, " in doc or f", {parameter} :" in doc


@pytest.mark.parametrize(
    ("method", "parameters"),
    [
        ("open", "path settings embedder reranker model"),
        ("close", ""),
        ("sync", "dry_run progress"),
        ("put", "id text title metadata"),
        ("remove", "ids"),
        ("documents", ""),
        ("document", "id"),
        ("search", "query k where by"),
        ("context", "question budget where"),
        ("ask", "question budget where"),
        ("stream", "question budget where"),
        ("status", ""),
        ("forget", "ids ignore"),
        ("doctor", "fix progress"),
        ("reembed", "embedder progress"),
    ],
)
def test_the_methods_of_a_corpus_take_what_they_always_took(method: str, parameters: str) -> None:
    signature = inspect.signature(getattr(rag.Corpus, method))
    assert [name for name in signature.parameters if name != "self"] == parameters.split()


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="serch"):
        rag.serch  # noqa: B018 - the name itself is what is tried


def test_importing_the_package_loads_nothing_heavy() -> None:
    program = "import sys, rag; print(*sorted({name.split('.')[0] for name in sys.modules}))"
    loaded = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
    ).stdout.split()
    heavy = {
        *("chromadb", "torch", "transformers", "sentence_transformers", "openai", "httpx"),
        *("tantivy", "tiktoken", "typer", "rich", "pypdfium2", "docx", "lxml", "selectolax"),
    }
    assert heavy.isdisjoint(loaded)
