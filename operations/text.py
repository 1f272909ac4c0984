"""Wording: times, ids and values as people read them."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

from rich.markup import escape

CONSOLE_COMMAND = "bin/inbox"
NO_VALUE = "-"
SHORT_ID_LENGTH = 12
UNITS = ((timedelta(days=2), timedelta(days=1), "days"), (timedelta(minutes=100), timedelta(hours=1), "h"))


def moment(at: datetime | None) -> str:
    """A time in UTC, to the second."""
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S}" if at else NO_VALUE


def duration(length: timedelta) -> str:
    """Roughly how long: `45 s`, `3 min`, `5 h`, `12 days`."""
    for least, unit, name in UNITS:
        if length >= least:
            return f"{length // unit} {name}"
    seconds = int(length.total_seconds())
    return f"{seconds} s" if seconds < 100 else f"{seconds // 60} min"


def age(at: datetime | None, now: datetime) -> str:
    """How long ago, or how long until."""
    if at is None:
        return NO_VALUE
    return f"{duration(now - at)} ago" if at <= now else f"in {duration(at - now)}"


def short(identifier: str | int | None) -> str:
    """The beginning of an id: enough to tell it, and to type it."""
    return NO_VALUE if identifier is None else printable(str(identifier)[:SHORT_ID_LENGTH])


def count(number: int, singular: str, plural: str = "") -> str:
    """A number and its noun."""
    return f"{number} {singular if number == 1 else plural or singular + 's'}"


def printable(text: str) -> str:
    """Text of others, on one line: what could move a terminal's cursor or colour it is escaped."""
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode() for character in text
    )


def escape_markup(text: str) -> str:
    """The same where rich reads markup."""
    return escape(printable(text))


def value(content: Any) -> str:
    """A column's value: text as it is, nothing as a dash, all else as JSON."""
    if content is None:
        return NO_VALUE
    return printable(content if isinstance(content, str) else json.dumps(content, ensure_ascii=False))
