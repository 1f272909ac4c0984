"""Listings: pages of appointments and of pending bookings. Pages count from 0."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, Field

from devtools.sandbox.http.errors import forbidden
from devtools.sandbox.http.schemas import Input
from devtools.sandbox.resources import bookings
from devtools.sandbox.resources.calendar import interval_of
from devtools.sandbox.state.company import Company, Record
from devtools.sandbox.timestamps import moment


class ListingPage(Input):
    """The page to return. Both fields are required, contrary to the concept pages."""

    page: Annotated[int, Field(ge=0)]
    page_size: Annotated[int, Field(ge=1, le=100)]

    def of(self, records: list[Record]) -> list[Record]:
        """Return the records of this page."""
        return records[self.page * self.page_size : (self.page + 1) * self.page_size]


class AppointmentQuery(ListingPage):
    """The query of `GET /v4/appointment/paginated`. The values of `status` are not documented: none is accepted."""

    start: AwareDatetime | None = None
    end: AwareDatetime | None = None
    meeting_type_id: str | None = None
    user_id: str | None = None
    search: str | None = None
    status: None = None
    sort_by: Literal["appointment.start", "appointment.createdAt"] = "appointment.start"
    sort_direction: Literal["ASC", "DESC"] = "ASC"


class ProvisionalQuery(ListingPage):
    """The query of `GET /v4/provisional-booking/paginated`."""

    meeting_type_id: str | None = None
    user_id: str | None = None
    company_wide: bool = False
    status: Literal["pending", "confirmed", "expired", "declined_by_host"] | None = None


SORTED_BY: dict[str, Callable[[Record], datetime]] = {
    "appointment.start": lambda record: moment(record["start"]),
    "appointment.createdAt": lambda record: moment(record["createdAt"]),
}


def appointments_page(company: Company, query: AppointmentQuery, user_id: str) -> Record:
    """Return a page of a user's appointments, including cancelled ones.

    Raises:
        ApiRejection: they are another user's, and the acting user is not an administrator.
    """
    if query.user_id and user_id not in (query.user_id, company.admin_id):
        raise forbidden()
    found = [record for record in hosted_by(company, query.user_id or user_id) if _matches(record, query)]
    found.sort(key=SORTED_BY[query.sort_by], reverse=query.sort_direction == "DESC")
    return {"appointments": query.of(found), "total": len(found)}


def hosted_by(company: Company, user_id: str) -> list[Record]:
    """Return all appointments of one host."""
    return [record for record in company.appointments.values() if user_id in record["hostIds"]]


def today(company: Company, user_id: str) -> list[Record]:
    """Return one host's appointments of this day (UTC)."""
    start = company.now().replace(hour=0, minute=0, second=0, microsecond=0)
    end = start + timedelta(days=1)
    return [record for record in hosted_by(company, user_id) if start <= moment(record["start"]) < end]


def current(company: Company, user_id: str) -> list[Record]:
    """Return one host's appointments in progress."""
    now = company.now()
    found = (record for record in hosted_by(company, user_id) if not record["isCancelled"])
    return [record for record in found if interval_of(record).start <= now < interval_of(record).end]


def provisional_page(company: Company, query: ProvisionalQuery, user_id: str) -> Record:
    """Return a page of the bookings that are or were pending.

    Raises:
        ApiRejection: they are another user's or everyone's, and the acting user is not an administrator.
    """
    if (query.company_wide or query.user_id not in (None, user_id)) and user_id != company.admin_id:
        raise forbidden()
    host_id = None if query.company_wide else query.user_id or user_id
    records = [record | {"status": bookings.state(company, record)} for record in company.provisional_bookings.values()]
    found = [
        record
        for record in records
        if host_id in (None, *(host["id"] for host in record["hosts"]))
        and query.meeting_type_id in (None, record["dto"]["meetingTypeId"])
        and query.status in (None, record["status"])
    ]
    return {"provisionalBookings": query.of(found), "total": len(found)}


def _matches(record: Record, query: AppointmentQuery) -> bool:
    start = moment(record["start"])
    return (
        (query.start is None or query.start <= start)
        and (query.end is None or start <= query.end)
        and query.meeting_type_id in (None, record["meetingTypeId"])
        and (not query.search or any(_mentions(guest, query.search.lower()) for guest in record["attendees"]))
    )


def _mentions(guest: dict[str, Any], text: str) -> bool:
    return any(text in str(guest.get(name) or "").lower() for name in ("email", "firstname", "lastname", "fullname"))
