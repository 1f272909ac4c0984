"""Routes of the developer page. It acts for guests and hosts without a key, rate limit or faults."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Annotated

from flask import Blueprint, current_app, make_response, render_template, request
from pydantic import AwareDatetime, Field
from werkzeug.exceptions import NotFound
from werkzeug.wrappers import Response

from devtools.sandbox.http.context import body, query
from devtools.sandbox.http.responses import empty, json_response
from devtools.sandbox.http.schemas import Email, Input, Name
from devtools.sandbox.outgoing.delivery import OutgoingDelivery
from devtools.sandbox.resources import slots
from devtools.sandbox.resources.appointments import Move
from devtools.sandbox.resources.slots import SlotQuery
from devtools.sandbox.state.actions import Actions
from devtools.sandbox.state.company import Company, Record
from devtools.sandbox.ui.view import PlatformBookings, view

WEEK = timedelta(days=7)
POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; img-src data:"
COMPANY = "company"
"""Name of the query parameter and of the cookie with the company's number."""

page = Blueprint("page", __name__, template_folder="page")


@dataclass(frozen=True)
class PageContext:
    """Dependencies of the page."""

    company: Company
    actions: Actions
    deliveries: Sequence[OutgoingDelivery]
    platform_bookings: PlatformBookings | None
    key: str = field(repr=False)


class WeekQuery(Input):
    """The week of slots to show; `ignoring` is an appointment that is about to be moved."""

    meeting_type_id: str
    first: date
    ignoring: str | None = None


class PageBooking(Input):
    """A guest's input."""

    meeting_type_id: str
    start: AwareDatetime
    email: Email
    name: Name


class Reason(Input):
    """The reason for a cancellation."""

    reason: Annotated[str, Field(max_length=500)] | None = None


class LeavingAttendee(Input):
    """The guest who leaves."""

    attendee_id: str


@page.get("/")
@page.get("/book/<user>/<meeting_type>")
def page_view(user: str = "", meeting_type: str = "") -> Response:
    """Return the page; a booking URL is the page with host and meeting type preselected. A cookie keeps the company."""
    page_context = _page_context_of(user) if user else _page_context()
    html = render_template(
        "page.html", url=request.host_url.rstrip("/"), key=page_context.key, chosen=[user, meeting_type]
    )
    response = make_response(html)
    response.headers["Content-Security-Policy"] = POLICY
    response.set_cookie(COMPANY, str(page_context.company.number), samesite="Lax")
    return response


@page.get("/sandbox/view")
def seen() -> Response:
    """Return the data that the page polls."""
    page_context = _page_context()
    return json_response(view(page_context.company, page_context.deliveries, page_context.platform_bookings))


@page.get("/sandbox/slots")
def free() -> Response:
    """Return a week of free slots."""
    wanted, company = query(WeekQuery), _page_context().company
    with company.lock:
        host_id = company.meeting_types.get(wanted.meeting_type_id, {}).get("userId")
        slot_query = {
            "meetingTypeId": wanted.meeting_type_id,
            "start": wanted.first.isoformat(),
            "end": (wanted.first + WEEK).isoformat(),
            "hostIds": [host_id or "nobody"],
            "existingAppointmentId": wanted.ignoring,
        }
        return json_response(slots.free_slots(company, SlotQuery.model_validate(slot_query)))


@page.post("/sandbox/bookings")
def book() -> Response:
    """Book as a guest."""
    wanted = body(PageBooking)
    actions = _page_context().actions
    return json_response(actions.book(wanted.meeting_type_id, wanted.start, wanted.email, fullname=wanted.name), 201)


@page.post("/sandbox/appointments/<uuid:booking_id>/reschedule")
def reschedule(booking_id: object) -> Response:
    """Move an appointment as a guest."""
    _page_context().actions.reschedule(_known_booking_id(booking_id), body(Move).start)
    return empty()


@page.post("/sandbox/appointments/<uuid:booking_id>/cancel")
def cancel(booking_id: object) -> Response:
    """Cancel an appointment for everyone, as a guest."""
    _page_context().actions.cancel(_known_booking_id(booking_id), body(Reason).reason)
    return empty()


@page.post("/sandbox/appointments/<uuid:booking_id>/leave")
def leave(booking_id: object) -> Response:
    """Remove one guest."""
    _page_context().actions.leave(_known_booking_id(booking_id), body(LeavingAttendee).attendee_id)
    return empty()


@page.post("/sandbox/provisional-bookings/<uuid:provisional_id>/confirm")
def confirm(provisional_id: object) -> Response:
    """Confirm a pending booking, as the guest or the host."""
    page_context = _page_context()
    if str(provisional_id) not in page_context.company.provisional_bookings:
        raise NotFound
    return json_response(page_context.actions.confirm(str(provisional_id)), 201)


def _page_context() -> PageContext:
    """Return the context of the company with the number in the query, else in the cookie, else of the first."""
    number = request.args.get(COMPANY) or request.cookies.get(COMPANY) or "1"
    found = [each for each in _page_contexts() if str(each.company.number) == number]
    if not found:
        raise NotFound
    return found[0]


def _page_context_of(user: str) -> PageContext:
    for page_context in _page_contexts():
        if any(record["slug"] == user for record in page_context.company.users.values()):
            return page_context
    raise NotFound


def _page_contexts() -> Sequence[PageContext]:
    page_contexts: Sequence[PageContext] = current_app.extensions["page_contexts"]
    return page_contexts


def _known_booking_id(booking_id: object) -> str:
    found: dict[str, Record] = _page_context().company.appointments
    if str(booking_id) not in found:
        raise NotFound
    return str(booking_id)
