"""What people see: results in lines that say where everything stands."""

import io
import re
import sys
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from rag import printing
from rag.errors import EmptyDocument, UnreadableDocument
from rag.places import Places
from rag.terminal import Screen
from rag.types import (
    Answer,
    Chunk,
    Citation,
    Context,
    Document,
    Failure,
    Hit,
    IndexShape,
    Page,
    Passage,
    ReembedReport,
    Rejection,
    Section,
    Skipped,
    Status,
    SyncReport,
    Usage,
)

MANUAL = """# Manual

## Pilots

The harbour lies on the Corve. Its tide is strong. The pilot must be on board two hours before \
high water. Smoking is forbidden. The cook bakes at four in the morning, and sells to all.

## Tariff

| Charge | Crowns |
|---|---|
| Lockage | 185 |
| Tug Bruin | 720 |
| Tug Kestrel | 540 |
| Water | 3 |
"""
PILOT = "The pilot must be on board two hours before high water."


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def columns(monkeypatch: pytest.MonkeyPatch) -> int:
    """Choose the columns of the terminal that `on_terminal` makes."""
    monkeypatch.setenv("LINES", "24")
    monkeypatch.setenv("TERM", "dumb")
    monkeypatch.setenv("COLUMNS", "60")
    return 60


def on_terminal(monkeypatch: pytest.MonkeyPatch) -> tuple[Screen, io.StringIO]:
    stream = Terminal()
    monkeypatch.setattr(sys, "stdout", stream)
    return Screen(), stream


def a_document(text: str = MANUAL, *, id: str = "manual.md", paged: bool = False) -> Document:  # noqa: A002
    return Document(
        id=id,
        text=text,
        digest="",
        title="Manual",
        pages=(Page(number=1, start=0, end=50), Page(number=2, start=50, end=len(text)))
        if paged
        else (),
        sections=(
            Section(title="Manual", level=1, start=0, end=len(text)),
            Section(title="Pilots", level=2, start=10, end=len(text)),
        ),
    )


def a_hit(words: str = PILOT, *, text: str = MANUAL, headings: Sequence[str] = ()) -> Hit:
    start = text.index(words)
    chunk = Chunk(
        id="1",
        document_id="manual.md",
        start=start,
        end=start + len(words),
        text=words,
        embedded=words,
        tokens=9,
        headings=tuple(headings),
    )
    return Hit(chunk=chunk, rank=1, score=0.5, by="fused")


def places(document: Document | None = None) -> Places:
    return Places(lambda _: document or a_document())


def an_answer(
    text: str = f"“{PILOT}” [1]",
    *,
    citations: Sequence[Citation] = (),
    rejected: Sequence[Rejection] = (),
    refusal: str | None = None,
    unsupported: Sequence[str] = (),
    unknown_markers: Sequence[int] = (),
    passages: int = 1,
    dropped: int = 0,
    usage: Usage | None = None,
    finish_reason: str = "stop",
) -> Answer:
    passage = Passage(
        marker=1,
        document_id="manual.md",
        start=0,
        end=9,
        text="# Manual\n",
        tokens=3,
        headings=(),
        pages=None,
        hits=(),
    )
    return Answer(
        question="When?",
        text=text,
        citations=tuple(citations),
        rejected=tuple(rejected),
        context=Context(
            text="",
            passages=(passage,) * passages,
            tokens=1234,
            budget=6000,
            dropped=(a_hit(),) * dropped,
        ),
        refusal=refusal,
        unsupported=tuple(unsupported),
        unknown_markers=tuple(unknown_markers),
        model="m",
        usage=usage or Usage(),
        finish_reason=finish_reason,
    )


def a_citation(*, by: str = "model", pages: tuple[int, int] | None = None) -> Citation:
    start = MANUAL.index(PILOT)
    return Citation(
        marker=1,
        document_id="manual.md",
        start=start,
        end=start + len(PILOT),
        quote=PILOT,
        pages=pages,
        by="match" if by == "match" else "model",
    )


