"""A snapshot of the system for `status`: statistics, schema, the API key's expiry."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta

from sqlalchemy import func, select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from models.account import DEFAULT, Account
from models.delivery import Delivery
from models.migrations.newer import (
    NewerDatabase,
    find_newer,
    hidden_version,
    newest_known,
    restricted_tables,
    version_of,
)
from models.reconciliation import Reconciliation
from models.retryable import Status
from models.stats import Stats, collect_stats
from runtime.database import Database
from runtime.process.misspelt import misspelt_settings
from runtime.queue import JobQueue
from runtime.settings import StoreSettings, WaitingSettings


class StatusSettings(StoreSettings, WaitingSettings):
    """Settings of `status`."""

    meetergo_api_key_expires: date | None = None


@dataclass(frozen=True)
class AccountStatus:
    """The state of one account.

    Attributes:
        name: its name.
        is_active: whether its webhooks are accepted.
        waiting: number of its deliveries that are pending.
        dead: number of its deliveries that are dead.
        reconciled_at: when its last run of reconcile ended, UTC; None if none did.
    """

    name: str
    is_active: bool
    waiting: int
    dead: int
    reconciled_at: datetime | None


@dataclass(frozen=True)
class StatusSnapshot:
    """The state of the system at one moment.

    Attributes:
        stats: statistics of both stores.
        is_schema_outdated: whether the database responds but lacks this version's schema.
        longest_wait: how long a row may wait.
        key_days_left: days until the API key expires, if known.
        newer_database: set if a newer version has migrated the database.
        hidden_version: why the version of the database cannot be read, if so.
        restricted_tables: which tables row-level security keeps from us, if any.
        accounts: the accounts, `default` first; empty if there is no other.
        misspelt_settings: misspelt names in `.env` -> the setting that is probably meant.
    """

    stats: Stats
    is_schema_outdated: bool
    longest_wait: timedelta
    key_days_left: int | None
    newer_database: NewerDatabase | None = None
    hidden_version: str | None = None
    restricted_tables: str | None = None
    accounts: Sequence[AccountStatus] = ()
    misspelt_settings: Mapping[str, str] = field(default_factory=dict)


def take_snapshot(
    settings: StatusSettings, database: Database, job_queue: JobQueue, now: datetime, limit: int | None = None
) -> StatusSnapshot:
    """Query both stores; one that is down raises nothing. For `limit` see `collect_stats`."""
    stats = collect_stats(database, job_queue, now, limit)
    expires = settings.meetergo_api_key_expires
    newer, hidden, restricted, is_outdated = _check_schema(database, stats)
    return StatusSnapshot(
        stats,
        is_outdated,
        timedelta(seconds=settings.alert_waiting_seconds),
        (expires - now.date()).days if expires else None,
        newer,
        hidden,
        restricted,
        _accounts(database) if limit is None and stats.rows is not None else (),
        misspelt_settings() if limit is None else {},
    )


def _accounts(database: Database) -> Sequence[AccountStatus]:
    try:
        with database.read_only() as session:
            # Only these columns: a row that cannot be read, written by hand, must not stop `status`.
            others = session.execute(select(Account.name, Account.is_active).order_by(Account.name)).all()
            if not others:
                return ()
            waiting, dead = (_count_by_account(session, status) for status in ("pending", "dead"))
            ended = select(Reconciliation.account, func.max(Reconciliation.ended_at)).group_by(Reconciliation.account)
            reconciled_at = dict(session.execute(ended).all())
    except SQLAlchemyError:
        return ()
    states = {DEFAULT: True} | {row.name: row.is_active for row in others}
    return [
        AccountStatus(name, is_active, waiting.get(name, 0), dead.get(name, 0), reconciled_at.get(name))
        for name, is_active in states.items()
    ]


def _count_by_account(session: Session, status: Status) -> dict[str, int]:
    rows = select(Delivery.account, func.count()).where(Delivery.has_status(status)).group_by(Delivery.account)
    return dict(session.execute(rows).all())


def _check_schema(database: Database, stats: Stats) -> tuple[NewerDatabase | None, str | None, str | None, bool]:
    """Return what is wrong with the schema, as the attributes of `StatusSnapshot` that are about it."""
    if stats.is_database_down:
        return None, None, None, False
    try:
        with database.read_only() as session:
            connection = session.connection()
            version = version_of(connection)
            newer, hidden = find_newer(connection, version), hidden_version(connection, version)
            restricted = restricted_tables(connection)
    except SQLAlchemyError:
        return None, None, None, stats.is_schema_outdated
    if newer:
        return newer, None, restricted, bool(newer.obstacles)
    return None, hidden, restricted, not hidden and (stats.is_schema_outdated or version != newest_known())
