"""`bookings`: list bookings, and show one with its history."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click
from rich.text import Text

from console.app import CommandGroup
from console.cli import completion
from console.cli.accounts import ONLY_ACCOUNT_OPTION
from console.cli.filters import TimestampParam, check_chosen_account
from console.cli.page import fetch_page, next_page_command, paging_options
from console.cli.stores import read_only_session
from console.commands.bookings.refresh import refresh
from console.commands.bookings.send_again import send_again
from console.render import tables
from console.render.tables import Column, as_json
from operations.text import age, moment, printable, short, value, when

if TYPE_CHECKING:
    from models.booking import Booking
    from models.platform_user import PlatformUser

COLUMNS = [
    Column("booking"),
    Column("starts (UTC)"),
    Column("status"),
    Column("meeting", wraps=True),
    Column("host", wraps=True),
    Column("guests", is_number=True, is_extra=True),
    Column("changed", is_extra=True),
]
NOT_STORED = {"status": "does not exist yet: no delivery about it could be processed"}
SHOWN_ABOVE = ("id", "starts_at", "ends_at", "status", "platform_user_id", "created_at", "updated_at", "as_of")


@click.command("list")
@click.option("--status", type=click.Choice(["confirmed", "cancelled"]), help="Only bookings with this status.")
@click.option("--user", "platform_user", metavar="ID", help="Only bookings of this host (external_id).")
@click.option(
    "--host", metavar="TEXT", help="Only bookings of this host: external_id, e-mail address, or part of the name."
)
@click.option("--guest", metavar="TEXT", help="Only bookings with this guest: part of the name, address or number.")
@click.option(
    "--since",
    type=TimestampParam(),
    metavar="TIME",
    help="Only bookings that start at or after this: 2h (ago), or a date and time.",
)
@click.option("--until", type=TimestampParam(), metavar="TIME", help="Only bookings that start before this.")
@ONLY_ACCOUNT_OPTION
@paging_options
@as_json
@click.pass_context
def list_command(context: click.Context, /, limit: int, before: str | None, as_json: bool, **chosen: Any) -> None:
    """List bookings, the latest start first."""
    from models.account import Account
    from models.platform_user import PlatformUser
    from models.search import BookingSearch
    from operations import lookup, serialize

    with read_only_session() as session:
        check_chosen_account(session, chosen["account"])
        query = BookingSearch(**chosen).bookings(session)
        if before:
            query = query.where(_comes_after(lookup.find_booking(session, before)))
        found, remaining = fetch_page(session, query, limit)
        hosts = PlatformUser.by_ids(session, {row.platform_user_id for row in found})
        accounts = [row.account for row in found] if Account.is_any(session) else None
    if as_json:
        last = found[-1].id if remaining else None
        tables.print_json({"bookings": [serialize.booking_to_json(row) for row in found], "next": last})
        return
    if not found:
        click.echo("No booking matches.")
        return
    now = datetime.now(UTC)
    lines = [_line(row, hosts.get(row.platform_user_id), now) for row in found]
    tables.show(tables.listing(*tables.with_account(COLUMNS, lines, accounts)))
    if remaining:
        click.echo(f"\n{remaining} more: {next_page_command(context, found[-1].id)}")


@click.command()
@click.argument("booking_id", metavar="ID", type=completion.BOOKING)
@as_json
def show(booking_id: str, as_json: bool) -> None:
    """Show one booking: its state, its owner, and its history in order. ID may be a prefix."""
    from console.render.timeline import render_timeline
    from models import timeline
    from models.booking import Booking
    from models.platform_user import PlatformUser
    from operations import lookup, serialize

    with read_only_session() as session:
        known = lookup.find_booking_id(session, booking_id)
        booking = session.get(Booking, known)
        host = session.get(PlatformUser, booking.platform_user_id or 0) if booking else None
        entries = timeline.for_booking(session, known)
    if as_json:
        about = {
            "booking": serialize.booking_to_json(booking) if booking else None,
            "host": serialize.host_to_json(host),
        }
        tables.print_json({**about, "timeline": [serialize.entry_to_json(entry) for entry in entries]})
        return
    tables.show(
        Text(f"booking {printable(known)}", style="bold"),
        tables.fields(_facts(booking, host, datetime.now(UTC)) if booking else NOT_STORED),
        tables.title("Timeline (UTC)"),
        *render_timeline(entries),
    )


bookings = CommandGroup(
    "bookings", commands=[list_command, show, refresh, send_again], help="List bookings, and show their history."
)


def _comes_after(row: Booking) -> Any:
    """Condition for rows after this one in the list's order, where a booking without a start comes last."""
    from sqlalchemy import and_, or_

    from models.booking import Booking

    if row.starts_at is None:
        return and_(Booking.starts_at.is_(None), Booking.id < row.id)
    same = and_(Booking.starts_at == row.starts_at, Booking.id < row.id)
    return or_(Booking.starts_at < row.starts_at, same, Booking.starts_at.is_(None))


def _line(row: Booking, host: PlatformUser | None, now: datetime) -> list[str | Text]:
    return [
        short(row.id),
        moment(row.starts_at),
        tables.status(row.status),
        value(row.meeting_name),
        _host(host),
        str(len(row.attendees)),
        age(row.updated_at, now),
    ]


def _facts(booking: Booking, host: PlatformUser | None, now: datetime) -> dict[str, str | Text | None]:
    from console.render import changes
    from operations import serialize

    times = f"{moment(booking.starts_at)} to {moment(booking.ends_at)} UTC ({age(booking.starts_at, now)})"
    others = [
        (name, content) for name, content in serialize.booking_to_json(booking).items() if name not in SHOWN_ABOVE
    ]
    return {
        "status": tables.status(booking.status),
        "when": times if booking.starts_at else "unknown",
        "host": _host(host),
        **{name: changes.column(name, content) for name, content in others if content not in changes.EMPTY},
        "as of": moment(booking.as_of),
        "changed": when(booking.updated_at, now),
    }


def _host(host: PlatformUser | None) -> str:
    return f"{value(host.name)} ({value(host.external_id)})" if host else "none yet"
