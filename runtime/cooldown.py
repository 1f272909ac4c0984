"""A respite: who did not answer is left alone for a moment, so that not everybody waits for the same silence."""

import time
from datetime import timedelta

RESPITE = timedelta(seconds=1)


class Cooldown:
    """Begins when somebody did not answer, and ends by itself.

    Args:
        length: how long it lasts.
    """

    def __init__(self, length: timedelta = RESPITE) -> None:
        self._length = length
        self._until = 0.0

    def begin(self) -> None:
        """From now on, for a moment."""
        self._until = time.monotonic() + self._length.total_seconds()

    @property
    def is_on(self) -> bool:
        """Whether not to ask just now."""
        return time.monotonic() < self._until
