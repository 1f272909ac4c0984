"""Stopping: a worker process that was asked to stop ends what it has begun, and begins nothing more."""

import signal
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from threading import Thread
from typing import Any

from worker import deadline

GRACE = timedelta(seconds=8)
"""For exchanges that are under way; then they are ended."""
RECORDING_TIME = timedelta(seconds=4)
"""For what was ended to be written down."""
POLL_INTERVAL = 0.05
"""Seconds between two looks whether all has ended."""


class Stopping:
    """Whether this process was asked to stop, and its threads that have to end first."""

    def __init__(self) -> None:
        self._requested_at: float | None = None
        self._threads: set[Thread] = set()

    def request(self) -> None:
        """Asks. A signal's handler may do it: it takes no lock."""
        if self._requested_at is None:
            self._requested_at = time.monotonic()

    @property
    def is_requested(self) -> bool:
        """Whether somebody asked."""
        return self._requested_at is not None

    def abort_late_exchanges(self) -> bool:
        """Ends what is still under way after the grace.

        Returns:
            Whether the time for it has come.
        """
        is_late = self._requested_at is not None and time.monotonic() > self._requested_at + GRACE.total_seconds()
        if is_late:
            deadline.abort_all()
        return is_late

    def start(self, work: Callable[..., object], *arguments: Any) -> None:
        """Does something in a thread, for which `wait` waits."""

        def run() -> None:
            try:
                work(*arguments)
            finally:
                self._threads.discard(threading.current_thread())

        thread = Thread(target=run, daemon=True)
        self._threads.add(thread)
        # Signals are for the main thread, which would sleep on if the kernel gave them to another.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
        try:
            thread.start()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)

    def wait(self) -> None:
        """Returns when all threads have ended, or when they had their time."""
        self.request()
        until = time.monotonic() + (GRACE + RECORDING_TIME).total_seconds()
        while self._threads and time.monotonic() < until:
            self.abort_late_exchanges()
            time.sleep(POLL_INTERVAL)


stopping = Stopping()
"""Of this process."""
