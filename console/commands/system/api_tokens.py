"""`api-tokens`: create, list and revoke the tokens of the read API."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from console.app import CommandGroup
from console.cli.audit import BY_OPTION
from console.cli.stores import open_database, read_only_session
from console.render import tables
from console.render.tables import Column, as_json
from operations.text import CONSOLE_COMMAND, age, printable

if TYPE_CHECKING:
    from models.api_token import TokenRole

COLUMNS = [
    Column("name", wraps=True),
    Column("role"),
    Column("account"),
    Column("created"),
    Column("by", is_extra=True),
    Column("last used"),
    Column("revoked"),
]
ROLES: tuple[TokenRole, ...] = ("read",)
NAME_OPTION = click.option("--name", required=True, metavar="TEXT", help="Who uses the token.")


@click.command()
@NAME_OPTION
@click.option(
    "--role",
    type=click.Choice(ROLES),
    default="read",
    show_default=True,
    help="read: bookings with people's data, their changes, and hosts.",
)
@click.option("--account", metavar="NAME", help="The only account that it may read.  [default: all]")
@BY_OPTION
def create(name: str, role: TokenRole, account: str | None, by: str) -> None:
    """Create a token, and print it: it cannot be shown again."""
    from operations.api_tokens import create_token
    from runtime.settings import DatabaseSettings

    with open_database(DatabaseSettings.load()) as database, database.transaction() as session:
        token = create_token(session, name, role, by, datetime.now(UTC), account)
    click.echo(token)
    click.echo("This is shown once. The consumer sends it as `Authorization: Bearer ...`.", err=True)


@click.command("list")
@as_json
def list_command(as_json: bool) -> None:
    """List tokens, with the hour of their last use; never the tokens themselves."""
    from operations.api_tokens import all_tokens
    from operations.serialize import token_to_json

    with read_only_session() as session:
        found = all_tokens(session)
    if as_json:
        tables.print_json({"tokens": [token_to_json(row) for row in found]})
        return
    if not found:
        click.echo(f"There is no token. Create one: {CONSOLE_COMMAND} api-tokens create --name TEXT")
        return
    now = datetime.now(UTC)
    lines = [
        [
            printable(row.name),
            row.role,
            row.account or "all",
            age(row.created_at, now),
            printable(row.created_by),
            age(row.last_used_at, now) if row.last_used_at else "never",
            age(row.revoked_at, now) if row.revoked_at else "-",
        ]
        for row in found
    ]
    tables.show(tables.listing(COLUMNS, lines))


@click.command()
@NAME_OPTION
@BY_OPTION
def revoke(name: str, by: str) -> None:
    """Revoke a token at once."""
    from operations.api_tokens import revoke_token
    from runtime.settings import DatabaseSettings

    with open_database(DatabaseSettings.load()) as database, database.transaction() as session:
        token = revoke_token(session, name, by, datetime.now(UTC))
    click.echo(f"The token '{printable(token.name)}' is refused from now on.")


api_tokens = CommandGroup("api-tokens", commands=[create, list_command, revoke], help="Tokens of the read API.")
