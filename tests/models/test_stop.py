"""Stop: whoever asks is heard, wherever the signal struck."""

import random
import signal
import threading
from collections.abc import Iterator

import pytest

from runtime.stop_signal import Stop

PATIENCE_SECONDS = 20
TIMES = 1_000


@pytest.fixture
def alarm() -> Iterator[None]:
    before = signal.getsignal(signal.SIGALRM)
    yield
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


@pytest.mark.usefixtures("alarm")
def test_a_signal_is_heard_whenever_it_comes() -> None:
    """With an Event this never ends."""
    dice = random.Random(7)
    for _ in range(TIMES):
        stop = Stop()
        signal.signal(signal.SIGALRM, lambda *_, stop=stop: stop.set())
        signal.setitimer(signal.ITIMER_REAL, dice.uniform(1e-6, 5e-5))
        assert stop.wait(PATIENCE_SECONDS)


def test_it_stays_set_and_everybody_hears_of_it() -> None:
    stop = Stop()
    assert not stop.is_set()
    assert not stop.wait(0.01)
    waiting = [threading.Thread(target=stop.wait) for _ in range(3)]
    for thread in waiting:
        thread.start()
    stop.set()
    for thread in waiting:
        thread.join(PATIENCE_SECONDS)
    assert not any(thread.is_alive() for thread in waiting)
    assert stop.is_set()
    assert stop.wait()


def test_asking_more_often_than_anybody_listens_does_no_harm() -> None:
    stop = Stop()
    for _ in range(100_000):
        stop.set()
    assert stop.is_set()
