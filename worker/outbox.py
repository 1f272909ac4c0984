"""The outbox, worked off: news goes out after the change that made it was committed."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import structlog
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from models.attempt import FailedAttempt
from models.database import Database
from models.failures import describe
from models.intervention import BY_RQ, Intervention
from models.notification import Notification
from models.platform_user import PlatformUser
from models.queue import Bell
from worker.announcer import Announcer, message_of
from worker.tally import NoTally, Tally

LONGEST_SETTLING = timedelta(seconds=20)
"""Together with the longest channel it is shorter than the lease."""

log = structlog.get_logger()


@dataclass(frozen=True)
class Outbox:
    """Sends notifications, one at a time: claimed in one transaction, sent outside, settled in another.

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

    def work_off(self) -> bool:
        """Sends the next notification that is due.

        Returns:
            Whether there may be more.
        """
        with self.database.transaction() as session:
            notification = Notification.claim(session, self.clock())
            if notification is None:
                return False
            user = self._user(session, notification)
        notification, error = self._send(notification, user)
        if error:
            self.bell.tend("outbox", str(notification.id), notification)
        return True

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
            user = self._user(session, notification)
        notification, _ = self._send(notification, user)
        self.bell.ring("outbox")
        return notification

    def _send(self, notification: Notification, user: PlatformUser | None) -> tuple[Notification, Exception | None]:
        error: Exception | None = None
        try:
            self.announcer.channel_of(notification, user).send(message_of(notification))
        except Exception as caught:
            error = caught
        settled = self._settle_in_time(notification.id, error)
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
        return settled, error

    def _settle_in_time(self, notification_id: int, error: Exception | None) -> Notification:
        """What was told has to be written down: a database that is away is waited for, lest it be told again."""
        until = time.monotonic() + LONGEST_SETTLING.total_seconds()
        while True:
            try:
                return self._settle(notification_id, error)
            except OperationalError:
                if time.monotonic() > until:
                    raise
                time.sleep(1)

    def _settle(self, notification_id: int, error: Exception | None) -> Notification:
        with self.database.transaction() as session:
            notification = session.get_one(Notification, notification_id, with_for_update=True)
            if error:
                notification.fail(error, self.clock())
                FailedAttempt.record(session, notification, self.clock())
            else:
                notification.finish(self.clock())
        return notification

    def _user(self, session: Session, notification: Notification) -> PlatformUser | None:
        return session.get(PlatformUser, notification.platform_user_id or 0)
