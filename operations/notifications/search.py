"""Lists of notifications: by status, filtered, each page and each count bounded and found by an index."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Select, func, or_
from sqlalchemy.sql.elements import ColumnElement

from models.notification import Notification
from models.search import RowSearch
from operations.deliveries.search import Tab

SHOWN_LENGTH = 200

COLUMNS = (
    Notification.id,
    Notification.status,
    Notification.kind,
    Notification.booking_id,
    Notification.channel,
    func.substr(Notification.recipient, 1, SHOWN_LENGTH).label("recipient"),
    Notification.created_at,
    Notification.attempts,
    Notification.due_at,
    Notification.ended_at,
    Notification.last_error,
)
"""What a list shows; no content."""
KEYS: dict[Tab, tuple[Any, ...]] = {
    "all": (Notification.created_at, Notification.id),
    "pending": (Notification.due_at, Notification.id),
    "done": (Notification.ended_at, Notification.id),
    "dead": (Notification.ended_at, Notification.id),
}


@dataclass(frozen=True)
class NotificationList:
    """One tab of notifications.

    Attributes:
        query: the notifications that the indexes find, in no order.
        key: the order, greatest first.
        search: the filters.
    """

    query: Select[Any]
    key: tuple[Any, ...]
    search: RowSearch

    @property
    def is_slow(self) -> bool:
        """Whether a filter is set that no index helps with, so that a page searches a bounded number of rows."""
        return bool(self.search.event or self.search.error or self.search.error_is)

    def slow(self, columns: Any) -> Sequence[ColumnElement[bool]]:
        """Return those filters' conditions on these columns."""
        conditions = []
        if self.search.event:
            conditions.append(columns.kind == self.search.event)
        if self.search.error_is:
            conditions.append(columns.last_error == self.search.error_is)
        if self.search.error:
            conditions.append(func.lower(columns.last_error).contains(self.search.error.lower(), autoescape=True))
        return conditions


def notifications_in(tab: Tab, search: RowSearch) -> NotificationList:
    """Return a tab of the notifications that match a search, whose own status does not matter."""
    indexed = replace(search, status=None if tab == "all" else tab, event=None, error=None, error_is=None)
    query: Any = indexed.notifications().order_by(None).with_only_columns(*COLUMNS)
    if tab in ("done", "dead"):
        query = query.where(Notification.ended_at.is_not(None))
    if tab == "all" and (search.error or search.error_is):
        query = query.where(or_(Notification.has_status("dead"), Notification.has_status("pending")))
    return NotificationList(query, KEYS[tab], search)
