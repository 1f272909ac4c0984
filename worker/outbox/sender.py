"""Send due notifications, after the change that caused them was committed."""

import time
from collections import defaultdict, deque
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from threading import Lock
from typing import NamedTuple, TypedDict

import structlog
from sqlalchemy.exc import DBAPIError, OperationalError, SQLAlchemyError
from sqlalchemy.orm import Session

from models.attempt import FailedAttempt
from models.claim import Claim
from models.notification import MEETING_OVER, SEND_LEASE, SUPERSEDED, ClaimRefused, Notification
from models.platform_user import PlatformUser
from models.retryable import RefusedRows, Turn
from runtime.database import Database, RowsDiscarded, check_constraints
from runtime.errors import Permanent, describe, log_fields
from worker.channels import Channel, TemporaryRefusal, Unresponsive
from worker.channels.log import LogChannel
from worker.drain_result import DrainResult
from worker.identity import own_name
from worker.metrics import Metrics, NoMetrics
from worker.outbox.destinations import Destinations
from worker.outbox.planner import NotificationPlanner, to_message
from worker.stopping import stopping

BATCH = 100
MAX_SEND_TIME = timedelta(seconds=1)
"""Limit for one round: claimed notifications that were not sent are released, because channels may be slow."""
MAX_UNRECORDED_TIME = timedelta(milliseconds=20)
"""A worker killed after sending and before recording sends again. For log lines, which are recorded together, this is
the limit; everything else is recorded at once."""
MAX_RECORDING_TIME = SEND_LEASE
"""Limit for recording a message that was sent, while the database is down: until then no other worker may send it."""
POLL_SECONDS = 0.25
"""Seconds between checks for notifications to other destinations while messages are being sent."""
MAX_REFUSAL_TIME = timedelta(hours=1)
"""Time after which a temporary refusal becomes permanent: see `TemporaryRefusal`."""
MAX_SEARCH_TIME = timedelta(seconds=5)
"""Limit for finding the rows of a batch that cannot be claimed: each attempt may wait for a lock."""
UNRECORDED = (DBAPIError, RowsDiscarded)
log = structlog.get_logger()


class SendInterrupted(Exception):
    """The process was asked to stop while sending a message: the next process sends it again."""


class SendAttempt(NamedTuple):
    """One attempt to send: its error if it failed, or the reason if it was skipped as no longer useful."""

    notification: Notification
    error: Exception | None = None
    skip_reason: str = ""


class RoutedNotification(NamedTuple):
    """A notification and the channel to send it by."""

    notification: Notification
    channel: Channel


class LeftOut(TypedDict):
    """What not to claim now: channels by their fingerprints, and rows by their ids."""

    excluding: Collection[str]
    refused: Collection[int]


