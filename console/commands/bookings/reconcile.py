"""`reconcile`: compare our bookings with meetergo's, and show the differences."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console

from console.cli.accounts import ACCOUNT_OPTION, load_reconcile_settings
from console.cli.api_client import report_api_errors
from console.cli.progress import open_bar
from console.cli.stores import NO_TIMEOUT, open_database
from console.render import tables
from console.render.tables import Column
from operations.text import count
from runtime import logs

if TYPE_CHECKING:
    from models.drift import Drift
    from runtime.database import Database
    from worker.reconcile.report import ReconcileReport
    from worker.settings import ReconcileSettings

ALREADY_RUNNING = "another reconciliation is running, or was killed within the last minute: try again soon"
SHOWN_COLUMNS = {"status", "starts_at", "ends_at"}
"""Columns whose values may be shown: they hold no personal data."""
MAX_SHOWN = 200
COLUMNS = [Column("booking"), Column("drift"), Column("what differs", wraps=True)]

ProgressCallback = Callable[[int, int], None]


@click.command("reconcile")
@click.option("--dry-run", "is_dry", is_flag=True, help="Only show what differs; write nothing.")
@click.option("--user", metavar="ID", help="Only this host's bookings (external_id).")
@ACCOUNT_OPTION
@click.option("--json", "as_json", is_flag=True, help="Print the findings as JSON.")
def reconcile(is_dry: bool, user: str | None, account: str, as_json: bool) -> None:
    """Find changes that no webhook delivered, and apply them (the scheduler does it every 10 minutes)."""
    settings = load_reconcile_settings(account)
    logs.silence()  # the command prints the results itself
    with report_api_errors(account):
        report = _run(settings, account, is_dry, user)
    if as_json:
        tables.print_json(_as_json(report))
    else:
        _show(report, is_dry, tables.screen())
    sys.exit(0 if report.is_clean else 1)


def _run(settings: ReconcileSettings, account: str, is_dry: bool, user: str | None) -> ReconcileReport:
    from meetergo.api import BULK_SHARE
    from runtime.queue import JobQueue
    from worker.reconcile.runner import AlreadyRunning, open_reconciler

    with open_database(settings, NO_TIMEOUT) as database:
        if user is not None:
            _check_host(database, user, account)
        redis = settings.redis()
        with settings.api_client(redis, share=BULK_SHARE) as client, _progress() as report_progress:
            reconciler = open_reconciler(settings, database, JobQueue(redis), settings.cipher(), client, account)
            try:
                return reconciler.run(only=user, is_dry=is_dry, progress=report_progress)
            except AlreadyRunning:
                raise click.ClickException(ALREADY_RUNNING) from None


def _check_host(database: Database, external_id: str, account: str) -> None:
    from operations import hosts
    from operations.errors import OperationError

    try:
        hosts.meetergo_id(hosts.find(database, external_id, account))
    except OperationError as error:
        raise click.UsageError(str(error)) from None


@contextmanager
def _progress() -> Iterator[ProgressCallback]:
    with open_bar() as bar:
        task = bar.add_task("hosts", total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def _show(report: ReconcileReport, is_dry: bool, terminal: Console) -> None:
    if report.drifts:
        rows = [[drift.booking_id, drift.kind, _differences(drift)] for drift in report.drifts[:MAX_SHOWN]]
        terminal.print(tables.listing(COLUMNS, rows))
    if len(report.drifts) > MAX_SHOWN:
        terminal.print(f"... and {len(report.drifts) - MAX_SHOWN} more")
    _print_lines(terminal, [f"unknown to meetergo, left unchanged: booking {each}" for each in report.unknown])
    _print_lines(terminal, [f"not read: {unread.what}: {unread.reason}" for unread in report.read_errors])
    if report.unmapped:
        terminal.print(f"{report.unmapped} platform users have no meetergo id yet.")
    if report.stopped:
        terminal.print(f"Stopped: {report.stopped}", markup=False)
    terminal.print(_summary(report, is_dry))


def _print_lines(terminal: Console, lines: list[str]) -> None:
    for line in lines[:MAX_SHOWN]:
        terminal.print(line, markup=False)
    if len(lines) > MAX_SHOWN:
        terminal.print(f"... and {len(lines) - MAX_SHOWN} more")


def _differences(drift: Drift) -> str:
    """List changed columns, with values only where they hold no personal data."""
    if drift.kind == "missed":
        return f"starts_at {_format_value(drift.columns['starts_at'][1])}"
    return ", ".join(
        f"{name} {_format_value(before)} -> {_format_value(after)}" if name in SHOWN_COLUMNS else name
        for name, (before, after) in drift.columns.items()
    )


def _format_value(value: Any) -> str:
    try:
        return f"{datetime.fromisoformat(value):%Y-%m-%d %H:%M}"
    except (TypeError, ValueError):
        return str(value)


def _summary(report: ReconcileReport, is_dry: bool) -> str:
    read = f"{count(report.appointments, 'appointment')} of {count(report.hosts, 'host')} read"
    if report.stopped:
        read += f", {count(report.left, 'host')} not read"
    if report.drifts:
        outcome = "would be repaired" if is_dry else "handed to the worker"
        return f"{read}: {count(len(report.drifts), 'differs', 'differ')} and {outcome}."
    return f"{read}: nothing differs." if report.is_in_step else f"{read}."


def _as_json(report: ReconcileReport) -> dict[str, Any]:
    return {
        **report.summary(),
        "stopped": report.stopped,
        "unread_reasons": [f"{unread.what}: {unread.reason}" for unread in report.read_errors],
        "unknown_bookings": report.unknown,
        "drift": [
            {
                "booking_id": drift.booking_id,
                "kind": drift.kind,
                "columns": {
                    name: {"ours": before, "meetergo": after} if name in SHOWN_COLUMNS else None
                    for name, (before, after) in drift.columns.items()
                },
            }
            for drift in report.drifts
        ],
    }
