import shutil
from pathlib import Path

import pytest

from tests.index.samples import SAMPLES, write


@pytest.fixture(scope="session")
def _sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sample") / ".rag"
    write(folder, *SAMPLES)
    return folder


@pytest.fixture
def folder(_sample: Path, tmp_path: Path) -> Path:
    """Give the index of the three sample documents, to do with as a test likes."""
    return Path(shutil.copytree(_sample, tmp_path / ".rag"))
