"""Deliveries: lists by status, errors by frequency, and one delivery with all that came of it."""

from typing import cast, get_args

from flask import Response, request

from dashboard import keyset
from dashboard.access import ScreenBlueprint
from dashboard.filters import row_search
from dashboard.i18n import N_
from dashboard.pages import render
from dashboard.stores import current
from operations.delivery_search import Tab, deliveries_of

screen = ScreenBlueprint("deliveries", N_("Deliveries"))

TABS: dict[Tab, str] = {"all": N_("All"), "pending": N_("Pending"), "dead": N_("Dead"), "done": N_("Done")}
FILTERS = ("booking", "host", "guest", "event", "error", "error_is", "since", "until")


@screen.page("/deliveries")
def list_all() -> Response:
    """List deliveries: one tab per status, filtered."""
    tab = tab_of_request()
    with current().database.read_only() as session:
        search = row_search(session)
        lists = {name: deliveries_of(name, search) for name in TABS}
        counts = {
            name: keyset.count_up_to(session, each.query, *each.key, slow=each.slow if each.is_slow else None)
            for name, each in lists.items()
        }
        chosen = lists[tab]
        page = keyset.fetch(session, chosen.query, *chosen.key, slow=chosen.slow if chosen.is_slow else None)
    return render(
        "deliveries/list.html", tab=tab, tabs=TABS, counts=counts, page=page, filters=active_filters(), FILTERS=FILTERS
    )


def tab_of_request() -> Tab:
    """Return the tab that the query string names."""
    name = request.args.get("status", "all")
    return cast("Tab", name) if name in get_args(Tab) else "all"


def active_filters() -> dict[str, str]:
    """Return the filters of the query string that are set."""
    return {name: request.args[name] for name in FILTERS if request.args.get(name)}
