"""A group: deliveries about bookings, handled together with one statement for each table instead of each row."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy.orm import Session

from meetergo.events import BookingEvent
from models.booking import Booking, BookingChange
from models.delivery import Delivery
from models.notification import Notification
from runtime.bulk import insert_all, modified, unflushed, update_all
from worker.inbox.context import HandlerContext
from worker.inbox.handling import finish, handle
from worker.outbox.planner import NotificationPlanner

Told = tuple[Delivery, BookingEvent]


def process_batch(
    session: Session, told: Sequence[Told], announcer: NotificationPlanner, now: datetime, is_over: Callable[[], bool]
) -> tuple[int, int]:
    """Handles deliveries in a savepoint, all of them or none if one fails, and ends them after it: see `finish`.

    Args:
        session: of the transaction. The deliveries are not among its objects: they are written here.
        told: deliveries and what they say.
        announcer: knows the news that a change owes.
        now: the time, UTC.
        is_over: whether the time is over: then those that follow are left. The first one is handled in any case.

    Returns:
        How many were handled, and how many notifications are new.
    """
    handled = 0
    changes: list[BookingChange] = []
    owed: list[dict[str, Any]] = []
    with session.begin_nested(), unflushed(session) as page:
        ledger = HandlerContext(page, now)
        ledger.open_at([event for _, event in told])
        for delivery, event in told:
            if handled and is_over():
                break
            handled += 1
            delivery.tell_of(event)
            for change in handle(ledger, delivery, event):
                assert isinstance(change, BookingChange)  # noqa: S101 - of bookings there are no others
                changes.append(change)
                owed += announcer.owed(page, change, ledger.owners)
        update_all(page, modified(page, Booking))
        insert_all(page, changes)
        new = Notification.owe(page, owed)
    for delivery, event in told[:handled]:
        finish(delivery, event, now)
    update_all(session, [delivery for delivery, _ in told[:handled]], *Delivery.HANDLED)
    return handled, new
