"""Where a setting comes from, and what happens to a wrong one."""

import pickle
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from rag.errors import SettingsError
from rag.settings import (
    Settings,
    load_settings,
    settings_from,
    value_of,
    with_changes,
    written_into,
)


def refusal(
    folder: Path = Path("/nowhere"),
    *,
    environment: dict[str, str] | None = None,
    overrides: dict[str, Any] | None = None,
) -> SettingsError:
    with pytest.raises(SettingsError) as caught:
        load_settings(folder, environment=environment or {}, overrides=overrides)
    return caught.value


def test_without_file_and_environment_everything_is_the_default(tmp_path: Path) -> None:
    settings = load_settings(tmp_path, environment={})
    assert settings == Settings()
    assert settings.embeddings.model == "all-MiniLM-L6-v2"
    assert settings.embeddings.batch_size == 32
    assert settings.documents.chunk_size is None
    assert settings.synthesis.model is None


def test_the_file_wins_over_the_default(tmp_path: Path) -> None:
    (tmp_path / "rag.toml").write_text("[embeddings]\nbatch_size = 8\n[synthesis]\nbudget = 900\n")
    settings = load_settings(tmp_path, environment={})
    assert (settings.embeddings.batch_size, settings.synthesis.budget) == (8, 900)


def test_the_environment_wins_over_the_file_key_by_key(tmp_path: Path) -> None:
    (tmp_path / "rag.toml").write_text("[embeddings]\nbatch_size = 8\ndevice = 'cpu'\n")
    settings = load_settings(tmp_path, environment={"RAG_EMBEDDINGS__BATCH_SIZE": "16"})
    assert (settings.embeddings.batch_size, settings.embeddings.device) == (16, "cpu")


def test_the_argument_wins_over_the_environment(tmp_path: Path) -> None:
    settings = load_settings(
        tmp_path,
        environment={"RAG_EMBEDDINGS__BATCH_SIZE": "16", "RAG_EMBEDDINGS__DEVICE": "cpu"},
        overrides={"embeddings": {"batch_size": 64}},
    )
    assert (settings.embeddings.batch_size, settings.embeddings.device) == (64, "cpu")


def test_the_environment_is_that_of_the_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAG_SYNTHESIS__BUDGET", "4000")
    assert load_settings(tmp_path).synthesis.budget == 4000


@pytest.mark.parametrize(
    ("variable", "text", "value"),
    [
        ("RAG_DOCUMENTS__CHUNK_SIZE", "150", 150),
        ("RAG_EMBEDDINGS__TIMEOUT_S", "2.5", 2.5),
        ("RAG_EMBEDDINGS__MODEL", "openai:bge", "openai:bge"),
        ("RAG_RETRIEVAL__DENSE_WEIGHT", "0", 0.0),
        ("RAG_SYNTHESIS__MODEL", "4", "4"),
    ],
)
def test_the_text_of_a_variable_becomes_the_kind_of_value_the_setting_has(
    variable: str, text: str, value: object
) -> None:
    section, key = variable.removeprefix("RAG_").lower().split("__")
    settings = load_settings(Path("/nowhere"), environment={variable: text})
    found = getattr(getattr(settings, section), key)
    assert (found, type(found)) == (value, type(value))


@pytest.mark.parametrize("name", ["RAG_CORPUS", "RAG_DEBUG", "RAGTIME__TEMPO", "rag_index__x"])
def test_a_variable_that_names_no_section_is_no_setting(name: str) -> None:
    assert load_settings(Path("/nowhere"), environment={name: "1"}) == Settings()


def test_a_variable_that_lacks_an_underscore_is_refused_and_the_right_one_named() -> None:
    with pytest.raises(SettingsError, match="RAG_SYNTHESIS__REPLY_TOKENS") as told:
        load_settings(Path("/nowhere"), environment={"RAG_SYNTHESIS_REPLY_TOKENS": "9"})
    assert (told.value.key, told.value.value) == ("RAG_SYNTHESIS_REPLY_TOKENS", "9")


def test_an_empty_variable_counts_as_unset(tmp_path: Path) -> None:
    (tmp_path / "rag.toml").write_text("[synthesis]\nmodel = 'local'\n")
    settings = load_settings(tmp_path, environment={"RAG_SYNTHESIS__MODEL": ""})
    assert settings.synthesis.model == "local"


@pytest.mark.parametrize(
    ("overrides", "key", "near"),
    [
        ({"embeddings": {"batchsize": 4}}, "embeddings.batchsize", "embeddings.batch_size"),
        ({"embedings": {"batch_size": 4}}, "embedings", "embeddings"),
        ({"chunk_size": 100}, "chunk_size", "documents.chunk_size"),
        ({"retrieval": {"chunk_size": 100}}, "retrieval.chunk_size", "documents.chunk_size"),
    ],
)
def test_an_unknown_setting_is_refused_and_the_nearest_named(
    overrides: dict[str, Any], key: str, near: str
) -> None:
    error = refusal(overrides=overrides)
    assert f"there is no setting {key!r}" in str(error)
    assert f"the nearest is {near!r}" in str(error)
    assert error.key == key


