"""One tab of a list of deliveries or notifications: an indexed query, and the filters that no index supports."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from sqlalchemy import Select, func, or_, select, union_all
from sqlalchemy.sql.elements import ColumnElement

from models.account import DEFAULT, is_of
from models.claim import RowType
from models.delivery import Delivery
from models.search import RowSearch

Tab = Literal["all", "pending", "done", "dead"]
MAX_FAILED = 2_000
"""Maximum number of dead and of pending rows that a list of all statuses searches for an error, latest first."""


@dataclass(frozen=True)
class RowList:
    """One tab.

    Attributes:
        query: selects the rows by index, in no order.
        key: the columns to order by, descending.
        search: the filters.
        event: name of the column that the filter `event` compares.
        is_ordered: whether an index provides the order.
        account: an account, which no index supports; None for any.
    """

    query: Select[Any]
    key: tuple[Any, ...]
    search: RowSearch
    event: str
    is_ordered: bool = True
    account: str | None = None

    is_descending = True

    @property
    def has_unindexed_filters(self) -> bool:
        """Whether a filter is set that no index supports, so that a page scans a bounded number of rows."""
        return bool(self.search.event or self.search.error or self.search.error_is or self.account)

    def unindexed_filters(self, columns: Any) -> Sequence[ColumnElement[bool]]:
        """Return the conditions of the filters that no index supports."""
        events = [getattr(columns, self.event) == self.search.event] if self.search.event else []
        accounts = [columns.account == self.account] if self.account else []
        return [*events, *accounts, *_errors(columns, self.search)]


def row_list(
    model: RowType,
    tab: Tab,
    search: RowSearch,
    *,
    columns: tuple[Any, ...],
    keys: Mapping[Tab, tuple[Any, ...]],
    event: str,
    is_bounded: bool,
) -> RowList:
    """Return one tab of the rows that match a search; the tab replaces the search's status.

    Args:
        model: deliveries or notifications.
        tab: the tab.
        search: the filters.
        columns: what the list shows.
        keys: the columns that order each tab, descending. With a time filter, `done` is ordered like `all`: the index
            on `ended_at` does not help to find rows by time of receipt.
        event: name of the column that the filter `event` compares.
        is_bounded: whether an error is searched only in the latest MAX_FAILED rows of each status.
    """
    indexed = replace(search, status=None if tab == "all" else tab, event=None, error=None, error_is=None, account=None)
    query: Any = (indexed.deliveries() if model is Delivery else indexed.notifications()).order_by(None)
    has_account_index = tab in ("all", "done") and is_sought_by_account(search)
    is_of_a_time = tab == "done" and (bool(search.since or search.until) or has_account_index)
    if search.account and has_account_index:
        query = query.where(*is_of(model, search.account))
    if tab in ("done", "dead") and not is_of_a_time:
        query = query.where(model.ended_at.is_not(None))  # as their indexes require
    is_failed = tab == "all" and bool(search.error or search.error_is)
    if is_failed and is_bounded:
        query = query.where(model.id.in_(_latest_failed(model, search)))
        search = replace(search, error=None, error_is=None)
    elif is_failed:
        query = query.where(or_(model.has_status("dead"), model.has_status("pending")))
    key = keys["all" if is_of_a_time else tab]
    account = None if has_account_index else search.account
    return RowList(query.with_only_columns(*columns), key, search, event, not is_failed, account)


def is_sought_by_account(search: RowSearch) -> bool:
    """Whether the index of accounts is the best: it holds the rows of all but `default`, by time."""
    has_few = search.booking_id or search.platform_user or search.error or search.error_is
    return search.account not in (None, DEFAULT) and not has_few and search.booking_ids is None


def _latest_failed(model: RowType, search: RowSearch) -> Any:
    """Select the ids of the latest dead and pending rows that have the error."""
    failed: Any = select(model.id, model.last_error)
    dead = failed.where(model.has_status("dead")).order_by(model.ended_at.desc()).limit(MAX_FAILED)
    pending = failed.where(model.has_status("pending")).order_by(model.due_order()[0].desc()).limit(MAX_FAILED)
    parts = [each.subquery().c for each in (dead, pending)]
    return union_all(*(select(each.id).where(*_errors(each, search)) for each in parts))


def _errors(columns: Any, search: RowSearch) -> Sequence[ColumnElement[bool]]:
    conditions = []
    if search.error_is:
        conditions.append(columns.last_error == search.error_is)
    if search.error:
        conditions.append(func.lower(columns.last_error).contains(search.error.lower(), autoescape=True))
    return conditions
