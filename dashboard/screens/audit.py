"""The audit log: what operators did, when and why."""

from typing import Any

from flask import Response
from sqlalchemy.sql.elements import ColumnElement

from dashboard import keyset
from dashboard.access import ScreenBlueprint
from dashboard.filters import active_filters, row_search
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
    wanted = active_filters(names=("by", "kind", "account"))
    if wanted.get("kind") not in ACTS:
        wanted.pop("kind", None)

    def unindexed(columns: Any) -> list[ColumnElement[bool]]:
        return [getattr(columns, name) == value for name, value in wanted.items()]

    with current().database.read_only() as session:
        query = row_search(session).interventions()
        page = keyset.fetch(session, query, Intervention.at, Intervention.id, unindexed=unindexed if wanted else None)
    filters = active_filters(names=FILTERS)
    return render("audit/list.html", page=page, filters=filters, ACTS=ACTS)
