"""Every promise of an index is checked: index folder and embedder -> ``Examination``.

1. The catalog, which is the truth: SQLite's own check, references, each chunk against its
   document, each vector against its chunk.
2. The two copies against the catalog, row by row, and what Chroma finds against what is near.
3. The embedder against the catalog: some chunks embedded again, all counted again.
4. What belongs to nobody, and what another version has made.

What may be damaged is read in a process of its own: damage is a finding, never a crash.
"""

import time
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np

from rag.documents import loaders
from rag.errors import CorpusError, CorpusMismatch, ProviderError
from rag.index import child, copies, inspection, locks, succession
from rag.index.catalog import FORMAT, Catalog
from rag.index.copies import CopyFailed
from rag.index.inspection import Inspection
from rag.index.writer import check_facts, writing
from rag.types import Check, Embedder, Examination, Finding

Tell = Callable[[str], None]
_NEAR = 0.999
"""The cosine of a vector and the same text's, embedded again. Padding, threads and devices move
it by 1e-6; another model, other weights or an int8 version of them by .006 and more."""
_EVERY = 1_000
"""Chunks counted between two words of progress: .2 s."""
_RESTORE = (
    "restore .rag from a backup, or move it away and sync again; the documents are not touched"
)
_REBUILD = "rag doctor --fix, or the next sync, builds it anew from the catalog"
_FORCED = "rag doctor --fix builds it anew from the catalog"


def examine(
    folder: Path,
    *,
    embedder: Embedder,
    facts: Mapping[str, str],
    fix: bool = False,
    tell: Tell | None = None,
) -> Examination:
    """Check an index, and mend what can be mended from the catalog.

    Parameters
    ----------
    folder : the index folder.
    embedder, facts : as it is opened.
    fix : takes the write lock for what has to be built anew or deleted, then checks again.
    tell : called with what is being checked.

    Raises
    ------
    CorpusLocked, CorpusError
        With ``fix``: another process is writing, or the folder cannot be written.
    """
    started = time.perf_counter()
    tell = tell or (lambda _: None)
    checks = _checks(folder, embedder, facts, tell)
    fixable = {f.check for check in checks for f in check.findings if f.fixable}
    fixed: list[Finding] = []
    if fix and fixable:
        tell("building anew")
        with writing(folder, facts) as writer:
            for name in copies.NAMES:
                if name in fixable:
                    writer.rebuild(name)
        before = [finding for check in checks for finding in check.findings]
        checks = _checks(folder, embedder, facts, tell)
        left = {finding for check in checks for finding in check.findings}
        fixed = [finding for finding in before if finding not in left]
    return Examination(
        checks=tuple(checks), fixed=tuple(fixed), seconds=time.perf_counter() - started
    )


def unopened(error: CorpusError) -> Examination:
    """Report an index that cannot even be opened."""
    name = "versions" if isinstance(error, CorpusMismatch) else "catalog"
    check = Check(name=name, told="", findings=(_as_finding(name, error),))
    return Examination(checks=(check,))


def _as_finding(name: str, error: CorpusError) -> Finding:
    """Tell an error's advice, which follows on what happened, from that."""
    what, _, mend = str(error).partition("; ")
    return Finding(check=name, what=what, mend=mend or _RESTORE)


def _checks(folder: Path, embedder: Embedder, facts: Mapping[str, str], tell: Tell) -> list[Check]:
    checks = []
    for name, function, mend in (
        ("catalog", inspection.inspect_catalog, _RESTORE),
        ("texts", inspection.inspect_texts, _RESTORE),
    ):
        tell(name)
        checks.append(_check(name, _inspect(function, folder), mend=mend))
        if checks[-1].findings:  # What reads it further could fail anywhere.
            return checks
    for copy in copies.NAMES:
        tell(copy)
        function = inspection.inspect_terms if copy == "terms" else inspection.inspect_chroma
        found = _inspect(function, folder)
        checks.append(_check(copy, found, mend=_REBUILD, fixable=True))
        if found.recall is not None:
            checks.append(_recall(found.recall))
    with closing(Catalog(folder, write=False)) as catalog, catalog.snapshot():
        checks += [
            _vectors(catalog, embedder, tell),
            _windows(catalog, embedder, tell),
            _folders(folder, catalog),
            _versions(catalog, facts),
        ]
    return checks


def _inspect(function: Callable[[Path], Inspection], folder: Path) -> Inspection:
    try:
        return child.call(function, folder)
    except CopyFailed as error:
        return Inspection(told="", flaws=(str(error),))


