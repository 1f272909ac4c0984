"""`events`: follow the timeline, one line per event, like a readable log."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import click

from console.app import CommandGroup
from console.cli.filters import TimestampParam
from console.cli.progress import stop_on_interrupt
from console.cli.stores import open_database
from console.render import tables
from console.render.tables import as_json

if TYPE_CHECKING:
    from models.timeline import TimelineEntry
    from operations.deliveries.tail import Tail
    from runtime.database import Database

POLL_INTERVAL = timedelta(seconds=1)


@click.command("tail")
@click.option("--since", type=TimestampParam(), metavar="TIME", help="Start earlier: 10m, 2h, or a date and time.")
@click.option("--follow/--no-follow", default=True, help="Continue until Ctrl-C, or end when everything is shown.")
@as_json
def tail_command(since: datetime | None, follow: bool, as_json: bool) -> None:
    """Show events as they happen: deliveries, changes of bookings, notifications, operators' actions. Times are UTC.

    With --json, each line is a JSON object.
    """
    from console.render.timeline import line
    from operations import serialize
    from operations.deliveries.tail import Tail
    from runtime.settings import DatabaseSettings

    def show_entry(entry: TimelineEntry) -> None:
        if as_json:
            tables.print_json(serialize.entry_to_json(entry), one_line=True)
        else:
            tables.show(line(entry))

    with open_database(DatabaseSettings.load()) as database:
        if not follow:
            _read(database, Tail(since), show_entry)
            return
        with stop_on_interrupt() as stop:  # an interrupt during a library's clean-up would be swallowed
            follow_events(database, Tail(since), show_entry, lambda: stop.wait(POLL_INTERVAL.total_seconds()))


events = CommandGroup("events", commands=[tail_command], help="Show what is happening now.")


def follow_events(
    database: Database, tail: Tail, show_entry: Callable[[TimelineEntry], None], wait: Callable[[], object]
) -> None:
    """Show new entries until `wait` returns true. Waits while the database is down."""
    from operations.store_errors import StoreError, store_error_message
    from runtime.database import is_schema_outdated

    is_down = False
    while True:
        try:
            _read(database, tail, show_entry)
        except StoreError as error:
            if is_schema_outdated(error):
                raise
            if not is_down:
                click.echo(f"{store_error_message(error)}; waiting for it ...", err=True)
            is_down = True
        else:
            if is_down:
                click.echo("the database answers again", err=True)
            is_down = False
        if wait():
            return


def _read(database: Database, tail: Tail, show_entry: Callable[[TimelineEntry], None]) -> None:
    with database.read_only() as session:
        new = tail.read(session, datetime.now(UTC))
    for entry in new:
        show_entry(entry)
