"""The command line as it is typed: what it prints, what it says, and how it ends.

Most commands run in this process. Vectors and replies come from a server on this machine;
one test loads the bundled model, as a user's first command does.
"""

import fcntl
import json
import os
import pty
import re
import select
import shlex
import shutil
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import rag
from rag.cli import run
from rag.index.catalog import Catalog
from rag.index.locks import writing
from tests.documents.make_pdf import make_pdf
from tests.server import Fault, Server, slow, status

COMMANDS = (
    *("sync", "search", "ask", "show", "status", "forget", "doctor", "reembed"),
    *("eval", "tune"),
)
HARBOUR = """# Harbour

## Pilots

The pilot must be on board two hours before high water. Vessels of more than 500 tons take one.

## Tugs

The agent of the vessel pays for the tug. It is ordered by radio.
"""
COUNTY = """# 砚溪县志

## 水

茶园喷灌每立方米收水费0.12元。石门坎水库由县防汛指挥部下令开闸。
"""


@dataclass(frozen=True)
class Ended:
    """How a command ended, and what it printed."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Typed = Callable[..., Ended]


@pytest.fixture(scope="module")
def shared_server() -> Iterator[Server]:
    with Server() as server:
        yield server


@pytest.fixture
def server(shared_server: Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """Give the server that the environment names, as it was when it was started."""
    reply = shared_server.chat_reply
    shared_server.requests.clear()  # What its corpus was made of is no test's.
    monkeypatch.setenv("OPENAI_BASE_URL", shared_server.url)
    monkeypatch.setenv("RAG_EMBEDDINGS__MODEL", "openai:test")
    yield shared_server
    shared_server.chat_reply = reply
    shared_server.faults.clear()
    shared_server.requests.clear()


@pytest.fixture(scope="module")
def indexed(shared_server: Server, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a corpus of three documents, which no test changes."""
    folder = tmp_path_factory.mktemp("harbour")
    write_harbour(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OPENAI_BASE_URL", shared_server.url)
        patch.setenv("RAG_EMBEDDINGS__MODEL", "openai:test")
        assert run(["sync", "--corpus", str(folder)]) == 0
    return folder


@pytest.fixture
def harbour(indexed: Path, server: Server, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stand in that corpus."""
    monkeypatch.chdir(indexed)
    return indexed


@pytest.fixture
def folder(tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stand in an empty folder that belongs to no corpus."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def typed(capsys: pytest.CaptureFixture[str]) -> Typed:
    """Run a command in this process."""

    def run_here(*arguments: str) -> Ended:
        capsys.readouterr()
        code = run(arguments)
        return Ended(code, *capsys.readouterr())

    return run_here


def write_harbour(folder: Path) -> None:
    (folder / "harbour.md").write_text(HARBOUR, encoding="utf-8")
    (folder / "rivers").mkdir()
    (folder / "rivers" / "砚溪.md").write_text(COUNTY, encoding="utf-8")
    pages = [["High water is told by the tide table."], ["Spring tides rise six metres."]]
    (folder / "tides.pdf").write_bytes(make_pdf(pages))


def child(*arguments: str | bytes, **options: Any) -> Ended:
    """Run a command as a program of its own."""
    command = [sys.executable, "-m", "rag", *arguments]
    done = subprocess.run(command, capture_output=True, check=False, timeout=120, **options)
    return Ended(done.returncode, done.stdout.decode(), done.stderr.decode())


# ---- help -------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", COMMANDS)
def test_the_help_of_every_command_has_examples_and_the_shape_of_its_json(
    command: str, typed: Typed
) -> None:
    ended = typed(command, "--help")
    assert ended.code == 0
    assert ended.out.startswith(f"Usage: rag {command} [OPTIONS]")
    assert f"Examples:\n  rag {command}" in ended.out
    assert "\nJSON: {" in ended.out


def test_without_a_command_the_commands_are_listed_in_their_order(typed: Typed) -> None:
    ended = typed()
    assert ended.code == 0
    assert ended.out == typed("--help").out == typed("-h").out
    assert tuple(re.findall(r"^  (\w+)  +[A-Z]", ended.out, re.MULTILINE)) == COMMANDS


def test_the_version_is_the_packages(typed: Typed) -> None:
    assert typed("--version") == Ended(0, f"rag {rag.__version__}\n", "")


def test_the_package_is_a_program_too() -> None:
    assert child("--version") == Ended(0, f"rag {rag.__version__}\n", "")


def test_the_console_script_is_installed() -> None:
    script = Path(sys.executable).with_name("rag")
    done = subprocess.run([script, "--version"], capture_output=True, check=True, text=True)
    assert done.stdout == f"rag {rag.__version__}\n"


def test_help_loads_neither_a_stage_nor_a_library_of_models() -> None:
    code = (
        "import sys; from rag.cli import run; run(['--help']);"
        "print(sorted({'rag.corpus', 'torch', 'chromadb', 'openai', 'tantivy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    assert done.stdout.endswith("\n[]\n")


# ---- the shape of JSON ------------------------------------------------------------------------


def documented(help_text: str) -> Any:
    """Read the shape behind ``JSON:``: keys of an object, what a list holds, None for a value."""
    return _shape(re.findall(r"[{}\[\]:,]|[^{}\[\]:,\s]+", help_text.partition("\nJSON: ")[2]))


def _shape(tokens: list[str]) -> Any:
    shape: Any = None
    if tokens[0] == "{":
        shape = {}
        while tokens.pop(0) != "}":
            key = tokens.pop(0)
            follows = tokens[0] == ":" and tokens.pop(0)
            shape[key] = _shape(tokens) if follows else None
    elif tokens[0] == "[":
        tokens.pop(0)
        shape = [_shape(tokens)]
        while tokens.pop(0) != "]":
            pass
    while tokens and tokens[0].isalpha():  # “or null”
        tokens.pop(0)
    return shape


def check(found: Any, shape: Any) -> None:
    """Compare a JSON value with a documented shape, key by key and in order."""
    if isinstance(shape, list) and found is not None:
        assert isinstance(found, list)
        for each in found:
            check(each, shape[0])
    elif isinstance(shape, dict) and list(shape) in (["part"], ["key"]):
        assert isinstance(found, dict)
    elif isinstance(shape, dict) and found is not None:
        assert list(found) == list(shape)
        for key, value in found.items():
            check(value, shape[key])


def test_a_documented_shape_is_read_with_its_lists_and_objects() -> None:
    text = "\nJSON: {a, b: why or null, c: [id], d: [{e, f: [x, y] or null}],\n  g: {part: n}}\n z"
    shape = documented(text)
    assert shape == {
        "a": None,
        "b": None,
        "c": [None],
        "d": [{"e": None, "f": [None]}],
        "g": {"part": None},
    }
    check({"a": 1, "b": 2, "c": [], "d": [{"e": 1, "f": None}], "g": {}}, shape)
    with pytest.raises(AssertionError):
        check({"a": 1, "b": 2, "c": [], "d": [{"e": 1}], "g": {}}, shape)


def test_the_json_of_search_is_the_documented_one(harbour: Path, typed: Typed) -> None:
    found = typed("search", "pilot", "--where", "suffix=.md", "--json").json
    check(found, documented(typed("search", "--help").out))
    first = found["hits"][0]
    start, end = first["start"], first["end"]
    assert found["query"] == "pilot"
    assert (found["by"], found["k"], found["where"]) == ("fused", 10, {"suffix": [".md"]})
    assert (first["rank"], first["document_id"]) == (1, "harbour.md")
    assert first["headings"] == ["Harbour", "Pilots"]
    assert first["text"] == HARBOUR[start:end]
    assert first["line"] == HARBOUR.count("\n", 0, start) + 1
    assert first["pages"] is None


def test_the_json_of_ask_is_the_documented_one(harbour: Path, server: Server, typed: Typed) -> None:
    server.chat_reply = (
        "Early “two hours before high water” [1]. It is free “free of charge” [1]. Or not [77]."
    )
    found = typed("ask", "When is the pilot on board?", "--model", "m", "--json").json
    check(found, documented(typed("ask", "--help").out))
    (citation,) = found["citations"]
    start = HARBOUR.index("two hours before high water")
    assert (citation["start"], citation["end"]) == (start, start + 27)
    assert (citation["document_id"], citation["line"], citation["by"]) == ("harbour.md", 5, "model")
    assert citation["headings"] == ["Harbour", "Pilots"]
    assert [each["quote"] for each in found["rejected"]] == ["free of charge"]
    assert found["unknown_markers"] == [77]
    assert (found["refused"], found["refusal"]) == (False, None)
    assert (found["model"], found["finish_reason"]) == ("m", "stop")
    assert found["usage"]["calls"] == 1
    assert found["context"]["passages"][0]["marker"] == 1


def test_the_json_of_ask_lists_what_was_left_out(harbour: Path, typed: Typed) -> None:
    found = typed("ask", "pilot", "--budget", "5", "--json").json
    check(found, documented(typed("ask", "--help").out))
    assert found["refused"] is True
    assert found["context"]["passages"] == []
    assert "harbour.md" in {hit["document_id"] for hit in found["context"]["dropped"]}


def test_the_json_of_show_is_the_documented_one(harbour: Path, typed: Typed) -> None:
    start = HARBOUR.index("The agent")
    found = typed("show", "harbour.md", "--at", f"{start}-{start + 9}", "--lines", "1", "--json")
    check(found.json, documented(typed("show", "--help").out))
    assert found.json["at"] == [start, start + 9]
    assert HARBOUR[found.json["start"] : found.json["end"]] == found.json["text"]
    assert found.json["text"].startswith("The agent of the vessel")
    assert (found.json["line"], found.json["headings"]) == (9, ["Harbour", "Tugs"])
    assert found.json["metadata"]["encoding"] == "utf-8"
    assert typed("show", "tides.pdf", "--json").json["pages"] == [1, 2]


def test_the_json_of_status_is_the_documented_one(harbour: Path, typed: Typed) -> None:
    found = typed("status", "--json").json
    check(found, documented(typed("status", "--help").out))
    assert (found["path"], found["documents"]) == (str(harbour), 3)
    assert set(found["size_bytes"]) == {"catalog", "chroma", "terms"}
    assert (found["writer"], found["findings"]) == (None, [])


def test_the_json_of_sync_is_the_documented_one(folder: Path, typed: Typed) -> None:
    write_harbour(folder)
    (folder / "empty.txt").touch()
    (folder / "photo.png").write_bytes(b"\x89PNG")
    ended = typed("sync", "--json")
    check(ended.json, documented(typed("sync", "--help").out))
    assert ended.code == 3
    assert ended.json["added"] == ["harbour.md", "rivers/砚溪.md", "tides.pdf"]
    assert [(f["id"], f["kind"]) for f in ended.json["failed"]] == [("empty.txt", "EmptyDocument")]
    assert [skipped["id"] for skipped in ended.json["skipped"]] == ["photo.png"]
    assert ended.json["dry_run"] is False
    (folder / "harbour.md").rename(folder / "manual.md")
    (folder / "empty.txt").unlink()
    ended = typed("sync", "--json")
    check(ended.json, documented(typed("sync", "--help").out))
    assert ended.code == 0
    assert ended.json["moved"] == [{"old": "harbour.md", "new": "manual.md"}]
    assert ended.json["embedded"] == 0


def test_the_json_of_forget_is_the_documented_one(folder: Path, typed: Typed) -> None:
    write_harbour(folder)
    typed("sync")
    ended = typed("forget", "rivers/砚溪.md", "--ignore", "--json")
    check(ended.json, documented(typed("forget", "--help").out))
    assert (ended.code, ended.json["ids"]) == (0, ["rivers/砚溪.md"])
    assert (ended.json["ignored"], ended.json["found"]) == (["/rivers/砚溪.md"], [])
    assert ended.json["runs"] > 50


def test_the_json_of_doctor_is_the_documented_one(folder: Path, typed: Typed) -> None:
    write_harbour(folder)
    typed("sync")
    (folder / ".rag" / "terms-0001" / "meta.json").unlink()
    ended = typed("doctor", "--json")
    check(ended.json, documented(typed("doctor", "--help").out))
    assert ended.code == 4
    (finding,) = ended.json["findings"]
    assert (finding["check"], finding["fixable"]) == ("terms", True)
    fixed = typed("doctor", "--fix", "--json")
    check(fixed.json, documented(typed("doctor", "--help").out))
    assert (fixed.code, fixed.json["findings"], fixed.json["fixed"]) == (0, [], [finding])


# ---- forget and doctor ------------------------------------------------------------------------


def test_a_file_is_forgotten_by_its_path_from_here(
    folder: Path, typed: Typed, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_harbour(folder)
    typed("sync")
    monkeypatch.chdir(folder / "rivers")
    refused = typed("forget", "砚溪.md")
    assert refused.code == 2
    assert "'rivers/砚溪.md' still lies in the folder" in refused.err
    (folder / "rivers" / "砚溪.md").unlink()
    ended = typed("forget", "砚溪.md")
    assert ended.code == 0
    assert re.fullmatch(
        r"forgotten +1\n    rivers/砚溪\.md\nvectors +\d+  removed\n"
        r"searched \d+ files, [\d.]+ [kM]B: no 32-byte run of it is left\n\d+\.\d s\n",
        ended.out,
    )


def test_what_is_left_of_a_forgotten_file_is_shown_with_exit_code_4(
    folder: Path, typed: Typed
) -> None:
    write_harbour(folder)
    typed("sync")
    (folder / "harbour.md").rename(folder / ".rag" / "harbour.txt")
    ended = typed("forget", "harbour.md")
    assert ended.code == 4
    assert "a 32-byte run of it is left in\n    harbour.txt\nthese are no files of rag" in ended.out


def test_a_doctor_prints_a_line_for_each_check_and_what_mends_a_finding(
    folder: Path, typed: Typed
) -> None:
    write_harbour(folder)
    typed("sync")
    (folder / ".rag" / "terms-0001" / "meta.json").unlink()
    ended = typed("doctor")
    assert ended.code == 4
    lines = ended.out.splitlines()
    signs = {line[2:13].strip(): line[0] for line in lines if line[:1] in {"✓", "✗"}}
    assert signs.pop("terms") == "✗"
    assert signs == dict.fromkeys(
        ("catalog", "texts", "chroma", "recall", "vectors", "windows", "folders", "versions"), "✓"
    )
    place = lines.index("✗ terms      meta.json is not what was written")
    assert lines[place + 1].strip().startswith("→ rag doctor --fix, or the next sync, builds it")
    assert lines[-1].startswith("1 finding · ")


def test_a_doctor_of_an_index_that_cannot_be_opened_says_what_to_do(
    folder: Path, typed: Typed
) -> None:
    write_harbour(folder)
    typed("sync")
    (folder / ".rag" / "catalog.sqlite3").write_bytes(b"x" * 8192)
    ended = typed("doctor")
    assert ended.code == 4
    assert ended.out.startswith("✗ catalog    the catalog ")
    assert "restore it from a backup, or move its folder away and sync again" in ended.out
    assert typed("doctor", "--json").json["findings"][0]["check"] == "catalog"


# ---- search -----------------------------------------------------------------------------------


def test_a_search_prints_where_each_hit_stands(harbour: Path, typed: Typed) -> None:
    ended = typed("search", "who pays for the tug", "-k", "1")
    assert re.fullmatch(
        r"1  harbour\.md:7 · at \d+-\d+ · \d\.\d{3}\n"
        r"   Harbour › Tugs\n"
        r"   The agent of the vessel pays for the tug\. It is ordered by radio\.\n",
        ended.out,
    )
    assert (ended.code, ended.err) == (0, "")


def test_a_hit_of_a_pdf_has_its_page(harbour: Path, typed: Typed) -> None:
    ended = typed("search", "spring tides", "-k", "1")
    assert re.match(r"1  tides\.pdf:\d+ · pp?\. (1–)?2 · at ", ended.out)


def test_chinese_finds_chinese_in_a_file_with_a_chinese_name(harbour: Path, typed: Typed) -> None:
    ended = typed("search", "谁下令开闸", "-k", "1")
    assert ended.out.startswith("1  rivers/砚溪.md:")
    assert "县防汛指挥部下令开闸" in ended.out


def test_filters_of_one_field_are_alternatives_and_different_fields_must_all_hold(
    harbour: Path, typed: Typed
) -> None:
    def documents(*filters: str) -> set[str]:
        options = [part for each in filters for part in ("--where", each)]
        found = typed("search", "high water 水", "--json", *options).json
        return {hit["document_id"] for hit in found["hits"]}

    assert documents("suffix=.pdf", "suffix=.md") == {"harbour.md", "rivers/砚溪.md", "tides.pdf"}
    assert documents("suffix=.md", "folder=rivers") == {"rivers/砚溪.md"}
    assert documents("suffix=.docx") == set()


def test_a_number_in_a_filter_finds_metadata_that_is_a_number_or_text(
    folder: Path, typed: Typed
) -> None:
    assert typed("sync").code == 0
    with rag.Corpus.open(folder) as corpus:
        corpus.put("a", "The pilot boards.", metadata={"year": 2024})
        corpus.put("b", "The pilot waits.", metadata={"year": "2024"})
        corpus.put("c", "The pilot sleeps.", metadata={"year": 2025})
    found = typed("search", "pilot", "--where", "metadata.year=2024", "--json").json
    assert {hit["document_id"] for hit in found["hits"]} == {"a", "b"}


def test_a_search_that_finds_nothing_says_so_beside_the_output(harbour: Path, typed: Typed) -> None:
    ended = typed("search", "xylophone", "--by", "lexical")
    assert ended == Ended(0, "", "nothing found for 'xylophone'\n")


def test_a_corpus_without_documents_says_that_it_is_empty(folder: Path, typed: Typed) -> None:
    assert typed("sync").code == 0
    ended = typed("search", "pilot")
    assert ended == Ended(0, "", "nothing found for 'pilot'; the corpus is empty\n")


# ---- ask --------------------------------------------------------------------------------------


def test_without_a_model_the_answer_is_quoted_and_cited(harbour: Path, typed: Typed) -> None:
    ended = typed("ask", "When must the pilot be on board?", "--where", "suffix=.md")
    quotation = "“The pilot must be on board two hours before high water.”"
    assert ended.code == 0
    assert ended.out.startswith("No language model is set up, so this is quoted")
    assert f"{quotation} [1]\n" in ended.out
    cited = "[1] harbour.md:5 · Harbour › Pilots\n"
    assert f"\nQuotations, checked word for word\n{cited}    {quotation}\n" in ended.out
    assert ended.err == ""


def test_chinese_is_answered_in_chinese(harbour: Path, typed: Typed) -> None:
    ended = typed("ask", "茶园喷灌每立方米收多少水费？")
    assert ended.out.startswith("没有配置语言模型")
    assert "[1] rivers/砚溪.md:5 · 砚溪县志 › 水\n" in ended.out


def test_a_question_that_the_texts_do_not_answer_is_refused_with_code_0(
    harbour: Path, typed: Typed
) -> None:
    ended = typed("ask", "Which xylophone did Beethoven prefer?")
    assert ended.code == 0
    assert "Not answered." in ended.out


def test_what_a_model_says_is_printed_with_what_holds_and_what_does_not(
    harbour: Path, server: Server, typed: Typed
) -> None:
    server.chat_reply = (
        "Early “two hours before high water” [1]. It is free “free of charge” [1]. Or not [77]."
    )
    ended = typed("ask", "When is the pilot on board?", "--model", "m")
    assert ended.code == 0
    assert ended.out.startswith(server.chat_reply + "\n\nQuotations, checked word for word\n")
    assert "    “two hours before high water”\n" in ended.out
    does_not_hold = ended.out.partition("\nDoes not hold\n")[2]
    assert does_not_hold.startswith(
        "  [1] “free of charge” does not stand in harbour.md, character for character\n"
        "  [77] there is no such passage\n"
    )
    assert ended.out.endswith(" s\n")
    assert "m took 21 tokens and gave 17 in " in ended.out


def test_a_server_that_asks_for_patience_once_is_asked_again(
    harbour: Path, server: Server, typed: Typed
) -> None:
    server.faults += [Fault(), status(429, retry_after="0.01")]
    ended = typed("ask", "When is the pilot on board?", "--model", "m")
    assert ended.code == 0
    assert [request.path for request in server.requests] == [
        "/v1/embeddings",
        "/v1/chat/completions",
        "/v1/chat/completions",
    ]


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (status(401), "refuses the key (401); see OPENAI_API_KEY"),
        (status(404, message="model 'm' not found"), "model 'm' not found; see the model's name"),
        (Fault(body=b"<html>", headers={"content-type": "text/html"}), "most end in /v1"),
    ],
)
def test_a_model_server_that_fails_ends_the_command_with_5_and_what_to_do(
    fault: Fault, words: str, harbour: Path, server: Server, typed: Typed
) -> None:
    server.faults += [Fault(), fault]
    ended = typed("ask", "When is the pilot on board?", "--model", "m")
    assert (ended.code, ended.out) == (5, "")
    assert ended.err.startswith("error: ")
    assert words in ended.err


def test_a_reply_that_breaks_off_stays_on_the_screen_and_is_no_answer(
    harbour: Path, server: Server, typed: Typed
) -> None:
    server.chat_reply = "The pilot boards at the fairway buoy."
    server.faults += [Fault(), Fault(breaks_after=3)]
    ended = typed("ask", "When is the pilot on board?", "--model", "m")
    assert (ended.code, ended.out) == (5, "The pilot \n")
    assert "broke off" in ended.err


def test_without_a_server_a_model_is_asked_for_in_vain(
    harbour: Path, typed: Typed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", "ftp://nowhere")
    ended = typed("ask", "When?", "--model", "m")
    assert ended.code == 2
    assert "OPENAI_BASE_URL must be a URL like 'http://127.0.0.1:8080/v1'" in ended.err


def test_a_question_that_leaves_no_room_in_the_window_is_refused_before_it_is_sent(
    harbour: Path, server: Server, typed: Typed
) -> None:
    ended = typed("ask", "why " * 20_000, "--model", "m")
    assert ended.code == 2
    assert "shorten the question" in ended.err
    assert server.requests == []


def test_a_budget_that_no_passage_fits_says_so(harbour: Path, typed: Typed) -> None:
    ended = typed("ask", "When must the pilot be on board?", "--budget", "5")
    assert ended.code == 0
    assert "No passage fits into 5 tokens; allow more, as in --budget 1000." in ended.out


# ---- show -------------------------------------------------------------------------------------


def test_a_hit_is_shown_in_its_place(harbour: Path, typed: Typed) -> None:
    start = HARBOUR.index("The pilot must")
    ended = typed("show", "harbour.md", "--at", f"{start}-{start + 9}", "--lines", "3")
    assert ended.out.splitlines() == [
        "harbour.md:5",
        "Harbour › Pilots",
        "",
        "4 │ ",
        "5 ┃ " + HARBOUR.splitlines()[4],
        "6 │ ",
        "",
        "lines 4–6 of 9 · characters 21–119 of 194",
    ]


def test_a_place_is_shown_as_search_prints_it(harbour: Path, typed: Typed) -> None:
    (place,) = re.findall(r"^1  (\S+) ", typed("search", "pays for the tug").out)
    ended = typed("show", place)
    assert (ended.code, ended.out.splitlines()[0]) == (0, place)
    assert "7 ┃ ## Tugs" in ended.out


def test_a_place_with_its_page_and_heading_is_shown_too(harbour: Path, typed: Typed) -> None:
    assert typed("show", "harbour.md:7 · p. 4 · Tugs").out == typed("show", "harbour.md:7").out


def test_digits_may_be_grouped_as_show_itself_does(harbour: Path, typed: Typed) -> None:
    assert typed("show", "harbour.md", "--at", "0,010–0,012").out == (
        typed("show", "harbour.md", "--at", "10-12").out
    )


def test_a_document_is_found_by_its_path_from_the_current_folder(
    harbour: Path, typed: Typed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(harbour / "rivers")
    for name in ("砚溪.md", "rivers/砚溪.md", "./砚溪.md", str(harbour / "rivers" / "砚溪.md")):
        assert typed("show", name).out.startswith("rivers/砚溪.md:1\n"), name
    assert typed("show", "../harbour.md").code == 0


def test_a_name_that_ends_like_a_line_is_a_name(folder: Path, typed: Typed) -> None:
    (folder / "at").write_text("At the gate.\nTwice.", encoding="utf-8")
    with rag.Corpus.open(folder) as corpus:
        corpus.put("notes:2", "Noon.")
    assert typed("show", "notes:2").out.startswith("notes:2:1\n")
    assert typed("show", "notes:2:1").out.startswith("notes:2:1\n")


# ---- sync and status --------------------------------------------------------------------------


def test_a_first_sync_says_that_the_folder_becomes_a_corpus(folder: Path, typed: Typed) -> None:
    (folder / "a.md").write_text(HARBOUR, encoding="utf-8")
    ended = typed("sync")
    assert ended.err == f"{folder} becomes a corpus; its index lies in .rag, and can be deleted\n"
    assert re.fullmatch(r"added +1\n    a\.md\n\d chunks embedded, 0 reused · .* s\n", ended.out)


def test_from_a_folder_inside_the_whole_corpus_is_synced(
    folder: Path, typed: Typed, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_harbour(folder)
    assert typed("sync").code == 0
    monkeypatch.chdir(folder / "rivers")
    ended = typed("sync", "--json")
    assert (ended.json["path"], ended.err) == (str(folder), "")
    assert len(ended.json["unchanged"]) == 3


def test_a_dry_run_changes_nothing(folder: Path, typed: Typed) -> None:
    (folder / "a.md").write_text(HARBOUR, encoding="utf-8")
    ended = typed("sync", "--dry-run")
    assert ended.code == 0
    assert "would become a corpus" in ended.err
    assert "added          1\n    a.md\n" in ended.out
    assert ended.out.endswith("nothing was changed: this was a dry run\n")
    assert [path.name for path in folder.iterdir()] == ["a.md"]


def test_a_file_that_cannot_be_read_is_listed_and_the_others_are_indexed(
    folder: Path, typed: Typed
) -> None:
    (folder / "a.md").write_text(HARBOUR, encoding="utf-8")
    (folder / "broken.pdf").write_bytes(b"%PDF-1.4 broken")
    ended = typed("sync")
    assert ended.code == 3
    assert "added          1\n    a.md\n" in ended.out
    assert re.search(r"failed +1\n    .*broken\.pdf.* damaged", ended.out)
    assert typed("search", "tug").code == 0


def test_a_server_that_makes_no_vectors_ends_a_sync_with_5(
    folder: Path, server: Server, typed: Typed
) -> None:
    (folder / "a.md").write_text(HARBOUR, encoding="utf-8")
    server.faults.append(status(401))
    ended = typed("sync")
    assert ended.code == 5
    assert "refuses the key (401)" in ended.out
    assert typed("sync").code == 0


def test_a_server_of_vectors_that_hangs_is_asked_again_after_the_time_that_is_set(
    folder: Path, server: Server, typed: Typed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAG_EMBEDDINGS__TIMEOUT_S", "0.2")
    (folder / "a.md").write_text(HARBOUR, encoding="utf-8")
    server.faults.append(slow(5))
    assert typed("sync").code == 0
    assert len(server.requests) == 2


def test_a_name_that_is_not_utf8_is_reported_and_shown(folder: Path) -> None:
    (folder / os.fsdecode(b"b\xff.txt")).write_text("Text.", encoding="utf-8")
    ended = child("sync", "--json")
    assert ended.code == 3
    assert [failure["id"] for failure in ended.json["failed"]] == ["b\\xff.txt"]
    ended = child("show", b"b\xff.txt")
    assert (ended.code, ended.out) == (2, "")
    assert "b\\udcff.txt" in ended.err


def test_the_bundled_model_answers_without_any_setting(
    tmp_path: Path, typed: Typed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "harbour.md").write_text(HARBOUR, encoding="utf-8")
    assert typed("sync").code == 0
    assert "embedder   all-MiniLM-L6-v2\n" in typed("status").out
    ended = typed("ask", "When must the pilot be on board?")
    assert "“The pilot must be on board two hours before high water.” [1]\n" in ended.out


# ---- another embedder -------------------------------------------------------------------------


@pytest.fixture
def unnamed(folder: Path, typed: Typed, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give a corpus that openai:test has indexed, and which no setting names any more."""
    write_harbour(folder)
    assert typed("sync").code == 0
    monkeypatch.delenv("RAG_EMBEDDINGS__MODEL")
    return folder


def test_an_index_opens_with_the_model_that_it_was_made_with(unnamed: Path, typed: Typed) -> None:
    assert "embedder   openai:test\n" in typed("status").out
    assert typed("search", "pilot", "--json").json["hits"][0]["document_id"] == "harbour.md"
    assert typed("sync").code == 0


def test_the_index_becomes_that_of_another_model(
    unnamed: Path, server: Server, typed: Typed
) -> None:
    ended = typed("reembed", "--embedder", "openai:other")
    assert (ended.code, ended.err) == (0, "")
    assert re.fullmatch(
        r"embedder   openai:test → openai:other\ndocuments  3 · 4 chunks\n"
        r"4 chunks embedded, 0 reused · \d+\.\d s\n",
        ended.out,
    )
    assert {request.body["model"] for request in list(server.requests)[-1:]} == {"other"}
    assert "embedder   openai:other\n" in typed("status").out
    assert typed("search", "pilot").code == 0
    again = typed("reembed", "--embedder", "openai:other")
    assert again.out == "nothing to do: the index is that of openai:other already\n"


def test_the_json_of_reembed_is_the_documented_one(unnamed: Path, typed: Typed) -> None:
    found = typed("reembed", "--embedder", "openai:other", "--json").json
    check(found, documented(typed("reembed", "--help").out))
    assert found["path"] == str(unnamed)
    assert (found["before"]["embedder"], found["after"]["embedder"]) == (
        "openai:test",
        "openai:other",
    )
    assert (found["embedded"], found["reused"]) == (found["chunks"], 0)


@pytest.mark.parametrize("place", ["RAG_EMBEDDINGS__MODEL", "rag.toml, section embeddings"])
def test_settings_that_still_name_the_old_model_are_told_of(
    unnamed: Path, typed: Typed, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    if place.startswith("rag.toml"):
        (unnamed / "rag.toml").write_text('embeddings.model = "openai:test"\n', encoding="utf-8")
    else:
        monkeypatch.setenv(place, "openai:test")
    ended = typed("reembed", "--embedder", "openai:other")
    assert ended.code == 0
    assert ended.err == (
        f"warning: {place} still names 'openai:test', so that the index cannot be opened; name "
        "'openai:other' there, or nothing: an index opens with its own\n"
    )
    refused = typed("search", "pilot")
    assert refused.code == 4
    assert "rag reembed --embedder openai:test" in refused.err


def test_settings_that_name_the_new_model_already_are_right(
    unnamed: Path, typed: Typed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAG_EMBEDDINGS__MODEL", "openai:other")
    assert "rag reembed --embedder openai:other" in typed("sync").err
    ended = typed("reembed", "--embedder", "openai:other")
    assert (ended.code, ended.err) == (0, "")
    assert typed("search", "pilot").code == 0


def test_a_server_that_fails_leaves_the_old_index_and_says_how_to_go_on(
    unnamed: Path, server: Server, typed: Typed
) -> None:
    server.faults.append(status(401))
    ended = typed("reembed", "--embedder", "openai:other")
    assert (ended.code, ended.out) == (5, "")
    assert ended.err.endswith(
        "; it was to embed 'harbour.md'; the old index answers as before; run rag reembed again "
        "to go on\n"
    )
    assert typed("search", "pilot").code == 0
    shown = typed("status").out
    assert "unfinished reembedding with openai:other · rag reembed --embedder openai:other" in shown
    assert typed("reembed", "--embedder", "openai:other").code == 0
    assert "unfinished" not in typed("status").out


def test_an_index_whose_model_cannot_be_had_is_told_and_can_be_reembedded(
    unnamed: Path, typed: Typed, tmp_path_factory: pytest.TempPathFactory
) -> None:
    with closing(Catalog(unnamed / ".rag", write=True)) as catalog:
        catalog.set(embedder=str(tmp_path_factory.getbasetemp() / "no-model"))
    refused = typed("search", "pilot")
    assert refused.code == 4
    assert "no-model', which cannot be had" in refused.err
    assert typed("reembed", "--embedder", "openai:other").code == 0
    assert typed("search", "pilot").code == 0


# ---- what is meant ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("sarch x", "No such command 'sarch'. Did you mean 'search'?\nTry: rag --help\n"),
        ("ask x --bugdet 3", "No such option: --bugdet (Possible options: --budget, --debug)"),
        ("search", "Missing argument 'QUERY'.\nTry: rag search --help\n"),
        ("search two words", "put several words into quotes"),
        ("sync manuals", "a folder behind --corpus"),
        ("search x -k 0", "k must be at least 1, not 0"),
        ("search x -k three", "Invalid value for '-k'"),
        ("search x --by meaning", "'meaning' is not one of 'fused', 'dense', 'lexical'"),
        ("search x --where suffix", "'suffix' is not FIELD=VALUE, as in suffix=.pdf"),
        ("search x --where =.pdf", "'=.pdf' is not FIELD=VALUE, as in suffix=.pdf"),
        ("search x --where sufix=.md", "there is no field 'sufix' to filter by; the nearest is"),
        ("ask x --budget 0", "budget must be at least 1 token, not 0"),
        ("ask x --model ''", "setting synthesis.model = ''"),
        ("search ''", "is empty; ask something"),
        ("ask ' '", "the question is empty; ask something"),
        ("reembed", "Missing option '--embedder'"),
        ("reembed --embedder ''", "setting embeddings.model = ''"),
        ("show harbor.md", "there is no document 'harbor.md'; the nearest is 'harbour.md'"),
        ("show harbour.md:77", "there is no line 77 in 'harbour.md', which has 9"),
        ("show harbour.md:0", "there is no line 0 in 'harbour.md', which has 9"),
        ("show harbour.md --at x", "'x' is neither START nor START-END, as in 5163-5920"),
        ("show harbour.md --at -5", "'-5' is neither START nor START-END"),
        ("show harbour.md --at 9-5", "'9-5' ends before it starts"),
        ("show harbour.md --at 194", "194 is outside of 'harbour.md', which has 194 characters"),
        ("show harbour.md --lines -1", "-1 is negative; 0 shows all lines"),
    ],
)
def test_a_command_that_cannot_be_meant_ends_with_2_and_says_what_is_wrong(
    line: str, words: str, harbour: Path, server: Server, typed: Typed
) -> None:
    ended = typed(*shlex.split(line))
    assert (ended.code, ended.out) == (2, "")
    assert ended.err.startswith("error: ")
    assert words in ended.err


def test_a_setting_that_does_not_exist_names_its_place_and_the_nearest(
    harbour: Path, typed: Typed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAG_SYNTHESIS__BUGDET", "3")
    assert typed("status") == Ended(
        2,
        "",
        "error: there is no setting 'synthesis.bugdet' (set in the environment); "
        "the nearest is 'synthesis.budget'\n",
    )


@pytest.mark.parametrize("line", ["search x", "ask x", "show a.md", "status"])
def test_outside_of_any_corpus_a_command_ends_with_4_and_says_how_to_make_one(
    line: str, folder: Path, typed: Typed
) -> None:
    ended = typed(*line.split())
    assert (ended.code, ended.out) == (4, "")
    assert ended.err == (
        f"error: no corpus in {folder} or above it; name one by --corpus DIR, or make this folder "
        "one: rag sync\n"
    )


@pytest.mark.parametrize("line", ["search x", "ask x", "show a.md", "status"])
def test_a_folder_that_was_never_synced_ends_a_command_with_4_and_the_line_to_type(
    line: str, folder: Path, typed: Typed
) -> None:
    (folder / "my books").mkdir()
    ended = typed(*line.split(), "--corpus", "my books")
    assert (ended.code, ended.out) == (4, "")
    assert f"sync first: rag sync --corpus '{folder}/my books'\n" in ended.err


@pytest.mark.parametrize("command", ["sync", "status"])
def test_a_corpus_that_does_not_exist_ends_a_command_with_4(
    command: str, folder: Path, typed: Typed
) -> None:
    ended = typed(command, "--corpus", "nowhere")
    assert ended == Ended(
        4, "", "error: there is no folder 'nowhere'; give one that holds documents\n"
    )


def test_an_index_made_otherwise_ends_a_command_with_4(
    harbour: Path, typed: Typed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAG_EMBEDDINGS__MODEL", "openai:another")
    ended = typed("search", "x")
    assert (ended.code, ended.out) == (4, "")
    assert "openai:another" in ended.err
    assert "openai:test" in ended.err


# ---- how it ends ------------------------------------------------------------------------------


def test_debug_logs_the_steps_and_shows_where_an_error_arose(harbour: Path) -> None:
    ended = child("--debug", "ask", "x", "--budget", "0")
    assert ended.code == 2
    assert "Traceback (most recent call last)" in ended.err
    assert ended.err.endswith("error: budget must be at least 1 token, not 0\n")


def test_a_reader_that_leaves_early_ends_the_command_quietly_with_141(
    folder: Path, typed: Typed
) -> None:
    (folder / "long.txt").write_text("The pilot boards at noon.\n" * 20_000, encoding="utf-8")
    with rag.Corpus.open(folder) as corpus:
        corpus.put("long", "The pilot boards at noon.\n" * 20_000)
    command = [sys.executable, "-m", "rag", "show", "long", "--lines", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as program:
        assert program.stdout is not None
        assert program.stderr is not None
        assert program.stdout.readline() == b"long:1\n"
        program.stdout.close()
        assert program.stderr.read() == b""
    assert program.returncode == 141


def test_where_standard_output_is_closed_a_command_still_works(harbour: Path) -> None:
    command = f"exec {shlex.quote(sys.executable)} -m rag status >&-"
    done = subprocess.run(command, shell=True, capture_output=True, check=False, timeout=60)
    assert (done.returncode, done.stderr) == (0, b"")


def test_a_full_disk_behind_standard_output_is_told(harbour: Path) -> None:
    command = f"exec {shlex.quote(sys.executable)} -m rag status > /dev/full"
    done = subprocess.run(command, shell=True, capture_output=True, check=False, timeout=60)
    assert done.returncode == 1
    assert b"No space left on device" in done.stderr


def syncing(server: Server, *, answers_after_s: float = 60) -> "subprocess.Popen[bytes]":
    """Start a sync that waits for the second slice of its vectors."""
    asked = len(server.requests)
    server.faults += [Fault(), Fault(), slow(answers_after_s)]
    program = subprocess.Popen(
        [sys.executable, "-m", "rag", "sync"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    deadline = time.monotonic() + 60
    while len(server.requests) < asked + 3 and time.monotonic() < deadline:
        time.sleep(0.02)
    assert len(server.requests) == asked + 3
    return program


@pytest.fixture
def growing(folder: Path, typed: Typed, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stand in a corpus to which a hundred chunks have come that are not indexed yet."""
    monkeypatch.setenv("RAG_DOCUMENTS__CHUNK_SIZE", "24")
    (folder / "harbour.md").write_text(HARBOUR, encoding="utf-8")
    assert typed("sync").code == 0
    sentences = [f"Berth {n} is dredged to {n} metres for large ships. " for n in range(100)]
    (folder / "berths.txt").write_text("\n\n".join(sentences), encoding="utf-8")
    return folder


@pytest.mark.parametrize(("stop", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_sync_that_is_stopped_keeps_the_work_in_hand(
    stop: signal.Signals, code: int, growing: Path, server: Server, typed: Typed
) -> None:
    program = syncing(server, answers_after_s=2)
    program.send_signal(stop)
    out, err = program.communicate(timeout=60)
    assert (program.returncode, out) == (code, b"")
    assert err == b"stopped; what was indexed so far answers; run rag sync again to go on\n"
    asked = len(server.requests)
    again = typed("sync", "--json").json
    assert again["unchanged"] == ["berths.txt", "harbour.md"]
    assert len(server.requests) == asked, "something was embedded twice"


@pytest.mark.parametrize(("stop", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_sync_that_is_stopped_twice_ends_at_once_and_leaves_a_corpus_that_answers(
    stop: signal.Signals, code: int, growing: Path, server: Server, typed: Typed
) -> None:
    program = syncing(server)
    program.send_signal(stop)
    time.sleep(0.5)
    program.send_signal(stop)
    out, err = program.communicate(timeout=60)
    assert (program.returncode, out) == (code, b"")
    assert err == b"stopped; what was indexed so far answers; run rag sync again to go on\n"
    assert typed("search", "who pays for the tug", "-k", "1").out.startswith("1  harbour.md:")
    again = typed("sync", "--json").json
    assert again["added"] == ["berths.txt"]
    assert again["reused"] == 64
    assert again["embedded"] > 0


def test_a_second_writer_ends_with_4_and_is_told_who_writes(
    growing: Path, server: Server, typed: Typed
) -> None:
    program = syncing(server)
    try:
        ended = typed("sync")
        assert (ended.code, ended.out) == (4, "")
        assert f"is being written by process {program.pid}, writing since 2" in ended.err
        assert f"writing    process {program.pid} since 2" in typed("status").out
        assert typed("search", "who pays for the tug", "-k", "1").code == 0
    finally:
        program.kill()
        program.communicate(timeout=60)


def test_a_first_sync_that_was_stopped_is_named_where_nothing_is_found(
    growing: Path, server: Server, typed: Typed
) -> None:
    for file in (growing / ".rag").iterdir():
        shutil.rmtree(file) if file.is_dir() else file.unlink()
    program = syncing(server)
    program.kill()
    program.communicate(timeout=60)
    ended = typed("search", "xylophone", "--by", "lexical")
    assert ended.err.endswith("; the first sync has not finished: rag sync\n")


# ---- a server that asks for patience ------------------------------------------------------------


def test_a_server_that_asks_for_patience_costs_time_and_no_work(
    growing: Path, server: Server, typed: Typed
) -> None:
    # Three refusals are the SDK's own two repetitions and one wait of the sync's.
    server.faults += [Fault(), Fault(), *[status(429, retry_after="0.1")] * 3]
    ended = typed("sync")
    assert ended.code == 0
    assert re.fullmatch(
        r"waiting 1 s: 127\.0\.0\.1:\d+ asks for patience: told to fail;.*\n", ended.err
    )
    assert "added          1\n    berths.txt\n" in ended.out
    texts = [text for request in server.requests for text in request.body["input"]]
    served = len(set(texts))
    assert len(texts) == served + 3 * 32, "a text that was served was sent again"


def test_a_server_that_is_tired_once_it_has_answered_is_waited_for_too(
    growing: Path, server: Server, typed: Typed
) -> None:
    server.faults += [Fault(), Fault(), *[status(503)] * 3]
    ended = typed("sync")
    assert ended.code == 0
    assert ended.err.startswith("waiting 2 s: ")


def test_when_patience_is_over_what_was_embedded_is_kept_and_the_rest_has_failed(
    growing: Path, server: Server, typed: Typed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAG_EMBEDDINGS__PATIENCE_S", "0.5")
    server.faults += [Fault(), Fault(), *[status(429, retry_after="0.2")] * 60]
    ended = typed("sync", "--json")
    assert ended.code == 5
    assert [(f["id"], f["kind"]) for f in ended.json["failed"]] == [("berths.txt", "RateLimited")]
    assert ended.json["embedded"] == 64
    server.faults.clear()
    again = typed("sync", "--json").json
    assert (again["added"], again["reused"]) == (["berths.txt"], 64)


@pytest.mark.parametrize(("stop", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_wait_for_a_server_is_interrupted_and_what_was_embedded_is_kept(
    stop: signal.Signals, code: int, growing: Path, server: Server, typed: Typed
) -> None:
    server.faults += [Fault(), Fault(), *[status(429, retry_after="3600")] * 60]
    program = subprocess.Popen(
        [sys.executable, "-m", "rag", "sync"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert program.stderr is not None
    assert program.stderr.readline().startswith(b"waiting 60 min: 127.0.0.1:")
    program.send_signal(stop)
    _, err = program.communicate(timeout=60)
    assert program.returncode == code
    assert err == b"stopped; what was indexed so far answers; run rag sync again to go on\n"
    server.faults.clear()
    assert typed("sync", "--json").json["reused"] == 64


# ---- watching ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Watching:
    """A ``rag sync --watch`` at work."""

    program: "subprocess.Popen[str]"

    def line(self) -> str:
        assert self.program.stdout is not None
        return self.program.stdout.readline()

    def end(self, stop: signal.Signals = signal.SIGINT) -> tuple[int, str, str]:
        self.program.send_signal(stop)
        out, err = self.program.communicate(timeout=60)
        return self.program.returncode, out, err


@pytest.fixture
def watch(folder: Path) -> Iterator[Callable[..., Watching]]:
    """Start a watching sync, with more options."""
    started = []

    def begin(*options: str) -> Watching:
        command = [sys.executable, "-m", "rag", "sync", "--watch", *options]
        program = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        started.append(program)
        return Watching(program)

    yield begin
    for program in started:
        program.kill()
        program.communicate()


def test_a_watched_folder_is_synced_when_it_has_changed_and_at_no_other_time(
    folder: Path, watch: Callable[..., Watching]
) -> None:
    (folder / "harbour.md").write_text(HARBOUR, encoding="utf-8")
    (folder / ".ragignore").write_text("drafts/\n", encoding="utf-8")
    (folder / "drafts").mkdir()
    watching = watch()
    assert re.fullmatch(
        r"\d\d:\d\d:\d\d  1 added · \d chunks embedded · \d+\.\d s\n", watching.line()
    )
    (folder / "drafts" / "a.md").write_text("Not yet.", encoding="utf-8")
    (folder / ".hidden").write_text("Never.", encoding="utf-8")
    time.sleep(2)  # A round that these, or the index itself, set off would come before the next.
    (folder / "county.md").write_text(COUNTY, encoding="utf-8")
    assert "  1 added, 1 unchanged · " in watching.line()
    (folder / "county.md").rename(folder / "县志.md")
    assert "  1 moved, 1 unchanged · 0 chunks embedded" in watching.line()
    (folder / ".ragignore").write_text("县志.md\n", encoding="utf-8")
    assert "  1 added, 1 removed, 1 unchanged" in watching.line()
    code, out, err = watching.end()
    assert (code, out) == (130, "")
    assert err.endswith(f"watching {folder}; Ctrl-C ends it\nstopped\n")


def test_a_watched_folder_that_another_process_writes_is_tried_again(
    folder: Path, watch: Callable[..., Watching]
) -> None:
    (folder / "harbour.md").write_text(HARBOUR, encoding="utf-8")
    (folder / ".rag").mkdir()
    with writing(folder / ".rag"):
        watching = watch()
        assert re.fullmatch(r"\d\d:\d\d:\d\d  .* is being written by process .*\n", watching.line())
        assert watching.line() == "    again in 30 s\n"
    (folder / "county.md").write_text(COUNTY, encoding="utf-8")
    assert "  2 added · " in watching.line()
    assert watching.end(signal.SIGTERM)[0] == 143


def test_a_server_that_fails_ends_no_watching_and_each_round_is_one_line_of_json(
    folder: Path, server: Server, watch: Callable[..., Watching]
) -> None:
    (folder / "harbour.md").write_text(HARBOUR, encoding="utf-8")
    server.faults.append(status(401))
    watching = watch("--json")
    found = json.loads(watching.line())
    assert [(f["id"], f["kind"]) for f in found["failed"]] == [("harbour.md", "ProviderError")]
    assert found["again_s"] == 30
    assert re.fullmatch(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d\d:\d\d", found["time"])
    (folder / "county.md").write_text(COUNTY, encoding="utf-8")
    found = json.loads(watching.line())
    assert (found["added"], found["again_s"]) == (["county.md", "harbour.md"], None)
    with writing(folder / ".rag"):
        (folder / "county.md").unlink()
        lost = json.loads(watching.line())
    assert (lost["kind"], lost["again_s"], lost["path"]) == ("CorpusLocked", 30, str(folder))
    code, out, _ = watching.end()
    assert (code, out) == (130, "")


def test_a_dry_run_is_not_watched(folder: Path, typed: Typed) -> None:
    ended = typed("sync", "--watch", "--dry-run")
    assert (ended.code, ended.out) == (2, "")
    assert "a dry run does not go on" in ended.err


# ---- very many new files ----------------------------------------------------------------------


@pytest.fixture
def many(folder: Path) -> Path:
    """Stand in a folder of more new files than are indexed unasked; all are empty."""
    for number in range(10_001):
        (folder / f"{number}.txt").touch()
    return folder


def test_very_many_new_files_are_refused_where_nobody_can_be_asked(
    many: Path, typed: Typed
) -> None:
    ended = child("sync")
    assert (ended.code, ended.out) == (2, "")
    assert ended.err.endswith(
        f"error: 10,001 files in {many} are new: more than 10,000 are indexed only with --yes\n"
    )
    assert not (many / ".rag").exists()
    assert typed("sync", "--dry-run").out.startswith("added      10,001\n")


@pytest.mark.slow
def test_very_many_new_files_are_indexed_unasked_with_yes(many: Path, typed: Typed) -> None:
    assert len(typed("sync", "--yes", "--json").json["failed"]) == 10_001


@pytest.mark.slow
def test_ten_thousand_new_files_are_indexed_unasked(many: Path) -> None:
    (many / "0.txt").unlink()
    assert child("sync").code == 3


@pytest.mark.slow
def test_on_a_terminal_very_many_new_files_are_asked_about(many: Path) -> None:
    code, written = on_terminal("sync", columns=200, keys=b"n\n")
    assert code == 2
    assert f"10,001 files in {many} are new. Index them all? [y/N]: " in written
    assert "none was indexed; .ragignore names what is to be left out" in written
    code, written = on_terminal("sync", columns=200, keys=b"y\n")
    assert code == 3
    assert re.search(r"failed +10,001", plain(written))


# ---- a terminal -------------------------------------------------------------------------------


def on_terminal(*arguments: str, columns: int = 60, keys: bytes = b"") -> tuple[int, str]:
    """Run a command on a terminal; returns its code and all that it wrote there."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    program = subprocess.Popen(
        [sys.executable, "-m", "rag", *arguments],
        stdin=slave,
        stdout=slave,
        stderr=slave,
        env={**os.environ, "TERM": "xterm", "LANG": "C.UTF-8"},
    )
    os.close(slave)
    os.write(master, keys)
    written = b""
    while select.select([master], [], [], 60)[0]:
        try:
            part = os.read(master, 65536)
        except OSError:  # Linux tells the end of a terminal so.
            break
        if not part:
            break
        written += part
    os.close(master)
    return program.wait(timeout=60), written.decode().replace("\r\n", "\n")


def plain(text: str) -> str:
    return re.sub(r"\x1b\[[\d;?]*\w", "", text)


def test_on_a_terminal_lines_fit_and_places_are_coloured(harbour: Path) -> None:
    code, written = on_terminal("search", "pilot on board", "--by", "lexical")
    assert code == 0
    assert "\x1b[36mharbour.md:1\x1b[0m" in written
    assert "\x1b[1mpilot\x1b[0m" in written
    assert all(len(line) <= 60 for line in plain(written).splitlines())


def test_a_terminal_that_wants_no_colours_gets_none(
    harbour: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    _, written = on_terminal("search", "pilot on board", "--by", "lexical")
    assert "harbour.md:1" in written
    assert not re.search(r"\x1b\[(\d+;)*(3\d|4\d|9\d)[m;]", written)


def test_on_a_terminal_a_sync_shows_a_bar_and_clears_it(growing: Path) -> None:
    code, written = on_terminal("sync", columns=100)
    assert code == 0
    assert re.search(r"embedding ━+.*berths\.txt", plain(written))
    assert plain(written.rpartition("\x1b[2K")[2]).startswith("added          1\n    berths.txt\n")


def test_in_a_pipe_nothing_is_coloured_and_there_is_no_bar(growing: Path) -> None:
    ended = child("sync")
    assert ended.code == 0
    assert "\x1b" not in ended.out
    assert ended.err == ""
