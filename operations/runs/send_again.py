"""Send bookings again by signed POSTs, for a platform that lost its data."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from models.booking import Booking, BookingChange
from models.notification import Notification
from models.platform_user import HostResolver
from operations.errors import OperationError
from operations.runs.store import MAX_RUN_ROWS, SelectedRow
from worker.outbox.planner import NotificationPlanner

PREVIEWED = 500
"""Maximum number of bookings for which a plan counts the messages."""


@dataclass(frozen=True)
class SendAgainPlan:
    """What a run would send.

    Attributes:
        booking_ids: the bookings, in order.
        previewed: number of bookings whose messages were counted.
        messages: number of messages that would be sent about those.
    """

    booking_ids: Sequence[str]
    previewed: int
    messages: int

    @property
    def digest(self) -> str:
        """Identifies the set of bookings."""
        return sha256("\n".join(self.booking_ids).encode()).hexdigest()

    def to_run(self) -> list[SelectedRow]:
        """Return the rows to start a run with."""
        return [SelectedRow("", booking_id, None) for booking_id in self.booking_ids]


def plan_bookings(
    session: Session, planner: NotificationPlanner, since: datetime, until: datetime | None, now: datetime
) -> SendAgainPlan:
    """Plan to send the bookings that changed since a time, each once, in its current state.

    Args:
        session: the session.
        planner: knows the endpoints.
        since: changed at or after this, UTC.
        until: changed before this, UTC; None for no limit.
        now: the time, UTC.

    Raises:
        OperationError: there are too many.
    """
    query = select(BookingChange.booking_id).where(BookingChange.at >= since).distinct()
    if until:
        query = query.where(BookingChange.at < until)
    ids = session.scalars(query.order_by(BookingChange.booking_id).limit(MAX_RUN_ROWS + 1)).all()
    if len(ids) > MAX_RUN_ROWS:
        raise OperationError(f"these are more than {MAX_RUN_ROWS} bookings: start several runs, with --until")
    previewed = session.scalars(select(Booking).where(Booking.id.in_(ids[:PREVIEWED]))).all()
    return SendAgainPlan(ids, len(previewed), len(_rows(session, planner, previewed, "plan", now)))


def send_bookings(
    session: Session, planner: NotificationPlanner, ids: Sequence[str], run_id: int, now: datetime
) -> tuple[int, int]:
    """Insert the messages of one chunk of a run, in the caller's transaction. Idempotent.

    Returns:
        The number of bookings that exist, and of new messages.
    """
    locked = select(Booking).where(Booking.id.in_(ids)).order_by(Booking.id).with_for_update(read=True)
    bookings = session.scalars(locked).all()
    return len(bookings), Notification.insert_new(session, _rows(session, planner, bookings, f"run {run_id}", now))


def _rows(
    session: Session, planner: NotificationPlanner, bookings: Sequence[Booking], version: str, now: datetime
) -> list[dict[str, object]]:
    hosts, resolvers = defaultdict[str, list[Any]](list), dict[str, HostResolver]()
    for booking in bookings:
        hosts[booking.account] += booking.host_ids or ()
    for account, host_ids in hosts.items():
        resolvers[account] = HostResolver(session, account)
        resolvers[account].prefetch(host_ids)
    return [
        row
        for booking in bookings
        for row in planner.rows_to_send_again(booking, resolvers[booking.account], version, now)
    ]
