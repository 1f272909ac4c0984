"""History: what happened, read from the rows that remember it. The timeline of a booking and the tail are both this."""

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
from models.happening import TimelineEntry
from models.intervention import Intervention
from models.notification import Notification


@dataclass(frozen=True)
class Source:
    """Where one sort of happening is read.

    Attributes:
        query: yields the columns of a `TimelineEntry`.
        order: its time, and what decides between equal times.
        about: what makes it one booking's.
    """

    query: Select[*tuple[Any, ...]]
    order: tuple[Any, Any]
    about: Callable[[str], ColumnElement[bool]]


def of_booking(session: Session, booking_id: str) -> list[TimelineEntry]:
    """All that happened to one booking and to whatever was about it, in order."""
    return _in_order(_read(session, source.query.where(source.about(booking_id)), source) for source in SOURCES)


def since(session: Session, moment: datetime) -> list[TimelineEntry]:
    """All that happened at a moment or later, in order."""
    return _in_order(_read(session, source.query.where(source.order[0] >= moment), source) for source in SOURCES)


def latest(session: Session, count: int) -> list[TimelineEntry]:
    """What happened last, in order."""
    newest = (source.query.order_by(*(key.desc() for key in source.order)).limit(count) for source in SOURCES)
    rows = ([TimelineEntry(**row) for row in session.execute(query).mappings()][::-1] for query in newest)
    return _in_order(rows)[-count:]


def _read(session: Session, query: Select[*tuple[Any, ...]], source: Source) -> list[TimelineEntry]:
    return [TimelineEntry(**row) for row in session.execute(query.order_by(*source.order)).mappings()]


def _in_order(parts: Iterable[Sequence[TimelineEntry]]) -> list[TimelineEntry]:
    """By time. What one transaction did has one time: there the order of the sources counts."""
    return sorted((happening for part in parts for happening in part), key=lambda happening: happening.at)


def _deliveries_of(booking_id: str) -> CompoundSelect[str]:
    """Those that are about it, and those that changed it all the same, such as a `new_employee`."""
    caused = select(BookingChange.delivery_id).where(
        BookingChange.booking_id == booking_id, BookingChange.delivery_id.is_not(None)
    )
    return select(Delivery.id).where(Delivery.booking_id == booking_id).union(caused)


def _kind_of_failure(subject: str) -> Any:
    return case((FailedAttempt.outcome == "dead", f"{subject}.dead"), else_=f"{subject}.retrying").label("kind")


DELIVERY = (Delivery.id.label("delivery_id"), Delivery.booking_id, Delivery.event)
NOTIFICATION = (
    Notification.id.label("notification_id"),
    Notification.booking_id,
    Notification.delivery_id,
    Notification.kind.label("news"),
    Notification.channel,
    Notification.recipient,
)
FAILURE = (FailedAttempt.at, FailedAttempt.number.label("attempts"), FailedAttempt.error)

RECEIVED = Source(
    select(Delivery.received_at.label("at"), literal("delivery.received").label("kind"), *DELIVERY),
    (Delivery.received_at, Delivery.id),
    lambda booking_id: Delivery.id.in_(_deliveries_of(booking_id)),
)
INTERVENED = Source(
    select(
        Intervention.at,
        case(
            (Intervention.delivery_id.is_not(None), literal("delivery.") + Intervention.kind),
            else_=literal("notification.") + Intervention.kind,
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
DELIVERY_FAILED = Source(
    select(_kind_of_failure("delivery"), *FAILURE, *DELIVERY).join(Delivery, Delivery.id == FailedAttempt.delivery_id),
    (FailedAttempt.at, FailedAttempt.id),
    lambda booking_id: FailedAttempt.delivery_id.in_(_deliveries_of(booking_id)),
)
CHANGED = Source(
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
OWED = Source(
    select(Notification.created_at.label("at"), literal("notification.owed").label("kind"), *NOTIFICATION),
    (Notification.created_at, Notification.id),
    lambda booking_id: Notification.booking_id == booking_id,
)
DELIVERY_DONE = Source(
    select(
        Delivery.ended_at.label("at"),
        literal("delivery.done").label("kind"),
        *DELIVERY,
        Delivery.attempts,
        Delivery.note,
    ).where(Delivery.status == "done"),
    (Delivery.ended_at, Delivery.id),
    lambda booking_id: Delivery.id.in_(_deliveries_of(booking_id)),
)
NOTIFICATION_FAILED = Source(
    select(_kind_of_failure("notification"), *FAILURE, *NOTIFICATION).join(
        Notification, Notification.id == FailedAttempt.notification_id
    ),
    (FailedAttempt.at, FailedAttempt.id),
    lambda booking_id: Notification.booking_id == booking_id,
)
NOTIFICATION_DONE = Source(
    select(
        Notification.ended_at.label("at"),
        literal("notification.done").label("kind"),
        *NOTIFICATION,
        Notification.attempts,
    ).where(Notification.status == "done"),
    (Notification.ended_at, Notification.id),
    lambda booking_id: Notification.booking_id == booking_id,
)

SOURCES = (
    RECEIVED,
    INTERVENED,
    DELIVERY_FAILED,
    CHANGED,
    OWED,
    DELIVERY_DONE,
    NOTIFICATION_FAILED,
    NOTIFICATION_DONE,
)
