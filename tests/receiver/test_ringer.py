"""The ringer: one alone rings at once, a rush rings seldom, and no commit goes unheard."""

import threading
import time
from datetime import timedelta

from receiver.ringer import DebouncedTrigger
from runtime.queue import QueueName

PATIENCE_SECONDS = 20
LONG = timedelta(seconds=1)


class Bell:
    """Says how often it was rung."""

    def __init__(self) -> None:
        self.rung: list[QueueName] = []

    def ring(self, box: QueueName) -> bool:
        self.rung.append(box)
        return True


def test_one_alone_rings_before_it_returns() -> None:
    bell = Bell()
    DebouncedTrigger(bell, "inbox").ring()  # type: ignore[arg-type]
    assert bell.rung == ["inbox"]


def test_those_who_come_in_a_rush_share_one_ring_that_comes_after_all_of_them() -> None:
    bell = Bell()
    ringer = DebouncedTrigger(bell, "inbox", LONG)  # type: ignore[arg-type]
    for _ in range(50):
        ringer.ring()
    assert len(bell.rung) == 1
    ringer.settle()
    assert len(bell.rung) == 2


def test_who_commits_while_the_bell_is_ringing_is_rung_for_again() -> None:
    entered, leave = threading.Event(), threading.Event()

    class SlowBell(Bell):
        def ring(self, box: QueueName) -> bool:
            entered.set()
            assert leave.wait(PATIENCE_SECONDS)
            return super().ring(box)

    bell = SlowBell()
    ringer = DebouncedTrigger(bell, "inbox", timedelta(milliseconds=1))  # type: ignore[arg-type]
    first = threading.Thread(target=ringer.ring)
    first.start()
    assert entered.wait(PATIENCE_SECONDS)
    time.sleep(0.01)
    second = threading.Thread(target=ringer.ring)
    second.start()
    leave.set()
    for thread in (first, second):
        thread.join(PATIENCE_SECONDS)
    ringer.settle()
    assert len(bell.rung) == 2


def test_after_the_rest_it_rings_at_once_again() -> None:
    bell = Bell()
    ringer = DebouncedTrigger(bell, "inbox", timedelta(0))  # type: ignore[arg-type]
    for _ in range(3):
        ringer.ring()
    assert len(bell.rung) == 3
