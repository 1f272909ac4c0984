"""A debounced trigger: wakes a worker at once, but not for every commit of a burst.

One trigger costs as much as storing several deliveries.
"""

import time
from datetime import timedelta
from threading import Lock, Timer

from runtime.queue import JobQueue, QueueName

MIN_INTERVAL = timedelta(milliseconds=20)
"""Minimum time between two triggers, and so the longest delay that debouncing adds."""


class DebouncedTrigger:
    """Triggers a drain job after commits.

    Args:
        job_queue: enqueues the drain job.
        queue_name: the queue to drain.
        min_interval: minimum time between two triggers.
    """

    def __init__(self, job_queue: JobQueue, queue_name: QueueName, min_interval: timedelta = MIN_INTERVAL) -> None:
        self._job_queue, self._queue_name, self._min_interval = job_queue, queue_name, min_interval.total_seconds()
        self._lock = Lock()
        self._last_triggered = -self._min_interval
        self._is_scheduled = False
        self._timer: Timer | None = None

    def trigger_drain(self) -> None:
        """Trigger now, or once at the end of the interval if a trigger was just sent. Never raises."""
        with self._lock:
            if self._is_scheduled:
                return
            now = time.monotonic()
            wait = self._last_triggered + self._min_interval - now
            self._is_scheduled = wait > 0
            if not self._is_scheduled:
                self._last_triggered = now
        if wait > 0:
            self._timer = Timer(wait, self._trigger_late)
            self._timer.start()
        else:
            self._job_queue.trigger_drain(self._queue_name)

    def flush(self) -> None:
        """Wait for a scheduled trigger to be sent."""
        if self._timer:
            self._timer.join()

    def _trigger_late(self) -> None:
        """Send the trigger. The flag is cleared first, so that a later commit schedules another one."""
        with self._lock:
            self._is_scheduled, self._last_triggered = False, time.monotonic()
        self._job_queue.trigger_drain(self._queue_name)
