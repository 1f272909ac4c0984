"""Statistics of both stores: row counts, job counts, rates and open incidents, for the console, metrics and alerts."""

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
from models.error_groups import ErrorGroups
from models.incident import Incident, IncidentKind
from models.notification import Notification
from models.reconciliation import ReconcileStatus
from runtime.database import Database
from runtime.queue import QUEUES, JobQueue, QueueName
from runtime.redis import deferred_deliveries, heartbeat
from runtime.redis.deferred_deliveries import RedisOnly
from runtime.redis.other_queues import orphaned_queues

RATE_WINDOW = timedelta(minutes=5)
"""Rates are means over so long."""

CLOCK_TOLERANCE = timedelta(minutes=1)
"""Clocks of several machines may differ by this before a person has to look."""
FUTURE_WINDOW = timedelta(days=1)

RECEIVED_AT = {Delivery: Delivery.received_at, Notification: Notification.created_at}
MODELS_BY_QUEUE: dict[QueueName, type[Delivery] | type[Notification]] = {"inbox": Delivery, "outbox": Notification}


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
        errors: why a store did not answer.
        reconcile_status: how reconciling goes; None if nobody does it.
        write_error: why a database that answers cannot be written; None if it can, or if it does not answer.
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
    errors: tuple[Exception, ...] = ()
    reconcile_status: ReconcileStatus | None = None
    write_error: SQLAlchemyError | None = None
    redis_only: RedisOnly | None = None
    orphaned_queues: Mapping[str, int] = field(default_factory=dict)
    deaths: Mapping[QueueName, int] = field(default_factory=dict)
    failing: ErrorGroups = field(default_factory=ErrorGroups)
    from_future: int = 0
    clock_lead: timedelta = timedelta(0)

    @property
    def is_schema_outdated(self) -> bool:
        """Whether the database answers, but not as this version needs it."""
        return any(is_schema_outdated(error) for error in self.errors)

    @property
    def is_database_down(self) -> bool:
        """Whether the database does not answer at all."""
        return self.rows is None and not self.is_schema_outdated

    @property
    def is_clock_wrong(self) -> bool:
        """Whether somebody's clock shows another time than the others'."""
        return self.from_future > 0 or abs(self.clock_lead) > CLOCK_TOLERANCE


def collect_stats(database: Database, job_queue: JobQueue, now: datetime) -> Stats:
    """Asks both stores, and tries to write. One that is away leaves its part out; never raises for that."""
    fields: dict[str, Any] = {"rows": None, "jobs": None}
    errors: list[Exception] = []
    try:
        fields |= _database_stats(database, now)
    except SQLAlchemyError as error:
        errors.append(error)
    else:
        fields["write_error"] = _find_write_error(database)
    try:
        fields |= _redis_stats(job_queue)
    except RedisError as error:
        errors.append(error)
    return Stats(at=now, errors=tuple(errors), **fields)


def is_schema_outdated(error: Exception) -> bool:
    """Whether an error says that the database is there, but not as this version needs it."""
    cause = getattr(error, "orig", None)
    is_sqlite_error = str(cause).startswith(("no such table", "no such column"))
    return isinstance(cause, UndefinedTable | UndefinedColumn) or (
        isinstance(error, SQLAlchemyError) and is_sqlite_error
    )


def _database_stats(database: Database, now: datetime) -> dict[str, Any]:
    with database.read_only() as session:
        database_now = _database_clock(session)
        return dict(
            rows={name: _row_stats(session, model, now) for name, model in MODELS_BY_QUEUE.items()},
            accepted_per_minute=_per_minute(session, Delivery.received_at, now),
            incidents=Incident.open_kinds(session),
            reconcile_status=ReconcileStatus.load(session),
            failing=ErrorGroups.of_repeated_failures(session, Delivery),
            from_future=_from_future(session, database_now),
            clock_lead=datetime.now(UTC) - database_now,
        )


def _redis_stats(job_queue: JobQueue) -> dict[str, Any]:
    deaths = heartbeat.deaths(job_queue.redis)
    return dict(
        jobs={name: _job_stats(job_queue, name) for name in QUEUES},
        next_runs=heartbeat.next_runs(job_queue.redis),
        redis_only=deferred_deliveries.read(job_queue.redis),
        orphaned_queues=orphaned_queues(job_queue.redis, job_queue.queue("inbox").name),
        deaths={name: deaths.get(job_queue.queue(name).name, 0) for name in QUEUES},
    )


def _find_write_error(database: Database) -> SQLAlchemyError | None:
    try:
        database.probe_write()
    except SQLAlchemyError as error:
        return None if "database is locked" in str(error) else error  # SQLite: another writes
    return None


def _database_clock(session: Session) -> datetime:
    """What time it is for the database. SQLite's clock is this machine's."""
    if session.get_bind().dialect.name == "sqlite":
        return datetime.now(UTC)
    return session.scalars(select(func.clock_timestamp(type_=DateTime(timezone=True)))).one()


def _from_future(session: Session, database_now: datetime) -> int:
    """What ended long ago is nobody's concern any more, whenever it says that it came."""
    is_recent = or_(Delivery.ended_at.is_(None), Delivery.ended_at > database_now - FUTURE_WINDOW)
    query = (
        select(func.count())
        .select_from(Delivery)
        .where(Delivery.received_at > database_now + CLOCK_TOLERANCE, is_recent)
    )
    return session.scalar(query) or 0


def _row_stats(session: Session, model: type[Delivery] | type[Notification], now: datetime) -> RowStats:
    number = select(func.count()).select_from(model)
    conditions = (model.has_status("pending"), model.has_status("dead"), model.ended_at.is_not(None))
    pending, dead, ended = session.execute(select(*(number.where(sort).scalar_subquery() for sort in conditions))).one()
    waiting = select(RECEIVED_AT[model].label("came")).where(model.has_status("pending")).offset(0).subquery()
    oldest = session.scalar(select(func.min(waiting.c.came)))  # PostgreSQL would walk the index on time to its end
    return RowStats(
        waiting=pending,
        done=ended - dead,
        dead=dead,
        oldest_waiting=oldest,
        per_minute=_per_minute(session, model.ended_at, now),
    )


def _per_minute(session: Session, column: Any, now: datetime) -> float:
    count = session.scalar(select(func.count()).where(column > now - RATE_WINDOW, column <= now))
    return (count or 0) / (RATE_WINDOW / timedelta(minutes=1))


def _job_stats(job_queue: JobQueue, name: QueueName) -> JobStats:
    queue = job_queue.queue(name)
    return JobStats(
        queued=queue.count,
        scheduled=queue.scheduled_job_registry.count,
        failed=queue.failed_job_registry.count,
        workers=len(heartbeat.live_workers(queue)),
    )
