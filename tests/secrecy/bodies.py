"""Bodies with a marker in every field that holds personal data, secrets or free text."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

from devtools.send import samples
from tests.secrecy.markers import Markers

AT = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=1)
START = AT + timedelta(days=2)

Body = dict[str, Any]


def created(booking_id: str, mark: Markers) -> Body:
    """Return a new booking."""
    return samples.created(booking_id, START, AT, **_planted(mark))


def rescheduled(booking_id: str, mark: Markers) -> Body:
    """Return it rescheduled."""
    later = AT + timedelta(minutes=1)
    return samples.rescheduled(booking_id, START + timedelta(hours=1), later, START, **_planted(mark))


def cancelled(booking_id: str, mark: Markers) -> Body:
    """Return it cancelled."""
    at = AT + timedelta(minutes=2)
    cancel = {"cancelledAt": at.isoformat(), "cancelledBy": mark("cancelledby"), "reason": mark("reason")}
    body = samples.appointment(booking_id, START, at, isCancelled=True, cancel=cancel, **_planted(mark))
    return {"webhookType": "booking_cancelled", **body}


def odd(mark: Markers) -> list[bytes]:
    """Return bodies with a marker where the worker fails; some are unreadable."""
    word = mark("unreadable")
    faults: list[Body] = [
        {"start": word},
        {"id": {"text": word}},
        {"id": word * 10},
        {"isCancelled": word},
        {"attendees": word},
        {"attendees": [word]},
        {"attendees": [{"id": [word], "email": word}]},
        {"hostIds": [[word]]},
        {"meetingInfo": word},
        {"meetingType": {"metadata": word}},
        {"updatedAt": [word]},
        {"cancel": {"cancelledAt": f"2026-01-01T00:00:00{word}"}},
    ]
    bodies = [{**created("bad", mark), **fault} for fault in faults]
    bodies.append({"webhookType": "new_employee", "email": word})
    return [f"no JSON: {word}".encode(), f'"{word}"'.encode(), *(json.dumps(body).encode() for body in bodies)]


def _planted(mark: Markers) -> Body:
    guest = {name: mark(f"guest{name}") for name in ("firstname", "lastname", "fullname", "phone", "notes")}
    mail = {"email": f"{mark('guestmail')}@example.com"}
    return {
        "secret": mark("canceltoken"),
        "notes": mark("notes"),
        "location": mark("location"),
        "meetingInfo": {"meetingLink": f"https://zoom.example/{mark('meetinglink')}", "name": mark("infoname")},
        "attendees": [{"id": "guest-1", **mail, **guest}, {"email": f"{mark('keymail')}@example.com"}],
        "hosts": [{"id": samples.HOST_ID, "email": f"{mark('wirehost')}@example.com", "fullName": mark("wirename")}],
        "meetingType": {"id": "t", "meetingInfo": {"name": mark("meeting")}, "metadata": {mark("key"): mark("value")}},
        "formData": {"question": mark("answer")},
    }
