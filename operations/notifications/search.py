"""Lists of notifications: by status, filtered, each page and each count bounded and found by an index."""

from typing import Any

from sqlalchemy import func

from models.notification import Notification
from models.search import RowSearch
from operations.row_list import RowList, Tab, indexed_part, narrow

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


def notifications_in(tab: Tab, search: RowSearch, *, is_bounded: bool = True) -> RowList:
    """Return a tab of the notifications that match a search, whose own status does not matter; see `narrow`."""
    query = narrow(indexed_part(tab, search).notifications(), Notification, tab, search, is_bounded=is_bounded)
    return RowList(query.with_only_columns(*COLUMNS), KEYS[tab], search, "kind")
