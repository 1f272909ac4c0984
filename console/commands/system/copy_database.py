"""`copy-database`: move to another database, such as from SQLite to PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from console.cli.confirm import YES_OPTION, confirm_or_exit
from console.cli.progress import progress_bar
from console.cli.stores import NO_TIMEOUT, open_database
from operations.text import count

if TYPE_CHECKING:
    from runtime.database import Database
    from runtime.settings import DatabaseSettings

NEXT = """All rows are copied, and counted in both. Next:
  1. set DATABASE_URL to the new database, for every process
  2. start receiver, worker and scheduler
  3. bin/inbox adopt-queue    lists webhooks that wait in Redis under the former DATABASE_URL, if there are any
  4. bin/inbox reconcile      finds what meetergo sent in the meantime (it needs MEETERGO_API_KEY)
Keep the former database until `bin/inbox status` finds nothing."""


class DatabaseUrlParam(click.ParamType[str]):
    """A database URL."""

    name = "url"

    def convert(self, value: Any, param: click.Parameter | None, context: click.Context | None) -> str:
        """Check the URL. The error does not quote it, since it may hold a password."""
        from runtime.database_url import check_database_url

        try:
            return check_database_url(value)
        except ValueError as error:
            self.fail(str(error), param, context)


@click.command("copy-database")
@click.option(
    "--to",
    "target_url",
    type=DatabaseUrlParam(),
    required=True,
    prompt="URL of the target",
    hide_input=True,
    help="DATABASE_URL of an empty database. Without this option, it is asked for, so that no one sees the password.",
)
@YES_OPTION
def copy_database(target_url: str, yes: bool) -> None:
    """Copy all rows from DATABASE_URL to an empty database.

    Stop receiver, worker and scheduler first: what they write from now on stays behind.
    """
    from sqlalchemy.engine import make_url

    from operations.copy_database import copy_database as copy
    from operations.copy_database import count_rows
    from runtime.settings import DatabaseSettings

    settings, target_settings = DatabaseSettings.load(), DatabaseSettings.load(database_url=target_url)
    if make_url(settings.database_url) == make_url(target_url):
        raise click.UsageError("--to names the database of DATABASE_URL itself")
    with open_database(settings, NO_TIMEOUT) as source, _open(target_settings) as target:
        rows = count_rows(source)
        total = sum(rows.values())
        if not yes:
            click.echo("Stop receiver, worker and scheduler first: what they write from now on stays behind.")
            confirm_or_exit(f"Copy {count(total, 'row', 'rows')}?")
        with progress_bar("copying", total) as advance:
            result = copy(source, target, lambda _table, number: advance(number))
    for name, number in result.rows.items():
        click.echo(f"{number:>9}  {name}")
    if result.cleaned:
        cleaned = count(result.cleaned, "row", "rows")
        click.echo(f"NUL characters and broken Unicode were taken out of {cleaned}: PostgreSQL does not store them.")
    click.echo(NEXT)


@contextmanager
def _open(settings: DatabaseSettings) -> Iterator[Database]:
    """Open the target, which need not exist yet if it is an SQLite file."""
    database = settings.database(pool_size=1)
    try:
        yield database
    finally:
        database.close()
