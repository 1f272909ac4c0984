"""Lists of bookings by tab and filter; every page and count is bounded and uses an index."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import Select, false, func, literal, select
from sqlalchemy.orm import Session
from sqlalchemy.sql.elements import ColumnElement

from models.account import DEFAULT, is_of
from models.booking import Booking
from models.search import BookingSearch

BookingTab = Literal["all", "upcoming", "cancelled", "unhosted", "untimed"]
SHOWN_LENGTH = 200
"""Characters of a meeting's name in a list."""

COLUMNS = (
    Booking.id,
    Booking.account,
    Booking.status,
    Booking.starts_at,
    Booking.ends_at,
    Booking.platform_user_id,
    Booking.updated_at,
    Booking.revision,
    func.substr(Booking.meeting_name, 1, SHOWN_LENGTH).label("meeting_name"),
)
"""Columns of a list; no guests."""
SHORT_COLUMNS = (Booking.id, Booking.starts_at, Booking.meeting_name, Booking.status)
BY_START = (Booking.starts_at, Booking.id)
KEYS: dict[BookingTab, tuple[Any, ...]] = {
    "all": BY_START,
    "upcoming": BY_START,
    "cancelled": BY_START,
    "unhosted": BY_START,
    "untimed": (Booking.id,),
}


@dataclass(frozen=True)
class BookingList:
    """One tab of bookings.

    Attributes:
        tab: the tab.
        query: selects the bookings by index; ordered, if at all, by columns that are equal in all of them.
        status: the status, if no index supports it; else None.
        account: the account, if no index supports it; else None.
    """

    tab: BookingTab
    query: Select[Any]
    status: str | None = None
    account: str | None = None

    is_ordered = True

    @property
    def key(self) -> tuple[Any, ...]:
        """The columns to order by."""
        return KEYS[self.tab]

    @property
    def is_descending(self) -> bool:
        """Whether the latest start comes first; the upcoming tab begins with the next one."""
        return self.tab != "upcoming"

    @property
    def has_unindexed_filters(self) -> bool:
        """Whether a page scans a bounded number of rows, because no index supports the status or the account."""
        return bool(self.status or self.account)

    def unindexed_filters(self, columns: Any) -> Sequence[ColumnElement[bool]]:
        """Return the conditions on status and account."""
        wanted = {"status": self.status, "account": self.account}
        return [getattr(columns, name) == value for name, value in wanted.items() if value]


def bookings_in(session: Session, tab: BookingTab, wanted: BookingSearch, now: datetime) -> BookingList:
    """Return a tab of the bookings that match a filter."""
    query: Select[Any] = select(*COLUMNS)
    is_untimed = Booking.starts_at.is_(None)
    query = query.where(is_untimed if tab == "untimed" else Booking.starts_at.is_not(None))
    if tab == "upcoming":
        query = query.where(Booking.starts_at >= now)
    if tab == "unhosted" and wanted.booking_ids is None:
        # Order by all columns of the index on host and start: PostgreSQL would scan the index on start instead.
        query = query.where(Booking.platform_user_id.is_(None)).order_by(Booking.platform_user_id.desc())
    elif tab == "unhosted":
        # `+ 0` disables the index on hosts: SQLite would read all bookings without a host instead of the given ids.
        query = query.where((Booking.platform_user_id + 0).is_(None))
    query = query.where(*wanted.conditions(session))
    forced = {"upcoming": "confirmed", "cancelled": "cancelled"}.get(tab)
    if forced and wanted.status and wanted.status != forced:
        query = query.where(false())
    status = forced or wanted.status
    has_few = bool(wanted.platform_user or wanted.booking_id) or wanted.booking_ids is not None
    if status == "cancelled" and tab in ("all", "cancelled") and not has_few:
        # A literal, as in the index of cancelled bookings.
        is_cancelled = Booking.status == literal(status, literal_execute=True)
        return BookingList(tab, query.where(is_cancelled), account=wanted.account)
    if wanted.account and wanted.account != DEFAULT and tab in ("all", "upcoming") and not has_few:
        return BookingList(tab, query.where(*is_of(Booking, wanted.account)), status)
    return BookingList(tab, query, status, wanted.account)


def next_of_host(session: Session, user_id: int, now: datetime, limit: int) -> Sequence[Any]:
    """Return a host's next bookings, the earliest first."""
    of_host = select(*SHORT_COLUMNS).where(Booking.platform_user_id == user_id, Booking.starts_at >= now)
    return session.execute(of_host.order_by(Booking.starts_at, Booking.id).limit(limit)).all()


def by_ids(session: Session, ids: Sequence[str]) -> Sequence[Any]:
    """Return the bookings with these ids, in the order of their ids."""
    return session.execute(select(*SHORT_COLUMNS).where(Booking.id.in_(ids)).order_by(Booking.id)).all()
