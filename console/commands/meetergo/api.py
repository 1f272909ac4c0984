"""`api`: check that meetergo's API responds, and show which key and user are in use."""

import time
from typing import Any

import click

from console.app import CommandGroup
from console.cli.accounts import ACCOUNT_OPTION, DEFAULT, load_settings
from console.cli.api_client import api_client
from console.render import tables
from operations.text import printable


@click.command()
@ACCOUNT_OPTION
@tables.as_json
def check(account: str, as_json: bool) -> None:
    """Check the API key and the user that it acts as. Changes nothing."""
    from meetergo.api import Credential
    from operations.settings import ProviderSettings
    from operations.users.directory import full_name

    settings = load_settings(ProviderSettings, account)
    credential = Credential.read(settings.meetergo_api_key)
    with api_client(settings, account) as meetergo:
        started = time.perf_counter()
        me = meetergo.users.me()
        milliseconds = round((time.perf_counter() - started) * 1000)
    found: dict[str, Any] = {} if account == DEFAULT else {"account": account}
    found |= {
        "url": settings.meetergo_api_url,
        "key": credential.masked,
        "kind": credential.kind,
        "acts_as": {"id": me.id, "name": full_name(me), "email": me.email, "user_type": me.user_type},
        "company_id": me.company_id,
        "per_minute": settings.meetergo_api_per_minute,
        "counted_in": "Redis, by all processes together" if settings.redis_url else "this process alone",
    }
    if as_json:
        tables.print_json({**found, "milliseconds": milliseconds})
        return
    acts_as = ", ".join(printable(part) for part in (full_name(me), me.email, me.user_type, me.id) if part)
    shown = {**found, "acts_as": acts_as, "answered_in": f"{milliseconds} ms"}
    click.echo("meetergo answers.")
    tables.show(tables.fields({name.replace("_", " "): value and str(value) for name, value in shown.items()}))
    if credential.kind == "platform" and settings.meetergo_api_key_expires is None:
        how = "set MEETERGO_API_KEY_EXPIRES" if account == DEFAULT else f"accounts set {account} --api-key-expires DAY"
        click.echo(f"A Platform key ends after 90 days at most: {how}, and `status` warns before.")


api = CommandGroup("api", commands=[check], help="Check meetergo's API.")
