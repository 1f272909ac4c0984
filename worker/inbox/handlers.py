"""Handlers: what each event does to what we remember.

A handler sees the ledger's rows and the event, and yields the changes it made. It knows no session, clock,
queue or HTTP.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from meetergo.events import BookingEvent, EmployeeEvent
from worker.inbox.context import Change, HandlerContext


@dataclass(frozen=True)
class Remark:
    """Why less came of a delivery than it might have; quotes nothing of it."""

    text: str


Handler = Callable[[HandlerContext, Any], Iterator[Change | Remark]]


def apply_booking_event(ledger: HandlerContext, event: BookingEvent) -> Iterator[Change]:
    """Created, rescheduled, cancelled: each says how the booking is, and the row keeps the newest.

    A reschedule that made a new booking ends the one before, and that is told first.
    """
    if event.moved_from:
        ledger.open_at([event])
        ended = ledger.booking(event.moved_from).end_as_moved(event.booking_id, event, ledger.now)
        if ended:
            yield ended
    booking = ledger.booking(event.booking_id)
    change = booking.learn(event, ledger.owner_of, ledger.now)
    if change:
        yield change


def link_employee(ledger: HandlerContext, event: EmployeeEvent) -> Iterator[Change | Remark]:
    """A platform user who waited for a meetergo id gets it, and the bookings that waited for an owner.

    It is remembered: if the platform adds its user later, the sweep links them.
    """
    if not event.email:
        yield Remark("not linked: the body names no e-mail address")
        return
    ledger.remember_employee(event.user_id, event.email)
    if ledger.is_mapped(event.user_id):
        return
    if ledger.has_namesake(event.user_id, event.email):
        yield Remark("not linked: another employee has the same e-mail address")
        return
    user = ledger.waiting_user(event.email)
    if user is None:
        yield Remark("not linked: no single platform user with this e-mail address waits for a meetergo id")
        return
    user.meetergo_user_id = event.user_id
    yield from ledger.link_waiting_bookings(user)


HANDLERS: dict[str, Handler] = {
    "booking_created": apply_booking_event,
    "booking_rescheduled": apply_booking_event,
    "booking_cancelled": apply_booking_event,
    "new_employee": link_employee,
}
