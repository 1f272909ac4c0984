"""One tab of a list of deliveries or notifications: what indexes find, and the filters that no index helps with."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from sqlalchemy import Select, func, or_, select, union_all
from sqlalchemy.sql.elements import ColumnElement

from models.delivery import Delivery
from models.notification import Notification
from models.search import RowSearch

Tab = Literal["all", "pending", "done", "dead"]
MAX_FAILED = 5_000
"""Dead rows, and as many pending ones, that a list of all statuses searches for an error: those that ended last."""


@dataclass(frozen=True)
class RowList:
    """One tab.

    Attributes:
        query: the rows that the indexes find, in no order.
        key: the order, greatest first.
        search: the filters.
        event: name of the column that the filter `event` is about.
    """

    query: Select[Any]
    key: tuple[Any, ...]
    search: RowSearch
    event: str

    is_descending = True

    @property
    def is_slow(self) -> bool:
        """Whether a filter is set that no index helps with, so that a page searches a bounded number of rows."""
        return bool(self.search.event or self.search.error or self.search.error_is)

    def slow(self, columns: Any) -> Sequence[ColumnElement[bool]]:
        """Return those filters' conditions on these columns."""
        conditions = []
        if self.search.event:
            conditions.append(getattr(columns, self.event) == self.search.event)
        if self.search.error_is:
            conditions.append(columns.last_error == self.search.error_is)
        if self.search.error:
            conditions.append(func.lower(columns.last_error).contains(self.search.error.lower(), autoescape=True))
        return conditions


def indexed_part(tab: Tab, search: RowSearch) -> RowSearch:
    """Return the filters that indexes help with; the status is the tab's."""
    return replace(search, status=None if tab == "all" else tab, event=None, error=None, error_is=None)


def narrow(
    query: Any, model: type[Delivery] | type[Notification], tab: Tab, search: RowSearch, *, is_bounded: bool = True
) -> Any:
    """Add the conditions that let the indexes of ended, pending and dead rows serve a tab.

    Args:
        query: the rows that match the other filters.
        model: their model.
        tab: the tab.
        search: the filters.
        is_bounded: whether an error is sought among the MAX_FAILED latest of each status alone.
    """
    query = query.order_by(None)
    if tab in ("done", "dead"):
        query = query.where(model.ended_at.is_not(None))
    if tab == "all" and (search.error or search.error_is):
        found = _latest_failed(model) if is_bounded else None
        is_failed = or_(model.has_status("dead"), model.has_status("pending"))
        query = query.where(is_failed if found is None else model.id.in_(found))
    return query


def _latest_failed(model: type[Delivery] | type[Notification]) -> Any:
    waiting: Any = Delivery.attempts if model is Delivery else Notification.due_at  # as the index of pending rows
    dead = select(model.id).where(model.has_status("dead")).order_by(model.ended_at.desc()).limit(MAX_FAILED)
    pending = select(model.id).where(model.has_status("pending")).order_by(waiting.desc()).limit(MAX_FAILED)
    parts = (select(each.subquery().c.id) for each in (dead, pending))
    return union_all(*parts)
