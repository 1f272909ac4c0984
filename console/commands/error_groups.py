"""`deliveries errors` and `notifications errors`: which errors there are, and how often, so that one cause is told
from several.
"""

from datetime import UTC, datetime
from typing import Any

import click
from rich.text import Text
from sqlalchemy import Row, Select, func

from console.cli.filters import filters, search_for
from console.cli.stores import reading
from console.render import tables
from console.render.tables import Column, as_json
from console.render.text import CONSOLE, age, printable, short
from models.delivery import Delivery
from models.notification import Notification
from operations import lookup
from operations.redact import masked_text
from operations.serialize import Json

MOST = 20


@click.command()
@filters
@as_json
def errors(as_json: bool, **chosen: Any) -> None:
    """Which errors the dead and the failing have, and how often, the most frequent first."""
    with reading() as session:
        chosen["booking_id"] = lookup.booking_id(session, chosen["booking_id"])
        rows = session.execute(_counted(search_for(**chosen).deliveries(), Delivery, Delivery.received_at)).all()
    names = ("deliveries", "first_received_at", "last_received_at")
    _show(rows, names, as_json, "No delivery has an error.", "came", "replay --dead --dry-run")


@click.command("errors")
@filters
@as_json
def notification_errors(as_json: bool, **chosen: Any) -> None:
    """Which errors the dead and the failing have, and how often, the most frequent first."""
    with reading() as session:
        chosen["booking_id"] = lookup.booking_id(session, chosen["booking_id"])
        query = _counted(search_for(**chosen).notifications(), Notification, Notification.created_at)
        rows = session.execute(query.where(Notification.status != "done")).all()
    names = ("notifications", "first_created_at", "last_created_at")
    hint = "notifications replay --dead --dry-run"
    _show(rows, names, as_json, "No notification has an error.", "owed", hint)


def _counted(query: Select[Any], of: Any, came: Any) -> Select[Any]:
    counted = query.where(of.last_error.is_not(None)).order_by(None).group_by(of.last_error, of.status)
    columns = (func.count(), of.status, of.last_error, func.min(came), func.max(came), func.min(of.id))
    return counted.with_only_columns(*columns).order_by(func.count().desc())


def _show(rows: Any, names: tuple[str, str, str], as_json: bool, none: str, came: str, hint: str) -> None:
    if as_json:
        tables.print_json({"errors": [_as_json(row, names) for row in rows]})
        return
    if not rows:
        click.echo(none)
        return
    now = datetime.now(UTC)
    columns = [
        Column(names[0], counts=True),
        Column("status"),
        Column(f"first {came}"),
        Column(f"last {came}"),
        Column("for example"),
        Column("error", folds=True),
    ]
    tables.show(tables.listing(columns, [_line(row, now) for row in rows[:MOST]]))
    if len(rows) > MOST:
        click.echo(f"\n{len(rows) - MOST} more errors: add --json, or a filter such as --since 1h.")
    if any(row[1] == "dead" for row in rows):
        click.echo(f"\nWhat a replay would do now: {CONSOLE} {hint}")


def _as_json(row: Row[*tuple[Any, ...]], names: tuple[str, str, str]) -> Json:
    count, status, error, first, last, example = row
    return {
        names[0]: count,
        "status": status,
        "error": masked_text(error),
        names[1]: first,
        names[2]: last,
        "example": example,
    }


def _line(row: Row[*tuple[Any, ...]], now: datetime) -> list[str | Text]:
    count, status, error, first, last, example = row
    return [
        str(count),
        tables.status(status),
        age(first, now),
        age(last, now),
        short(str(example)),
        printable(masked_text(error)),
    ]
