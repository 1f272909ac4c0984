"""A snapshot of the system for `status`: statistics, schema, the API key's expiry."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy.exc import SQLAlchemyError

from models.migrations.newer import NewerDatabase, find_newer, is_up_to_date
from models.stats import Stats, collect_stats
from operations.settings import StatusSettings
from runtime.database import Database
from runtime.queue import JobQueue


@dataclass(frozen=True)
class StatusSnapshot:
    """The state of the system at one moment.

    Attributes:
        stats: statistics of both stores.
        is_schema_outdated: whether the database responds but lacks this version's schema.
        longest_wait: how long a row may wait.
        key_days_left: days until the API key expires, if known.
        newer_database: set if a newer version has migrated the database.
    """

    stats: Stats
    is_schema_outdated: bool
    longest_wait: timedelta
    key_days_left: int | None
    newer_database: NewerDatabase | None = None


def take_snapshot(
    settings: StatusSettings, database: Database, job_queue: JobQueue, now: datetime, limit: int | None = None
) -> StatusSnapshot:
    """Query both stores; one that is down raises nothing. For `limit` see `collect_stats`."""
    stats = collect_stats(database, job_queue, now, limit)
    expires = settings.meetergo_api_key_expires
    newer = _newer(database, stats)
    return StatusSnapshot(
        stats,
        bool(newer.obstacles) if newer else _lacks_tables(database, stats),
        timedelta(seconds=settings.alert_waiting_seconds),
        (expires - now.date()).days if expires else None,
        newer,
    )


def _newer(database: Database, stats: Stats) -> NewerDatabase | None:
    if stats.rows is None and not stats.is_schema_outdated:
        return None
    try:
        with database.read_only() as session:
            return find_newer(session.connection())
    except SQLAlchemyError:
        return None


def _lacks_tables(database: Database, stats: Stats) -> bool:
    if stats.rows is None:
        return stats.is_schema_outdated
    try:
        return not is_up_to_date(database.engine)
    except SQLAlchemyError:
        return False
