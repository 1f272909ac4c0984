"""`meeting-types`: list and change what can be booked with a host."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from console.app import CommandGroup
from console.cli.api_client import host_client
from console.cli.arguments import HOST_ARGUMENT
from console.render import tables
from console.render.tables import Column
from operations.text import printable

if TYPE_CHECKING:
    from meetergo.api.resources.meeting_types import Changes
    from meetergo.api.schemas import MeetingType

COLUMNS = [Column("meeting type"), Column("name", wraps=True), Column("minutes"), Column("channel"), Column("slug")]

minutes = click.IntRange(min=0)


@click.command("list")
@HOST_ARGUMENT
@tables.as_json
def list_command(external_id: str, as_json: bool) -> None:
    """List the meeting types of a host."""
    from operations import hosts

    with host_client(external_id) as (row, meetergo):
        found = meetergo.as_user(hosts.meetergo_id(row)).meeting_types.list()
    if as_json:
        tables.print_json({"meeting_types": [as_row(item) for item in found]})
    else:
        tables.show(tables.listing(COLUMNS, [_line(as_row(item)) for item in found]))


@click.command()
@HOST_ARGUMENT
@click.option("--meeting-type", metavar="ID", help="The meeting type (default: the host's first).")
@click.option("--name", help="Shown to guests.")
@click.option("--description", help="Shown to guests.")
@click.option("--duration", type=click.IntRange(5, 480), help="In minutes.")
@click.option("--channel", help="Such as phone, zoom or connect.")
@click.option("--buffer-before", type=minutes, help="In minutes.")
@click.option("--buffer-after", type=minutes, help="In minutes.")
@click.option("--slug", help="The last part of its URL. Old URLs stop working.")
@click.option("--spots", type=click.IntRange(1, 100), help="Guests per appointment.")
@click.option("--timeslot-interval", type=click.IntRange(5, 60), help="In minutes.")
@click.option("--booking-minimum", type=minutes, help="Minimum notice, in minutes.")
@click.option("--days-into-future", type=click.IntRange(min=1), help="How far ahead it can be booked.")
@click.option("--enabled/--disabled", default=None, help="Whether it can be booked.")
@tables.as_json
def update(external_id: str, meeting_type: str | None, as_json: bool, **options: Any) -> None:
    """Change a meeting type. Options that are not given stay unchanged."""
    from operations import hosts

    changes: Changes = {name: value for name, value in options.items() if value is not None}  # type: ignore[assignment]
    with host_client(external_id) as (row, meetergo):
        host = meetergo.as_user(hosts.meetergo_id(row))
        changed = host.meeting_types.update(hosts.meeting_type_id(row, meeting_type), **changes)
    if as_json:
        tables.print_json(as_row(changed))
    else:
        click.echo("The meeting type is changed.")
        tables.show(tables.listing(COLUMNS, [_line(as_row(changed))]))


meeting_types = CommandGroup(
    "meeting-types", commands=[list_command, update], help="List and change the meeting types of a host."
)


def as_row(item: MeetingType) -> dict[str, Any]:
    """Serialise a meeting type to JSON."""
    return {
        "id": item.id,
        "name": item.name,
        "minutes": item.duration,
        "channel": item.info.channel,
        "slug": item.slug,
        "enabled": item.enabled,
        "booking_url": item.booking_url,
    }


def _line(row: dict[str, Any]) -> list[str]:
    return [printable(str(row[name] or "-")) for name in ("id", "name", "minutes", "channel", "slug")]
