"""Record changes of bookings and their consequences in the transaction that made them."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import structlog
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from models.booking import BookingChange
from models.incident import Incident
from models.notification import Notification
from runtime.errors import describe
from worker.hook import Hook
from worker.inbox.context import Change, HostLinked
from worker.inbox.listen_notify import notify_listeners
from worker.outbox.planner import NotificationPlanner

BATCH = 500
"""Number of notifications written with one statement."""


log = structlog.get_logger()


@dataclass(frozen=True)
class ChangeRecorder:
    """Records changes, calls the platform's hook and creates notifications.

    Attributes:
        planner: plans the notifications of a change.
        hook: the platform's function, if it has one.
        database_notify: whether PostgreSQL's listeners are notified of each change.
    """

    planner: NotificationPlanner
    hook: Hook | None
    database_notify: bool = False

    def record(self, session: Session, changes: Iterable[Change]) -> int:
        """Record changes, call the platform's hook for each, and create the notifications.

        Returns:
            How many notifications are new.
        """
        rows: list[dict[str, Any]] = []
        recorded: list[BookingChange] = []
        created = 0
        for change in changes:
            rows += self._record_change(session, change)
            if isinstance(change, BookingChange):
                recorded.append(change)
            if len(rows) >= BATCH:
                created += Notification.insert_new(session, rows)
                rows.clear()
        if self.database_notify:
            notify_listeners(session, recorded)
        return created + Notification.insert_new(session, rows)

    def record_each(self, session: Session, changes: Iterator[Change], now: datetime) -> int:
        """Record each change in its own savepoint, in which it is also made: a change that fails to record is undone.

        A failed change is logged, opens an incident, and does not stop the others.

        Returns:
            How many notifications are new.
        """
        created, change = 0, None
        while True:
            change = None
            try:
                with session.begin_nested():
                    change = next(changes, None)
                    if change is None:
                        return created
                    created += self.record(session, [change])
            except OperationalError:
                raise
            except Exception as error:
                if change is None:
                    raise
                log.error("link.skipped", booking_id=_booking_of(change), error=describe(error))
                Incident.record_event(session, "link_skipped", now)

    def _record_change(self, session: Session, change: Change) -> Iterable[dict[str, Any]]:
        if isinstance(change, HostLinked):
            return self.planner.rows_for_linked_host(session, change)
        session.add(change)
        if self.hook:
            session.flush()
            self.hook(session, change.booking, change)
        return self.planner.rows_for(session, change)


def _booking_of(change: Change) -> str | None:
    return None if isinstance(change, HostLinked) else change.booking_id
