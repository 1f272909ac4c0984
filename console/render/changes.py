"""Render changes of a booking, column by column."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from rich.table import Table

from console.render.tables import fields
from models.booking import Booking
from operations.text import NO_VALUE, moment, value

COLUMN_ORDER = list(Booking.__table__.columns.keys())
"""Order of the columns: PostgreSQL does not keep the order of a JSON object's names."""
TIMES = ("starts_at", "ends_at", "as_of")
SUMMARY_COLUMNS = ("starts_at", "status")
"""Columns whose values a one-line summary shows; it only names the others."""
EMPTY: tuple[Any, ...] = (None, [], {})


def table(before: Mapping[str, Any] | None, after: Mapping[str, Any]) -> Table:
    """Render changed columns before and after; of a new row, those that are not empty."""
    if before is None:
        return fields({name: column(name, after[name]) for name in _names(after) if after[name] not in EMPTY})
    return fields({name: _arrow(name, before, after) for name in _names(after)})


def line(before: Mapping[str, Any] | None, after: Mapping[str, Any]) -> str:
    """Render a change in one line."""
    if before is None:
        return f"starts at {column('starts_at', after.get('starts_at'))}"
    return ", ".join(
        f"{name}: {_arrow(name, before, after)}" if name in SUMMARY_COLUMNS else name for name in _names(after)
    )


def column(name: str, content: Any) -> str:
    """Format a booking's column: times as times, attendees by name and e-mail."""
    if name in TIMES and isinstance(content, str):
        return moment(datetime.fromisoformat(content))
    if name == "attendees" and isinstance(content, list):
        return ", ".join(_guest(guest) for guest in content) or NO_VALUE
    return value(content)


def pair(name: str, before: Any, after: Any) -> tuple[str, str]:
    """Format both values of a column, in full if their short forms are equal."""
    short = column(name, before), column(name, after)
    return short if short[0] != short[1] else (value(before), value(after))


def _guest(guest: Any) -> str:
    known = [guest[key] for key in ("fullname", "email") if guest.get(key)] if isinstance(guest, dict) else []
    return value(" ".join(map(str, known)) if known else guest)


def _names(after: Mapping[str, Any]) -> list[str]:
    return [name for name in COLUMN_ORDER if name in after and name != "as_of"]


def _arrow(name: str, before: Mapping[str, Any], after: Mapping[str, Any]) -> str:
    return " -> ".join(pair(name, before.get(name), after[name]))
