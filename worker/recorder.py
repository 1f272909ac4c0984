"""The recorder: everything that changes bring with them, in the transaction that made them."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from sqlalchemy.orm import Session

from models.booking import BookingChange
from models.notification import Notification
from worker.announcer import Announcer
from worker.hook import Hook

AT_ONCE = 500
"""Notifications that are written together."""


@dataclass(frozen=True)
class Recorder:
    """Records changes.

    Attributes:
        announcer: knows the news that a change owes.
        hook: the platform's function, if it has one.
    """

    announcer: Announcer
    hook: Hook | None

    def record(self, session: Session, changes: Iterable[BookingChange]) -> int:
        """Keeps changes, calls the platform's hook for each, writes what is owed.

        Returns:
            How many notifications are new.
        """
        owed: list[dict[str, Any]] = []
        new = 0
        for change in changes:
            owed += self._keep(session, change)
            if len(owed) >= AT_ONCE:
                new += Notification.owe(session, owed)
                owed.clear()
        return new + Notification.owe(session, owed)

    def _keep(self, session: Session, change: BookingChange) -> Iterator[dict[str, Any]]:
        session.add(change)
        if self.hook:
            session.flush()
            self.hook(session, change.booking, change)
        return self.announcer.owed(session, change)
