"""Recovery: release the claims of dead workers, and isolate the rows that may have killed them."""

from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import structlog
from redis.exceptions import RedisError

from models.claim import MODEL_OF_QUEUE, Claim, Row
from models.delivery import Delivery
from models.incident import Incident
from runtime.database import Database
from runtime.queue import JobQueue
from runtime.redis import heartbeat
from worker.settings import WorkerSettings

STALE_AFTER = timedelta(seconds=30)
"""Age at which a claim whose rows are not locked counts as stale."""
STALE_AT_START = timedelta(seconds=5)
"""The same at the start of a pool: what ended the previous one may recur soon. Longer than SQLite's lock timeout."""

log = structlog.get_logger()


class ExitedProcess(NamedTuple):
    """A process that ended; by default the one before a pool, of which nothing is known.

    Attributes:
        name: its name as a worker.
        crashed: whether it was killed or failed, instead of ending by itself.
        pid: its process id.
    """

    name: str = ""
    crashed: bool = False
    pid: int | None = None


def recover_from_exit(exited: ExitedProcess) -> None:
    """Recover a dead process's claims, first thing in its replacement. Never raises: the sweep tries again."""
    try:
        settings = WorkerSettings.load()
        database, job_queue = settings.database(pool_size=1), JobQueue(settings.redis())
        try:
            if exited.crashed and exited.pid:
                with suppress(RedisError):
                    heartbeat.record_death(job_queue.redis, exited.pid)
            now = datetime.now(UTC)
            _recover(database, job_queue, now, exited.name, STALE_AT_START, is_incident=exited.crashed)
        finally:
            database.close()
            job_queue.redis.close()
    except Exception as error:
        log.warning("recovery.failed", worker=exited.name, error=type(error).__name__)


def recover_stale_claims(database: Database, job_queue: JobQueue, now: datetime) -> None:
    """Release the claims of workers whose death no pool noticed. The sweep calls this.

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
            Incident.record_event(session, "worker_died", now)
    if rows:
        _report(job_queue, rows, worker)


def _report(job_queue: JobQueue, rows: Sequence[Row], worker: str) -> None:
    dead = [row for row in rows if row.status == "dead"]
    log.warning("claim.recovered", worker=worker or None, rows=len(rows), dead=len(dead))
    for row in dead:
        kind = "delivery" if isinstance(row, Delivery) else "notification"
        log.warning(f"{kind}.dead", id=row.id, booking_id=row.booking_id, error=row.last_error)
    for queue, model in MODEL_OF_QUEUE.items():
        if any(isinstance(row, model) for row in rows):
            job_queue.force_drain(queue)
