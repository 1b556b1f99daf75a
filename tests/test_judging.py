"""``rag eval`` and ``rag tune`` as they are typed: what they print, write, and refuse."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from rag.cli import run
from rag.corpus import Corpus
from rag.questions import read_questions, read_rows
from tests.server import Server
from tests.test_cli import Ended, check, documented

HARBOUR = """# Harbour

## Pilots and boarding

The pilot must be on board two hours before high water. Vessels of more than 500 tons take one.

## Tugs and radio

The agent of the vessel pays for the tug. It is ordered by radio on channel 13 at any hour.
"""
COUNTY = """# 砚溪县志

## 茶园水费

茶园喷灌每立方米收水费0.12元。石门坎水库由县防汛指挥部下令开闸。
"""
Typed = Callable[..., Ended]


@pytest.fixture(scope="module")
def running() -> Iterator[Server]:
    with Server() as server:
        yield server


@pytest.fixture
def server(running: Server, monkeypatch: pytest.MonkeyPatch) -> Server:
    monkeypatch.setenv("OPENAI_BASE_URL", running.url)
    monkeypatch.setenv("RAG_EMBEDDINGS__MODEL", "openai:test")
    return running


@pytest.fixture
def typed(capsys: pytest.CaptureFixture[str]) -> Typed:
    def run_here(*arguments: str) -> Ended:
        capsys.readouterr()
        code = run(arguments)
        return Ended(code, *capsys.readouterr())

    return run_here


@pytest.fixture
def folder(tmp_path: Path, server: Server, typed: Typed, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stand in a corpus with three questions."""
    folder = tmp_path / "harbour"
    folder.mkdir()
    (folder / "harbour.md").write_text(HARBOUR, encoding="utf-8")
    (folder / "县志.md").write_text(COUNTY, encoding="utf-8")
    (folder / ".ragignore").write_text("questions.jsonl\n", encoding="utf-8")
    lines = [
        line(
            "pilot", "When must the pilot be on board?", "two hours", "The pilot must be on board"
        ),
        line("tug", "Who pays for the tug?", "agent", "The agent of the vessel pays", "condition"),
        {"id": "x", "question": "Which xylophone?", "evidence": [], "type": "unanswerable"},
    ]
    text = "\n".join(json.dumps(each) for each in lines)
    (folder / "questions.jsonl").write_text(text, encoding="utf-8")
    monkeypatch.chdir(folder)
    assert typed("sync", "--corpus", ".").code == 0
    return folder


def line(id_: str, question: str, answer: str, words: str, type_: str = "fact") -> dict[str, Any]:
    start = HARBOUR.index(words)
    span = {"document_id": "harbour.md", "start": start, "end": start + len(words), "text": words}
    fields = {"id": id_, "question": question, "answers": [answer], "evidence": [span]}
    return {**fields, "type": type_}


# ---- rag eval -----------------------------------------------------------------------------------


def test_the_figures_of_a_corpus_are_printed_with_their_intervals(
    folder: Path, typed: Typed
) -> None:
    ended = typed("eval", "--answers", "--by-type")
    assert (ended.code, ended.err) == (0, "")
    lines = ended.out.splitlines()
    assert lines[0] == "harbour · 3 questions, 1 without an answer"
    wide = "····················●"
    assert f"evidence in 10 hits                1.000   1.000 – 1.000  {wide}" in lines
    assert any(each.startswith("refused where there is none        1.000") for each in lines)
    assert any(each.startswith("type             n    recall@10") for each in lines)
    assert any(each.startswith("condition        1  1.00 ± 0.00") for each in lines)
    assert max(len(each.rstrip()) for each in lines) <= 100


def test_the_json_of_eval_is_the_documented_one(folder: Path, typed: Typed) -> None:
    found = typed("eval", "-k", "3", "--budget", "200", "--json").json
    check(found, documented(typed("eval", "--help").out))
    assert (found["n_questions"], found["n_unanswerable"], found["budgets"]) == (3, 1, [200])
    assert found["figures"]["recall@3"] == {"mean": 1.0, "low": 1.0, "high": 1.0, "n": 2}
    assert list(found["by_type"]) == ["condition", "fact", "unanswerable"]
    assert (found["set"], found["comparison"], found["indexed"]) == ({}, None, False)


def test_a_changed_setting_is_compared_with_the_corpus_as_it_is(folder: Path, typed: Typed) -> None:
    catalog = (folder / ".rag" / "catalog.sqlite3").read_bytes()
    options = ("--set", "documents.chunk_size=16", "--set", "retrieval.dense_weight=0.5")
    found = typed("eval", *options, "--rows", "changed.jsonl", "--json").json
    check(found, documented(typed("eval", "--help").out))
    assert found["set"] == {"documents.chunk_size": "16", "retrieval.dense_weight": "0.5"}
    first = found["comparison"][0]
    assert (first["figure"], first["n"]) == ("recall@10", 2)
    assert first["verdict"] == "no difference shown"
    assert [row.id for row in read_rows(folder / "changed.jsonl")] == ["pilot", "tug", "x"]
    assert (folder / ".rag" / "catalog.sqlite3").read_bytes() == catalog
    printed = typed("eval", "--set", "retrieval.dense_weight=0.5").out
    assert "first   as it is\nsecond  retrieval.dense_weight = 0.5\n" in printed


