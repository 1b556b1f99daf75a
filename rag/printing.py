"""Results as they are shown: ``print_…`` for people, ``…_json`` for programs.

The keys of the JSON are told in the help of each command and stay as they are. A place is
written ``file:line · p. 4 · Chapter › Section``, so that a person can find it.
"""

import re
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.cells import cell_len
from rich.text import Text

from rag.terminal import Screen, listed, number, on_one_line, size, visible, wrapped
from rag.types import (
    Answer,
    Chunk,
    Citation,
    Document,
    Hit,
    Passage,
    Span,
    Status,
    SyncReport,
)

LINES = 24
"""Lines that `show` prints: a screen of the usual height."""
_NAMES = 10
"""Names of each list in a report, unless all are asked for."""
_EXCERPT_LINES = 3
_EXCERPT_COLUMNS = 300
"""Of a hit in a pipe, where lines have no width: as much as on a terminal of 100 columns."""
_BESIDE = 3
"""Lines shown at least before and behind a passage, however long that is."""
_MOST_CHARACTERS = 6000
"""Of an excerpt, where lines are so long that a few of them would be pages."""
_PLACE, _FAINT, _GOOD, _DOUBTFUL, _WRONG = "cyan", "dim", "green", "yellow", "red"

Json = dict[str, Any]


class Places:
    """Where spans stand in their documents.

    Parameters
    ----------
    document_of : id -> the document; a ValueError means that it has gone since.
    """

    def __init__(self, document_of: Callable[[str], Document]) -> None:
        self._document_of = document_of
        self._documents: dict[str, Document | None] = {}

    def line(self, document_id: str, start: int) -> int | None:
        """Tell the line, from 1; None where the document has gone."""
        document = self._get(document_id)
        return None if document is None else line_of(document, start)

    def headings(self, document_id: str, start: int) -> tuple[str, ...]:
        """List the headings that a place stands under, outermost first."""
        document = self._get(document_id)
        return () if document is None else headings_of(document, start)

    def _get(self, document_id: str) -> Document | None:
        if document_id not in self._documents:
            try:
                self._documents[document_id] = self._document_of(document_id)
            except ValueError:
                self._documents[document_id] = None
        return self._documents[document_id]


def line_of(document: Document, start: int) -> int:
    """Tell the line of a character, from 1."""
    return document.text.count("\n", 0, start) + 1


def headings_of(document: Document, start: int) -> tuple[str, ...]:
    """List the headings that a character stands under, outermost first."""
    return tuple(s.title for s in document.sections if s.start <= start < s.end)


def pages_of(document: Document, start: int, end: int) -> tuple[int, int] | None:
    """Tell the first and last page of a span; None where there are no pages."""
    if not document.pages:
        return None
    starts = [page.start for page in document.pages]
    first = max(bisect_right(starts, start) - 1, 0)
    last = max(bisect_right(starts, max(end - 1, start)) - 1, 0)
    return document.pages[first].number, document.pages[last].number


# ---- search -----------------------------------------------------------------------------


def hit_json(hit: Hit, places: Places) -> Json:
    """Describe a hit."""
    chunk = hit.chunk
    return {
        "rank": hit.rank,
        "score": hit.score,
        "document_id": chunk.document_id,
        "start": chunk.start,
        "end": chunk.end,
        "text": chunk.text,
        "headings": chunk.headings,
        "pages": chunk.pages,
        "line": places.line(chunk.document_id, chunk.start),
    }


def print_hits(screen: Screen, hits: Sequence[Hit], places: Places, *, query: str) -> None:
    """Print hits, each with its place and the part of it that is nearest to the query."""
    from rag.terms import terms  # noqa: PLC0415 - loads the stemmer

    wanted = frozenset(terms(query))
    indent = len(number(len(hits))) + 2
    for hit in hits:
        chunk = hit.chunk
        if hit.rank > 1:
            screen.line()
        screen.line(
            (f"{hit.rank:>{indent - 2}}  ", "bold"),
            _place(chunk.document_id, places.line(chunk.document_id, chunk.start), chunk.pages),
            (f" · at {chunk.start}-{chunk.end} · {hit.score:.3f}", _FAINT),
        )
        if chunk.headings:
            path = _heading_path(chunk.headings, screen.room(indent))
            screen.line(" " * indent, (path, _FAINT))
        for line in _nearest(_body(chunk), wanted, screen.room(indent)):
            screen.line(" " * indent, _marked(line, wanted))


