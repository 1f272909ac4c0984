"""Runs: plan what a replay would do, start it with a reason, watch it, cancel it."""

from collections.abc import Callable, Sequence
from typing import Any

from flask import Response, abort, request, url_for
from redis.exceptions import RedisError
from sqlalchemy import Select
from sqlalchemy.orm import Session

from dashboard import keyset
from dashboard.access import ScreenBlueprint, operator
from dashboard.filters import FILTERS, SAY_WHY, active_filters, given, row_search, tab_of_request, text_of
from dashboard.i18n import N_, _
from dashboard.page_size import fit, most_rows
from dashboard.pages import render, see_other
from dashboard.stores import current
from dashboard.times import now
from models.claim import RowType
from models.delivery import ID, Delivery
from models.notification import Notification
from models.run import Run, RunKind, RunTarget
from models.search import RowSearch
from operations.deliveries.search import deliveries_in
from operations.erasure import COPIES, unreached
from operations.errors import OperationError
from operations.filters import InvalidFilter, parse_rate
from operations.notifications.search import notifications_in
from operations.redact import MASKED
from operations.replay.report import BookingDiff, NotificationPreview
from operations.row_list import RowList
from operations.runs.notification_plan import NotificationPlan, plan_notifications
from operations.runs.plan import RunPlan, make_plan
from operations.runs.store import NewRun, SelectedRow, cancel_run, find_run, start_run
from runtime.redis import heartbeat

screen = ScreenBlueprint("runs", N_("Runs"))

MAX_BOOKINGS_SHOWN = 50
MAX_COLUMNS_SHOWN = 150
"""Maximum number of changed columns in a plan, over all bookings: it keeps the page small."""
MAX_NOTIFIED_SHOWN = 5
"""Maximum number of notifications of one booking in a plan."""
MAX_ACTIVE_SHOWN = 5
DEFAULT_RATE = "50"
CARRIED = ("target", "kind", "status", "all", "id", *FILTERS)
"""Parameters that select the rows of a run; carried from the list to the plan and on to the start."""
STATUSES = {
    "waiting": N_("waiting"),
    "running": N_("running"),
    "finishing": N_("finishing"),
    "done": N_("done"),
    "cancelled": N_("cancelled"),
    "failed": N_("failed"),
}
VERBS: dict[RunKind, str] = {
    "replay": N_("Replay"),
    "ignore": N_("Ignore"),
    "prune": N_("Prune"),
    "erase": N_("Erase"),
    "send_again": N_("Send again"),
}
PLANNED_KINDS: tuple[RunKind, ...] = ("replay", "ignore")


@screen.page("/runs")
def list_all() -> Response:
    """List all runs, the latest first."""
    with current().database.read_only() as session:
        page = keyset.fetch(session, Run.list_query(), Run.id)
    return render("runs/list.html", page=page, STATUSES=STATUSES, VERBS=VERBS)


@screen.page("/runs/<int:run_id>")
def show(run_id: int) -> Response:
    """Show one run and its progress."""
    with current().database.read_only() as session:
        run = _find(session, run_id)
    return render(
        "runs/show.html",
        run=run,
        STATUSES=STATUSES,
        VERBS=VERBS,
        is_attended=run.ended_at or _is_attended(),
        outcome={kind: number for kind, number in run.outcome.items() if kind not in COPIES},
        unreached=unreached(run),
    )


@screen.act("/runs/<int:run_id>/cancel", role="operate")
def cancel(run_id: int) -> Response:
    """Cancel a run."""
    with current().database.transaction() as session:
        _find(session, run_id)
        cancel_run(session, run_id, operator().name, now())
    return see_other("runs.show", run_id=run_id)


@screen.page("/runs/plan", role="operate")
def plan() -> Response:
    """Plan a run over the selected deliveries or notifications, or over all that match. Nothing is changed."""
    if _is_over_notifications():
        return _render_notification_plan(_notification_plan())
    return _render_plan(_plan())


@screen.act("/runs/start", role="operate")
def start() -> Response:
    """Start the run that was planned; ask again if its rows have changed since."""
    if _is_over_notifications():
        return _start_over_notifications()
    without_failing = bool(text_of("without_failing"))
    found = _plan(preview=without_failing)
    per_second, problem = rate_and_problem()
    has_changed = text_of("digest") != found.digest
    rows = found.to_run(without_failing)
    if problem or has_changed or not rows:
        return _render_plan(_plan(), problem=problem, has_changed=has_changed, code=409 if has_changed else 400)
    return _start(found.kind, "deliveries", rows, per_second)


def _start_over_notifications() -> Response:
    found = _notification_plan()
    per_second, problem = rate_and_problem()
    has_changed = text_of("digest") != found.digest
    if problem or has_changed or not found.rows:
        code = 409 if has_changed else 400
        return _render_notification_plan(found, problem=problem, has_changed=has_changed, code=code)
    return _start(found.kind, "notifications", found.to_run(), per_second)


def _start(kind: RunKind, target: RunTarget, rows: Sequence[SelectedRow], per_second: float | None) -> Response:
    new = NewRun(
        kind=kind,
        target=target,
        by=operator().name,
        reason=text_of("reason") or "",
        rows=rows,
        selection=_described_selection(),
        per_second=per_second,
        **_options(),
    )
    with current().database.transaction() as session:
        run = start_run(session, new, now())
    return see_other("runs.show", run_id=run.id)