def printed(capsys: pytest.CaptureFixture[str]) -> list[str]:
    return capsys.readouterr().out.splitlines()


# ---- search ---------------------------------------------------------------------------------


def test_a_hit_is_printed_with_file_line_span_score_headings_and_words(
    capsys: pytest.CaptureFixture[str],
) -> None:
    hit = a_hit(headings=("Manual", "Pilots"))
    printing.print_hits(Screen(), [hit], places(), query="pilot")
    start = MANUAL.index(PILOT)
    assert printed(capsys) == [
        f"1  manual.md:5 · at {start}-{start + len(PILOT)} · 0.500",
        "   Manual › Pilots",
        f"   {PILOT}",
    ]


def test_an_excerpt_shows_the_sentence_nearest_to_the_query(
    monkeypatch: pytest.MonkeyPatch, columns: int
) -> None:
    screen, shown = on_terminal(monkeypatch)
    paragraph = MANUAL.splitlines()[4]
    printing.print_hits(screen, [a_hit(paragraph)], places(), query="where does the cook bake")
    assert shown.getvalue().splitlines()[1:] == [
        "   … Its tide is strong. The pilot must be on board two",
        "   hours before high water. Smoking is forbidden. The cook",
        "   bakes at four in the morning, and sells to all.",
    ]


def test_an_excerpt_shows_a_table_by_rows(monkeypatch: pytest.MonkeyPatch, columns: int) -> None:
    screen, shown = on_terminal(monkeypatch)
    table = MANUAL[MANUAL.index("| Charge") :]
    printing.print_hits(screen, [a_hit(table)], places(), query="kestrel")
    assert shown.getvalue().splitlines()[1:] == [
        "   … | Lockage | 185 |",
        "   | Tug Bruin | 720 |",
        "   | Tug Kestrel | 540 | …",
    ]


def test_in_a_pipe_an_excerpt_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    long = "The pilot boards. " * 60
    hit = a_hit(long.strip(), text=long)
    printing.print_hits(Screen(), [hit], places(a_document(long)), query="pilot")
    _, excerpt = printed(capsys)
    assert excerpt.startswith("   The pilot boards. The pilot boards.")
    assert excerpt.endswith(" …")
    assert 290 < len(excerpt) <= 303


def test_headings_that_a_chunk_begins_with_are_not_printed_twice(
    capsys: pytest.CaptureFixture[str],
) -> None:
    text = "## Pilots\n\nOn board at noon."
    hit = a_hit(text, text=text, headings=("Pilots",))
    printing.print_hits(Screen(), [hit], places(a_document(text)), query="noon")
    assert printed(capsys)[1:] == ["   Pilots", "   On board at noon."]


def test_where_headings_are_too_long_the_innermost_stays(
    monkeypatch: pytest.MonkeyPatch, columns: int
) -> None:
    screen, shown = on_terminal(monkeypatch)
    hit = a_hit(headings=("A manual of everything", "The harbour at night", "Pilots and tugs"))
    printing.print_hits(screen, [hit], places(), query="pilot")
    assert shown.getvalue().splitlines()[1] == "   … › The harbour at night › Pilots and tugs"


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("pilots on board", ["pilot", "board"]),
        ("引航员", ["引航员"]),
        ("ISO-9001", ["ISO-9001"]),
    ],
)
def test_the_words_of_the_query_are_bold(
    query: str, words: list[str], monkeypatch: pytest.MonkeyPatch, columns: int
) -> None:
    monkeypatch.setenv("TERM", "xterm")
    screen, shown = on_terminal(monkeypatch)
    text = "The pilot boards; 引航员登船 under ISO-9001. He is on board."
    printing.print_hits(screen, [a_hit(text, text=text)], places(a_document(text)), query=query)
    _, *excerpt = shown.getvalue().splitlines()
    bold = re.findall(r"\x1b\[1m(.*?)\x1b\[0m", " ".join(excerpt).replace("\x1b[0m\x1b[1m", ""))
    assert set(words) <= set(bold)
    assert "The" not in bold


