"""The ringer: rings at once, but not for every commit of a rush. A ring costs as much as storing several deliveries."""

import time
from datetime import timedelta
from threading import Lock, Timer

from runtime.queue import JobQueue, QueueName

MIN_INTERVAL = timedelta(milliseconds=20)
"""Between two rings, and so the longest that a worker hears of a delivery later."""


class DebouncedTrigger:
    """Rings after commits.

    Args:
        bell: what to ring.
        box: whose workers to wake.
        rest: between two rings.
    """

    def __init__(self, bell: JobQueue, box: QueueName, rest: timedelta = MIN_INTERVAL) -> None:
        self._bell, self._box, self._rest = bell, box, rest.total_seconds()
        self._lock = Lock()
        self._last = -self._rest
        self._is_coming = False
        self._timer: Timer | None = None

    def ring(self) -> None:
        """Rings now; if it just did, then when the rest is over, once for all who want it until then. Never raises."""
        with self._lock:
            if self._is_coming:
                return
            wait = self._last + self._rest - time.monotonic()
            self._is_coming = wait > 0
        if wait > 0:
            self._timer = Timer(wait, self._ring)
            self._timer.start()
        else:
            self._ring()

    def settle(self) -> None:
        """Waits until whoever asked was rung for."""
        if self._timer:
            self._timer.join()

    def _ring(self) -> None:
        """Whoever commits from now on has to ask again."""
        with self._lock:
            self._is_coming, self._last = False, time.monotonic()
        self._bell.ring(self._box)
