"""Process deliveries about bookings as one batch, with one statement per table instead of one per row."""

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy.orm import Session

from meetergo.events import BookingEvent, Event
from models.booking import Booking, BookingChange
from models.delivery import Delivery
from models.notification import Notification
from runtime.bulk import insert_all, modified, unflushed, update_all
from worker.inbox.changes import ChangeRecorder
from worker.inbox.context import Change, HandlerContext
from worker.inbox.handlers import HANDLERS, HandlerNote
from worker.inbox.listen_notify import notify_listeners

ParsedDelivery = tuple[Delivery, BookingEvent]


def process_batch(
    session: Session,
    parsed: Sequence[ParsedDelivery],
    recorder: ChangeRecorder,
    now: datetime,
    is_out_of_time: Callable[[], bool],
) -> tuple[int, int]:
    """Handle deliveries in one savepoint, all or none, then complete them outside it: see `complete`.

    Args:
        session: the transaction's session. The deliveries are not among its objects: they are written here.
        parsed: deliveries and their events.
        recorder: has no hook; plans the notifications of each change.
        now: the time, UTC.
        is_out_of_time: whether to stop: the remaining deliveries are left. The first one is always handled.

    Returns:
        The number of deliveries handled, and of notifications created.
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
                assert isinstance(change, BookingChange)  # noqa: S101 - booking events yield no other changes
                changes.append(change)
                rows += recorder.planner.rows_for(bulk_session, change, context.host_resolver)
        update_all(bulk_session, modified(bulk_session, Booking))
        insert_all(bulk_session, changes)
        if recorder.database_notify:
            notify_listeners(bulk_session, changes)
        created = Notification.insert_new(bulk_session, rows)
    for delivery, event in parsed[:handled]:
        complete(delivery, event, now)
    update_all(session, [delivery for delivery, _ in parsed[:handled]], *Delivery.HANDLING_COLUMNS)
    return handled, created


def run_handler(context: HandlerContext, delivery: Delivery, event: Event) -> Iterator[Change]:
    """Yield the changes that a delivery causes, each before the next is made. `complete` ends the delivery."""
    handler = HANDLERS.get(event.type)
    for change in handler(context, event) if handler else ():
        if isinstance(change, HandlerNote):
            delivery.note = change.text
            continue
        change.delivery_id, change.is_late = delivery.id, delivery.is_late(context.now)
        yield change


def complete(delivery: Delivery, event: Event, now: datetime) -> None:
    """Mark a delivery done. Call this outside the savepoint in which it was handled: its row was locked before that.

    PostgreSQL records a row locked outside a savepoint and changed inside it as locked by two transactions. Its index
    entry then stays live until the next vacuum, and every query for due rows would visit all that are done.
    """
    unhandled = None if event.type in HANDLERS else "nobody handles this event"
    delivery.note = "; ".join(note for note in (delivery.note, unhandled, event.note) if note) or None
    delivery.finish(now)
