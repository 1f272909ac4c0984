"""Retention: how long what is done is remembered. Bookings and their changes stay; they are the platform's."""

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import delete, select

from models.database import Database
from models.delivery import Delivery
from models.notification import Notification

AT_ONCE = 1000
"""Rows of one transaction: few enough that nobody waits for it."""


def prune(database: Database, now: datetime, keep: dict[str, timedelta]) -> dict[str, int]:
    """Removes deliveries and notifications that ended long ago.

    Args:
        database: where they are.
        now: the time, UTC.
        keep: `done` and `dead` -> how long to keep such rows.

    Returns:
        Table -> how many rows went.
    """
    return {
        rows.__tablename__: sum(_prune(database, rows, status, now - age) for status, age in keep.items())
        for rows in (Delivery, Notification)
    }


def _prune(database: Database, rows: Any, status: str, before: datetime) -> int:
    old = select(rows.id).where(rows.ended_at < before, rows.status == status).order_by(rows.ended_at).limit(AT_ONCE)
    gone = 0
    while True:
        with database.transaction() as session:
            ids = session.scalars(old).all()
            session.execute(delete(rows).where(rows.id.in_(ids)))
        gone += len(ids)
        if len(ids) < AT_ONCE:
            return gone
