"""The outbox, worked off: news goes out after the change that made it was committed."""

import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import NamedTuple

import structlog
from sqlalchemy.exc import DBAPIError

from models.attempt import FailedAttempt
from models.database import Database
from models.failures import describe
from models.intervention import BY_RQ, Intervention
from models.notification import Notification
from models.platform_user import PlatformUser
from models.queue import Bell
from worker.announcer import Announcer, message_of
from worker.channels.log import LogChannel
from worker.progress import Progress
from worker.tally import NoTally, Tally

BATCH = 100
LONGEST_TURN = timedelta(seconds=1)
"""What was claimed and has not been sent by then, others may have: channels may be slow."""
LONGEST_UNSETTLED = timedelta(milliseconds=20)
"""What was sent and is not written down yet is sent twice, should we be killed. That may happen to lines in a log,
which are written down together; anything else is written down at once."""
LONGEST_SETTLING = timedelta(seconds=20)
"""Together with a turn and the longest channel it is shorter than the lease."""

log = structlog.get_logger()


class Try(NamedTuple):
    """One sending: its error, if it failed."""

    notification: Notification
    error: Exception | None = None


@dataclass(frozen=True)
class Outbox:
    """Sends notifications: several are claimed in one transaction, each is sent outside, and settled soon after.

    Attributes:
        database: where they are.
        bell: tends what failed.
        announcer: knows the channels.
        clock: tells the time, UTC.
        tally: hears of each try.
    """

    database: Database
    bell: Bell
    announcer: Announcer
    clock: Callable[[], datetime]
    tally: Tally = field(default_factory=NoTally)

    def work_off(self) -> Progress:
        """Sends the next notifications that are due, as many as there is time for."""
        with self.database.transaction() as session:
            claimed = Notification.claim(session, self.clock(), BATCH)
            users = PlatformUser.among(session, (each.platform_user_id for each in claimed))
        rest = deque(claimed)
        stop = time.monotonic() + LONGEST_TURN.total_seconds()
        while rest and time.monotonic() < stop:
            for settled, error in self._send_some(rest, users):
                if error:
                    self.bell.tend("outbox", str(settled.id), settled)
        if rest:
            with self.database.transaction() as session:
                Notification.give_back(session, rest)
        if len(claimed) == BATCH or rest:
            return Progress.PART
        return Progress.ALL if claimed else Progress.NOTHING

    def retry(self, notification_id: str) -> Notification | None:
        """One more try of a notification that failed. A dead one starts over, since somebody asked for it.

        Returns:
            The notification as it is now, or None if there is none.
        """
        with self.database.transaction() as session:
            notification = session.get(Notification, int(notification_id), with_for_update=True)
            if notification and notification.status == "dead":
                Intervention.record(session, "replayed", notification, self.clock(), by=BY_RQ)
            if notification is None or not notification.wants_another_try(self.clock()):
                return notification
            notification.lease(self.clock())
            users = PlatformUser.among(session, [notification.platform_user_id])
        [(settled, _)] = self._send_some(deque([notification]), users)
        self.bell.ring("outbox")
        return settled

    def _send_some(self, waiting: deque[Notification], users: Mapping[int, PlatformUser]) -> list[Try]:
        """Sends one, and more while those before were lines in a log; settles all of them at once."""
        tries: list[Try] = []
        until = time.monotonic() + LONGEST_UNSETTLED.total_seconds()
        try:
            while waiting and (not tries or (_is_log(tries[-1]) and time.monotonic() < until)):
                notification = waiting.popleft()
                tries.append(self._send(notification, users.get(notification.platform_user_id or 0)))
        finally:
            settled = self._settle_in_time(tries)
        for each in settled:
            self._report(*each)
        return settled

    def _send(self, notification: Notification, user: PlatformUser | None) -> Try:
        try:
            self.announcer.channel_of(notification, user).send(message_of(notification))
        except Exception as error:
            return Try(notification, error)
        return Try(notification)

    def _settle_in_time(self, tries: Sequence[Try]) -> list[Try]:
        """What was told has to be written down: a database that is away is waited for, lest it be told again."""
        until = time.monotonic() + LONGEST_SETTLING.total_seconds()
        while True:
            try:
                return self._settle(tries)
            except DBAPIError:  # it is down, or cannot be written for a while
                if time.monotonic() > until:
                    raise
                time.sleep(1)

    def _settle(self, tries: Sequence[Try]) -> list[Try]:
        failed, now = {each.notification.id: each.error for each in tries if each.error}, self.clock()
        with self.database.transaction() as session:
            Notification.finish_all(session, [each.notification for each in tries if not each.error], now)
            rows = Notification.locked(session, failed) if failed else {}
            for key, row in rows.items():
                row.fail(failed[key], now)
                FailedAttempt.record(session, row, now)
        return [Try(rows.get(sent.id, sent), error) for sent, error in tries]

    def _report(self, settled: Notification, error: Exception | None) -> None:
        self.tally.notification(settled)
        log.info(
            f"notification.{'retrying' if settled.status == 'pending' else settled.status}",
            notification_id=settled.message_id,
            delivery_id=settled.delivery_id,
            booking_id=settled.booking_id,
            kind=settled.kind,
            channel=settled.channel,
            **({"error": describe(error)} if error else {}),
        )


def _is_log(sent: Try) -> bool:
    return sent.notification.channel == LogChannel.name
