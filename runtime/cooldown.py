"""A cool-down: a store that did not answer is not asked again for a moment, so that not every caller waits for it."""

import time
from datetime import timedelta

COOLDOWN = timedelta(seconds=1)


class Cooldown:
    """Starts after a failure, and ends by itself.

    Args:
        duration: how long it lasts.
    """

    def __init__(self, duration: timedelta = COOLDOWN) -> None:
        self._duration = duration
        self._until = 0.0

    def start(self) -> None:
        """From now on, for a moment."""
        self._until = time.monotonic() + self._duration.total_seconds()

    @property
    def active(self) -> bool:
        """Whether not to ask just now."""
        return time.monotonic() < self._until
