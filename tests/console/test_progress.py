"""The throttle keeps its rate, and stops on request."""

import os
import signal
from collections.abc import Iterator
from threading import Event

import pytest
from click import BadParameter

from console.cli.progress import RateParam, stop_on_interrupt
from operations.replay.throttle import Throttle


class Clock:
    """A clock that advances only during sleep and work."""

    def __init__(self) -> None:
        self.now = 100.0

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize(("typed", "per_second"), [("50/s", 50), ("90/m", 1.5), ("1800/h", 0.5)])
def test_a_rate_is_a_number_per_unit_of_time(typed: str, per_second: float) -> None:
    assert RateParam().convert(typed, None, None) == per_second


@pytest.mark.parametrize("typed", ["50", "x/s", "-1/s", "0/s", "5/d", "5 /s", "1.5/s", ""])
def test_anything_else_is_not_a_rate(typed: str) -> None:
    with pytest.raises(BadParameter, match="write 50/s"):
        RateParam().convert(typed, None, None)


@pytest.mark.parametrize("per_second", [0.5, 1, 7, 50, 1000])
def test_the_rate_is_not_exceeded(per_second: float) -> None:
    clock = Clock()
    pace = Throttle(per_second, clock.sleep, clock)
    gone = 0
    while gone < 1000:
        pace.wait_for(pace.chunk_size)
        assert gone <= (clock.now - 100) * per_second + 1e-6
        gone += pace.chunk_size
    assert clock.now - 100 == pytest.approx((gone - pace.chunk_size) / per_second)


def test_the_duration_of_the_work_counts_towards_the_wait() -> None:
    clock = Clock()
    pace = Throttle(10, clock.sleep, clock)
    pace.wait_for(10)
    clock.now += 5
    pace.wait_for(10)
    assert clock.now == 105


def test_without_a_rate_there_is_no_wait() -> None:
    pace = Throttle(None, pytest.fail)
    pace.wait_for(1_000_000)
    assert pace.chunk_size == 100


@pytest.fixture
def ctrl_c() -> Iterator[None]:
    """Default signal handlers: workers of other tests have left theirs."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("ctrl_c")
def test_ctrl_c_requests_a_stop_and_a_second_one_interrupts() -> None:
    with stop_on_interrupt() as stop:
        os.kill(os.getpid(), signal.SIGINT)
        assert stop.wait(60)
        with pytest.raises(KeyboardInterrupt):
            _interrupt()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def _interrupt() -> None:
    os.kill(os.getpid(), signal.SIGINT)
    Event().wait(60)
