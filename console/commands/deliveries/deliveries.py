"""`deliveries`: list received webhooks, and show one with its result."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click
from rich.text import Text

from console.app import CommandGroup
from console.cli import completion
from console.cli.filters import filters, row_search
from console.cli.page import fetch_page, next_page_command, paging_options
from console.cli.stores import read_only_session
from console.commands.deliveries.error_groups import errors
from console.commands.deliveries.ignore import ignore
from console.render import tables
from console.render.tables import Column, as_json
from operations.text import CONSOLE_COMMAND, age, moment, printable, short

if TYPE_CHECKING:
    from models.delivery import Delivery
    from operations import serialize

COLUMNS = [
    Column("delivery"),
    Column("received (UTC)", is_extra=True),
    Column("age"),
    Column("event"),
    Column("booking"),
    Column("status"),
    Column("tries", is_number=True, is_extra=True),
    Column("error or note", wraps=True, collapses_repeats=True),
]


@click.command("list")
@filters
@paging_options
@as_json
@click.pass_context
def list_command(context: click.Context, /, limit: int, before: str | None, as_json: bool, **chosen: Any) -> None:
    """List deliveries, newest first."""
    from sqlalchemy.orm import defer

    from models.account import Account
    from models.delivery import Delivery
    from operations import lookup, serialize

    with read_only_session() as session:
        query = row_search(session, chosen).deliveries().options(defer(Delivery.body))
        if before:
            query = query.where(_received_before(lookup.find_delivery(session, before)))
        found, remaining = fetch_page(session, query, limit)
        accounts = [row.account for row in found] if Account.is_any(session) else None
    if as_json:
        last = found[-1].id if remaining else None
        tables.print_json({"deliveries": [serialize.delivery_to_json(row) for row in found], "next": last})
        return
    if not found:
        click.echo("No delivery matches.")
        return
    now = datetime.now(UTC)
    lines = [_line(serialize.delivery_to_json(row), now) for row in found]
    tables.show(tables.listing(*tables.with_account(COLUMNS, lines, accounts)))
    failed = next((row for row in found if row.last_error), None)
    if failed or remaining:
        click.echo()
    if failed:
        click.echo(f"One of them: {CONSOLE_COMMAND} deliveries show {short(failed.id)}")
        click.echo(f"Errors by frequency: {CONSOLE_COMMAND} deliveries errors")
    if remaining:
        click.echo(f"{remaining} more: {next_page_command(context, short(found[-1].id))}")


@click.command()
@click.argument("delivery_id", metavar="ID", type=completion.DELIVERY)
@as_json
def show(delivery_id: str, as_json: bool) -> None:
    """Show one delivery: its body without secrets, every failed attempt, and its changes. ID may be a prefix."""
    from console.render import delivery
    from operations import lookup
    from operations.deliveries import detail as delivery_detail
    from runtime.settings import EncryptedStoreSettings

    cipher = EncryptedStoreSettings.load().cipher()
    with read_only_session() as session:
        found = delivery_detail.collect(session, lookup.find_delivery(session, delivery_id), cipher)
    if as_json:
        tables.print_json(found)
    else:
        tables.show(*delivery.render(found, datetime.now(UTC)))


deliveries = CommandGroup(
    "deliveries", commands=[list_command, errors, show, ignore], help="List received webhooks, and show their results."
)


def _received_before(row: Delivery) -> Any:
    from sqlalchemy import and_, or_

    from models.delivery import Delivery

    earlier = and_(Delivery.received_at == row.received_at, Delivery.id < row.id)
    return or_(Delivery.received_at < row.received_at, earlier)


def _line(row: serialize.Json, now: datetime) -> list[str | Text]:
    return [
        short(row["id"]),
        moment(row["received_at"]),
        age(row["received_at"], now),
        printable(row["event"] or "-"),
        short(row["booking_id"]),
        tables.status(row["status"]),
        str(row["attempts"] or "-"),
        printable(row["last_error"] or row["note"] or ""),
    ]
