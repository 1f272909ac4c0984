"""`deliveries errors`: which errors there are, and how often, so that one cause is told from several."""

from datetime import UTC, datetime
from typing import Any

import click
from rich.text import Text
from sqlalchemy import Row, func

from console import ids, output
from console.filters import filters, search_for
from console.masking import masked_text
from console.output import Column, as_json
from console.rows import Json
from console.stores import reading
from console.wording import CONSOLE, age, printable, short
from models.delivery import Delivery

MOST = 20
COLUMNS = [
    Column("deliveries", counts=True),
    Column("status"),
    Column("first came"),
    Column("last came"),
    Column("for example"),
    Column("error", folds=True),
]


@click.command()
@filters
@as_json
def errors(as_json: bool, **chosen: Any) -> None:
    """Which errors the dead and the failing have, and how often, the most frequent first."""
    with reading() as session:
        chosen["booking_id"] = ids.booking_id(session, chosen["booking_id"])
        query = search_for(**chosen).deliveries().where(Delivery.last_error.is_not(None))
        counted = query.order_by(None).group_by(Delivery.last_error, Delivery.status)
        columns = (func.count().label("deliveries"), Delivery.status, Delivery.last_error)
        spans = (func.min(Delivery.received_at), func.max(Delivery.received_at), func.min(Delivery.id))
        rows = session.execute(counted.with_only_columns(*columns, *spans).order_by(func.count().desc())).all()
    if as_json:
        output.print_json({"errors": [_as_json(row) for row in rows]})
        return
    if not rows:
        click.echo("No delivery has an error.")
        return
    now = datetime.now(UTC)
    output.show(output.listing(COLUMNS, [_line(_as_json(row), now) for row in rows[:MOST]]))
    if len(rows) > MOST:
        click.echo(f"\n{len(rows) - MOST} more errors: add --json, or a filter such as --since 1h.")
    if any(row.status == "dead" for row in rows):
        click.echo(f"\nWhat a replay would do now: {CONSOLE} replay --dead --dry-run")


def _as_json(row: Row[*tuple[Any, ...]]) -> Json:
    count, status, error, first, last, example = row
    said = masked_text(error)
    return dict(
        deliveries=count, status=status, error=said, first_received_at=first, last_received_at=last, example=example
    )


def _line(row: Json, now: datetime) -> list[str | Text]:
    return [
        str(row["deliveries"]),
        output.status(row["status"]),
        age(row["first_received_at"], now),
        age(row["last_received_at"], now),
        short(row["example"]),
        printable(row["error"]),
    ]
