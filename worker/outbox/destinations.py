"""Destinations: where messages are being sent to now, and who did not answer in time and is left alone."""

import time
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import timedelta
from threading import Condition

MAX_CONCURRENT = 32
"""Destinations at once, one message each; they only wait, so that threads are cheap."""
MAX_PER_KIND = MAX_CONCURRENT // 2
"""Of one kind of channel: all of Slack may hang."""
MIN_COOLDOWN, MAX_COOLDOWN = timedelta(seconds=15), timedelta(seconds=60)
"""It doubles each time that there is no answer."""


@dataclass
class Destination:
    """One of them.

    Attributes:
        fingerprints: of the channels that lead there, as far as they were used.
        is_busy: whether somebody sends there.
        timeouts: how often in a row there was no answer in time.
        cooldown_until: until when it is left alone, by the monotonic clock.
    """

    kind: str
    fingerprints: set[str] = field(default_factory=set)
    is_busy: bool = False
    timeouts: int = 0
    cooldown_until: float = 0

    @property
    def is_available(self) -> bool:
        """Whether somebody may send there."""
        return not self.is_busy and time.monotonic() >= self.cooldown_until


class Destinations:
    """Of each there is one sender at most, so that one that hangs holds up nobody else."""

    def __init__(self) -> None:
        self._destinations: dict[str, Destination] = {}
        self._rejected: set[str] = set()
        self._changed = Condition()

    @property
    def has_capacity(self) -> bool:
        """Whether somebody can be sent to."""
        return self._busy_count() < MAX_CONCURRENT

    @property
    def is_idle(self) -> bool:
        """Whether nobody is being sent to."""
        return not self._busy_count()

    def unavailable(self) -> set[str]:
        """The fingerprints of channels that are not to be used now."""
        with self._changed:
            busy_or_cooling = (each.fingerprints for each in self._destinations.values() if not each.is_available)
            return self._rejected.union(*busy_or_cooling)

    def acquire(self, name: str, kind: str, fingerprints: Collection[str]) -> bool:
        """Begins to send there, unless somebody does already, it rests, or enough is being done.

        Returns:
            Whether it may be done; then `release` follows.
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
        """Leaves it alone for a while, since it did not answer in time.

        Returns:
            For how long.
        """
        with self._changed:
            destination = self._destinations[name]
            length: timedelta = min(MIN_COOLDOWN * 2 ** min(destination.timeouts, 8), MAX_COOLDOWN)
            destination.timeouts += 1
            destination.cooldown_until = time.monotonic() + length.total_seconds()
            return length

    def record_answer(self, name: str) -> None:
        """It did answer, whatever it said."""
        self._destinations[name].timeouts = 0

    def cooldown_left(self, name: str) -> timedelta | None:
        """For how much longer it rests; None if it does not."""
        destination = self._destinations.get(name)
        left = destination.cooldown_until - time.monotonic() if destination else 0
        return timedelta(seconds=left) if left > 0 else None

    def is_busy(self, name: str) -> bool:
        """Whether somebody sends there."""
        destination = self._destinations.get(name)
        return destination is not None and destination.is_busy

    def release(self, name: str) -> None:
        """Nobody sends there any more."""
        with self._changed:
            self._destinations[name].is_busy = False
            self._rejected = set()
            self._changed.notify_all()

    def wait_for_release(self, seconds: float) -> None:
        """Returns when one has ended, or after so long."""
        with self._changed:
            if self._busy_count():
                self._changed.wait(seconds)

    def _busy_count(self) -> int:
        return sum(each.is_busy for each in list(self._destinations.values()))

    def _prune(self) -> None:
        """Nothing is worth knowing of those that answer; the others are as many as hang."""
        self._destinations = {
            name: each for name, each in self._destinations.items() if not each.is_available or each.timeouts
        }
