"""The audit log: what operators did, when and why."""

from typing import Any

from flask import Response, request
from sqlalchemy import select
from sqlalchemy.sql.elements import ColumnElement

from dashboard import keyset
from dashboard.access import ScreenBlueprint
from dashboard.filters import row_search, text_of
from dashboard.i18n import N_
from dashboard.labels import ACTS
from dashboard.pages import render
from dashboard.stores import current
from models.intervention import Intervention

screen = ScreenBlueprint("audit", N_("Audit log"))

FILTERS = ("account", "by", "kind", "booking", "since", "until")


@screen.page("/audit")
def list_all() -> Response:
    """List what operators did, the latest first."""
    by, kind, account = text_of("by"), request.args.get("kind"), text_of("account")

    def unindexed(columns: Any) -> list[ColumnElement[bool]]:
        conditions: list[ColumnElement[bool]] = []
        if by:
            conditions.append(columns.by == by)
        if kind in ACTS:
            conditions.append(columns.kind == kind)
        if account:
            conditions.append(columns.account == account)
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
        has_unindexed_filters = bool(by or kind in ACTS or account)
        page = keyset.fetch(
            session, query, Intervention.at, Intervention.id, unindexed=unindexed if has_unindexed_filters else None
        )
    filters = {each: request.args[each] for each in FILTERS if request.args.get(each)}
    return render("audit/list.html", page=page, filters=filters, ACTS=ACTS)
