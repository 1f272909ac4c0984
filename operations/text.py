"""Format times, ids and values for people."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

from rich.markup import escape

CONSOLE_COMMAND = "bin/inbox"
NO_VALUE = "-"
SHORT_ID_LENGTH = 12
MAX_REST_LENGTH = 4
"""An id is shown whole if shortening it would save no more characters than this."""
UNITS = ((timedelta(days=2), timedelta(days=1), "days"), (timedelta(minutes=100), timedelta(hours=1), "h"))


def moment(at: datetime | None) -> str:
    """Format a time in UTC, to the second."""
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S}" if at else NO_VALUE


def duration(length: timedelta) -> str:
    """Format an approximate duration: `45 s`, `3 min`, `5 h`, `12 days`."""
    for least, unit, name in UNITS:
        if length >= least:
            return f"{length // unit} {name}"
    seconds = int(length.total_seconds())
    return f"{seconds} s" if seconds < 100 else f"{seconds // 60} min"


def age(at: datetime | None, now: datetime) -> str:
    """Format a time relative to now."""
    if at is None:
        return NO_VALUE
    return f"{duration(now - at)} ago" if at <= now else f"in {duration(at - now)}"


def when(at: datetime | None, now: datetime) -> str:
    """Format a time in UTC, and relative to now."""
    return f"{moment(at)} ({age(at, now)})" if at else NO_VALUE


def short(identifier: str | int | None) -> str:
    """Shorten a long id to a prefix that identifies it and can be typed."""
    if identifier is None:
        return NO_VALUE
    text = str(identifier)
    start = text.find(":") + 1 + SHORT_ID_LENGTH  # a booking's key begins with the account
    return printable(text if len(text) <= start + MAX_REST_LENGTH else text[:start])


def count(number: int, singular: str, plural: str = "") -> str:
    """Format a number with its noun."""
    return f"{number} {singular if number == 1 else plural or singular + 's'}"


def printable(text: str) -> str:
    """Escape untrusted text for one terminal line: no cursor movements or colours."""
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode() for character in text
    )


def escape_markup(text: str) -> str:
    """Escape untrusted text where rich reads markup."""
    return escape(printable(text))


def value(content: Any) -> str:
    """Format a column's value: text as it is, None as a dash, all else as JSON."""
    if content is None:
        return NO_VALUE
    return printable(content if isinstance(content, str) else json.dumps(content, ensure_ascii=False))
