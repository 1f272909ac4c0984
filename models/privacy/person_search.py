"""Search for one guest in everything that is stored.

A guest is found by current and former details: the address may have changed under the same guest id.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import or_, select
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.orm import Session
from sqlalchemy.sql.elements import ColumnElement

from meetergo.guests import Identity
from models.attempt import FailedAttempt
from models.booking import Booking, BookingChange
from models.delivery import Delivery
from models.employee import Employee
from models.facts import ATTENDEE
from models.intervention import Intervention
from models.notification import Notification
from models.platform_user import PlatformUser
from models.privacy.person import MIN_ID_LENGTH, Details, Person, body_as_json, find_guests
from models.reconciliation import Reconciliation
from models.run import Run
from runtime.database import Database, Model
from runtime.encryption import BodyCipher
from runtime.errors import Transient

BATCH_SIZE = 500

TEXT_COLUMNS: dict[type[Model], tuple[str, ...]] = {
    Delivery: ("last_error", "note"),
    Notification: ("last_error",),
    FailedAttempt: ("error",),
    Intervention: ("reason", "by"),
    Reconciliation: ("error",),
    Run: ("reason", "by", "selection"),
}
"""Columns that may quote a person."""


@dataclass
class PersonMatches:
    """Where a person appears.

    Attributes:
        guests: attendee objects that describe the person, each variant once.
        keys: booking id -> the ids by which it knows the person.
        bodies: ids of deliveries that mention the person and belong to none of these bookings.
        texts: rows that quote the person: table and id.
        hosts: number of platform users and employees with the address. They are not erased.
        unopened: ids of deliveries that no key decrypts.
        skipped: rows that could not be read, and why.
    """

    guests: list[Details] = field(default_factory=list)
    keys: dict[str, set[str]] = field(default_factory=dict)
    bodies: list[str] = field(default_factory=list)
    texts: list[tuple[type[Model], Any]] = field(default_factory=list)
    hosts: int = 0
    unopened: list[str] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)

    @property
    def has_matches(self) -> bool:
        """Whether there is anything to erase."""
        return bool(self.keys or self.bodies or self.texts)

    def add_guest(self, details: Details, booking_id: str | None) -> None:
        """Record an attendee who is the person, of a booking or of a body without one."""
        if booking_id is not None:
            self.keys.setdefault(booking_id, set()).update(_ids_of(details))
        known = {name: value for name, value in details.items() if name != "id"}
        if known not in self.guests:
            self.guests.append(known)


def find_person(database: Database, cipher: BodyCipher, person: Person, account: str | None) -> PersonMatches:
    """Find a person in everything that is stored. Takes no locks; an unreadable row does not stop the search.

    Args:
        database: the database.
        cipher: decrypts bodies.
        person: whom to find.
        account: the only account to search; None for all.
    """
    found = PersonMatches()
    _find_in_rows(database, person, found, account)
    _find_in_bodies(database, cipher, person, found, account)
    ids = frozenset(key for keys in found.keys.values() for key in keys if _is_provider_id(key))
    if ids:
        _find_in_rows(database, Person(keys=ids), found, account)
    for model, columns in TEXT_COLUMNS.items():
        if account and model is Run:  # of no single account
            continue
        for row in _pages(database, model, ("id", *columns), found.skipped, *_of(model, account)):
            if any(person.is_mentioned_in(text) for text in row[1:]):
                found.texts.append((model, row[0]))
    for row in _pages(database, PlatformUser, ("id", "email"), found.skipped, *_of(PlatformUser, account)):
        if person.emails and row[1] and person.matches_guest({"email": row[1]}):
            found.hosts += 1
    with database.read_only() as session:
        emails = session.scalars(select(Employee.email).where(*_of(Employee, account))).all()
    found.hosts += sum(bool(person.emails) and person.matches_guest({"email": email}) for email in emails)
    return found


def attendees_of(facts: Any) -> list[Details]:
    """Return the known details of each guest, including former ones; the key becomes `id`."""
    guests: dict[str, dict[str, Any]] = {}
    for name, register in facts.items() if isinstance(facts, dict) else ():
        kind, _, rest = str(name).partition("/")
        detail, _, key = rest.partition("/")
        if kind == ATTENDEE and key and isinstance(register, list) and register:
            email = Identity.parse(key).email
            guests.setdefault(key, {"email": email} if email else {})[detail] = register[-1]
    return [{**details, "id": Identity.parse(key).id or key} for key, details in guests.items()]


def _is_provider_id(key: str) -> bool:
    return len(key) >= MIN_ID_LENGTH and "@" not in key


def _find_in_rows(database: Database, person: Person, found: PersonMatches, account: str | None) -> None:
    """Search bookings, their changes and their notifications."""

    def pages(model: type[Any], *names: str) -> Iterator[Sequence[Any]]:
        return _pages(database, model, names, found.skipped, *_of(model, account))

    booking = ("id", "facts", "attendees", "metadata_", "cancel_reason", "cancelled_by", "location", "meeting_name")
    for key, facts, *rest in pages(Booking, *booking):
        _match(found, person, key, [*rest, facts], [*attendees_of(facts), *find_guests(rest[0], ATTENDEE)])
    for _, key, *rest in pages(BookingChange, "id", "booking_id", "before", "after"):
        _match(found, person, key, rest, [*find_guests(rest)])
    for _, key, payload in pages(Notification, "id", "booking_id", "payload"):
        _match(found, person, key, payload, [*find_guests(payload)])


def _match(found: PersonMatches, person: Person, booking_id: str, value: Any, guests: Sequence[Details]) -> None:
    for details in guests:
        if person.matches_guest(details) or not person.keys.isdisjoint(_ids_of(details)):
            found.add_guest(details, booking_id)
    if booking_id not in found.keys and person.is_mentioned_in(value):
        found.keys[booking_id] = set()


def _ids_of(details: Details) -> set[str]:
    return {str(details["id"])} if details.get("id") else set()


def _find_in_bodies(
    database: Database, cipher: BodyCipher, person: Person, found: PersonMatches, account: str | None
) -> None:
    columns = ("id", "booking_id", "body", "sealed_with")
    for row in _pages(database, Delivery, columns, found.skipped, Delivery.body != b"", *_of(Delivery, account)):
        delivery = Delivery(id=row[0], body=row[2], sealed_with=row[3])
        try:
            value = body_as_json(cipher.decrypt(delivery.encrypted_body))
        except Transient:
            found.unopened.append(delivery.id)
            continue
        guests = [details for details in find_guests(value) if person.matches_guest(details)]
        if not guests and not person.is_mentioned_in(value):
            continue
        if row[1] is None:
            found.bodies.append(delivery.id)
        else:
            found.keys.setdefault(row[1], set())
        for details in guests:
            found.add_guest(details, row[1])


def _of(model: type[Any], account: str | None) -> Sequence[ColumnElement[bool]]:
    if account is None:
        return ()
    if model is FailedAttempt:
        owners = ((FailedAttempt.delivery_id, Delivery), (FailedAttempt.notification_id, Notification))
        return (or_(*(key.in_(select(owner.id).where(owner.account == account)) for key, owner in owners)),)
    return (model.account == account,)


def _pages(
    database: Database, model: type[Any], names: Sequence[str], skipped: list[str], *where: ColumnElement[bool]
) -> Iterator[Sequence[Any]]:
    """Yield these columns of all rows, the key first. A page that cannot be read is read row by row."""
    columns, after = [getattr(model, name) for name in names], None
    while True:
        with database.read_only() as session:
            query = select(model.id).where(*where, *(() if after is None else (model.id > after,)))
            ids = session.scalars(query.order_by(model.id).limit(BATCH_SIZE)).all()
            page_query = select(*columns).where(model.id.in_(ids)).order_by(model.id)
            try:
                page: Sequence[Any] = session.execute(page_query).all() if ids else ()
            except OperationalError:
                raise
            except (DBAPIError, ValueError, TypeError, OverflowError):
                session.rollback()
                page = list(_one_by_one(session, model, columns, ids, skipped))
        yield from page
        if len(ids) < BATCH_SIZE:
            return
        after = ids[-1]


def _one_by_one(
    session: Session, model: type[Any], columns: Sequence[Any], ids: Sequence[Any], skipped: list[str]
) -> Iterator[Any]:
    for key in ids:
        try:
            yield from session.execute(select(*columns).where(model.id == key)).all()
        except (DBAPIError, ValueError, TypeError, OverflowError) as error:
            session.rollback()
            skipped.append(f"{model.__tablename__} {key}: {type(error).__name__}")