def _check(name: str, inspected: Inspection, *, mend: str, fixable: bool = False) -> Check:
    findings = (
        Finding(check=name, what=flaw, mend=mend, fixable=fixable) for flaw in inspected.flaws
    )
    return Check(
        name=name, told=inspected.told, skipped=inspected.skipped, findings=tuple(findings)
    )


def _recall(share: float) -> Check:
    """Judge how many of the nearest vectors Chroma finds."""
    told = f"{share:.3f} of the nearest {inspection.NEAREST}, against an exact scan"
    flaws = (f"Chroma finds only {told}",) if share < inspection.LOWEST_RECALL else ()
    return replace(
        _check("chroma", Inspection(told=told, flaws=flaws), mend=_FORCED, fixable=True),
        name="recall",
    )


# ---- the embedder -----------------------------------------------------------------------


def _vectors(catalog: Catalog, embedder: Embedder, tell: Tell) -> Check:
    """Embed some chunks again."""
    tell("vectors")
    ids = inspection.sample(catalog.all_ids())
    chunks = list(catalog.each(ids))
    if not chunks:
        return Check(name="vectors", told="none yet")
    mend = (
        "the index was embedded by another model under the same name; move .rag away and sync again"
    )
    try:
        again = embedder.embed_documents([chunk.embedded for chunk in chunks])  # (n, d)
    except ProviderError as error:
        what = f"some chunks could not be embedded again: {error}"
        return _check("vectors", Inspection(told="", flaws=(what,)), mend="look again later")
    kept = catalog.vectors([chunk.id for chunk in chunks])
    told = f"{len(chunks)} chunks embedded again gave what is kept"
    if again.shape != kept.shape:
        flaws = [f"the embedder gives {again.shape[1]} numbers, {kept.shape[1]} are kept"]
    else:
        cosines = np.sum(again * kept, axis=1)  # (n,)
        n_other = int(np.sum(~(cosines > _NEAR)))
        what = f"{n_other} of {len(chunks)} chunks embedded again gave another vector"
        flaws = [f"{what} (cosine {np.min(cosines):.3f})"] if n_other else []
    return _check("vectors", Inspection(told=told, flaws=tuple(flaws)), mend=mend)


def _windows(catalog: Catalog, embedder: Embedder, tell: Tell) -> Check:
    """Count every chunk: what is longer than the embedder reads was never embedded whole."""
    total = catalog.totals()[1]
    longest = 0
    over: dict[str, int] = {}
    for done, chunk in enumerate(catalog.all_chunks()):
        if done % _EVERY == 0:
            tell(f"windows: {done:,} of {total:,}")
        count = embedder.count(chunk.embedded)
        longest = max(longest, count)
        if count > embedder.max_tokens:
            over[chunk.document_id] = over.get(chunk.document_id, 0) + 1
    told = f"the longest chunk has {longest} tokens of the {embedder.max_tokens} that are read"
    flaws = tuple(
        f"{n:,} chunks of {id_} are longer than the {embedder.max_tokens} tokens that are read"
        for id_, n in over.items()
    )
    return _check("windows", Inspection(told=told, flaws=flaws), mend=_RESTORE)


# ---- what is left over ------------------------------------------------------------------


def _folders(folder: Path, catalog: Catalog) -> Check:
    """Find the folders of copies that are none any more."""
    unused = catalog.unused_vectors()
    told = f"none belongs to nobody; {unused:,} unused vectors kept"
    if following := succession.unfinished(folder):
        told += f"; a reembedding with {following} is unfinished"
    if locks.writer(folder) is not None:
        return Check(name="folders", told="not looked at, since a writer is at work", skipped=True)
    flaws = tuple(f"{name} is no copy any more" for name in copies.strays(folder, catalog))
    mend = "rag doctor --fix, or the next sync, deletes it"
    return _check("folders", Inspection(told=told, flaws=flaws), mend=mend, fixable=True)


def _versions(catalog: Catalog, facts: Mapping[str, str]) -> Check:
    """Compare what has made the index with what reads it."""
    reader = loaders.READER_VERSION
    older = sum(known.reader != reader for known in catalog.files().values())
    told = f"format {FORMAT}, reader {reader}, embedder {catalog.get('embedder') or 'none yet'}"
    findings = []
    if older:
        what = f"{older:,} documents were read by another version of the readers"
        findings.append(Finding(check="versions", what=what, mend="rag sync reads them again"))
    try:
        check_facts(catalog, facts)
    except CorpusError as error:
        findings.append(_as_finding("versions", error))
    return Check(name="versions", told=told, findings=tuple(findings))