# ---- ask ------------------------------------------------------------------------------------


def test_a_citation_is_printed_with_its_place_and_its_words(
    capsys: pytest.CaptureFixture[str],
) -> None:
    printing.print_answer(Screen(), an_answer(citations=[a_citation(pages=(2, 3))]), places())
    assert printed(capsys) == [
        "",
        "Quotations, checked word for word",
        "[1] manual.md:5 · pp. 2–3 · Manual › Pilots",
        f"    “{PILOT}”",
        "",
        "read 1 passage, 1,234 of 6,000 tokens; 0 hits left out",
    ]


def test_a_quotation_that_the_answer_has_shown_is_one_line_on_a_terminal(
    monkeypatch: pytest.MonkeyPatch, columns: int
) -> None:
    screen, shown = on_terminal(monkeypatch)
    printing.print_answer(screen, an_answer(citations=[a_citation()]), places())
    assert "    “The pilot must be on board two hours before high wate…”" in shown.getvalue()
    screen, shown = on_terminal(monkeypatch)
    printing.print_answer(screen, an_answer("Early [1].", citations=[a_citation()]), places())
    assert "    “The pilot must be on board two hours before high\n    water.”" in shown.getvalue()


def test_a_quotation_that_was_chosen_for_a_bare_marker_says_so(
    capsys: pytest.CaptureFixture[str],
) -> None:
    printing.print_answer(Screen(), an_answer(citations=[a_citation(by="match")]), places())
    assert printed(capsys)[2] == ("[1] manual.md:5 · Manual › Pilots · only the marker was given")


def test_what_does_not_hold_is_printed_with_its_reason(capsys: pytest.CaptureFixture[str]) -> None:
    rejection = Rejection(marker=1, quote="all are exempt", reason="does not stand in manual.md")
    answer = an_answer(rejected=[rejection], unknown_markers=[99], unsupported=["All are exempt."])
    printing.print_answer(Screen(), answer, places())
    assert printed(capsys)[:-2] == [
        "",
        "Does not hold",
        "  [1] “all are exempt” does not stand in manual.md",
        "  [99] there is no such passage",
        "",
        "Not backed by a quotation",
        "  All are exempt.",
    ]


def test_a_refusal_that_the_answer_has_told_is_only_named(
    capsys: pytest.CaptureFixture[str],
) -> None:
    text = "The passages do not answer this question."
    printing.print_answer(Screen(), an_answer(text, refusal=text, unsupported=[text]), places())
    assert printed(capsys)[:-2] == ["", "Not answered."]


def test_a_refusal_that_nobody_has_seen_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    answer = an_answer("", refusal="The model gave no answer.")
    printing.print_answer(Screen(), answer, places())
    assert printed(capsys)[1] == "Not answered. The model gave no answer."


def test_a_budget_that_no_passage_fits_is_told_with_what_to_do(
    capsys: pytest.CaptureFixture[str],
) -> None:
    text = "The passages do not answer this question."
    answer = an_answer(text, refusal=text, passages=0, dropped=2)
    printing.print_answer(Screen(), answer, places())
    assert printed(capsys) == [
        "",
        "Not answered. No passage fits into 6,000 tokens; allow more, as in --budget 1000.",
        "",
        "read 0 passages, 1,234 of 6,000 tokens; 2 hits left out",
    ]


def test_a_question_for_which_nothing_was_found_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    text = "The passages do not answer this question."
    printing.print_answer(Screen(), an_answer(text, refusal=text, passages=0), places())
    assert printed(capsys)[1] == "Not answered. No passage was found."


def test_a_reply_that_was_cut_says_which_setting_to_raise(
    capsys: pytest.CaptureFixture[str],
) -> None:
    printing.print_answer(Screen(), an_answer(finish_reason="length"), places())
    assert "raise the setting synthesis.reply_tokens" in capsys.readouterr().out