@pytest.mark.parametrize(
    ("section", "key", "value"),
    [
        ("documents", "max_bytes", 0),
        ("documents", "read_timeout_s", 0),
        ("documents", "read_memory_bytes", 1_000_000),
        ("documents", "chunk_size", 15),
        ("documents", "chunk_size", 32.5),
        ("documents", "chunk_size", "many"),
        ("embeddings", "model", ""),
        ("embeddings", "batch_size", 0),
        ("embeddings", "batch_size", 2049),
        ("embeddings", "timeout_s", 0),
        ("embeddings", "timeout_s", float("inf")),
        ("index", "exact_up_to", -1),
        ("retrieval", "candidates", 199),
        ("retrieval", "dense_weight", 1.1),
        ("retrieval", "dense_weight", float("nan")),
        ("synthesis", "window", 255),
        ("synthesis", "budget", None),
        ("synthesis", "reply_tokens", [1]),
    ],
)
def test_a_value_out_of_range_is_refused_with_its_key(
    section: str, key: str, value: object
) -> None:
    error = refusal(overrides={section: {key: value}})
    assert str(error).startswith(f"setting {section}.{key} = {value!r} (set in the arguments): ")
    assert error.key == f"{section}.{key}"
    assert error.value is value


def test_a_wrong_setting_says_where_it_was_set(tmp_path: Path) -> None:
    file = tmp_path / "rag.toml"
    file.write_text("[index]\nexact_up_to = -1\n")
    assert f"(set in {file})" in str(refusal(tmp_path))
    variable = {"RAG_INDEX__EXACT_UP_TO": "-2"}
    error = refusal(tmp_path, environment=variable)
    assert "'-2' (set in the environment)" in str(error)


def test_a_value_in_the_place_of_a_section_is_refused(tmp_path: Path) -> None:
    (tmp_path / "rag.toml").write_text("embeddings = 'all-MiniLM-L6-v2'\n")
    assert "is a section, not a value; write [embeddings]" in str(refusal(tmp_path))


@pytest.mark.parametrize("content", [b"[embeddings", b"\xff\xfe[", b"[index]\n[index]\n"])
def test_a_file_that_is_no_toml_is_refused_by_its_path(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "rag.toml"
    file.write_bytes(content)
    error = refusal(tmp_path)
    assert f"{file} cannot be read as TOML" in str(error)
    assert error.key == str(file)
    assert error.__cause__ is not None


def test_a_byte_order_mark_before_the_file_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / "rag.toml").write_bytes(b"\xef\xbb\xbf[index]\nexact_up_to = 0\n")
    assert load_settings(tmp_path, environment={}).index.exact_up_to == 0


def test_settings_cannot_be_changed() -> None:
    settings = Settings()
    with pytest.raises(ValidationError, match="frozen"):
        settings.index.exact_up_to = 0
    with pytest.raises(ValidationError, match="frozen"):
        settings.index = Settings().index


def test_equal_settings_are_one_key_of_a_dictionary() -> None:
    same = settings_from({"index": {"exact_up_to": 20_000}})
    other = settings_from({"index": {"exact_up_to": 0}})
    assert {Settings(): "default", other: "other"}[same] == "default"


def test_settings_can_be_pickled() -> None:
    settings = settings_from({"synthesis": {"model": "local"}})
    assert pickle.loads(pickle.dumps(settings)) == settings


def test_the_key_of_a_server_is_no_setting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret-of-the-tests")
    assert "sk-secret" not in repr(load_settings(tmp_path))


def test_a_key_written_into_the_file_is_refused_without_being_quoted(tmp_path: Path) -> None:
    (tmp_path / "rag.toml").write_text("[synthesis]\napi_key = 'sk-secret-of-the-tests'\n")
    error = refusal(tmp_path)
    assert "synthesis.api_key" in str(error)
    assert "sk-secret" not in repr(error)


def test_the_environment_and_the_overrides_are_not_changed(tmp_path: Path) -> None:
    environment = {"RAG_INDEX__EXACT_UP_TO": "5"}
    overrides = {"index": {"exact_up_to": 6}}
    load_settings(tmp_path, environment=environment, overrides=overrides)
    assert environment == {"RAG_INDEX__EXACT_UP_TO": "5"}
    assert overrides == {"index": {"exact_up_to": 6}}


# ---- single settings ----------------------------------------------------------------------------


def test_single_settings_are_changed_and_the_others_stay() -> None:
    before = settings_from({"synthesis": {"budget": 300}})
    after = with_changes(before, {"documents.chunk_size": 64, "retrieval.dense_weight": "0.5"})
    assert value_of(after, "documents.chunk_size") == 64
    assert value_of(after, "retrieval.dense_weight") == 0.5
    assert value_of(after, "synthesis.budget") == 300
    assert value_of(before, "documents.chunk_size") is None


@pytest.mark.parametrize("name", ["document.chunk_size", "documents.chunksize", "chunk_size"])
def test_a_change_of_an_unknown_setting_names_the_nearest(name: str) -> None:
    with pytest.raises(SettingsError, match=r"the nearest is 'documents\.chunk_size'"):
        with_changes(Settings(), {name: 64})


CHANGES = {"documents.chunk_size": 64, "retrieval.dense_weight": 0.5}


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", "[documents]\nchunk_size = 64\n\n[retrieval]\ndense_weight = 0.5\n"),
        (
            "# ours\n[retrieval]\ndense_weight=0.3 # why\n",
            "# ours\n[retrieval]\ndense_weight = 0.5 # why\n\n[documents]\nchunk_size = 64\n",
        ),
        (
            "[documents]\nmax_bytes = 9\n[retrieval]\n",
            "[documents]\nchunk_size = 64\nmax_bytes = 9\n[retrieval]\ndense_weight = 0.5\n",
        ),
    ],
)
def test_settings_are_written_into_a_file_whose_other_lines_stay(before: str, after: str) -> None:
    assert written_into(before, CHANGES) == after


@pytest.mark.parametrize(
    "before", ["retrieval = {dense_weight = 0.3}", "retrieval.candidates = 300"]
)
def test_a_file_that_lines_cannot_be_put_into_is_left_to_its_owner(before: str) -> None:
    with pytest.raises(SettingsError, match="put in by hand"):
        written_into(before, CHANGES)
