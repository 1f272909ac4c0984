"""Record changes of bookings and their consequences in the transaction that made them."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import structlog
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from models.booking import Booking, BookingChange
from models.incident import Incident
from models.notification import Notification
from runtime.bulk import attach, insert_all, modified, update_all, update_and_insert
from runtime.errors import describe
from worker.hook import Hook
from worker.inbox.context import Change, HandlerContext, HostLinked
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
    """

    planner: NotificationPlanner
    hook: Hook | None

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
                    created += Notification.insert_new(session, [*self._record_change(session, change)])
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


class PendingChanges:
    """The changes of a batch. They and their notifications are written together; with a hook, each before its call.

    Args:
        recorder: plans the notifications; has the hook.
        context: the batch's context, whose session never flushes by itself.
    """

    def __init__(self, recorder: ChangeRecorder, context: HandlerContext) -> None:
        self.context = context
        self._session, self._planner, self._hook = context.session, recorder.planner, recorder.hook
        self._changes: list[BookingChange] = []
        self._notifications: list[dict[str, Any]] = []
        self._called: list[BookingChange] = []
        self._created = 0

    @property
    def has_hook(self) -> bool:
        """Whether each change calls the platform's hook."""
        return self._hook is not None

    def add(self, change: Change) -> None:
        """Add a change, call the hook for it, and plan its notifications."""
        if isinstance(change, HostLinked):
            self._write({row.booking.id: row.booking for row in self._changes}.values())
            self._notifications += self._planner.rows_for_linked_host(self._session, change)
            return
        if self._hook:
            self._call_hook(self._hook, change)
        else:
            self._changes.append(change)
        self._notifications += self._planner.rows_for(self._session, change, self.context.host_resolver)
        if len(self._notifications) >= BATCH:
            self._write({row.booking.id: row.booking for row in self._changes}.values())

    def write(self) -> int:
        """Write everything that is not written yet.

        Returns:
            How many notifications of the batch are new.
        """
        self._write(modified(self._session, Booking))
        return self._created

    @contextmanager
    def savepoint(self) -> Iterator[None]:
        """Open a savepoint. If it fails, its changes and notifications are undone."""
        before, self._notifications, self._called = self._notifications, [], []
        try:
            with self._session.begin_nested():
                yield
        except BaseException:
            self._notifications = before
            for change in self._called:
                self._session.expire(change.booking)
                self._session.expunge(change)
            raise
        self._notifications = before + self._notifications

    def _write(self, bookings: Iterable[Booking]) -> None:
        update_all(self._session, [*bookings])
        insert_all(self._session, self._changes)
        self._changes = []
        self._created += Notification.insert_new(self._session, self._notifications)
        self._notifications = []

    def _call_hook(self, hook: Hook, change: BookingChange) -> None:
        """Write the change, then call the hook with a session that has nothing else to flush."""
        update_and_insert(self._session, change.booking, change)
        attach(self._session, change.booking, change)
        self._called.append(change)
        self._session.autoflush = True
        try:
            hook(self._session, change.booking, change)
        finally:
            self._session.autoflush = False
        self.context.host_resolver.forget_unknown()  # the hook may have inserted users


def _booking_of(change: Change) -> str | None:
    return None if isinstance(change, HostLinked) else change.booking_id
