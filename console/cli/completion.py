"""Shell completion of ids with recent ones."""

from __future__ import annotations

import contextlib
import io
import re
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import TYPE_CHECKING

import click
from click.shell_completion import CompletionItem

from console.cli.stores import open_database
from operations.text import SHORT_ID_LENGTH, printable

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

MAX_SUGGESTIONS = 30
TIMEOUT = timedelta(seconds=2)
ONE_WORD = re.compile(r"[\x21-\x7e]+")

Recent = Callable[["Session", str], Iterator[tuple[str, str]]]


def _deliveries(session: Session, typed: str) -> Iterator[tuple[str, str]]:
    from sqlalchemy import select

    from models.delivery import Delivery

    query = select(Delivery.id, Delivery.status, Delivery.event).where(Delivery.id.startswith(typed, autoescape=True))
    for found, status, event in session.execute(query.order_by(Delivery.received_at.desc()).limit(MAX_SUGGESTIONS)):
        yield found[: max(SHORT_ID_LENGTH, len(typed))], f"{status} {event or ''}"


def _bookings(session: Session, typed: str) -> Iterator[tuple[str, str]]:
    from sqlalchemy import select

    from models.booking import Booking

    query = select(Booking.id, Booking.status, Booking.meeting_name).where(
        Booking.id.startswith(typed, autoescape=True)
    )
    for found, status, name in session.execute(query.order_by(Booking.updated_at.desc()).limit(MAX_SUGGESTIONS)):
        yield found, f"{status} {name or ''}"


def _notifications(session: Session, typed: str) -> Iterator[tuple[str, str]]:
    from sqlalchemy import String, cast, select

    from models.notification import Notification
    from operations.lookup import MESSAGE_PREFIX

    is_message = typed.startswith(MESSAGE_PREFIX)
    column = Notification.key if is_message else cast(Notification.id, String)
    query = select(Notification).where(column.startswith(typed.removeprefix(MESSAGE_PREFIX), autoescape=True))
    for row in session.scalars(query.order_by(Notification.id.desc()).limit(MAX_SUGGESTIONS)):
        yield row.message_id if is_message else str(row.id), f"{row.status} {row.kind} by {row.channel}"


class Identifier(click.ParamType[str]):
    """An id or a prefix of one. Completion is silent on any error.

    Args:
        recent: yields ids that start with the typed text, each with a description.
    """

    name = "id"

    def __init__(self, recent: Recent) -> None:
        self._recent = recent

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem[str]]:
        """Return recent ids that start with the typed text."""
        from runtime.settings import DatabaseSettings

        with contextlib.suppress(Exception, SystemExit), contextlib.redirect_stderr(io.StringIO()):
            with open_database(DatabaseSettings.load(), TIMEOUT) as database, database.read_only() as session:
                return [
                    CompletionItem(found, help=printable(description))
                    for found, description in self._recent(session, incomplete)
                    if ONE_WORD.fullmatch(found)
                ]
        return []


DELIVERY, BOOKING, NOTIFICATION = Identifier(_deliveries), Identifier(_bookings), Identifier(_notifications)
