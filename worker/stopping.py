"""Graceful stop: a worker process finishes what it has begun, and begins nothing new."""

import signal
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from threading import Thread
from typing import Any

from worker import deadline

GRACE = timedelta(seconds=8)
"""Time for exchanges in progress; then they are aborted."""
RECORDING_TIME = timedelta(seconds=4)
"""Time for recording aborted exchanges."""
POLL_INTERVAL = 0.05
"""Seconds between checks whether all threads have ended."""


class Stopping:
    """The stop state of this process, and the threads that have to end first."""

    def __init__(self) -> None:
        self._requested_at: float | None = None
        self._threads: set[Thread] = set()

    def request(self) -> None:
        """Request the stop. Safe in a signal handler: it takes no lock."""
        if self._requested_at is None:
            self._requested_at = time.monotonic()

    @property
    def is_requested(self) -> bool:
        """Whether a stop was requested."""
        return self._requested_at is not None

    def abort_late_exchanges(self) -> bool:
        """Abort exchanges that are still in progress after the grace period.

        Returns:
            Whether the grace period is over.
        """
        is_late = self._requested_at is not None and time.monotonic() > self._requested_at + GRACE.total_seconds()
        if is_late:
            deadline.abort_all()
        return is_late

    def start(self, work: Callable[..., object], *arguments: Any) -> None:
        """Run a function in a thread that `wait` waits for."""

        def run() -> None:
            try:
                work(*arguments)
            finally:
                self._threads.discard(threading.current_thread())

        thread = Thread(target=run, daemon=True)
        self._threads.add(thread)
        # Block signals in the thread: the main thread would sleep on if the kernel delivered them elsewhere.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
        try:
            thread.start()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)

    def wait(self) -> None:
        """Wait until all threads have ended or their time is up."""
        self.request()
        until = time.monotonic() + (GRACE + RECORDING_TIME).total_seconds()
        while self._threads and time.monotonic() < until:
            self.abort_late_exchanges()
            time.sleep(POLL_INTERVAL)


stopping = Stopping()
"""The stop state of this process."""
