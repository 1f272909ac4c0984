"""Appointments: list, cancel and move what was booked. A cancel or move also arrives as a webhook."""

from collections.abc import Iterator
from datetime import datetime
from functools import partial
from typing import Any, Literal

from pydantic import TypeAdapter, ValidationError

from meetergo.api.defaults import PAGE_SIZE
from meetergo.api.errors import InvalidCall
from meetergo.api.model import Moment
from meetergo.api.request import identifier
from meetergo.api.schemas import Appointment, ProvisionalBooking, Rescheduled
from meetergo.api.session import Resource, Response, without_none

PATH = "/v4/appointment"
MAX_REASON_LENGTH = 500

SortBy = Literal["appointment.start", "appointment.createdAt"]

MOMENT: TypeAdapter[datetime] = TypeAdapter(Moment)


class Appointments(Resource):
    """API calls for appointments."""

    def get(self, appointment_id: str) -> Appointment:
        """Return one appointment, cancelled or not.

        Raises:
            NotFound: there is none, or the acting user may not see it.
            BadResponse: the answer is another appointment.
        """
        response = self._session.get(_path(appointment_id))
        appointment = response.one(Appointment)
        if appointment.id.lower() != appointment_id.lower():
            raise response.bad_response("it is another appointment")
        return appointment

    def list(
        self,
        *,
        start: datetime | None = None,
        end: datetime | None = None,
        meeting_type_id: str | None = None,
        of_user: str | None = None,
        sort_by: SortBy = "appointment.start",
        newest_first: bool = False,
        page_size: int = PAGE_SIZE,
    ) -> Iterator[Appointment]:
        """Yield the acting user's appointments, including cancelled ones, each once. Pages are loaded as needed.

        Args:
            start: the earliest start.
            end: the latest start.
            meeting_type_id: only appointments of this meeting type.
            of_user: list another user's appointments; the acting user must be an admin.
            sort_by: start time or booking time.
            newest_first: reverse the order.
            page_size: 1 to 100.
        """
        query = without_none(
            pageSize=page_size,
            start=start and _iso(start),
            end=end and _iso(end),
            meetingTypeId=meeting_type_id and identifier(meeting_type_id, "meeting type"),
            userId=of_user and identifier(of_user, "user"),
            sortBy=sort_by,
            sortDirection="DESC" if newest_first else "ASC",
        )
        page = partial(self._page, f"{PATH}/paginated", query)
        return self._session.pages(Appointment, "appointments", page_size, page)

    def cancel(
        self,
        appointment_id: str,
        *,
        reason: str | None = None,
        attendee_id: str | None = None,
        everybody: bool = False,
        entire_series: bool | None = None,
    ) -> Appointment:
        """Cancel an appointment, or remove one guest from a group appointment.

        Args:
            appointment_id: the appointment.
            reason: shown to the guests, at most 500 characters.
            attendee_id: remove only this guest; the others still meet.
            everybody: required to cancel a group appointment as a whole.
            entire_series: cancel the whole series.

        Returns:
            The appointment as it is now; `is_cancelled` says whether it still takes place.

        Raises:
            InvalidCall: the reason is too long, or both a guest and everybody are given.
        """
        if reason and len(reason) > MAX_REASON_LENGTH:
            raise InvalidCall(f"a reason has at most {MAX_REASON_LENGTH} characters")
        if attendee_id and everybody:
            raise InvalidCall("name either the guest who leaves, or everybody")
        body = without_none(
            reason=reason,
            attendeeId=attendee_id and identifier(attendee_id, "guest"),
            cancelAll=everybody or None,
            cancelEntireSeries=entire_series,
        )
        response = self._session.post(f"{_path(appointment_id)}/cancel", body)
        return self.get(appointment_id) if response.is_empty else _inner(response).one(Appointment)

    def reschedule(
        self, appointment_id: str, start: datetime, *, ignore_availability: bool | None = None
    ) -> Rescheduled:
        """Move an appointment. Its length stays the same.

        Raises:
            SlotTaken: the time is not free.
        """
        body = without_none(start=_iso(start), ignoreAvailability=ignore_availability)
        response = self._session.post(f"{_path(appointment_id)}/reschedule", body, takes_a_slot=True)
        if response.is_empty:
            return Rescheduled(self.get(appointment_id), None)
        return Rescheduled(_inner(response).one(Appointment), _moment(response.body.get("previousStart")))

    def provisional(self, *, page_size: int = PAGE_SIZE) -> Iterator[ProvisionalBooking]:
        """Yield bookings that await a guest's opt-in or a host's approval."""
        page = partial(self._page, "/v4/provisional-booking/paginated", {"pageSize": page_size})
        return self._session.pages(ProvisionalBooking, "provisionalBookings", page_size, page)

    def _page(self, path: str, query: dict[str, Any], number: int) -> Response:
        return self._session.get(path, {"page": number, **query})


def _path(appointment_id: str) -> str:
    return f"{PATH}/{identifier(appointment_id, 'booking')}"


def _inner(response: Response) -> Response:
    """Return the appointment of a response, which may be the body or inside it."""
    inner = response.body.get("appointment") if isinstance(response.body, dict) else None
    return Response(response.request, inner) if isinstance(inner, dict) else response


def _moment(value: Any) -> datetime | None:
    try:
        return MOMENT.validate_python(value)
    except ValidationError:
        return None


def _iso(moment: datetime) -> str:
    if moment.tzinfo is None:
        raise InvalidCall("a moment needs a timezone")
    return moment.isoformat()
