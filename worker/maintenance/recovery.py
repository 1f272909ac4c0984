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

STALE_AFTER = timedelta(seconds=30)
"""A claim is left over when it is this old and nobody holds its rows."""
STALE_AT_START = timedelta(seconds=5)
"""The same for a pool that starts: whatever ended the one before it may come again soon. Longer than SQLite waits."""

log = structlog.get_logger()


def recover_from_exit(worker: str, *, crashed: bool, pid: int | None = None) -> None:
    """In the process that replaces a dead one, before it does anything else. Never raises: the sweep comes later.

    Args:
        worker: name of the dead process; empty if a pool starts, and nobody knows who died before it.
        crashed: whether it did not end by itself.
        pid: of the dead process; None if nobody knows.
    """
    try:
        settings = WorkerSettings.load()
        database, job_queue = Database(settings.database_url, pool_size=1), JobQueue(settings.redis())
        try:
            if crashed and pid:
                with suppress(RedisError):
                    heartbeat.record_death(job_queue.redis, pid)
            _recover(database, job_queue, datetime.now(UTC), worker, STALE_AT_START, is_incident=crashed)
        finally:
            database.close()
            job_queue.redis.close()
    except Exception as error:
        log.warning("recovery.failed", worker=worker, error=type(error).__name__)


def recover_stale_claims(database: Database, job_queue: JobQueue, now: datetime) -> None:
    """Finds the claims of workers whose death nobody saw. The sweep calls it.

    Raises:
        SQLAlchemyError: the database is down.
    """
    _recover(database, job_queue, now, "", STALE_AFTER, is_incident=False)


def _recover(
    database: Database, job_queue: JobQueue, now: datetime, worker: str, older_than: timedelta, *, is_incident: bool
) -> None:
    with database.transaction() as session:
        rows = [*(Claim.recover(session, worker, now) if worker else ())]
        rows += Claim.recover_stale(session, older_than, now)
        if rows or is_incident:
            Incident.record_state(session, "worker_died", True, [], now)
    if rows:
        _report(job_queue, rows, worker)


def _report(job_queue: JobQueue, rows: Sequence[Row], worker: str) -> None:
    dead = [row for row in rows if row.status == "dead"]
    log.warning("claim.recovered", worker=worker or None, rows=len(rows), dead=len(dead))
    for row in dead:
        log.warning(f"{_row_kind(row)}.dead", id=row.id, booking_id=row.booking_id, error=row.last_error)
        job_queue.schedule_retry(_queue_of(row), str(row.id), row)
    for queue in sorted({_queue_of(row) for row in rows}):
        job_queue.force_drain(queue)


def _queue_of(row: Row) -> QueueName:
    return "inbox" if isinstance(row, Delivery) else "outbox"


def _row_kind(row: Row) -> str:
    return "delivery" if isinstance(row, Delivery) else "notification"
