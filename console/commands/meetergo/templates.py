"""`templates`: create a meeting type once and assign it to many hosts."""

import click

from console.cli.accounts import ACCOUNT_OPTION, load_settings
from console.cli.api_client import api_client
from console.cli.stores import NO_TIMEOUT, open_database
from console.commands.meetergo.meeting_types import as_row
from console.render import tables
from operations.text import printable


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
        for external_id, user_id in named.items():
            new = [as_row(item) for item in meetergo.templates.assign(template_id, user_id)]
            assigned.append({"external_id": external_id, "meeting_types": new})
            if not as_json:
                names = ", ".join(printable(f"{item['name']} ({item['id']})") for item in new)
                click.echo(f"{printable(external_id)}: {names or 'no meeting type came of it'}")
    if as_json:
        tables.print_json({"assigned": assigned})


templates = click.Group("templates", commands=[create, assign], help="Create a meeting type for many hosts.")
