"""A folder is watched: whoever waits is told when something in it has changed and come to rest.

Watching begins before the first sync, so that nothing that changes meanwhile is missed. What a
sync leaves out starts none: the index itself above all, which every sync writes.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

from rag import interrupts
from rag.documents import folder
from rag.errors import CorpusError

_REST_MS = 300
"""So long nothing may have changed: an editor saves by several steps, a copy takes a while."""
_LONGEST_MS = 5_000
"""A folder that never comes to rest is synced so often."""
_LOOK_MS = 500
"""So soon a wait notices that its time is over."""
Wait = Callable[[float | None], None]


class _Stop:
    """What ends the watching, as watchfiles wants to ask it."""

    def is_set(self) -> bool:
        return interrupts.asked()


@contextmanager
def watching(root: Path) -> Iterator[Wait]:
    """Watch a corpus folder.

    Yields
    ------
    callable
        ``wait(timeout_s)`` returns when something has changed since the last call, or after so
        many seconds; None: however long that takes. Ctrl-C ends it.

    Raises
    ------
    CorpusError
        The system cannot watch the folder.
    """
    import watchfiles  # noqa: PLC0415 - only who watches needs it

    try:
        changes = watchfiles.watch(
            root,
            watch_filter=None,
            debounce=_LONGEST_MS,
            step=_REST_MS,
            rust_timeout=_LOOK_MS,
            yield_on_timeout=True,
            stop_event=_Stop(),
            debug=False,
            ignore_permission_denied=True,
        )
        next(changes)
    except (OSError, RuntimeError) as error:
        message = (
            f"{root} cannot be watched: {error}; where the system has a limit of watched folders, "
            "raise it (fs.inotify.max_user_watches), or set WATCHFILES_FORCE_POLLING=1"
        )
        raise CorpusError(message, path=str(root)) from error

    def wait(timeout_s: float | None) -> None:
        started = time.monotonic()
        with interrupts.deferred():
            for changed in changes:
                over = timeout_s is not None and time.monotonic() - started > timeout_s
                if over or _is_any_wanted(root, [path for _, path in changed]):
                    return

    with closing(changes):
        yield wait


def _is_any_wanted(root: Path, paths: Sequence[str]) -> bool:
    """Whether a sync may find something new at one of the paths."""
    names = [Path(path).relative_to(root).as_posix() for path in paths]
    if folder.IGNORE_FILE in names:
        return True
    try:
        left_out = folder.left_out(root)
    except CorpusError:  # The sync itself says what is wrong with the patterns.
        return bool(names)
    return not all(map(left_out, names))
