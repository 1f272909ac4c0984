"""`status`: show the state of the system and what needs an operator."""

from __future__ import annotations

import sys
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import click

from console.cli.progress import stop_on_interrupt
from console.cli.stores import open_database
from console.render import tables
from console.render.tables import as_json

if TYPE_CHECKING:
    from operations.status import StatusSettings
    from runtime.database import Database
    from runtime.queue import JobQueue

TIMEOUT = timedelta(seconds=2)
REFRESH_INTERVAL = timedelta(seconds=2)


@click.command()
@click.option("--watch", is_flag=True, help="Refresh every 2 seconds, until Ctrl-C.")
@as_json
def status(watch: bool, as_json: bool) -> None:
    """Show the state of the system. Exits 1 if something needs an operator, and names the command that helps."""
    from console.render import status_report
    from operations.checks import run_checks
    from operations.status import StatusSettings, take_snapshot
    from runtime.queue import JobQueue

    if watch and as_json:
        raise click.UsageError("--watch is for people, --json for scripts: choose one")
    settings = StatusSettings.load()
    job_queue = JobQueue(settings.redis())
    with open_database(settings, TIMEOUT) as database:
        if watch:
            _watch(settings, database, job_queue)
            return
        snapshot = take_snapshot(settings, database, job_queue, datetime.now(UTC))
    findings = run_checks(snapshot)
    if as_json:
        tables.print_json(status_report.to_json(snapshot, findings))
    else:
        tables.show(*status_report.render(snapshot, findings))
    sys.exit(1 if findings else 0)


def _watch(settings: StatusSettings, database: Database, job_queue: JobQueue) -> None:
    from rich.console import Group
    from rich.live import Live

    from console.render import status_report
    from operations.checks import run_checks
    from operations.status import take_snapshot

    screen = tables.screen()
    with stop_on_interrupt() as stop, Live(console=screen, auto_refresh=False) as live:
        while not stop.is_set():
            snapshot = take_snapshot(settings, database, job_queue, datetime.now(UTC))
            live.update(Group(*status_report.render(snapshot, run_checks(snapshot))), refresh=True)
            stop.wait(REFRESH_INTERVAL.total_seconds())
