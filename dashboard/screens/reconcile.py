"""Reconcile: the runs that compared our bookings with meetergo's, and a dry run on request."""

import time
from datetime import timedelta
from threading import Lock

from flask import Response, abort

from dashboard import keyset
from dashboard.access import ScreenBlueprint, operator
from dashboard.filters import text_of
from dashboard.i18n import N_, _
from dashboard.pages import render
from dashboard.provider import CLIENT, api_errors, provider_settings
from dashboard.stores import current
from dashboard.times import now
from meetergo.api import BULK_SHARE
from models.account import DEFAULT
from models.intervention import Intervention
from models.platform_user import PlatformUser
from models.reconciliation import ReconcileStatus, Reconciliation
from operations.errors import OperationError
from worker.reconcile.report import ReconcileReport
from worker.reconcile.runner import open_reconciler

screen = ScreenBlueprint("reconcile", N_("Reconcile"))

DRY_RUN_LIMIT = timedelta(seconds=20)
"""Time limit of a dry run; the differences found by then are shown."""
MAX_SHOWN = 50
DRIFTS = {
    "missed": N_("missed"),
    "changed": N_("changed"),
    "cancelled": N_("meeting cancelled"),
    "revived": N_("revived"),
}
_dry_run = Lock()
"""One dry run at a time: it may take a large part of the API's rate limit."""


@screen.page("/reconcile")
def list_all() -> Response:
    """List the runs, the latest first."""
    return _show()


@screen.act("/reconcile/dry-run", role="operate")
def dry_run() -> Response:
    """Compare with meetergo now, for a limited time, and show what differs. No booking is changed."""
    host = text_of("host")
    try:
        report = _compare(host)
    except OperationError as error:
        return _show(problem=str(error), host=host)
    return _show(report=report, host=host)


def _compare(host: str | None) -> ReconcileReport:
    services = current().services
    account = _account_of(host) if host is not None else DEFAULT
    settings = provider_settings(account)
    if not _dry_run.acquire(blocking=False):
        abort(409, _("Another dry run is in progress: wait a moment."))
    ends = time.monotonic() + DRY_RUN_LIMIT.total_seconds()
    try:
        _record(host, account)
        with api_errors(account), settings.api_client(services.job_queue.redis, share=BULK_SHARE, **CLIENT) as client:
            stores = (services.database, services.job_queue, services.inbox.cipher)
            reconciler = open_reconciler(settings, *stores, client, account)
            return reconciler.run(only=host, is_dry=True, should_stop=lambda: time.monotonic() > ends)
    finally:
        _dry_run.release()


def _record(host: str | None, account: str) -> None:
    """Record the operator: a dry run changes nothing, but takes a share of the API's rate limit."""
    what = f"dry run of reconcile, host {host}" if host else "dry run of reconcile"
    with current().database.transaction() as session:
        Intervention.record_act(session, "compared", now(), by=operator().name, reason=what, account=account)


def _account_of(external_id: str) -> str:
    """Return the account of a host whose bookings can be compared."""
    with current().database.read_only() as session:
        user = PlatformUser.by_external_id(session, external_id)
    if user is None:
        raise OperationError(_("There is no host with this id of the platform."))
    if user.meetergo_user_id is None:
        raise OperationError(_("This host is not mapped to a user of meetergo: its bookings cannot be found."))
    return user.account


def _show(report: ReconcileReport | None = None, problem: str | None = None, host: str | None = None) -> Response:
    with current().database.read_only() as session:
        page = keyset.fetch(session, Reconciliation.list_query(), Reconciliation.started_at, Reconciliation.id)
        status = ReconcileStatus.load(session, DEFAULT)
    return render(
        "reconcile/list.html",
        page=page,
        error=status.error(now()) if status else None,
        report=report,
        problem=problem,
        host=host,
        MAX_SHOWN=MAX_SHOWN,
        DRIFTS=DRIFTS,
        DRY_RUN_LIMIT=DRY_RUN_LIMIT,
    )
