"""Results as people read them; programs get those of `rag.shapes`.

A place is written ``file:line · p. 4 · Chapter › Section``, so that a person can find it.
"""

import re
import shlex
from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from rich.cells import cell_len
from rich.text import Text

from rag.places import Places, headings_of, line_of, lines_around, pages_of
from rag.terminal import Screen, duration, listed, number, on_one_line, size, visible, wrapped
from rag.types import (
    Answer,
    Chunk,
    Citation,
    Context,
    Document,
    Examination,
    ForgetReport,
    Hit,
    ReembedReport,
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
_FORGET = "rag forget"
_LABEL = 11
"""Columns of the labels of a status."""
_PLACE, _FAINT, _GOOD, _DOUBTFUL, _WRONG = "cyan", "dim", "green", "yellow", "red"

# ---- search -----------------------------------------------------------------------------


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

    n_lines = 1 if width is None else _EXCERPT_LINES
    spans = split_sentences(text) or [(0, len(text))]
    shared = [len(wanted & set(terms(text[start:end]))) for start, end in spans]
    best_start, best_end = spans[shared.index(max(shared))]
    # What stands before the best sentence is shown as far as that one is still whole.
    fits = (s for s, _ in spans if len(_laid_out(f"… {text[s:best_end]} …", width)) <= n_lines)
    begin = min(next(fits, best_start), best_start)
    lines = _laid_out(("… " if begin > spans[0][0] else "") + text[begin:], width)
    if len(lines) > n_lines:
        room = _EXCERPT_COLUMNS if width is None else width
        lines[n_lines - 1] = wrapped(lines[n_lines - 1], room - 2)[0] + " …"
    return lines[:n_lines]


def _laid_out(text: str, width: int | None) -> list[str]:
    """Break a text into lines; on a terminal each row of a table begins one."""
    if width is None:
        return wrapped(on_one_line(text), _EXCERPT_COLUMNS)
    lines: list[str] = []
    for line in filter(None, map(on_one_line, text.splitlines())):
        if lines and not (line.startswith("|") or lines[-1].startswith("|")):
            lines[-1] += f" {line}"
        else:
            lines.append(line)
    return wrapped("\n".join(lines), width)


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


def print_answer(screen: Screen, answer: Answer, places: Places) -> None:
    """Print what belongs to an answer whose text has been printed already."""
    if answer.refusal is not None:
        why = _why(answer.refusal if answer.refusal not in answer.text else "", answer.context)
        screen.line()
        screen.paragraph(f"Not answered. {why}".rstrip(), style=f"bold {_DOUBTFUL}")
    if answer.citations:
        screen.line()
        screen.line(("Quotations, checked word for word", "bold"))
        for citation in answer.citations:
            _print_citation(screen, citation, places, answer=answer)
    _print_doubts(screen, answer)
    screen.line()
    screen.paragraph(_account(answer), style=_FAINT)


def _why(refusal: str, context: Context) -> str:
    """Tell why a question was not answered, beyond what the answer has said."""
    if context.passages:
        return refusal
    if context.dropped:
        fits = f"No passage fits into {number(context.budget, 'token')}"
        return f"{fits}; allow more, as in --budget 1000."
    return "No passage was found."


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
            # As with the quotations: on a terminal it has just been read in full.
            screen.line("  ", (on_one_line(sentence, screen.room(2)), _DOUBTFUL))
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
            f"{answer.model} took {usage.prompt_tokens:,} tokens and gave "
            f"{usage.completion_tokens:,} in {usage.seconds:.1f} s"
        )
    return " · ".join(parts)


# ---- show -------------------------------------------------------------------------------


def print_excerpt(screen: Screen, document: Document, at: Span | None, *, n_lines: int) -> None:
    """Print a stretch of a document with the numbers of its lines, a passage marked in it."""
    start, end = lines_around(document.text, at, n_lines)
    where = at or (start, end)
    place = _place(document.id, line_of(document, where[0]), pages_of(document, *where))
    headings = headings_of(document, where[0])
    told = {document.id, Path(document.id).stem, *headings}
    title = "" if document.title in told else f" · {on_one_line(document.title)}"
    screen.line(place, (title, "bold"))
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


# ---- sync, reembed and status -------------------------------------------------------------


