"""Deliveries: lists by status, and one delivery with its results."""

from typing import cast, get_args

from flask import Response, abort, request
from sqlalchemy.orm import Session

from dashboard import keyset, people
from dashboard.access import ScreenBlueprint, operator
from dashboard.filters import row_search, text_of
from dashboard.forms import reason_of_form
from dashboard.i18n import N_, _
from dashboard.page_size import fit
from dashboard.pages import render
from dashboard.stores import current
from dashboard.times import now
from models.delivery import Delivery
from models.intervention import Intervention
from operations.deliveries import detail as delivery_detail
from operations.deliveries.search import deliveries_of
from operations.lookup import IdNotFound, find_delivery
from operations.row_list import Tab
from operations.serialize import Json

screen = ScreenBlueprint("deliveries", N_("Deliveries"))

TABS: dict[Tab, str] = {"all": N_("All"), "pending": N_("Pending"), "dead": N_("Dead"), "done": N_("Done")}
FILTERS = ("account", "booking", "host", "guest", "event", "error", "error_is", "since", "until")


@screen.page("/deliveries")
def list_all() -> Response:
    """List deliveries: one tab per status, filtered."""
    tab = tab_of_request()
    with current().database.read_only() as session:
        search = row_search(session)
        lists = {name: deliveries_of(name, search) for name in TABS}
        counts, page = keyset.count_tabs(session, lists, tab), keyset.fetch_tab(session, lists[tab])
    return render("deliveries/list.html", tab=tab, tabs=TABS, counts=counts, page=page, filters=active_filters())


@screen.page("/deliveries/<delivery_id>")
def show(delivery_id: str) -> Response:
    """Show one delivery, with personal data masked."""
    with current().database.read_only() as session:
        found = _collect(session, _find(session, delivery_id))
    return _render(found)


@screen.act("/deliveries/<delivery_id>/reveal", role="people")
def reveal(delivery_id: str) -> Response:
    """Show one delivery with personal data, and record who read it and why."""
    reason = reason_of_form()
    with current().database.transaction() as session:
        delivery = _find(session, delivery_id)
        Intervention.record(session, "revealed", delivery, now(), by=operator().name, reason=reason)
    with current().database.read_only() as session:
        found = _collect(session, _find(session, delivery_id))
    people.reveal()
    return _render(found)


def tab_of_request() -> Tab:
    """Return the tab that the query string names."""
    name = request.values.get("status", "all")
    return cast("Tab", name) if name in get_args(Tab) else "all"


def active_filters(source: str = "args") -> dict[str, str]:
    """Return the filters of the query string that are set."""
    return {name: value for name in FILTERS if (value := text_of(name, source))}


@fit
def _render(found: Json) -> Response:
    events = sorted([*found["failed_attempts"], *found["interventions"]], key=lambda each: each["at"])
    return render("deliveries/show.html", found=found, events=events)


def _find(session: Session, delivery_id: str) -> Delivery:
    try:
        return find_delivery(session, delivery_id)
    except IdNotFound:
        abort(404, _("There is no delivery with this id. It may have been pruned."))


def _collect(session: Session, delivery: Delivery) -> Json:
    return delivery_detail.collect(session, delivery, current().services.inbox.cipher)
