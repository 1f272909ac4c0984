"""Sample messages: one of each kind, to check templates with and to show what mails look like."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from worker.channels.base import Message
from worker.channels.text.time_range import TimeRange

SAMPLE_RECIPIENT = "anna.muster@platform.example"
MEETING_LENGTH = timedelta(minutes=30)
GUEST = {"id": "guest-1", "fullname": "Jane Doe", "email": "jane.doe@guests.example", "phone": "+49 30 901820"}
OTHER_GUEST = {"id": "guest-2", "fullname": "John Roe", "email": "john.roe@guests.example"}


def sample_messages(now: datetime, language: str = "en", timezone: str = "Europe/Vienna") -> dict[str, Message]:
    """Return a message of each kind by its name; `handed_over` is a `cancelled` for a host who was replaced.

    Args:
        now: the time, UTC; the sample meeting is two days later.
        language: the host's.
        timezone: the host's.
    """
    start = now.replace(hour=13, minute=0, second=0, microsecond=0) + timedelta(days=2)
    host = {
        "id": 1,
        "external_id": "4711",
        "name": "Anna Muster",
        "email": SAMPLE_RECIPIENT,
        "timezone": timezone,
        "language": language,
    }
    booking = {
        "id": "b1c2d3e4-0000-4000-8000-000000000000",
        "status": "confirmed",
        **_times(TimeRange(start, start + MEETING_LENGTH)),
        "meeting_type_id": "f0e1d2c3-0000-4000-8000-000000000000",
        "meeting_name": "Discovery Call",
        "meeting_link": "https://video.example/j/123456789",
        "location": None,
        "attendees": [GUEST],
        "host_ids": ["a9b8c7d6-0000-4000-8000-000000000000"],
        "metadata": {},
        "cancel_reason": None,
        "cancelled_by": None,
        "as_of": now.isoformat(),
        "revision": 1,
    }
    created = Message("msg_00000000000000000000000000000000", "created", booking, None, host, SAMPLE_RECIPIENT, now)
    return variants(created)


def variants(created: Message) -> dict[str, Message]:
    """Return a message of each kind about the booking of one message, by name.

    Args:
        created: the message about the new booking.
    """
    period = TimeRange.of(created.booking)
    booking = created.booking | {"revision": int(created.booking["revision"]) + 1}
    cancelled = {"cancelled_by": "attendee", "cancel_reason": "I am ill"} if booking["status"] == "confirmed" else {}
    listed = [
        {name: booking[name] for name in ("status", "meeting_type_id", "meeting_name")}
        | {"id": f"{booking['id']}-{number}", **_times(period, timedelta(days=number))}
        for number in range(3)
    ]
    return {
        "created": created,
        "rescheduled": replace(created, kind="rescheduled", booking=booking, before=_times(period, timedelta(days=-1))),
        "updated": replace(created, kind="updated", booking=booking, before={"host_ids": []}),
        "cancelled": replace(
            created,
            kind="cancelled",
            booking=booking | {"status": "cancelled"} | cancelled,
            before={"status": "confirmed"},
        ),
        "handed_over": replace(
            created,
            kind="cancelled",
            booking=booking | {"status": "cancelled"},
            before={"status": "confirmed"},
            handed_over=True,
        ),
        "attendee_left": replace(
            created, kind="attendee_left", booking=booking, before={"attendees": [*booking["attendees"], OTHER_GUEST]}
        ),
        "summary": replace(created, kind="summary", booking={"id": booking["id"]}, bookings=listed, total=len(listed)),
    }


def _times(period: TimeRange | None, delay: timedelta = timedelta()) -> dict[str, Any]:
    """Return the times of a meeting, moved by a delay, as a booking has them."""
    start, end = (period.start, period.end) if period else (None, None)
    moved = {"starts_at": start and start + delay, "ends_at": end and end + delay}
    return {name: moment and moment.isoformat() for name, moment in moved.items()}
