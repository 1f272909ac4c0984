"""Routes of slots, bookings, and bookings that wait."""

from flask import Blueprint
from werkzeug.wrappers import Response

from meetergo.sandbox import bookings, listings, slots
from meetergo.sandbox.answers import answered
from meetergo.sandbox.bookings import NewBooking
from meetergo.sandbox.current import body, company, query, user_id
from meetergo.sandbox.listings import ProvisionalQuery
from meetergo.sandbox.slots import SlotQuery

part = Blueprint("bookings", __name__)


@part.get("/v4/booking-availability")
def offered() -> Response:
    """Free times."""
    return answered(slots.offer(company(), query(SlotQuery)))


@part.post("/v4/booking")
def book() -> Response:
    """Books, or asks for an opt-in or the host's yes."""
    return answered(bookings.book(company(), body(NewBooking)), 201)


@part.get("/v4/provisional-booking/paginated")
def waiting() -> Response:
    """Bookings that wait, or waited."""
    return answered(listings.provisional_page(company(), query(ProvisionalQuery), user_id()))
