"""Errors of deliveries and of notifications, by frequency, each count a link to its rows."""

from flask import Response, request

from dashboard.access import ScreenBlueprint
from dashboard.i18n import N_
from dashboard.page_size import most_rows
from dashboard.pages import render
from dashboard.stores import current
from dashboard.times import now
from models.claim import RowType
from models.delivery import Delivery
from models.notification import Notification
from operations.deliveries.error_groups import MAX_GROUPS, MAX_ROWS, WINDOWS, group_errors

ROWS: dict[str, RowType] = {"deliveries": Delivery, "notifications": Notification}

screen = ScreenBlueprint("errors", N_("Errors"))


@screen.page("/errors")
def list_all() -> Response:
    """Show the groups of deliveries, or of notifications."""
    target = "notifications" if request.args.get("of") == "notifications" else "deliveries"
    with current().database.read_only() as session:
        errors = group_errors(session, now(), ROWS[target])
    groups = errors.groups[: most_rows(MAX_GROUPS)]
    others = errors.others + len(errors.groups) - len(groups)
    return render(
        "errors/list.html",
        target=target,
        groups=groups,
        others=others,
        is_complete=errors.is_complete,
        windows=list(WINDOWS),
        max_rows=MAX_ROWS,
    )
