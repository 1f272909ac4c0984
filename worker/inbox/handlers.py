"""Event handlers: plain functions that apply an event to the database's rows.

A handler receives the context and the event and yields the changes it made. It has no session, clock, queue or HTTP.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from meetergo.events import BookingEvent, EmployeeEvent
from worker.inbox.context import Change, HandlerContext


@dataclass(frozen=True)
class HandlerNote:
    """A reason why a delivery had less effect than it could have; quotes nothing of it."""

    text: str


Handler = Callable[[HandlerContext, Any], Iterator[Change | HandlerNote]]


def apply_booking_event(context: HandlerContext, event: BookingEvent) -> Iterator[Change]:
    """Apply a created, rescheduled or cancelled event: each holds the booking's state, and the row keeps the newest.

    A reschedule that created a new booking first cancels the previous one.
    """
    if event.moved_from:
        previous, booking = context.bookings(event.moved_from, event.booking_id)
        ended = previous.cancel_as_moved(event.booking_id, event, context.now)
        if ended:
            yield ended
    (booking,) = context.bookings(event.booking_id)
    change = booking.apply(event, context.resolve_host, context.now)
    if change:
        yield change


def link_employee(context: HandlerContext, event: EmployeeEvent) -> Iterator[Change | HandlerNote]:
    """Link an employee to the platform user with the same e-mail, and assign the bookings that waited for an owner.

    The employee is remembered: if the platform adds its user later, the sweep links them.
    """
    if not event.email:
        yield HandlerNote("not linked: the body names no e-mail address")
        return
    context.record_employee(event.user_id, event.email)
    if context.is_mapped(event.user_id):
        return
    if context.is_email_shared(event.user_id, event.email):
        yield HandlerNote("not linked: another employee has the same e-mail address")
        return
    user = context.find_unlinked_user(event.email)
    if user is None:
        yield HandlerNote("not linked: no single platform user with this e-mail address waits for a meetergo id")
        return
    user.meetergo_user_id = event.user_id
    yield from context.link_waiting_bookings(user)


HANDLERS: dict[str, Handler] = {
    "booking_created": apply_booking_event,
    "booking_rescheduled": apply_booking_event,
    "booking_cancelled": apply_booking_event,
    "new_employee": link_employee,
}
