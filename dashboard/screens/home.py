"""Home: what needs a person and the button that leads there, and the state of the system at a glance."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from flask import Response, current_app
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from dashboard import svg, times
from dashboard.access import ScreenBlueprint
from dashboard.cards import INCIDENTS, PATHS, card_of
from dashboard.i18n import N_
from dashboard.pages import render
from dashboard.stores import current
from dashboard.times import now
from models.claim import MODEL_OF_QUEUE
from models.error_groups import ErrorGroups
from models.stats import Stats
from operations.checks import run_checks
from operations.keyset import COUNT_LIMIT
from operations.overview.charts import Charts, load_charts
from operations.overview.registration import StoredRegistration, stored_registrations
from operations.status import take_snapshot
from runtime.queue import QUEUES

screen = ScreenBlueprint("home", N_("Home"), home="show")

CHARTS_LIFETIME = timedelta(seconds=5)
TASKS = {
    "wake": N_("wake"),
    "sweep": N_("sweep"),
    "failed_jobs": N_("failed jobs"),
    "prune": N_("prune"),
    "alerts": N_("alerts"),
    "reconcile": N_("reconcile"),
    "accounts": N_("accounts"),
    "runs": N_("runs"),
    "arrivals": N_("arrivals"),
    "registration": N_("registration"),
    "expiry": N_("expiry"),
}


@screen.page("/")
def show() -> Response:
    """Show the state of both stores, and what needs a person. The part of a store that is down is left out."""
    dashboard = current()
    snapshot = take_snapshot(
        dashboard.settings, dashboard.database, dashboard.services.job_queue, now(), limit=COUNT_LIMIT
    )
    charts, registrations, dead = _from_database(snapshot.stats)
    findings = run_checks(snapshot)
    return render(
        "home/show.html",
        cards=sorted((card_of(finding, dead) for finding in findings), key=lambda card: not card.is_urgent),
        stats=snapshot.stats,
        snapshot=snapshot,
        charts=charts,
        drawn=svg.draw(charts) if charts else None,
        registrations=registrations,
        QUEUES=QUEUES,
        PATHS=PATHS,
        TASKS=TASKS,
        INCIDENTS=INCIDENTS,
        differed=_differed(snapshot.stats),
        took=took,
    )


def _from_database(stats: Stats) -> tuple[Charts | None, Sequence[StoredRegistration], dict[str, str]]:
    """Return what comes from the database; all empty while it is down."""
    dashboard = current()
    settings = dashboard.settings
    if stats.rows is None:
        return None, (), {}
    try:
        with dashboard.database.read_only() as session:
            causes = {
                str(name): ErrorGroups.of_dead(session, model, COUNT_LIMIT).summary()
                for name, model in MODEL_OF_QUEUE.items()
                if stats.rows[name].dead
            }
            registrations = stored_registrations(
                session, dashboard.services.job_queue, settings.webhook_keys, settings.webhook_account
            )
            return _charts(session), registrations, causes
    except SQLAlchemyError:
        return None, (), {}


def _charts(session: Session) -> Charts:
    """Return the charts, cached for CHARTS_LIFETIME: they are the most expensive part of the page."""
    cached: tuple[datetime, Charts] | None = current_app.extensions.get("charts")
    if cached is None or not timedelta(0) <= now() - cached[0] < CHARTS_LIFETIME:
        cached = current_app.extensions["charts"] = (now(), load_charts(session, now()))
    return cached[1]


def _differed(stats: Stats) -> int:
    last = stats.reconcile_status and stats.reconcile_status.last
    return last.differed if last else 0


def took(length: timedelta | None) -> str:
    """Format a short duration."""
    if length is None:
        return "–"  # noqa: RUF001 - the typographic dash is meant
    seconds = length.total_seconds()
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    return f"{seconds:.1f} s" if seconds < 100 else times.span(length)
