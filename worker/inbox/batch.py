"""A batch: deliveries about bookings, handled together with one statement for each table instead of each row."""

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
from worker.inbox.handling import complete, run_handler
from worker.outbox.planner import NotificationPlanner

ParsedDelivery = tuple[Delivery, BookingEvent]


def process_batch(
    session: Session,
    parsed: Sequence[ParsedDelivery],
    planner: NotificationPlanner,
    now: datetime,
    is_out_of_time: Callable[[], bool],
) -> tuple[int, int]:
    """Handles deliveries in a savepoint, all of them or none if one fails, and ends them after it: see `complete`.

    Args:
        session: of the transaction. The deliveries are not among its objects: they are written here.
        parsed: deliveries and what they say.
        planner: plans the notifications of a change.
        now: the time, UTC.
        is_out_of_time: whether the time is over: then those that follow are left. The first one is handled in any case.

    Returns:
        How many were handled, and how many notifications are new.
    """
    handled = 0
    changes: list[BookingChange] = []
    rows: list[dict[str, Any]] = []
    with session.begin_nested(), unflushed(session) as bulk_session:
        context = HandlerContext(bulk_session, now)
        context.prefetch([event for _, event in parsed])
        for delivery, event in parsed:
            if handled and is_out_of_time():
                break
            handled += 1
            delivery.set_event(event)
            for change in run_handler(context, delivery, event):
                assert isinstance(change, BookingChange)  # noqa: S101 - of bookings there are no others
                changes.append(change)
                rows += planner.rows_for(bulk_session, change, context.host_resolver)
        update_all(bulk_session, modified(bulk_session, Booking))
        insert_all(bulk_session, changes)
        created = Notification.insert_new(bulk_session, rows)
    for delivery, event in parsed[:handled]:
        complete(delivery, event, now)
    update_all(session, [delivery for delivery, _ in parsed[:handled]], *Delivery.HANDLING_COLUMNS)
    return handled, created
