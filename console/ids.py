"""Ids as operators type them: whole, or the beginning. A shell completes the recent ones."""

import contextlib
import io
import re
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from typing import Any

import click
from click.shell_completion import CompletionItem
from sqlalchemy import select
from sqlalchemy.orm import Session

from console.stores import open_database
from console.wording import SHORT, count, printable
from models.booking import Booking
from models.delivery import Delivery
from models.notification import Notification
from models.settings import DatabaseSettings

FEWEST = 4
"""A shorter beginning says too little."""
MESSAGE = "msg_"
LARGEST = 2**31
COMPLETED = 30
COMPLETION_PATIENCE = timedelta(seconds=2)
ONE_WORD = re.compile(r"[\x21-\x7e]+")

Recent = Callable[[Session, str], Iterator[tuple[str, str]]]


def find_delivery(session: Session, typed: str) -> Delivery:
    """The delivery whose id it is, or begins with it.

    Raises:
        ClickException: there is none, or more than one.
    """
    return session.get_one(Delivery, _whole(session, Delivery.id, typed.lower(), "delivery", "deliveries"))


def find_booking(session: Session, typed: str) -> Booking:
    """The booking whose id it is, or begins with it.

    Raises:
        ClickException: there is none, or more than one.
    """
    return session.get_one(Booking, _whole(session, Booking.id, typed, "booking", "bookings"))


def find_notification(session: Session, typed: str) -> Notification:
    """The notification with this number, or whose message id begins with it.

    Raises:
        ClickException: there is none, or more than one.
    """
    if typed.startswith(MESSAGE):
        key = _whole(session, Notification.key, typed.removeprefix(MESSAGE).lower(), "notification", "notifications")
        return session.scalars(select(Notification).where(Notification.key == key)).one()
    row = session.get(Notification, int(typed)) if typed.isdecimal() and int(typed) < LARGEST else None
    if row is None:
        raise click.ClickException(f"there is no notification {printable(typed)}: its id is a number, or {MESSAGE}...")
    return row


def booking_id(session: Session, typed: str | None) -> str | None:
    """The whole id of a booking, for a filter; as it was typed where there is no such booking (yet)."""
    if typed is None or len(typed) < FEWEST or session.get(Booking, typed) is not None:
        return typed
    found = _beginning_with(session, Booking.id, typed)
    return found[0] if len(found) == 1 else typed


def _whole(session: Session, column: Any, typed: str, singular: str, plural: str) -> str:
    if session.scalar(select(column).where(column == typed)):
        return typed
    if len(typed) < FEWEST:
        raise click.ClickException(f"write at least {FEWEST} characters of the {singular}'s id")
    found = _beginning_with(session, column, typed)
    if not found:
        raise click.ClickException(f"there is no {singular} whose id is {printable(typed)}, or begins with it")
    if len(found) > 1:
        several = count(len(found), singular, plural) if len(found) < COMPLETED else f"many {plural}"
        longer = ", ".join(printable(each[: len(typed) + 4]) for each in found[:3])
        raise click.ClickException(f"{several} begin with {printable(typed)}: write more of the id ({longer} ...)")
    return found[0]


def _beginning_with(session: Session, column: Any, typed: str) -> Sequence[str]:
    query = select(column).where(column.startswith(typed, autoescape=True)).order_by(column).limit(COMPLETED)
    return [found for found in session.scalars(query) if found.startswith(typed)]


def _deliveries(session: Session, typed: str) -> Iterator[tuple[str, str]]:
    query = select(Delivery.id, Delivery.status, Delivery.event).where(Delivery.id.startswith(typed, autoescape=True))
    for found, status, event in session.execute(query.order_by(Delivery.received_at.desc()).limit(COMPLETED)):
        yield found[: max(SHORT, len(typed))], f"{status} {event or ''}"


def _bookings(session: Session, typed: str) -> Iterator[tuple[str, str]]:
    query = select(Booking.id, Booking.status, Booking.meeting_name).where(
        Booking.id.startswith(typed, autoescape=True)
    )
    for found, status, name in session.execute(query.order_by(Booking.updated_at.desc()).limit(COMPLETED)):
        yield found, f"{status} {name or ''}"


def _notifications(session: Session, typed: str) -> Iterator[tuple[str, str]]:
    query = select(Notification).order_by(Notification.id.desc()).limit(COMPLETED)
    for row in session.scalars(query):
        name = row.message_id if typed.startswith("m") else str(row.id)
        if name.startswith(typed):
            yield name, f"{row.status} {row.kind} by {row.channel}"


class Identifier(click.ParamType[str]):
    """An id, or its beginning. Completion is silent, whatever goes wrong.

    Args:
        recent: yields ids that begin with what is typed, and a word on each.
    """

    name = "id"

    def __init__(self, recent: Recent) -> None:
        self._recent = recent

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem[str]]:
        """Recent ids that begin with it."""
        with contextlib.suppress(Exception, SystemExit), contextlib.redirect_stderr(io.StringIO()):
            url = DatabaseSettings.load().database_url
            with open_database(url, COMPLETION_PATIENCE) as database, database.reading() as session:
                return [
                    CompletionItem(found, help=printable(about))
                    for found, about in self._recent(session, incomplete)
                    if ONE_WORD.fullmatch(found)
                ]
        return []


DELIVERY, BOOKING, NOTIFICATION = Identifier(_deliveries), Identifier(_bookings), Identifier(_notifications)
