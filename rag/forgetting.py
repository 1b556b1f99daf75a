"""A text that must be gone leaves the index, and what is left of it is looked for.

1. What still lies in the folder would come back: it is refused, or left out for good.
2. The documents leave the catalog in one transaction; from then on no search finds them.
3. The vectors that no chunk uses go, whosever they were; so does the index that a reembedding
   was making, which holds the texts too; both copies are built anew in new folders and the
   old ones deleted; the catalog is written anew without its empty pages.
4. Every file of the index is searched for the texts.

Stopped at any moment it leaves an index that answers, and done again it goes to its end: the
catalog remembers the ids until nothing more was found.
"""

import difflib
import time
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from rag.documents import folder, loaders
from rag.errors import CorpusError
from rag.index import child, erasure, succession
from rag.index.copies import CopyFailed
from rag.index.writer import writing
from rag.types import Document, ForgetReport


def forget(
    root: Path, ids: Sequence[str], *, ignore: bool, facts: Mapping[str, str]
) -> ForgetReport:
    """Remove documents with all of their traces; `rag.corpus.Corpus.forget` tells the rest.

    Parameters
    ----------
    root : the corpus.
    facts : what shapes the index.
    """
    started = time.perf_counter()
    index = root / folder.INDEX_FOLDER
    ids = tuple(dict.fromkeys(ids))
    if not ids:
        raise ValueError("forget needs the ids of what is to be forgotten")
    with writing(index, facts) as writer:
        catalog = writer.catalog
        listed = _listed(root)
        known = {summary.id for summary in catalog.summaries()}
        _check(ids, listed=listed, known={*known, *catalog.vanished()}, ignore=ignore)
        ignored = folder.leave_out(root, [id_ for id_ in ids if id_ in listed])
        indexed = [id_ for id_ in ids if id_ in known]
        texts = [text for id_ in indexed for text in _texts(catalog.document(id_))]
        reembedding = succession.unfinished(index)
        succession.abandon(index)
        vectors = writer.forget(indexed)
        searched = _search(index, texts)
        if not searched.found:
            catalog.forget_vanished()
    return ForgetReport(
        ids=ids,
        ignored=ignored,
        unknown=tuple(id_ for id_ in ids if id_ not in known),
        vectors=vectors,
        reembedding=reembedding,
        runs=searched.runs,
        files=searched.files,
        size_bytes=searched.size_bytes,
        found=searched.found,
        seconds=time.perf_counter() - started,
    )


def _listed(root: Path) -> Collection[str]:
    """Name the files that a sync would index."""
    listing = folder.list_files(root, is_supported=loaders.is_supported)
    return {file.id for file in listing.files}


def _check(
    ids: Sequence[str], *, listed: Collection[str], known: Collection[str], ignore: bool
) -> None:
    for id_ in ids:
        if id_ not in known and id_ not in listed:
            near = difflib.get_close_matches(id_, sorted(known), n=1, cutoff=0)
            hint = f"; the nearest is {near[0]!r}" if near else "; the corpus is empty"
            message = f"there is no document {id_!r}, and none of this name was removed{hint}"
            raise ValueError(message)
        if id_ in listed and not ignore:
            message = (
                f"{id_!r} still lies in the folder, and the next sync would index it again; delete "
                "the file, or keep it and have it left out: --ignore, in Python ignore=True"
            )
            raise ValueError(message)


def _texts(document: Document | None) -> list[str]:
    """List what of a document must not be found again."""
    if document is None:
        return []
    return [document.text, document.title, *(str(value) for _, value in document.metadata)]


def _search(index: Path, texts: Sequence[str]) -> erasure.Searched:
    try:
        return child.call(erasure.search, index, texts)
    except CopyFailed as error:
        message = (
            f"everything was removed, but the files of {index} could not be searched for what is "
            f"left: {error}; forget it again"
        )
        raise CorpusError(message, path=str(index)) from error
