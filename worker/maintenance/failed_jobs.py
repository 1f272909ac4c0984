"""Mirror the dead rows in RQ's failed-job registry, and replay a row whose job was requeued there."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

import structlog
from sqlalchemy import select, tuple_
from sqlalchemy.orm import load_only

from models.claim import MODEL_OF_QUEUE, RowType
from models.delivery import Delivery
from models.intervention import BY_RQ, Intervention
from models.notification import SUPERSEDED, Notification
from runtime.database import Database
from runtime.queue import QueueName
from runtime.redis.failed_jobs import FailedJobs
from worker.services import Services

PAGE_SIZE = 1000
MAX_CHANGES = 2000
"""Maximum changes of one kind per run: after a loss of Redis the rest follows in the next runs."""

log = structlog.get_logger()


def sync_failed_jobs(services: Services, now: datetime) -> None:
    """Add dead rows that RQ's registry lacks, and remove jobs whose row is no longer dead.

    Raises:
        RedisError: Redis is down.
        SQLAlchemyError: the database is down.
    """
    for queue, rows in MODEL_OF_QUEUE.items():
        removed = _remove_stale(services, queue, rows)
        added = _add_missing(services, queue, rows)
        if removed or added:
            log.info("failed_jobs.synced", queue=queue, added=added, removed=removed)


def replay_requeued(services: Services, queue: QueueName, row_id: str, now: datetime) -> None:
    """Replay a dead row, because its job was requeued with RQ's tools. A row that is not dead stays as it is.

    Raises:
        SQLAlchemyError: the database is down.
    """
    rows: Any = MODEL_OF_QUEUE[queue]
    with services.database.transaction() as session:
        row = session.get(rows, row_id if rows is Delivery else int(row_id), with_for_update=True)
        if row is None or row.status != "dead":
            return
        Intervention.record(session, "replayed", row, now, by=BY_RQ)
        if isinstance(row, Notification):
            if row.is_superseded(session):
                row.end_without_sending(SUPERSEDED, now)
                return
            services.outbox.planner.reroute(session, row)
        row.replay(now)


def _remove_stale(services: Services, queue: QueueName, rows: RowType) -> int:
    """Remove stale jobs. The registry is read before the rows, so that a row that dies meanwhile is not removed."""
    stale: list[str] = []
    for keys in FailedJobs(services.job_queue, queue).pages(PAGE_SIZE):
        stale += sorted({*keys} - _dead_among(services.database, rows, keys))
        if len(stale) >= MAX_CHANGES:
            break
    if stale:
        FailedJobs(services.job_queue, queue).remove(stale[:MAX_CHANGES])
    return len(stale[:MAX_CHANGES])


def _add_missing(services: Services, queue: QueueName, rows: RowType) -> int:
    registry, added = FailedJobs(services.job_queue, queue), 0
    for page in _dead_pages(services.database, rows):
        dead = {str(row.id): row for row in page}
        for key in registry.missing(list(dead)):
            registry.add(key, _reason(dead[key]))
            added += 1
        if added >= MAX_CHANGES:
            break
    return added


def _dead_among(database: Database, rows: RowType, keys: Sequence[str]) -> set[str]:
    ids: list[Any] = list(keys) if rows is Delivery else [int(key) for key in keys]
    with database.read_only() as session:
        dead = session.scalars(select(rows.id).where(rows.id.in_(ids), rows.has_status("dead")))
        return {str(found) for found in dead}


def _dead_pages(database: Database, rows: RowType) -> Iterator[Sequence[Any]]:
    """Yield the dead rows in the order of their index."""
    position = tuple_(rows.ended_at, rows.id)
    query = select(rows).options(load_only(rows.id, rows.ended_at, rows.last_error)).where(rows.has_status("dead"))
    page: Sequence[Any] = ()
    while True:
        with database.read_only() as session:
            after = query.where(position > (page[-1].ended_at, page[-1].id)) if page else query
            page = session.scalars(after.order_by(rows.ended_at, rows.id).limit(PAGE_SIZE)).all()
        if not page:
            return
        yield page


def _reason(row: Any) -> str:
    """Return why a row is dead, safe to show: its error up to the first colon, since the rest may quote its data."""
    return (row.last_error or "").partition(":")[0]
