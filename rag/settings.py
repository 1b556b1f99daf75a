"""Settings: plain data in five sections named like the five stages.

Precedence: keyword > environment (``RAG_SYNTHESIS__BUDGET=4000``) > ``rag.toml`` in the
corpus folder > default. An unknown key is an error that names the nearest one. Keys of
servers are never settings: ``OPENAI_API_KEY`` and ``OPENAI_BASE_URL`` are read from the
environment by the SDK that needs them.
"""

import difflib
import json
import os
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from rag.errors import SettingsError

FILE_NAME = "rag.toml"
PREFIX = "RAG_"


class _Section(BaseModel):
    model_config = ConfigDict(
        frozen=True, extra="forbid", validate_default=True, allow_inf_nan=False
    )


class DocumentSettings(_Section):
    """Reading and splitting."""

    max_bytes: int = Field(default=100_000_000, ge=1)
    """A larger file is refused: text, tree and chunks of one take some ten times its size."""
    read_timeout_s: float = Field(default=300.0, gt=0)
    """A file that takes longer to read in a sync fails, alone. A Word file of three million
    paragraphs, the slowest that ``max_bytes`` and the bounds of archives let through, takes 150."""
    read_memory_bytes: int = Field(default=4_000_000_000, ge=256_000_000)
    """A file that takes more memory to read in a sync fails, alone; only Linux enforces it. A
    book in EPUB that unpacks to 240 MB takes 2.5 GB, 100 MB of text .3 to .9 GB, the interpreter
    with its libraries 60 MB."""
    chunk_size: int | None = Field(default=None, ge=16)
    """Tokens of a chunk by the embedder's tokenizer; None: as the index was made, a new one
    with what the embedder reads, at most ``chunking.DEFAULT_SIZE``."""


class EmbeddingSettings(_Section):
    """The model that makes vectors."""

    model: str = Field(default="all-MiniLM-L6-v2", min_length=1)
    """A sentence-transformers name or path; ``openai:NAME`` asks an OpenAI-compatible server.
    Where it is not set, an index opens with the model that it was made with."""
    device: str | None = Field(default=None, min_length=1)
    """None: the CPU for the default model, for others a GPU where there is one. The default
    model on a GPU is computed in fp32, and opens what ``precision = "fp32"`` has indexed."""
    precision: Literal["int8", "fp32"] = "int8"
    """Of the default model on a CPU: int8 is three times as fast, and ranks as well. Vectors of
    the two are not mixed: where this is not set, an index made with fp32 is opened with it."""
    batch_size: int = Field(default=32, ge=1, le=2048)
    max_tokens: int = Field(default=512, ge=16)
    """The limit of a server's model, which the protocol does not tell; local models know theirs."""
    timeout_s: float = Field(default=60.0, gt=0)
    patience_s: float = Field(default=7200.0, ge=0)
    """How long a sync waits for a server that asks for patience (429), or fails otherwise after
    it had answered; then what could not be embedded is reported as failed. Rates are counted by
    the minute, the hour or the day: two hours outlast all but a day's."""


class IndexSettings(_Section):
    """Where vectors and terms are searched."""

    exact_up_to: int = Field(default=20_000, ge=0)
    """Up to so many chunks dense search is an exact scan, above it Chroma answers; 0: always
    Chroma. A scan of 50,000 x 384 takes 5.5 ms on two cores."""


class RetrievalSettings(_Section):
    """What search returns."""

    candidates: int = Field(default=200, ge=200, le=10_000)
    """How many hits of each ranking are fused."""
    dense_weight: float = Field(default=0.3, ge=0, le=1)
    """Of the dense ranking, where the lexical one, which has the rest, confirms it."""


