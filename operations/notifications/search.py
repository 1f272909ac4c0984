"""Lists of notifications by status and filter; every page and count is bounded and uses an index."""

from typing import Any

from sqlalchemy import func

from models.notification import Notification
from models.search import RowSearch
from operations.row_list import RowList, Tab, row_list

SHOWN_LENGTH = 200

COLUMNS = (
    Notification.id,
    Notification.account,
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
"""Columns of a list; no content."""
KEYS: dict[Tab, tuple[Any, ...]] = {
    "all": (Notification.created_at, Notification.id),
    "pending": (Notification.due_at, Notification.id),
    "done": (Notification.ended_at, Notification.id),
    "dead": (Notification.ended_at, Notification.id),
}


def notifications_in(tab: Tab, search: RowSearch, *, is_bounded: bool = True) -> RowList:
    """Return a tab of the notifications that match a search; see `row_list`."""
    return row_list(Notification, tab, search, columns=COLUMNS, keys=KEYS, event="kind", is_bounded=is_bounded)
