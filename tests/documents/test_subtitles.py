"""Subtitles: what is said, and about when."""

import pytest

from rag.documents.subtitles import read
from rag.errors import UnreadableDocument

SRT = """1
00:00:01,000 --> 00:00:03,500
The pilot must be
on board.

2
00:00:58,000 --> 00:01:02,000
<i>Two hours</i> {\\an8}before

3
00:01:03,000 --> 00:01:05,000
the tide turns.

4
01:02:05,000 --> 01:02:07,000
水费按月计。
"""


def test_cues_are_lines_and_sections_begin_about_every_minute() -> None:
    parsed = read(SRT.encode(), source="a.srt")
    assert parsed.text == (
        "0:00:01\nThe pilot must be\non board.\nTwo hours before\nthe tide turns.\n\n"
        "1:02:05\n水费按月计。"
    )
    assert [(s.title, s.start, s.end) for s in parsed.sections] == [
        ("0:00:01", 0, 70),
        ("1:02:05", 70, 84),
    ]
    assert parsed.metadata == (("encoding", "utf-8"),)


def test_webvtt_has_speakers_notes_styles_and_settings() -> None:
    text = (
        "WEBVTT\r\n\r\nNOTE no\r\ntext\r\n\r\nSTYLE\r\n::cue { color: red }\r\n\r\nintro\r\n"
        "00:01.000 --> 00:02.000 align:left\r\n<v.loud Ann Lee>Who &amp; <c.red>what</c>?</v>\r\n"
    )
    assert read(text.encode(), source="a.vtt").text == "0:00:01\nAnn Lee: Who & what?"


def test_lines_that_roll_from_cue_to_cue_stand_once_and_are_counted() -> None:
    cues = [("00:01", "one"), ("00:02", "one\ntwo"), ("00:03", "two\nthree")]
    text = "WEBVTT\n\n" + "\n\n".join(f"{t}.000 --> 00:09.000\n{lines}" for t, lines in cues)
    parsed = read(text.encode(), source="a.vtt")
    assert parsed.text == "0:00:01\none\ntwo\nthree"
    assert parsed.metadata == (("encoding", "utf-8"), ("repeated_lines", 2))


def test_without_punctuation_a_section_begins_every_two_minutes() -> None:
    cues = "\n\n".join(f"0:{m}:00,000 --> 0:{m}:01,000\nword {m}" for m in range(5))
    parsed = read(cues.encode(), source="a.srt")
    assert [s.title for s in parsed.sections] == ["0:00:00", "0:02:00", "0:04:00"]


def test_a_file_without_cues_says_so() -> None:
    with pytest.raises(
        UnreadableDocument, match=r"'a\.srt' has no cue like .*; rename it to \.txt"
    ):
        read(b"A text.", source="a.srt")
