"""Files of questions are read whole, or the line that is wrong is named."""

import json
from pathlib import Path
from typing import Any

import pytest

from rag.evaluation import Row
from rag.questions import (
    Evidence,
    Question,
    read_questions,
    read_rows,
    write_questions,
    write_rows,
)
from rag.types import Document

TEXT = "The pilot must be on board two hours before high water. 引航员先登船。"
SPAN = {"document_id": "harbour.md", "start": 0, "end": 9, "text": "The pilot"}
LINE = {
    "id": "q1",
    "question": "Who?",
    "answers": ["pilot"],
    "evidence": [SPAN],
    "type": "fact",
    "language": "en",
}


def document_of(id_: str) -> Document:
    if id_ != "harbour.md":
        message = f"there is no document {id_!r}; the nearest is 'harbour.md'"
        raise ValueError(message)
    return Document(id=id_, text=TEXT, digest="", title="Harbour")


def written(tmp_path: Path, *lines: str | dict[str, Any]) -> Path:
    path = tmp_path / "questions.jsonl"
    texts = [line if isinstance(line, str) else json.dumps(line) for line in lines]
    path.write_text("\n".join(texts), encoding="utf-8")
    return path


def test_a_line_becomes_a_question_and_unknown_keys_are_let_pass(tmp_path: Path) -> None:
    evidence = Evidence(document_id="harbour.md", start=0, end=9, text="The pilot")
    assert read_questions(written(tmp_path, LINE), document_of=document_of) == [
        Question(id="q1", question="Who?", answers=("pilot",), evidence=(evidence,), type="fact")
    ]


def test_answers_and_type_may_be_left_out_and_lines_be_blank(tmp_path: Path) -> None:
    path = written(tmp_path, "", {"id": "q1", "question": "Why?", "evidence": []}, "", "")
    assert read_questions(path) == [Question(id="q1", question="Why?")]


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    place = TEXT.index("引航员")
    evidence = Evidence(document_id="harbour.md", start=place, end=len(TEXT), text=TEXT[place:])
    questions = [
        Question(id="水-1", question="谁先登船？", answers=("引航员",), evidence=(evidence,)),
        Question(id="2", question="Why?", type="unanswerable"),
    ]
    path = tmp_path / "made.jsonl"
    write_questions(path, questions)
    assert read_questions(path, document_of=document_of) == questions
    assert "谁先登船？" in path.read_text(encoding="utf-8")


def test_a_file_that_is_there_is_not_written_over(tmp_path: Path) -> None:
    path = written(tmp_path, LINE)
    before = path.read_bytes()
    with pytest.raises(ValueError, match="is there already; name another file"):
        write_questions(path, [])
    assert path.read_bytes() == before
    with pytest.raises(ValueError, match="cannot be written"):
        write_questions(tmp_path / "none" / "q.jsonl", [])


WRONG = [
    ("{'id': 1}", "this is no JSON"),
    ("[1]", "a line is an object {…}, not list"),
    ({**LINE, "id": 7}, "the field 'id' is 7; it must be a text"),
    ({"id": "q2", "evidence": []}, "the field 'question' is missing"),
    ({"id": "q2", "question": "Why?"}, "the field 'evidence' is missing"),
    ({**LINE, "id": "q2", "question": " "}, "the question is empty"),
    ({**LINE, "id": "q2", "answers": "pilot"}, "answers is a list of texts, not 'pilot'"),
    ({**LINE, "id": "q2", "evidence": ["a"]}, "evidence is a list of objects"),
    ({**LINE, "id": "q2", "evidence": [{**SPAN, "end": "9"}]}, "'end' is '9'; it must be"),
    (
        {**LINE, "id": "q2", "evidence": [{**SPAN, "end": True}]},
        "'end' is True; it must be",
    ),
    ({**LINE, "id": "q2", "evidence": [{**SPAN, "end": 0}]}, "the evidence 0-0 is no span"),
    ({**LINE, "id": "q2", "evidence": [{**SPAN, "start": -1}]}, "the evidence -1-9 is no span"),
    (
        {**LINE, "id": "q2", "evidence": [{**SPAN, "start": 1, "end": 10}]},
        "not what stands at 1-10 of 'harbour.md', which is 'he pilot '; it stands at 0-9",
    ),
    (
        {**LINE, "id": "q2", "evidence": [{**SPAN, "text": "The tug"}]},
        "which is 'The pilot'; find it anew",
    ),
    (
        {**LINE, "id": "q2", "evidence": [{**SPAN, "document_id": "harbor.md"}]},
        "there is no document 'harbor.md'; the nearest is 'harbour.md'",
    ),
    (LINE, "the id 'q1' stands twice; give each question its own"),
]


@pytest.mark.parametrize(("line", "told"), WRONG, ids=[told for _, told in WRONG])
def test_a_wrong_line_is_named_by_its_number(
    tmp_path: Path, line: str | dict[str, Any], told: str
) -> None:
    path = written(tmp_path, LINE, "", line)
    with pytest.raises(ValueError, match=r"questions\.jsonl:3: ") as caught:
        read_questions(path, document_of=document_of)
    assert told in str(caught.value)
    assert "more lines" not in str(caught.value)


def test_the_first_wrong_line_is_told_and_the_others_counted(tmp_path: Path) -> None:
    path = written(tmp_path, LINE, "a", "b", {**LINE, "id": "q2"}, "c")
    with pytest.raises(ValueError, match=r":2: this is no JSON.*\n2 more lines are wrong too$"):
        read_questions(path)


def test_a_file_without_questions_or_without_text_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="has no question"):
        read_questions(written(tmp_path, "", ""))
    with pytest.raises(ValueError, match="cannot be read"):
        read_questions(tmp_path / "none.jsonl")
    (tmp_path / "latin.jsonl").write_bytes(b"\xe9")
    with pytest.raises(ValueError, match="cannot be read"):
        read_questions(tmp_path / "latin.jsonl")


def test_rows_are_read_as_they_were_written_and_written_over(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    rows = [Row(id="水", type="fact", figures={"recall@10": 0.5, "hit@10": 1.0})]
    write_rows(path, [])
    write_rows(path, rows)
    assert json.loads(path.read_text("utf-8")) == {
        "id": "水",
        "type": "fact",
        "recall@10": 0.5,
        "hit@10": 1.0,
    }
    assert read_rows(path) == rows


def test_rows_of_another_program_need_no_type_and_what_is_no_number_is_let_pass(
    tmp_path: Path,
) -> None:
    path = written(tmp_path, {"id": "1", "f1": 1, "text": "a", "right": True, "none": None})
    assert read_rows(path) == [Row(id="1", type="question", figures={"f1": 1.0})]
    with pytest.raises(ValueError, match=r"questions\.jsonl:2: the field 'id' is missing"):
        read_rows(written(tmp_path, {"id": "1"}, {"f1": 1}))
