"""Statistics of both stores: row counts, job counts, rates and open incidents, for the console, metrics and alerts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from redis.exceptions import RedisError
from sqlalchemy import DateTime, func, or_, select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from models.account import DEFAULT
from models.claim import MODEL_OF_QUEUE, RowType
from models.delivery import Delivery
from models.error_groups import ErrorGroups
from models.incident import Incident, IncidentKind
from models.notification import Notification
from models.reconciliation import ReconcileStatus
from runtime.database import CLOCK_TOLERANCE, Database, is_postgresql, is_schema_outdated
from runtime.queue import QUEUES, JobQueue, QueueName
from runtime.redis import deferred_deliveries, heartbeat
from runtime.redis.client import eviction_policy
from runtime.redis.deferred_deliveries import RedisOnly
from runtime.redis.other_queues import orphaned_queues
from runtime.write_probe import probe_write

RATE_WINDOW = timedelta(minutes=5)
"""Window over which rates are averaged."""

FUTURE_WINDOW = timedelta(days=1)

DEAD_FACTOR = 5
"""No index holds the rows that are done, so the dead ones are subtracted from those that ended. The result is exact
while at most this many times the limit of a count are dead."""

RECEIVED_AT = {Delivery: Delivery.received_at, Notification: Notification.created_at}


@dataclass(frozen=True)
class RowStats:
    """Row counts of one queue.

    Attributes:
        waiting: pending rows, new or to be retried.
        done: rows that are done and not pruned yet.
        dead: dead rows, which need an operator.
        oldest_waiting: when the oldest pending row was received or created; None if none is pending.
        per_minute: rows that ended per minute, within `RATE_WINDOW`.
    """

    waiting: int = 0
    done: int = 0
    dead: int = 0
    oldest_waiting: datetime | None = None
    per_minute: float = 0.0


@dataclass(frozen=True)
class JobStats:
    """RQ job counts of one queue.

    Attributes:
        queued: jobs that are ready to run.
        scheduled: jobs that wait for their time, such as bodies that the database could not take yet.
        failed: jobs of dead rows, as RQ's own tools show them.
        workers: number of live workers, on all machines.
    """

    queued: int
    scheduled: int
    failed: int
    workers: int


@dataclass(frozen=True)
class Stats:
    """A snapshot of both stores.

    Attributes:
        at: when it was taken, UTC.
        rows: queue -> row counts; None if the database did not answer.
        jobs: queue -> job counts; None if Redis did not answer.
        next_runs: scheduled task -> when it runs next; tasks that have not run recently are missing.
        accepted_per_minute: deliveries received per minute, within `RATE_WINDOW`.
        incidents: kind of each open incident -> when it began. Outdated while the scheduler is down.
        incident_details: kind of each open incident that has details and whose condition still holds -> the details.
        account_incidents: the open incidents of accounts other than `default`, oldest first.
        alerts_unsent: number of alert channels that do not take the alert of an open incident.
        errors: why a store did not answer, or why Redis cannot be written.
        reconcile_status: state of reconciling; None if it is not in use.
        write_error: why a database that answers cannot be written; None if it can, or if it does not answer.
        redis_only: webhooks that the database does not have yet; None if Redis did not answer.
        eviction_policy: the policy by which a full Redis would evict webhooks; None if it would not.
        orphaned_queues: name -> webhooks in it that no worker stores; see `other_queues`.
        deaths: queue -> number of workers that died within `heartbeat.DEATH_WINDOW`.
        failing: deliveries that fail repeatedly.
        from_future: deliveries whose time of receipt is in the future.
        clock_lead: how far this machine's clock is ahead of the database's; zero if they run on one machine.
    """

    at: datetime
    rows: Mapping[QueueName, RowStats] | None
    jobs: Mapping[QueueName, JobStats] | None
    next_runs: Mapping[str, datetime] = field(default_factory=dict)
    accepted_per_minute: float = 0.0
    incidents: Mapping[IncidentKind, datetime] = field(default_factory=dict)
    incident_details: Mapping[IncidentKind, Mapping[str, Any]] = field(default_factory=dict)
    account_incidents: Sequence[Incident] = ()
    alerts_unsent: int = 0
    errors: tuple[Exception, ...] = ()
    reconcile_status: ReconcileStatus | None = None
    write_error: SQLAlchemyError | None = None
    redis_only: RedisOnly | None = None
    eviction_policy: str | None = None
    orphaned_queues: Mapping[str, int] = field(default_factory=dict)
    deaths: Mapping[QueueName, int] = field(default_factory=dict)
    failing: ErrorGroups = field(default_factory=ErrorGroups)
    from_future: int = 0
    clock_lead: timedelta = timedelta(0)

    @property
    def is_schema_outdated(self) -> bool:
        """Whether the database answers, but its schema is not that of this version."""
        return any(is_schema_outdated(error) for error in self.errors)

    @property
    def is_database_down(self) -> bool:
        """Whether the database does not answer."""
        return self.rows is None and not self.is_schema_outdated

    @property
    def is_redis_usable(self) -> bool:
        """Whether Redis answers and can be written. What is read of a full one is correct, but gets old."""
        return not any(isinstance(error, RedisError) for error in self.errors)

    @property
    def is_clock_wrong(self) -> bool:
        """Whether the clock of some machine is wrong."""
        return self.from_future > 0 or abs(self.clock_lead) > CLOCK_TOLERANCE


def collect_stats(database: Database, job_queue: JobQueue, now: datetime, limit: int | None = None) -> Stats:
    """Query both stores, and probe a write of each. One that is down leaves its fields None and raises nothing.

    Args:
        database: the database.
        job_queue: the queues.
        now: the time, UTC.
        limit: stop counting rows above this number, so that a page costs the same for a million rows; None to count
            all. Rates are then left out.
    """
    fields: dict[str, Any] = {"rows": None, "jobs": None}
    errors: list[Exception] = []
    try:
        fields |= _database_stats(database, now, limit)
    except SQLAlchemyError as error:
        errors.append(error)
    else:
        fields["write_error"] = _find_write_error(database)
    try:
        fields |= _redis_stats(job_queue)
        job_queue.probe_write()
    except RedisError as error:
        errors.append(error)
    return Stats(at=now, errors=tuple(errors), **fields)


def _database_stats(database: Database, now: datetime, limit: int | None) -> dict[str, Any]:
    with database.read_only() as session:
        database_now = _database_clock(session)
        incidents = Incident.all_open(session)
        own = [incident for incident in incidents if incident.account == DEFAULT]
        return dict(
            rows={
                name: _row_stats(session, model, now) if limit is None else _limited_row_stats(session, model, limit)
                for name, model in MODEL_OF_QUEUE.items()
            },
            accepted_per_minute=_per_minute(session, Delivery.received_at, now) if limit is None else 0.0,
            incidents={incident.kind: incident.began_at for incident in own},
            incident_details={
                incident.kind: incident.details
                for incident in own
                if incident.details is not None and incident.quiet_since is None
            },
            account_incidents=[incident for incident in incidents if incident.account != DEFAULT],
            alerts_unsent=len(set[str]().union(*(incident.unnotified_channels(now) for incident in incidents))),
            reconcile_status=ReconcileStatus.load(session, DEFAULT),
            failing=ErrorGroups.of_repeated_failures(session, Delivery, limit),
            from_future=_from_future(session, database_now),
            clock_lead=datetime.now(UTC) - database_now,
        )


def _redis_stats(job_queue: JobQueue) -> dict[str, Any]:
    deaths = heartbeat.deaths(job_queue.redis)
    return dict(
        jobs={name: _job_stats(job_queue, name) for name in QUEUES},
        next_runs=heartbeat.next_runs(job_queue.redis),
        redis_only=deferred_deliveries.read(job_queue.redis),
        eviction_policy=eviction_policy(job_queue.redis),
        orphaned_queues=orphaned_queues(job_queue.redis, job_queue.queue("inbox").name),
        deaths={name: deaths.get(job_queue.queue(name).name, 0) for name in QUEUES},
    )


def _find_write_error(database: Database) -> SQLAlchemyError | None:
    try:
        probe_write(database)
    except SQLAlchemyError as error:
        return None if "database is locked" in str(error) else error  # SQLite: another process is writing
    return None


def _database_clock(session: Session) -> datetime:
    """Return the database's time. SQLite uses this machine's clock."""
    if is_postgresql(session):
        return session.scalars(select(func.clock_timestamp(type_=DateTime(timezone=True)))).one()
    return datetime.now(UTC)


def _from_future(session: Session, database_now: datetime) -> int:
    """Count deliveries received in the future. Rows that ended long ago do not matter and are left out."""
    is_recent = or_(Delivery.ended_at.is_(None), Delivery.ended_at > database_now - FUTURE_WINDOW)
    query = (
        select(func.count())
        .select_from(Delivery)
        .where(Delivery.received_at > database_now + CLOCK_TOLERANCE, is_recent)
    )
    return session.scalar(query) or 0


def _row_stats(session: Session, model: RowType, now: datetime) -> RowStats:
    number = select(func.count()).select_from(model)
    conditions = (model.has_status("pending"), model.has_status("dead"), model.ended_at.is_not(None))
    pending, dead, ended = session.execute(select(*(number.where(each).scalar_subquery() for each in conditions))).one()
    waiting = select(RECEIVED_AT[model].label("came")).where(model.has_status("pending")).offset(0).subquery()
    oldest = session.scalar(select(func.min(waiting.c.came)))  # otherwise PostgreSQL would scan the whole index on time
    return RowStats(
        waiting=pending,
        done=ended - dead,
        dead=dead,
        oldest_waiting=oldest,
        per_minute=_per_minute(session, model.ended_at, now),
    )


def _limited_row_stats(session: Session, model: RowType, limit: int) -> RowStats:
    """Count up to `limit` + 1 rows of each status, by indexes alone.

    For the oldest pending row, only both ends of the index are read: they hold the oldest untried rows, and those that
    failed most often.
    """
    most = limit + 1
    pending, dead = (select(model.id).where(model.has_status(status)) for status in ("pending", "dead"))
    ended = select(model.ended_at).where(model.ended_at.is_not(None)).order_by(model.ended_at)
    counted = (pending.limit(most), dead.limit(DEAD_FACTOR * most), ended.limit((DEAD_FACTOR + 1) * most))
    numbers = (select(func.count()).select_from(each.subquery()).scalar_subquery() for each in counted)
    oldest = (select(func.min(end.c.came)).scalar_subquery() for end in _both_ends(model, limit))
    number_pending, number_dead, number_ended, *times = session.execute(select(*numbers, *oldest)).one()
    return RowStats(
        waiting=number_pending,
        done=min(number_ended - number_dead, most),
        dead=min(number_dead, most),
        oldest_waiting=min((each for each in times if each), default=None),
    )


def _both_ends(model: RowType, limit: int) -> list[Any]:
    waiting = select(RECEIVED_AT[model].label("came")).where(model.has_status("pending"))
    order = model.due_order()
    ends = (waiting.order_by(*order), waiting.order_by(*(column.desc() for column in order)))
    return [end.limit(limit + 1).subquery() for end in ends]


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
