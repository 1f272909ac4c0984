"""The recorder: everything that changes bring with them, in the transaction that made them."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import structlog
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from models.notification import Notification
from runtime.errors import describe
from worker.hook import Hook
from worker.inbox.context import Change, HostLinked
from worker.outbox.planner import NotificationPlanner

AT_ONCE = 500
"""Notifications that are written together."""


log = structlog.get_logger()


@dataclass(frozen=True)
class ChangeRecorder:
    """Records changes.

    Attributes:
        announcer: knows the news that a change owes.
        hook: the platform's function, if it has one.
    """

    announcer: NotificationPlanner
    hook: Hook | None

    def record(self, session: Session, changes: Iterable[Change]) -> int:
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

    def record_each(self, session: Session, changes: Iterator[Change]) -> int:
        """The same, but each in a savepoint, in which it is also made: one that cannot be recorded was never made.

        It is named in the log, and keeps no other from being recorded.

        Returns:
            How many notifications are new.
        """
        new, change = 0, None
        while True:
            change = None
            try:
                with session.begin_nested():
                    change = next(changes, None)
                    if change is None:
                        return new
                    new += Notification.owe(session, [*self._keep(session, change)])
            except OperationalError:
                raise
            except Exception as error:
                if change is None:
                    raise
                log.error("link.skipped", booking_id=_booking_of(change), error=describe(error))

    def _keep(self, session: Session, change: Change) -> Iterable[dict[str, Any]]:
        if isinstance(change, HostLinked):
            return self.announcer.welcome(session, change)
        session.add(change)
        if self.hook:
            session.flush()
            self.hook(session, change.booking, change)
        return self.announcer.owed(session, change)


def _booking_of(change: Change) -> str | None:
    return None if isinstance(change, HostLinked) else change.booking_id