def test_what_a_model_cost_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    usage = Usage(prompt_tokens=5210, completion_tokens=87, calls=1, seconds=2.34)
    printing.print_answer(Screen(), an_answer(usage=usage), places())
    assert printed(capsys)[-1].endswith(" · m took 5,210 tokens and gave 87 in 2.3 s")


def test_a_document_that_went_while_the_model_spoke_has_no_line(
    capsys: pytest.CaptureFixture[str],
) -> None:
    def document_of(_: str) -> Document:
        message = "there is no document 'manual.md'"
        raise ValueError(message)

    printing.print_answer(Screen(), an_answer(citations=[a_citation()]), Places(document_of))
    assert printed(capsys)[2] == "[1] manual.md"


# ---- show -----------------------------------------------------------------------------------


def test_an_excerpt_has_line_numbers_and_a_bar_beside_the_passage(
    capsys: pytest.CaptureFixture[str],
) -> None:
    start = MANUAL.index("| Tug Bruin")
    printing.print_excerpt(Screen(), a_document(paged=True), (start, start + 30), n_lines=4)
    assert printed(capsys) == [
        "manual.md:12 · p. 2",
        "Manual › Pilots",
        "",
        "11 │ | Lockage | 185 |",
        "12 ┃ | Tug Bruin | 720 |",
        "13 ┃ | Tug Kestrel | 540 |",
        "14 │ | Water | 3 |",
        "",
        "lines 11–14 of 14 · characters 249–323 of 323",
    ]


def test_a_title_is_printed_where_neither_name_nor_heading_tells_it(
    capsys: pytest.CaptureFixture[str],
) -> None:
    document = Document(id="a.md", text="Text.", digest="", title="The Harbour Rules")
    printing.print_excerpt(Screen(), document, None, n_lines=24)
    assert printed(capsys) == [
        "a.md:1 · The Harbour Rules",
        "",
        "1 │ Text.",
        "",
        "lines 1–1 of 1",
    ]


def test_windows_lines_are_shown_without_their_carriage_returns(
    capsys: pytest.CaptureFixture[str],
) -> None:
    document = Document(id="a.md", text="one\r\ntwo\r\n", digest="", title="a")
    printing.print_excerpt(Screen(), document, (5, 8), n_lines=24)
    assert printed(capsys)[2:4] == ["1 │ one", "2 ┃ two"]


def test_a_long_line_goes_on_beside_the_bar(monkeypatch: pytest.MonkeyPatch, columns: int) -> None:
    screen, shown = on_terminal(monkeypatch)
    document = Document(id="a.md", text=PILOT + " Then the lock.", digest="", title="a")
    printing.print_excerpt(screen, document, (0, 5), n_lines=24)
    assert shown.getvalue().splitlines()[2:4] == [
        "1 ┃ The pilot must be on board two hours before high water.",
        "  ┃ Then the lock.",
    ]


# ---- sync -----------------------------------------------------------------------------------


def test_a_report_lists_what_became_of_each_file(capsys: pytest.CaptureFixture[str]) -> None:
    report = SyncReport(
        added=("a.md", "砚溪.md"),
        updated=("b.md",),
        moved=(("c.md", "d.md"),),
        removed=("e.md",),
        unchanged=("f.md", "g.md"),
        embedded=1234,
        reused=7,
        repaired=("terms",),
        seconds=2.04,
    )
    printing.print_report(Screen(), report, dry_run=False, all_names=False)
    assert printed(capsys) == [
        "added          2",
        "    a.md",
        "    砚溪.md",
        "updated        1",
        "    b.md",
        "moved          1",
        "    c.md → d.md",
        "removed        1",
        "    e.md",
        "unchanged      2",
        "repaired   the index of terms, rebuilt from the catalog",
        "1,234 chunks embedded, 7 reused · 2.0 s",
    ]


