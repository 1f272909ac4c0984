"""`deliveries errors` and `notifications errors`: count errors by message, to find their causes."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click
from rich.text import Text

from console.cli.filters import filters, row_search
from console.cli.stores import read_only_session
from console.render import tables
from console.render.tables import Column, as_json
from operations.text import CONSOLE_COMMAND, age, printable, short

if TYPE_CHECKING:
    from sqlalchemy import Row, Select

    from operations.serialize import Json

MAX_ROWS = 20


@click.command()
@filters
@as_json
def errors(as_json: bool, **chosen: Any) -> None:
    """Count the errors of dead and failing deliveries, most frequent first."""
    from models.delivery import Delivery

    with read_only_session() as session:
        query = _count_errors(row_search(session, chosen).deliveries(), Delivery, Delivery.received_at)
        rows = session.execute(query).all()
    names = ("deliveries", "first_received_at", "last_received_at")
    _show(rows, names, as_json, "No delivery has an error.", "received", "replay")


@click.command("errors")
@filters
@as_json
def notification_errors(as_json: bool, **chosen: Any) -> None:
    """Count the errors of dead and failing notifications, most frequent first."""
    from models.notification import Notification

    with read_only_session() as session:
        query = _count_errors(row_search(session, chosen).notifications(), Notification, Notification.created_at)
        rows = session.execute(query.where(Notification.status != "done")).all()
    names = ("notifications", "first_created_at", "last_created_at")
    _show(rows, names, as_json, "No notification has an error.", "created", "notifications replay")


def _count_errors(query: Select[Any], model: Any, received: Any) -> Select[Any]:
    from sqlalchemy import func

    grouped = query.where(model.last_error.is_not(None)).order_by(None).group_by(model.last_error, model.status)
    columns = (func.count(), model.status, model.last_error, func.min(received), func.max(received), func.min(model.id))
    return grouped.with_only_columns(*columns).order_by(func.count().desc())


def _show(
    rows: Any, names: tuple[str, str, str], as_json: bool, empty_message: str, received: str, replay_command: str
) -> None:
    if as_json:
        tables.print_json({"errors": [_as_json(row, names) for row in rows]})
        return
    if not rows:
        click.echo(empty_message)
        return
    now = datetime.now(UTC)
    columns = [
        Column(names[0], is_number=True),
        Column("status"),
        Column(f"first {received}"),
        Column(f"last {received}"),
        Column("for example"),
        Column("error", wraps=True),
    ]
    tables.show(tables.listing(columns, [_line(row, now) for row in rows[:MAX_ROWS]]))
    if len(rows) > MAX_ROWS:
        click.echo(f"\n{len(rows) - MAX_ROWS} more errors: add --json, or a filter such as --since 1h.")
    statuses = {row[1] for row in rows}
    if selector := "--dead" if "dead" in statuses else "--status pending" if "pending" in statuses else "":
        click.echo(f"\nWhat a replay would do now: {CONSOLE_COMMAND} {replay_command} {selector} --dry-run")


def _as_json(row: Row[*tuple[Any, ...]], names: tuple[str, str, str]) -> Json:
    from operations.redact import redact_text

    count, status, error, first, last, example = row
    return {
        names[0]: count,
        "status": status,
        "error": redact_text(error),
        names[1]: first,
        names[2]: last,
        "example": example,
    }


def _line(row: Row[*tuple[Any, ...]], now: datetime) -> list[str | Text]:
    from operations.redact import redact_text

    count, status, error, first, last, example = row
    return [
        str(count),
        tables.status(status),
        age(first, now),
        age(last, now),
        short(str(example)),
        printable(redact_text(error)),
    ]
