"""Erasure: takes one guest out of everything that we keep."""

import json
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Text, cast, func, or_, select
from sqlalchemy.orm import Session
from sqlalchemy.sql.elements import ColumnElement

from models.attempt import FailedAttempt
from models.booking import Booking, BookingChange
from models.database import Database
from models.delivery import Delivery
from models.facts import ATTENDEE
from models.failures import Transient
from models.intervention import Intervention
from models.notification import Notification
from models.vault import Vault

ERASED = "(erased)"
AT_ONCE = 500


@dataclass
class Erased:
    """What an erasure did: how many rows of each kind.

    `waiting` are deliveries that are not handled yet, and `unopened` those that no key opens: neither is touched.
    """

    bookings: int = 0
    changes: int = 0
    notifications: int = 0
    deliveries: int = 0
    waiting: int = 0
    unopened: int = 0


@dataclass(frozen=True)
class Guest:
    """Whom to erase.

    Attributes:
        email: in lower case.
        keys: the ids by which one booking knows this person.
    """

    email: str
    keys: Collection[str] = ()

    def erase_from(self, value: Any) -> Any:
        """The JSON value without this person: attendees are dropped, other mentions blackened."""
        if isinstance(value, list):
            return [self.erase_from(item) for item in value if not self._is(item)]
        if isinstance(value, dict):
            return {name: self.erase_from(item) for name, item in value.items()}
        return ERASED if isinstance(value, str) and self.email in value.lower() else value

    def _is(self, item: Any) -> bool:
        if isinstance(item, dict):
            return str(item.get("email", "")).lower() == self.email or item.get("id") in self.keys
        return isinstance(item, str) and item in self.keys


def erase(database: Database, vault: Vault, email: str, now: datetime) -> Erased:
    """Takes a guest out of bookings, changes, notifications and deliveries, one booking at a time.

    A delivery that names the guest loses its whole body, and so cannot be replayed any more.

    Returns:
        What it did. A second time it finds nothing.
    """
    erased = Erased()
    for booking_id in _bookings_with(database, email.lower()):
        with database.transaction() as session:
            _erase_from_booking(session, booking_id, email.lower(), now, erased)
        database.give_way()
    for ids in _pages_of_deliveries(database):
        with database.transaction() as session:
            _erase_bodies(session, ids, vault, email.lower(), now, erased)
        database.give_way()
    return erased


def _bookings_with(database: Database, email: str) -> Sequence[str]:
    """Found by what is known and by what was: a guest who left is in the changes still."""
    with database.reading() as session:
        in_bookings = select(Booking.id).where(_mentions(Booking.facts, email))
        in_changes = select(BookingChange.booking_id).where(
            or_(_mentions(BookingChange.before, email), _mentions(BookingChange.after, email))
        )
        in_news = select(Notification.booking_id).where(_mentions(Notification.payload, email))
        return sorted({*session.scalars(in_bookings), *session.scalars(in_changes), *session.scalars(in_news)})


def _mentions(column: Any, email: str) -> ColumnElement[bool]:
    """SQLite keeps JSON with escapes beyond ASCII, PostgreSQL without."""
    text = func.lower(cast(column, Text))
    spellings = {email, json.dumps(email)[1:-1]}
    return or_(*(text.contains(spelling, autoescape=True) for spelling in sorted(spellings)))


def _erase_from_booking(session: Session, booking_id: str, email: str, now: datetime, erased: Erased) -> None:
    booking = session.get_one(Booking, booking_id, with_for_update=True)
    guest = Guest(email, _keys_of(booking, email))
    booking.facts = {
        name: [version, guest.erase_from(value)]
        for name, (version, value) in booking.facts.items()
        if not (name.startswith(f"{ATTENDEE}/") and name.split("/", 2)[2] in guest.keys)
    }
    booking.show()
    booking.updated_at = now
    erased.bookings += 1
    for change in session.scalars(select(BookingChange).where(BookingChange.booking_id == booking_id)):
        change.before, change.after = guest.erase_from(change.before), guest.erase_from(change.after)
        erased.changes += 1
    for notification in session.scalars(select(Notification).where(Notification.booking_id == booking_id)):
        notification.payload = guest.erase_from(notification.payload)
        notification.last_error = guest.erase_from(notification.last_error)
        _erase_errors(session, guest, FailedAttempt.notification_id == notification.id)
        erased.notifications += 1
    for act in session.scalars(select(Intervention).where(Intervention.booking_id == booking_id)):
        act.reason = guest.erase_from(act.reason)
    its_bodies = select(Delivery).where(Delivery.booking_id == booking_id, Delivery.body != b"")
    ended = its_bodies.where(Delivery.status != "pending").order_by(Delivery.id).with_for_update()
    for delivery in session.scalars(ended):
        _empty(session, delivery, guest, now, erased)


def _keys_of(booking: Booking, email: str) -> set[str]:
    prefix = f"{ATTENDEE}/email/"
    return {
        name.removeprefix(prefix)
        for name, (_, value) in booking.facts.items()
        if name.startswith(prefix) and str(value).lower() == email
    }


def _pages_of_deliveries(database: Database) -> Iterator[Sequence[str]]:
    after = ""
    while True:
        with database.reading() as session:
            query = select(Delivery.id).where(Delivery.id > after, Delivery.body != b"")
            ids = session.scalars(query.order_by(Delivery.id).limit(AT_ONCE)).all()
        if not ids:
            return
        yield ids
        after = ids[-1]


def _erase_bodies(
    session: Session, ids: Sequence[str], vault: Vault, email: str, now: datetime, erased: Erased
) -> None:
    spellings = {email.encode(), json.dumps(email)[1:-1].encode()}
    for delivery in session.scalars(select(Delivery).where(Delivery.id.in_(ids)).with_for_update()):
        try:
            body = vault.open(delivery.sealed).lower()
        except Transient:
            erased.unopened += 1
            continue
        if any(spelling in body for spelling in spellings):
            _empty(session, delivery, Guest(email), now, erased)


def _empty(session: Session, delivery: Delivery, guest: Guest, now: datetime, erased: Erased) -> None:
    """Not before it is handled: what it says of the booking would be lost with it."""
    if delivery.status == "pending":
        erased.waiting += 1
        return
    delivery.body, delivery.sealed_with, delivery.note = b"", None, "the body was erased on request"
    if delivery.status == "dead":
        delivery.finish(now)
    _erase_errors(session, guest, FailedAttempt.delivery_id == delivery.id)
    for act in session.scalars(select(Intervention).where(Intervention.delivery_id == delivery.id)):
        act.reason = guest.erase_from(act.reason)
    erased.deliveries += 1


def _erase_errors(session: Session, guest: Guest, whose: ColumnElement[bool]) -> None:
    """An error may quote what it failed at."""
    for attempt in session.scalars(select(FailedAttempt).where(whose)):
        attempt.error = guest.erase_from(attempt.error)