def test_of_a_long_list_the_first_ten_are_printed_and_the_rest_counted(
    capsys: pytest.CaptureFixture[str],
) -> None:
    report = SyncReport(added=tuple(f"{n:02}.md" for n in range(1234)))
    printing.print_report(Screen(), report, dry_run=False, all_names=False)
    lines = printed(capsys)
    assert lines[0] == "added      1,234"
    assert lines[10:12] == ["    09.md", "    … and 1,224 more; --verbose lists all"]
    printing.print_report(Screen(), report, dry_run=False, all_names=True)
    assert printed(capsys)[1234] == "    1233.md"


def test_what_was_skipped_is_printed_by_reason(capsys: pytest.CaptureFixture[str]) -> None:
    report = SyncReport(
        skipped=(
            Skipped(id=".git/", reason="hidden"),
            Skipped(id="a.png", reason="no reader for this kind (.png)"),
            Skipped(id="b.png", reason="no reader for this kind (.png)"),
        )
    )
    printing.print_report(Screen(), report, dry_run=False, all_names=False)
    assert printed(capsys)[:3] == [
        "skipped        3",
        "    no reader for this kind (.png): 2 (a.png, b.png)",
        "    hidden: .git/",
    ]
    printing.print_report(Screen(), report, dry_run=False, all_names=True)
    assert printed(capsys)[1:4] == [
        "    no reader for this kind (.png)",
        "      a.png",
        "      b.png",
    ]


def test_a_failure_is_printed_with_its_file_once(capsys: pytest.CaptureFixture[str]) -> None:
    report = SyncReport(
        failed=(
            Failure(id="a.txt", error=EmptyDocument("'/x/a.txt' is empty", source="a.txt")),
            Failure(id="b.pdf", error=UnreadableDocument("the password is wrong", source="b.pdf")),
            Failure(
                id="c\\xff.txt",
                error=UnreadableDocument("the name 'c\\\\xff.txt' is not UTF-8", source="c"),
            ),
        )
    )
    printing.print_report(Screen(), report, dry_run=False, all_names=False)
    assert printed(capsys)[:4] == [
        "failed         3",
        "    '/x/a.txt' is empty",
        "    b.pdf: the password is wrong",
        "    the name 'c\\\\xff.txt' is not UTF-8",
    ]


def test_a_folder_without_documents_says_what_to_do(capsys: pytest.CaptureFixture[str]) -> None:
    report = SyncReport(skipped=(Skipped(id="a.png", reason="no reader for this kind (.png)"),))
    printing.print_report(Screen(), report, dry_run=False, all_names=False)
    assert "no documents here yet; copy some into it, and run rag sync again" in printed(capsys)


def test_a_dry_run_says_that_nothing_was_changed(capsys: pytest.CaptureFixture[str]) -> None:
    printing.print_report(Screen(), SyncReport(added=("a.md",)), dry_run=True, all_names=False)
    assert printed(capsys)[-1] == "nothing was changed: this was a dry run"


def test_a_name_that_would_command_the_terminal_is_shown_as_pictures(
    capsys: pytest.CaptureFixture[str],
) -> None:
    report = SyncReport(added=("a\n\x1b[31m.md",))
    printing.print_report(Screen(), report, dry_run=False, all_names=False)
    assert printed(capsys)[1] == "    a ␛[31m.md"


# ---- status ---------------------------------------------------------------------------------


def a_status(
    *,
    reembedding: str | None = None,
    synced_at: datetime | None = None,
    writer: str | None = None,
    findings: tuple[str, ...] = (),
) -> Status:
    return Status(
        path=Path("/books"),
        documents=12,
        chunks=3456,
        tokens=567890,
        embedder="all-MiniLM-L6-v2",
        generation=7,
        size_bytes=(("catalog", 1_500_000), ("chroma", 2_000_000)),
        synced_at=synced_at,
        writer=writer,
        version="1",
        findings=findings,
        reembedding=reembedding,
    )


