"""The notifications that this process has claimed: each has a lease until it is recorded or released."""

import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from functools import partial
from threading import Lock
from typing import NamedTuple

import structlog
from sqlalchemy.exc import DBAPIError, OperationalError, SQLAlchemyError
from sqlalchemy.orm import Session

from models.attempt import FailedAttempt
from models.claim import Claim
from models.notification import SEND_LEASE, ClaimRefused, Notification, refusals_of
from models.retryable import RefusedRows, Turn, stored_error
from runtime.database import Database, RowsDiscarded, check_constraints
from runtime.errors import Permanent, log_fields
from runtime.write_probe import probe_write
from worker.channels import TemporaryRefusal

BATCH = 100
MAX_RECORDING_TIME = SEND_LEASE
"""Limit for recording a message that was sent, while the database is down: until then no other worker may send it."""
MAX_REFUSAL_TIME = timedelta(hours=1)
"""Time after which a temporary refusal becomes permanent: see `TemporaryRefusal`."""
MAX_SEARCH_TIME = timedelta(seconds=5)
"""Limit for finding the rows of a batch that cannot be claimed: each attempt may wait for a lock."""
UNRECORDED = (DBAPIError, RowsDiscarded)
log = structlog.get_logger()


class SendAttempt(NamedTuple):
    """One attempt to send: its error if it failed, or the reason if it was skipped as no longer useful."""

    notification: Notification
    error: Exception | None = None
    skip_reason: str = ""

    def unrecorded(self, error: SQLAlchemyError) -> "SendAttempt":
        """Return what to record instead, because the database refuses this."""
        what = "it was not sent, and" if self.error or self.skip_reason else "it was sent, but"
        reason = f"{what} that could not be recorded: {': '.join(log_fields(error).values())}"
        return SendAttempt(self.notification, Permanent(reason))


