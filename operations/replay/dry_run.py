"""The rehearsal: what would happen if deliveries were replayed. They are handled as ever, and all is rolled back."""

import time
from collections.abc import Callable, Collection, Sequence
from functools import partial
from itertools import groupby
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from models.booking import BookingChange
from models.delivery import Delivery
from models.notification import Notification
from operations.replay.report import BookingDiff, DeliveryOutcome, DryRunReport, NotificationPreview
from operations.replay.selection import CHUNK, SelectedDelivery, bookings, chunks
from operations.replay.service import ReplayService
from runtime.contention import retried
from worker.inbox.handlers import HANDLERS
from worker.inbox.processor import LONGEST_BATCH


def dry_run(
    repair: ReplayService, chosen: Sequence[SelectedDelivery], progress: Callable[[int], object] = lambda _count: None
) -> DryRunReport:
    """Handles deliveries and keeps nothing. The platform's hook is called; no bell is rung, and nothing is sent.

    What is about no booking may give bookings their owner. So it is handled first, and in each transaction anew; only
    so many of them that the transaction stays short.

    Args:
        repair: how they would be replayed.
        chosen: which, in the order of their bookings.
        progress: is told after each transaction how many it held.
    """
    outlook, with_own = DryRunReport(), {row.booking_id for row in chosen}
    overture = [row for row in chosen if not row.booking_id and row.event in HANDLERS][:CHUNK]
    for chunk in chunks(chosen):
        while chunk:
            heard = retried(partial(_rehearse_some, repair, chunk, overture, outlook, with_own))
            repair.office.database.give_way()
            progress(len(heard))
            chunk = chunk[len(heard) :]
    return outlook


def _rehearse_some(
    repair: ReplayService,
    chunk: Sequence[SelectedDelivery],
    overture: Sequence[SelectedDelivery],
    outlook: DryRunReport,
    with_own: Collection[Any],
) -> Sequence[SelectedDelivery]:
    """One transaction, as much of it as there is time for. What it says is added at its end."""
    with repair.office.database.rehearsal() as session:
        before = [row for row in overture if row not in chunk]
        stage = _DryRun(session, repair, [*before, *chunk])
        for row in before:
            stage.play(row)
        heard = stage.play_some(chunk)
        stage.report(outlook, heard, with_own)
        return heard


class _DryRun:
    """One transaction of the rehearsal; it locks as a worker's does, deliveries first."""

    def __init__(self, session: Session, repair: ReplayService, chosen: Sequence[SelectedDelivery]) -> None:
        self._session, self._inbox = session, repair.office.inbox
        self._changes_before, self._news_before = _newest(session, BookingChange), _newest(session, Notification)
        self._rows = {row.id: row for row in Delivery.locked(session, [row.id for row in chosen])}
        now = self._inbox.clock()
        self._again = repair.reopen_all(session, list(self._rows.values()), now)

    def play(self, chosen: SelectedDelivery) -> None:
        row, inbox = self._rows.get(chosen.id), self._inbox
        if row is None:
            return
        if inbox.confirmation and inbox.confirmation.needs_check(inbox.read(row), row.source):
            row.note = "meetergo is asked first"
            row.finish(inbox.clock())
        else:
            inbox.process(self._session, row)

    def play_some(self, chunk: Sequence[SelectedDelivery]) -> list[SelectedDelivery]:
        """Whole bookings, for as long as a worker's transaction may last."""
        stop, played = time.monotonic() + LONGEST_BATCH.total_seconds(), list[SelectedDelivery]()
        for group in bookings(chunk):
            if played and time.monotonic() > stop:
                break
            for row in group:
                self.play(row)
            played += group
        return played

    def report(self, outlook: DryRunReport, heard: Sequence[SelectedDelivery], with_own: Collection[str]) -> None:
        """Adds what was rehearsed here. What else befalls a booking is told together with its own deliveries."""
        ids, here = {row.id for row in heard}, {row.booking_id for row in heard}

        def belongs(row: BookingChange | Notification) -> bool:
            return row.booking_id in here if row.booking_id in with_own else row.delivery_id in ids

        changes = self._made(BookingChange, self._changes_before)
        changing = {change.delivery_id for change in changes}
        outlook.verdicts += [
            DeliveryOutcome.of(row, self._rows[row.id], row.id in changing) for row in heard if row.id in self._rows
        ]
        ours = sorted(filter(belongs, changes), key=_booking_of)
        effects = [BookingDiff.of(list(group)) for _, group in groupby(ours, key=_booking_of)]
        outlook.effects += [effect for effect in effects if effect.after]
        again = {told.id for told in self._again}
        new = [told for told in self._made(Notification, self._news_before) if told.id not in again]
        for told in (*self._again, *new):
            self._session.refresh(told)  # it may have been superseded since
            if told.status == "pending" and belongs(told):
                outlook.news.append(NotificationPreview.of(told, told.id in again))

    def _made(self, rows: Any, before: int) -> Sequence[Any]:
        self._session.flush()
        query = select(rows).where(rows.id > before, rows.delivery_id.in_(self._rows)).order_by(rows.id)
        return self._session.scalars(query).all()


def _newest(session: Session, rows: Any) -> int:
    return session.scalar(select(func.max(rows.id))) or 0


def _booking_of(change: BookingChange) -> str:
    return change.booking_id
