"""Send due notifications, after the change that caused them was committed."""

import time
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import structlog
from sqlalchemy.exc import SQLAlchemyError

from models.notification import MEETING_OVER, SUPERSEDED, ClaimRefused, Notification
from runtime.database import Database
from runtime.errors import describe, log_fields
from worker.channels import Unresponsive
from worker.channels.log import LogChannel
from worker.drain_result import DrainResult
from worker.identity import own_name
from worker.metrics.protocol import Metrics, NoMetrics
from worker.outbox.claimed import ClaimedNotifications, SendAttempt
from worker.outbox.destinations import Destinations
from worker.outbox.planner import NotificationPlanner, RoutedNotification, to_message
from worker.stopping import stopping

MAX_SEND_TIME = timedelta(seconds=1)
"""Limit for one round: claimed notifications that were not sent are released, because channels may be slow."""
MAX_UNRECORDED_TIME = timedelta(milliseconds=20)
"""A worker killed after sending and before recording sends again. For log lines, which are recorded together, this is
the limit; everything else is recorded at once."""
POLL_SECONDS = 0.25
"""Seconds between checks for notifications to other destinations while messages are being sent."""
log = structlog.get_logger()


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
    _claimed: ClaimedNotifications = field(init=False)
    _destinations: Destinations = field(default_factory=Destinations, init=False)
    _has_released: bool = field(default=False, init=False)
    """Whether a due notification was released since the last check."""

    def __post_init__(self) -> None:
        self._claimed = ClaimedNotifications(self.database, lambda: self.clock(), self.worker)

    def process_due(self) -> DrainResult:
        """Send the next due notifications, as many as time allows.

        Returns:
            `MORE` also while some are still being sent.
        """
        if stopping.is_requested:
            return DrainResult.IDLE
        self._claimed.renew_leases()
        self._has_released = False
        if not self._destinations.has_capacity or (self._claimed.next_is_isolated and not self._destinations.is_idle):
            self._destinations.wait_for_release(POLL_SECONDS)
            return DrainResult.MORE
        was_under_way = not self._destinations.is_idle  # its end may make the next message of a booking due
        try:
            routed = self._claim()
        except ClaimRefused as refusal:
            self._claimed.leave_out_refused(refusal)
            return DrainResult.MORE
        self._dispatch(routed)
        if routed and routed[0].notification.is_isolated:
            self._wait_until_idle()
        if not self._claimed.has_more:
            self._destinations.wait_for_release(POLL_SECONDS)
        is_under_way = not self._destinations.is_idle  # read before the releases that the threads may still make
        if self._claimed.has_more or self._has_released or was_under_way or is_under_way:
            return DrainResult.MORE
        return DrainResult.DRAINED if routed else DrainResult.IDLE

    def _claim(self) -> Sequence[RoutedNotification]:
        with self._claimed.claim(excluding=self._destinations.unavailable()) as (session, notifications):
            return self.planner.route(session, notifications)

    def _dispatch(self, routed: Sequence[RoutedNotification]) -> None:
        """Start a thread for each destination; write log lines, and end what has no channel, here."""
        lines, groups = deque[RoutedNotification](), defaultdict[str, list[RoutedNotification]](list)
        for each in routed:
            if isinstance(each.channel, Exception) or each.notification.channel == LogChannel.name:
                lines.append(each)
            else:
                groups[each.channel.destination].append(each)
        left = _ids(routed)
        try:
            for destination, group in groups.items():
                if self._start_group(destination, group):
                    left -= _ids(group)
                else:
                    self._release(group)
            self._write_log_lines(lines)
        finally:
            self._claimed.forget(left)

    def _write_log_lines(self, lines: deque[RoutedNotification]) -> None:
        deadline = time.monotonic() + MAX_SEND_TIME.total_seconds()
        while lines and time.monotonic() < deadline:
            self._write_some(lines)
        self._release(lines)

    def _write_some(self, lines: deque[RoutedNotification]) -> None:
        """Write log lines and record them at once."""
        attempts, until = list[SendAttempt](), time.monotonic() + MAX_UNRECORDED_TIME.total_seconds()
        try:
            while lines and (not attempts or time.monotonic() < until):
                attempts.append(self._send(lines.popleft()))
        finally:
            self._record(attempts)

    def _start_group(self, destination: str, group: Sequence[RoutedNotification]) -> bool:
        """Start a thread that sends a group, unless the destination is busy or cooling down."""
        fingerprints = {each.notification.fingerprint for each in group}
        if not self._destinations.acquire(destination, group[0].notification.channel, fingerprints):
            return False
        stopping.start(self._send_group, destination, deque(group))
        return True

    def _send_group(self, destination: str, waiting: deque[RoutedNotification]) -> None:
        """Send to one destination in order, until the time is up or it does not respond."""
        ids, deadline, until = _ids(waiting), time.monotonic() + MAX_SEND_TIME.total_seconds(), None
        try:
            while waiting and not until:
                attempt = self._send(waiting[0], destination)
                if isinstance(attempt.error, Unresponsive):
                    if stopping.abort_late_exchanges():
                        break  # aborted by this process: the next one sends it again
                    until = self.clock() + (attempt.error.retry_after or timedelta())
                self._record([attempt])
                waiting.popleft()
                if stopping.is_requested or time.monotonic() > deadline:
                    break
            self._release(waiting, until)
        except SQLAlchemyError as error:
            log.error("database.unavailable", queue="outbox", **log_fields(error))
        except Exception as error:
            log.error("job.failed", queue="outbox", error=type(error).__name__)
        finally:
            self._claimed.forget(ids)
            self._destinations.release(destination)

    def _send(self, routed: RoutedNotification, destination: str = "") -> SendAttempt:
        notification, channel = routed
        if isinstance(channel, Exception):
            return SendAttempt(notification, channel)
        if skip_reason := _reason_to_skip(notification, self.clock()):
            return SendAttempt(notification, skip_reason=skip_reason)
        try:
            channel.send(to_message(notification))
        except Exception as error:
            if destination and isinstance(error, Unresponsive):
                error.retry_after = self._destinations.start_cooldown(destination)
            return SendAttempt(notification, error)
        if destination:
            self._destinations.record_answer(destination)
        return SendAttempt(notification)

    def _record(self, attempts: Sequence[SendAttempt]) -> None:
        """Record attempts, then log and count them."""
        for each in self._claimed.record(attempts) if attempts else ():
            self._report(each)

    def _release(self, waiting: Iterable[RoutedNotification], until: datetime | None = None) -> None:
        """Release notifications that were not tried, until a time if they have to wait."""
        notifications = [each.notification for each in waiting]
        if notifications:
            self._claimed.release(notifications, until)
        if notifications and until is None:
            self._has_released = True
            self.trigger()

    def _wait_until_idle(self) -> None:
        while not self._destinations.is_idle and not stopping.abort_late_exchanges():
            self._claimed.renew_leases()
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


def _ids(routed: Iterable[RoutedNotification]) -> set[int]:
    return {each.notification.id for each in routed}
