"""Handlers: what each event does to what we remember.

A handler sees the ledger's rows and the event, and yields the changes it made. It knows no session, clock,
queue or HTTP.
"""

from collections.abc import Callable, Iterator
from typing import Any

from meetergo.events import BookingEvent, EmployeeEvent
from models.booking import BookingChange
from worker.ledger import Ledger

Handler = Callable[[Ledger, Any], Iterator[BookingChange]]


def booking_told(ledger: Ledger, event: BookingEvent) -> Iterator[BookingChange]:
    """Created, rescheduled, cancelled: each says how the booking is, and the row keeps the newest."""
    booking = ledger.booking(event.booking_id)
    change = booking.learn(event, ledger.owner_of, ledger.now)
    if change:
        yield change


def employee_joined(ledger: Ledger, event: EmployeeEvent) -> Iterator[BookingChange]:
    """A platform user who waited for a meetergo id gets it, and the bookings that waited for an owner."""
    user = ledger.waiting_user(event.email) if event.email else None
    if user and not ledger.is_mapped(event.user_id):
        user.meetergo_user_id = event.user_id
        yield from ledger.link_waiting_bookings(user)


HANDLERS: dict[str, Handler] = {
    "booking_created": booking_told,
    "booking_rescheduled": booking_told,
    "booking_cancelled": booking_told,
    "new_employee": employee_joined,
}
