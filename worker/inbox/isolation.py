"""What becomes of deliveries whose transaction failed: they are isolated, failed, or left alone for a while."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime

import structlog
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.orm.exc import StaleDataError

from models.attempt import FailedAttempt
from models.delivery import Delivery, DueKind
from models.incident import Incident
from models.retryable import RefusedRows
from runtime.contention import is_contention
from runtime.database import Database, RowsDiscarded
from runtime.errors import Transient, describe, log_fields
from runtime.write_probe import probe_write
from worker.inbox.batch import Outcome

REFUSALS = (DBAPIError, RowsDiscarded, StaleDataError)
"""Errors of an UPDATE that the database refuses, or discards."""

log = structlog.get_logger()


@dataclass(frozen=True)
class Isolation:
    """Finds the delivery that is to blame for a failed transaction, so that it stops no other.

    Attributes:
        database: the database with the deliveries.
        refused: the deliveries that the database refuses to update.
        now: the time, UTC.
    """

    database: Database
    refused: RefusedRows
    now: datetime

    def isolate(self, kind: DueKind, ids: Sequence[str], error: Exception) -> list[Outcome]:
        """Isolate the rows of a failed transaction, which rolled back good rows too: each is tried alone from now on.

        They are to blame only if the database can be written and the transaction of one alone fails again. Then a lost
        connection is its fault, too: a hook that takes longer than the server lets a transaction idle loses it each
        time. Once proves nothing, not even of a single row: the server may have restarted.

        Returns:
            The outcome of a row that failed alone.

        Raises:
            Exception: the same error, if there are no rows, or the reason why the database cannot be written.
        """
        if not ids:
            raise error
        probe_write(self.database)
        if kind == "isolated":
            with self._leaving_refused_alone(ids[0]):
                return self.fail(ids[0], error)
            return []
        log.warning("batch.isolated", deliveries=len(ids), error=describe(error))
        try:
            self._isolate_all(ids)
        except REFUSALS as refusal:
            if is_contention(refusal):
                raise
            for key in ids:
                with self._leaving_refused_alone(key):
                    self._isolate_all([key])
        return []

    def fail(self, delivery_id: str, error: Exception) -> list[Outcome]:
        """Fail only the delivery whose own transaction failed. If its error cannot be stored, store only its type.

        If failed attempts cannot be stored, such as without the right to use their sequence, the row still says so.

        Returns:
            Its outcome; none if it is not pending any more.
        """
        try:
            return self._write_failure(delivery_id, error)
        except Exception:
            return self._write_failure(delivery_id, Transient(type(error).__name__))

    def note_stuck(self, kind: DueKind, ids: Sequence[str]) -> None:
        """Record that due rows made no progress. That never resolves by itself, so an operator has to look at it."""
        log.error("drain.no_progress", queue="inbox", due=kind, deliveries=len(ids), first=ids[0])
        try:
            with self.database.transaction() as session:
                Incident.record_event(session, "processing_stuck", self.now)
        except SQLAlchemyError as error:
            log.warning("incident.not_recorded", error=type(error).__name__)

    def _isolate_all(self, ids: Sequence[str]) -> None:
        with self.database.transaction() as session:
            Delivery.isolate_all(session, ids)

    @contextmanager
    def _leaving_refused_alone(self, delivery_id: str) -> Iterator[None]:
        """Leave a row alone for a while if the database refuses to update it, although it can be written."""
        try:
            yield
        except REFUSALS as error:
            if is_contention(error):
                raise
            probe_write(self.database)
            self.refused.add(delivery_id)
            log.error("delivery.not_updatable", delivery_id=delivery_id, **log_fields(error))

    def _write_failure(self, delivery_id: str, error: Exception) -> list[Outcome]:
        with self.database.transaction() as session:
            delivery = session.get(Delivery, delivery_id, with_for_update=True)
            if delivery is None or delivery.status != "pending":
                return []
            delivery.fail(error, self.now)
            session.flush()
            with suppress(DBAPIError), session.begin_nested():
                FailedAttempt.record(session, delivery, self.now)
        return [Outcome(delivery, error)]
