"""`dashboard`: log in to the operators' web page."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from console.app import CommandGroup
from console.cli.audit import login_name
from operations.text import duration

if TYPE_CHECKING:
    from operations.dashboard_login import Role

ROLES: tuple[Role, ...] = ("read", "operate", "people")


@click.command()
@click.option("--name", default=login_name, metavar="NAME", help="Recorded with each act (default: login name).")
@click.option(
    "--role",
    type=click.Choice(ROLES),
    default="read",
    show_default=True,
    help="read: masked data; operate: also replay and ignore; people: also reveal and erase.",
)
def login(name: str, role: Role) -> None:
    """Print a link that logs you in to the web page, once, within 10 minutes."""
    from operations.dashboard_login import LINK_LIFETIME, LoginSigner
    from operations.settings import DashboardAddressSettings

    settings = DashboardAddressSettings.load()
    click.echo(LoginSigner(settings.webhook_keys).link(settings.dashboard_base_url, name, role))
    valid = f"The link works once, within {duration(LINK_LIFETIME)}"
    click.echo(f"{valid}, and logs in {name.strip()} ({role}) for 12 hours.", err=True)


dashboard = CommandGroup("dashboard", commands=[login], help="The operators' web page: print a login link.")
