"""`calendar`: the link by which a host's calendar program fetches the host's bookings."""

from datetime import UTC, datetime

import click

from console.app import CommandGroup
from console.cli.arguments import HOST_ARGUMENT
from console.cli.audit import audited
from console.cli.stores import NO_TIMEOUT, open_database
from console.render.tables import as_json, print_json
from operations.text import printable


@click.command()
@HOST_ARGUMENT
@audited
@as_json
def link(external_id: str, by: str, reason: str, as_json: bool) -> None:
    """Print the link of a host's calendar. It is a secret: it gives access to the host's bookings.

    It stays the same until it is revoked, or until the key that signed it is removed from WEBHOOK_KEYS.
    """
    from operations.settings import CalendarSettings
    from operations.users import calendar as calendars
    from operations.users.calendar import CalendarSigner

    settings = CalendarSettings.load()
    signer = CalendarSigner(settings.webhook_keys)
    with open_database(settings, NO_TIMEOUT) as database:
        feed_id = calendars.share(database, external_id, datetime.now(UTC), by=by, reason=reason)
    url = settings.calendar_base_url + signer.path(feed_id)
    if as_json:
        print_json({"external_id": external_id, "url": url})
    else:
        click.echo(url)
        click.echo("Anyone with this link can read the host's bookings: `calendar revoke` ends that.", err=True)


@click.command()
@HOST_ARGUMENT
@audited
def revoke(external_id: str, by: str, reason: str) -> None:
    """Make the link of a host's calendar useless. `calendar link` then prints a new one."""
    from operations.users import calendar as calendars
    from runtime.settings import DatabaseSettings

    with open_database(DatabaseSettings.load(), NO_TIMEOUT) as database:
        is_revoked = calendars.revoke(database, external_id, datetime.now(UTC), by=by, reason=reason)
    click.echo("Revoked." if is_revoked else f"{printable(external_id)} has no calendar link: nothing to revoke.")


calendar = CommandGroup("calendar", commands=[link, revoke], help="Print and revoke the link of a host's calendar.")
