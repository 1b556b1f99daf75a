"""Every test runs without a network, in an empty home, and with nothing of the user's settings.

What is set here is set before anything of the package is imported, and children inherit it.
"""

import os
import shutil
import tempfile
from pathlib import Path

import hypothesis
import pytest

import tests.offline.sitecustomize  # Its import keeps this process off the network.

pytest.register_assert_rewrite("rag.testing")

from rag.embeddings.onnx import OnnxEmbedder  # noqa: E402
from rag.testing import HashingEmbedder  # noqa: E402 - its asserts are rewritten as asked above

ROOT = Path(__file__).resolve().parent.parent
_FOREIGN = ("RAG_", "OPENAI_", "HF_", "HUGGING", "SENTENCE_TRANSFORMERS_", "TIKTOKEN_", "XDG_")
_PROXIES = {"http_proxy", "https_proxy", "all_proxy", "no_proxy"}
_home = tempfile.TemporaryDirectory(prefix="rag-tests-")
_memory = Path("/dev/shm")
"""Where there is room in memory the tests do not wait for a disk at every fsync: a quarter of
the time. Everything there is removed at the end; PYTEST_DEBUG_TEMPROOT names a place to keep."""
_files: tempfile.TemporaryDirectory[str] | None = None
if _memory.is_dir() and os.access(_memory, os.W_OK) and shutil.disk_usage(_memory).free > 1 << 30:
    _files = tempfile.TemporaryDirectory(prefix="rag-tests-", dir=_memory)
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", _files.name)

for _name in list(os.environ):
    if _name.startswith(_FOREIGN) or _name.lower() in _PROXIES:
        del os.environ[_name]
os.environ["HOME"] = _home.name
os.environ["HF_HUB_OFFLINE"] = "1"
# On a busy machine torch's threads wait for each other longer than they help.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# Children find the package wherever they run, and stay off the network too.
os.environ["PYTHONPATH"] = os.pathsep.join(
    [str(Path(tests.offline.sitecustomize.__file__).parent), str(ROOT)]
)

# The same examples in every run, on every machine; `--hypothesis-profile default` tries others.
hypothesis.settings.register_profile("tests", deadline=None, derandomize=True, database=None)
hypothesis.settings.load_profile("tests")


def pytest_unconfigure() -> None:
    _home.cleanup()
    if _files is not None:
        _files.cleanup()


@pytest.fixture(autouse=True)
def _elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """Run each test in the empty home, so that none depends on where pytest was started."""
    monkeypatch.chdir(_home.name)


@pytest.fixture
def embedder() -> HashingEmbedder:
    """Make an embedder that needs no model."""
    return HashingEmbedder()


@pytest.fixture(scope="session")
def minilm() -> OnnxEmbedder:
    """Give the bundled model; its weights are loaded once, by the first test that needs them."""
    return OnnxEmbedder()
