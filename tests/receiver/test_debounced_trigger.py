"""The ringer: one alone rings at once, a rush rings seldom, and no commit goes unheard."""

import threading
import time
from datetime import timedelta

from receiver.debounced_trigger import DebouncedTrigger
from runtime.queue import QueueName

TIMEOUT_SECONDS = 20
LONG = timedelta(seconds=1)


class FakeQueue:
    """Says how often it was rung."""

    def __init__(self) -> None:
        self.triggered: list[QueueName] = []

    def trigger_drain(self, queue_name: QueueName) -> bool:
        self.triggered.append(queue_name)
        return True


def test_a_single_trigger_is_sent_before_it_returns() -> None:
    job_queue = FakeQueue()
    DebouncedTrigger(job_queue, "inbox").trigger_drain()  # type: ignore[arg-type]
    assert job_queue.triggered == ["inbox"]


def test_a_burst_shares_one_trigger_that_comes_after_all_of_it() -> None:
    job_queue = FakeQueue()
    debounced_trigger = DebouncedTrigger(job_queue, "inbox", LONG)  # type: ignore[arg-type]
    for _ in range(50):
        debounced_trigger.trigger_drain()
    assert len(job_queue.triggered) == 1
    debounced_trigger.flush()
    assert len(job_queue.triggered) == 2


def test_a_commit_during_a_trigger_triggers_again() -> None:
    entered, leave = threading.Event(), threading.Event()

    class SlowQueue(FakeQueue):
        def trigger_drain(self, queue_name: QueueName) -> bool:
            entered.set()
            assert leave.wait(TIMEOUT_SECONDS)
            return super().trigger_drain(queue_name)

    job_queue = SlowQueue()
    debounced_trigger = DebouncedTrigger(job_queue, "inbox", timedelta(milliseconds=1))  # type: ignore[arg-type]
    first = threading.Thread(target=debounced_trigger.trigger_drain)
    first.start()
    assert entered.wait(TIMEOUT_SECONDS)
    time.sleep(0.01)
    second = threading.Thread(target=debounced_trigger.trigger_drain)
    second.start()
    leave.set()
    for thread in (first, second):
        thread.join(TIMEOUT_SECONDS)
    debounced_trigger.flush()
    assert len(job_queue.triggered) == 2


def test_after_the_interval_it_triggers_at_once_again() -> None:
    job_queue = FakeQueue()
    debounced_trigger = DebouncedTrigger(job_queue, "inbox", timedelta(0))  # type: ignore[arg-type]
    for _ in range(3):
        debounced_trigger.trigger_drain()
    assert len(job_queue.triggered) == 3
