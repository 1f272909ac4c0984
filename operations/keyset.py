"""Keyset pagination and counts, which scan a bounded number of rows. Each page continues after the last row's key."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol

from sqlalchemy import Integer, Select, and_, case, func, literal, literal_column, select, tuple_
from sqlalchemy.orm import Session
from sqlalchemy.sql.elements import ColumnElement

from runtime.database import Utc

WINDOW = 2_000
"""Maximum number of rows that a page scans for a filter without an index; the next page continues after them."""
COUNT_LIMIT = 1000
"""A count stops one above this limit: counting a million rows takes a second."""
SEPARATOR = "~"

Conditions = Callable[[Any], Sequence[ColumnElement[bool]]]


class TabList(Protocol):
    """One tab of a list: a query, its order, and the conditions that no index supports."""

    @property
    def query(self) -> Select[Any]:
        """Selects rows by index; ordered, if at all, by columns that are equal in all of them."""

    @property
    def key(self) -> tuple[Any, ...]:
        """The columns to order by; see `fetch_page`."""

    @property
    def is_descending(self) -> bool:
        """Whether the greatest key comes first."""

    @property
    def is_ordered(self) -> bool:
        """Whether an index provides the order."""

    @property
    def has_unindexed_filters(self) -> bool:
        """Whether there are conditions that no index supports."""

    def unindexed_filters(self, columns: Any) -> Sequence[ColumnElement[bool]]:
        """Return those conditions, on these columns."""


@dataclass(frozen=True)
class KeysetPage:
    """One page of a list.

    Attributes:
        rows: the rows, with the query's columns as attributes.
        next: key to continue after, as text; None on the last page.
        is_first: whether it is the first page.
        is_window: whether it ends because WINDOW rows were scanned, not because it is full.
    """

    rows: Sequence[Any]
    next: str | None
    is_first: bool
    is_window: bool = False


@dataclass(frozen=True)
class Count:
    """A count with an upper limit.

    Attributes:
        number: rows found, at most COUNT_LIMIT + 1.
        is_complete: whether all rows were searched.
    """

    number: int
    is_complete: bool = True


def fetch_page(
    session: Session,
    query: Select[Any],
    key: Sequence[Any],
    after: Sequence[Any] | None,
    size: int,
    unindexed: Conditions | None = None,
    *,
    descending: bool = False,
) -> KeysetPage:
    """Fetch one page.

    Args:
        session: the session.
        query: selects columns, including those of the key; may be ordered only by columns that are equal in all rows.
        key: the columns to order by; the last is unique, and none of them may be NULL.
        after: the key of the previous page's last row; None for the first page.
        size: rows per page.
        unindexed: returns conditions on the query's columns that no index supports: WINDOW rows are scanned for them.
        descending: whether the greatest key comes first.
    """
    ordered = query.order_by(*(column.desc() if descending else column for column in key))
    if after is not None:
        last = tuple_(*(literal(value, column.type) for value, column in zip(after, key, strict=True)))
        ordered = ordered.where(tuple_(*key) < last if descending else tuple_(*key) > last)
    names = [column.key for column in key]
    if unindexed is None:
        rows = session.execute(ordered.limit(size + 1)).all()
    else:
        window = ordered.limit(WINDOW).subquery()
        order = [window.c[name].desc() if descending else window.c[name] for name in names]
        rows = session.execute(select(window).where(*unindexed(window.c)).order_by(*order).limit(size + 1)).all()
    is_full = len(rows) > size
    keys = ordered.with_only_columns(*key, maintain_column_froms=True)
    edge = session.execute(keys.offset(WINDOW - 1).limit(1)).first() if unindexed and not is_full else None
    last_row = rows[size - 1] if is_full else edge
    following = key_text([getattr(last_row, name) for name in names]) if last_row else None
    return KeysetPage(rows[:size], following, after is None, bool(edge))


def count_tabs(session: Session, tabs: Mapping[Any, TabList], chosen: Any) -> dict[Any, Count]:
    """Count the chosen tab, and those of the others that an index can count."""
    return {name: _count(session, tab) for name, tab in tabs.items() if name == chosen or not tab.has_unindexed_filters}


def _count(session: Session, tab: TabList) -> Count:
    """Count up to COUNT_LIMIT + 1 rows, in index order, without breaking ties."""
    first = tab.key[0]
    ordered = tab.query.order_by(first.desc() if tab.is_descending else first)
    if not tab.has_unindexed_filters:
        ordered = ordered if tab.is_ordered else tab.query.order_by(None)
        one: Select[Any] = ordered.with_only_columns(literal_column("1"), maintain_column_froms=True)
        return Count(session.scalar(select(func.count()).select_from(one.limit(COUNT_LIMIT + 1).subquery())) or 0)
    window = ordered.limit(WINDOW).subquery()
    matching = func.count(case((and_(*tab.unindexed_filters(window.c)), 1)))
    number, searched = session.execute(select(matching, func.count()).select_from(window)).one()
    return Count(min(number, COUNT_LIMIT + 1), searched < WINDOW)


def key_text(values: Sequence[Any]) -> str:
    """Serialise a row's key to text."""
    return SEPARATOR.join(
        value.astimezone(UTC).isoformat() if isinstance(value, datetime) else str(value) for value in values
    )


def parse_key(text: str | None, key: Sequence[Any]) -> list[Any] | None:
    """Parse the text from `key_text`; None if it is missing or malformed."""
    parts = text.split(SEPARATOR, len(key) - 1) if text else []
    if len(parts) != len(key):
        return None
    try:
        return [_parse(part, column.type) for part, column in zip(parts, key, strict=True)]
    except (ValueError, OverflowError):
        return None


def _parse(text: str, kind: Any) -> Any:
    if isinstance(kind, Utc):
        moment = datetime.fromisoformat(text)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
    if isinstance(kind, Integer):
        number = int(text)
        if abs(number) >= 2**31:
            raise ValueError(text)
        return number
    if "\x00" in text:
        raise ValueError(text)
    return text
