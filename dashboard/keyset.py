"""Lists: keyset pagination, and counts with an upper limit."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from flask import request
from sqlalchemy import Select, and_, case, func, literal_column, select
from sqlalchemy.orm import Session
from sqlalchemy.sql.elements import ColumnElement

from dashboard.page_size import most_rows
from operations.keyset import WINDOW, Conditions, KeysetPage, fetch_page, key_text, parse_key

__all__ = ["WINDOW", "KeysetPage", "fetch", "key_text", "parse_key"]

PAGE_SIZE = 50
COUNT_LIMIT = 1000
"""A count stops one above this limit: counting a million rows takes a second."""
AFTER = "after"


class TabList(Protocol):
    """One tab of a list: a query, its order, and the conditions that no index supports."""

    @property
    def query(self) -> Select[Any]:
        """Selects rows by index; ordered, if at all, by columns that are equal in all of them."""

    @property
    def key(self) -> tuple[Any, ...]:
        """The columns to order by; see `fetch`."""

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
class Count:
    """A count with an upper limit.

    Attributes:
        number: rows found, at most COUNT_LIMIT + 1.
        is_complete: whether all rows were searched.
    """

    number: int
    is_complete: bool = True


def fetch(
    session: Session, query: Select[Any], *key: Any, unindexed: Conditions | None = None, descending: bool = True
) -> KeysetPage:
    """Fetch the page that the request's query string asks for: see `fetch_page`."""
    after = parse_key(request.args.get(AFTER), key)
    return fetch_page(session, query, key, after, most_rows(PAGE_SIZE), unindexed, descending=descending)


def fetch_tab(session: Session, tab: TabList) -> KeysetPage:
    """Fetch the page of a tab that the request's query string asks for."""
    unindexed = tab.unindexed_filters if tab.has_unindexed_filters else None
    return fetch(session, tab.query, *tab.key, unindexed=unindexed, descending=tab.is_descending)


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
