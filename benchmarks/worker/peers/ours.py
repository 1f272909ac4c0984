"""Ours: the deliveries are already stored, so one trigger is enough."""

from collections.abc import Sequence

from runtime.queue import JobQueue
from worker.settings import WorkerSettings


def enqueue(_ids: Sequence[str]) -> None:
    """Trigger the worker."""
    with WorkerSettings.load().redis() as redis:
        JobQueue(redis).trigger_drain("inbox")
