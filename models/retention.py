"""Retention: how long what is done is remembered. Bookings and their changes stay; they are the platform's.

Failed attempts go with their rows; interventions and incidents stay as long as what is dead, reconciliations as what is
done.
"""

from datetime import datetime, timedelta
from functools import partial
from typing import Any

from sqlalchemy import Select, delete, select
from sqlalchemy.orm import Session

from models.delivery import Delivery
from models.incident import Incident
from models.intervention import Intervention
from models.notification import Notification
from models.reconciliation import Reconciliation
from runtime.contention import in_transaction
from runtime.database import Database

AT_ONCE = 1000
"""Rows of one transaction: few enough that nobody waits for it."""
AT_ONCE_ALONE = 250
"""The same on SQLite, where nobody else can write meanwhile."""


def prune(database: Database, now: datetime, keep: dict[str, timedelta]) -> dict[str, int]:
    """Removes deliveries, notifications and incidents that ended long ago, interventions and reconciliations.

    Args:
        database: where they are.
        now: the time, UTC.
        keep: `done` and `dead` -> how long to keep such rows.

    Returns:
        Table -> how many rows went.
    """
    ended = {
        rows.__tablename__: sum(_prune_ended(database, rows, status, now - age) for status, age in keep.items())
        for rows in (Delivery, Notification)
    }
    acts = select(Intervention.id).where(Intervention.at < now - keep["dead"]).order_by(Intervention.at)
    over = select(Incident.id).where(Incident.ended_at < now - keep["dead"]).order_by(Incident.ended_at)
    begun = Reconciliation.started_at
    runs = select(Reconciliation.id).where(begun < now - keep["done"]).order_by(begun)
    return {
        **ended,
        Intervention.__tablename__: _prune(database, Intervention, acts),
        Incident.__tablename__: _prune(database, Incident, over),
        Reconciliation.__tablename__: _prune(database, Reconciliation, runs),
    }


def _prune_ended(database: Database, rows: Any, status: str, before: datetime) -> int:
    old = select(rows.id).where(rows.ended_at < before, rows.status == status).order_by(rows.ended_at)
    return _prune(database, rows, old)


def _prune(database: Database, rows: Any, old: Select[Any]) -> int:
    gone, most = 0, AT_ONCE if database.skips_locked else AT_ONCE_ALONE
    while True:
        number = in_transaction(database, partial(_prune_some, rows=rows, old=old.limit(most)))
        gone += number
        if number < most:
            return gone
        database.give_way()


def _prune_some(session: Session, rows: Any, old: Select[Any]) -> int:
    ids = session.scalars(old.with_for_update(skip_locked=True)).all()
    session.execute(delete(rows).where(rows.id.in_(ids)))
    return len(ids)
