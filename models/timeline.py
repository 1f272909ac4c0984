"""Timeline: events of a booking or of the whole inbox, derived from the stored rows.

It serves both the history of a booking and the tail of all events.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import CompoundSelect, Select, case, literal, or_, select
from sqlalchemy.orm import Session
from sqlalchemy.sql.elements import ColumnElement

from models.attempt import FailedAttempt
from models.booking import BookingChange
from models.delivery import Delivery
from models.intervention import Intervention
from models.notification import Notification

Query = Select[*tuple[Any, ...]]


@dataclass(frozen=True)
class TimelineEntry:
    """One entry of a timeline. Attributes that do not apply to its kind are None.

    Attributes:
        at: time, UTC.
        kind: `delivery.` and received, retrying, dead, done, replayed, ignored or revealed; `booking.` and the
            kind of its change, or forgotten (its owner was unmapped); `notification.` and owed, retrying, dead, done,
            replayed or sent_again; `operator.` and started, cancelled, revealed, pruned, erased, refreshed, compared,
            mapped, shared, unshared, granted, revoked or configured.
        booking_id: the booking, if known by now.
        delivery_id: the delivery; for changes and notifications, the one that caused it.
        notification_id: the notification.
        event: the provider's name of the delivery's event.
        news: the kind of the notification.
        channel: the notification's channel.
        recipient: the notification's recipient.
        attempts: number of failed attempts by then.
        error: error of this attempt.
        note: why a processed delivery had no effect.
        before: the changed columns before; None for a new booking.
        after: the changed columns after.
        by: operator who intervened.
        reason: reason for the intervention.
    """

    at: datetime
    kind: str
    booking_id: str | None = None
    delivery_id: str | None = None
    notification_id: int | None = None
    event: str | None = None
    news: str | None = None
    channel: str | None = None
    recipient: str | None = None
    attempts: int | None = None
    error: str | None = None
    note: str | None = None
    before: dict[str, Any] | None = None
    after: dict[str, Any] | None = None
    by: str | None = None
    reason: str | None = None

    @property
    def identity(self) -> tuple[object, ...]:
        """A stable key of the entry. It omits what a delivery is about, which is known only later."""
        subject = self.kind.partition(".")[0]
        return self.kind, self.at, getattr(self, f"{subject}_id", self.booking_id)


@dataclass(frozen=True)
class TimelineSource:
    """The source of one kind of entry.

    Attributes:
        query: yields the columns of a `TimelineEntry`.
        order: time, and a tie-breaker for equal times.
        matches_booking: condition for the entries of one booking.
    """

    query: Query
    order: tuple[Any, Any]
    matches_booking: Callable[[str], ColumnElement[bool]]


def for_booking(session: Session, booking_id: str) -> list[TimelineEntry]:
    """Return all entries of one booking, in order."""
    return _merge_by_time(_read(session, _about(source, booking_id), source) for source in SOURCES)


def latest_of_booking(
    session: Session, booking_id: str, count: int, before: datetime | None
) -> tuple[list[TimelineEntry], datetime | None]:
    """Return the latest entries of one booking, in order, and the `before` of the next page; None if there is none.

    Entries with the same time stay on one page, so that a time is enough to continue from.

    Args:
        session: the session.
        booking_id: the booking.
        count: maximum number of entries.
        before: only entries before this time.
    """
    entries = _merge_by_time(
        _newest(session, _about(source, booking_id, before), source, count + 1) for source in SOURCES
    )
    if len(entries) <= count:
        return entries, None
    shown = entries[-count:]
    whole = [entry for entry in shown if entry.at > entries[-count - 1].at] or shown
    return whole, whole[0].at


def _about(source: TimelineSource, booking_id: str, before: datetime | None = None) -> Query:
    query = source.query.where(source.matches_booking(booking_id))
    return query.where(source.order[0] < before) if before else query


def since(session: Session, time: datetime) -> list[TimelineEntry]:
    """Return all entries at or after a time, in order."""
    return _merge_by_time(_read(session, source.query.where(source.order[0] >= time), source) for source in SOURCES)


def latest(session: Session, count: int) -> list[TimelineEntry]:
    """Return the latest entries, in order."""
    return _merge_by_time(_newest(session, source.query, source, count) for source in SOURCES)[-count:]


def _read(session: Session, query: Query, source: TimelineSource) -> list[TimelineEntry]:
    return [TimelineEntry(**row) for row in session.execute(query.order_by(*source.order)).mappings()]


def _newest(session: Session, query: Query, source: TimelineSource, count: int) -> list[TimelineEntry]:
    newest = query.order_by(*(key.desc() for key in source.order)).limit(count)
    return [TimelineEntry(**row) for row in session.execute(newest).mappings()][::-1]


def _merge_by_time(parts: Iterable[Sequence[TimelineEntry]]) -> list[TimelineEntry]:
    """Order by time. Entries of one transaction have the same time; they keep the order of the sources."""
    return sorted((entry for part in parts for entry in part), key=lambda entry: entry.at)


def _deliveries_of(booking_id: str) -> CompoundSelect[str]:
    """Select the deliveries about a booking, and others that changed it, such as a `new_employee`."""
    caused_by_change = select(BookingChange.delivery_id).where(
        BookingChange.booking_id == booking_id, BookingChange.delivery_id.is_not(None)
    )
    return select(Delivery.id).where(Delivery.booking_id == booking_id).union(caused_by_change)


def _failure_kind(subject: str) -> Any:
    return case((FailedAttempt.outcome == "dead", f"{subject}.dead"), else_=f"{subject}.retrying").label("kind")


DELIVERY_COLUMNS = (Delivery.id.label("delivery_id"), Delivery.booking_id, Delivery.event)
NOTIFICATION_COLUMNS = (
    Notification.id.label("notification_id"),
    Notification.booking_id,
    Notification.delivery_id,
    Notification.kind.label("news"),
    Notification.channel,
    Notification.recipient,
)
FAILURE_COLUMNS = (FailedAttempt.at, FailedAttempt.number.label("attempts"), FailedAttempt.error)

DELIVERY_RECEIVED = TimelineSource(
    select(Delivery.received_at.label("at"), literal("delivery.received").label("kind"), *DELIVERY_COLUMNS),
    (Delivery.received_at, Delivery.id),
    lambda booking_id: Delivery.id.in_(_deliveries_of(booking_id)),
)
INTERVENTION = TimelineSource(
    select(
        Intervention.at,
        case(
            (Intervention.delivery_id.is_not(None), literal("delivery.") + Intervention.kind),
            (Intervention.notification_id.is_not(None), literal("notification.") + Intervention.kind),
            (Intervention.kind == "forgotten", literal("booking.forgotten")),
            else_=literal("operator.") + Intervention.kind,
        ).label("kind"),
        Intervention.booking_id,
        Intervention.delivery_id,
        Intervention.notification_id,
        Intervention.by,
        Intervention.reason,
    ),
    (Intervention.at, Intervention.id),
    lambda booking_id: or_(
        Intervention.booking_id == booking_id, Intervention.delivery_id.in_(_deliveries_of(booking_id))
    ),
)
DELIVERY_FAILED = TimelineSource(
    select(_failure_kind("delivery"), *FAILURE_COLUMNS, *DELIVERY_COLUMNS)
    .outerjoin(Delivery, Delivery.id == FailedAttempt.delivery_id)  # so SQLite reads the attempts first, not all rows
    .where(FailedAttempt.delivery_id.is_not(None)),
    (FailedAttempt.at, FailedAttempt.id),
    lambda booking_id: FailedAttempt.delivery_id.in_(_deliveries_of(booking_id)),
)
BOOKING_CHANGED = TimelineSource(
    select(
        BookingChange.at,
        (literal("booking.") + BookingChange.kind).label("kind"),
        BookingChange.booking_id,
        BookingChange.delivery_id,
        BookingChange.before,
        BookingChange.after,
    ),
    (BookingChange.at, BookingChange.id),
    lambda booking_id: BookingChange.booking_id == booking_id,
)
NOTIFICATION_CREATED = TimelineSource(
    select(Notification.created_at.label("at"), literal("notification.owed").label("kind"), *NOTIFICATION_COLUMNS),
    (Notification.created_at, Notification.id),
    lambda booking_id: Notification.booking_id == booking_id,
)
DELIVERY_DONE = TimelineSource(
    select(
        Delivery.ended_at.label("at"),
        literal("delivery.done").label("kind"),
        *DELIVERY_COLUMNS,
        Delivery.attempts,
        Delivery.note,
    ).where(Delivery.status == "done", Delivery.ended_at.is_not(None)),
    (Delivery.ended_at, Delivery.id),
    lambda booking_id: Delivery.id.in_(_deliveries_of(booking_id)),
)
NOTIFICATION_FAILED = TimelineSource(
    select(_failure_kind("notification"), *FAILURE_COLUMNS, *NOTIFICATION_COLUMNS)
    .outerjoin(Notification, Notification.id == FailedAttempt.notification_id)
    .where(FailedAttempt.notification_id.is_not(None)),
    (FailedAttempt.at, FailedAttempt.id),
    lambda booking_id: Notification.booking_id == booking_id,
)
NOTIFICATION_DONE = TimelineSource(
    select(
        Notification.ended_at.label("at"),
        literal("notification.done").label("kind"),
        *NOTIFICATION_COLUMNS,
        Notification.attempts,
    ).where(Notification.status == "done", Notification.ended_at.is_not(None)),
    (Notification.ended_at, Notification.id),
    lambda booking_id: Notification.booking_id == booking_id,
)

SOURCES = (
    DELIVERY_RECEIVED,
    INTERVENTION,
    DELIVERY_FAILED,
    BOOKING_CHANGED,
    NOTIFICATION_CREATED,
    DELIVERY_DONE,
    NOTIFICATION_FAILED,
    NOTIFICATION_DONE,
)
