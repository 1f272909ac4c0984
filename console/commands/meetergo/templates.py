"""`templates`: create a meeting type once and assign it to many hosts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import click

from console.app import CommandGroup
from console.cli.accounts import ACCOUNT_OPTION, load_settings
from console.cli.api_client import api_client
from console.cli.stores import NO_TIMEOUT, open_database
from console.commands.meetergo.meeting_types import as_row
from console.render import tables
from operations.text import printable

if TYPE_CHECKING:
    from meetergo.api import Meetergo


@click.command()
@click.option("--name", required=True, help="Shown to guests.")
@click.option("--duration", required=True, type=click.IntRange(5, 480), help="In minutes.")
@click.option("--description", default="", help="Shown to guests.")
@click.option("--channel", default="phone", show_default=True, help="Such as phone, zoom or connect.")
@click.option("--spots", type=click.IntRange(1, 100), help="Guests per appointment.")
@ACCOUNT_OPTION
@tables.as_json
def create(
    name: str, duration: int, description: str, channel: str, spots: int | None, account: str, as_json: bool
) -> None:
    """Create a template, and print its id."""
    from operations.settings import ProviderSettings

    with api_client(load_settings(ProviderSettings, account), account) as meetergo:
        template = meetergo.templates.create(name, duration, description=description, channel=channel, spots=spots)
    if as_json:
        tables.print_json({"id": template.id, "name": template.info.name, "minutes": template.info.duration})
    else:
        click.echo(template.id)


@click.command()
@click.argument("template_id")
@click.argument("external_ids", metavar="EXTERNAL_ID...", nargs=-1, required=True)
@ACCOUNT_OPTION
@tables.as_json
def assign(template_id: str, external_ids: tuple[str, ...], account: str, as_json: bool) -> None:
    """Create a meeting type from a template for hosts. Each run may create another."""
    from meetergo.api import BULK_SHARE
    from operations import hosts
    from operations.settings import ProviderSettings

    settings, assigned = load_settings(ProviderSettings, account), []
    with open_database(settings, NO_TIMEOUT) as database, api_client(settings, account, BULK_SHARE) as meetergo:
        found = {external_id: hosts.find(database, external_id, account) for external_id in external_ids}
        named = {external_id: hosts.meetergo_id(row) for external_id, row in found.items()}
        try:
            for external_id, new in _assign_each(meetergo, template_id, named, account):
                assigned.append({"external_id": external_id, "meeting_types": new})
                if not as_json:
                    names = ", ".join(printable(f"{item['name']} ({item['id']})") for item in new)
                    click.echo(f"{printable(external_id)}: {names or 'no meeting type came of it'}")
        finally:
            if as_json:
                tables.print_json({"assigned": assigned})


def _assign_each(
    meetergo: Meetergo, template_id: str, user_ids: Mapping[str, str], account: str
) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Yield each host with the meeting types that the template made.

    Raises:
        click.ClickException: meetergo failed for one host; the message names it and those after it.
    """
    from meetergo.api.errors import ApiError
    from operations.errors import api_error_message

    for number, (external_id, user_id) in enumerate(user_ids.items(), 1):
        try:
            yield external_id, [as_row(item) for item in meetergo.templates.assign(template_id, user_id)]
        except ApiError as error:
            left = printable(", ".join(list(user_ids)[number:]))
            message = f"{printable(external_id)}: {api_error_message(error, account)}"
            raise click.ClickException(f"{message}; not reached: {left}" if left else message) from error


templates = CommandGroup("templates", commands=[create, assign], help="Create a meeting type for many hosts.")
