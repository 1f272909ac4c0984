"""Lists: keyset pages that continue after a row, and counts that stop."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol

from flask import request
from sqlalchemy import Integer, Select, and_, case, func, literal, literal_column, select, tuple_
from sqlalchemy.orm import Session
from sqlalchemy.sql.elements import ColumnElement

from runtime.database import Utc

PAGE_SIZE = 50
COUNT_LIMIT = 1000
"""Counts stop one above: nobody reads more, and counting a million rows takes a second."""
WINDOW = 2_000
"""Rows that one page searches by a filter without an index; the next page continues behind them."""
AFTER = "after"
SEPARATOR = "~"

Conditions = Callable[[Any], Sequence[ColumnElement[bool]]]


class TabList(Protocol):
    """One tab of a list: a query, its order, and the conditions that no index helps with."""

    @property
    def query(self) -> Select[Any]:
        """What the indexes find, at most ordered by columns that are the same in all rows."""

    @property
    def key(self) -> tuple[Any, ...]:
        """The columns of the order; see `fetch`."""

    @property
    def is_descending(self) -> bool:
        """Whether the greatest comes first."""

    @property
    def is_ordered(self) -> bool:
        """Whether an index has the order."""

    @property
    def is_slow(self) -> bool:
        """Whether there are conditions that no index helps with."""

    def slow(self, columns: Any) -> Sequence[ColumnElement[bool]]:
        """Return them, on these columns."""


@dataclass(frozen=True)
class KeysetPage:
    """One page of a list.

    Attributes:
        rows: the rows, with the query's columns as attributes.
        next: key to continue after, in the query string; None on the last page.
        is_first: whether it is the first page.
        is_window: whether it ends because WINDOW rows were searched, not because it is full.
    """

    rows: Sequence[Any]
    next: str | None
    is_first: bool
    is_window: bool = False


@dataclass(frozen=True)
class Count:
    """A count that stopped.

    Attributes:
        number: rows found, at most COUNT_LIMIT + 1.
        is_complete: whether all rows were searched.
    """

    number: int
    is_complete: bool = True


def fetch(
    session: Session, query: Select[Any], *key: Any, slow: Conditions | None = None, descending: bool = True
) -> KeysetPage:
    """Fetch the page that the request's query string asks for.

    Args:
        session: the session.
        query: selects columns, among them those of the key, at most ordered by what is the same in all rows.
        key: the columns of the order; the last is unique, and none of them may be NULL.
        slow: returns conditions on the query's columns that no index helps with: WINDOW rows are searched.
        descending: whether the greatest comes first.
    """
    after = parse_key(request.args.get(AFTER), key)
    ordered = query.order_by(*(column.desc() if descending else column for column in key))
    if after is not None:
        last = tuple_(*(literal(value, column.type) for value, column in zip(after, key, strict=True)))
        ordered = ordered.where(tuple_(*key) < last if descending else tuple_(*key) > last)
    names = [column.key for column in key]
    if slow is None:
        rows = session.execute(ordered.limit(PAGE_SIZE + 1)).all()
    else:
        window = ordered.limit(WINDOW).subquery()
        order = [window.c[name].desc() if descending else window.c[name] for name in names]
        rows = session.execute(select(window).where(*slow(window.c)).order_by(*order).limit(PAGE_SIZE + 1)).all()
    is_full = len(rows) > PAGE_SIZE
    keys = ordered.with_only_columns(*key, maintain_column_froms=True)
    edge = session.execute(keys.offset(WINDOW - 1).limit(1)).first() if slow and not is_full else None
    last_row = rows[PAGE_SIZE - 1] if is_full else edge
    following = key_text([getattr(last_row, name) for name in names]) if last_row else None
    return KeysetPage(rows[:PAGE_SIZE], following, after is None, bool(edge))


def fetch_tab(session: Session, tab: TabList) -> KeysetPage:
    """Fetch the page of a tab that the request's query string asks for."""
    slow = tab.slow if tab.is_slow else None
    return fetch(session, tab.query, *tab.key, slow=slow, descending=tab.is_descending)


def count_tabs(session: Session, tabs: Mapping[Any, TabList], chosen: Any) -> dict[Any, Count]:
    """Count the chosen tab, and of the others those that an index counts."""
    return {name: _count(session, tab) for name, tab in tabs.items() if name == chosen or not tab.is_slow}


def _count(session: Session, tab: TabList) -> Count:
    """Count up to COUNT_LIMIT + 1 rows, in the order of an index, which need not break ties."""
    first = tab.key[0]
    ordered = tab.query.order_by(first.desc() if tab.is_descending else first)
    if not tab.is_slow:
        ordered = ordered if tab.is_ordered else tab.query.order_by(None)
        one: Select[Any] = ordered.with_only_columns(literal_column("1"), maintain_column_froms=True)
        return Count(session.scalar(select(func.count()).select_from(one.limit(COUNT_LIMIT + 1).subquery())) or 0)
    window = ordered.limit(WINDOW).subquery()
    matching = func.count(case((and_(*tab.slow(window.c)), 1)))
    number, searched = session.execute(select(matching, func.count()).select_from(window)).one()
    return Count(min(number, COUNT_LIMIT + 1), searched < WINDOW)


def key_text(values: Sequence[Any]) -> str:
    """Write a row's key for the query string."""
    return SEPARATOR.join(
        value.astimezone(UTC).isoformat() if isinstance(value, datetime) else str(value) for value in values
    )


def parse_key(text: str | None, key: Sequence[Any]) -> list[Any] | None:
    """Read a key from the query string; None if there is none, or if it is none of ours."""
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
