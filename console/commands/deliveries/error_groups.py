"""`deliveries errors` and `notifications errors`: count errors by message, to find their causes."""

from __future__ import annotations

from collections.abc import Sequence
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
    from operations.deliveries.error_groups import CountedError
    from operations.serialize import Json

MAX_ROWS = 20


@click.command()
@filters
@as_json
def errors(as_json: bool, **chosen: Any) -> None:
    """Count the errors of dead and failing deliveries, most frequent first."""
    from models.delivery import Delivery
    from operations.deliveries.error_groups import count_errors

    with read_only_session() as session:
        found = count_errors(session, row_search(session, chosen).deliveries(), Delivery)
    names = ("deliveries", "first_received_at", "last_received_at")
    _show(found, names, as_json, "No delivery has an error.", "received", "replay")


@click.command("errors")
@filters
@as_json
def notification_errors(as_json: bool, **chosen: Any) -> None:
    """Count the errors of dead and failing notifications, most frequent first."""
    from models.notification import Notification
    from operations.deliveries.error_groups import count_errors

    with read_only_session() as session:
        selected = row_search(session, chosen).notifications().where(Notification.status != "done")
        found = count_errors(session, selected, Notification)
    names = ("notifications", "first_created_at", "last_created_at")
    _show(found, names, as_json, "No notification has an error.", "created", "notifications replay")


def _show(
    found: Sequence[CountedError],
    names: tuple[str, str, str],
    as_json: bool,
    empty_message: str,
    received: str,
    replay_command: str,
) -> None:
    if as_json:
        tables.print_json({"errors": [_as_json(each, names) for each in found]})
        return
    if not found:
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
    tables.show(tables.listing(columns, [_line(each, now) for each in found[:MAX_ROWS]]))
    if len(found) > MAX_ROWS:
        click.echo(f"\n{len(found) - MAX_ROWS} more errors: add --json, or a filter such as --since 1h.")
    statuses = {each.status for each in found}
    if selector := "--dead" if "dead" in statuses else "--status pending" if "pending" in statuses else "":
        click.echo(f"\nWhat a replay would do now: {CONSOLE_COMMAND} {replay_command} {selector} --dry-run")


def _as_json(each: CountedError, names: tuple[str, str, str]) -> Json:
    from operations.redact import redact_text

    return {
        names[0]: each.number,
        "status": each.status,
        "error": redact_text(each.error),
        names[1]: each.first,
        names[2]: each.last,
        "example": each.example,
    }


def _line(each: CountedError, now: datetime) -> list[str | Text]:
    from operations.redact import redact_text

    return [
        str(each.number),
        tables.status(each.status),
        age(each.first, now),
        age(each.last, now),
        short(each.example),
        printable(redact_text(each.error)),
    ]
