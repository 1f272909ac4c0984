"""The survey: how everything is just now, in numbers. The console, the metrics and the alerts read it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from redis.exceptions import RedisError
from rq import Worker
from sqlalchemy import func, select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from models import pulse
from models.database import Database
from models.delivery import Delivery
from models.incident import Incident, IncidentKind
from models.notification import Notification
from models.queue import BOXES, Bell, Box
from models.reconciliation import Reconciled

RATE_OVER = timedelta(minutes=5)
"""Rates are means over so long."""

BEGINNINGS = {Delivery: Delivery.received_at, Notification: Notification.created_at}
ROWS: dict[Box, type[Delivery] | type[Notification]] = {"inbox": Delivery, "outbox": Notification}


@dataclass(frozen=True)
class Rows:
    """The rows of one box.

    Attributes:
        waiting: to be done, or to be tried again.
        done: done, and not pruned yet.
        dead: need a person.
        oldest_waiting: when the oldest of those that wait came; None if none waits.
        per_minute: how many ended of late.
    """

    waiting: int = 0
    done: int = 0
    dead: int = 0
    oldest_waiting: datetime | None = None
    per_minute: float = 0.0


@dataclass(frozen=True)
class Jobs:
    """What RQ has for one box.

    Attributes:
        queued: jobs to be run now.
        scheduled: failed rows that wait for their next try.
        failed: dead rows, as RQ's own tools show them.
        workers: how many work at it, on all machines.
    """

    queued: int
    scheduled: int
    failed: int
    workers: int


@dataclass(frozen=True)
class Survey:
    """How everything is.

    Attributes:
        at: when this was so, UTC.
        rows: by box; None if the database did not answer.
        jobs: by box; None if Redis did not answer.
        next_runs: task of the schedule -> when it runs next; one that did not run lately is not there.
        accepted_per_minute: how many deliveries came of late.
        incidents: kind of each open incident -> when it began; of a schedule that does not run, as it left them.
        faults: why a store did not answer.
        reconciled: how reconciling goes; None if nobody does it.
    """

    at: datetime
    rows: Mapping[Box, Rows] | None
    jobs: Mapping[Box, Jobs] | None
    next_runs: Mapping[str, datetime] = field(default_factory=dict)
    accepted_per_minute: float = 0.0
    incidents: Mapping[IncidentKind, datetime] = field(default_factory=dict)
    faults: tuple[Exception, ...] = ()
    reconciled: Reconciled | None = None


def survey(database: Database, bell: Bell, now: datetime) -> Survey:
    """Asks both stores. One that is away leaves its part out; never raises for that."""
    rows: Mapping[Box, Rows] | None = None
    jobs: Mapping[Box, Jobs] | None = None
    next_runs: Mapping[str, datetime] = {}
    incidents: Mapping[IncidentKind, datetime] = {}
    reconciled: Reconciled | None = None
    accepted = 0.0
    faults: list[Exception] = []
    try:
        with database.reading() as session:
            rows = {box: _rows(session, kind, now) for box, kind in ROWS.items()}
            accepted = _per_minute(session, Delivery.received_at, now)
            incidents = Incident.open_ones(session)
            reconciled = Reconciled.of(session)
    except SQLAlchemyError as error:
        rows = None
        faults.append(error)
    try:
        jobs, next_runs = {box: _jobs(bell, box) for box in BOXES}, pulse.next_runs(bell.redis)
    except RedisError as error:
        jobs, next_runs = None, {}
        faults.append(error)
    return Survey(now, rows, jobs, next_runs, accepted, incidents, tuple(faults), reconciled)


def _rows(session: Session, kind: type[Delivery] | type[Notification], now: datetime) -> Rows:
    number = select(func.count()).select_from(kind)
    sorts = (kind.has_status("pending"), kind.has_status("dead"), kind.ended_at.is_not(None))
    waits, dead, ended = session.execute(select(*(number.where(sort).scalar_subquery() for sort in sorts))).one()
    waiting = select(BEGINNINGS[kind].label("came")).where(kind.has_status("pending")).offset(0).subquery()
    oldest = session.scalar(select(func.min(waiting.c.came)))  # PostgreSQL would walk the index on time to its end
    return Rows(
        waiting=waits,
        done=ended - dead,
        dead=dead,
        oldest_waiting=oldest,
        per_minute=_per_minute(session, kind.ended_at, now),
    )


def _per_minute(session: Session, moment: Any, now: datetime) -> float:
    late = session.scalar(select(func.count()).where(moment > now - RATE_OVER, moment <= now))
    return (late or 0) / (RATE_OVER / timedelta(minutes=1))


def _jobs(bell: Bell, box: Box) -> Jobs:
    queue = bell.queue(box)
    return Jobs(
        queued=queue.count,
        scheduled=queue.scheduled_job_registry.count,
        failed=queue.failed_job_registry.count,
        workers=len(Worker.all(queue=queue)),
    )
