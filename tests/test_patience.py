"""A server that fails is asked again as long as that may help, and no longer."""

import os
import signal
import threading
import time
from collections import deque
from collections.abc import Callable

import pytest

from rag.errors import ProviderError, ProviderTimeout, RateLimited
from rag.interrupts import deferred
from rag.patience import Patience

Told = list[tuple[str, int]]
DOWN = ProviderError("overloaded", provider="test", status=503, retryable=True)
AWAY = ProviderTimeout("no reply", provider="test", retryable=True)
REFUSED = ProviderError("the key", provider="test", status=401)


def rate_limited(retry_after_s: float | None) -> RateLimited:
    return RateLimited("slow down", provider="test", retry_after_s=retry_after_s)


def answers(*replies: str | ProviderError) -> Callable[[], str]:
    """Answer one after the other, the last for good."""
    waiting = deque(replies)

    def ask() -> str:
        reply = waiting.popleft() if len(waiting) > 1 else waiting[0]
        if isinstance(reply, ProviderError):
            raise reply
        return reply

    return ask


def asked(limit_s: float, *questions: Callable[[], str]) -> tuple[str | None, Told]:
    """Ask one after the other; returns the last answer, and what was told of waiting."""
    told: Told = []
    answer = None
    with deferred() as interrupts:
        patience = Patience(
            limit_s,
            interrupts=interrupts,
            tell=lambda error, left_s: told.append((str(error), round(left_s))),
        )
        for question in questions:
            answer = patience.ask(question)
    return answer, told


def test_a_server_is_waited_for_as_long_as_it_says() -> None:
    started = time.monotonic()
    answer, told = asked(60, answers(rate_limited(1.2), rate_limited(0.1), "served"))
    assert time.monotonic() - started >= 1.3
    assert answer == "served"
    assert told == [("slow down", 1), ("slow down", 0), ("slow down", 0)]


def test_without_a_time_it_is_asked_again_after_two_seconds() -> None:
    answer, told = asked(60, answers(rate_limited(None), "served"))
    assert (answer, told) == ("served", [("slow down", 2), ("slow down", 1)])


def test_patience_ends_and_the_last_error_is_final() -> None:
    with pytest.raises(RateLimited):
        asked(0.3, answers(rate_limited(0.1)))


def test_who_asks_for_more_patience_than_there_is_gets_none() -> None:
    told: Told = []
    with deferred() as interrupts:
        patience = Patience(60, interrupts=interrupts, tell=lambda *wait: told.append(("", 0)))
        with pytest.raises(RateLimited):
            patience.ask(answers(rate_limited(3600)))
    assert told == []


def test_no_patience_asks_once() -> None:
    with pytest.raises(RateLimited):
        asked(0, answers(rate_limited(0), "served"))


@pytest.mark.parametrize("error", [DOWN, AWAY], ids=["503", "unreachable"])
def test_a_server_that_never_answered_is_not_waited_for(error: ProviderError) -> None:
    with pytest.raises(ProviderError) as raised:
        asked(60, answers(error, "served"))
    assert raised.value is error


@pytest.mark.parametrize("error", [DOWN, AWAY], ids=["503", "unreachable"])
def test_a_server_that_has_answered_is_waited_for(error: ProviderError) -> None:
    assert asked(60, answers("first"), answers(error, "second"))[0] == "second"


def test_what_will_not_pass_is_not_waited_for() -> None:
    with pytest.raises(ProviderError, match="the key"):
        asked(60, answers("first"), answers(REFUSED, "second"))


def test_each_outage_has_the_whole_patience() -> None:
    outage = [rate_limited(0.3), rate_limited(0.3)]
    assert asked(1, *[answers(*outage, "served") for _ in range(3)])[0] == "served"


def test_a_wait_can_be_interrupted() -> None:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    answer: list[str | None] = []

    def wait() -> None:
        with deferred() as interrupts:
            patience = Patience(3600, interrupts=interrupts, tell=lambda error, left_s: None)
            answer.append(patience.ask(answers(rate_limited(600))))

    threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()
    try:
        with pytest.raises(KeyboardInterrupt):
            wait()
    finally:
        signal.signal(signal.SIGINT, before)
    assert answer == [None]
