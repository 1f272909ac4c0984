"""Lists of deliveries by status and filter; every page and count is bounded and uses an index."""

import json
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Text, cast, func, literal, or_, select
from sqlalchemy.orm import Session

from models.booking import Booking
from models.delivery import Delivery
from models.search import RowSearch
from operations.row_list import RowList, Tab, row_list
from runtime.database import JsonValue, is_postgresql

MAX_BOOKINGS_OF_GUEST = 100
MAX_SORTED = 2_000
"""Maximum number of a guest's bookings that PostgreSQL sorts: only a test account has more."""
SQLITE_BOOKINGS = 10_000
"""Number of bookings, latest first, in which SQLite searches for a guest: it cannot index JSON arrays."""

COLUMNS = (
    Delivery.id,
    Delivery.account,
    Delivery.status,
    Delivery.event,
    Delivery.booking_id,
    Delivery.received_at,
    Delivery.source,
    Delivery.attempts,
    Delivery.due_at,
    Delivery.ended_at,
    Delivery.last_error,
    Delivery.note,
)
"""Columns of a list; no body."""
KEYS: dict[Tab, tuple[Any, ...]] = {
    "all": (Delivery.received_at, Delivery.id),
    "pending": (Delivery.attempts, Delivery.due_at, Delivery.received_at, Delivery.id),
    "done": (Delivery.ended_at, Delivery.id),
    "dead": (Delivery.ended_at, Delivery.id),
}
"""Columns that order each tab, descending, as in an index; pending rows with the most attempts come first."""


def deliveries_in(tab: Tab, search: RowSearch, *, is_bounded: bool = True) -> RowList:
    """Return a tab of the deliveries that match a search; see `row_list`."""
    return row_list(Delivery, tab, search, columns=COLUMNS, keys=KEYS, event="event", is_bounded=is_bounded)


def bookings_of_guest(session: Session, email: str) -> tuple[str, ...]:
    """Return the ids of bookings that name a guest with this e-mail address, latest first."""
    addresses = sorted({email.strip(), email.strip().lower()})
    if not is_postgresql(session):
        return _bookings_of_guest_on_sqlite(session, addresses)
    contains = or_(*(Booking.attendees.bool_op("@>")(literal([{"email": each}], JsonValue())) for each in addresses))
    # The inner LIMIT keeps the planner from walking the index on start in the hope of enough early matches.
    found = select(Booking.id, Booking.starts_at).where(contains).limit(MAX_SORTED).subquery()
    query = select(found.c.id).order_by(found.c.starts_at.desc().nulls_last()).limit(MAX_BOOKINGS_OF_GUEST)
    return tuple(session.scalars(query))


def _bookings_of_guest_on_sqlite(session: Session, addresses: Sequence[str]) -> tuple[str, ...]:
    latest = select(Booking.id, Booking.attendees).order_by(Booking.starts_at.desc()).limit(SQLITE_BOOKINGS).subquery()
    stored = func.lower(cast(latest.c.attendees, Text))
    written = {json.dumps(each, ensure_ascii=is_ascii).lower() for each in addresses for is_ascii in (True, False)}
    names = or_(*(func.instr(stored, each) > 0 for each in sorted(written)))
    return tuple(session.scalars(select(latest.c.id).where(names).limit(MAX_BOOKINGS_OF_GUEST)))
