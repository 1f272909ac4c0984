"""Erasure: remove one guest from everything that is stored, and report what could not be reached.

Rows are changed one booking at a time, in the order of locks that `runtime.contention` names.
"""

import time
from collections.abc import Callable, Collection, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session
from sqlalchemy.sql.elements import ColumnElement

from models.attempt import FailedAttempt
from models.booking import Booking, BookingChange
from models.delivery import Delivery
from models.facts import ATTENDEE
from models.intervention import Intervention
from models.notification import Notification
from models.privacy.person import Person, body_as_json, find_guests
from models.privacy.person_search import TEXT_COLUMNS, PersonMatches, attendees_of, find_person
from runtime.contention import in_transaction
from runtime.database import Database
from runtime.encryption import BodyCipher
from runtime.errors import Transient

VACUUM_TIMEOUT = timedelta(seconds=15)


@dataclass
class ErasureResult:
    """The result of an erasure: the number of rows of each kind.

    `waiting` are pending deliveries, and `unopened` those that no key decrypts: neither is changed.
    `texts` are other rows that quoted the guest, `hosts` platform users with the address, who stay, and `skipped` rows
    that could not be read or changed, with the reason.
    """

    bookings: int = 0
    changes: int = 0
    notifications: int = 0
    deliveries: int = 0
    waiting: int = 0
    unopened: int = 0
    texts: int = 0
    hosts: int = 0
    skipped: list[str] = field(default_factory=list)

    def add(self, other: "ErasureResult") -> None:
        """Add the counts of one transaction."""
        for name in ("bookings", "changes", "notifications", "deliveries", "waiting", "unopened", "texts"):
            setattr(self, name, getattr(self, name) + getattr(other, name))


def erase(
    database: Database, cipher: BodyCipher, person: Person, now: datetime, found: PersonMatches | None = None
) -> ErasureResult:
    """Remove a guest from bookings, changes, notifications and deliveries, one booking at a time.

    A delivery that names the guest loses its whole body and can no longer be replayed.

    Args:
        database: the database.
        cipher: decrypts bodies.
        person: whom to erase.
        now: the time, UTC.
        found: the result of `find_person`, if it was called.

    Returns:
        The numbers of changed rows. A second run finds nothing.
    """
    found = found or find_person(database, cipher, person, account=None)
    erased = ErasureResult(unopened=len(found.unopened), hosts=found.hosts, skipped=[*found.skipped])

    def attempt(what: str, work: Callable[[Session], ErasureResult]) -> None:
        """Erase in a transaction of its own. One that fails does not stop the others."""
        try:
            erased.add(in_transaction(database, work))
        except Exception as error:
            erased.skipped.append(f"{what}: {type(error).__name__}")
        database.yield_lock()

    for booking_id, keys in sorted(found.keys.items()):
        guest = replace(person, keys=frozenset(keys))
        of_booking = partial(_erase_from_booking, booking_id=booking_id, person=guest, unopened=found.unopened)
        attempt(f"booking {booking_id}", partial(of_booking, cipher=cipher, now=now))
    erase_booking = partial(_erase_from_booking, person=person, unopened=found.unopened, cipher=cipher, now=now)
    lone_body = partial(_erase_lone_body, person=person, now=now, erased={*found.keys}, erase_booking=erase_booking)
    for delivery_id in found.bodies:
        attempt(f"delivery {delivery_id}", partial(lone_body, delivery_id=delivery_id))
    for model, key in found.texts:
        attempt(f"{model.__tablename__} {key}", partial(_erase_texts, model=model, key=key, person=person))
    return erased


def vacuum(database: Database, timeout: timedelta = VACUUM_TIMEOUT) -> bool:
    """Vacuum SQLite and truncate its write-ahead log: both may hold overwritten data. PostgreSQL vacuums by itself.

    Returns:
        Whether it succeeded; it fails while other processes read or write for longer than `timeout`.
    """
    if database.supports_skip_locked:
        return True
    with closing(database.engine.raw_connection()) as connection:
        raw: Any = connection.driver_connection
        return all(_retried(partial(step, raw), timeout) for step in (_rewrite, _truncate_log))


def _retried(step: Callable[[], bool], timeout: timedelta) -> bool:
    deadline = time.monotonic() + timeout.total_seconds()
    while not step():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return True


def _rewrite(raw: Any) -> bool:
    with suppress(raw.OperationalError):
        raw.execute("VACUUM")
        return True
    return False


def _truncate_log(raw: Any) -> bool:
    with suppress(raw.OperationalError):
        busy, *_ = raw.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        return not busy
    return False


