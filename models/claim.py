"""Claims: the rows that each worker process is processing, recorded so that they survive its death.

The processing transaction is rolled back when the process dies, so it cannot count deaths. A claim is committed before
anything is processed, and deleted in the processing transaction. A claim that is left over names the rows whose
processing killed the worker; see `recover`.
"""

import json
from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import cache
from typing import Any, Literal

from sqlalchemy import Delete, String, bindparam, delete, func, or_, select, update
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Mapped, Session, mapped_column
from sqlalchemy.sql.elements import ColumnElement

from models.attempt import FailedAttempt
from models.delivery import Delivery
from models.notification import Notification
from runtime.database import (
    Database,
    Model,
    RowsDiscarded,
    database_now,
    insert_into,
    qualified_name,
    table_of,
    update_rows,
)

Queue = Literal["inbox", "outbox"]
Row = Delivery | Notification
RowType = type[Delivery] | type[Notification]
MODEL_OF_QUEUE: dict[Queue, RowType] = {"inbox": Delivery, "outbox": Notification}

INSERT_WITHOUT_FSYNC = (
    "INSERT INTO {} (worker, queue, row_ids, claimed_at)"
    " SELECT %(worker)s, %(queue)s, CAST(%(row_ids)s AS jsonb), clock_timestamp()"
    " WHERE set_config('synchronous_commit', 'off', true) = 'off'"
    " ON CONFLICT (worker) DO UPDATE"
    " SET queue = excluded.queue, row_ids = excluded.row_ids, claimed_at = excluded.claimed_at"
)
"""INSERT for PostgreSQL, in one statement. A claim has to survive the process, not the machine, so no fsync."""


