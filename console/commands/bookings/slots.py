"""`slots`: list the times at which a host can be booked."""

from datetime import UTC, datetime, timedelta

import click

from console.cli.api_client import host_client
from console.cli.arguments import HOST_ARGUMENT
from console.render import tables

WEEK = timedelta(days=7)

Day = click.DateTime(["%Y-%m-%d"])


@click.command()
@HOST_ARGUMENT
@click.option("--from", "first", type=Day, metavar="DAY", help="First day, such as 2026-01-31 (default: today).")
@click.option("--to", "last", type=Day, metavar="DAY", help="Last day (default: a week later).")
@click.option("--meeting-type", metavar="ID", help="The meeting type (default: the host's first).")
@tables.as_json
def slots(
    external_id: str, first: datetime | None, last: datetime | None, meeting_type: str | None, as_json: bool
) -> None:
    """List the times at which a host can be booked, in the host's time zone."""
    from operations import hosts

    with host_client(external_id) as (row, meetergo):
        zone = hosts.zone(row)
        start = first.date() if first else datetime.now(UTC).astimezone(zone).date()
        end = last.date() if last else start + WEEK
        host_id = hosts.meetergo_id(row)
        meeting_type_id = hosts.meeting_type_id(row, meeting_type)
        found = meetergo.availability.slots(meeting_type_id, start, end, host_ids=[host_id], timezone=zone.key)
    if as_json:
        tables.print_json({"slots": [{"start": slot.start, "spots_left": slot.spots_left} for slot in found]})
        return
    for slot in found:
        left = "" if slot.spots_left is None else f"  ({slot.spots_left} left)"
        click.echo(f"{slot.start.astimezone(zone).isoformat()}{left}")
    if not found:
        click.echo("No slot is free.", err=True)