def rate_and_problem() -> tuple[float | None, str]:
    """Return the rate of the form, and why a run cannot start; empty if it can."""
    rate = text_of("rate")
    try:
        per_second = parse_rate(rate if "/" in rate else f"{rate}/s") if rate else None
    except InvalidFilter:
        return None, _("This is not a rate: write 50, 100/m or 1000/h, or nothing for no limit.")
    return per_second, "" if text_of("reason") else _(SAY_WHY)


def _is_over_notifications() -> bool:
    return text_of("target") == "notifications"


def _notification_plan() -> NotificationPlan:
    values = given()
    ids = tuple(int(each) for each in values.getlist("id") if each.isdecimal() and len(each) < 10)
    if not ids and not values.get("all"):
        abort(400, _("Select notifications first, or choose all that match."))
    with current().database.read_only() as session:
        query = RowSearch(ids=ids).notifications() if ids else _matching(session, notifications_in, Notification)
        return plan_notifications(session, query, _kind(), **_options())


def _matching(session: Session, rows_in: Callable[..., RowList], model: RowType) -> Select[Any]:
    matching = rows_in(tab_of_request(), row_search(session), is_bounded=False)
    query: Select[Any] = matching.query.with_only_columns(model)
    return query.where(*matching.unindexed_filters(model))


@fit
def _render_notification_plan(
    found: NotificationPlan, *, problem: str = "", has_changed: bool = False, code: int = 200
) -> Response:
    return render(
        "runs/plan_notifications.html",
        code,
        plan=found,
        shown=found.rows[: most_rows(MAX_BOOKINGS_SHOWN)],
        problem=problem,
        has_changed=has_changed,
        **form_values(),
    )


def _plan(*, preview: bool = True) -> RunPlan:
    kind = _kind()
    with current().database.read_only() as session:
        query = _query(session)
    return make_plan(current().services, query, kind, operator().name, preview=preview, **_options())


def _kind() -> RunKind:
    kind = given().get("kind", "")
    if kind not in PLANNED_KINDS:
        abort(400, _("Choose what to do: replay or ignore."))
    return kind


def _options() -> dict[str, bool]:
    return {name: bool(text_of(name)) for name in ("resend", "superseded")}


def _query(session: Session) -> Select[Any]:
    """Select the deliveries that the form names, or all that its filters match."""
    values = given()
    ids = tuple(each for each in values.getlist("id") if ID.fullmatch(each))
    if ids:
        return RowSearch(ids=ids).deliveries()
    if not values.get("all"):
        abort(400, _("Select deliveries first, or choose all that match."))
    return _matching(session, deliveries_in, Delivery)


def _described_selection() -> dict[str, Any]:
    """Describe the form's selection for the list of runs, without personal data."""
    ids = request.form.getlist("id")
    if ids:
        return {"ids": len(ids)}
    filters = active_filters()
    return {"status": tab_of_request(), **filters, **({"guest": MASKED} if "guest" in filters else {})}


@fit
def _render_plan(found: RunPlan, *, problem: str = "", has_changed: bool = False, code: int = 200) -> Response:
    notified: dict[str, list[NotificationPreview]] = {}
    for notification in found.report.notifications:
        notified.setdefault(notification.booking_id, []).append(notification)
    diffs: dict[str, BookingDiff] = {diff.booking_id: diff for diff in found.report.booking_diffs}
    bookings = list(dict.fromkeys([*diffs, *notified]))
    failing: dict[str, list[str]] = {}
    for outcome in found.failing:
        failing.setdefault(outcome.error or "", []).append(outcome.delivery.id)
    return render(
        "runs/plan.html",
        code,
        plan=found,
        diffs=diffs,
        notified=notified,
        bookings=_shown(bookings, diffs),
        MAX_NOTIFIED_SHOWN=MAX_NOTIFIED_SHOWN,
        booking_count=len(bookings),
        failing=sorted(failing.items(), key=lambda item: -len(item[1])),
        recipients=len({(each.channel, each.recipient) for each in found.report.notifications}),
        problem=problem,
        has_changed=has_changed,
        retries=sum(row.status == "pending" for row in found.rows),
        **form_values(),
    )


def _shown(bookings: Sequence[str], diffs: dict[str, BookingDiff]) -> Sequence[str]:
    """Return the first bookings, within MAX_BOOKINGS_SHOWN and MAX_COLUMNS_SHOWN; at least one."""
    columns = 0
    shown = bookings[: most_rows(MAX_BOOKINGS_SHOWN)]
    for number, booking_id in enumerate(shown):
        diff = diffs.get(booking_id)
        if diff and not diff.is_new:
            columns += sum((diff.before or {}).get(name) != value for name, value in diff.after.items())
        if number and columns > MAX_COLUMNS_SHOWN:
            return bookings[:number]
    return shown


def form_values(default_rate: str = DEFAULT_RATE) -> dict[str, Any]:
    """Return the values of the form that starts a run."""
    values = given()
    with current().database.read_only() as session:
        active = Run.active(session, MAX_ACTIVE_SHOWN)
    return dict(
        active=active,
        VERBS=VERBS,
        hidden=[(name, each) for name in CARRIED for each in values.getlist(name)],
        options=_options(),
        reason=values.get("reason", ""),
        rate=values.get("rate", default_rate),
        start_at=url_for("runs.start"),
    )


def _find(session: Session, run_id: int) -> Run:
    try:
        return find_run(session, run_id)
    except OperationError:
        abort(404, _("There is no run with this number. It may have been pruned."))


def _is_attended() -> bool:
    """Whether a scheduler processes runs; assumed while Redis is down."""
    try:
        return "runs" in heartbeat.next_runs(current().redis)
    except RedisError:
        return True