class ClaimedNotifications:
    """Claims due notifications, keeps their leases while they are sent, and ends each with its result or releases it.

    Threads record and release at the same time. A lock serialises that, so that ids, rows and claim agree.

    Attributes:
        has_more: whether the last claim left due notifications.
        next_is_isolated: whether the next claim takes one that has to be sent alone.
    """

    def __init__(self, database: Database, clock: Callable[[], datetime], worker: str) -> None:
        self.database, self.clock, self.worker = database, clock, worker
        self.has_more = self.next_is_isolated = False
        self._is_shared = False  # whether accounts beside `default` had pending notifications at the last claim
        self._turn, self._refused = Turn(), RefusedRows()
        self._lock, self._ids, self._renewed_at = Lock(), set[int](), 0.0

    @contextmanager
    def claim(self, excluding: Collection[str]) -> Iterator[tuple[Session, Sequence[Notification]]]:
        """Claim due notifications, and yield them inside of the transaction.

        Args:
            excluding: fingerprints of channels not to use now.

        Raises:
            ClaimRefused: the database refuses one or more of them; see `leave_out_refused`.
        """
        with self._lock:
            with self.database.unsynced_transaction() as session:
                now, refused = self.clock(), self._refused.keys
                claimed = self._take(session, now, excluding, refused)
                yield session, claimed
                look_ahead = Notification.look_ahead(session, now, excluding=excluding, refused=refused)
                has_isolated, self._is_shared = look_ahead
                self.next_is_isolated = has_isolated and not self.next_is_isolated
                ids = self._ids | {row.id for row in claimed}
                if claimed:
                    Claim.write(session, self.worker, "outbox", sorted(ids), now)
                with refusals_of(claimed):  # by a deferred constraint
                    session.commit()
            self.has_more = len(claimed) == BATCH or bool(claimed and self._is_shared) or self.next_is_isolated
            if not self._ids:
                self._renewed_at = time.monotonic()
            self._ids = ids

    def _take(
        self, session: Session, now: datetime, excluding: Collection[str], refused: Collection[int]
    ) -> Sequence[Notification]:
        """Claim due notifications; while several accounts have some, those of the one whose turn it is."""
        claim = partial(Notification.claim, session, now, worker=self.worker, excluding=excluding, refused=refused)
        if self.next_is_isolated:
            return claim(limit=1, is_isolated=True)
        claim = partial(claim, limit=BATCH)
        return self._turn.take(session, Notification, claim) if self._is_shared else claim()

    def leave_out_refused(self, refusal: ClaimRefused) -> None:
        """Leave out those rows that cannot be claimed, such as by a trigger of the platform that fails for them alone.

        Raises:
            SQLAlchemyError: no others can be claimed, or the database cannot be written.
        """
        self.next_is_isolated = False
        probe_write(self.database)
        errors, until = dict[int, SQLAlchemyError](), time.monotonic() + MAX_SEARCH_TIME.total_seconds()
        for key in refusal.ids:
            if error := self._claim_error(key):
                errors[key] = error
                self._refused.add(key)
            if time.monotonic() > until:
                break
        if errors:
            log.error("notification.not_claimable", ids=[*errors], **log_fields(next(iter(errors.values()))))
        if not 0 < len(errors) < len(refusal.ids):
            raise refusal.reason from None

    def _claim_error(self, notification_id: int) -> SQLAlchemyError | None:
        """Return why a row cannot be claimed; None if it can. It stays as it was."""
        try:
            with self._lock, self.database.rolled_back() as session:
                Notification.lease(session, [notification_id], self.clock(), self.worker)
                check_constraints(session)
        except UNRECORDED as error:
            return None if isinstance(error, OperationalError) else error
        return None

    def renew_leases(self) -> None:
        """Renew the leases of messages still being sent, long before they end."""
        if self._ids and time.monotonic() > self._renewed_at + SEND_LEASE.total_seconds() / 3:
            with self._lock, self.database.transaction() as session:
                Notification.renew_lease(session, self._ids, self.worker, self.clock())
            self._renewed_at = time.monotonic()

    def record(self, attempts: Sequence[SendAttempt]) -> Sequence[SendAttempt]:
        """Record attempts, retrying while the database is down: an unrecorded message would be sent again.

        Returns:
            The attempts with their rows as they are now.

        Raises:
            SQLAlchemyError: the database cannot be written.
        """
        until = time.monotonic() + MAX_RECORDING_TIME.total_seconds()
        while True:
            try:
                return self._record(attempts)
            except UNRECORDED:  # down, or not writable for a while
                if time.monotonic() > until:
                    return self._record_each(attempts)
                time.sleep(1)

    def _record_each(self, attempts: Sequence[SendAttempt]) -> Sequence[SendAttempt]:
        """Record attempts one by one. One that the database refuses, although it can be written, ends dead.

        A trigger of the platform may fail, for example, and the message would be sent again and again.
        """
        recorded = list[SendAttempt]()
        probe_write(self.database)
        for each in attempts:
            try:
                recorded += self._record([each])
            except UNRECORDED as error:
                recorded += self._record([each.unrecorded(error)])
        return recorded

    def _record(self, attempts: Sequence[SendAttempt]) -> Sequence[SendAttempt]:
        """Record only rows whose lease this process still holds: another may have sent the rest since."""
        by_id, now = {each.notification.id: each for each in attempts}, self.clock()
        unsent = {key: each for key, each in by_id.items() if each.error or each.skip_reason}
        sent = [each.notification for key, each in by_id.items() if key not in unsent]
        with self._ending(by_id.keys()) as session:
            finished = Notification.finish_all(session, sent, self.worker, now)
            rows = Notification.get_claimed(session, unsent, self.worker) if unsent else {}
            for key, row in rows.items():
                if error := unsent[key].error:
                    _fail(session, row, error, now)
                else:
                    row.end_without_sending(unsent[key].skip_reason, now)
        if lost := len(attempts) - finished - len(rows):
            log.warning("notification.lease_lost", count=lost)
        return [each._replace(notification=rows[key]) if key in rows else each for key, each in by_id.items()]

    def release(self, rows: Sequence[Notification], until: datetime | None = None) -> None:
        """Release notifications that were not tried, until a time if they have to wait."""
        with self._ending({row.id for row in rows}) as session:
            Notification.release(session, rows, self.worker, until)

    @contextmanager
    def _ending(self, ids: Collection[int]) -> Iterator[Session]:
        """Open a transaction that ends or releases claimed rows. The claim is deleted with the last one."""
        with self._lock:
            with self.database.transaction() as session:
                yield session
                remaining = self._ids.difference(ids)
                if self._ids and not remaining:
                    Claim.release(session, self.worker)
            self._ids = remaining

    def forget(self, ids: Collection[int]) -> None:
        """Forget claimed rows whose results could not be recorded: their leases are not renewed, and end."""
        with self._lock:
            self._ids = self._ids.difference(ids)


def _fail(session: Session, row: Notification, error: Exception, now: datetime) -> None:
    """Fail a notification. A temporary refusal becomes permanent after MAX_REFUSAL_TIME."""
    until = None
    if isinstance(error, TemporaryRefusal):
        first = FailedAttempt.first_failed_at(session, row, stored_error(error)) if row.attempts else None
        until = (first or now) + MAX_REFUSAL_TIME
        error = Permanent(str(error)) if now >= until else error
    row.fail(error, now)
    if until and row.status == "pending":
        row.due_at = max(now, min(row.due_at, until))
    row.claimed_by = None
    FailedAttempt.record(session, row, now)
