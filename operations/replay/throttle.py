"""Limits how many rows are let go per second."""

import time
from collections.abc import Callable

from operations.replay.selection import CHUNK_SIZE


class Throttle:
    """Lets so many rows go in a time.

    Args:
        per_second: rows per second; None for as fast as they can.
        sleep: waits so many seconds, or less if somebody asks to stop.
        clock: seconds that never go back.
    """

    def __init__(
        self, per_second: float | None, sleep: Callable[[float], object], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._per_second, self._sleep, self._clock = per_second, sleep, clock
        self._next_at = clock()

    @property
    def chunk_size(self) -> int:
        """How many rows to let go at once: about as many as a second has room for."""
        return CHUNK_SIZE if self._per_second is None else max(1, min(CHUNK_SIZE, int(self._per_second)))

    def wait_for(self, count: int) -> None:
        """Waits until so many rows may go."""
        if self._per_second is None:
            return
        now = self._clock()
        if now < self._next_at:
            self._sleep(self._next_at - now)
        self._next_at = max(now, self._next_at) + count / self._per_second
