"""Who may import whom: the five stages know nothing of each other, and one module knows all.

The sources are parsed, not run, so that an import inside a function or under
``TYPE_CHECKING`` counts too.
"""

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import rag

PACKAGE = Path(rag.__file__).parent
STAGES = {"documents", "embeddings", "index", "retrieval", "synthesis"}
SHARED = {"types", "errors", "sentences", "terms", "tokens", "prompts", "providers"}
"""What every stage may use, and what uses no stage."""
COMPOSERS = {"corpus", "doctor", "forgetting", "reembedding", "sync", "watching", "__init__"}
"""The corpus, what tells that a sync is due, what is done to a whole index, the public names."""
JUDGES = {"measuring", "tuning"}
"""What asks whole corpora to tell how good they are; no stage is known to it."""
COMMAND_LINE = {
    "__main__",
    "advising",
    "arguments",
    "charts",
    "cli",
    "commands",
    "figures",
    "judging",
    "manual",
    "places",
    "printing",
    "rounds",
    "shapes",
    "terminal",
}
"""What people meet; it asks the corpus and no stage."""
MODULES = sorted(PACKAGE.rglob("*.py"))


def name_of(path: Path) -> str:
    return path.relative_to(PACKAGE).as_posix()


def imports_of(source: str) -> Iterator[str]:
    """Yield the dotted name of everything that a source imports, names of modules whole."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def parts_used(path: Path) -> set[str]:
    """Name the parts of the package that a module imports: "types", "index", "corpus" …"""
    names = (name.split(".") for name in imports_of(path.read_text(encoding="utf-8")))
    return {name[1] for name in names if name[0] == "rag" and len(name) > 1}


def test_imports_are_found_wherever_they_stand() -> None:
    source = """
import rag.index.store
from rag import prompts
if TYPE_CHECKING:
    from rag.documents import chunking, sections
def late():
    import chromadb.config as config
"""
    assert set(imports_of(source)) == {
        "rag.index.store",
        "rag.prompts",
        "rag.documents.chunking",
        "rag.documents.sections",
        "chromadb.config",
    }


def test_the_folders_are_the_stages_in_the_order_of_the_path() -> None:
    folders = [path.parent.name for path in MODULES if path.name == "__init__.py"]
    assert [name for name in folders if name != "rag"] == sorted(STAGES)


@pytest.mark.parametrize(
    "path", [path for path in MODULES if path.parent.name in STAGES], ids=name_of
)
def test_a_stage_imports_no_other_stage(path: Path) -> None:
    assert parts_used(path) <= SHARED | {path.parent.name}


@pytest.mark.parametrize("name", sorted(SHARED))
def test_what_all_stages_share_imports_no_stage(name: str) -> None:
    assert parts_used(PACKAGE / f"{name}.py") <= SHARED


@pytest.mark.parametrize("path", [p for p in MODULES if p.parent == PACKAGE], ids=name_of)
def test_only_the_corpus_puts_stages_together(path: Path) -> None:
    stages = parts_used(path) & STAGES
    assert path.stem in COMPOSERS or not stages


@pytest.mark.parametrize("path", [p for p in MODULES if p.parent == PACKAGE], ids=name_of)
def test_nothing_below_the_command_line_imports_it(path: Path) -> None:
    assert path.stem in COMMAND_LINE or not parts_used(path) & COMMAND_LINE


@pytest.mark.parametrize("name", sorted(COMPOSERS))
def test_the_corpus_is_imported_from_above_only(name: str) -> None:
    users = {path.stem for path in MODULES if name in parts_used(path)}
    assert users <= COMPOSERS | JUDGES | COMMAND_LINE


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_only_one_module_imports_chromadb(path: Path) -> None:
    names = {name.split(".")[0] for name in imports_of(path.read_text(encoding="utf-8"))}
    assert name_of(path) == "index/chroma.py" or "chromadb" not in names


SLOW = {
    "torch",
    "transformers",
    "sentence_transformers",
    "huggingface_hub",
    "openai",
    "httpx",
    "httpx2",
}
"""What costs seconds to import, and belongs to the first use."""


def loaded_by(*modules: str) -> set[str]:
    """Import modules in a fresh process, and list the first names of all that it loaded."""
    code = f"import json, sys, {', '.join(modules)}; print(json.dumps(list(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    return {name.split(".")[0] for name in json.loads(done.stdout)}


def test_importing_the_package_loads_numpy_and_pydantic_at_most() -> None:
    late = {*SLOW, "chromadb", "tantivy", "tokenizers", "tiktoken", "typer", "rich", "lxml"}
    assert not loaded_by("rag", "rag.types", "rag.errors", "rag.settings") & late


def test_the_process_that_reads_files_loads_no_model_and_no_index() -> None:
    others = {*SLOW, "chromadb", "tantivy", "tokenizers", "tiktoken", "typer", "rich", "pydantic"}
    assert not loaded_by("rag.documents.worker") & others


def test_importing_embedders_and_models_loads_no_library_of_models() -> None:
    loaded = loaded_by(
        "rag.embeddings.sentence_transformer",
        "rag.embeddings.openai",
        "rag.synthesis.models",
        "rag.testing",
    )
    assert not loaded & {*SLOW, "tokenizers", "chromadb"}


def test_counting_by_the_default_model_loads_no_library_of_models() -> None:
    counting = "rag.embeddings.sentence_transformer as s"
    code = (
        f"import sys, {counting}; e = s.SentenceTransformerEmbedder(); "
        "assert (e.count('the pilot'), e.max_tokens, e.dimension) == (4, 256, 384); "
        f"print(*sorted(set({SLOW!r}) & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    assert done.stdout.strip() == ""


def test_a_search_by_the_default_model_loads_no_torch_and_no_chroma(tmp_path: Path) -> None:
    (tmp_path / "pilots.md").write_text("A pilot boards every tanker at the fairway buoy.")
    with rag.Corpus.open(tmp_path) as corpus:
        corpus.sync()
    code = f"""
import sys
from rag.cli import run
assert run(["search", "--corpus", {str(tmp_path)!r}, "pilot"]) == 0
late = {{"torch", "chromadb", "openai", "transformers", "safetensors", "tiktoken", "httpx"}}
print(*sorted(late & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    first, *_, loaded = done.stdout.splitlines()
    assert first.startswith("1  pilots.md:1")
    assert loaded == ""
