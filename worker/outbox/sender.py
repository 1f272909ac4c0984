"""The outbox, worked off: news goes out after the change that made it was committed."""

import time
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from threading import Lock
from typing import NamedTuple

import structlog
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.orm import Session

from models.attempt import FailedAttempt
from models.claim import Claim
from models.intervention import BY_RQ, Intervention
from models.notification import IS_OVER, IS_SUPERSEDED, SEND_LEASE, Notification
from models.platform_user import PlatformUser
from runtime.database import Database
from runtime.errors import Permanent, describe
from runtime.queue import JobQueue
from worker.channels import Channel, Refused, Unresponsive
from worker.channels.log import LogChannel
from worker.destinations import Destinations
from worker.identity import own_name
from worker.outbox.planner import NotificationPlanner, to_message
from worker.progress import DrainResult
from worker.stopping import stopping
from worker.tally import Metrics, NoMetrics

BATCH = 100
LONGEST_TURN = timedelta(seconds=1)
"""What was claimed and has not been sent by then, others may have: channels may be slow."""
LONGEST_UNSETTLED = timedelta(milliseconds=20)
"""What was sent and is not written down yet is sent twice, should we be killed. That may happen to lines in a log,
which are written down together; anything else is written down at once."""
LONGEST_SETTLING = timedelta(seconds=20)
"""Together with a turn and the longest channel it is shorter than the lease."""
LONGEST_LOOK = 0.25
"""Seconds. While messages are under way, news for other destinations is looked for this often."""
LONGEST_REFUSAL = timedelta(hours=1)
"""So long a refusal may pass: see `Refused`."""
LATER = timedelta(seconds=5)
"""When to come back to a destination to which somebody sends just now."""

log = structlog.get_logger()


class Interrupted(Exception):
    """A message was under way when this process was asked to stop: it is sent again by the next one."""


class SendAttempt(NamedTuple):
    """One sending: its error, if it failed; or why it was not sent, if it was not worth it any more."""

    notification: Notification
    error: Exception | None = None
    unsent: str = ""


class Addressed(NamedTuple):
    """A notification, and the channel that is to send it."""

    notification: Notification
    channel: Channel


