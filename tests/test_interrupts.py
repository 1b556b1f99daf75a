"""The first signal waits for the work in hand, the second does not."""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from rag.interrupts import Interrupts, asked, deferred
from tests.index.samples import start


@pytest.fixture(autouse=True)
def _handlers() -> Iterator[None]:
    """Give both signals Python's handlers, and back what they had."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def interrupt(number: int = signal.SIGINT) -> None:
    os.kill(os.getpid(), number)
    time.sleep(0.01)  # The system hands it over at the next step of the interpreter.


def run(work: Callable[[Interrupts], object]) -> None:
    with deferred() as interrupts:
        work(interrupts)


def test_the_first_ctrl_c_waits_until_the_work_asks_for_it() -> None:
    done = []

    def work(interrupts: Interrupts) -> None:
        assert not interrupts.asked
        interrupt()
        assert interrupts.asked
        assert asked()
        done.append("kept")
        interrupts.check()
        done.append("not reached")

    with pytest.raises(KeyboardInterrupt):
        run(work)
    assert done == ["kept"]
    assert not asked()


def test_the_second_ctrl_c_stops_at_once() -> None:
    done = []

    def work(_: Interrupts) -> None:
        interrupt()
        done.append("the first is put off")
        interrupt()
        done.append("not reached")

    with pytest.raises(KeyboardInterrupt):
        run(work)
    assert done == ["the first is put off"]


def test_one_that_comes_after_the_last_look_is_obeyed_at_the_end() -> None:
    done = []

    def work(_: Interrupts) -> None:
        interrupt()
        done.append("all of it")

    with pytest.raises(KeyboardInterrupt):
        run(work)
    assert done == ["all of it"]


def test_one_that_comes_before_an_error_is_not_forgotten_for_it() -> None:
    def work(_: Interrupts) -> None:
        interrupt()
        raise OSError("the disk is full")

    with pytest.raises(KeyboardInterrupt) as stopped:
        run(work)
    assert isinstance(stopped.value.__context__, OSError)


def test_while_what_was_obeyed_is_tidied_up_the_next_one_stops_at_once() -> None:
    done: list[str] = []

    def work(interrupts: Interrupts) -> None:
        interrupt()
        try:
            interrupts.check()
        finally:
            interrupt()
            done.append("not reached")

    with pytest.raises(KeyboardInterrupt):
        run(work)
    assert done == []


def test_without_a_signal_nothing_happens_and_the_handlers_are_given_back() -> None:
    before = signal.getsignal(signal.SIGINT)
    with deferred() as interrupts:
        interrupts.check()
        assert signal.getsignal(signal.SIGINT) != before
    assert signal.getsignal(signal.SIGINT) == before


def test_a_signal_ends_as_its_own_handler_says() -> None:
    class Ended(Exception):
        pass

    def end(number: int, frame: object) -> None:
        raise Ended(number)

    signal.signal(signal.SIGTERM, end)
    with pytest.raises(Ended, match="15"):
        run(lambda _: interrupt(signal.SIGTERM))


def test_where_the_handler_wants_no_stop_the_work_goes_on() -> None:
    came = []
    signal.signal(signal.SIGINT, lambda number, frame: came.append(number))
    with deferred() as interrupts:
        interrupt()
        assert (interrupts.asked, came) == (True, [])
        interrupts.check()
        assert (interrupts.asked, came) == (False, [signal.SIGINT])
        interrupt()
        assert came == [signal.SIGINT] * 2


def test_a_signal_that_is_ignored_or_left_to_the_system_stays_so() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    with deferred() as interrupts:
        assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
        interrupt()
        assert not interrupts.asked


def test_in_another_thread_nothing_is_put_off() -> None:
    found = []

    def work() -> None:
        with deferred() as interrupts:
            found.append((signal.getsignal(signal.SIGINT), interrupts.asked, asked()))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found == [(signal.default_int_handler, False, False)]


@pytest.mark.slow
def test_work_that_hangs_is_stopped_after_ten_seconds() -> None:
    code = """
import time
from rag.interrupts import deferred
with deferred():
    print("ready", flush=True)
    time.sleep(60)
"""
    child = start(code)
    assert child.stdout is not None
    assert child.stdout.readline() == "ready\n"
    started = time.monotonic()
    child.send_signal(signal.SIGINT)
    _, err = child.communicate(timeout=40)
    assert time.monotonic() - started >= 10
    assert err.endswith("KeyboardInterrupt\n")
