"""Serialise rows to JSON. Scripts read these keys, so they are stable. Imports no table: a list imports its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from operations.redact import redact, redact_text

if TYPE_CHECKING:
    from models.api_token import ApiToken
    from models.attempt import FailedAttempt
    from models.booking import Booking, BookingChange
    from models.delivery import Delivery
    from models.intervention import Intervention
    from models.notification import Notification
    from models.platform_user import PlatformUser
    from models.run import Run
    from models.timeline import TimelineEntry

Json = dict[str, Any]


def delivery_to_json(row: Delivery) -> Json:
    """Serialise a delivery without its body."""
    return {
        "id": row.id,
        "status": row.status,
        "event": row.event,
        "booking_id": row.booking_id,
        "received_at": row.received_at,
        "source": row.source,
        "account": row.account,
        "note": row.note,
        **_retry_fields(row),
    }


def notification_to_json(row: Notification) -> Json:
    """Serialise a notification without its payload."""
    return {
        "id": row.id,
        "message_id": row.message_id,
        "status": row.status,
        "kind": row.kind,
        "booking_id": row.booking_id,
        "account": row.account,
        "delivery_id": row.delivery_id,
        "platform_user_id": row.platform_user_id,
        "channel": row.channel,
        "recipient": row.recipient,
        "created_at": row.created_at,
        **_retry_fields(row),
    }


def booking_to_json(row: Booking) -> Json:
    """Serialise a booking with the columns of the contract."""
    times = {"as_of": row.as_of, "created_at": row.created_at, "updated_at": row.updated_at}
    starts = {"starts_at": row.starts_at, "ends_at": row.ends_at}
    names = {"id": row.id, "account": row.account}
    return {**names, **redact(row.public_columns()), **starts, **times, "revision": row.revision}


def host_to_json(row: PlatformUser | None) -> Json | None:
    """Serialise a booking's owner."""
    return row.to_dict() if row else None


def change_to_json(row: BookingChange) -> Json:
    """Serialise a change of a booking."""
    return {
        "booking_id": row.booking_id,
        "revision": row.revision,
        "kind": row.kind,
        "before": redact(row.before),
        "after": redact(row.after),
        "news": row.notification_kinds,
        "at": row.at,
    }


def attempt_to_json(row: FailedAttempt) -> Json:
    """Serialise a failed attempt."""
    return {"number": row.number, "at": row.at, "outcome": row.outcome, "error": redact_text(row.error)}


def intervention_to_json(row: Intervention) -> Json:
    """Serialise an operator's intervention."""
    return {"kind": row.kind, "at": row.at, "by": row.by, "reason": row.reason}


def run_to_json(row: Run) -> Json:
    """Serialise a run."""
    return {
        "id": row.id,
        "kind": row.kind,
        "target": row.target,
        "status": row.status,
        "by": row.by,
        "reason": row.reason,
        "selection": row.selection,
        "again": row.resend,
        "superseded": row.superseded,
        "per_second": row.per_hour and row.per_hour / 3600,
        "total": row.total,
        "handled": row.position,
        "changed": row.changed,
        "sent_again": row.resent,
        "left_alone": row.skipped,
        "ends": row.outcome,
        "error": row.error,
        "cancelled_by": row.cancelled_by,
        "created_at": row.created_at,
        "started_at": row.started_at,
        "ended_at": row.ended_at,
    }


def token_to_json(row: ApiToken) -> Json:
    """Serialise a token of the read API, without its digest."""
    times = {"created_at": row.created_at, "last_used_at": row.last_used_at, "revoked_at": row.revoked_at}
    names = {"name": row.name, "role": row.role, "account": row.account}
    return {**names, "created_by": row.created_by, **times}


def entry_to_json(entry: TimelineEntry) -> Json:
    """Serialise a timeline entry, with the same keys for every kind."""
    error = entry.error and redact_text(entry.error)
    return {**vars(entry), "error": error, "before": redact(entry.before), "after": redact(entry.after)}


def _retry_fields(row: Delivery | Notification) -> Json:
    return {
        "attempts": row.attempts,
        "due_at": row.due_at if row.status == "pending" else None,
        "ended_at": row.ended_at,
        "last_error": row.last_error and redact_text(row.last_error),
    }
