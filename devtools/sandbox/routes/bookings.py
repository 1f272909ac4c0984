"""Routes of slots, bookings and pending bookings."""

from flask import Blueprint
from werkzeug.wrappers import Response

from devtools.sandbox.http.context import body, company, query, user_id
from devtools.sandbox.http.responses import json_response
from devtools.sandbox.resources import bookings, listings, slots
from devtools.sandbox.resources.bookings import NewBooking
from devtools.sandbox.resources.listings import ProvisionalQuery
from devtools.sandbox.resources.slots import SlotQuery

blueprint = Blueprint("bookings", __name__)


@blueprint.get("/v4/booking-availability")
def offered() -> Response:
    """List free slots."""
    return json_response(slots.free_slots(company(), query(SlotQuery)))


@blueprint.post("/v4/booking")
def book() -> Response:
    """Book a slot, or await an opt-in or the host's approval."""
    return json_response(bookings.book(company(), body(NewBooking)), 201)


@blueprint.get("/v4/provisional-booking/paginated")
def waiting() -> Response:
    """List bookings that are or were pending."""
    return json_response(listings.provisional_page(company(), query(ProvisionalQuery), user_id()))
