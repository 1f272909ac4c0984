"""The collect_stats: how everything is just now, in numbers. The console, the metrics and the alerts read it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from psycopg.errors import UndefinedColumn, UndefinedTable
from redis.exceptions import RedisError
from sqlalchemy import DateTime, func, or_, select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from models.delivery import Delivery
from models.error_groups import Causes
from models.incident import Incident, IncidentKind
from models.notification import Notification
from models.reconciliation import Reconciled
from runtime.database import Database
from runtime.queue import QUEUES, JobQueue, QueueName
from runtime.redis import deferred_deliveries, heartbeat
from runtime.redis.deferred_deliveries import RedisOnly
from runtime.redis.other_queues import left_behind

RATE_OVER = timedelta(minutes=5)
"""Rates are means over so long."""

CLOCK_TOLERANCE = timedelta(minutes=1)
"""Clocks of several machines may differ by this before a person has to look."""
FUTURE_MATTERS_FOR = timedelta(days=1)

BEGINNINGS = {Delivery: Delivery.received_at, Notification: Notification.created_at}
ROWS: dict[QueueName, type[Delivery] | type[Notification]] = {"inbox": Delivery, "outbox": Notification}


@dataclass(frozen=True)
class RowStats:
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
class JobStats:
    """What RQ has for one box.

    Attributes:
        queued: jobs to be run now.
        scheduled: failed rows that wait for their next try.
        failed: dead rows, as RQ's own tools show them.
        workers: how many live and work at it, on all machines.
    """

    queued: int
    scheduled: int
    failed: int
    workers: int


@dataclass(frozen=True)
class Stats:
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
        write_fault: why a database that answers cannot be written; None if it can, or if it does not answer.
        redis_only: webhooks that the database does not have yet; None if Redis did not answer.
        left_behind: webhooks in queues of other names that no worker works at; see `other_queues`.
        deaths: by box, how many workers died within `heartbeat.DEATHS_COUNT_FOR`.
        failing: deliveries that fail again and again.
        from_future: deliveries whose time of receipt has not come yet.
        clock_lead: how far this machine's clock is ahead of the database's; zero if they run on one machine.
    """

    at: datetime
    rows: Mapping[QueueName, RowStats] | None
    jobs: Mapping[QueueName, JobStats] | None
    next_runs: Mapping[str, datetime] = field(default_factory=dict)
    accepted_per_minute: float = 0.0
    incidents: Mapping[IncidentKind, datetime] = field(default_factory=dict)
    faults: tuple[Exception, ...] = ()
    reconciled: Reconciled | None = None
    write_fault: SQLAlchemyError | None = None
    redis_only: RedisOnly | None = None
    left_behind: Mapping[str, int] = field(default_factory=dict)
    deaths: Mapping[QueueName, int] = field(default_factory=dict)
    failing: Causes = field(default_factory=Causes)
    from_future: int = 0
    clock_lead: timedelta = timedelta(0)

    @property
    def lacks_tables(self) -> bool:
        """Whether the database answers, but not as this version needs it."""
        return any(lacks_tables(fault) for fault in self.faults)

    @property
    def is_database_down(self) -> bool:
        """Whether the database does not answer at all."""
        return self.rows is None and not self.lacks_tables

    @property
    def is_clock_wrong(self) -> bool:
        """Whether somebody's clock shows another time than the others'."""
        return self.from_future > 0 or abs(self.clock_lead) > CLOCK_TOLERANCE


def collect_stats(database: Database, bell: JobQueue, now: datetime) -> Stats:
    """Asks both stores, and tries to write. One that is away leaves its part out; never raises for that."""
    seen: dict[str, Any] = {"rows": None, "jobs": None}
    faults: list[Exception] = []
    try:
        seen |= _of_database(database, now)
    except SQLAlchemyError as error:
        faults.append(error)
    else:
        seen["write_fault"] = _write_fault(database)
    try:
        seen |= _of_redis(bell)
    except RedisError as error:
        faults.append(error)
    return Stats(at=now, faults=tuple(faults), **seen)


def lacks_tables(error: Exception) -> bool:
    """Whether an error says that the database is there, but not as this version needs it."""
    cause = getattr(error, "orig", None)
    words = str(cause).startswith(("no such table", "no such column"))
    return isinstance(cause, UndefinedTable | UndefinedColumn) or (isinstance(error, SQLAlchemyError) and words)


def _of_database(database: Database, now: datetime) -> dict[str, Any]:
    with database.reading() as session:
        time = _clock(session)
        return dict(
            rows={box: _rows(session, kind, now) for box, kind in ROWS.items()},
            accepted_per_minute=_per_minute(session, Delivery.received_at, now),
            incidents=Incident.open_ones(session),
            reconciled=Reconciled.of(session),
            failing=Causes.of_failing_again(session, Delivery),
            from_future=_from_future(session, time),
            clock_lead=datetime.now(UTC) - time,
        )


def _of_redis(bell: JobQueue) -> dict[str, Any]:
    deaths = heartbeat.deaths(bell.redis)
    return dict(
        jobs={box: _jobs(bell, box) for box in QUEUES},
        next_runs=heartbeat.next_runs(bell.redis),
        redis_only=deferred_deliveries.read(bell.redis),
        left_behind=left_behind(bell.redis, bell.queue("inbox").name),
        deaths={box: deaths.get(bell.queue(box).name, 0) for box in QUEUES},
    )


def _write_fault(database: Database) -> SQLAlchemyError | None:
    try:
        database.probe_write()
    except SQLAlchemyError as error:
        return None if "database is locked" in str(error) else error  # SQLite: another writes
    return None


def _clock(session: Session) -> datetime:
    """What time it is for the database. SQLite's clock is this machine's."""
    if session.get_bind().dialect.name == "sqlite":
        return datetime.now(UTC)
    return session.scalars(select(func.clock_timestamp(type_=DateTime(timezone=True)))).one()


def _from_future(session: Session, time: datetime) -> int:
    """What ended long ago is nobody's concern any more, whenever it says that it came."""
    matters = or_(Delivery.ended_at.is_(None), Delivery.ended_at > time - FUTURE_MATTERS_FOR)
    future = select(func.count()).select_from(Delivery).where(Delivery.received_at > time + CLOCK_TOLERANCE, matters)
    return session.scalar(future) or 0


def _rows(session: Session, kind: type[Delivery] | type[Notification], now: datetime) -> RowStats:
    number = select(func.count()).select_from(kind)
    sorts = (kind.has_status("pending"), kind.has_status("dead"), kind.ended_at.is_not(None))
    waits, dead, ended = session.execute(select(*(number.where(sort).scalar_subquery() for sort in sorts))).one()
    waiting = select(BEGINNINGS[kind].label("came")).where(kind.has_status("pending")).offset(0).subquery()
    oldest = session.scalar(select(func.min(waiting.c.came)))  # PostgreSQL would walk the index on time to its end
    return RowStats(
        waiting=waits,
        done=ended - dead,
        dead=dead,
        oldest_waiting=oldest,
        per_minute=_per_minute(session, kind.ended_at, now),
    )


def _per_minute(session: Session, moment: Any, now: datetime) -> float:
    late = session.scalar(select(func.count()).where(moment > now - RATE_OVER, moment <= now))
    return (late or 0) / (RATE_OVER / timedelta(minutes=1))


def _jobs(bell: JobQueue, box: QueueName) -> JobStats:
    queue = bell.queue(box)
    return JobStats(
        queued=queue.count,
        scheduled=queue.scheduled_job_registry.count,
        failed=queue.failed_job_registry.count,
        workers=len(heartbeat.living_workers(queue)),
    )
