"""The conditions of incidents, decided from the counts of both stores."""

from collections.abc import Callable, Mapping
from datetime import timedelta

from models.incident import IncidentKind
from models.stats import RowStats, Stats
from runtime.queue import QueueName

Condition = Callable[[Stats, timedelta], bool | None]

REDIS_ONLY_TOLERANCE = timedelta(seconds=30)
"""A deferred webhook that a worker stores within this time is not an incident."""


def _waits_too_long(stats: Stats, max_wait: timedelta) -> bool | None:
    if stats.rows is None:
        return None
    return any(queue.oldest_waiting and stats.at - queue.oldest_waiting > max_wait for queue in stats.rows.values())


def _is_in_redis_only(stats: Stats, max_wait: timedelta) -> bool | None:
    deferred = stats.redis_only
    return None if deferred is None else bool(deferred.oldest and stats.at - deferred.oldest > REDIS_ONLY_TOLERANCE)


def _has_no_worker(stats: Stats, max_wait: timedelta) -> bool | None:
    if stats.jobs is None or not stats.is_redis_usable:
        return None
    return any(not jobs.workers for jobs in stats.jobs.values())


def _of_rows(condition: Callable[[Stats, Mapping[QueueName, RowStats]], bool]) -> Condition:
    """Make a condition that is unknown while the database is down."""
    return lambda stats, max_wait: None if stats.rows is None else condition(stats, stats.rows)


CONDITIONS: dict[IncidentKind, Condition] = {
    "deliveries_dead": _of_rows(lambda stats, rows: rows["inbox"].dead > 0),
    "notifications_dead": _of_rows(lambda stats, rows: rows["outbox"].dead > 0),
    "failing_again": _of_rows(lambda stats, rows: stats.failing.rows > 0),
    "waiting_too_long": _waits_too_long,
    "no_worker": _has_no_worker,
    "clock_ahead": _of_rows(lambda stats, rows: stats.is_clock_wrong),
    "redis_only": _is_in_redis_only,
    "database_read_only": _of_rows(lambda stats, rows: stats.write_error is not None),
    "database_down": lambda stats, max_wait: stats.is_database_down,
    "redis_down": lambda stats, max_wait: not stats.is_redis_usable,
    "reconcile_stopped": _of_rows(
        lambda stats, rows: bool(stats.reconcile_status and stats.reconcile_status.error(stats.at))
    ),
}
"""Incident kind -> its condition, which returns None while it cannot be known."""