class SynthesisSettings(_Section):
    """The context and the answer."""

    model: str | None = Field(default=None, min_length=1)
    """A chat model of an OpenAI-compatible server; None: sentences of the text are quoted."""
    window: int = Field(default=8192, ge=256)
    """Tokens the chat model takes, prompt and reply together."""
    budget: int = Field(default=6000, ge=1)
    """Tokens of the packed context."""
    reply_tokens: int = Field(default=1024, ge=1)
    """Kept free for the reply."""
    timeout_s: float = Field(default=60.0, gt=0)


class Settings(_Section):
    """All settings of a corpus; frozen, comparable, printable."""

    documents: DocumentSettings = DocumentSettings()
    embeddings: EmbeddingSettings = EmbeddingSettings()
    index: IndexSettings = IndexSettings()
    retrieval: RetrievalSettings = RetrievalSettings()
    synthesis: SynthesisSettings = SynthesisSettings()


def load_settings(
    folder: Path,
    *,
    environment: Mapping[str, str] | None = None,
    overrides: Mapping[str, Mapping[str, Any]] | None = None,
) -> Settings:
    """Read the settings of a corpus folder.

    Parameters
    ----------
    folder : the corpus; its ``rag.toml`` is read if there is one.
    environment : None means ``os.environ``. Empty variables count as unset.
    overrides : section -> key -> value; wins over file and environment.

    Raises
    ------
    SettingsError
        An unknown section or key, a value out of range, or a file that is not TOML.
    """
    file = folder / FILE_NAME
    merged: dict[str, Any] = {}
    origins: dict[str, str] = {}
    for origin, layer in (
        (str(file), _from_file(file)),
        ("the environment", _from_environment(os.environ if environment is None else environment)),
        ("the arguments", overrides or {}),
    ):
        for section, values in layer.items():
            if isinstance(values, Mapping) and isinstance(merged.get(section, {}), Mapping):
                merged[section] = {**merged.get(section, {}), **values}
                origins.update({f"{section}.{key}": origin for key in values})
            else:
                merged[section] = values
            origins[section] = origin
    return settings_from(merged, origins=origins)


def naming_embedder(settings: Settings, name: str | None) -> Settings:
    """Name another embedding model; None: none, so that an index opens with its own.

    Raises
    ------
    SettingsError
        The name is empty.
    """
    values = settings.model_dump(exclude_unset=True)
    embeddings = {**values.get("embeddings", {}), "model": name}
    if name is None:
        del embeddings["model"]
    return settings_from({**values, "embeddings": embeddings})


def settings_from(
    values: Mapping[str, Any], *, origins: Mapping[str, str] | None = None
) -> Settings:
    """Validate settings given as nested mappings.

    Parameters
    ----------
    values : section -> key -> value.
    origins : where a section, or ``section.key``, was set; told when it is wrong.

    Raises
    ------
    SettingsError
        With the first offending key, its value, and for an unknown one the nearest.
    """
    try:
        return Settings.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        # A union adds which of its types was tried.
        key = ".".join(str(part) for part in first["loc"][:2])
        origin = (origins or {}).get(key)
        place = f" (set in {origin})" if origin else ""
        if first["type"] == "extra_forbidden":
            # Its value is not quoted: it may be a key of a server that belongs elsewhere.
            message = f"there is no setting {key!r}{place}; the nearest is {_nearest(key)!r}"
        elif "." not in key:
            message = f"setting {key!r}{place} is a section, not a value; write [{key}]"
        else:
            message = f"setting {key} = {first['input']!r}{place}: {_lowered(first['msg'])}"
        raise SettingsError(message, key=key, value=first["input"]) from None


def value_of(settings: Settings, name: str) -> object:
    """Tell the value of a setting, ``"section.key"``."""
    section, _, key = name.partition(".")
    return getattr(getattr(settings, section), key)


