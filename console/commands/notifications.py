"""`notifications`: who was told what, by which channel, and what is still owed."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import click
from rich.console import RenderableType
from rich.text import Text

from console.cli import completion
from console.cli.filters import filters, search_for
from console.cli.page import next_page, page, paging
from console.cli.stores import reading
from console.commands.error_groups import notification_errors
from console.commands.ignore import ignore_notifications
from console.commands.replay_notifications import replay_notifications
from console.render import body, tables
from console.render.tables import Column, as_json
from console.render.text import CONSOLE, age, moment, printable, short
from models.attempt import FailedAttempt
from models.intervention import Intervention
from models.notification import Notification
from operations import delivery_detail, lookup, serialize
from operations.redact import masked

COLUMNS = [
    Column("id", counts=True),
    Column("owed since (UTC)", is_extra=True),
    Column("age"),
    Column("news"),
    Column("booking"),
    Column("channel"),
    Column("recipient", folds=True, is_extra=True),
    Column("status"),
    Column("tries", counts=True, is_extra=True),
    Column("error", folds=True, dittos=True),
]


@click.command("list")
@filters
@paging
@as_json
@click.pass_context
def list_command(context: click.Context, /, limit: int, before: str | None, as_json: bool, **chosen: Any) -> None:
    """News, newest first."""
    with reading() as session:
        chosen["booking_id"] = lookup.booking_id(session, chosen["booking_id"])
        query = search_for(**chosen).notifications()
        if before:
            query = query.where(Notification.id < lookup.find_notification(session, before).id)
        found, left = page(session, query, limit)
    if as_json:
        last = found[-1].id if left else None
        tables.print_json({"notifications": [serialize.of_notification(row) for row in found], "next": last})
        return
    if not found:
        click.echo("No notification is like that.")
        return
    now = datetime.now(UTC)
    tables.show(tables.listing(COLUMNS, [_line(serialize.of_notification(row), now) for row in found]))
    if any(row.last_error and row.status != "done" for row in found):
        click.echo(f"\nHow often which error: {CONSOLE} notifications errors")
    if left:
        click.echo(f"\n{left} more: {next_page(context, str(found[-1].id))}")


@click.command()
@click.argument("notification_id", metavar="ID", type=completion.NOTIFICATION)
@as_json
def show(notification_id: str, as_json: bool) -> None:
    """One notification: what it tells whom, and every failed try. ID is its number, or msg_..."""
    with reading() as session:
        row = lookup.find_notification(session, notification_id)
        tried, done = FailedAttempt.notification_id == row.id, Intervention.notification_id == row.id
        found = {
            **serialize.of_notification(row),
            **delivery_detail.efforts(session, tried, done),
            "payload": masked(row.payload),
        }
    if as_json:
        tables.print_json(found)
    else:
        tables.show(*_sheet(found, datetime.now(UTC)))


notifications = click.Group(
    "notifications",
    commands=[list_command, notification_errors, show, ignore_notifications, replay_notifications],
    help="Who was told what.",
)


def _line(row: serialize.Json, now: datetime) -> list[str | Text]:
    return [
        str(row["id"]),
        moment(row["created_at"]),
        age(row["created_at"], now),
        row["kind"].replace("_", " "),
        short(row["booking_id"]),
        printable(row["channel"]),
        printable(row["recipient"]),
        tables.status(row["status"]),
        str(row["attempts"] or "-"),
        printable(row["last_error"] or ""),
    ]


def _sheet(found: serialize.Json, now: datetime) -> Iterator[RenderableType]:
    yield Text(f"notification {found['id']} ({found['message_id']})", style="bold")
    facts = {
        "news": found["kind"].replace("_", " "),
        "booking": printable(found["booking_id"]),
        "channel": printable(found["channel"]),
        "recipient": printable(found["recipient"]),
        "owed since": f"{moment(found['created_at'])} ({age(found['created_at'], now)})",
        "delivery": found["delivery_id"] or "-",
    }
    yield tables.fields({"status": tables.status(found["status"]), **delivery_detail.ending(found, now), **facts})
    yield from delivery_detail.effort_sheet(found)
    yield tables.title("What it tells")
    yield body.json_sheet(found["payload"])
