"""Deliveries: lists by status, and one delivery with its results."""

from flask import Response, abort
from sqlalchemy.orm import Session

from dashboard import keyset, people
from dashboard.access import ScreenBlueprint, operator
from dashboard.filters import TABS, active_filters, reason_of_form, row_search, tab_of_request
from dashboard.i18n import N_, _
from dashboard.page_size import fit
from dashboard.pages import render
from dashboard.stores import current
from dashboard.times import now
from models.delivery import Delivery
from models.intervention import Intervention
from operations.deliveries import detail as delivery_detail
from operations.deliveries.search import deliveries_in
from operations.keyset import count_tabs
from operations.lookup import IdNotFound, find_delivery
from operations.serialize import Json

screen = ScreenBlueprint("deliveries", N_("Deliveries"))


@screen.page("/deliveries")
def list_all() -> Response:
    """List deliveries: one tab per status, filtered."""
    tab = tab_of_request()
    with current().database.read_only() as session:
        search = row_search(session)
        lists = {name: deliveries_in(name, search) for name in TABS}
        counts, page = count_tabs(session, lists, tab), keyset.fetch_tab(session, lists[tab])
    return render("deliveries/list.html", tab=tab, tabs=TABS, counts=counts, page=page, filters=active_filters())


@screen.page("/deliveries/<id:delivery_id>")
def show(delivery_id: str) -> Response:
    """Show one delivery, with personal data masked."""
    with current().database.read_only() as session:
        found = _collect(session, _find(session, delivery_id))
    return _render(found)


@screen.act("/deliveries/<id:delivery_id>/reveal", role="people")
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
