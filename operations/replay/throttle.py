"""Limit the rate of a replay."""

import time
from collections.abc import Callable

from operations.replay.selection import CHUNK_SIZE


class Throttle:
    """Limits the number of rows per second.

    Args:
        per_second: rows per second; None for no limit.
        sleep: waits this many seconds, or less if a stop is requested.
        clock: monotonic clock, in seconds.
    """

    def __init__(
        self, per_second: float | None, sleep: Callable[[float], object], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._per_second, self._sleep, self._clock = per_second, sleep, clock
        self._next_at = clock()

    @property
    def chunk_size(self) -> int:
        """The number of rows per chunk: about one second's worth."""
        return CHUNK_SIZE if self._per_second is None else max(1, min(CHUNK_SIZE, int(self._per_second)))

    def wait_for(self, count: int) -> None:
        """Wait until this many rows may be replayed."""
        if self._per_second is None:
            return
        now = self._clock()
        if now < self._next_at:
            self._sleep(self._next_at - now)
        self._next_at = max(now, self._next_at) + count / self._per_second
