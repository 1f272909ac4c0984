"""Resolve ids as operators type them: complete or as a prefix."""

from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from models.booking import Booking
from models.delivery import Delivery
from models.notification import Notification
from models.platform_user import PlatformUser
from operations.errors import OperationError
from operations.text import count, printable
from runtime.database import is_postgresql

MIN_PREFIX_LENGTH = 4
"""A shorter prefix is too ambiguous."""
MESSAGE_PREFIX = "msg_"
MAX_ROW_ID = 2**31
MAX_ROW_ID_LENGTH = len(str(MAX_ROW_ID))
MAX_MATCHES = 30
LAST_CHARACTER = "\U0010ffff"


class IdNotFound(OperationError):
    """No id equals or starts with the typed text."""


def find_delivery(session: Session, typed: str) -> Delivery:
    """Return the delivery whose id equals or starts with the typed text.

    Raises:
        OperationError: there is none, or more than one.
    """
    return session.get_one(Delivery, _resolve_id(session, Delivery.id, typed.lower(), "delivery", "deliveries"))


def find_booking(session: Session, typed: str) -> Booking:
    """Return the booking whose id equals or starts with the typed text.

    Raises:
        OperationError: there is none, or more than one.
    """
    return session.get_one(Booking, _resolve_id(session, Booking.id, typed, "booking", "bookings"))


def find_booking_id(session: Session, typed: str) -> str:
    """Return a booking's id, even if the booking does not exist yet because no delivery about it could be handled.

    Raises:
        OperationError: the id is unknown or ambiguous.
    """
    try:
        return _resolve_id(session, Booking.id, typed, "booking", "bookings")
    except IdNotFound:
        return _resolve_id(session, Delivery.booking_id, typed, "booking", "bookings")


def find_notification(session: Session, typed: str) -> Notification:
    """Return the notification with this number, or whose message id starts with the typed text.

    Raises:
        OperationError: there is none, or more than one.
    """
    if typed.startswith(MESSAGE_PREFIX):
        key = _resolve_id(
            session, Notification.key, typed.removeprefix(MESSAGE_PREFIX).lower(), "notification", "notifications"
        )
        row_id = select(Notification.id).where(Notification.key == key)  # in SQLite the index covers it
        return session.get_one(Notification, session.scalars(row_id).one())
    is_number = typed.isdecimal() and len(typed) <= MAX_ROW_ID_LENGTH and int(typed) < MAX_ROW_ID
    row = session.get(Notification, int(typed)) if is_number else None
    if row is None:
        raise OperationError(f"there is no notification {printable(typed)}: its id is a number, or {MESSAGE_PREFIX}...")
    return row


def find_platform_user(session: Session, external_id: str, *, locked: bool = False) -> PlatformUser:
    """Return the platform user with this id of the platform.

    Raises:
        OperationError: there is none.
    """
    user = PlatformUser.by_external_id(session, external_id, locked=locked)
    if user is None:
        raise OperationError(f"there is no platform user '{external_id}': `users list` shows all")
    return user


def delivery_ids(session: Session, typed: Iterable[str]) -> list[str]:
    """Return the ids of the named deliveries without duplicates.

    Raises:
        OperationError: one of them is unknown or ambiguous.
    """
    return list(dict.fromkeys(find_delivery(session, each).id for each in typed))


def resolve_booking_id(session: Session, typed: str | None) -> str | None:
    """Return a booking's complete id for a filter; the text as typed if no such booking exists (yet)."""
    if typed is None or len(typed) < MIN_PREFIX_LENGTH or session.get(Booking, typed) is not None:
        return typed
    found = _ids_starting_with(session, Booking.id, typed)
    return found[0] if len(found) == 1 else typed


def _resolve_id(session: Session, column: Any, typed: str, singular: str, plural: str) -> str:
    if session.scalar(select(column).where(column == typed).limit(1)):
        return typed
    if len(typed) < MIN_PREFIX_LENGTH:
        raise OperationError(f"write at least {MIN_PREFIX_LENGTH} characters of the {singular}'s id")
    found = _ids_starting_with(session, column, typed)
    if not found:
        raise IdNotFound(f"there is no {singular} whose id is {printable(typed)}, or begins with it")
    if len(found) > 1:
        matches = count(len(found), singular, plural) if len(found) < MAX_MATCHES else f"many {plural}"
        examples = ", ".join(printable(each[: len(typed) + 4]) for each in found[:3])
        raise OperationError(f"{matches} begin with {printable(typed)}: write more of the id ({examples} ...)")
    return found[0]


def _ids_starting_with(session: Session, column: Any, typed: str) -> Sequence[str]:
    query = select(column).where(column.startswith(typed, autoescape=True)).distinct()
    if not is_postgresql(session):  # SQLite's index supports a range, but no prefix
        query = query.where(column >= typed, column < f"{typed}{LAST_CHARACTER}")
    query = query.order_by(column).limit(MAX_MATCHES)
    return [found for found in session.scalars(query) if found.startswith(typed)]
