"""Replay or ignore rows that ended: record the intervention, commit, then trigger the workers."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session
from sqlalchemy.sql.elements import ColumnElement

from models.booking import Booking
from models.claim import RowType
from models.delivery import Delivery
from models.intervention import Intervention
from models.notification import SUPERSEDED, Notification
from operations.replay.selection import SelectedDelivery
from runtime.contention import in_transaction
from runtime.queue import QueueName
from worker.services import Services


class NotDead(Exception):
    """A row cannot be ignored because it is not dead; the message names its status."""


@dataclass(frozen=True)
class ReplayResult:
    """The result of one transaction.

    Attributes:
        ids: rows that were restarted or closed.
        resent: notifications sent again on request.
        skipped: number of rows skipped: they are pending already, or another process replayed them meanwhile.
        messages: number of new notifications from a run that sends bookings again.
        queue_reached: whether the trigger reached Redis; if not, the sweep triggers later.
    """

    ids: Sequence[str]
    resent: Sequence[Notification] = ()
    skipped: int = 0
    messages: int = 0
    queue_reached: bool = True


Record = Callable[[Session, ReplayResult], None]
"""Called with the result at the end of the transaction: what it writes is committed with the rows, or not at all."""


@dataclass(frozen=True)
class ReplayService:
    """Replays and ignores rows on behalf of one operator.

    Attributes:
        services: the stores.
        by: the operator's name.
        reason: the operator's reason.
        resend: whether to resend notifications that were already sent.
        superseded: whether to resend superseded notifications too.
    """

    services: Services
    by: str
    reason: str = ""
    resend: bool = False
    superseded: bool = False

    def replay(
        self, chosen: Collection[SelectedDelivery], now: datetime, record: Record = lambda _session, _result: None
    ) -> ReplayResult:
        """Restart deliveries in one transaction and trigger the workers.

        A delivery that waits for a retry is tried now and keeps its attempts.
        """
        selected = {row.id: row for row in chosen}

        def replay(session: Session) -> ReplayResult:
            rows = Delivery.get_for_update(session, selected)
            replayed = [row for row in rows if row.body and self._is_unchanged(row, selected[row.id], now)]
            ids, resent = [row.id for row in replayed], self.reset_all(session, replayed, now)
            result = ReplayResult(ids, resent, skipped=len(selected) - len(ids))
            record(session, result)
            return result

        done = in_transaction(self.services.database, replay)
        return replace(done, queue_reached=self._trigger("inbox", done.ids) and self._trigger("outbox", done.resent))

    def reset_all(self, session: Session, deliveries: Sequence[Delivery], now: datetime) -> list[Notification]:
        """Restart deliveries in the caller's transaction, which holds their locks.

        Returns:
            The notifications that are resent on request.
        """
        if self.resend:
            _lock_notifications(session, *(Notification.caused_by(row) for row in deliveries))
        return [resent for row in deliveries for resent in self._reset(session, row, now)]

    def _reset(self, session: Session, delivery: Delivery, now: datetime) -> list[Notification]:
        if delivery.status == "pending":
            delivery.retry_now(now)
        else:
            delivery.replay(now, superseded=self.superseded)
        Intervention.record(session, "replayed", delivery, now, by=self.by, reason=self.reason)
        return list(self._resend_all(session, delivery, now)) if self.resend else []

    def _is_unchanged(self, row: Delivery, selected: SelectedDelivery, now: datetime) -> bool:
        """Whether the delivery was neither replayed nor handled since it was selected."""
        if row.status == "pending":
            return selected.status == "pending" and row.is_scheduled(now)
        return row.ended_at == selected.ended_at

    def replay_notifications(
        self, ids: Collection[int], now: datetime, record: Record = lambda _session, _result: None
    ) -> ReplayResult:
        """Restart dead notifications; resend those already sent if requested."""

        def replay(session: Session) -> ReplayResult:
            rows = _lock_notifications(session, Notification.id.in_(ids))
            resent = [resent for row in rows for resent in self._resend_one(session, row, now)]
            result = ReplayResult([str(row.id) for row in resent], resent, skipped=len(ids) - len(resent))
            record(session, result)
            return result

        done = in_transaction(self.services.database, replay)
        return replace(done, queue_reached=self._trigger("outbox", done.ids))

    def ignore_unchanged(
        self, rows: Mapping[Any, datetime | None], target: RowType, now: datetime, record: Record
    ) -> ReplayResult:
        """Close the rows that are still dead and unchanged since they were selected.

        Args:
            rows: id -> the row's `ended_at` when it was selected.
            target: the kind of rows.
            now: the time, UTC.
            record: called in the transaction.
        """

        def ignore(session: Session) -> ReplayResult:
            locked = target.get_for_update(session, rows)
            dead = [row for row in locked if row.status == "dead" and row.ended_at == rows[row.id]]
            self._ignore(session, dead, now)
            result = ReplayResult([str(row.id) for row in dead], skipped=len(rows) - len(dead))
            record(session, result)
            return result

        return in_transaction(self.services.database, ignore)

    def ignore(self, ids: Collection[Any], now: datetime, target: RowType = Delivery) -> ReplayResult:
        """Close dead rows that will never succeed: all of them, or none.

        Args:
            ids: ids of deliveries or notifications.
            now: the time, UTC.
            target: the kind of rows.

        Raises:
            NotDead: one of them is not dead.
        """

        def ignore(session: Session) -> ReplayResult:
            rows = target.get_for_update(session, ids)
            for row in rows:
                if row.status != "dead":
                    what = f"{target.__name__.lower()} {row.id}"
                    raise NotDead(f"{what} is {row.status}, not dead: only what is dead can be ignored")
            self._ignore(session, rows, now)
            return ReplayResult([str(row.id) for row in rows])

        return in_transaction(self.services.database, ignore)

    def _ignore(self, session: Session, rows: Iterable[Delivery | Notification], now: datetime) -> None:
        for row in rows:
            row.ignore(self.reason, now)
            Intervention.record(session, "ignored", row, now, by=self.by, reason=self.reason)

    def _resend_all(self, session: Session, delivery: Delivery, now: datetime) -> Iterator[Notification]:
        """Resend each distinct notification once, however often it was sent."""
        query = select(Notification).where(Notification.caused_by(delivery)).order_by(Notification.id)
        newest = {row.identity: row for row in session.scalars(query.with_for_update())}
        for row in newest.values():
            yield from self._resend_one(session, row, now)

    def _resend_one(self, session: Session, notification: Notification, now: datetime) -> Iterator[Notification]:
        """Resend one notification, unless it is pending anyway."""
        if notification.status == "dead":
            self.services.outbox.planner.reroute(session, notification)
        if notification.is_pending(session):
            return
        if not self.superseded and notification.is_superseded(session):
            if notification.status == "dead":
                notification.end_without_sending(SUPERSEDED, now)
                Intervention.record(session, "ignored", notification, now, by=self.by, reason=self.reason)
            return
        if notification.status == "dead":
            notification.replay(now)
            Intervention.record(session, "replayed", notification, now, by=self.by, reason=self.reason)
            yield notification
        elif self.resend:
            copy = notification.resend(session, now, is_late=not self.superseded)
            Intervention.record(session, "sent_again", copy, now, by=self.by, reason=self.reason)
            yield copy

    def _trigger(self, queue_name: QueueName, rows: Sequence[object]) -> bool:
        return not rows or self.services.job_queue.trigger_drain(queue_name)


def _lock_notifications(session: Session, *conditions: ColumnElement[bool]) -> Sequence[Notification]:
    """Lock notifications after their bookings, which a resent copy references: see `runtime.contention`."""
    wanted: dict[int, str] = {}
    for condition in conditions:
        matching = select(Notification.id, Notification.booking_id).where(condition)
        wanted |= {row.id: row.booking_id for row in session.execute(matching)}
    booking_ids = select(Booking.id).where(Booking.id.in_(set(wanted.values()))).order_by(Booking.id)
    session.execute(booking_ids.with_for_update(read=True, key_share=True))
    return Notification.get_for_update(session, wanted)
