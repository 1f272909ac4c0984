"""Stopping: somebody asks to, often by a signal."""

import math
import os
import select
import time
from contextlib import suppress

MAX_SIGNAL_DELAY_SECONDS = 0.25
"""A signal that comes just before its thread falls asleep is handled when that wakes up."""


class StopEvent:
    """What `threading.Event` is, but a signal's handler may set it wherever it interrupted its own thread.

    An Event is deaf then: its lock is held by the `wait` that was interrupted, which goes on when the handler returns,
    which waits for the lock.
    """

    def __init__(self) -> None:
        self._read_end, self._write_end = os.pipe()
        os.set_blocking(self._write_end, False)

    def set(self) -> None:
        """Asks, for good; once or often."""
        with suppress(BlockingIOError):  # it was asked so often that the pipe is full
            os.write(self._write_end, b"!")

    def is_set(self) -> bool:
        """Whether somebody asked."""
        return self.wait(0)

    def wait(self, seconds: float = math.inf) -> bool:
        """Waits until somebody asks, or so long; whether somebody did."""
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
