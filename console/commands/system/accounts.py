"""`accounts`: the companies of meetergo that this installation serves, beside that of the settings."""

from __future__ import annotations

import sys
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any

import click

from console.app import CommandGroup
from console.cli.accounts import ACCOUNT, DEFAULT
from console.cli.api_client import api_client
from console.cli.arguments import options
from console.cli.audit import BY_OPTION
from console.cli.stores import NO_TIMEOUT, channel_settings, open_database, read_only_session
from console.render import tables
from console.render.tables import Column, as_json
from operations.text import CONSOLE_COMMAND, age, count, printable

if TYPE_CHECKING:
    from models.account import Account
    from operations.accounts import AccountValues
    from operations.settings import AccountSettings

COLUMNS = [
    Column("account"),
    Column("state"),
    Column("company", wraps=True),
    Column("API key", wraps=True),
    Column("key ends"),
    Column("acts as", is_extra=True),
    Column("channels"),
    Column("reconcile", is_extra=True),
    Column("added"),
]
NAME_ARGUMENT = click.argument("name", metavar="NAME", type=ACCOUNT)
values = options(
    click.option("--company-id", metavar="ID", help="Accept only this company's events (default: the API key's)."),
    click.option(
        "--api-key", "asks_key", is_flag=True, help="Ask for the API key; without a terminal, read it from stdin."
    ),
    click.option(
        "--api-key-from",
        metavar="PLACE",
        help="Read the key there when it is used: env:NAME or file:/path. '' for none.",
    ),
    click.option("--api-key-expires", type=click.DateTime(["%Y-%m-%d"]), metavar="DAY", help="The key's last day."),
    click.option(
        "--api-user", metavar="ID", help="The user that a Platform key acts as (default: the company's owner)."
    ),
    click.option(
        "--channel",
        "channels",
        multiple=True,
        metavar="URL",
        help="A default channel; may be repeated. - asks for it as for the API key; '' for NOTIFY_DEFAULT.",
    ),
    click.option(
        "--reconcile-days",
        type=click.IntRange(0, 3650),
        metavar="N",
        help="How far ahead to compare; 0 for RECONCILE_DAYS.",
    ),
    click.option("--no-check", is_flag=True, help="Do not ask meetergo whether it accepts the key, and whose it is."),
    BY_OPTION,
)
"""Adds the options with an account's values to a command."""


@click.command()
@NAME_ARGUMENT
@values
def add(name: str, by: str, no_check: bool, **given: Any) -> None:
    """Add a company of meetergo as an account of its own.

    Its API key is stored encrypted with BODY_KEYS, or read from where --api-key-from says. It is never shown.
    """
    from models.account import Account
    from operations.accounts import add_account
    from operations.settings import AccountSettings

    settings = AccountSettings.load()
    new, cipher = _values(given), settings.cipher()
    with open_database(settings, NO_TIMEOUT) as database:
        if not no_check:
            new = _checked(name, new, Account(name=name), settings)
        with database.transaction() as session:
            row = add_account(session, name, new, cipher, settings.webhook_account, datetime.now(UTC), by)
    company = f": company {printable(row.company_id)}" if row.company_id else ", for any company"
    click.echo(f"The account {name} is added{company}.")
    if row.has_api_key:
        click.echo(f"Next: {CONSOLE_COMMAND} webhook register --account {name}")
    else:
        click.echo(
            f"It has no API key, so it is not reconciled. Its address: {CONSOLE_COMMAND} webhook url --account {name}"
        )


@click.command("set")
@NAME_ARGUMENT
@values
def set_command(name: str, by: str, no_check: bool, **given: Any) -> None:
    """Change an account. What is not given stays. Processes notice within seconds."""
    from models.account import Account
    from operations.accounts import AccountValues, change_account, find_account, with_company
    from operations.settings import AccountSettings

    settings = AccountSettings.load()
    new, cipher = _values(given), settings.cipher()
    if new == AccountValues():
        raise click.UsageError("say what to change: see --help")
    with open_database(settings, NO_TIMEOUT) as database:
        if (new.api_key or new.api_key_from) and not no_check:
            with database.read_only() as session:
                find_account(session, name, cipher)  # else there is nothing to change
                row = session.get_one(Account, name)
            company_id = new.company_id if new.company_id is not None else row.company_id
            known = AccountValues(company_id or None, new.api_key, new.api_key_from)
            checked = _checked(name, known, row, settings)
            new = with_company(new, checked.company_id) if new.company_id != "" else new
        with database.transaction() as session:
            change_account(session, name, new, cipher, datetime.now(UTC), by)
    click.echo(f"The account {name} is changed.")


