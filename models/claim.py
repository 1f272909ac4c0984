"""Claims: what each worker process is working at, recorded where the death of the process cannot take it back.

The transaction in which rows are processed ends with the process, so it cannot count deaths. A claim is committed
before anything is processed, and deleted in the processing transaction. One that is left over names the rows whose
processing ended its worker: see `recover`.
"""

import json
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Literal

from sqlalchemy import String, delete, func, or_, select, text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Mapped, Session, mapped_column

from models.attempt import FailedAttempt
from models.delivery import Delivery
from models.notification import Notification
from runtime.database import Database, Model, database_now, insert_into, table_of

Queue = Literal["inbox", "outbox"]
Row = Delivery | Notification
MODELS: dict[str, type[Delivery] | type[Notification]] = {"inbox": Delivery, "outbox": Notification}

INSERT_WITHOUT_FSYNC = text(
    "INSERT INTO claims (worker, queue, row_ids, claimed_at)"
    " SELECT :worker, :queue, CAST(:row_ids AS jsonb), clock_timestamp()"
    " WHERE set_config('synchronous_commit', 'off', true) = 'off'"
    " ON CONFLICT (worker) DO UPDATE"
    " SET queue = excluded.queue, row_ids = excluded.row_ids, claimed_at = excluded.claimed_at"
)
"""PostgreSQL's INSERT, all in one statement. A claim has to survive the process, not the machine."""


class Claim(Model):
    """The rows that one worker process is working at.

    Attributes:
        worker: name of one incarnation of a worker process: no other process ever has the same.
        queue: whose rows they are.
        row_ids: ids of deliveries, or of notifications.
        claimed_at: when, by the clock of the database.
    """

    __tablename__ = "claims"

    worker: Mapped[str] = mapped_column(String(128), primary_key=True)
    queue: Mapped[Queue] = mapped_column(String(16))
    row_ids: Mapped[list[Any]]
    claimed_at: Mapped[datetime]

    @classmethod
    def record(cls, database: Database, worker: str, queue: Queue, row_ids: Sequence[str | int], now: datetime) -> None:
        """Keeps what a worker is about to process, in a transaction of its own. It replaces the worker's last claim.

        SQLite has one writer: there it must not be called inside of a transaction.

        Raises:
            SQLAlchemyError: the database is away.
        """
        values = dict(worker=worker, queue=queue, row_ids=list(row_ids), claimed_at=now)
        if database.supports_skip_locked:
            with database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
                connection.execute(INSERT_WITHOUT_FSYNC, values | {"row_ids": json.dumps(values["row_ids"])})
            return
        with database.engine.connect() as connection:
            raw: Any = connection.connection.dbapi_connection
            raw.execute("PRAGMA synchronous=NORMAL")
            try:
                insert = insert_into(connection, cls).values(values)
                connection.execute(insert.on_conflict_do_update(index_elements=["worker"], set_=values))
                connection.commit()
            finally:
                connection.rollback()
                raw.execute("PRAGMA synchronous=FULL")

    @classmethod
    def release(cls, session: Session, worker: str) -> None:
        """They were processed: to be called in the transaction that says so."""
        session.execute(delete(table_of(cls)).where(cls.worker == worker))

    @classmethod
    def discard(cls, database: Database, worker: str) -> None:
        """The same when processing failed and its worker lives. Never raises: the worker's next claim replaces it."""
        try:
            with database.core_transaction() as connection:
                connection.execute(delete(table_of(cls)).where(cls.worker == worker))
        except SQLAlchemyError:
            return

    @classmethod
    def recover(cls, session: Session, worker: str, now: datetime) -> Sequence[Row]:
        """After the death of a worker: what it had claimed is tried row by row from now on.

        A row that was alone counts the death. See `Retryable.isolate` and `Retryable.record_crash`. What a dead
        sender had leased is free again.

        Args:
            session: of a transaction.
            worker: that is dead for certain.
            now: the time, UTC.

        Returns:
            The rows that it had claimed and that have not ended otherwise.
        """
        release_leases = Notification.__table__.update().where(  # type: ignore[attr-defined] # a table
            Notification.claimed_by == worker, Notification.has_status("pending")
        )
        session.execute(release_leases.values(due_at=now, claimed_by=None))
        claim = session.get(cls, worker, with_for_update=True)
        return claim._recover(session, claim._rows(session), now) if claim else ()

    @classmethod
    def recover_stale(cls, session: Session, older_than: timedelta, now: datetime) -> Sequence[Row]:
        """The same for all whose death nobody saw, as when a container is killed with everything in it.

        A claim counts only if nobody holds its rows: a worker holds the locks of deliveries, on SQLite the only one,
        and the lease of notifications.

        Args:
            session: of a transaction.
            older_than: the age of claims that may be left over.
            now: the time, UTC.
        """
        is_stale = or_(  # a clock may have been set back since
            cls.claimed_at < database_now(session, now, -older_than),
            cls.claimed_at > database_now(session, now, older_than),
        )
        stale = select(cls).where(is_stale).order_by(cls.worker)
        found: list[Row] = []
        for claim in session.scalars(stale.with_for_update(skip_locked=True)).all():
            rows = claim._free_rows(session, now)
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

    def _free_rows(self, session: Session, now: datetime) -> Sequence[Row] | None:
        """Its pending rows, locked; None if somebody holds one."""
        model = MODELS[self.queue]
        pending = select(func.count()).select_from(model).where(model.id.in_(self.row_ids), model.has_status("pending"))
        if model is Notification:
            leased = pending.where(Notification.due_at > database_now(session, now))
            return None if session.scalar(leased) else self._rows(session, skip_locked=True)
        pending_count = session.scalar(pending)
        rows = self._rows(session, skip_locked=True)
        return rows if len(rows) == pending_count else None

    def _rows(self, session: Session, *, skip_locked: bool = False) -> Sequence[Row]:
        model: Any = MODELS[self.queue]
        query = select(model).where(model.id.in_(self.row_ids), model.has_status("pending")).order_by(model.id)
        rows: Sequence[Row] = session.scalars(query.with_for_update(skip_locked=skip_locked)).all()
        return rows
