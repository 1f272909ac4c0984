"""`notifications`: list notifications, and show one with its attempts."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click
from rich.console import RenderableType
from rich.text import Text

from console.app import CommandGroup
from console.cli import completion
from console.cli.filters import filters, row_search
from console.cli.page import fetch_page, next_page_command, paging_options
from console.cli.stores import read_only_session
from console.commands.deliveries.error_groups import notification_errors
from console.commands.deliveries.ignore import ignore_notifications
from console.commands.deliveries.preview import preview_notifications
from console.commands.deliveries.replay_notifications import replay_notifications
from console.render import tables
from console.render.tables import Column, as_json
from operations.text import CONSOLE_COMMAND, age, moment, printable, short, when

if TYPE_CHECKING:
    from operations import serialize

COLUMNS = [
    Column("id", is_number=True),
    Column("created (UTC)", is_extra=True),
    Column("age"),
    Column("kind"),
    Column("booking"),
    Column("channel"),
    Column("recipient", wraps=True, is_extra=True),
    Column("status"),
    Column("tries", is_number=True, is_extra=True),
    Column("error", wraps=True, collapses_repeats=True),
]


@click.command("list")
@filters
@paging_options
@as_json
@click.pass_context
def list_command(context: click.Context, /, limit: int, before: str | None, as_json: bool, **chosen: Any) -> None:
    """List notifications, newest first."""
    from models.account import Account
    from models.notification import Notification
    from operations import lookup, serialize

    with read_only_session() as session:
        query = row_search(session, chosen).notifications()
        if before:
            query = query.where(Notification.id < lookup.find_notification(session, before).id)
        found, remaining = fetch_page(session, query, limit)
        accounts = [row.account for row in found] if Account.is_any(session) else None
    if as_json:
        last = found[-1].id if remaining else None
        tables.print_json({"notifications": [serialize.notification_to_json(row) for row in found], "next": last})
        return
    if not found:
        click.echo("No notification matches.")
        return
    now = datetime.now(UTC)
    lines = [_line(serialize.notification_to_json(row), now) for row in found]
    tables.show(tables.listing(*tables.with_account(COLUMNS, lines, accounts)))
    if any(row.last_error and row.status != "done" for row in found):
        click.echo(f"\nErrors by frequency: {CONSOLE_COMMAND} notifications errors")
    if remaining:
        click.echo(f"\n{remaining} more: {next_page_command(context, str(found[-1].id))}")


@click.command()
@click.argument("notification_id", metavar="ID", type=completion.NOTIFICATION)
@as_json
def show(notification_id: str, as_json: bool) -> None:
    """Show one notification: its content, recipient and every failed attempt. ID is its number, or msg_..."""
    from operations import lookup, serialize
    from operations.deliveries import detail as delivery_detail
    from operations.redact import redact

    with read_only_session() as session:
        row = lookup.find_notification(session, notification_id)
        found = {
            **serialize.notification_to_json(row),
            **delivery_detail.attempts(session, row),
            "payload": redact(row.payload),
        }
    if as_json:
        tables.print_json(found)
    else:
        tables.show(*_render(found, datetime.now(UTC)))


notifications = CommandGroup(
    "notifications",
    commands=[
        list_command,
        notification_errors,
        show,
        preview_notifications,
        ignore_notifications,
        replay_notifications,
    ],
    help="List notifications, show their attempts, and preview mails.",
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


def _render(found: serialize.Json, now: datetime) -> Iterator[RenderableType]:
    from console.render import body, delivery

    yield Text(f"notification {found['id']} ({found['message_id']})", style="bold")
    facts = {
        "kind": found["kind"].replace("_", " "),
        "booking": printable(found["booking_id"]),
        "channel": printable(found["channel"]),
        "recipient": printable(found["recipient"]),
        "created": when(found["created_at"], now),
        "delivery": found["delivery_id"] or "-",
    }
    yield tables.fields({"status": tables.status(found["status"]), **delivery.outcome_fields(found, now), **facts})
    yield from delivery.render_attempts(found)
    yield tables.title("Content")
    yield body.render_json(found["payload"])