@dataclass
class OutboxSender:
    """Sends notifications: several are claimed in one transaction, each is sent outside, and settled soon after.

    Lines of the log are written at once. To each other destination a thread sends one after the other, so that one
    that hangs holds up nobody else; one that did not answer in time rests.

    Attributes:
        database: where they are.
        bell: tends what failed.
        announcer: knows the channels.
        clock: tells the time, UTC.
        tally: hears of each try.
        worker: name of this process, under which it claims.
    """

    database: Database
    bell: JobQueue
    announcer: NotificationPlanner
    clock: Callable[[], datetime]
    tally: Metrics = field(default_factory=NoMetrics)
    worker: str = field(default_factory=own_name)
    _destinations: Destinations = field(default_factory=Destinations, init=False)
    _writing: Lock = field(default_factory=Lock, init=False)
    """One thread at a time writes: what is held, the rows and the claim agree."""
    _held: set[int] = field(default_factory=set, init=False)
    _renewed_at: float = field(default=0, init=False)
    _is_isolated_next: bool = field(default=False, init=False)
    _has_left: bool = field(default=False, init=False)
    """Whether something that is due was given back since the last look."""

    def work_off(self) -> DrainResult:
        """Sends the next notifications that are due, as many as there is time for.

        Returns:
            `PART` also while some are under way.
        """
        if stopping.is_requested:
            return DrainResult.NOTHING
        self._renew()
        self._has_left = False
        claimed = self._begin_next()
        if len(claimed) < BATCH or not self._destinations.has_room:
            self._destinations.wait_for_an_end(LONGEST_LOOK)
        is_under_way = not self._destinations.is_idle  # before what its end may have left
        if len(claimed) == BATCH or self._is_isolated_next or self._has_left or is_under_way:
            return DrainResult.PART
        return DrainResult.ALL if claimed else DrainResult.NOTHING

    def retry(self, notification_id: str) -> Notification | None:
        """One more try of a notification that failed. A dead one starts over, since somebody asked for it.

        Returns:
            The notification as it is now, or None if there is none.
        """
        addressed = self._claim_one(int(notification_id))
        if not isinstance(addressed, Addressed):
            return addressed
        notification, channel = addressed
        tries: list[SendAttempt] = []
        if _is_log(notification):
            tries += self._send_some(deque([addressed]))
        elif self._begin(channel.destination, [addressed], tries):
            self._until_sent(notification)
        else:
            self._give_back([addressed], self.clock() + LATER)
        self.bell.ring("outbox")
        return tries[0].notification if tries else self._as_it_is(notification.id)

    def _begin_next(self) -> Sequence[Notification]:
        """Claims what is due, and begins to send it."""
        if not self._destinations.has_room or (self._is_isolated_next and not self._destinations.is_idle):
            return []
        is_isolated = self._is_isolated_next
        with self._writing:
            with self.database.transaction() as session:
                now, avoided = self.clock(), self._destinations.to_avoid()
                if is_isolated:
                    claimed = Notification.claim_isolated(session, now, self.worker, without=avoided)
                else:
                    claimed = Notification.claim(session, now, BATCH, self.worker, without=avoided)
                addressed, lost = self._addressed(session, claimed)
                self._is_isolated_next = not is_isolated and Notification.has_isolated(session, now, without=avoided)
            self._hold(claimed)
        self._dispatch(addressed, lost)
        if is_isolated:
            self._until_idle()
        return claimed

    def _addressed(self, session: Session, rows: Sequence[Notification]) -> tuple[list[Addressed], list[SendAttempt]]:
        """With their channels; and those that cannot be sent."""
        users = PlatformUser.among(session, (each.platform_user_id for each in rows))
        addressed: list[Addressed] = []
        lost: list[SendAttempt] = []
        for row in rows:
            try:
                channel = self.announcer.channel_of(row, users.get(row.platform_user_id or 0))
                addressed.append(Addressed(row, channel))
            except Exception as error:
                lost.append(SendAttempt(row, error))
        return addressed, lost

    def _claim_one(self, notification_id: int) -> Notification | Addressed | None:
        """A notification that failed, if it may be sent now."""
        with self._writing:
            with self.database.transaction() as session:
                notification = session.get(Notification, notification_id, with_for_update=True)
                if notification and notification.status == "dead":
                    Intervention.record(session, "replayed", notification, self.clock(), by=BY_RQ)
                    if notification.is_superseded(session):
                        notification.end_unsent(IS_SUPERSEDED, self.clock())
                        return notification
                    self.announcer.readdress(session, notification)
                if notification is None or not notification.wants_another_try(self.clock()):
                    return notification
                [*addressed], lost = self._addressed(session, [notification])
                wait = self._wait_for(addressed[0]) if addressed else None
                if wait:
                    notification.due_at = self.clock() + wait
                    return notification
                notification.lease(self.clock(), self.worker)
            self._hold([notification])
        if lost:
            return self._finish(lost)[0].notification
        return addressed[0]

    def _wait_for(self, addressed: Addressed) -> timedelta | None:
        """How long to leave it, because of others; None if it may be sent now."""
        notification, channel = addressed
        if notification.is_isolated and not self._destinations.is_idle:
            return LATER
        if _is_log(notification):
            return None
        return self._destinations.left_alone(channel.destination) or (
            LATER if self._destinations.is_busy(channel.destination) else None
        )

    def _hold(self, rows: Sequence[Notification]) -> None:
        """Records what this process is about to send, before it does: see models/claim.py."""
        if not rows:
            return
        held = self._held | {row.id for row in rows}
        try:
            Claim.record(self.database, self.worker, "outbox", sorted(held), self.clock())
        except SQLAlchemyError:
            with self.database.transaction() as session:
                Notification.give_back(session, rows, self.worker)
            raise
        self._held = held
        self._renewed_at = self._renewed_at or time.monotonic()

    def _dispatch(self, addressed: Sequence[Addressed], lost: Sequence[SendAttempt]) -> None:
        """Each destination's to a thread of its own; lines of the log are written here."""
        lines: deque[Addressed] = deque()
        others: defaultdict[str, list[Addressed]] = defaultdict(list)
        for each in addressed:
            if _is_log(each.notification):
                lines.append(each)
            else:
                others[each.channel.destination].append(each)
        for destination, group in others.items():
            if not self._begin(destination, group):
                self._give_back(group)
        if lost:
            self._finish(lost, tends=True)
        if lines:
            self._write(lines)

    def _write(self, lines: deque[Addressed]) -> None:
        ids, stop = _ids(lines), time.monotonic() + LONGEST_TURN.total_seconds()
        try:
            while lines and time.monotonic() < stop:
                for each in self._send_some(lines):
                    self._tend(each)
            self._give_back(lines)
        finally:
            self._held -= ids

    def _begin(self, destination: str, group: Sequence[Addressed], tries: list[SendAttempt] | None = None) -> bool:
        """Has a thread send a group, unless its destination is busy or rests.

        Args:
            destination: where to.
            group: what.
            tries: where they are noted by a caller who tends them.
        """
        marks = {each.notification.fingerprint for each in group}
        if not self._destinations.begin(destination, group[0].channel.name, marks):
            return False
        stopping.start(self._send_group, destination, deque(group), tries)
        return True

    def _send_group(self, destination: str, waiting: deque[Addressed], tries: list[SendAttempt] | None) -> None:
        """Sends to one destination, in order, until it is time for others, or until there is no answer."""
        ids, stop, until = _ids(waiting), time.monotonic() + LONGEST_TURN.total_seconds(), None
        try:
            while waiting and not until:
                [sent] = self._finish([self._send(waiting[0], destination)])
                waiting.popleft()
                if isinstance(sent.error, Unresponsive):
                    until = self.clock() + (sent.error.retry_after or timedelta())
                if tries is None:
                    self._tend(sent)
                else:
                    tries.append(sent)
                if stopping.is_requested or time.monotonic() > stop:
                    break
            self._give_back(waiting, until)
        except Interrupted:
            self._give_back(waiting)
        except SQLAlchemyError as error:
            log.error("database.away", box="outbox", error=type(error).__name__)
        except Exception as error:
            log.error("job.failed", box="outbox", error=type(error).__name__)
        finally:
            self._held -= ids
            self._destinations.end(destination)

    def _send_some(self, lines: deque[Addressed]) -> list[SendAttempt]:
        """Writes lines, and settles them at once."""
        tries: list[SendAttempt] = []
        until = time.monotonic() + LONGEST_UNSETTLED.total_seconds()
        try:
            while lines and (not tries or time.monotonic() < until):
                tries.append(self._send(lines.popleft()))
        finally:
            settled = self._finish(tries)
        return settled

    def _send(self, addressed: Addressed, destination: str = "") -> SendAttempt:
        notification, channel = addressed
        unsent = _why_not_to_send(notification, self.clock())
        if unsent:
            return SendAttempt(notification, unsent=unsent)
        try:
            channel.send(to_message(notification))
        except Unresponsive as error:
            if stopping.end_late_exchanges():
                raise Interrupted from error
            if destination:
                error.retry_after = self._destinations.rest(destination)
            return SendAttempt(notification, error)
        except Exception as error:
            return SendAttempt(notification, error)
        if destination:
            self._destinations.answered(destination)
        return SendAttempt(notification)

    def _finish(self, tries: Sequence[SendAttempt], *, tends: bool = False) -> list[SendAttempt]:
        """Writes down what became of them, and says so."""
        settled = self._settle_in_time(tries) if tries else []
        for each in settled:
            self._report(each)
            if tends:
                self._tend(each)
        return settled

    def _tend(self, settled: SendAttempt) -> None:
        if settled.error:
            self.bell.tend("outbox", str(settled.notification.id), settled.notification)

    def _settle_in_time(self, tries: Sequence[SendAttempt]) -> list[SendAttempt]:
        """What was told has to be written down: a database that is away is waited for, lest it be told again."""
        until = time.monotonic() + LONGEST_SETTLING.total_seconds()
        while True:
            try:
                with self._writing:
                    return self._settle(tries)
            except DBAPIError:  # it is down, or cannot be written for a while
                if time.monotonic() > until:
                    raise
                time.sleep(1)

    def _settle(self, tries: Sequence[SendAttempt]) -> list[SendAttempt]:
        """Only of what we still have the lease of: others may have sent the rest since."""
        failed, now = {each.notification.id: each.error for each in tries if each.error}, self.clock()
        unsent = {each.notification.id: each.unsent for each in tries if each.unsent}
        sent = [each.notification for each in tries if not each.error and not each.unsent]
        with self.database.transaction() as session:
            kept = Notification.finish_all(session, sent, self.worker, now)
            others = failed.keys() | unsent.keys()
            rows = Notification.held(session, others, self.worker) if others else {}
            for key, row in rows.items():
                if key in failed:
                    self._fail(session, row, failed[key], now)
                else:
                    row.end_unsent(unsent[key], now)
            left = self._released(session, (each.notification for each in tries))
        self._held = left
        if kept + len(rows) < len(tries):
            log.warning("notification.lease_lost", count=len(tries) - kept - len(rows))
        return [each._replace(notification=rows.get(each.notification.id, each.notification)) for each in tries]

    def _fail(self, session: Session, row: Notification, error: Exception, now: datetime) -> None:
        """A refusal that may pass is final when it has not, after an hour."""
        first = Notification.first_failure(session, row) or now
        if isinstance(error, Refused) and now >= first + LONGEST_REFUSAL:
            error = Permanent(str(error))
        row.fail(error, now)
        if isinstance(error, Refused) and row.status == "pending":
            row.due_at = max(now, min(row.due_at, first + LONGEST_REFUSAL))
        row.claimed_by = None
        FailedAttempt.record(session, row, now)

    def _give_back(self, waiting: Iterable[Addressed], until: datetime | None = None) -> None:
        """Those that were not tried; until when they are left alone, if they are."""
        rows = [each.notification for each in waiting]
        if not rows:
            return
        with self._writing:
            with self.database.transaction() as session:
                Notification.give_back(session, rows, self.worker, until)
                left = self._released(session, rows)
            self._held = left
        self._has_left |= until is None

    def _released(self, session: Session, rows: Iterable[Notification]) -> set[int]:
        """What is still held without these; with the last one the claim goes too."""
        left = self._held - {row.id for row in rows}
        if self._held and not left:
            Claim.release(session, self.worker)
        return left

    def _renew(self) -> None:
        """Prolongs the lease of what is still under way, long before it ends."""
        if not self._held:
            self._renewed_at = 0
        elif time.monotonic() > self._renewed_at + SEND_LEASE.total_seconds() / 3:
            with self._writing, self.database.transaction() as session:
                Notification.renew(session, self._held, self.worker, self.clock())
            self._renewed_at = time.monotonic()

    def _until_sent(self, notification: Notification) -> None:
        """While it is under way, others are sent; unless it has to be alone."""
        while notification.id in self._held and not stopping.end_late_exchanges():
            if notification.is_isolated or stopping.is_requested:
                self._destinations.wait_for_an_end(LONGEST_LOOK)
            else:
                self.work_off()

    def _until_idle(self) -> None:
        while not self._destinations.is_idle and not stopping.end_late_exchanges():
            self._renew()
            self._destinations.wait_for_an_end(LONGEST_LOOK)

    def _as_it_is(self, notification_id: int) -> Notification | None:
        with self.database.reading() as session:
            return session.get(Notification, notification_id)

    def _report(self, attempt: SendAttempt) -> None:
        settled, error, unsent = attempt
        self.tally.notification(settled)
        log.info(
            f"notification.{'retrying' if settled.status == 'pending' else settled.status}",
            notification_id=settled.message_id,
            delivery_id=settled.delivery_id,
            booking_id=settled.booking_id,
            kind=settled.kind,
            channel=settled.channel,
            **({"error": describe(error)} if error else {}),
            **({"unsent": unsent} if unsent else {}),
        )


def _why_not_to_send(notification: Notification, now: datetime) -> str:
    """Asked right before: why it is not worth sending any more, or nothing."""
    return IS_OVER if notification.is_over(now) else ""


def _ids(addressed: Iterable[Addressed]) -> set[int]:
    return {each.notification.id for each in addressed}


def _is_log(notification: Notification) -> bool:
    return notification.channel == LogChannel.name