@click.command("list")
@as_json
def list_command(as_json: bool) -> None:
    """List the accounts; never their API keys."""
    from models.account import Account

    with read_only_session() as session:
        found = Account.load_all(session)
    if as_json:
        tables.print_json({"accounts": [_to_json(row) for row in found]})
    elif not found:
        click.echo(
            f"There is only the account of the settings. Add another: {CONSOLE_COMMAND} accounts add NAME --api-key"
        )
    else:
        now = datetime.now(UTC)
        default = [DEFAULT, "active", *["from the settings"] * 2, *["-"] * 5]
        tables.show(tables.listing(COLUMNS, [default, *(_line(row, now) for row in found)]))


@click.command()
@NAME_ARGUMENT
@BY_OPTION
def disable(name: str, by: str) -> None:
    """Disable an account: its address answers 404 within seconds, and it is not reconciled. Its bookings stay."""
    if _enable(name, by, is_active=False):
        click.echo(f"The account {name} is disabled. To remove its webhook at meetergo too:")
        click.echo(f"  {CONSOLE_COMMAND} webhook remove --account {name}")
    else:
        click.echo(f"The account {name} is disabled already.")


@click.command()
@NAME_ARGUMENT
@BY_OPTION
def enable(name: str, by: str) -> None:
    """Enable a disabled account."""
    changed = _enable(name, by, is_active=True)
    click.echo(f"The account {name} is enabled{'.' if changed else ' already.'}")


accounts = CommandGroup(
    "accounts",
    commands=[add, list_command, set_command, disable, enable],
    help="Serve several companies of meetergo: see docs/accounts.md.",
)


def _enable(name: str, by: str, *, is_active: bool) -> bool:
    from operations.accounts import enable_account
    from operations.settings import AccountSettings

    with open_database(AccountSettings.load(), NO_TIMEOUT) as database, database.transaction() as session:
        return enable_account(session, name, datetime.now(UTC), by, is_active=is_active)


def _values(given: dict[str, Any]) -> AccountValues:
    """Return the values as given, and ask for the API key."""
    from operations.accounts import AccountValues, check_channels

    asks_key, expires = given.pop("asks_key"), given.pop("api_key_expires")
    if asks_key and given["api_key_from"]:
        raise click.UsageError("--api-key and --api-key-from exclude each other")
    api_key = _ask("API key", "--api-key") if asks_key else None
    urls = (_ask("Channel", "--channel -") if url == "-" else url for url in given["channels"] if url)
    channels = tuple(urls) if given["channels"] else None
    if channels:
        check_channels(channels, channel_settings())
    last_day: date | None = expires and expires.date()
    return AccountValues(**given | {"channels": channels, "api_key_expires": last_day, "api_key": api_key})


def _ask(what: str, option: str) -> str:
    """Read a secret without showing it. It is not an argument, which other users of this machine could see."""
    if sys.stdin.isatty():
        return str(click.prompt(what, hide_input=True)).strip()
    secret = sys.stdin.readline().strip()
    if not secret:
        raise click.UsageError(f"{option} reads a line from stdin, which has none")
    return secret


def _checked(name: str, new: AccountValues, row: Account, settings: AccountSettings) -> AccountValues:
    """Ask meetergo whose key it is, unless there is none.

    Raises:
        ClickException: meetergo refuses the key.
        OperationError: it is that of another company.
    """
    from models.account import Account
    from operations.accounts import api_values, with_company
    from operations.settings import ProviderSettings

    if not (new.api_key or new.api_key_from):
        return new
    account = Account(name=name, api_user=new.api_user if new.api_user is not None else row.api_user)
    new.write_to(account, settings.cipher())
    provider = ProviderSettings.load(**api_values(account.config(settings.cipher())))
    with api_client(provider, name) as meetergo:
        company_id = meetergo.users.me().company_id
    return with_company(new, company_id)


def _line(row: Account, now: datetime) -> list[str]:
    return [
        row.name,
        "active" if row.is_active else "disabled",
        printable(row.company_id or "any"),
        _key_place(row),
        f"{row.api_key_expires}" if row.api_key_expires else "-",
        printable(row.api_user or "-"),
        count(_channels(row), "channel") if row.channels else "-",
        count(row.reconcile_days, "day") if row.reconcile_days else "-",
        age(row.created_at, now),
    ]


def _channels(row: Account) -> int:
    return len(row.channels) if isinstance(row.channels, list) else 0


def _key_place(row: Account) -> str:
    return "encrypted" if row.sealed_with else printable(row.api_key_from or "none")


def _to_json(row: Account) -> dict[str, Any]:
    return {
        "name": row.name,
        "active": row.is_active,
        "company_id": row.company_id,
        "api_key": _key_place(row),
        "api_key_expires": row.api_key_expires and row.api_key_expires.isoformat(),
        "api_user": row.api_user,
        "channels": _channels(row),
        "reconcile_days": row.reconcile_days,
        "created_at": row.created_at,
        "updated_at": row.updated_at,
    }
