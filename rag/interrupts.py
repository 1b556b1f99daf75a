"""Ctrl-C and SIGTERM, put off until the work in hand is kept.

The first signal is only remembered: the work asks now and then whether one came, and stops
where nothing is lost. A second one does at once what it would have done without this module;
where none comes and the work hangs, at a server for instance, one is sent after ten seconds.
What a signal does in the end, its own handler decides: Python's raises ``KeyboardInterrupt``.
Where a signal has no handler of Python's (SIGTERM, unless a program sets one), and outside of
the main thread, which alone gets signals, nothing changes.
"""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
PATIENCE_S = 10.0
"""A slice of a sync takes two to three seconds, and Docker kills what has not ended by then."""
_Handler = Callable[[int, FrameType | None], object]


class Interrupts:
    """The signal that came, if one did; made by `deferred`.

    Attributes
    ----------
    asked : whether the work was asked to stop.
    """

    def __init__(self, handlers: dict[int, _Handler]) -> None:
        self.asked = False
        self._handlers = handlers
        self._came: int | None = None
        self._timer: threading.Timer | None = None

    def remember(self, number: int, frame: FrameType | None) -> None:
        """Note the first signal, and let the second do what it does."""
        if self.asked:
            self.restore()
            self._came = None
            self._handlers[number](number, frame)
        self.asked, self._came = True, number
        main = threading.get_ident()
        self._timer = threading.Timer(PATIENCE_S, signal.pthread_kill, (main, number))
        self._timer.daemon = True
        self._timer.start()

    def check(self) -> None:
        """Stop here, if that was asked: call the handler of the signal that came.

        Raises
        ------
        KeyboardInterrupt
            Or whatever else the handler raises; where it returns, the work goes on.
        """
        if self._came is not None:
            number, self._came = self._came, None
            self.restore()
            self._handlers[number](number, None)
            self.asked = False

    def restore(self) -> None:
        """Let every signal do at once what it did before."""
        if self._timer is not None:
            self._timer.cancel()
        for number, handler in self._handlers.items():
            signal.signal(number, handler)


_current: Interrupts | None = None


def asked() -> bool:
    """Whether the work of this process was asked to stop and has not stopped yet."""
    return _current is not None and _current.asked


@contextmanager
def deferred() -> Iterator[Interrupts]:
    """Put Ctrl-C and SIGTERM off; one that was not obeyed inside is obeyed at the end."""
    global _current  # noqa: PLW0603 - signals belong to the process, and so does this
    handlers: dict[int, _Handler] = {}
    if threading.current_thread() is threading.main_thread():
        found = {number: signal.getsignal(number) for number in _SIGNALS}
        handlers = {number: handler for number, handler in found.items() if callable(handler)}
    interrupts = Interrupts(handlers)
    if handlers:
        _current = interrupts
    for number in handlers:
        signal.signal(number, interrupts.remember)
    try:
        yield interrupts
    finally:
        if _current is interrupts:
            _current = None
        interrupts.restore()
        interrupts.check()