def with_changes(settings: Settings, changes: Mapping[str, Any]) -> Settings:
    """Change single settings.

    Parameters
    ----------
    changes : ``"section.key"`` -> value; what was not set stays unset.

    Raises
    ------
    SettingsError
        As `settings_from`.
    """
    values: dict[str, Any] = settings.model_dump(exclude_unset=True)
    for name, value in changes.items():
        section, _, key = name.partition(".")
        if section not in Settings.model_fields:
            message = f"there is no setting {name!r}; the nearest is {_nearest(name)!r}"
            raise SettingsError(message, key=name, value=value)
        values.setdefault(section, {})[key] = value
    return settings_from(values)


def written_into(toml: str, changes: Mapping[str, Any]) -> str:
    """Put settings into the text of a ``rag.toml``, the rest of which stays as it is.

    Parameters
    ----------
    toml : a valid file's text; may be empty.
    changes : ``"section.key"`` -> a number, truth or text.

    Raises
    ------
    SettingsError
        The file is written in a way that lines cannot be put into, such as ``section = {…}``.
    """
    lines = toml.splitlines()
    expected: dict[str, Any] = tomllib.loads(toml)
    for name, value in changes.items():
        section, _, key = name.partition(".")
        expected.setdefault(section, {})[key] = value
        _put_line(lines, section, key, f"{key} = {json.dumps(value, ensure_ascii=False)}")
    text = "\n".join(lines) + "\n"
    try:
        found = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        found = {}
    if found != expected:
        message = (
            f"{FILE_NAME} is written in a way that {', '.join(changes)} must be put in by hand"
        )
        raise SettingsError(message, key=next(iter(changes)), value=None)
    return text


def _put_line(lines: list[str], section: str, key: str, line: str) -> None:
    """Replace a key's line, or add one below its section's header, or both at the end."""
    header = re.compile(rf"\s*\[\s*{section}\s*\]\s*(#.*)?")
    start = next((n for n, each in enumerate(lines) if header.fullmatch(each)), None)
    if start is None:
        lines += [*([""] if lines and lines[-1].strip() else []), f"[{section}]", line]
        return
    for place in range(start + 1, len(lines)):
        if lines[place].lstrip().startswith("["):
            break
        if re.match(rf"\s*{key}\s*=", lines[place]):
            comment = re.search(r"\s+#[^\"']*$", lines[place])
            lines[place] = line + (comment[0] if comment else "")
            return
    lines.insert(start + 1, line)


def _nearest(key: str) -> str:
    """Find what an unknown key may stand for: the same key of another section, or a like name."""
    sections = Settings.model_fields
    known = [f"{name}.{k}" for name in sections for k in type(sections[name].default).model_fields]
    moved = [name for name in known if name.endswith("." + key.rpartition(".")[2])]
    return (moved or difflib.get_close_matches(key, [*sections, *known], n=1, cutoff=0))[0]


def _lowered(message: str) -> str:
    return message[:1].lower() + message[1:]


def _from_file(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        # Some editors begin a file with a byte order mark, which TOML does not know.
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        message = f"{path} cannot be read as TOML: {error}"
        raise SettingsError(message, key=str(path), value=None) from error


def _refuse_slip(name: str, rest: str, value: str) -> None:
    """Notice ``RAG_SYNTHESIS_MODEL``, which lacks an underscore; what is no setting may be."""
    section, _, key = rest.partition("_")
    if section in Settings.model_fields and key:
        meant = f"{PREFIX}{section.upper()}__{key.upper()}"
        message = f"{name} is no setting; two underscores part section and key: {meant}"
        raise SettingsError(message, key=name, value=value)


def _from_environment(environment: Mapping[str, str]) -> dict[str, dict[str, str]]:
    """Read ``RAG_SECTION__KEY``; other names that begin so belong to others."""
    found: dict[str, dict[str, str]] = {}
    for name, value in environment.items():
        section, double, key = name.removeprefix(PREFIX).lower().partition("__")
        if name.startswith(PREFIX) and not double and value:
            _refuse_slip(name, section, value)
        if name.startswith(PREFIX) and double and value:
            found.setdefault(section, {})[key] = value
    return found
