"""The options that select rows, shared by `list`, `replay` and others."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from console.cli import completion
from console.cli.accounts import ONLY_ACCOUNT_OPTION
from console.cli.arguments import options

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from models.search import RowSearch


class TimestampParam(click.ParamType[datetime]):
    """A time: ISO 8601 (UTC by default), or an age: 30s, 10m, 2h, 7d."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, context: click.Context | None) -> datetime:
        """Convert to an aware UTC time."""
        from operations.filters import InvalidFilter, parse_time

        if isinstance(value, datetime):
            return value
        try:
            return parse_time(value, datetime.now(UTC))
        except InvalidFilter as error:
            self.fail(str(error), param, context)


filters = options(
    click.option("--status", type=click.Choice(["pending", "done", "dead"]), help="Only rows with this status."),
    click.option(
        "--event", metavar="NAME", help="Only this event, such as booking_created; for notifications, the kind."
    ),
    click.option("--booking", "booking_id", type=completion.BOOKING, metavar="ID", help="Only this booking."),
    click.option("--user", "platform_user", metavar="ID", help="Only bookings of this host (external_id)."),
    click.option(
        "--since", type=TimestampParam(), metavar="TIME", help="Not older than this: 10m, 2h, 7d, or a date and time."
    ),
    click.option("--until", type=TimestampParam(), metavar="TIME", help="Older than this."),
    click.option("--error", metavar="TEXT", help="Only rows whose last error contains this text."),
    ONLY_ACCOUNT_OPTION,
)
"""Adds the filter options to a command, which receives them as `row_search` takes them."""

DEAD_OPTION = click.option("--dead", is_flag=True, help="All dead ones; with filters, those that match.")


def require_selector(ids: Sequence[Any], dead: bool, chosen: dict[str, Any]) -> None:
    """Require a selection: an empty command must not replay everything.

    Raises:
        click.UsageError: no selection, or a contradictory one.
    """
    is_narrowed = any(value is not None for value in chosen.values())
    if not ids and not dead and not is_narrowed:
        raise click.UsageError("say which: an ID, filters such as --booking or --since, or --dead")
    if ids and (dead or is_narrowed):
        raise click.UsageError("name IDs, or use --dead and filters, not both")
    if dead and chosen["status"] not in (None, "dead"):
        raise click.UsageError(f"--dead and --status {chosen['status']} exclude each other")


def check_chosen_account(session: Session, account: str | None) -> None:
    """Refuse a misspelt account: the answer would be that nothing matches.

    Raises:
        OperationError: there is no such account.
    """
    if account is not None:
        from operations.accounts import check_account  # late: imports the workers' settings

        check_account(session, account)


def row_search(session: Session, chosen: dict[str, Any]) -> RowSearch:
    """Build the search from the options. The booking may be named by the beginning of its id.

    Raises:
        OperationError: there is no such account.
    """
    from models.search import RowSearch
    from operations.lookup import resolve_booking_id

    check_chosen_account(session, chosen["account"])
    return RowSearch(**chosen | {"booking_id": resolve_booking_id(session, chosen["booking_id"])})