def print_report(screen: Screen, report: SyncReport, *, dry_run: bool, all_names: bool) -> None:
    """Print what a sync did, or would do."""
    most = None if all_names else _NAMES
    moved = [f"{old} → {new}" for old, new in report.moved]
    present = (*report.added, *report.updated, *moved, *report.unchanged)
    _print_list(screen, "added", report.added, most=most, style=_GOOD)
    _print_list(screen, "updated", report.updated, most=most, style=_GOOD)
    _print_list(screen, "moved", moved, most=most, style=_GOOD)
    _print_list(screen, "removed", report.removed, most=most, style=_DOUBTFUL)
    _print_list(screen, "unchanged", report.unchanged, most=None if all_names else 0)
    _print_skipped(screen, report, most=most)
    parts = [f"{part.id}: {part.reason}" for part in report.incomplete]
    _print_list(screen, "in part", parts, most=most, style=_DOUBTFUL)
    _print_list(screen, "failed", _failures(report), most=most, style=f"bold {_WRONG}")
    for part in report.repaired:
        _print_count(screen, "repaired", "", f"the index of {part}, rebuilt from the catalog")
    if dry_run:
        screen.line(("nothing was changed: this was a dry run", _FAINT))
        return
    if not (present or report.failed):
        screen.paragraph("no documents here yet; copy some into it, and run rag sync again")
    chunks = f"{number(report.embedded, 'chunk')} embedded, {number(report.reused)} reused"
    if report.unused_vectors:
        chunks += f" · {number(report.unused_vectors, 'unused vector')} kept"
    screen.line((f"{chunks} · {report.seconds:.1f} s", _FAINT))


def print_round(screen: Screen, report: SyncReport, *, at: datetime) -> None:
    """Print what one sync of many did: a line, and one more for each failure."""
    counts = {
        "added": report.added,
        "updated": report.updated,
        "moved": report.moved,
        "removed": report.removed,
        "unchanged": report.unchanged,
        "failed": report.failed,
    }
    parts = [f"{number(len(ids))} {what}" for what, ids in counts.items() if ids]
    told = ", ".join(parts) or "no documents"
    cost = f"{number(report.embedded, 'chunk')} embedded · {report.seconds:.1f} s"
    style = _WRONG if report.failed else ""
    screen.line((f"{at:%H:%M:%S}  ", _FAINT), (told, style), (f" · {cost}", _FAINT))
    _print_names(screen, _failures(report), most=_NAMES)


def print_lost_round(screen: Screen, error: Exception, *, at: datetime, again_s: float) -> None:
    """Print why a sync of many could not be, and when the next is tried."""
    screen.line((f"{at:%H:%M:%S}  ", _FAINT), (on_one_line(str(error)), _WRONG))
    screen.line((f"    again in {duration(again_s)}", _FAINT))


def _failures(report: SyncReport) -> list[str]:
    """Write each failure with the name of its file, which most messages begin with."""
    return [
        message
        if failure.id in message or repr(failure.id) in message
        else f"{failure.id}: {message}"
        for failure in report.failed
        for message in (str(failure.error),)
    ]


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
    _print_names(screen, names, most=most)


def _print_names(screen: Screen, names: Sequence[str], *, most: int | None) -> None:
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


def print_reembedding(screen: Screen, report: ReembedReport) -> None:
    """Print what a reembedding did."""
    before, after = report.before, report.after
    if before == after:
        screen.paragraph(f"nothing to do: the index is that of {after.embedder} already")
        return
    changes = [
        ("embedder", before.embedder, after.embedder),
        ("revision", before.revision, after.revision),
        ("chunk size", number(before.chunk_size), number(after.chunk_size, "token")),
    ]
    for label, old, new in changes:
        if old != new.removesuffix(" tokens"):
            _print_row(screen, label, _FAINT, f"{old} → {new}")
    chunks = f" · {number(report.chunks, 'chunk')}"
    _print_row(screen, "documents", _FAINT, number(report.documents), chunks)
    counts = f"{number(report.embedded, 'chunk')} embedded, {number(report.reused)} reused"
    screen.line((f"{counts} · {report.seconds:.1f} s", _FAINT))


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
    if status.unused_vectors:
        kept = f" · kept for texts that come back; {_FORGET} removes them"
        rows.insert(-2, ("unused", number(status.unused_vectors, "vector"), kept))
    if status.writer is not None:
        rows.append(("writing", status.writer, ""))
    if status.reembedding is not None:
        rows.append(("unfinished", f"reembedding with {status.reembedding}", _what_next(status)))
    for label, value, more in rows:
        _print_row(screen, label, _FAINT, value, more)
    for finding in status.findings:
        _print_row(screen, "damaged", f"bold {_DOUBTFUL}", finding)
    if status.findings:
        advice = "the catalog answers in their place; rag sync repairs them"
        screen.paragraph(advice, indent=_LABEL, style=_FAINT)


