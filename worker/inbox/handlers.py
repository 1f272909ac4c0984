"""Handlers: what each event does to what we remember.

A handler sees the context's rows and the event, and yields the changes it made. It knows no session, clock,
queue or HTTP.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from meetergo.events import BookingEvent, EmployeeEvent
from worker.inbox.context import Change, HandlerContext


@dataclass(frozen=True)
class HandlerNote:
    """Why less came of a delivery than it might have; quotes nothing of it."""

    text: str


Handler = Callable[[HandlerContext, Any], Iterator[Change | HandlerNote]]


def apply_booking_event(context: HandlerContext, event: BookingEvent) -> Iterator[Change]:
    """Created, rescheduled, cancelled: each says how the booking is, and the row keeps the newest.

    A reschedule that made a new booking ends the one before, and that is told first.
    """
    if event.moved_from:
        context.prefetch([event])
        ended = context.booking(event.moved_from).cancel_as_moved(event.booking_id, event, context.now)
        if ended:
            yield ended
    booking = context.booking(event.booking_id)
    change = booking.apply(event, context.resolve_host, context.now)
    if change:
        yield change


def link_employee(context: HandlerContext, event: EmployeeEvent) -> Iterator[Change | HandlerNote]:
    """A platform user who waited for a meetergo id gets it, and the bookings that waited for an owner.

    It is remembered: if the platform adds its user later, the sweep links them.
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
