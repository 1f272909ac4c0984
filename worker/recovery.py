"""Recovery: what a dead worker had claimed is free again, and what may have killed it is tried alone."""

from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import structlog
from redis.exceptions import RedisError

from models.claim import Claim, Row
from models.delivery import Delivery
from models.incident import Incident
from runtime.database import Database
from runtime.queue import JobQueue, QueueName
from runtime.redis import heartbeat
from worker.settings import WorkerSettings

LEFT_OVER_AFTER = timedelta(seconds=30)
"""A claim is left over when it is this old and nobody holds its rows."""
LEFT_OVER_AT_START = timedelta(seconds=5)
"""The same for a crew that starts: whatever ended the one before it may come again soon. Longer than SQLite waits."""

log = structlog.get_logger()


def after_a_death(worker: str, *, was_violent: bool, pid: int | None = None) -> None:
    """In the process that replaces a dead one, before it does anything else. Never raises: the sweep comes later.

    Args:
        worker: name of the dead process; empty if a crew starts, and nobody knows who died before it.
        was_violent: whether it did not end by itself.
        pid: of the dead process; None if nobody knows.
    """
    try:
        settings = WorkerSettings.load()
        database, bell = Database(settings.database_url, pool_size=1), JobQueue(settings.redis())
        try:
            if was_violent and pid:
                with suppress(RedisError):
                    heartbeat.note_death(bell.redis, pid)
            _recover(database, bell, datetime.now(UTC), worker, LEFT_OVER_AT_START, is_incident=was_violent)
        finally:
            database.close()
            bell.redis.close()
    except Exception as error:
        log.warning("recovery.failed", worker=worker, error=type(error).__name__)


def recover_left_over(database: Database, bell: JobQueue, now: datetime) -> None:
    """Finds the claims of workers whose death nobody saw. The sweep calls it.

    Raises:
        SQLAlchemyError: the database is away.
    """
    _recover(database, bell, now, "", LEFT_OVER_AFTER, is_incident=False)


def _recover(
    database: Database, bell: JobQueue, now: datetime, worker: str, older_than: timedelta, *, is_incident: bool
) -> None:
    with database.transaction() as session:
        rows = [*(Claim.recover(session, worker, now) if worker else ())]
        rows += Claim.recover_stale(session, older_than, now)
        if rows or is_incident:
            Incident.note(session, "worker_died", True, [], now)
    if rows:
        _report(bell, rows, worker)


def _report(bell: JobQueue, rows: Sequence[Row], worker: str) -> None:
    dead = [row for row in rows if row.status == "dead"]
    log.warning("claim.recovered", worker=worker or None, rows=len(rows), dead=len(dead))
    for row in dead:
        log.warning(f"{_kind(row)}.dead", id=row.id, booking_id=row.booking_id, error=row.last_error)
        bell.tend(_box(row), str(row.id), row)
    for box in sorted({_box(row) for row in rows}):
        bell.ring_again(box)


def _box(row: Row) -> QueueName:
    return "inbox" if isinstance(row, Delivery) else "outbox"


def _kind(row: Row) -> str:
    return "delivery" if isinstance(row, Delivery) else "notification"
