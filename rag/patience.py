"""A server that fails is asked again: when it says, or after growing pauses.

A server that asks for patience (429) is waited for. So is one that fails otherwise in a way
that may pass (overloaded, out of reach), but only once it has answered: one that never did is
more likely at another address than tired. An embedder's own few repetitions come before.
"""

import time
from collections.abc import Callable
from typing import TypeVar

from rag.errors import ProviderError, RateLimited
from rag.interrupts import Interrupts

FIRST_PAUSE_S, LONGEST_PAUSE_S = 2.0, 60.0
"""Pauses double where the server names none: the embedder has waited some seconds already,
and rates are commonly counted by the minute."""
_STEP_S = 0.2
"""So soon a wait notices that it shall end."""

T = TypeVar("T")
OnWait = Callable[[ProviderError, float], None]


class Patience:
    """How long a server is waited for.

    Parameters
    ----------
    limit_s : after so many seconds in a row without an answer its error is final; 0: at once.
    interrupts : end a wait.
    tell : called at least every second of a wait, with the error and the seconds left.
    """

    def __init__(self, limit_s: float, *, interrupts: Interrupts, tell: OnWait) -> None:
        self._limit_s = limit_s
        self._interrupts = interrupts
        self._tell = tell
        self._served = False

    def ask(self, question: Callable[[], T]) -> T | None:
        """Ask until there is an answer.

        Returns
        -------
        T or None
            None: the wait was interrupted.

        Raises
        ------
        ProviderError
            It will not pass, or patience is at its end.
        """
        started, pause_s = time.monotonic(), FIRST_PAUSE_S
        while True:
            try:
                answer = question()
            except ProviderError as error:
                left_s = started + self._limit_s - time.monotonic()
                wait_s = self._wait_s(error, pause_s, left_s)
                if wait_s is None:
                    raise
                self._wait(error, wait_s)
                pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
            else:
                self._served = True
                return answer
            if self._interrupts.asked:
                return None

    def _wait_s(self, error: ProviderError, pause_s: float, left_s: float) -> float | None:
        """Tell how long to wait; None: not at all."""
        asks = isinstance(error, RateLimited)
        if left_s <= 0 or not error.retryable or not (asks or self._served):
            return None
        asked_s = error.retry_after_s if isinstance(error, RateLimited) else None
        if asked_s is None:
            return min(pause_s, left_s)
        return asked_s if asked_s <= left_s else None

    def _wait(self, error: ProviderError, wait_s: float) -> None:
        end, told = time.monotonic() + wait_s, float("inf")
        while (left_s := end - time.monotonic()) > 0 and not self._interrupts.asked:
            if told - left_s >= 1:
                self._tell(error, left_s)
                told = left_s
            time.sleep(min(_STEP_S, left_s))
