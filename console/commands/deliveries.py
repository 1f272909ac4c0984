"""`deliveries`: what came, what became of it, and why."""

from datetime import UTC, datetime
from typing import Any

import click
from rich.text import Text
from sqlalchemy import and_, or_
from sqlalchemy.orm import defer

from console.cli import completion
from console.cli.filters import filters, search_for
from console.cli.page import next_page, page, paging
from console.cli.stores import reading
from console.commands.error_groups import errors
from console.commands.ignore import ignore
from console.render import tables
from console.render.tables import Column, as_json
from console.render.text import CONSOLE, age, moment, printable, short
from models.delivery import Delivery
from operations import delivery_detail, lookup, serialize
from runtime.settings import EncryptedStoreSettings

COLUMNS = [
    Column("delivery"),
    Column("received (UTC)", is_extra=True),
    Column("age"),
    Column("event"),
    Column("booking"),
    Column("status"),
    Column("tries", counts=True, is_extra=True),
    Column("error or note", folds=True, dittos=True),
]


@click.command("list")
@filters
@paging
@as_json
@click.pass_context
def list_command(context: click.Context, /, limit: int, before: str | None, as_json: bool, **chosen: Any) -> None:
    """What came, newest first."""
    with reading() as session:
        chosen["booking_id"] = lookup.booking_id(session, chosen["booking_id"])
        query = search_for(**chosen).deliveries().options(defer(Delivery.body))
        if before:
            query = query.where(_came_before(lookup.find_delivery(session, before)))
        found, left = page(session, query, limit)
    if as_json:
        last = found[-1].id if left else None
        tables.print_json({"deliveries": [serialize.of_delivery(row) for row in found], "next": last})
        return
    if not found:
        click.echo("No delivery is like that.")
        return
    now = datetime.now(UTC)
    tables.show(tables.listing(COLUMNS, [_line(serialize.of_delivery(row), now) for row in found]))
    failed = next((row for row in found if row.last_error), None)
    if failed or left:
        click.echo()
    if failed:
        click.echo(f"One of them: {CONSOLE} deliveries show {short(failed.id)}")
        click.echo(f"How often which error: {CONSOLE} deliveries errors")
    if left:
        click.echo(f"{left} more: {next_page(context, short(found[-1].id))}")


@click.command()
@click.argument("delivery_id", metavar="ID", type=completion.DELIVERY)
@as_json
def show(delivery_id: str, as_json: bool) -> None:
    """One delivery: its body without secrets, every failed try, what it changed. ID may be its beginning."""
    vault = EncryptedStoreSettings.load().vault()
    with reading() as session:
        found = delivery_detail.gather(session, lookup.find_delivery(session, delivery_id), vault)
    if as_json:
        tables.print_json(found)
    else:
        tables.show(*delivery_detail.sheet(found, datetime.now(UTC)))


deliveries = click.Group(
    "deliveries", commands=[list_command, errors, show, ignore], help="What came, and what became of it."
)


def _came_before(row: Delivery) -> Any:
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
