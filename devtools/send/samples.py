"""Sample bodies in the form that meetergo sends. The caller chooses ids and times."""

from datetime import datetime, timedelta
from typing import Any

HOST_ID = "sample-host"
LENGTH = timedelta(minutes=30)


def appointment(booking_id: str, start: datetime, at: datetime, **changes: Any) -> dict[str, Any]:
    """Return an appointment as the events page of meetergo's documentation shows it.

    Args:
        booking_id: the provider's booking id.
        start: start of the meeting.
        at: `updatedAt`, which serves as the version.
        changes: fields to override.
    """
    return {
        "id": booking_id,
        "secret": "sample-secret",
        "start": start.isoformat(),
        "end": (start + LENGTH).isoformat(),
        "location": None,
        "isCancelled": False,
        "rescheduledAt": None,
        "meetingInfo": {"channel": "zoom", "meetingLink": "https://zoom.example/j/123456789"},
        "attendees": [guest(1)],
        "hosts": [{"id": HOST_ID, "email": "host@example.com", "slug": "sample-host"}],
        "hostIds": [HOST_ID],
        "meetingType": {"id": "sample-type", "meetingInfo": {"name": "Discovery Call", "duration": 30}},
        "meetingTypeId": "sample-type",
        "companyId": "sample-company",
        "createdAt": at.isoformat(),
        "updatedAt": at.isoformat(),
        **changes,
    }


def guest(number: int) -> dict[str, str]:
    """Return an attendee."""
    return {
        "id": f"sample-guest-{number}",
        "email": f"guest-{number}@example.com",
        "fullname": f"Guest {number}",
        "timezone": "Europe/Berlin",
        "language": "en",
    }


def created(booking_id: str, start: datetime, at: datetime, **changes: Any) -> dict[str, Any]:
    """Return `booking_created` in the newer wire format: flat, with `webhookType`."""
    return {"webhookType": "booking_created", **appointment(booking_id, start, at, **changes)}


def rescheduled(booking_id: str, start: datetime, at: datetime, old_start: datetime, **changes: Any) -> dict[str, Any]:
    """Return `booking_rescheduled` in the older wire format: `event` and `data`, with the appointment nested."""
    nested = appointment(booking_id, start, at, rescheduledAt=at.isoformat(), **changes)
    return {
        "event": "booking_rescheduled",
        "data": {"oldStartDate": old_start.isoformat(), "rescheduledAppointment": nested},
    }


def cancelled(booking_id: str, start: datetime, at: datetime) -> dict[str, Any]:
    """Return `booking_cancelled` of a whole booking."""
    cancel = {"cancelledAt": at.isoformat(), "cancelledBy": "attendee", "reason": "Schedule conflict"}
    body = appointment(booking_id, start, at, isCancelled=True, cancel=cancel)
    return {"webhookType": "booking_cancelled", **body}


def attendee_left(booking_id: str, start: datetime, at: datetime) -> dict[str, Any]:
    """Return `booking_cancelled` as meetergo also sends it if one guest leaves a group booking, which goes on."""
    body = appointment(booking_id, start, at, cancel={"actionAt": None, "reason": None}, attendees=[guest(1)])
    return {"webhookType": "booking_cancelled", **body}


def sample(event: str, booking_id: str, now: datetime) -> dict[str, Any]:
    """Return a sample of one event type, about a booking tomorrow.

    Raises:
        KeyError: there is no sample of that event.
    """
    start = (now + timedelta(days=1)).replace(hour=9, minute=0, second=0, microsecond=0)
    return {
        "booking_created": created(booking_id, start, now),
        "booking_rescheduled": rescheduled(booking_id, start + timedelta(hours=5), now, start),
        "booking_cancelled": cancelled(booking_id, start, now),
        "new_employee": {"webhookType": "new_employee", "id": HOST_ID, "email": "host@example.com"},
    }[event]


EVENTS = ("booking_created", "booking_rescheduled", "booking_cancelled", "new_employee")
