"""Errors of deliveries, by frequency, each number a link to those deliveries."""

from flask import Response

from dashboard.access import ScreenBlueprint
from dashboard.i18n import N_
from dashboard.pages import render
from dashboard.stores import current
from dashboard.times import now
from operations.deliveries.error_groups import MAX_ROWS, WINDOWS, group_errors

screen = ScreenBlueprint("errors", N_("Errors"))


@screen.page("/errors")
def list_all() -> Response:
    """Show the groups."""
    with current().database.read_only() as session:
        errors = group_errors(session, now())
    return render("errors/list.html", errors=errors, windows=list(WINDOWS), max_rows=MAX_ROWS)
