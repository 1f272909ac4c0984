"""A stop event that signal handlers can set."""

import math
import time

MAX_DELAY_SECONDS = 0.25
"""How often a waiting thread checks the event."""


class StopEvent:
    """Like `threading.Event`, but a signal handler may set it even if it interrupted `wait` in its own thread.

    An Event deadlocks then: `set` in the handler waits for the lock that the interrupted `wait` holds. This one has no
    lock.
    """

    def __init__(self) -> None:
        self._is_set = False

    def set(self) -> None:
        """Set the event, for good. Idempotent."""
        self._is_set = True

    def is_set(self) -> bool:
        """Whether the event was set."""
        return self._is_set

    def wait(self, seconds: float = math.inf) -> bool:
        """Wait until the event is set or the time is over; return whether it was set."""
        deadline = time.monotonic() + seconds
        while not self._is_set and (remaining := deadline - time.monotonic()) > 0:
            time.sleep(min(remaining, MAX_DELAY_SECONDS))
        return self._is_set
