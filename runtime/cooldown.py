"""A cool-down: a store that did not answer is skipped for a moment, so that not every caller waits for it."""

import time
from datetime import timedelta

COOLDOWN = timedelta(seconds=1)


class Cooldown:
    """A period after a failure during which a store is not used.

    Args:
        duration: how long it lasts.
    """

    def __init__(self, duration: timedelta = COOLDOWN) -> None:
        self._duration = duration
        self._until = 0.0

    def start(self) -> None:
        """Start the cool-down, or start it over."""
        self._until = time.monotonic() + self._duration.total_seconds()

    @property
    def active(self) -> bool:
        """Whether the store should be skipped now."""
        return time.monotonic() < self._until
