"""Send bookings again, to a platform that lost its data: first the plan, then a run."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

from flask import Response, abort, url_for

from dashboard.access import ScreenBlueprint, operator
from dashboard.filters import text_of, time_of
from dashboard.i18n import N_, _
from dashboard.page_size import fit, most_rows
from dashboard.pages import render, see_other
from dashboard.screens.runs import MAX_BOOKINGS_SHOWN, form_values, rate_and_problem
from dashboard.stores import current
from dashboard.times import now
from operations.bookings.search import by_ids
from operations.runs.send_again import SendAgainPlan, plan_bookings
from operations.runs.store import NewRun, start_run

screen = ScreenBlueprint("send_again")

DEFAULT_RATE = "20"
SAY_SINCE = N_("Say since when the platform lacks what it was sent.")


class Planned(NamedTuple):
    """A plan and its period, which ends when it was made unless the operator says otherwise.

    Attributes:
        plan: the plan.
        since: bookings that changed at or after this, UTC.
        until: bookings that changed before this, UTC.
    """

    plan: SendAgainPlan
    since: datetime
    until: datetime


@screen.page("/runs/send-again", role="operate")
def plan() -> Response:
    """Plan to send the bookings that changed in a period. Nothing is changed."""
    return _render(_plan())


@screen.act("/runs/send-again/start", role="operate")
def start() -> Response:
    """Start the run that was planned; ask again if other bookings have changed in its period."""
    planned = _plan()
    per_second, problem = rate_and_problem()
    has_changed = text_of("digest") != planned.plan.digest
    if problem or has_changed or not planned.plan.booking_ids:
        return _render(planned, problem=problem, has_changed=has_changed, code=409 if has_changed else 400)
    new = NewRun(
        kind="send_again",
        target="bookings",
        by=operator().name,
        reason=text_of("reason") or "",
        rows=planned.plan.to_run(),
        selection={"since": planned.since.isoformat(), "until": planned.until.isoformat()},
        per_second=per_second,
    )
    with current().database.transaction() as session:
        run = start_run(session, new, now())
    return see_other("runs.show", run_id=run.id)


def _plan() -> Planned:
    since, until = time_of("since"), time_of("until") or now()
    if since is None:
        abort(400, _(SAY_SINCE))
    with current().database.read_only() as session:
        found = plan_bookings(session, current().services.outbox.planner, since, until, now())
    return Planned(found, since, until)


@fit
def _render(planned: Planned, *, problem: str = "", has_changed: bool = False, code: int = 200) -> Response:
    values = form_values(DEFAULT_RATE)
    values["hidden"] = [("since", planned.since.isoformat()), ("until", planned.until.isoformat())]
    values["start_at"] = url_for("send_again.start")
    return render(
        "runs/plan_bookings.html",
        code,
        plan=planned.plan,
        since=planned.since,
        until=planned.until,
        shown=_first_bookings(planned.plan.booking_ids),
        problem=problem,
        has_changed=has_changed,
        **values,
    )


def _first_bookings(ids: Sequence[str]) -> Sequence[Any]:
    with current().database.read_only() as session:
        return by_ids(session, ids[: most_rows(MAX_BOOKINGS_SHOWN)])
