"""Dry run of a replay: handle deliveries as usual and roll everything back."""

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
from operations.replay.selection import CHUNK_SIZE, SelectedDelivery, chunks, group_by_booking
from operations.replay.service import ReplayService
from runtime.contention import with_retry
from worker.inbox.handlers import HANDLERS
from worker.inbox.processor import MAX_BATCH_TIME


def dry_run(
    replay_service: ReplayService,
    chosen: Sequence[SelectedDelivery],
    progress: Callable[[int], object] = lambda _count: None,
) -> DryRunReport:
    """Handle deliveries without keeping the result. The platform's hook is called; nothing is triggered or sent.

    Employee events can assign owners, so up to CHUNK_SIZE of them are replayed first in every dry-run transaction; no
    more, so that the transaction stays short.

    Args:
        replay_service: the service that would replay them.
        chosen: the deliveries, ordered by booking.
        progress: called after each transaction with the number of deliveries in it.
    """
    report, booking_ids = DryRunReport(), {row.booking_id for row in chosen}
    without_booking = [row for row in chosen if not row.booking_id and row.event in HANDLERS][:CHUNK_SIZE]
    for chunk in chunks(chosen):
        while chunk:
            processed = with_retry(
                partial(_run_transaction, replay_service, chunk, without_booking, report, booking_ids)
            )
            replay_service.services.database.yield_lock()
            progress(len(processed))
            chunk = chunk[len(processed) :]
    return report


def _run_transaction(
    replay_service: ReplayService,
    chunk: Sequence[SelectedDelivery],
    without_booking: Sequence[SelectedDelivery],
    report: DryRunReport,
    booking_ids: Collection[Any],
) -> Sequence[SelectedDelivery]:
    """Run one transaction until its time is up and add its results to the report."""
    with replay_service.services.database.rolled_back() as session:
        before = [row for row in without_booking if row not in chunk]
        transaction = _DryRun(session, replay_service, [*before, *chunk])
        for row in before:
            transaction.process(row)
        processed = transaction.process_until_deadline(chunk)
        transaction.add_to_report(report, processed, booking_ids)
        return processed


class _DryRun:
    """One transaction of the dry run; it takes locks in a worker's order, deliveries first."""

    def __init__(self, session: Session, replay_service: ReplayService, chosen: Sequence[SelectedDelivery]) -> None:
        self._session, self._inbox = session, replay_service.services.inbox
        self._changes_before, self._notifications_before = (
            _max_id(session, BookingChange),
            _max_id(session, Notification),
        )
        self._rows = {row.id: row for row in Delivery.get_for_update(session, [row.id for row in chosen])}
        now = self._inbox.clock()
        self._resent = replay_service.reset_all(session, list(self._rows.values()), now)

    def process(self, chosen: SelectedDelivery) -> None:
        row, inbox = self._rows.get(chosen.id), self._inbox
        if row is None:
            return
        if inbox.cancel_check and inbox.cancel_check.needs_check(inbox.parse(row), row.source):
            row.note = "meetergo is asked first"
            row.finish(inbox.clock())
        else:
            inbox.process(self._session, row)

    def process_until_deadline(self, chunk: Sequence[SelectedDelivery]) -> list[SelectedDelivery]:
        """Process whole bookings, within the time limit of a worker's transaction."""
        deadline, processed = time.monotonic() + MAX_BATCH_TIME.total_seconds(), list[SelectedDelivery]()
        for group in group_by_booking(chunk):
            if processed and time.monotonic() > deadline:
                break
            for row in group:
                self.process(row)
            processed += group
        return processed

    def add_to_report(
        self, report: DryRunReport, processed: Sequence[SelectedDelivery], booking_ids: Collection[str]
    ) -> None:
        """Add the results to the report; effects on another booking are reported with that booking's own deliveries."""
        ids, here = {row.id for row in processed}, {row.booking_id for row in processed}

        def belongs(row: BookingChange | Notification) -> bool:
            return row.booking_id in here if row.booking_id in booking_ids else row.delivery_id in ids

        changes = self._created_since(BookingChange, self._changes_before)
        changing_ids = {change.delivery_id for change in changes}
        report.outcomes += [
            DeliveryOutcome.from_row(row, self._rows[row.id], row.id in changing_ids)
            for row in processed
            if row.id in self._rows
        ]
        relevant = sorted(filter(belongs, changes), key=_booking_of)
        booking_diffs = [BookingDiff.from_changes(list(group)) for _, group in groupby(relevant, key=_booking_of)]
        report.booking_diffs += [diff for diff in booking_diffs if diff.after]
        resent_ids = {notification.id for notification in self._resent}
        new = [
            notification
            for notification in self._created_since(Notification, self._notifications_before)
            if notification.id not in resent_ids
        ]
        for notification in (*self._resent, *new):
            self._session.refresh(notification)  # it may have been superseded meanwhile
            if notification.status == "pending" and belongs(notification):
                report.notifications.append(
                    NotificationPreview.from_notification(notification, notification.id in resent_ids)
                )

    def _created_since(self, rows: Any, before: int) -> Sequence[Any]:
        self._session.flush()
        query = select(rows).where(rows.id > before, rows.delivery_id.in_(self._rows)).order_by(rows.id)
        return self._session.scalars(query).all()


def _max_id(session: Session, rows: Any) -> int:
    return session.scalar(select(func.max(rows.id))) or 0


def _booking_of(change: BookingChange) -> str:
    return change.booking_id