def _body(chunk: Chunk) -> str:
    """Leave out the headings that a chunk begins with: they have just been printed."""
    lines = chunk.text.splitlines()
    while len(lines) > 1 and (not lines[0].strip() or lines[0].strip("# \t") in chunk.headings):
        lines = lines[1:]
    return "\n".join(lines)


def _nearest(text: str, wanted: frozenset[str], width: int | None) -> list[str]:
    """Choose the lines of a chunk that show best why it was found."""
    from rag.sentences import split_sentences  # noqa: PLC0415 - only a search needs it
    from rag.terms import terms  # noqa: PLC0415

    text = on_one_line(text)
    n_lines, width = (1, _EXCERPT_COLUMNS) if width is None else (_EXCERPT_LINES, width)
    spans = split_sentences(text) or [(0, len(text))]
    shared = [len(wanted & set(terms(text[start:end]))) for start, end in spans]
    best_start, best_end = spans[shared.index(max(shared))]
    # What stands before the best sentence is shown as far as that one is still whole.
    fits = [s for s, _ in spans if cell_len(text[s:best_end]) <= n_lines * width * 9 // 10]
    begin = next((start for start in fits if start <= best_start), best_start)
    lines = wrapped(("… " if begin else "") + text[begin:], width)
    if len(lines) > n_lines:
        lines[n_lines - 1] = wrapped(lines[n_lines - 1], width - 2)[0] + " …"
    return lines[:n_lines]


def _marked(line: str, wanted: frozenset[str]) -> Text:
    """Make the words of the query bold."""
    from rag.terms import CHINESE, terms  # noqa: PLC0415 - as above

    text = Text(line)
    for word in re.finditer(rf"[{CHINESE}]+|[^\W{CHINESE}]+(?:[-.'’_][^\W{CHINESE}]+)*", line):
        start, end = word.span()
        if not re.match(f"[{CHINESE}]", word[0]):
            if wanted & set(terms(word[0])):
                text.stylize("bold", start, end)
            continue
        for place in range(start, end):
            if line[place : place + 2] in wanted or line[place] in wanted:
                text.stylize("bold", place, min(place + (line[place] not in wanted) + 1, end))
    return text


# ---- ask --------------------------------------------------------------------------------


def answer_json(answer: Answer, places: Places) -> Json:
    """Describe an answer."""
    context = answer.context
    return {
        "question": answer.question,
        "text": answer.text,
        "refused": answer.refused,
        "refusal": answer.refusal,
        "citations": [_citation_json(citation, places) for citation in answer.citations],
        "rejected": [asdict(rejection) for rejection in answer.rejected],
        "unknown_markers": answer.unknown_markers,
        "unsupported": answer.unsupported,
        "context": {
            "tokens": context.tokens,
            "budget": context.budget,
            "passages": [_passage_json(passage, places) for passage in context.passages],
            "dropped": [
                {
                    "document_id": hit.chunk.document_id,
                    "start": hit.chunk.start,
                    "end": hit.chunk.end,
                }
                for hit in context.dropped
            ],
        },
        "model": answer.model,
        "usage": asdict(answer.usage),
        "finish_reason": answer.finish_reason,
    }


def _citation_json(citation: Citation, places: Places) -> Json:
    return {
        "marker": citation.marker,
        "document_id": citation.document_id,
        "start": citation.start,
        "end": citation.end,
        "quote": citation.quote,
        "pages": citation.pages,
        "line": places.line(citation.document_id, citation.start),
        "headings": places.headings(citation.document_id, citation.start),
        "by": citation.by,
    }


def _passage_json(passage: Passage, places: Places) -> Json:
    return {
        "marker": passage.marker,
        "document_id": passage.document_id,
        "start": passage.start,
        "end": passage.end,
        "tokens": passage.tokens,
        "pages": passage.pages,
        "line": places.line(passage.document_id, passage.start),
        "headings": passage.headings,
    }


def print_answer(screen: Screen, answer: Answer, places: Places) -> None:
    """Print what belongs to an answer whose text has been printed already."""
    if answer.refusal is not None:
        why = "" if answer.refusal in answer.text else f" {answer.refusal}"
        screen.line()
        screen.line(("Not answered.", f"bold {_DOUBTFUL}"), visible(why))
    if answer.citations:
        screen.line()
        screen.line(("Quotations, checked word for word", "bold"))
        for citation in answer.citations:
            _print_citation(screen, citation, places, answer=answer)
    _print_doubts(screen, answer)
    screen.line()
    screen.paragraph(_account(answer), style=_FAINT)


def _print_citation(screen: Screen, citation: Citation, places: Places, *, answer: Answer) -> None:
    marker = f"[{citation.marker}] "
    at = citation.document_id, citation.start
    place = _place(citation.document_id, places.line(*at), citation.pages)
    chosen = " · only the marker was given" if citation.by == "match" else ""
    room = screen.room(len(marker) + cell_len(place.plain) + cell_len(chosen) + 3)
    headings = places.headings(*at)
    path = f" · {_heading_path(headings, room)}" if headings else ""
    screen.line((marker, f"bold {_GOOD}"), place, (path, _FAINT), (chosen, _DOUBTFUL))
    # What the answer itself has shown word for word is only recognised here.
    room = screen.room(len(marker) + 2)
    quote = on_one_line(citation.quote, room if citation.quote in answer.text else None)
    screen.paragraph(f"“{quote}”", indent=len(marker), style=_FAINT)


def _print_doubts(screen: Screen, answer: Answer) -> None:
    """Print what of an answer does not hold, or may not."""
    doubts = [
        (_WRONG, f"[{rejection.marker}] {_quoted(rejection.quote)}{rejection.reason}")
        for rejection in answer.rejected
    ]
    doubts += [
        (_WRONG, f"[{marker}] there is no such passage") for marker in answer.unknown_markers
    ]
    if doubts:
        screen.line()
        screen.line(("Does not hold", f"bold {_WRONG}"))
    for style, doubt in doubts:
        screen.paragraph(on_one_line(doubt), indent=2, style=style)
    if answer.unsupported and answer.refusal is None:
        screen.line()
        screen.line(("Not backed by a quotation", f"bold {_DOUBTFUL}"))
        for sentence in answer.unsupported:
            screen.paragraph(on_one_line(sentence), indent=2, style=_DOUBTFUL)
    if answer.finish_reason == "length":
        screen.line()
        message = "The reply was cut at its limit; raise the setting synthesis.reply_tokens."
        screen.paragraph(message, style=_DOUBTFUL)


def _account(answer: Answer) -> str:
    """Tell in one line what was read, what was left out, and what it cost."""
    context, usage = answer.context, answer.usage
    read = f"{number(len(context.passages), 'passage')}, {context.tokens:,} of"
    budget = number(context.budget, "token")
    parts = [f"read {read} {budget}; {number(len(context.dropped), 'hit')} left out"]
    if usage.calls:
        parts.append(
            f"{answer.model}: {usage.prompt_tokens:,} + {usage.completion_tokens:,} tokens, "
            f"{usage.seconds:.1f} s"
        )
    return " · ".join(parts)


# ---- show -------------------------------------------------------------------------------


def excerpt_json(document: Document, at: Span | None, *, n_lines: int) -> Json:
    """Describe a stretch of a document."""
    start, end = _stretch(document.text, at, n_lines)
    where = start if at is None else at[0]
    return {
        "document_id": document.id,
        "title": document.title,
        "source": document.source,
        "digest": document.digest,
        "characters": len(document.text),
        "metadata": dict(document.metadata),
        "at": at,
        "start": start,
        "end": end,
        "text": document.text[start:end],
        "line": line_of(document, start),
        "headings": headings_of(document, where),
        "pages": pages_of(document, *(at or (start, end))),
    }


def print_excerpt(screen: Screen, document: Document, at: Span | None, *, n_lines: int) -> None:
    """Print a stretch of a document with the numbers of its lines, a passage marked in it."""
    start, end = _stretch(document.text, at, n_lines)
    where = at or (start, end)
    place = _place(document.id, line_of(document, where[0]), pages_of(document, *where))
    title = "" if document.title in {document.id, Path(document.id).stem} else document.title
    screen.line(place, (f" · {on_one_line(title)}" if title else "", "bold"))
    headings = headings_of(document, where[0])
    if headings:
        screen.line((_heading_path(headings, screen.width), _FAINT))
    screen.line()
    first = line_of(document, start)
    lines = document.text[start:end].removesuffix("\n").split("\n")
    columns = len(str(first + len(lines) - 1))
    begin = start
    for n, line in enumerate(lines, start=first):
        inside = at is not None and begin <= max(at[1] - 1, at[0]) and at[0] <= begin + len(line)
        _print_numbered(screen, n, line.removesuffix("\r"), columns=columns, inside=inside)
        begin += len(line) + 1
    total = line_of(document, len(document.text.rstrip("\n")))
    screen.line()
    stretch = f"lines {first:,}–{first + len(lines) - 1:,} of {total:,}"
    whole = (start, end) == (0, len(document.text))
    cut = "" if whole else f" · characters {start:,}–{end:,} of {len(document.text):,}"
    screen.line((stretch + cut, _FAINT))


def _print_numbered(screen: Screen, n: int, line: str, *, columns: int, inside: bool) -> None:
    bar = (" ┃ ", f"bold {_GOOD}") if inside else (" │ ", _FAINT)
    for place, part in enumerate(wrapped(line, screen.room(columns + 3))):
        label = f"{n:>{columns}}" if place == 0 else " " * columns
        screen.line((label, _FAINT), bar, part)


def _stretch(text: str, at: Span | None, n_lines: int) -> Span:
    """Choose whole lines around a span, a third of the others before it."""
    if n_lines == 0:
        return 0, len(text)
    first, last = at or (0, 0)
    within = text.count("\n", first, last)
    others = n_lines - within - 1
    before, behind = 0, others
    if at is not None:
        least = min(_BESIDE, n_lines - 1)
        before, behind = max(others // 3, least), max(others - others // 3, least)
    start = text.rfind("\n", 0, first) + 1
    for _ in range(before):
        start = text.rfind("\n", 0, max(start - 1, 0)) + 1
    end = text.rfind("\n", 0, first) + 1
    for _ in range(within + 1 + behind):
        end = text.find("\n", end) + 1 or len(text)
    if end - start > _MOST_CHARACTERS:
        start = max(start, first - _MOST_CHARACTERS // 3)
        end = min(end, max(start + _MOST_CHARACTERS, last))
    return start, end


# ---- sync and status ----------------------------------------------------------------------


def report_json(report: SyncReport, *, path: Path, dry_run: bool) -> Json:
    """Describe what a sync did."""
    return {
        "path": str(path),
        "dry_run": dry_run,
        "added": report.added,
        "updated": report.updated,
        "moved": [{"old": old, "new": new} for old, new in report.moved],
        "removed": report.removed,
        "unchanged": report.unchanged,
        "failed": [
            {"id": failure.id, "kind": type(failure.error).__name__, "error": str(failure.error)}
            for failure in report.failed
        ],
        "skipped": [asdict(skipped) for skipped in report.skipped],
        "embedded": report.embedded,
        "reused": report.reused,
        "repaired": report.repaired,
        "seconds": report.seconds,
    }


def print_report(screen: Screen, report: SyncReport, *, dry_run: bool, all_names: bool) -> None:
    """Print what a sync did, or would do."""
    most = None if all_names else _NAMES
    moved = [f"{old} → {new}" for old, new in report.moved]
    _print_list(screen, "added", report.added, most=most, style=_GOOD)
    _print_list(screen, "updated", report.updated, most=most, style=_GOOD)
    _print_list(screen, "moved", moved, most=most, style=_GOOD)
    _print_list(screen, "removed", report.removed, most=most, style=_DOUBTFUL)
    _print_list(screen, "unchanged", report.unchanged, most=None if all_names else 0)
    _print_skipped(screen, report, most=most)
    failures = [
        str(error) if id_ in str(error) else f"{id_}: {error}"
        for id_, error in ((failure.id, failure.error) for failure in report.failed)
    ]
    _print_list(screen, "failed", failures, most=most, style=f"bold {_WRONG}")
    for part in report.repaired:
        _print_count(screen, "repaired", "", f"the index of {part}, rebuilt from the catalog")
    if dry_run:
        screen.line(("nothing was changed: this was a dry run", _FAINT))
        return
    chunks = f"{number(report.embedded, 'chunk')} embedded, {number(report.reused)} reused"
    screen.line((f"{chunks} · {report.seconds:.1f} s", _FAINT))


def _print_count(screen: Screen, label: str, count: str, rest: str, style: str = "") -> None:
    screen.line(
        (f"{label:<9}", style), f"  {count:>5}" if count else "", (rest and f"  {rest}", _FAINT)
    )


def _print_list(
    screen: Screen, label: str, names: Sequence[str], *, most: int | None, style: str = ""
) -> None:
    """Print how many there are, and the first of them below."""
    if not names:
        return
    _print_count(screen, label, number(len(names)), "", style)
    shown, rest = listed(names, most=most)
    for name in shown:
        screen.paragraph(on_one_line(name), indent=4)
    if rest and shown:
        screen.line(f"    … and {number(rest)} more; ", ("--verbose", "bold"), " lists all")


def _print_skipped(screen: Screen, report: SyncReport, *, most: int | None) -> None:
    """Print what was left out on purpose, by reason, each on one line unless all is asked for."""
    if not report.skipped:
        return
    by_reason: dict[str, list[str]] = defaultdict(list)
    for skipped in report.skipped:
        by_reason[skipped.reason].append(skipped.id)
    _print_count(screen, "skipped", number(len(report.skipped)), "")
    reasons = sorted(by_reason, key=lambda reason: -len(by_reason[reason]))
    shown, rest = listed(reasons, most=most)
    for reason in shown:
        names = by_reason[reason]
        line = (
            f"{reason}: {len(names):,} ({', '.join(names)})"
            if len(names) > 1
            else (f"{reason}: {names[0]}")
        )
        if most is None:
            screen.line(f"    {visible(reason)}")
            for name in names:
                screen.line(f"      {on_one_line(name)}")
        else:
            screen.line("    ", on_one_line(line, screen.room(4) or _EXCERPT_COLUMNS))
    if rest:
        more = sum(len(by_reason[reason]) for reason in reasons[len(shown) :])
        screen.line(f"    … and {number(more)} more; ", ("--verbose", "bold"), " lists all")


def status_json(status: Status) -> Json:
    """Describe a corpus."""
    return {
        **asdict(status),
        "path": str(status.path),
        "size_bytes": dict(status.size_bytes),
        "synced_at": None if status.synced_at is None else status.synced_at.isoformat(),
    }


def print_status(screen: Screen, status: Status) -> None:
    """Print a corpus at a glance."""
    parts = ", ".join(f"{part} {size(n)}" for part, n in status.size_bytes)
    rows = [
        ("corpus", str(status.path), ""),
        ("documents", number(status.documents), ""),
        ("chunks", number(status.chunks), f" · {number(status.tokens, 'token')}"),
        ("embedder", status.embedder or "none yet", ""),
        ("index", size(sum(n for _, n in status.size_bytes)), f" · {parts}"),
        ("synced", *_ago(status.synced_at)),
        ("state", f"generation {status.generation}", f" · format {status.version}"),
    ]
    if status.writer is not None:
        rows.append(("writing", status.writer, ""))
    for label, value, more in rows:
        screen.line((f"{label:<11}", _FAINT), visible(value), (visible(more), _FAINT))
    for finding in status.findings:
        screen.line((f"{'damaged':<11}", f"bold {_DOUBTFUL}"), visible(finding))
    if status.findings:
        screen.line(" " * 11, ("the catalog answers in their place; rag sync repairs them", _FAINT))


def _ago(moment: datetime | None) -> tuple[str, str]:
    if moment is None:
        return "never finished", ""
    seconds = max((datetime.now(UTC) - moment).total_seconds(), 0)
    for unit, length in (("day", 86400), ("hour", 3600), ("minute", 60)):
        if seconds >= length:
            ago = number(int(seconds / length), unit) + " ago"
            break
    else:
        ago = "just now"
    return f"{moment.astimezone():%Y-%m-%d %H:%M}", f" · {ago}"


# ---- places -----------------------------------------------------------------------------


def _place(document_id: str, line: int | None, pages: tuple[int, int] | None) -> Text:
    """Write where something stands: file, line and pages."""
    text = Text(on_one_line(document_id), style=_PLACE)
    if line is not None:
        text.append(f":{line}")
    if pages is not None:
        first, last = pages
        text.append(
            f" · p. {first}" if first == last else f" · pp. {first}–{last}", style="default"
        )
    return text


def _heading_path(headings: Iterable[str], width: int | None) -> str:
    """Write headings from the outermost to the innermost, which stays when room is scarce."""
    titles = [on_one_line(title) for title in headings]
    path = " › ".join(titles)
    while width is not None and cell_len(path) > width and len(titles) > 1:
        titles = titles[1:]
        path = " › ".join(["…", *titles])
    return on_one_line(path, width)


def _quoted(words: str) -> str:
    return f"“{words}” " if words else ""
