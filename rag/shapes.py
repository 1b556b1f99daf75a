"""Results as programs get them: the objects that ``--json`` prints.

Their keys are told in the help of each command and stay as they are.
"""

from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rag.evaluation import Comparison, Row, by_type, summarize
from rag.places import Places, headings_of, line_of, lines_around, pages_of
from rag.types import (
    Answer,
    Citation,
    Document,
    Examination,
    Hit,
    Passage,
    ReembedReport,
    Span,
    Status,
    SyncReport,
)

if TYPE_CHECKING:
    from rag.tuning import Tuning

Json = dict[str, Any]


def describe_hit(hit: Hit, places: Places) -> Json:
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


def describe_answer(answer: Answer, places: Places) -> Json:
    """Describe an answer."""
    context = answer.context
    return {
        "question": answer.question,
        "text": answer.text,
        "refused": answer.refused,
        "refusal": answer.refusal,
        "citations": [_describe_citation(citation, places) for citation in answer.citations],
        "rejected": [asdict(rejection) for rejection in answer.rejected],
        "unknown_markers": answer.unknown_markers,
        "unsupported": answer.unsupported,
        "context": {
            "tokens": context.tokens,
            "budget": context.budget,
            "passages": [_describe_passage(passage, places) for passage in context.passages],
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


def _describe_citation(citation: Citation, places: Places) -> Json:
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


def _describe_passage(passage: Passage, places: Places) -> Json:
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


def describe_excerpt(document: Document, at: Span | None, *, n_lines: int) -> Json:
    """Describe a stretch of a document."""
    start, end = lines_around(document.text, at, n_lines)
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


def describe_report(report: SyncReport, *, path: Path, dry_run: bool) -> Json:
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
        "incomplete": [asdict(part) for part in report.incomplete],
        "embedded": report.embedded,
        "reused": report.reused,
        "repaired": report.repaired,
        "unused_vectors": report.unused_vectors,
        "seconds": report.seconds,
    }


def describe_examination(report: Examination) -> Json:
    """Describe what a doctor has found."""
    return {
        "checks": [asdict(check) for check in report.checks],
        "findings": [asdict(finding) for finding in report.findings],
        "fixed": [asdict(finding) for finding in report.fixed],
        "size_bytes": dict(report.size_bytes),
        "seconds": report.seconds,
    }


def describe_reembedding(report: ReembedReport, *, path: Path) -> Json:
    """Describe what a reembedding did."""
    return {"path": str(path), **asdict(report)}


def describe_lost_round(error: Exception, path: Path, at: datetime, again_s: float) -> Json:
    """Describe a sync of many that could not be."""
    return {
        "time": moment(at),
        "again_s": again_s,
        "path": str(path),
        "kind": type(error).__name__,
        "error": str(error),
    }


def moment(at: datetime) -> str:
    """Write a moment as JSON's users expect it, to the second and with its zone."""
    return at.isoformat(timespec="seconds")


def describe_status(status: Status) -> Json:
    """Describe a corpus."""
    return {
        **asdict(status),
        "path": str(status.path),
        "size_bytes": dict(status.size_bytes),
        "synced_at": None if status.synced_at is None else status.synced_at.isoformat(),
    }


def describe_figures(rows: Sequence[Row]) -> Json:
    """Describe the figures of many questions, all together and by type."""
    return {
        "figures": {figure: asdict(each) for figure, each in summarize(rows).items()},
        "by_type": {
            name: {figure: asdict(each) for figure, each in summarize(listed).items()}
            for name, listed in by_type(rows).items()
        },
    }


def describe_comparison(found: Sequence[Comparison] | None) -> list[Json] | None:
    """Describe two runs side by side; None where there is only one."""
    if found is None:
        return None
    return [{**asdict(each), "verdict": each.verdict} for each in found]


def describe_tuning(
    found: "Tuning", *, path: Path, questions: Path | None, written: Path | None
) -> Json:
    """Describe the settings that were tried, and what holds."""
    checks = describe_comparison(None if found.check is None else [found.check])
    return {
        "path": str(path),
        "questions": None if questions is None else str(questions),
        "n_train": found.n_train,
        "n_test": found.n_test,
        "figure": found.figure,
        "trials": [{"changes": dict(t.changes), "mean": t.mean} for t in found.trials],
        "chosen": dict(found.chosen),
        "recommended": dict(found.recommended),
        "check": None if checks is None else checks[0],
        "left_out": found.left_out,
        "written": None if written is None else str(written),
    }
