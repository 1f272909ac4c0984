"""`users forget`: forget which user of meetergo a host is."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from console.cli.arguments import HOST_ARGUMENT
from console.cli.audit import audited
from console.cli.confirm import YES_OPTION, confirm_or_exit
from console.cli.stores import NO_TIMEOUT, open_database
from console.render.tables import as_json, print_json
from operations.text import count, printable

if TYPE_CHECKING:
    from operations.users.forget import UserMapping


@click.command()
@HOST_ARGUMENT
@YES_OPTION
@audited
@as_json
def forget(external_id: str, yes: bool, by: str, reason: str, as_json: bool) -> None:
    """Forget which user of meetergo a host is, for example because meetergo no longer has that user.

    The host stays in platform_users, and can be mapped again by `users onboard` or `users sync`. Nothing changes at
    meetergo.
    """
    from operations.users import forget as forgetting
    from runtime.settings import DatabaseSettings

    with open_database(DatabaseSettings.load(), NO_TIMEOUT) as database:
        found = forgetting.find_mapping(database, external_id, datetime.now(UTC))
        if found.meetergo_user_id is None:
            click.echo(f"{printable(external_id)} is not a user of meetergo: there is nothing to forget.", err=as_json)
        else:
            click.echo(_describe(found), err=as_json)
            if not yes:
                confirm_or_exit("Continue?", err=as_json)
            found = forgetting.forget(database, external_id, datetime.now(UTC), by=by, reason=reason)
    if as_json:
        print_json({**asdict(found), "forgotten": found.meetergo_user_id is not None})
    elif found.meetergo_user_id:
        click.echo("Forgotten. `users onboard` or `users sync` maps the host again.")


def _describe(found: UserMapping) -> str:
    head = (
        f"{printable(found.external_id)} will no longer be meetergo's user {printable(found.meetergo_user_id or '')}."
    )
    if not found.bookings:
        return f"{head} It owns no bookings."
    owned = f"{count(found.bookings, 'booking')}, {found.upcoming} of them upcoming"
    return (
        f"{head} It owns {owned}. They keep this owner for now; once meetergo reports a change of one, it has none "
        "until one of its hosts is mapped."
    )
