"""Routes of appointments. `GET /v4/appointment` does not exist, despite old notes."""

from flask import Blueprint
from werkzeug.wrappers import Response

from devtools.sandbox.http.context import body, company, query, user_id, uuid
from devtools.sandbox.http.responses import json_response
from devtools.sandbox.resources import appointments, listings
from devtools.sandbox.resources.appointments import Cancellation, Move
from devtools.sandbox.resources.listings import AppointmentQuery
from devtools.sandbox.state.company import Record

blueprint = Blueprint("appointments", __name__)


@blueprint.get("/v4/appointment/paginated")
def page() -> Response:
    """List a page of the acting user's appointments."""
    return json_response(listings.appointments_page(company(), query(AppointmentQuery), user_id()))


@blueprint.get("/v4/appointment/today")
def today() -> Response:
    """List today's appointments in a bare array."""
    return json_response(listings.today(company(), user_id()))


@blueprint.get("/v4/appointment/current")
def current() -> Response:
    """List the appointments in progress in a bare array."""
    return json_response(listings.current(company(), user_id()))


@blueprint.get("/v4/appointment/<id>")
def one(id: str) -> Response:  # noqa: A002 - the name in the route
    """Return an appointment."""
    return json_response(_found(id))


@blueprint.post("/v4/appointment/<id>/cancel")
def cancel(id: str) -> Response:  # noqa: A002 - the name in the route
    """Cancel an appointment, or remove one guest from it."""
    record = _found(id)
    appointments.cancel(company(), record, body(Cancellation), "host")
    return json_response(record, 201)


@blueprint.post("/v4/appointment/<id>/reschedule")
def reschedule(id: str) -> Response:  # noqa: A002 - the name in the route
    """Move an appointment."""
    record = _found(id)
    previous = appointments.reschedule(company(), record, body(Move))
    return json_response({"appointment": record, "previousStart": previous}, 201)


def _found(booking_id: str) -> Record:
    return appointments.find(company(), uuid(booking_id), user_id())
