"""Destinations: track where messages are being sent, and which destinations cool down after a timeout."""

import time
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import timedelta
from threading import Condition

MAX_CONCURRENT = 32
"""Maximum number of destinations at once, one thread and message each; threads that only wait are cheap."""
MAX_PER_KIND = MAX_CONCURRENT // 2
"""Maximum per kind of channel: a whole service such as Slack may hang."""
MIN_COOLDOWN, MAX_COOLDOWN = timedelta(seconds=15), timedelta(seconds=60)
"""Cool-down after a timeout; it doubles with each further timeout."""


@dataclass
class Destination:
    """The state of one destination.

    Attributes:
        kind: the kind of its channels.
        fingerprints: channels that lead there and were used so far.
        is_busy: whether a thread is sending there.
        timeouts: number of consecutive timeouts.
        cooldown_until: end of the cool-down, by the monotonic clock.
    """

    kind: str
    fingerprints: set[str] = field(default_factory=set)
    is_busy: bool = False
    timeouts: int = 0
    cooldown_until: float = 0

    @property
    def is_available(self) -> bool:
        """Whether a thread may send there now."""
        return not self.is_busy and time.monotonic() >= self.cooldown_until


class Destinations:
    """All destinations. Each has at most one sender, so that one that hangs holds up no other."""

    def __init__(self) -> None:
        self._destinations: dict[str, Destination] = {}
        self._rejected: set[str] = set()
        self._changed = Condition()

    @property
    def has_capacity(self) -> bool:
        """Whether another destination can be sent to."""
        return self._busy_count() < MAX_CONCURRENT

    @property
    def is_idle(self) -> bool:
        """Whether no destination is being sent to."""
        return not self._busy_count()

    def unavailable(self) -> set[str]:
        """Return the fingerprints of channels that must not be used now."""
        with self._changed:
            busy_or_cooling = (each.fingerprints for each in self._destinations.values() if not each.is_available)
            return self._rejected.union(*busy_or_cooling)

    def acquire(self, name: str, kind: str, fingerprints: Collection[str]) -> bool:
        """Reserve a destination, unless it is busy or cooling down, or the limits are reached.

        Returns:
            Whether it was reserved; if so, call `release` later.
        """
        with self._changed:
            self._prune()
            destination = self._destinations.setdefault(name, Destination(kind))
            destination.fingerprints |= set(fingerprints)
            busy = Counter(each.kind for each in self._destinations.values() if each.is_busy)
            if not destination.is_available:
                return False
            if busy[kind] >= MAX_PER_KIND or busy.total() >= MAX_CONCURRENT:
                self._rejected |= destination.fingerprints
                return False
            destination.is_busy = True
            return True

    def start_cooldown(self, name: str) -> timedelta:
        """Start a cool-down after a timeout.

        Returns:
            The length of the cool-down.
        """
        with self._changed:
            destination = self._destinations[name]
            length: timedelta = min(MIN_COOLDOWN * 2 ** min(destination.timeouts, 8), MAX_COOLDOWN)
            destination.timeouts += 1
            destination.cooldown_until = time.monotonic() + length.total_seconds()
            return length

    def record_answer(self, name: str) -> None:
        """Reset the timeouts: the destination took a message."""
        self._destinations[name].timeouts = 0

    def release(self, name: str) -> None:
        """Release a destination."""
        with self._changed:
            self._destinations[name].is_busy = False
            self._rejected = set()
            self._changed.notify_all()

    def wait_for_release(self, seconds: float) -> None:
        """Wait until a destination is released, at most this many seconds."""
        with self._changed:
            if self._busy_count():
                self._changed.wait(seconds)

    def _busy_count(self) -> int:
        return sum(each.is_busy for each in list(self._destinations.values()))

    def _prune(self) -> None:
        """Forget destinations that respond. The number of the others is bounded by those that hang."""
        self._destinations = {
            name: each for name, each in self._destinations.items() if not each.is_available or each.timeouts
        }
