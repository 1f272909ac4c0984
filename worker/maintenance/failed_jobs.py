"""The filing: RQ's failed registry tells the same story as our dead rows, whatever was lost on the way."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

import structlog
from sqlalchemy import select, tuple_
from sqlalchemy.orm import load_only

from models.delivery import Delivery
from models.notification import Notification
from models.stats import ROWS
from runtime.database import Database
from runtime.queue import QueueName
from runtime.redis.failed_jobs import FailedJobs
from worker.services import Services

PAGE = 1000
MOST = 2000
"""Repairs of one kind in one run: after a loss of Redis the rest waits for the next runs."""

Rows = type[Delivery] | type[Notification]

log = structlog.get_logger()


def sync_failed_jobs(office: Services, now: datetime) -> None:
    """Files the dead rows that RQ does not show as failed, and takes out what is not dead any more.

    Raises:
        RedisError: Redis is away.
        SQLAlchemyError: the database is away.
    """
    for box, rows in ROWS.items():
        dropped = _drop_others(office, box, rows)
        filed = _file_missing(office, box, rows)
        if dropped or filed:
            log.info("filing.repaired", box=box, filed=filed, dropped=dropped)


def _drop_others(office: Services, box: QueueName, rows: Rows) -> int:
    """The registry is read before the rows: what dies meanwhile is not taken for alive."""
    others: list[str] = []
    for keys in FailedJobs(office.bell, box).pages(PAGE):
        others += sorted({*keys} - _dead_among(office.database, rows, keys))
        if len(others) >= MOST:
            break
    if others:
        office.bell.forget(box, *others[:MOST])
    return len(others[:MOST])


def _file_missing(office: Services, box: QueueName, rows: Rows) -> int:
    registry, filed = FailedJobs(office.bell, box), 0
    for page in _pages_of_dead(office.database, rows):
        dead = {str(row.id): row for row in page}
        for key in registry.lacks(list(dead)):
            office.bell.file(box, key, dead[key].last_words)
            filed += 1
        if filed >= MOST:
            break
    return filed


def _dead_among(database: Database, rows: Rows, keys: Sequence[str]) -> set[str]:
    ids: list[Any] = list(keys) if rows is Delivery else [int(key) for key in keys]
    with database.reading() as session:
        dead = session.scalars(select(rows.id).where(rows.id.in_(ids), rows.has_status("dead")))
        return {str(found) for found in dead}


def _pages_of_dead(database: Database, rows: Rows) -> Iterator[Sequence[Any]]:
    """In the order of their index."""
    place = tuple_(rows.ended_at, rows.id)
    query = select(rows).options(load_only(rows.id, rows.ended_at, rows.last_error)).where(rows.has_status("dead"))
    page: Sequence[Any] = ()
    while True:
        with database.reading() as session:
            after = query.where(place > (page[-1].ended_at, page[-1].id)) if page else query
            page = session.scalars(after.order_by(rows.ended_at, rows.id).limit(PAGE)).all()
        if not page:
            return
        yield page
