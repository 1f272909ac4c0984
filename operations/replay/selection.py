"""Select deliveries for a replay, in their current state, grouped by booking."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import groupby
from typing import Any, TypeVar

from sqlalchemy import Select, func, select
from sqlalchemy.orm import Session

from meetergo.events import BookingEvent, Event
from models.delivery import Delivery
from models.retryable import Status
from runtime.errors import Failure
from worker.inbox.processor import InboxProcessor

T = TypeVar("T")

PAGE_SIZE = 500
CHUNK_SIZE = 100
"""Rows per transaction: few enough that no worker waits for it."""


@dataclass(frozen=True)
class SelectedDelivery:
    """A selected delivery.

    Attributes:
        id: the delivery's id.
        event: its event type; None if it could not be read.
        booking_id: its booking; empty if there is none or it cannot be read.
        received_at: time of receipt, UTC.
        status: status when selected.
        ended_at: when it ended, UTC, at the time of selection; a later replay changes it in the row.
        is_erased: whether its body was erased.
        is_scheduled: whether it is pending but not due yet, because it failed or a clock was wrong.
    """

    id: str
    event: str | None
    booking_id: str
    received_at: datetime
    status: Status
    ended_at: datetime | None
    is_erased: bool
    is_scheduled: bool = False


@dataclass(frozen=True)
class Selection:
    """Deliveries to replay, and the number of those left out.

    Attributes:
        chosen: deliveries to replay, grouped by booking, each booking's in order of receipt.
        waiting: number that are pending and due: a worker handles them anyway.
        erased: number without a body.
    """

    chosen: Sequence[SelectedDelivery]
    waiting: int = 0
    erased: int = 0


def select_deliveries(inbox: InboxProcessor, query: Select[tuple[Delivery]], limit: int | None = None) -> Selection:
    """Select deliveries.

    Args:
        inbox: parses deliveries whose booking is not known yet.
        query: the query for deliveries.
        limit: maximum number, oldest first; None for all.
    """
    with inbox.database.read_only() as session:
        rows = list(_rows(session, query, inbox.clock()))
    to_do = [row for row in rows if _can_be_replayed(row) and not row.is_erased][:limit]
    return Selection(
        sorted(_with_booking_ids(inbox, to_do), key=lambda row: (row.booking_id, row.received_at, row.id)),
        waiting=sum(not _can_be_replayed(row) for row in rows),
        erased=sum(_can_be_replayed(row) and row.is_erased for row in rows),
    )


def chunks(chosen: Sequence[SelectedDelivery], size: int = CHUNK_SIZE) -> Iterator[list[SelectedDelivery]]:
    """Split deliveries into chunks of about this size; one booking's deliveries stay together and in order."""
    chunk: list[SelectedDelivery] = []
    for group in group_by_booking(chosen):
        if chunk and len(chunk) + len(group) > size:
            yield chunk
            chunk = []
        chunk += group
    if chunk:
        yield chunk


def pages(rows: Sequence[T], size: int = PAGE_SIZE) -> Iterator[Sequence[T]]:
    """Split rows into pages of this size."""
    return (rows[start : start + size] for start in range(0, len(rows), size))


def group_by_booking(chosen: Sequence[SelectedDelivery]) -> Iterator[list[SelectedDelivery]]:
    """Group deliveries by booking; one without a booking is its own group."""
    for _, group in groupby(chosen, key=lambda row: row.booking_id or row.id):
        yield list(group)


def _can_be_replayed(row: SelectedDelivery) -> bool:
    return row.status != "pending" or row.is_scheduled


def _rows(session: Session, query: Select[tuple[Delivery]], now: datetime) -> Iterator[SelectedDelivery]:
    columns = (Delivery.id, Delivery.event, func.coalesce(Delivery.booking_id, ""), Delivery.received_at)
    oldest_first = query.order_by(None).order_by(Delivery.received_at, Delivery.id)
    state: tuple[Any, ...] = (Delivery.status, Delivery.ended_at, Delivery.body == b"")
    rows = oldest_first.with_only_columns(*columns, *state, Delivery.where_scheduled(now))
    return (SelectedDelivery(*row) for row in session.execute(rows))


def _with_booking_ids(inbox: InboxProcessor, rows: Sequence[SelectedDelivery]) -> Iterator[SelectedDelivery]:
    """Parse deliveries that were unreadable when they died: a missing key may be configured again."""
    unread = [row.id for row in rows if row.event is None]
    found: dict[str, Event | Failure] = {}
    for page in pages(unread):
        found |= _parse_events(inbox, page)
    for row in rows:
        event = found.get(row.id)
        yield replace(row, event=event.type, booking_id=_booking_of(event)) if isinstance(event, Event) else row


def _parse_events(inbox: InboxProcessor, ids: Collection[str]) -> dict[str, Event | Failure]:
    with inbox.database.read_only() as session:
        return {row.id: inbox.parse(row) for row in session.scalars(select(Delivery).where(Delivery.id.in_(ids)))}


def _booking_of(event: Event) -> str:
    return event.booking_id if isinstance(event, BookingEvent) else ""
