"""`users`: the platform's hosts and their users in meetergo."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from console.app import CommandGroup
from console.cli.accounts import ONLY_ACCOUNT_OPTION, only_default
from console.cli.api_client import host_client
from console.cli.arguments import HOST_ARGUMENT
from console.cli.stores import NO_TIMEOUT, open_database
from console.commands.meetergo.forget import forget
from console.commands.meetergo.onboard import onboard
from console.commands.meetergo.sync import sync
from console.render import tables
from console.render.tables import Column
from operations.text import printable

if TYPE_CHECKING:
    from meetergo.api.resources.personal_page import PageStyle
    from models.platform_user import PlatformUser

TITLES = {"de": "Termin buchen bei {}", "en": "Book an appointment with {}"}
COLUMNS = [
    Column("external_id"),
    Column("name", wraps=True),
    Column("e-mail", wraps=True, is_extra=True),
    Column("meetergo user"),
    Column("meeting type", is_extra=True),
    Column("booking address", wraps=True),
]


@click.command("list")
@ONLY_ACCOUNT_OPTION
@tables.as_json
def list_command(account: str | None, as_json: bool) -> None:
    """List all hosts with their meetergo ids."""
    from operations import hosts
    from runtime.settings import DatabaseSettings

    with open_database(DatabaseSettings.load(), NO_TIMEOUT) as database:
        rows = [_row(user) for user in hosts.all_hosts(database, account)]
    if as_json:
        tables.print_json({"users": rows})
    elif not rows:
        click.echo("There are no platform users yet: `users onboard` takes a file of them.")
    else:
        names = ("external_id", "name", "email", "meetergo_user_id", "meetergo_meeting_type_id", "booking_url")
        lines = [[printable(row[name] or "-") for name in names] for row in rows]
        accounts = None if only_default() else [row["account"] for row in rows]
        tables.show(tables.listing(*tables.with_account(COLUMNS, lines, accounts)))


@click.command()
@HOST_ARGUMENT
@click.option("--title", help="Description for screen readers.")
@click.option("--height", type=click.IntRange(min=100), default=700, show_default=True, help="In pixels.")
def embed(external_id: str, title: str | None, height: int) -> None:
    """Print an iframe that embeds a host's booking page."""
    from meetergo.api import embed_code
    from operations import hosts
    from runtime.settings import DatabaseSettings

    with open_database(DatabaseSettings.load(), NO_TIMEOUT) as database:
        row = hosts.find(database, external_id)
        if not row.booking_url:
            raise click.ClickException(
                "no booking URL is known for this host: set platform_users.booking_url, "
                "or let `users sync --booking-root` find it"
            )
        page_title = title or TITLES.get(row.language[:2].lower(), TITLES["en"]).format(row.name or external_id)
        click.echo(embed_code(row.booking_url, title=page_title, height=height))


@click.command()
@HOST_ARGUMENT
@click.option("--primary-color", metavar="#RRGGBB", help="Such as '#0066cc'.")
@click.option("--secondary-color", metavar="#RRGGBB", help="Such as '#ffcc00'.")
@click.option("--header-image", metavar="URL", help="Header image; '' removes it.")
@click.option("--description", help="Text on the page.")
@tables.as_json
def brand(external_id: str, as_json: bool, **options: Any) -> None:
    """Change the style of a host's booking page. Options that are not given stay unchanged."""
    from operations import hosts

    wanted: PageStyle = {name: value for name, value in options.items() if value is not None}  # type: ignore[assignment]
    if wanted.get("header_image") == "":
        wanted["header_image"] = None
    with host_client(external_id) as (row, meetergo):
        page = meetergo.as_user(hosts.meetergo_id(row)).personal_page.update(**wanted)
    if as_json:
        tables.print_json(page.model_dump(exclude={"id"}))
    else:
        click.echo("The page is changed.")
        tables.show(tables.fields({name: str(getattr(page, name)) for name in wanted}))


users = CommandGroup(
    "users", commands=[onboard, sync, list_command, forget, embed, brand], help="Manage hosts as users of meetergo."
)


def _row(user: PlatformUser) -> dict[str, Any]:
    names = ("meetergo_user_id", "meetergo_meeting_type_id", "booking_url", "email", "name", "timezone", "language")
    key = {"external_id": user.external_id, "account": user.account}
    return {**key, **{name: getattr(user, name) for name in names}, "channels": user.channels}
