"""Runs: an operator's action on many rows, done in chunks and resumable after any interruption."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import Boolean, ForeignKey, Index, LargeBinary, Select, String, Text, insert, select, update
from sqlalchemy.orm import Mapped, Session, mapped_column
from sqlalchemy.sql.elements import ColumnElement

from runtime.database import Model, partial_index, update_rows

RunKind = Literal["replay", "ignore", "prune", "erase", "send_again"]
RunTarget = Literal["deliveries", "notifications", "old rows", "a guest", "bookings"]
RunStatus = Literal["waiting", "running", "finishing", "done", "cancelled", "failed"]
"""`finishing`: all rows are handled, and the workers are still processing some of them."""
PAGE_SIZE = 1000
"""Rows of a run that are inserted at once."""


class Run(Model):
    """One run over a fixed set of rows (`RunRow`), in the order of `position`.

    The row is the schedule: `due_at` says when the next chunk is due. `position` counts the rows that are handled;
    it advances in the transaction that changes them, so a chunk counts exactly once, even if a process is killed.
    `per_hour` is the maximum rate; null for none. `selection` says how the rows were selected, without people's data.
    `outcome` counts the final statuses. `prune` and `erase` are done in one step and have no rows; `encrypted_guest` is
    the guest to erase, encrypted with BODY_KEYS, until the run has ended.
    """

    __tablename__ = "runs"
    __table_args__ = (
        partial_index("ix_runs_due", "due_at", "id", where="ended_at IS NULL"),
        Index("ix_runs_created_at", "created_at"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[RunKind] = mapped_column(String(16))
    target: Mapped[RunTarget] = mapped_column(String(16))
    status: Mapped[RunStatus] = mapped_column(String(9))
    by: Mapped[str] = mapped_column(String(255))
    reason: Mapped[str] = mapped_column(Text)
    selection: Mapped[dict[str, Any]]
    resend: Mapped[bool] = mapped_column(Boolean)
    superseded: Mapped[bool] = mapped_column(Boolean)
    per_hour: Mapped[int | None]
    total: Mapped[int]
    position: Mapped[int] = mapped_column(default=0)
    changed: Mapped[int] = mapped_column(default=0)
    resent: Mapped[int] = mapped_column(default=0)
    skipped: Mapped[int] = mapped_column("left_alone", default=0)
    outcome: Mapped[dict[str, Any]] = mapped_column(default=dict)
    error: Mapped[str | None] = mapped_column(Text)
    encrypted_guest: Mapped[bytes | None] = mapped_column("sealed", LargeBinary)
    encrypted_with: Mapped[str | None] = mapped_column("sealed_with", String(12))
    cancelled_by: Mapped[str | None] = mapped_column(String(255))
    created_at: Mapped[datetime]
    started_at: Mapped[datetime | None]
    due_at: Mapped[datetime]
    ended_at: Mapped[datetime | None]

    @classmethod
    def list_query(cls) -> Select[Any]:
        """Select what a list shows."""
        progress: tuple[Any, ...] = (cls.status, cls.total, cls.position)
        return select(cls.id, cls.kind, cls.target, *progress, cls.by, cls.reason, cls.created_at)

    @classmethod
    def due(cls, session: Session, now: datetime, without: Sequence[int] = ()) -> "Run | None":
        """Return the run whose next chunk has been due longest."""
        query = select(cls).where(cls.is_active(), cls.due_at <= now, cls.id.not_in(without))
        return session.scalar(query.order_by(cls.due_at, cls.id).limit(1))

    @classmethod
    def is_active(cls) -> ColumnElement[bool]:
        """Runs that have not ended."""
        return cls.ended_at.is_(None)

    @classmethod
    def active(cls, session: Session, limit: int) -> Sequence["Run"]:
        """Return runs that have not ended."""
        return session.scalars(select(cls).where(cls.is_active()).order_by(cls.due_at, cls.id).limit(limit)).all()

    def advance(self, session: Session, **values: Any) -> bool:
        """Set columns unless another process has advanced, cancelled or ended the run meanwhile.

        Returns:
            Whether the row was still as it was read.
        """
        statement = update(Run).where(
            Run.id == self.id, Run.position == self.position, Run.status == self.status, Run.is_active()
        )
        return update_rows(session, statement.values(**values)) == 1

    @classmethod
    def cancel(cls, session: Session, run_id: int, by: str, now: datetime) -> bool:
        """Cancel a run. The chunk in progress is rolled back, or has been committed before.

        Returns:
            Whether it had not ended.
        """
        statement = update(cls).where(cls.id == run_id, cls.is_active())
        values: dict[str, Any] = dict(status="cancelled", cancelled_by=by[:255], ended_at=now, encrypted_guest=None)
        return update_rows(session, statement.values(values)) == 1


class RunRow(Model):
    """One row of a run.

    `ended_at` is that of the row when it was selected; null if it was pending. A row whose `ended_at` has changed was
    handled meanwhile and is skipped. A run over bookings names them by `booking_id` alone.
    """

    __tablename__ = "run_rows"

    run_id: Mapped[int] = mapped_column(ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True)
    position: Mapped[int] = mapped_column(primary_key=True)
    row_id: Mapped[str] = mapped_column(String(64))
    booking_id: Mapped[str] = mapped_column(String(255))
    ended_at: Mapped[datetime | None]

    @classmethod
    def insert_all(cls, session: Session, rows: Sequence[dict[str, Any]]) -> None:
        """Insert rows, page by page."""
        for start in range(0, len(rows), PAGE_SIZE):
            session.execute(insert(cls), rows[start : start + PAGE_SIZE])

    @classmethod
    def following(cls, session: Session, run: Run, limit: int) -> Sequence["RunRow"]:
        """Return a run's next rows."""
        query = select(cls).where(cls.run_id == run.id, cls.position >= run.position).order_by(cls.position)
        return session.scalars(query.limit(limit)).all()