def _what_next(status: Status) -> str:
    if status.writer is not None:
        return " · at work"
    command = f"rag reembed --embedder {shlex.quote(str(status.reembedding))}"
    return f" · {command} goes on with it, with {status.embedder} drops it"


def _print_row(screen: Screen, label: str, style: str, value: str, more: str = "") -> None:
    """Print a label and behind it a value, which is bright on its first line."""
    first, *others = wrapped(value + more, screen.room(_LABEL))
    bright = min(len(value), len(first))
    screen.line((f"{label:<{_LABEL}}", style), first[:bright], (first[bright:], _FAINT))
    for line in others:
        screen.line(" " * _LABEL, (line, _FAINT if more else ""))


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


# ---- doctor -----------------------------------------------------------------------------


def print_examination(screen: Screen, report: Examination) -> None:
    """Print each check on a line, and below it what is wrong and what to do."""
    for check in report.checks:
        sign = ("✗", f"bold {_WRONG}") if check.findings else ("✓", _GOOD)
        sign = ("–", _FAINT) if check.skipped else sign
        told = [finding.what for finding in check.findings] or [check.told]
        _print_checked(screen, sign, check.name, told)
        for mend in dict.fromkeys(finding.mend for finding in check.findings):
            screen.paragraph(f"→ {mend}", indent=_LABEL + 2, style=_DOUBTFUL)
    for finding in report.fixed:
        _print_checked(screen, ("✓", _GOOD), "fixed", [f"{finding.check}: {finding.what}"])
    screen.line()
    if report.size_bytes:
        screen.paragraph(_disk_use(report.size_bytes), style=_FAINT)
    n = len(report.findings)
    verdict = f"{number(n, 'finding')}" if n else "all is well"
    screen.line((verdict, f"bold {_WRONG if n else _GOOD}"), (f" · {report.seconds:.1f} s", _FAINT))


def _print_checked(screen: Screen, sign: tuple[str, str], label: str, told: Sequence[str]) -> None:
    for place, text in enumerate(told):
        first, *others = wrapped(on_one_line(text), screen.room(_LABEL + 2))
        head = (sign, f" {label:<{_LABEL}}") if place == 0 else (" " * (_LABEL + 2),)
        screen.line(*head, first)
        for line in others:
            screen.line(" " * (_LABEL + 2), line)


def _disk_use(size_bytes: Sequence[tuple[str, int]]) -> str:
    parts = ", ".join(f"{part} {size(n)}" for part, n in size_bytes)
    return f"{size(sum(n for _, n in size_bytes))} on disk: {parts}"


# ---- forget -----------------------------------------------------------------------------


def print_forgotten(screen: Screen, report: ForgetReport) -> None:
    """Print what was forgotten, and the proof."""
    _print_list(screen, "forgotten", report.ids, most=None, style=_GOOD)
    _print_list(screen, "ignored", report.ignored, most=None)
    if report.vectors:
        _print_count(screen, "vectors", number(report.vectors), "removed")
    if report.reembedding is not None:
        screen.paragraph(
            f"the unfinished reembedding with {report.reembedding} held the text and was dropped"
        )
    where = f"searched {number(report.files, 'file')}, {size(report.size_bytes)}: "
    if report.found:
        screen.paragraph(f"{where}a 32-byte run of it is left in", style=f"bold {_WRONG}")
        for name in report.found:
            screen.paragraph(name, indent=4)
        screen.paragraph("these are no files of rag; move them away, and forget it again")
    elif report.runs:
        screen.paragraph(f"{where}no 32-byte run of it is left", style=_GOOD)
    else:
        screen.paragraph(f"the index was written anew without it; {_why_no_runs(report)}")
    screen.line((f"{report.seconds:.1f} s", _FAINT))


def _why_no_runs(report: ForgetReport) -> str:
    if len(report.unknown) == len(report.ids):
        return "it was removed before, so that its text could not be looked for"
    return "there was nothing to look for: it is too short, or other documents share all of it"


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
