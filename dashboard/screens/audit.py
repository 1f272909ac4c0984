"""The audit log: what operators did, when and why."""

from typing import Any

from flask import Response, request
from sqlalchemy import select
from sqlalchemy.sql.elements import ColumnElement

from dashboard import keyset
from dashboard.access import ScreenBlueprint
from dashboard.filters import row_search, text_of
from dashboard.i18n import N_
from dashboard.pages import render
from dashboard.stores import current
from models.intervention import Intervention

screen = ScreenBlueprint("audit", N_("Audit log"))

FILTERS = ("by", "kind", "booking", "since", "until")
KINDS = {
    "replayed": N_("replayed"),
    "ignored": N_("ignored"),
    "sent_again": N_("sent once more"),
    "started": N_("run started"),
    "cancelled": N_("run cancelled"),
    "revealed": N_("revealed"),
    "refreshed": N_("corrected to what meetergo says"),
    "mapped": N_("host mapped"),
    "forgotten": N_("mapping forgotten"),
    "pruned": N_("pruned"),
    "erased": N_("erased"),
}


@screen.page("/audit")
def list_all() -> Response:
    """List what operators did, the latest first."""
    by, kind = text_of("by"), request.args.get("kind")

    def slow(columns: Any) -> list[ColumnElement[bool]]:
        conditions: list[ColumnElement[bool]] = []
        if by:
            conditions.append(columns.by == by)
        if kind in KINDS:
            conditions.append(columns.kind == kind)
        return conditions

    with current().database.read_only() as session:
        search = row_search(session)
        query = select(*Intervention.__table__.c)
        if search.booking_id:
            query = query.where(Intervention.booking_id == search.booking_id)
        if search.since:
            query = query.where(Intervention.at >= search.since)
        if search.until:
            query = query.where(Intervention.at < search.until)
        is_slow = bool(by or kind in KINDS)
        page = keyset.fetch(session, query, Intervention.at, Intervention.id, slow=slow if is_slow else None)
    filters = {each: request.args[each] for each in FILTERS if request.args.get(each)}
    return render("audit/list.html", page=page, filters=filters, KINDS=KINDS)
