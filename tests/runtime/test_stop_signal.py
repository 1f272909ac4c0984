"""The stop event: no request is lost, wherever the signal arrives."""

import random
import signal
import threading
from collections.abc import Iterator

import pytest

from runtime.process import stop_signal
from runtime.process.stop_signal import StopEvent

TIMEOUT_SECONDS = 60
TIMES = 100


@pytest.fixture
def restored_sigalrm() -> Iterator[None]:
    before = signal.getsignal(signal.SIGALRM)
    yield
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


@pytest.mark.usefixtures("restored_sigalrm")
def test_no_signal_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    """With an Event this never ends."""
    monkeypatch.setattr(stop_signal, "MAX_DELAY_SECONDS", 0.01)
    rng = random.Random(7)
    for _ in range(TIMES):
        stop = StopEvent()
        signal.signal(signal.SIGALRM, lambda *_, stop=stop: stop.set())
        signal.setitimer(signal.ITIMER_REAL, rng.uniform(1e-6, 5e-3))
        assert stop.wait(TIMEOUT_SECONDS)


def test_it_stays_set_and_wakes_every_waiter() -> None:
    stop = StopEvent()
    assert not stop.is_set()
    assert not stop.wait(0.01)
    threads = [threading.Thread(target=stop.wait) for _ in range(3)]
    for thread in threads:
        thread.start()
    stop.set()
    for thread in threads:
        thread.join(TIMEOUT_SECONDS)
    assert not any(thread.is_alive() for thread in threads)
    assert stop.is_set()
    assert stop.wait()
