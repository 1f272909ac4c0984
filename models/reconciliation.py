"""Reconciliations: how far we compared our bookings with the provider's, and what each run found."""

from datetime import datetime

from sqlalchemy import Index, String, Text
from sqlalchemy.orm import Mapped, Session, mapped_column

from models.database import Model, insert_into


class ReconcileCursor(Model):
    """How far the bookings of one host were compared, so that the next run goes on where the last one stopped.

    `created_until` is the creation time up to which all new bookings were seen; `swept_at` when the host was last
    compared as a whole; `tried_at` when that was last begun.
    """

    __tablename__ = "reconcile_cursors"

    meetergo_user_id: Mapped[str] = mapped_column(String(255), primary_key=True)
    created_until: Mapped[datetime | None]
    swept_at: Mapped[datetime | None]
    tried_at: Mapped[datetime | None]

    @classmethod
    def begin(cls, session: Session, host_id: str, tried_at: datetime | None) -> None:
        """Notes that a host had its turn."""
        cls._keep(session, host_id, tried_at=tried_at)

    @classmethod
    def move(cls, session: Session, host_id: str, created_until: datetime | None, swept_at: datetime) -> None:
        """Notes how far we are with a host."""
        cls._keep(session, host_id, created_until=created_until, swept_at=swept_at)

    @classmethod
    def _keep(cls, session: Session, host_id: str, **values: datetime | None) -> None:
        insert = insert_into(session, cls.__table__).values(meetergo_user_id=host_id, **values)
        session.execute(insert.on_conflict_do_update(index_elements=["meetergo_user_id"], set_=values))


class Reconciliation(Model):
    """One run: what it read, what was missing or different, and whether it came to its end.

    `hosts` and `appointments` count what was read; the others are the drift: bookings of which we did not know,
    that had changed, were cancelled or revived without our hearing of it, or that the provider does not know any more.
    """

    __tablename__ = "reconciliations"
    __table_args__ = (Index("ix_reconciliations_started_at", "started_at"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    started_at: Mapped[datetime]
    ended_at: Mapped[datetime | None]
    hosts: Mapped[int] = mapped_column(default=0)
    appointments: Mapped[int] = mapped_column(default=0)
    missed: Mapped[int] = mapped_column(default=0)
    changed: Mapped[int] = mapped_column(default=0)
    cancelled: Mapped[int] = mapped_column(default=0)
    revived: Mapped[int] = mapped_column(default=0)
    unknown: Mapped[int] = mapped_column(default=0)
    error: Mapped[str | None] = mapped_column(Text)
