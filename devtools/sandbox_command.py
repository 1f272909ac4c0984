"""`sandbox`: run the sandbox, with our database's view of each appointment beside it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from devtools.sandbox.command import command

if TYPE_CHECKING:
    from runtime.database import Database

MAX_BOOKINGS = 500


@click.pass_context
def _run(context: click.Context, /, **options: Any) -> None:
    context.obj = _platform_bookings
    context.forward(command)


sandbox = click.Command("sandbox", callback=_run, params=command.params, help=command.help)


def _platform_bookings() -> list[dict[str, Any]]:
    from runtime.settings import DatabaseSettings

    settings = DatabaseSettings.load()
    has_no_file = settings.database_file is not None and not settings.database_file.exists()
    return [] if has_no_file else bookings(settings.database())


def bookings(database: Database) -> list[dict[str, Any]]:
    """Return our newest bookings for the sandbox's page; closes the database.

    Raises:
        SQLAlchemyError: the database is down, or has no tables yet.
    """
    from sqlalchemy import select

    from models.booking import Booking

    columns = Booking.id, Booking.status, Booking.starts_at, Booking.attendees, Booking.revision
    try:
        with database.read_only() as session:
            rows = session.execute(select(*columns).order_by(Booking.updated_at.desc()).limit(MAX_BOOKINGS))
            return [dict(row._mapping) for row in rows]
    finally:
        database.close()
