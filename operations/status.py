"""A look at everything: the collect_stats, and what else `status` has to know."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy.exc import SQLAlchemyError

from console.settings import StatusSettings
from models.migrate import is_up_to_date
from models.stats import Stats, collect_stats
from runtime.database import Database
from runtime.queue import JobQueue


@dataclass(frozen=True)
class StatusSnapshot:
    """One look.

    Attributes:
        seen: the numbers.
        lacks_tables: whether the database answers, but not as this version needs it.
        longest_wait: how long a row may wait.
        key_days_left: until the API key ends, if that is known.
    """

    seen: Stats
    lacks_tables: bool
    longest_wait: timedelta
    key_days_left: int | None


def take_snapshot(settings: StatusSettings, database: Database, bell: JobQueue, now: datetime) -> StatusSnapshot:
    """Asks both stores. Never raises because one is away."""
    seen = collect_stats(database, bell, now)
    expires = settings.meetergo_api_key_expires
    return StatusSnapshot(
        seen,
        _lacks_tables(database, seen),
        timedelta(seconds=settings.alert_waiting_seconds),
        (expires - now.date()).days if expires else None,
    )


def _lacks_tables(database: Database, seen: Stats) -> bool:
    if seen.rows is None:
        return seen.lacks_tables
    try:
        return not is_up_to_date(database.engine)
    except SQLAlchemyError:
        return False
