"""The filters in a query string."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import cast, get_args

from flask import abort, request
from sqlalchemy.orm import Session

from dashboard.i18n import N_, _
from dashboard.times import now, zone_name
from models.platform_user import find_zone
from models.search import RowSearch
from operations.deliveries.search import bookings_of_guest
from operations.filters import InvalidFilter, parse_time
from operations.lookup import resolve_booking_id
from operations.row_list import Tab

TABS: dict[Tab, str] = {"all": N_("All"), "pending": N_("Pending"), "dead": N_("Dead"), "done": N_("Done")}
"""Of deliveries and of notifications, as are FILTERS."""
FILTERS = ("account", "booking", "host", "guest", "event", "error", "error_is", "since", "until")
NOT_A_TIME = N_("This is not a time: %(typed)s. Write 10m, 2h, 7d, 2026-01-31 or 2026-01-31T12:00.")


def row_search(session: Session, source: str = "args") -> RowSearch:
    """Parse the filters of deliveries or notifications. The tab determines the status."""
    guest = text_of("guest", source)
    return RowSearch(
        event=text_of("event", source),
        booking_id=resolve_booking_id(session, text_of("booking", source)),
        platform_user=text_of("host", source),
        since=time_of("since", source),
        until=time_of("until", source),
        error=text_of("error", source),
        error_is=text_of("error_is", source),
        booking_ids=bookings_of_guest(session, guest) if guest else None,
        account=text_of("account", source),
    )


def text_of(name: str, source: str = "args") -> str | None:
    """Return a value of the query string or of the form; None if it is empty."""
    value = cast("str", getattr(request, source).get(name, "")).strip().replace("\x00", "")
    return value[:2000] or None


def time_of(name: str, source: str) -> datetime | None:
    """Return a time of the query string or of the form, UTC; None if it is empty. Abort with 400 if it is malformed."""
    text = text_of(name, source)
    try:
        return parse_time(text, now(), find_zone(zone_name()) or UTC) if text else None
    except InvalidFilter:
        abort(400, _(NOT_A_TIME, typed=text))


def tab_of_request() -> Tab:
    """Return the tab that the query string names."""
    name = request.values.get("status", "all")
    return cast("Tab", name) if name in get_args(Tab) else "all"


def active_filters(source: str = "args", names: Sequence[str] = FILTERS) -> dict[str, str]:
    """Return the filters of the query string or of the form that are set."""
    return {name: value for name in names if (value := text_of(name, source))}
