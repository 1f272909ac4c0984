"""Destinations: where messages are being sent to now, and who did not answer in time and is left alone."""

import time
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import timedelta
from threading import Condition

MOST = 32
"""Destinations at once, one message each; they only wait, so that threads are cheap."""
MOST_OF_A_KIND = MOST // 2
"""Of one kind of channel: all of Slack may hang."""
FIRST_REST, LONGEST_REST = timedelta(seconds=15), timedelta(seconds=60)
"""It doubles each time that there is no answer."""


@dataclass
class Destination:
    """One of them.

    Attributes:
        fingerprints: of the channels that lead there, as far as they were used.
        is_busy: whether somebody sends there.
        silences: how often in a row there was no answer in time.
        rests_until: until when it is left alone, by the monotonic clock.
    """

    kind: str
    fingerprints: set[str] = field(default_factory=set)
    is_busy: bool = False
    silences: int = 0
    rests_until: float = 0

    @property
    def is_free(self) -> bool:
        """Whether somebody may send there."""
        return not self.is_busy and time.monotonic() >= self.rests_until


class Destinations:
    """Of each there is one sender at most, so that one that hangs holds up nobody else."""

    def __init__(self) -> None:
        self._known: dict[str, Destination] = {}
        self._turned_away: set[str] = set()
        self._changed = Condition()

    @property
    def has_room(self) -> bool:
        """Whether somebody can be sent to."""
        return self._busy() < MOST

    @property
    def is_idle(self) -> bool:
        """Whether nobody is being sent to."""
        return not self._busy()

    def to_avoid(self) -> set[str]:
        """The fingerprints of channels that are not to be used now."""
        with self._changed:
            taken = (each.fingerprints for each in self._known.values() if not each.is_free)
            return self._turned_away.union(*taken)

    def begin(self, name: str, kind: str, fingerprints: Collection[str]) -> bool:
        """Begins to send there, unless somebody does already, it rests, or enough is being done.

        Returns:
            Whether it may be done; then `end` follows.
        """
        with self._changed:
            self._forget()
            destination = self._known.setdefault(name, Destination(kind))
            destination.fingerprints |= set(fingerprints)
            busy = Counter(each.kind for each in self._known.values() if each.is_busy)
            if not destination.is_free:
                return False
            if busy[kind] >= MOST_OF_A_KIND or busy.total() >= MOST:
                self._turned_away |= destination.fingerprints
                return False
            destination.is_busy = True
            return True

    def rest(self, name: str) -> timedelta:
        """Leaves it alone for a while, since it did not answer in time.

        Returns:
            For how long.
        """
        with self._changed:
            destination = self._known[name]
            length: timedelta = min(FIRST_REST * 2 ** min(destination.silences, 8), LONGEST_REST)
            destination.silences += 1
            destination.rests_until = time.monotonic() + length.total_seconds()
            return length

    def answered(self, name: str) -> None:
        """It did answer, whatever it said."""
        self._known[name].silences = 0

    def left_alone(self, name: str) -> timedelta | None:
        """For how much longer it rests; None if it does not."""
        destination = self._known.get(name)
        left = destination.rests_until - time.monotonic() if destination else 0
        return timedelta(seconds=left) if left > 0 else None

    def is_busy(self, name: str) -> bool:
        """Whether somebody sends there."""
        destination = self._known.get(name)
        return destination is not None and destination.is_busy

    def end(self, name: str) -> None:
        """Nobody sends there any more."""
        with self._changed:
            self._known[name].is_busy = False
            self._turned_away = set()
            self._changed.notify_all()

    def wait_for_an_end(self, seconds: float) -> None:
        """Returns when one has ended, or after so long."""
        with self._changed:
            if self._busy():
                self._changed.wait(seconds)

    def _busy(self) -> int:
        return sum(each.is_busy for each in list(self._known.values()))

    def _forget(self) -> None:
        """Nothing is worth knowing of those that answer; the others are as many as hang."""
        self._known = {name: each for name, each in self._known.items() if not each.is_free or each.silences}
