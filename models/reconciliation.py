"""Reconciliations: progress of the comparison with the provider's bookings, and the result of each run."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Index, Select, String, Text, func, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from models.account import DEFAULT, booking_key
from runtime.database import Model, insert_into

MAX_RUN_TIME = timedelta(hours=1)
"""A run that has not ended after this long hangs, or was killed and no later run has ended."""
INACTIVE_AFTER = timedelta(days=1)
"""Reconciling counts as disabled, not as failing, if no run began for this long."""


class ReconcileCursor(Model):
    """How far the bookings of one host were compared, so that the next run continues where the last one stopped.

    `created_until` is the creation time up to which all new bookings were seen; `swept_at` when the host was last
    compared as a whole; `tried_at` when that was last begun. `meetergo_user_id` is a key within the installation: see
    `key_of`.
    """

    __tablename__ = "reconcile_cursors"

    meetergo_user_id: Mapped[str] = mapped_column(String(255), primary_key=True)
    created_until: Mapped[datetime | None]
    swept_at: Mapped[datetime | None]
    tried_at: Mapped[datetime | None]

    @staticmethod
    def key_of(account: str, host_id: str) -> str:
        """Return the key of a host: meetergo's id, with the account's name before it as in a booking's key."""
        return booking_key(account, host_id)

    @classmethod
    def of_host(cls, session: Session, account: str, host_id: str) -> "ReconcileCursor | None":
        """Return the cursor of one host; None if the host was never compared."""
        return session.get(cls, cls.key_of(account, host_id))

    @classmethod
    def record_attempt(cls, session: Session, account: str, host_id: str, tried_at: datetime | None) -> None:
        """Record that a comparison of a host was begun."""
        cls._upsert(session, cls.key_of(account, host_id), tried_at=tried_at)

    @classmethod
    def advance(
        cls, session: Session, account: str, host_id: str, created_until: datetime | None, swept_at: datetime
    ) -> None:
        """Record how far a host was compared."""
        cls._upsert(session, cls.key_of(account, host_id), created_until=created_until, swept_at=swept_at)

    @classmethod
    def _upsert(cls, session: Session, key: str, **values: datetime | None) -> None:
        insert = insert_into(session, cls).values(meetergo_user_id=key, **values)
        session.execute(insert.on_conflict_do_update(index_elements=["meetergo_user_id"], set_=values))


class Reconciliation(Model):
    """One run: what it read, what differed, and whether it ended.

    `hosts` and `appointments` count what was read; the others count the drift: bookings that were unknown here, had
    changed, were cancelled or revived without a webhook, or that the provider no longer knows. `undelivered` counts
    those of `missed` that were made since the previous run and that no webhook reported.
    """

    __tablename__ = "reconciliations"
    __table_args__ = (Index("ix_reconciliations_started_at", "started_at"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    account: Mapped[str] = mapped_column(String(64), default=DEFAULT, server_default=DEFAULT)
    started_at: Mapped[datetime]
    ended_at: Mapped[datetime | None]
    hosts: Mapped[int] = mapped_column(default=0)
    appointments: Mapped[int] = mapped_column(default=0)
    missed: Mapped[int] = mapped_column(default=0)
    undelivered: Mapped[int] = mapped_column(default=0, server_default="0")
    changed: Mapped[int] = mapped_column(default=0)
    cancelled: Mapped[int] = mapped_column(default=0)
    revived: Mapped[int] = mapped_column(default=0)
    unknown: Mapped[int] = mapped_column(default=0)
    error: Mapped[str | None] = mapped_column(Text)

    @property
    def differed(self) -> int:
        """The number of bookings that differed from the provider's."""
        return self.missed + self.changed + self.cancelled + self.revived

    @classmethod
    def list_query(cls) -> Select[Any]:
        """Select the columns of all runs."""
        return select(*cls.__table__.c)


@dataclass(frozen=True)
class ReconcileStatus:
    """The state of reconciling.

    Attributes:
        last: the last run that ended; None if none did.
        began_at: when the last run began.
        unended_since: start of the first run since which none has ended; None if there is none.
    """

    last: Reconciliation | None
    began_at: datetime
    unended_since: datetime | None

    @classmethod
    def load(cls, session: Session, account: str) -> "ReconcileStatus | None":
        """Load the current state of an account; None if reconciling is not in use."""
        newest, is_own = Reconciliation.started_at.desc(), Reconciliation.account == account
        began_at = session.scalar(select(Reconciliation.started_at).where(is_own).order_by(newest).limit(1))
        if began_at is None:
            return None
        is_ended = Reconciliation.ended_at.is_not(None)
        last = session.scalars(select(Reconciliation).where(is_own, is_ended).order_by(newest).limit(1)).one_or_none()
        unended_query = select(func.min(Reconciliation.started_at)).where(is_own, ~is_ended)
        if last:
            unended_query = unended_query.where(Reconciliation.started_at > last.started_at)
        return cls(last, began_at, session.scalar(unended_query))

    def error(self, now: datetime) -> str | None:
        """Return the problem that needs an operator, without personal data; None if there is none."""
        if now - self.began_at > INACTIVE_AFTER:
            return None
        if self.unended_since and now - self.unended_since > MAX_RUN_TIME:
            return f"no run has ended since {self.unended_since:%Y-%m-%d %H:%M} UTC"
        return self.last.error if self.last else None
