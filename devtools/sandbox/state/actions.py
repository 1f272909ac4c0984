"""Actions of hosts and guests on meetergo's own pages, which need no key and meet no faults."""

from datetime import datetime
from typing import Any

from devtools.sandbox.http.schemas import read_body
from devtools.sandbox.resources import appointments, bookings, users
from devtools.sandbox.resources.appointments import Cancellation, Move
from devtools.sandbox.resources.bookings import NewBooking
from devtools.sandbox.resources.users import UserInput
from devtools.sandbox.state.company import Company, Record


class Actions:
    """Actions of hosts and guests. Each method raises `ApiRejection` where the API would.

    Args:
        company: the company.
    """

    def __init__(self, company: Company) -> None:
        self._company = company

    def add_host(self, email: str, **fields: Any) -> Record:
        """Create a user.

        Args:
            email: the user's e-mail.
            fields: other fields of `POST /v4/user`.

        Returns:
            The response of that route.
        """
        defaults = {"givenName": "The", "familyName": "Host", "timezone": "Europe/Berlin"}
        with self._company.lock:
            return users.create(self._company, read_body(UserInput, {"email": email} | defaults | fields))

    def book(self, meeting_type_id: str, start: datetime, email: str, **fields: Any) -> Record:
        """Book as a guest on the host's public page.

        Args:
            meeting_type_id: the meeting type.
            start: start of the slot.
            email: the guest's.
            fields: other fields of `attendee`.

        Returns:
            The response of `POST /v4/booking`.

        Raises:
            ApiRejection: the meeting type does not exist, or the slot is not free.
        """
        attendee = {"email": email, "fullname": "The Guest", "receiveReminders": False, "notes": {}} | fields
        with self._company.lock:
            host_id = self._company.meeting_types[meeting_type_id]["userId"]
            body = {"meetingTypeId": meeting_type_id, "start": start, "hostIds": [host_id], "attendee": attendee}
            return bookings.book(self._company, read_body(NewBooking, body))

    def confirm(self, provisional_id: str) -> Record:
        """Confirm a pending booking, as the guest or the host."""
        with self._company.lock:
            return bookings.confirm(self._company, self._company.provisional_bookings[provisional_id])

    def reschedule(self, booking_id: str, start: datetime) -> None:
        """Move an appointment to a free slot, as a guest."""
        with self._company.lock:
            appointments.reschedule(self._company, self._company.appointments[booking_id], Move(start=start))

    def cancel(self, booking_id: str, reason: str | None = None) -> None:
        """Cancel an appointment for everyone, as a guest."""
        with self._company.lock:
            wanted = Cancellation.model_validate({"reason": reason, "cancelAll": True})
            appointments.cancel(self._company, self._company.appointments[booking_id], wanted, "attendee")

    def leave(self, booking_id: str, attendee_id: str) -> None:
        """Remove one guest from a group meeting."""
        with self._company.lock:
            wanted = Cancellation.model_validate({"attendeeId": attendee_id})
            appointments.cancel(self._company, self._company.appointments[booking_id], wanted, "attendee")

    def revive(self, booking_id: str) -> None:
        """Undo a cancellation, as the provider; no webhook reports it."""
        with self._company.lock:
            appointments.revive(self._company, self._company.appointments[booking_id])
