"""Rows as JSON: the keys that scripts read. They stay as they are."""

from typing import Any

from models.attempt import FailedAttempt
from models.booking import Booking, BookingChange
from models.delivery import Delivery
from models.happening import TimelineEntry
from models.intervention import Intervention
from models.notification import Notification
from models.platform_user import PlatformUser
from operations.redact import masked, masked_text

Json = dict[str, Any]


def of_delivery(row: Delivery) -> Json:
    """A delivery without its body."""
    return {
        "id": row.id,
        "status": row.status,
        "event": row.event,
        "booking_id": row.booking_id,
        "received_at": row.received_at,
        "source": row.source,
        "account": row.account,
        "note": row.note,
        **_of_todo(row),
    }


def of_notification(row: Notification) -> Json:
    """A notification without its payload."""
    return {
        "id": row.id,
        "message_id": row.message_id,
        "status": row.status,
        "kind": row.kind,
        "booking_id": row.booking_id,
        "delivery_id": row.delivery_id,
        "platform_user_id": row.platform_user_id,
        "channel": row.channel,
        "recipient": row.recipient,
        "created_at": row.created_at,
        **_of_todo(row),
    }


def of_booking(row: Booking) -> Json:
    """A booking, with the columns of the contract."""
    times = {"as_of": row.as_of, "created_at": row.created_at, "updated_at": row.updated_at}
    starts = {"starts_at": row.starts_at, "ends_at": row.ends_at}
    return {"id": row.id, **masked(row.seen()), **starts, **times, "revision": row.revision}


def of_host(row: PlatformUser | None) -> Json | None:
    """Whose booking it is."""
    return row.describe() if row else None


def of_change(row: BookingChange) -> Json:
    """A change of a booking."""
    return {
        "booking_id": row.booking_id,
        "revision": row.revision,
        "kind": row.kind,
        "before": masked(row.before),
        "after": masked(row.after),
        "news": row.news,
        "at": row.at,
    }


def of_attempt(row: FailedAttempt) -> Json:
    """A try that failed."""
    return {"number": row.number, "at": row.at, "outcome": row.outcome, "error": masked_text(row.error)}


def of_intervention(row: Intervention) -> Json:
    """What a person did."""
    return {"kind": row.kind, "at": row.at, "by": row.by, "reason": row.reason}


def of_happening(happening: TimelineEntry) -> Json:
    """What happened; all keys, whatever its kind."""
    error = happening.error and masked_text(happening.error)
    return {**vars(happening), "error": error, "before": masked(happening.before), "after": masked(happening.after)}


def _of_todo(row: Delivery | Notification) -> Json:
    return {
        "attempts": row.attempts,
        "due_at": row.due_at if row.status == "pending" else None,
        "ended_at": row.ended_at,
        "last_error": row.last_error and masked_text(row.last_error),
    }
