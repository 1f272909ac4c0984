"""ReplayService: what an operator does to rows that ended. It is written down with them; commit first, ring after."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session
from sqlalchemy.sql.elements import ColumnElement

from models.booking import Booking
from models.delivery import Delivery
from models.intervention import Intervention
from models.notification import IS_SUPERSEDED, Notification
from operations.replay.selection import SelectedDelivery
from runtime.contention import in_transaction
from runtime.queue import QueueName
from worker.services import Services


class NotDead(Exception):
    """A row cannot be ignored, since it is not dead; its message says what it is."""


@dataclass(frozen=True)
class ReplayResult:
    """What one transaction did.

    Attributes:
        ids: the rows that start over, or were closed.
        told_again: notifications that go out again on purpose.
        left: how many were left alone: they wait already, or somebody else replayed them meanwhile.
        heard: whether Redis heard of it; if not, the sweep rings when it is back.
    """

    ids: Sequence[str]
    told_again: Sequence[Notification] = ()
    left: int = 0
    heard: bool = True


@dataclass(frozen=True)
class ReplayService:
    """One operator's intention.

    Attributes:
        office: the stores.
        by: who it is.
        reason: why.
        tells_again: whether what was told already is told once more.
        superseded: whether that is also wanted of what is not the latest any more.
    """

    office: Services
    by: str
    reason: str = ""
    tells_again: bool = False
    superseded: bool = False

    def replay(self, chosen: Collection[SelectedDelivery], now: datetime) -> ReplayResult:
        """Lets deliveries start over, in one transaction, and wakes the workers. One that waits for another try is
        tried now, and keeps its attempts.
        """
        seen = {row.id: row for row in chosen}

        def replay(session: Session) -> tuple[list[str], list[Notification]]:
            rows = Delivery.locked(session, seen)
            replayed = [row for row in rows if row.body and self._is_as_seen(row, seen[row.id], now)]
            return [row.id for row in replayed], self.reopen_all(session, replayed, now)

        ids, told = in_transaction(self.office.database, replay)
        heard = self._wake("inbox", ids) and (not told or self._wake("outbox", [str(row.id) for row in told]))
        return ReplayResult(ids, told, left=len(seen) - len(ids), heard=heard)

    def reopen_all(self, session: Session, deliveries: Sequence[Delivery], now: datetime) -> list[Notification]:
        """Lets deliveries start over, in the caller's transaction, which holds their locks.

        Returns:
            The notifications that go out again on purpose.
        """
        if self.tells_again:
            _lock(session, *(Notification.caused_by(row) for row in deliveries))
        return [told for row in deliveries for told in self._reopen(session, row, now)]

    def _reopen(self, session: Session, delivery: Delivery, now: datetime) -> list[Notification]:
        if delivery.status == "pending":
            delivery.retry_now(now)
        else:
            delivery.replay(now, superseded=self.superseded)
        Intervention.record(session, "replayed", delivery, now, by=self.by, reason=self.reason)
        return list(self._tell_again(session, delivery, now)) if self.tells_again else []

    def _is_as_seen(self, row: Delivery, seen: SelectedDelivery, now: datetime) -> bool:
        """Whether nobody else replayed it, or handled it, since it was chosen."""
        if row.status == "pending":
            return seen.status == "pending" and row.waits(now)
        return row.ended_at == seen.ended_at

    def replay_notifications(self, ids: Collection[int], now: datetime) -> ReplayResult:
        """Lets dead notifications start over; those that were told go out once more, if that is wanted."""

        def replay(session: Session) -> tuple[list[Notification], list[str]]:
            rows = _lock(session, Notification.id.in_(ids))
            told = [again for row in rows for again in self._again(session, row, now)]
            return told, [str(row.id) for row in rows if row.last_error == IS_SUPERSEDED]

        told, closed = in_transaction(self.office.database, replay)
        self.office.bell.forget("outbox", *closed)
        keys = [str(row.id) for row in told]
        return ReplayResult(keys, told, left=len(ids) - len(keys), heard=self._wake("outbox", keys))

    def ignore(self, ids: Collection[str], now: datetime) -> ReplayResult:
        """Closes dead deliveries that will never work: all of them, or none.

        Raises:
            NotDead: one of them is not dead.
        """

        def ignore(session: Session) -> list[str]:
            rows = Delivery.locked(session, ids)
            for row in rows:
                if row.status != "dead":
                    raise NotDead(f"delivery {row.id} is {row.status}, not dead: only what is dead can be ignored")
                row.ignore(self.reason, now)
                Intervention.record(session, "ignored", row, now, by=self.by, reason=self.reason)
            return [row.id for row in rows]

        return ReplayResult(in_transaction(self.office.database, ignore), heard=self.office.bell.forget("inbox", *ids))

    def ignore_notifications(self, ids: Collection[int], now: datetime) -> ReplayResult:
        """Closes dead notifications that will never work: all of them, or none.

        Raises:
            NotDead: one of them is not dead.
        """
        with self.office.database.transaction() as session:
            rows = Notification.locked(session, ids).values()
            for row in rows:
                if row.status != "dead":
                    raise NotDead(f"notification {row.id} is {row.status}, not dead: only what is dead can be ignored")
                row.ignore(self.reason, now)
                Intervention.record(session, "ignored", row, now, by=self.by, reason=self.reason)
        keys = [str(row.id) for row in rows]
        return ReplayResult(keys, heard=self.office.bell.forget("outbox", *keys))

    def _tell_again(self, session: Session, delivery: Delivery, now: datetime) -> Iterator[Notification]:
        """Each news once, however often it was told."""
        query = select(Notification).where(Notification.caused_by(delivery)).order_by(Notification.id)
        newest = {row.news: row for row in session.scalars(query.with_for_update())}
        for row in newest.values():
            yield from self._again(session, row, now)

    def _again(self, session: Session, notification: Notification, now: datetime) -> Iterator[Notification]:
        """What waits goes out anyway."""
        if notification.status == "dead":
            self.office.outbox.announcer.readdress(session, notification)
        if notification.is_waiting(session):
            return
        if not self.superseded and notification.is_superseded(session):
            if notification.status == "dead":
                notification.end_unsent(IS_SUPERSEDED, now)
                Intervention.record(session, "ignored", notification, now, by=self.by, reason=self.reason)
            return
        if notification.status == "dead":
            notification.replay(now)
            Intervention.record(session, "replayed", notification, now, by=self.by, reason=self.reason)
            yield notification
        elif self.tells_again:
            copy = notification.send_again(session, now, is_late=not self.superseded)
            Intervention.record(session, "sent_again", copy, now, by=self.by, reason=self.reason)
            yield copy

    def _wake(self, box: QueueName, keys: Sequence[str]) -> bool:
        return not keys or (self.office.bell.forget(box, *keys) and self.office.bell.ring(box))


def _lock(session: Session, *those: ColumnElement[bool]) -> list[Notification]:
    """Locks notifications, and before them their bookings, which a copy refers to: see `runtime.contention`."""
    wanted: dict[int, str] = {}
    for condition in those:
        its = select(Notification.id, Notification.booking_id).where(condition)
        wanted |= {row.id: row.booking_id for row in session.execute(its)}
    its_bookings = select(Booking.id).where(Booking.id.in_(set(wanted.values()))).order_by(Booking.id)
    session.execute(its_bookings.with_for_update(read=True, key_share=True))
    return list(Notification.locked(session, wanted).values())
