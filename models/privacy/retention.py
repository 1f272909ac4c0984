"""Retention: prune ended rows after a while. Bookings and their changes belong to the platform and stay.

Failed attempts are deleted with their rows. Interventions, incidents and runs are kept as long as dead rows,
reconciliations as long as done ones. Notifications stay while they decide what else is sent; see `_decides_no_more`.
"""

from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from sqlalchemy import ColumnElement, Row, Select, delete, func, select
from sqlalchemy.exc import DBAPIError, OperationalError, SQLAlchemyError
from sqlalchemy.orm import Session, aliased

from models.booking import Booking
from models.delivery import Delivery
from models.incident import Incident
from models.intervention import Intervention
from models.notification import Notification
from models.reconciliation import Reconciliation
from models.run import Run
from runtime.contention import in_transaction
from runtime.database import Database, RowsDiscarded, check_constraints

BATCH_SIZE = 1000
"""Rows per transaction: few enough that no other transaction has to wait noticeably."""
SQLITE_BATCH_SIZE = 250
"""The same on SQLite, where no other process can write meanwhile."""


def prunable(session: Session, now: datetime, keep: dict[str, timedelta], limit: int) -> dict[str, int]:
    """Count what `prune` would delete now: table -> number of rows, up to one above a limit."""
    counts: dict[str, int] = {}
    for model in (Delivery, Notification):
        for status, age in keep.items():
            old = _old(model, status, now, age).limit(limit + 1).subquery()
            number = session.scalar(select(func.count()).select_from(old)) or 0
            counts[model.__tablename__] = counts.get(model.__tablename__, 0) + number
    return counts


def prune(database: Database, now: datetime, keep: dict[str, timedelta]) -> dict[str, int]:
    """Delete deliveries, notifications, incidents and runs that ended long ago, old interventions and reconciliations.

    Args:
        database: the database to prune.
        now: the time, UTC.
        keep: `done` and `dead` -> how long to keep such rows.

    Returns:
        Table -> number of deleted rows.

    Raises:
        SQLAlchemyError: the database is down; or it refuses to delete some rows, to which a table of the platform may
            refer, or which a trigger keeps, and all others were deleted.
    """
    refusals = list[SQLAlchemyError]()
    interventions = select(Intervention.id).where(Intervention.at < now - keep["dead"]).order_by(Intervention.at)
    incidents = select(Incident.id).where(Incident.ended_at < now - keep["dead"]).order_by(Incident.ended_at)
    started_at = Reconciliation.started_at
    reconciliations = select(Reconciliation.id).where(started_at < now - keep["done"]).order_by(started_at)
    created_at = Run.created_at
    runs = select(Run.id).where(created_at < now - keep["dead"], Run.ended_at.is_not(None)).order_by(created_at)
    rows: Sequence[tuple[Any, Any, Select[Any]]] = (
        *(
            (model, model.ended_at, _old(model, status, now, age))
            for model in (Delivery, Notification)
            for status, age in keep.items()
        ),
        (Intervention, Intervention.at, interventions),
        (Incident, Incident.ended_at, incidents),
        (Reconciliation, started_at, reconciliations),
        (Run, created_at, runs),
    )
    removed = Counter[str]()
    for model, time, old in rows:
        removed[model.__tablename__] += _prune(database, model, time, old.add_columns(time.label("time")), refusals)
    if refusals:
        raise refusals[0]
    return dict(removed)


def _old(model: Any, status: str, now: datetime, age: timedelta) -> Select[Any]:
    old = select(model.id).where(model.ended_at < now - age, model.status == status).order_by(model.ended_at)
    return old.where(*_decides_no_more(now)) if model is Notification and status == "done" else old


def _decides_no_more(now: datetime) -> Sequence[ColumnElement[bool]]:
    """SQL conditions: nothing that is still to be sent depends on the notification.

    A host who is linked anew is not notified of an upcoming booking again, and a dead notification that is replayed is
    not sent after a newer one. Both are subqueries, so that no planner scans a table for them.
    """
    dead = aliased(Notification)
    is_dead = dead.status.not_in(["done", "pending"])  # not "= 'dead'": the index of all dead ones would match
    dead_id = select(dead.id).where(dead.booking_id == Notification.booking_id, is_dead).limit(1).scalar_subquery()
    upcoming = select(Booking.id).where(Booking.id == Notification.booking_id, Booking.is_upcoming(now))
    return dead_id.is_(None), upcoming.scalar_subquery().is_(None)


def _prune(database: Database, model: Any, time: Any, old: Select[Any], refusals: list[SQLAlchemyError]) -> int:
    """Delete the rows of a query that is ordered by a time, in several transactions.

    Each goes on from the last row of the one before, so that rows which stay are passed once.
    """
    removed, limit = 0, BATCH_SIZE if database.supports_skip_locked else SQLITE_BATCH_SIZE
    kept, query = list[Any](), old
    while len(kept) < limit:
        select_some = query.where(model.id.not_in(kept)).limit(limit) if kept else query.limit(limit)
        found, refused = in_transaction(database, partial(_prune_some, model=model, old=select_some))
        removed += len(found) - len(refused)
        kept += refused
        refusals += refused.values()
        if len(found) < limit:
            break
        query = old.where(time >= found[-1].time)
        database.yield_lock()
    return removed


def _prune_some(
    session: Session, model: Any, old: Select[Any]
) -> tuple[Sequence[Row[Any]], dict[Any, SQLAlchemyError]]:
    """Delete some rows. Returns their ids and times, and which of them stay, with the reason."""
    found = session.execute(old.with_for_update(skip_locked=True)).all()
    ids = [row.id for row in found]
    if _delete(session, model, ids) is None:
        return found, {}
    errors = {key: _delete(session, model, [key]) for key in ids}
    return found, {key: error for key, error in errors.items() if error}


def _delete(session: Session, model: Any, ids: Sequence[Any]) -> SQLAlchemyError | None:
    """Delete rows, all or none. Returns why the database refused to."""
    try:
        with session.begin_nested():
            deleted: Any = session.execute(delete(model).where(model.id.in_(ids)))
            if deleted.rowcount < len(ids):
                raise RowsDiscarded(model.__tablename__)
            check_constraints(session)
    except OperationalError:
        raise
    except (DBAPIError, RowsDiscarded) as error:
        return error
    return None