def test_a_status_is_a_table_of_labels_and_values(capsys: pytest.CaptureFixture[str]) -> None:
    printing.print_status(Screen(), a_status())
    assert printed(capsys) == [
        "corpus     /books",
        "documents  12",
        "chunks     3,456 · 567,890 tokens",
        "embedder   all-MiniLM-L6-v2",
        "index      3.5 MB · catalog 1.5 MB, chroma 2.0 MB",
        "synced     never finished",
        "state      generation 7 · format 1",
    ]


@pytest.mark.parametrize(
    ("ago", "words"),
    [
        (timedelta(seconds=20), "just now"),
        (timedelta(minutes=1, seconds=5), "1 minute ago"),
        (timedelta(hours=5, minutes=5), "5 hours ago"),
        (timedelta(days=3, hours=1), "3 days ago"),
        (timedelta(seconds=-90), "just now"),
    ],
)
def test_the_last_sync_is_told_as_people_tell_it(
    ago: timedelta, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    printing.print_status(Screen(), a_status(synced_at=datetime.now(UTC) - ago))
    (line,) = (line for line in printed(capsys) if line.startswith("synced"))
    assert re.fullmatch(rf"synced     \d{{4}}-\d\d-\d\d \d\d:\d\d · {words}", line)


def test_a_writer_and_what_is_damaged_are_told_with_what_to_do(
    capsys: pytest.CaptureFixture[str],
) -> None:
    status = a_status(writer="process 12 since noon", findings=("chroma: data.bin was cut",))
    printing.print_status(Screen(), status)
    assert printed(capsys)[-3:] == [
        "writing    process 12 since noon",
        "damaged    chroma: data.bin was cut",
        "           the catalog answers in their place; rag sync repairs them",
    ]


def test_a_reembedding_that_was_stopped_is_told_with_what_goes_on_and_what_drops_it(
    capsys: pytest.CaptureFixture[str],
) -> None:
    printing.print_status(Screen(), a_status(reembedding="/models/a b"))
    assert printed(capsys)[-1] == (
        "unfinished reembedding with /models/a b · rag reembed --embedder '/models/a b' goes on "
        "with it, with all-MiniLM-L6-v2 drops it"
    )
    printing.print_status(Screen(), a_status(reembedding="e5", writer="process 12 since noon"))
    assert printed(capsys)[-2:] == [
        "writing    process 12 since noon",
        "unfinished reembedding with e5 · at work",
    ]


# ---- reembed ------------------------------------------------------------------------------------


def a_reembedding(before: IndexShape, after: IndexShape) -> ReembedReport:
    return ReembedReport(
        before=before, after=after, documents=2, chunks=1200, embedded=1000, reused=200, seconds=61
    )


def test_a_reembedding_tells_what_has_changed(capsys: pytest.CaptureFixture[str]) -> None:
    old = IndexShape(embedder="all-MiniLM-L6-v2", revision="1", chunk_size=240)
    new = IndexShape(embedder="openai:bge-m3", revision="host/v1", chunk_size=240)
    printing.print_reembedding(Screen(), a_reembedding(old, new))
    assert printed(capsys) == [
        "embedder   all-MiniLM-L6-v2 → openai:bge-m3",
        "revision   1 → host/v1",
        "documents  2 · 1,200 chunks",
        "1,000 chunks embedded, 200 reused · 61.0 s",
    ]
    printing.print_reembedding(Screen(), a_reembedding(old, replace(old, chunk_size=1000)))
    assert printed(capsys)[0] == "chunk size 240 → 1,000 tokens"
    printing.print_reembedding(Screen(), a_reembedding(old, old))
    assert printed(capsys) == ["nothing to do: the index is that of all-MiniLM-L6-v2 already"]


def test_on_a_narrow_terminal_a_value_goes_on_below_itself(
    monkeypatch: pytest.MonkeyPatch, columns: int
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    screen, shown = on_terminal(monkeypatch)
    printing.print_status(screen, a_status())
    assert shown.getvalue().splitlines()[4:6] == [
        "index      3.5 MB · catalog 1.5 MB,",
        "           chroma 2.0 MB",
    ]
