"""What a request gives: the filters of a list, and the fields of a form."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import cast, get_args

from flask import abort, request
from sqlalchemy.orm import Session
from werkzeug.datastructures import MultiDict

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
SAY_WHY = N_("Say why: it is recorded with your name.")
NOT_A_TIME = N_("This is not a time: %(typed)s. Write 10m, 2h, 7d, 2026-01-31 or 2026-01-31T12:00.")


def row_search(session: Session) -> RowSearch:
    """Parse the filters of deliveries or notifications. The tab determines the status."""
    guest = text_of("guest")
    return RowSearch(
        event=text_of("event"),
        booking_id=resolve_booking_id(session, text_of("booking")),
        platform_user=text_of("host"),
        since=time_of("since"),
        until=time_of("until"),
        error=text_of("error"),
        error_is=text_of("error_is"),
        booking_ids=bookings_of_guest(session, guest) if guest else None,
        account=text_of("account"),
    )


def given() -> MultiDict[str, str]:
    """Return the form of an act, or the query string of a page."""
    return request.form if request.method == "POST" else request.args


def text_of(name: str) -> str | None:
    """Return a value that the request gives; None if it is empty."""
    value = given().get(name, "").strip().replace("\x00", "")
    return value[:2000] or None


def reason_of_form() -> str:
    """Return the reason for an act; abort with 400 if there is none."""
    reason = text_of("reason")
    if not reason:
        abort(400, _(SAY_WHY))
    return reason


def time_of(name: str) -> datetime | None:
    """Return a time that the request gives, UTC; None if it is empty. Abort with 400 if it is malformed."""
    text = text_of(name)
    try:
        return parse_time(text, now(), find_zone(zone_name()) or UTC) if text else None
    except InvalidFilter:
        abort(400, _(NOT_A_TIME, typed=text))


def tab_of_request() -> Tab:
    """Return the tab that the request names."""
    name = given().get("status", "all")
    return cast("Tab", name) if name in get_args(Tab) else "all"


def active_filters(names: Sequence[str] = FILTERS) -> dict[str, str]:
    """Return the filters that the request sets."""
    return {name: value for name in names if (value := text_of(name))}