class Claim(Model):
    """The rows that one worker process is processing.

    Attributes:
        worker: name of the worker process, unique across restarts.
        queue: the queue that the rows belong to.
        row_ids: ids of deliveries, or of notifications.
        claimed_at: when the claim was made, by the database's clock.
    """

    __tablename__ = "claims"

    worker: Mapped[str] = mapped_column(String(128), primary_key=True)
    queue: Mapped[Queue] = mapped_column(String(16))
    row_ids: Mapped[list[Any]]
    claimed_at: Mapped[datetime]

    @classmethod
    def record(cls, database: Database, worker: str, queue: Queue, row_ids: Sequence[str | int], now: datetime) -> None:
        """Record what a worker is about to process, in its own transaction. Replaces the worker's last claim.

        SQLite has one writer: there this must not be called inside a transaction.

        Raises:
            RowsDiscarded: a trigger of the platform's discards it, without an error.
            SQLAlchemyError: the database is down.
        """
        if database.supports_skip_locked:
            values = dict(worker=worker, queue=queue, row_ids=json.dumps(list(row_ids)))
            with database.one_statement() as connection:
                statement = INSERT_WITHOUT_FSYNC.format(qualified_name(connection, cls))
                cls._check_written(connection.exec_driver_sql(statement, values))
            return
        with database.unsynced_transaction() as session:
            cls.write(session, worker, queue, row_ids, now)

    @classmethod
    def write(cls, session: Session, worker: str, queue: Queue, row_ids: Sequence[str | int], now: datetime) -> None:
        """Like `record`, in the caller's transaction."""
        values = dict(worker=worker, queue=queue, row_ids=list(row_ids), claimed_at=database_now(session, now))
        insert = insert_into(session, cls).values(values)
        upsert = insert.on_conflict_do_update(index_elements=["worker"], set_=values)
        cls._check_written(session.execute(upsert, execution_options={"preserve_rowcount": True}))

    @classmethod
    def _check_written(cls, result: Any) -> None:
        if result.rowcount < 1:
            raise RowsDiscarded(cls.__tablename__)

    @classmethod
    def release(cls, session: Session, worker: str) -> None:
        """Delete a worker's claim. Call it in the transaction that records the result."""
        session.execute(cls._release_query(), {"name": worker})

    @classmethod
    @cache
    def _release_query(cls) -> Delete:
        return delete(table_of(cls)).where(cls.worker == bindparam("name"))

    @classmethod
    def discard(cls, database: Database, worker: str) -> None:
        """Delete the claim of a live worker whose processing failed. Never raises: its next claim replaces it."""
        try:
            with database.one_statement() as connection:
                connection.execute(cls._release_query(), {"name": worker})
        except SQLAlchemyError:
            return

    @classmethod
    def recover(cls, session: Session, worker: str, now: datetime) -> Sequence[Row]:
        """Isolate the rows that a dead worker had claimed, so that they are tried one by one.

        A row that was claimed alone counts the crash. See `Retryable.isolate` and `Retryable.record_crash`. Leases of
        notifications are released.

        Args:
            session: session of a transaction.
            worker: name of a worker that is certainly dead.
            now: the time, UTC.

        Returns:
            The claimed rows that were still pending.
        """
        claim = session.get(cls, worker, with_for_update=True)
        rows: Sequence[Row] = ()
        if claim:
            try:
                rows = claim._recover(session, claim._rows(session), now)
            except (ValueError, OverflowError):
                claim._recover_unread(session, now)
        is_leased = (Notification.claimed_by == worker, Notification.has_status("pending"))
        update_rows(session, update(Notification).where(*is_leased).values(due_at=now, claimed_by=None))
        return rows

    @classmethod
    def recover_stale(cls, session: Session, older_than: timedelta, now: datetime) -> Sequence[Row]:
        """Recover claims of workers whose death went unnoticed, for example when a whole container was killed.

        A claim is recovered only if its rows are free: a live worker holds the locks of its deliveries (on SQLite the
        only write lock), and the leases of its notifications and of a delivery about which it asks meetergo.

        Args:
            session: session of a transaction.
            older_than: minimum age of a claim that may be stale.
            now: the time, UTC.
        """
        is_stale = or_(  # a clock may have been set back since
            cls.claimed_at < database_now(session, now, -older_than),
            cls.claimed_at > database_now(session, now, older_than),
        )
        stale = select(cls).where(is_stale).order_by(cls.worker)
        found: list[Row] = []
        for claim in session.scalars(stale.with_for_update(skip_locked=True)).all():
            try:
                rows = claim._free_rows(session, now)
            except (ValueError, OverflowError):
                claim._recover_unread(session, now)
                continue
            if rows is not None:
                found += claim._recover(session, rows, now)
        return found

    def _recover(self, session: Session, rows: Sequence[Row], now: datetime) -> Sequence[Row]:
        for row in rows:
            row.isolate()
            if len(self.row_ids) == 1:
                row.record_crash(now)
            if row.status == "dead":
                FailedAttempt.record(session, row, now)
            elif isinstance(row, Notification):
                row.due_at, row.claimed_by = now, None
        session.delete(self)
        session.flush()
        return rows

    def _recover_unread(self, session: Session, now: datetime) -> None:
        """Isolate the claimed rows without loading them: one cannot be loaded. The processor marks that one dead."""
        values: dict[str, Any] = {"is_isolated": True}
        if MODEL_OF_QUEUE[self.queue] is Notification:
            values |= {"due_at": now, "claimed_by": None}
        update_rows(session, update(MODEL_OF_QUEUE[self.queue]).where(*self._is_held()).values(values))
        session.delete(self)
        session.flush()

    def _free_rows(self, session: Session, now: datetime) -> Sequence[Row] | None:
        """Lock and return the claimed rows that are pending; None if a worker still holds one."""
        model = MODEL_OF_QUEUE[self.queue]
        pending = select(func.count()).select_from(model).where(*self._is_held())
        leased = pending.where(model.due_at > database_now(session, now))
        if model is Delivery:
            leased = leased.where(Delivery.attempts > 0)  # see `Delivery.is_due` and `Delivery.await_check`
        if session.scalar(leased):
            return None
        if model is Notification:
            return self._rows(session, skip_locked=True)
        pending_count = session.scalar(pending)
        rows = self._rows(session, skip_locked=True)
        return rows if len(rows) == pending_count else None

    def _is_held(self) -> tuple[ColumnElement[bool], ...]:
        """Conditions for the pending rows. A notification released since may be leased by another worker by now."""
        model = MODEL_OF_QUEUE[self.queue]
        is_pending = model.id.in_(self.row_ids), model.has_status("pending")
        return (*is_pending, Notification.claimed_by == self.worker) if model is Notification else is_pending

    def _rows(self, session: Session, *, skip_locked: bool = False) -> Sequence[Row]:
        model: Any = MODEL_OF_QUEUE[self.queue]
        query = select(model).where(*self._is_held()).order_by(model.id)
        rows: Sequence[Row] = session.scalars(query.with_for_update(skip_locked=skip_locked)).all()
        return rows