def _erase_from_booking(
    session: Session, cipher: BodyCipher, booking_id: str, person: Person, unopened: Collection[str], now: datetime
) -> ErasureResult:
    """Erase the guest from one booking and its rows. Bodies that no key decrypts are erased with it."""
    result = ErasureResult()
    deliveries: Sequence[Delivery] = _locked(session, Delivery, booking_id, Delivery.body != b"")
    booking = session.get(Booking, booking_id, with_for_update=True)
    changes: Sequence[BookingChange] = _locked(session, BookingChange, booking_id)
    notifications: Sequence[Notification] = _locked(session, Notification, booking_id)
    values: list[Any] = [[change.before, change.after] for change in changes]
    values += [notification.payload for notification in notifications]
    values += [_read_body(cipher, delivery) for delivery in deliveries]
    if booking:
        values.append({"attendees": attendees_of(booking.facts)})
    person = person.with_identities_of(list(find_guests(values)))
    history = [(change.before, change.after) for change in changes]
    for change in changes:
        change.before, change.after = person.redact(change.before), person.redact(change.after)
        result.changes += 1
    if booking:
        columns = booking.public_columns()
        _erase_facts(booking, person, now)
        result.bookings += 1
        if (columns, history) != (booking.public_columns(), [(change.before, change.after) for change in changes]):
            session.add(booking.record_erasure(columns, person.redact(columns), now))
    for notification in notifications:
        notification.payload = person.redact(notification.payload)
        notification.last_error = person.redact(notification.last_error)
        _erase_errors(session, person, FailedAttempt.notification_id == notification.id)
        result.notifications += 1
    _erase_reasons(session, person, Intervention.booking_id == booking_id)
    emptied = {delivery.id for delivery in deliveries if _erase_body(session, delivery, person, now, result)}
    result.unopened -= len(emptied.intersection(unopened))
    return result


def _locked(session: Session, model: type[Any], booking_id: str, *conditions: ColumnElement[bool]) -> Sequence[Any]:
    rows = select(model).where(model.booking_id == booking_id, *conditions).order_by(model.id)
    return session.scalars(rows.with_for_update()).all()


def _erase_facts(booking: Booking, person: Person, now: datetime) -> None:
    booking.facts = {
        name: [version, person.redact(value, name)]
        for name, (version, value) in booking.facts.items()
        if not (name.startswith(f"{ATTENDEE}/") and person.matches_key(name.split("/", 2)[-1]))
    }
    booking.project()
    booking.updated_at = now


def _read_body(cipher: BodyCipher, delivery: Delivery) -> Any:
    try:
        return body_as_json(cipher.decrypt(delivery.encrypted_body))
    except Transient:
        return None


def _erase_lone_body(
    session: Session,
    delivery_id: str,
    person: Person,
    now: datetime,
    erased: set[str],
    erase_booking: Callable[..., ErasureResult],
) -> ErasureResult:
    """Erase the body of a delivery that was of no booking when it was found; a worker may have processed it since.

    Then erase its booking, unless this is among those `erased` and took the body with it.
    """
    result = ErasureResult()
    delivery = session.get(Delivery, delivery_id, with_for_update=True)
    booking_id = delivery and delivery.booking_id
    if delivery and booking_id and (delivery.body or booking_id not in erased):
        erased.add(booking_id)
        return erase_booking(session, booking_id=booking_id)
    if delivery and delivery.body:
        _erase_body(session, delivery, person, now, result)
    return result


def _erase_body(session: Session, delivery: Delivery, person: Person, now: datetime, result: ErasureResult) -> bool:
    """Erase a delivery's body, unless it is pending: its content would be lost before it is applied."""
    if delivery.status == "pending":
        result.waiting += 1
        return False
    delivery.body, delivery.sealed_with, delivery.note = b"", None, "the body was erased on request"
    if delivery.status == "dead":
        delivery.finish(now)
    delivery.last_error = person.redact(delivery.last_error)
    _erase_errors(session, person, FailedAttempt.delivery_id == delivery.id)
    _erase_reasons(session, person, Intervention.delivery_id == delivery.id)
    result.deliveries += 1
    return True


def _erase_errors(session: Session, person: Person, condition: ColumnElement[bool]) -> None:
    """Redact errors, which may quote the person's data."""
    for attempt in session.scalars(select(FailedAttempt).where(condition).order_by(FailedAttempt.id)):
        attempt.error = person.redact(attempt.error)


def _erase_reasons(session: Session, person: Person, condition: ColumnElement[bool]) -> None:
    for intervention in session.scalars(select(Intervention).where(condition)):
        intervention.reason = person.redact(intervention.reason)


def _erase_texts(session: Session, model: type[Any], key: Any, person: Person) -> ErasureResult:
    row = session.get(model, key, with_for_update=True)
    before = [getattr(row, name) for name in TEXT_COLUMNS[model]] if row else []
    after = [person.redact(text) for text in before]
    for name, text in zip(TEXT_COLUMNS[model], after, strict=False):
        setattr(row, name, text)
    return ErasureResult(texts=int(after != before))