@dataclass
class OutboxSender:
    """Sends notifications: claims several in one transaction, sends each outside, and records the results soon after.

    Log lines are written at once. Each other destination has its own thread, which sends one message after another, so
    that one that hangs holds up no other. A destination that did not respond in time cools down.

    Attributes:
        database: the database with the notifications.
        planner: resolves the channels.
        clock: returns the time, UTC.
        metrics: counts each attempt.
        trigger: called when due notifications were released: the drain that claimed them may have ended.
        worker: name of this process, under which it claims rows.
    """

    database: Database
    planner: NotificationPlanner
    clock: Callable[[], datetime]
    metrics: Metrics = field(default_factory=NoMetrics)
    trigger: Callable[[], object] = lambda: None
    worker: str = field(default_factory=own_name)
    _destinations: Destinations = field(default_factory=Destinations, init=False)
    _write_lock: Lock = field(default_factory=Lock, init=False)
    """Serialises writes, so that the claimed ids, the rows and the claim agree."""
    _claimed_ids: set[int] = field(default_factory=set, init=False)
    _renewed_at: float = field(default=0, init=False)
    _next_is_isolated: bool = field(default=False, init=False)
    _is_shared: bool = field(default=False, init=False)
    """Whether accounts beside `default` had pending notifications at the last claim."""
    _turn: Turn = field(default_factory=Turn, init=False)
    _refused: RefusedRows = field(default_factory=RefusedRows, init=False)
    _has_released: bool = field(default=False, init=False)
    """Whether a due notification was released since the last check."""

    def process_due(self) -> DrainResult:
        """Send the next due notifications, as many as time allows.

        Returns:
            `MORE` also while some are still being sent.
        """
        if stopping.is_requested:
            return DrainResult.IDLE
        self._renew_leases()
        self._has_released = False
        try:
            claimed = self._claim_and_dispatch()
        except ClaimRefused as refusal:
            self._next_is_isolated = False
            if not self._leave_out_refused(refusal.ids):
                raise refusal.reason from None
            return DrainResult.MORE
        if len(claimed) < BATCH or not self._destinations.has_capacity:
            self._destinations.wait_for_release(POLL_SECONDS)
        is_under_way = not self._destinations.is_idle  # read before the releases that the threads may still make
        if (
            len(claimed) == BATCH
            or (claimed and self._is_shared)
            or self._next_is_isolated
            or self._has_released
            or is_under_way
        ):
            return DrainResult.MORE
        return DrainResult.DRAINED if claimed else DrainResult.IDLE

    def _claim_and_dispatch(self) -> Sequence[Notification]:
        """Claim due notifications and start sending them."""
        if not self._destinations.has_capacity or (self._next_is_isolated and not self._destinations.is_idle):
            return []
        is_isolated = self._next_is_isolated
        with self._write_lock:
            with self.database.unsynced_transaction() as session:
                now = self.clock()
                left_out = LeftOut(excluding=self._destinations.unavailable(), refused=self._refused.keys)
                claimed = self._claim(session, now, left_out, is_isolated=is_isolated)
                routed, unroutable = self._route(session, claimed)
                has_isolated, self._is_shared = Notification.look_ahead(session, now, **left_out)
                self._next_is_isolated = not is_isolated and has_isolated
                claimed_ids = self._claimed_ids | {row.id for row in claimed}
                if claimed:
                    Claim.write(session, self.worker, "outbox", sorted(claimed_ids), now)
                Notification.commit_claim(session, claimed)
            if claimed:
                self._claimed_ids, self._renewed_at = claimed_ids, self._renewed_at or time.monotonic()
        self._dispatch(routed, unroutable)
        if is_isolated:
            self._wait_until_idle()
        return claimed

    def _claim(
        self, session: Session, now: datetime, left_out: LeftOut, *, is_isolated: bool
    ) -> Sequence[Notification]:
        """Claim due notifications; while several accounts have some, those of the one whose turn it is."""
        if is_isolated:
            return Notification.claim_isolated(session, now, self.worker, **left_out)
        claim = partial(Notification.claim, session, now, BATCH, self.worker, **left_out)
        return self._turn.take(session, Notification, claim) if self._is_shared else claim()

    def _leave_out_refused(self, ids: Sequence[int]) -> bool:
        """Leave out those rows that cannot be claimed, such as by a trigger of the platform that fails for them alone.

        Returns:
            Whether others can be claimed.

        Raises:
            SQLAlchemyError: the database cannot be written.
        """
        self.database.probe_write()
        errors, until = dict[int, SQLAlchemyError](), time.monotonic() + MAX_SEARCH_TIME.total_seconds()
        for key in ids:
            if error := self._claim_error(key):
                errors[key] = error
                self._refused.add(key)
            if time.monotonic() > until:
                break
        if errors:
            log.error("notification.not_claimable", ids=[*errors], **log_fields(next(iter(errors.values()))))
        return 0 < len(errors) < len(ids)

    def _claim_error(self, notification_id: int) -> SQLAlchemyError | None:
        """Return why a row cannot be claimed; None if it can. It stays as it was."""
        try:
            with self._write_lock, self.database.transaction() as session:
                Notification.lease(session, [notification_id], self.clock(), self.worker)
                check_constraints(session)
                session.rollback()
        except UNRECORDED as error:
            return None if isinstance(error, OperationalError) else error
        return None

    def _route(
        self, session: Session, rows: Sequence[Notification]
    ) -> tuple[list[RoutedNotification], list[SendAttempt]]:
        """Pair notifications with their channels; also return attempts for those that cannot be sent."""
        users = PlatformUser.with_own_channels(session, (each.platform_user_id for each in rows))
        routed: list[RoutedNotification] = []
        unroutable: list[SendAttempt] = []
        for row in rows:
            row.leave_out_superseded(session)
            try:
                channel = self.planner.channel_for(row, users.get(row.platform_user_id or 0))
                routed.append(RoutedNotification(row, channel))
            except Exception as error:
                unroutable.append(SendAttempt(row, error))
        return routed, unroutable

    def _dispatch(self, routed: Sequence[RoutedNotification], unroutable: Sequence[SendAttempt]) -> None:
        """Start a thread for each destination; write log lines here."""
        lines: deque[RoutedNotification] = deque()
        others: defaultdict[str, list[RoutedNotification]] = defaultdict(list)
        for each in routed:
            if _is_log(each.notification):
                lines.append(each)
            else:
                others[each.channel.destination].append(each)
        left = _ids(routed) | {each.notification.id for each in unroutable}
        try:
            for destination, group in others.items():
                if self._start_group(destination, group):
                    left -= _ids(group)
                else:
                    self._release(group)
            if unroutable:
                self._record_and_report(unroutable)
            if lines:
                self._write_log_lines(lines)
        finally:
            self._forget(left)

    def _write_log_lines(self, lines: deque[RoutedNotification]) -> None:
        deadline = time.monotonic() + MAX_SEND_TIME.total_seconds()
        while lines and time.monotonic() < deadline:
            self._send_log_lines(lines)
        self._release(lines)

    def _start_group(self, destination: str, group: Sequence[RoutedNotification]) -> bool:
        """Start a thread that sends a group, unless the destination is busy or cooling down."""
        fingerprints = {each.notification.fingerprint for each in group}
        if not self._destinations.acquire(destination, group[0].channel.name, fingerprints):
            return False
        stopping.start(self._send_group, destination, deque(group))
        return True

    def _send_group(self, destination: str, waiting: deque[RoutedNotification]) -> None:
        """Send to one destination in order, until the time is up or it does not respond."""
        ids, deadline, until = _ids(waiting), time.monotonic() + MAX_SEND_TIME.total_seconds(), None
        try:
            while waiting and not until:
                [sent] = self._record_and_report([self._send(waiting[0], destination)])
                waiting.popleft()
                if isinstance(sent.error, Unresponsive):
                    until = self.clock() + (sent.error.retry_after or timedelta())
                if stopping.is_requested or time.monotonic() > deadline:
                    break
            self._release(waiting, until)
        except SendInterrupted:
            self._release(waiting)
        except SQLAlchemyError as error:
            log.error("database.unavailable", queue="outbox", **log_fields(error))
        except Exception as error:
            log.error("job.failed", queue="outbox", error=type(error).__name__)
        finally:
            self._forget(ids)
            self._destinations.release(destination)

    def _send_log_lines(self, lines: deque[RoutedNotification]) -> None:
        """Write log lines and record them at once."""
        attempts: list[SendAttempt] = []
        until = time.monotonic() + MAX_UNRECORDED_TIME.total_seconds()
        try:
            while lines and (not attempts or time.monotonic() < until):
                attempts.append(self._send(lines.popleft()))
        finally:
            self._record_and_report(attempts)

    def _send(self, routed: RoutedNotification, destination: str = "") -> SendAttempt:
        notification, channel = routed
        skip_reason = _reason_to_skip(notification, self.clock())
        if skip_reason:
            return SendAttempt(notification, skip_reason=skip_reason)
        try:
            channel.send(to_message(notification))
        except Unresponsive as error:
            if stopping.abort_late_exchanges():
                raise SendInterrupted from error
            if destination:
                error.retry_after = self._destinations.start_cooldown(destination)
            return SendAttempt(notification, error)
        except Exception as error:
            return SendAttempt(notification, error)
        if destination:
            self._destinations.record_answer(destination)
        return SendAttempt(notification)

    def _record_and_report(self, attempts: Sequence[SendAttempt]) -> list[SendAttempt]:
        """Record attempts, then log and count them."""
        recorded = self._record_with_retry(attempts) if attempts else []
        for each in recorded:
            self._report(each)
        return recorded

    def _record_with_retry(self, attempts: Sequence[SendAttempt]) -> list[SendAttempt]:
        """Record attempts, retrying while the database is down: an unrecorded message would be sent again."""
        until = time.monotonic() + MAX_RECORDING_TIME.total_seconds()
        while True:
            try:
                with self._write_lock:
                    return self._record(attempts)
            except UNRECORDED:  # down, or not writable for a while
                if time.monotonic() > until:
                    return self._record_each(attempts)
                time.sleep(1)

    def _record_each(self, attempts: Sequence[SendAttempt]) -> list[SendAttempt]:
        """Record attempts one by one. One that the database refuses, although it can be written, ends dead.

        A trigger of the platform may fail, for example, and the message would be sent again and again.

        Raises:
            SQLAlchemyError: the database cannot be written.
        """
        recorded = list[SendAttempt]()
        with self._write_lock:
            self.database.probe_write()
            for each in attempts:
                try:
                    recorded += self._record([each])
                except UNRECORDED as error:
                    recorded += self._record([each._replace(error=_unrecorded(each, error), skip_reason="")])
        return recorded

    def _record(self, attempts: Sequence[SendAttempt]) -> list[SendAttempt]:
        """Record only rows whose lease this process still holds: another may have sent the rest since."""
        failed, now = {each.notification.id: each.error for each in attempts if each.error}, self.clock()
        skip_reasons = {each.notification.id: each.skip_reason for each in attempts if each.skip_reason}
        sent = [each.notification for each in attempts if not each.error and not each.skip_reason]
        with self.database.transaction() as session:
            finished = Notification.finish_all(session, sent, self.worker, now)
            others = failed.keys() | skip_reasons.keys()
            rows = Notification.get_claimed(session, others, self.worker) if others else {}
            for key, row in rows.items():
                if key in failed:
                    self._fail(session, row, failed[key], now)
                else:
                    row.end_without_sending(skip_reasons[key], now)
            remaining = self._remaining_after(session, (each.notification for each in attempts))
        self._claimed_ids = remaining
        if finished + len(rows) < len(attempts):
            log.warning("notification.lease_lost", count=len(attempts) - finished - len(rows))
        return [each._replace(notification=rows.get(each.notification.id, each.notification)) for each in attempts]

    def _fail(self, session: Session, row: Notification, error: Exception, now: datetime) -> None:
        """Fail a notification. A temporary refusal becomes permanent after MAX_REFUSAL_TIME."""
        first = FailedAttempt.first_failed_at(session, row) or now
        if isinstance(error, TemporaryRefusal) and now >= first + MAX_REFUSAL_TIME:
            error = Permanent(str(error))
        row.fail(error, now)
        if isinstance(error, TemporaryRefusal) and row.status == "pending":
            row.due_at = max(now, min(row.due_at, first + MAX_REFUSAL_TIME))
        row.claimed_by = None
        FailedAttempt.record(session, row, now)

    def _release(self, waiting: Iterable[RoutedNotification], until: datetime | None = None) -> None:
        """Release notifications that were not tried, until a time if they have to wait."""
        rows = [each.notification for each in waiting]
        if not rows:
            return
        with self._write_lock:
            with self.database.transaction() as session:
                Notification.release(session, rows, self.worker, until)
                remaining = self._remaining_after(session, rows)
            self._claimed_ids = remaining
        if until is None:
            self._has_released = True
            self.trigger()

    def _forget(self, ids: set[int]) -> None:
        """Forget claimed rows whose results could not be recorded: their leases are not renewed, and end."""
        with self._write_lock:
            self._claimed_ids = self._claimed_ids - ids

    def _remaining_after(self, session: Session, rows: Iterable[Notification]) -> set[int]:
        """Return the claimed ids without these; release the claim with the last one."""
        remaining = self._claimed_ids - {row.id for row in rows}
        if self._claimed_ids and not remaining:
            Claim.release(session, self.worker)
        return remaining

    def _renew_leases(self) -> None:
        """Renew the leases of messages still being sent, long before they end."""
        if not self._claimed_ids:
            self._renewed_at = 0
        elif time.monotonic() > self._renewed_at + SEND_LEASE.total_seconds() / 3:
            with self._write_lock, self.database.transaction() as session:
                Notification.renew_lease(session, self._claimed_ids, self.worker, self.clock())
            self._renewed_at = time.monotonic()

    def _wait_until_idle(self) -> None:
        while not self._destinations.is_idle and not stopping.abort_late_exchanges():
            self._renew_leases()
            self._destinations.wait_for_release(POLL_SECONDS)

    def _report(self, attempt: SendAttempt) -> None:
        recorded, error, skip_reason = attempt
        self.metrics.notification(recorded)
        log.info(
            f"notification.{'retrying' if recorded.status == 'pending' else recorded.status}",
            account=recorded.account,
            notification_id=recorded.message_id,
            delivery_id=recorded.delivery_id,
            booking_id=recorded.booking_id,
            kind=recorded.kind,
            channel=recorded.channel,
            **({"error": describe(error)} if error else {}),
            **({"unsent": skip_reason} if skip_reason else {}),
        )


def _reason_to_skip(notification: Notification, now: datetime) -> str:
    """Return why a notification is no longer worth sending, or "". Called right before it is sent."""
    if notification.has_nothing_left:
        return SUPERSEDED
    return MEETING_OVER if notification.is_meeting_over(now) else ""


def _unrecorded(attempt: SendAttempt, error: SQLAlchemyError) -> Permanent:
    what = "it was not sent, and" if attempt.error or attempt.skip_reason else "it was sent, but"
    return Permanent(f"{what} that could not be recorded: {': '.join(log_fields(error).values())}")


def _ids(routed: Iterable[RoutedNotification]) -> set[int]:
    return {each.notification.id for each in routed}


def _is_log(notification: Notification) -> bool:
    return notification.channel == LogChannel.name