def test_two_files_of_rows_are_compared_without_a_corpus(
    tmp_path: Path, typed: Typed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name, bonus in (("a.jsonl", 0.0), ("b.jsonl", 0.25)):
        rows = [{"id": str(n), "type": "t", "recall@10": n % 3 / 4 + bonus} for n in range(12)]
        rows.append({"id": name, "type": "t", "recall@10": 0.0})
        (tmp_path / name).write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    ended = typed("eval", "--compare", "a.jsonl", "b.jsonl")
    assert "evidence in 10 hits   0.250   0.500  better by 0.250 ± 0.000 (95%)\n" in ended.out
    assert ended.err == (
        "questions that only one file has are left out: 1 of the first, 1 of the second\n"
    )
    found = typed("eval", "--compare", "a.jsonl", "b.jsonl", "--json").json
    assert list(found) == ["first", "second", "n_only_first", "n_only_second", "comparison"]
    assert found["comparison"][0]["difference"] == 0.25


def test_a_page_of_pictures_needs_nothing_else(folder: Path, typed: Typed) -> None:
    assert typed("eval", "--plot", "figures.html", "--by-type").code == 0
    page = (folder / "figures.html").read_text(encoding="utf-8")
    assert page.startswith("<!doctype html>")
    assert page.count("<svg") == 3  # All questions, and two types that have figures.
    assert "evidence in 10 hits" in page
    assert "http" not in page


def test_a_picture_is_drawn_by_matplotlib(folder: Path, typed: Typed) -> None:
    pytest.importorskip("matplotlib")
    assert typed("eval", "--plot", "figures.png").code == 0
    assert (folder / "figures.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["none.jsonl"], "'none.jsonl' cannot be read"),
        (["--plot", "figures.svg"], "'figures.svg' ends in neither .html nor .png"),
        (["--plot", "none/figures.html"], "'none/figures.html' cannot be written"),
        (["--set", "chunk_size=3"], "'chunk_size=3' is not SECTION.KEY=VALUE"),
        (["--set", "documents.chunksize=3"], "the nearest is 'documents.chunk_size'"),
        (["--set", "document.chunk_size=3"], "the nearest is 'documents.chunk_size'"),
        (["--set", "documents.chunk_size=3"], "setting documents.chunk_size = '3'"),
        (["--rows", "questions.jsonl"], "it would be written over the questions"),
        (["-k", "0"], "each must be at least 1"),
        (["--generate", "5"], "is there already; name another file"),
        (["--generate", "0", "made.jsonl"], "at least 1 question is made, not 0"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_code_2(
    folder: Path, typed: Typed, arguments: list[str], told: str
) -> None:
    ended = typed("eval", *arguments)
    assert (ended.code, ended.out) == (2, "")
    assert told in ended.err


def test_a_wrong_line_is_told_with_its_number(folder: Path, typed: Typed) -> None:
    with (folder / "questions.jsonl").open("a", encoding="utf-8") as file:
        file.write('\n{"id": "y", "question": "Why?"}\n')
    ended = typed("eval")
    assert ended.code == 2
    assert "questions.jsonl:4: the field 'evidence' is missing" in ended.err


def test_without_questions_it_is_said_how_to_make_some(folder: Path, typed: Typed) -> None:
    (folder / "questions.jsonl").unlink()
    ended = typed("eval")
    assert ended.code == 2
    assert "rag eval --generate 100" in ended.err


def test_questions_that_are_indexed_themselves_are_warned_of(folder: Path, typed: Typed) -> None:
    (folder / ".ragignore").unlink()
    assert typed("sync").code == 0
    ended = typed("eval", "--json")
    assert ended.json["indexed"] is True
    assert "careful: questions.jsonl is indexed as a document itself" in ended.err


# ---- made questions -----------------------------------------------------------------------------


def test_questions_are_made_written_and_kept_out_of_the_index(folder: Path, typed: Typed) -> None:
    ended = typed("eval", "made.jsonl", "--generate", "3")
    assert ended.code == 0
    assert ended.out.endswith("3 questions\n")
    assert ended.err == "written to made.jsonl; .ragignore now keeps it out of the index\n"
    assert (folder / ".ragignore").read_text("utf-8") == "questions.jsonl\n/made.jsonl\n"
    with Corpus.open(folder) as corpus:
        assert len(read_questions(folder / "made.jsonl", document_of=corpus.document)) == 3
    assert typed("sync", "--json").json["added"] == []
    assert typed("eval", "made.jsonl").code == 0


def test_a_chat_model_writes_some_and_what_is_not_taken_is_counted(
    folder: Path, server: Server, typed: Typed
) -> None:
    before = server.chat_reply
    server.chat_reply = json.dumps({"question": "Who?", "quote": "nobody", "answer": "nobody"})
    try:
        found = typed("eval", "made.jsonl", "--generate", "4", "--model", "m", "--json").json
    finally:
        server.chat_reply = before
    assert list(found) == ["path", "types", "rejected"]
    assert found["rejected"] == {"the quote does not stand in the passage": 2}
    assert "asked" not in found["types"]


# ---- rag tune -----------------------------------------------------------------------------------


def test_too_few_questions_are_refused(folder: Path, typed: Typed) -> None:
    ended = typed("tune")
    assert ended.code == 2
    assert "2 questions with evidence are too few to tell by; at least 30" in ended.err


@pytest.fixture
def lamps(folder: Path, typed: Typed) -> Path:
    """Stand in a corpus in which nothing can be improved: every question finds its lamp."""
    names = [a + b for a in ("bel", "cor", "dun", "far", "gol") for b in ("ka", "mo", "ri", "tu")]
    names += [f"{name}by" for name in names[:12]]
    questions = []
    text = ""
    for number, name in enumerate(names):
        words = f"The lamp of {name} burns whale oil."
        span = {"document_id": "lamps.txt", "start": len(text), "end": len(text) + len(words)}
        evidence = [{**span, "text": words}]
        question = {"id": str(number), "question": f"the lamp of {name}", "evidence": evidence}
        questions.append(json.dumps(question))
        text += words + "\n\n"
    (folder / "lamps.txt").write_text(text, encoding="utf-8")
    (folder / "questions.jsonl").write_text("\n".join(questions), encoding="utf-8")
    assert typed("sync").code == 0
    return folder


def test_where_nothing_is_better_the_settings_are_kept(lamps: Path, typed: Typed) -> None:
    ended = typed("tune", "--only", "retrieval.dense_weight", "--write")
    assert (ended.code, ended.err) == (0, "")
    first, _, second, *_ = ended.out.splitlines()
    assert first == "evidence in 1,000 tokens · 16 questions to choose by, 16 to check by"
    assert second == "▸ 1.000  as it is"
    assert "\nKeep the settings: no other found more evidence.\n" in ended.out
    assert "a smaller --budget, or harder questions, would tell more.\n" in ended.out
    assert not (lamps / "rag.toml").exists()


def test_the_json_of_tune_is_the_documented_one(lamps: Path, typed: Typed) -> None:
    found = typed("tune", "--only", "documents.chunk_size", "--json").json
    check(found, documented(typed("tune", "--help").out))
    assert (found["n_train"], found["n_test"], found["figure"]) == (16, 16, "evidence@1000")
    assert found["trials"][0] == {"changes": {}, "mean": 1.0}
    assert (found["recommended"], found["check"], found["written"]) == ({}, None, None)


@pytest.fixture
def astray(folder: Path, typed: Typed) -> Path:
    """Stand in a corpus whose settings trust meaning alone, which here counts common words."""
    toml = "# ours\n[retrieval]\ndense_weight = 1.0 # all\n\n[synthesis]\nbudget = 300\n"
    (folder / "rag.toml").write_text(toml, encoding="utf-8")
    lines = []
    for number in range(32):
        name = f"quarz{number}en"
        text = f"The lamp {name}."
        (folder / f"lamp-{number}.txt").write_text(text, encoding="utf-8")
        (folder / f"tower-{number}.txt").write_text(f"Old tower, sea, cliff: {number}th lamp.")
        span = {"document_id": f"lamp-{number}.txt", "start": 0, "end": len(text), "text": text}
        question = f"old tower sea cliff lamp {name}"
        lines.append(json.dumps({"id": name, "question": question, "evidence": [span]}))
    (folder / "questions.jsonl").write_text("\n".join(lines), encoding="utf-8")
    assert typed("sync").code == 0
    return folder


def test_what_holds_is_recommended_and_written_into_rag_toml(astray: Path, typed: Typed) -> None:
    options = ("--only", "retrieval.dense_weight", "--budget", "20")
    ended = typed("tune", *options)
    assert ended.code == 0
    assert "▸ 1.000  retrieval.dense_weight = 0\n" in ended.out
    assert ended.out.endswith(
        "better by 0.312 ± 0.219 (95%).\nRecommended, for rag.toml:\n\n"
        "[retrieval]\ndense_weight = 0  # was 1.0\n\n"
    )
    assert ended.err == "rag tune --write puts it there\n"
    found = typed("tune", *options, "--write", "--json").json
    assert found["recommended"] == {"retrieval.dense_weight": 0}
    check(found, documented(typed("tune", "--help").out))
    assert (astray / "rag.toml").read_text("utf-8") == (
        "# ours\n[retrieval]\ndense_weight = 0 # all\n\n[synthesis]\nbudget = 300\n"
    )
    assert typed("search", "quarz7en", "-k", "1").out.startswith("1  lamp-7.txt")


def test_without_a_file_questions_are_made_and_said_to_be(astray: Path, typed: Typed) -> None:
    (astray / "questions.jsonl").unlink()
    ended = typed("tune", "--only", "retrieval.dense_weight")
    assert ended.code == 0
    assert "were made of the documents, which copy their words; real ones tell more" in ended.err
    assert "not tried: retrieval.dense_weight, which questions that copy" in ended.out
    assert "\nKeep the settings: no other found more evidence.\n" in ended.out
