"""The view: the state shown on the page, with the platform's state of each appointment beside it."""

from collections.abc import Callable, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

from devtools.sandbox.outgoing.delivery import OutgoingDelivery
from devtools.sandbox.resources import appointments, bookings
from devtools.sandbox.state.company import Company, Record
from devtools.sandbox.timestamps import local_text, moment

PlatformBookings = Callable[[], list[dict[str, Any]]]
"""Returns the platform's bookings: rows with `id`, `status`, `starts_at`, `attendees` and `revision`."""

MAX_APPOINTMENTS = 30
MAX_DELIVERIES = 40
TOKEN_END = 4
SHOWN = ("number", "event", "subject", "webhook_id", "at", "outcome", "status", "attempts", "milliseconds", "error")


def view(
    company: Company, deliveries: Sequence[OutgoingDelivery], platform_bookings: PlatformBookings | None
) -> Record:
    """Return everything on the page that changes. The platform is queried before the company is locked."""
    platform, rows = _platform(platform_bookings)
    sent = [delivery for delivery in list(deliveries) if delivery.company == company.number]
    with company.lock:
        newest = sorted(company.appointments.values(), key=lambda record: moment(record["updatedAt"]), reverse=True)
        return {
            "hosts": [_host(company, user) for user in company.users.values()],
            "appointments": [_appointment(company, record, rows) for record in newest[:MAX_APPOINTMENTS]],
            "waiting": [
                _waiting(company, record)
                for record in company.provisional_bookings.values()
                if bookings.state(company, record) == "pending"
            ],
            "webhooks": [
                record | {"endpoint": _without_token(record["endpoint"])} for record in company.webhooks.values()
            ],
            "deliveries": [_delivery(delivery) for delivery in sent[: -MAX_DELIVERIES - 1 : -1]],
            "platform": platform,
        }


def _platform(platform_bookings: PlatformBookings | None) -> tuple[Record, dict[str, Record]]:
    if not platform_bookings:
        return {"state": "absent"}, {}
    try:
        rows = {str(row["id"]): row for row in platform_bookings()}
    except Exception as error:  # any database may be behind it, and raise anything
        return {"state": "unreadable", "error": type(error).__name__}, {}
    return {"state": "present"}, rows


def _host(company: Company, user: Record) -> Record:
    types = [record for record in company.meeting_types.values() if record["userId"] == user["id"]]
    return {
        "id": user["id"],
        "name": user["fullName"],
        "email": user["email"],
        "timezone": user["timezone"],
        "path": user["slug"],
        "meetingTypes": [
            {name: record[name] for name in ("id", "slug", "spots")} | record["meetingInfo"] for record in types
        ],
    }


def _appointment(company: Company, record: Record, rows: dict[str, Record]) -> Record:
    host = company.users[record["hostIds"][0]]
    row = rows.get(record["id"])
    return {
        **{name: record[name] for name in ("id", "start", "end", "isCancelled", "meetingTypeId", "rescheduleCount")},
        "name": record["meetingInfo"]["name"],
        "host": host["fullName"],
        "hostId": host["id"],
        "timezone": host["timezone"],
        "isGroup": appointments.is_group(company, record),
        "guests": [{"id": guest["id"], "name": _name_of(guest)} for guest in record["attendees"]],
        "platform": row and _row(row, host["timezone"]),
        "agrees": row is not None and _agrees(record, row),
    }


def _row(row: Record, zone: str) -> Record:
    starts_at = _time(row["starts_at"])
    return {
        "status": row["status"],
        "start": starts_at and local_text(starts_at, zone),
        "guests": [_name_of(guest) for guest in row["attendees"]],
        "revision": row["revision"],
    }


def _agrees(record: Record, row: Record) -> bool:
    return (
        (row["status"] == "cancelled") == record["isCancelled"]
        and _time(row["starts_at"]) == moment(record["start"])
        and sorted(map(_name_of, row["attendees"])) == sorted(map(_name_of, record["attendees"]))
    )


def _time(value: Any) -> datetime | None:
    """Parse a time, given as text or as a datetime; without an offset it is UTC."""
    time = datetime.fromisoformat(value) if isinstance(value, str) else value
    if not isinstance(time, datetime):
        return None
    return time if time.tzinfo else time.replace(tzinfo=UTC)


def _name_of(guest: Record) -> str:
    return str(guest.get("fullname") or guest.get("email") or guest.get("phone") or "nameless")


def _waiting(company: Company, record: Record) -> Record:
    meeting_type = company.meeting_types.get(record["dto"]["meetingTypeId"])
    return {
        "id": record["id"],
        "type": record["type"],
        "name": meeting_type["meetingInfo"]["name"] if meeting_type else "",
        "start": local_text(moment(record["dto"]["start"]), company.users[record["hosts"][0]["id"]]["timezone"]),
        "guest": _name_of(record["dto"]["attendee"]),
    }


def _delivery(delivery: OutgoingDelivery) -> Record:
    fields = asdict(delivery)
    return {name: fields[name] for name in SHOWN} | {"held": delivery.fault.is_held}


def _without_token(endpoint: str) -> str:
    """Shorten a path, which may be a secret: its last characters suffice to tell two addresses apart."""
    parts = urlsplit(endpoint)
    start, slash, end = parts.path.rpartition("/")
    short = end if len(end) <= 3 * TOKEN_END else f"…{end[-TOKEN_END:]}"
    return f"{parts.scheme}://{parts.netloc}{start}{slash}{short}"
