"""An index is made anew beside the one that answers, and then takes its place.

It gathers in a folder of its own inside the index's, as an index like any other: whatever
stops the work, what was written there is kept, and the next run goes on from it. At the end
its copies move into the old one's folder, and one transaction of the old catalog takes its
chunks and vectors over. A reader sees the old index or the new one, never both.
"""

import shutil
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from rag.errors import CorpusMismatch, CorpusNotFound
from rag.index.catalog import FILE_NAME, Catalog
from rag.index.database import translated
from rag.index.writer import Writer

NEXT = "next"
"""The folder of an index that is being made, inside the one that answers."""
_DROPPED = "next-dropped"


@contextmanager
def succeeding(writer: Writer, facts: Mapping[str, str]) -> Iterator[Writer]:
    """Make the index that takes another's place when the block is left without an exception.

    Parameters
    ----------
    writer : of the old index; nothing is written to it until the end.
    facts : what shapes the new one. What an earlier run has made by the same is gone on with,
        anything else is dropped.

    Yields
    ------
    Writer
        Of the new index. The block has to bring its documents level with the old one's.

    Raises
    ------
    CorpusError
        The disk is full, or what an earlier run has made is damaged; the old index answers.
    """
    root = writer.catalog.path.parent
    folder = root / NEXT
    if _facts(folder, facts) != dict(facts):
        abandon(root)
    with translated(folder / FILE_NAME):
        folder.mkdir(exist_ok=True)
    with closing(Catalog(folder, write=True)) as catalog:
        if _facts(folder, facts) != dict(facts):
            _begin(catalog, writer.catalog, facts)
        following = Writer(folder, catalog)
        following.sweep()
        yield following
        following.finish()
    writer.take_over(folder, facts)
    abandon(root)


def _begin(new: Catalog, old: Catalog, facts: Mapping[str, str]) -> None:
    """Begin with the vectors of the same embedder, if the old index has them."""
    if all(old.get(key) == facts.get(key) for key in ("embedder", "revision")):
        new.borrow_vectors(old.path.parent)
    new.set(**facts)


def abandon(root: Path) -> None:
    """Delete the index that was being made inside another's folder, if there is one."""
    folder, dropped = root / NEXT, root / _DROPPED
    with translated(folder / FILE_NAME):
        # Half deleted it would be damaged, so it goes at once, under another name.
        shutil.rmtree(dropped, ignore_errors=True)
        with suppress(FileNotFoundError):
            folder.rename(dropped)
        shutil.rmtree(dropped, ignore_errors=True)


def unfinished(root: Path) -> str | None:
    """Tell the embedder of the index that is being made inside another's folder, if one is."""
    return _facts(root / NEXT, {"embedder": ""}).get("embedder")


def _facts(folder: Path, keys: Mapping[str, str]) -> dict[str, str | None]:
    """Read what shapes an unfinished index; nothing where there is none that can be used."""
    try:
        catalog = Catalog(folder, write=False)
    except (CorpusNotFound, CorpusMismatch):
        return {}
    with closing(catalog):
        return {key: catalog.get(key) for key in keys}
