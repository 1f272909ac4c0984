"""LISTEN/NOTIFY: wake the platform's listeners in the transaction that changes a booking (PostgreSQL only)."""

import json
from collections.abc import Iterable

from sqlalchemy import text
from sqlalchemy.orm import Session

from models.booking import BookingChange

CHANNEL = "meetergo_inbox"
MAX_QUEUE_USAGE = 0.5
"""Share of PostgreSQL's notification queue beyond which nothing is sent: a full queue would fail the commit."""

NOTIFY = text(
    "SELECT count(pg_notify(:channel, payload)) FROM unnest(CAST(:payloads AS text[])) AS payload"
    " WHERE pg_notification_queue_usage() < :max_usage"
)


def notify_listeners(session: Session, changes: Iterable[BookingChange]) -> None:
    """Notify the listeners of each changed booking once, with its newest revision. They are reached by the commit.

    A listener that stopped reading fills the server's queue. Then the changes are still committed, without a
    notification.
    """
    newest: dict[str, int] = {}
    for change in changes:
        newest[change.booking_id] = max(change.revision, newest.get(change.booking_id, 0))
    if newest:
        payloads = [json.dumps({"booking_id": booking_id, "revision": newest[booking_id]}) for booking_id in newest]
        session.execute(NOTIFY, {"channel": CHANNEL, "payloads": payloads, "max_usage": MAX_QUEUE_USAGE})
