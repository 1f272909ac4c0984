"""Process a batch of deliveries, of any size, with one statement per table instead of one per row."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import NamedTuple

from sqlalchemy.orm import Session

from meetergo.events import BookingEvent, Event
from models.attempt import FailedAttempt
from models.delivery import Delivery
from runtime.bulk import unflushed, update_all
from runtime.errors import Failure
from worker.inbox.changes import ChangeRecorder, PendingChanges
from worker.inbox.context import HandlerContext
from worker.inbox.handlers import HANDLERS, HandlerNote

ParsedDelivery = tuple[Delivery, Event | Failure]
"""A delivery, and its event or the reason why it cannot be read."""


class Outcome(NamedTuple):
    """The result of one attempt.

    Attributes:
        delivery: the delivery.
        error: why it failed; None if it did not.
        created_notifications: whether its batch created notifications.
        awaits_check: whether it was not handled yet, because meetergo is asked first.
    """

    delivery: Delivery
    error: Exception | None = None
    created_notifications: bool = False
    awaits_check: bool = False


class _Handled(NamedTuple):
    """A delivery that was handled: the error that it failed with, or the handler's note."""

    delivery: Delivery
    event: Event | Failure
    error: Exception | None = None
    note: str | None = None


def process_batch(
    session: Session,
    parsed: Sequence[ParsedDelivery],
    recorder: ChangeRecorder,
    now: datetime,
    is_out_of_time: Callable[[], bool] = lambda: False,
) -> list[Outcome]:
    """Handle deliveries in one savepoint, then end them: done, or failed.

    With a hook, each of several deliveries has a savepoint of its own inside, so that one whose hook raises fails
    alone. Any other error of one among several is not told from an error of all.

    Args:
        session: the transaction's session.
        parsed: deliveries and their events; those of no booking first, because users are locked before bookings.
        recorder: records their changes.
        now: the time, UTC.
        is_out_of_time: whether to stop: the remaining deliveries are left. The first one is always handled.

    Raises:
        Exception: one of several failed, and nothing was changed: process each alone. Or the transaction is lost.
    """
    handled, created = list[_Handled](), 0
    try:
        with session.begin_nested(), unflushed(session) as batch_session:
            bookings = [event for _, event in parsed if isinstance(event, BookingEvent)]
            changes = PendingChanges(recorder, HandlerContext(batch_session, now, bookings))
            for delivery, event in parsed:
                if handled and is_out_of_time():
                    break
                handled.append(_handle(delivery, event, changes, is_alone=len(parsed) == 1))
            created = changes.write()
            if len(handled) < len(parsed) or any(each.error for each in handled):
                changes.context.delete_blank_bookings()
    except Exception as error:
        if len(parsed) > 1 or is_lost(session):
            raise
        handled = [_Handled(*parsed[0], error)]
    return _end(session, handled, now, created_notifications=created > 0)


def is_lost(session: Session) -> bool:
    """Whether the transaction can do nothing more but be rolled back."""
    return not session.is_active or session.connection().invalidated


def _handle(delivery: Delivery, event: Event | Failure, changes: PendingChanges, *, is_alone: bool) -> _Handled:
    if isinstance(event, Failure):
        return _Handled(delivery, event, event)
    if isinstance(event, BookingEvent):
        changes.context.prefetch()
    else:
        changes.write()  # who is told of a new host's bookings depends on the notifications there are
    if is_alone or not changes.has_hook:
        return _Handled(delivery, event, note=_run_handler(delivery, event, changes))
    try:
        with changes.savepoint():
            return _Handled(delivery, event, note=_run_handler(delivery, event, changes))
    except Exception as error:
        if is_lost(changes.context.session):
            raise
        return _Handled(delivery, event, error)


def _run_handler(delivery: Delivery, event: Event, changes: PendingChanges) -> str | None:
    """Record each change before the next is made. Returns the handler's note."""
    handler, note = HANDLERS.get(event.type), None
    if handler is None:
        return "nobody handles this event"
    for change in handler(changes.context, event):
        if isinstance(change, HandlerNote):
            note = change.text
            continue
        change.delivery_id, change.is_late = delivery.id, delivery.is_late(changes.context.now)
        changes.add(change)
    return note


def _end(session: Session, handled: Sequence[_Handled], now: datetime, *, created_notifications: bool) -> list[Outcome]:
    """Mark deliveries done or failed, outside the savepoint in which they were handled: they were locked before it.

    PostgreSQL records a row locked outside a savepoint and changed inside it as locked by two transactions. Its index
    entry then stays live until the next vacuum, and every query for due rows would visit all that are done.
    """
    for delivery, event, error, note in handled:
        if isinstance(event, Event):
            delivery.set_event(event)
        if error is None:
            notes = (delivery.note, note, event.note if isinstance(event, Event) else None)
            delivery.note = "; ".join(filter(None, notes)) or None
            delivery.finish(now)
        else:
            delivery.fail(error, now)
            FailedAttempt.record(session, delivery, now)
    update_all(session, [each.delivery for each in handled], *Delivery.HANDLING_COLUMNS)
    return [Outcome(each.delivery, each.error, created_notifications) for each in handled]
