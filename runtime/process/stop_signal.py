"""A stop event that signal handlers can set."""

import math
import os
import select
import time
from contextlib import suppress

MAX_SIGNAL_DELAY_SECONDS = 0.25
"""A signal that comes just before its thread falls asleep is handled when that wakes up."""


class StopEvent:
    """Like `threading.Event`, but a signal handler may set it even if it interrupted `wait` in its own thread.

    An Event deadlocks then: `set` in the handler waits for the lock that the interrupted `wait` holds.
    """

    def __init__(self) -> None:
        self._read_end, self._write_end = os.pipe()
        os.set_blocking(self._write_end, False)

    def set(self) -> None:
        """Set the event, for good. Idempotent."""
        with suppress(BlockingIOError):  # it was asked so often that the pipe is full
            os.write(self._write_end, b"!")

    def is_set(self) -> bool:
        """Whether the event was set."""
        return self.wait(0)

    def wait(self, seconds: float = math.inf) -> bool:
        """Wait until the event is set or the time is over; return whether it was set."""
        deadline = time.monotonic() + seconds
        while True:
            remaining = max(0.0, deadline - time.monotonic())
            if select.select([self._read_end], [], [], min(remaining, MAX_SIGNAL_DELAY_SECONDS))[0]:
                return True
            if remaining == 0:
                return False

    def __del__(self) -> None:
        for end in (self._read_end, self._write_end):
            os.close(end)
