"""The command that runs the sandbox, with an option for each kind of fault."""

from __future__ import annotations

import sys
from dataclasses import Field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import click

from devtools.sandbox.faults.plan import FaultPlan, Wire
from devtools.sandbox.http.rate_limit import RateLimit

if TYPE_CHECKING:
    from devtools.sandbox.server import Sandbox
    from devtools.sandbox.ui.view import PlatformBookings

HOST, PORT = "127.0.0.1", 8300
STATE = Path("data") / "sandbox.json"
HOLD_SECONDS = 3.0
"""Delay after which a held-back webhook is sent even if its booking never changes again."""

WELCOME = """
The sandbox for meetergo is running. Ctrl-C stops it.

  The page for booking, moving and cancelling:
    {url}/

  For your .env:
    MEETERGO_API_URL={url}
    MEETERGO_API_KEY={key}

  A personal access token of the company's owner, if you want to try one:
    {token}

  Users, bookings and webhooks are kept in {state}; the key depends on --seed.
  To begin afresh: make sandbox ARGS=--fresh     (then unmap the former hosts: bin/inbox users forget)
"""
FURTHER = """  Company {number}:
    the page:  {url}/?company={number}
    its key:   {key}
"""


def serve(meetergo: Sandbox) -> None:
    """Run the sandbox until Ctrl-C; add a host if there is none."""
    from devtools.sandbox.state.seed import seed

    for account in meetergo.accounts:
        account.company.booking_base = f"{meetergo.url}/book"
        seed(account)
    meetergo.save()
    click.echo(WELCOME.format(url=meetergo.url, key=meetergo.key, token=meetergo.token, state=meetergo.state))
    for account in meetergo.accounts[1:]:
        click.echo(FURTHER.format(url=meetergo.url, number=account.company.number, key=account.key))
    try:
        meetergo.serve()
    except KeyboardInterrupt:
        pass
    finally:
        meetergo.close()


@click.command(help="Run a stand-in for meetergo on this machine, until Ctrl-C.")
@click.option("--host", default=HOST, show_default=True, help="Address to listen on.")
@click.option("--port", default=PORT, show_default=True, type=click.IntRange(0, 65535), help="Port to listen on.")
@click.option(
    "--state",
    type=click.Path(dir_okay=False, path_type=Path),
    default=STATE,
    show_default=True,
    help="Keep users, meeting types, bookings and webhooks in this file.",
)
@click.option("--fresh", is_flag=True, help="Forget what that file holds, and begin with an empty company.")
@click.option(
    "--companies",
    type=click.IntRange(1, 20),
    default=1,
    show_default=True,
    help="Number of companies, each with a key of its own: see docs/accounts.md.",
)
@click.option("--retries", default=0, show_default=True, help="How often a webhook without a 2xx is sent again.")
@click.option("--limit/--no-limit", default=True, show_default=True, help="100 requests a minute, bursts of 200.")
@click.pass_obj
def command(
    platform_bookings: PlatformBookings | None,
    /,
    host: str,
    port: int,
    state: Path,
    fresh: bool,
    companies: int,
    retries: int,
    limit: bool,
    **faults: Any,
) -> None:
    """Run it. If the context has an object, it reads the platform's bookings."""
    from devtools.sandbox.server import Sandbox
    from devtools.sandbox.state.company import UnusableState

    rate_limit = RateLimit() if limit else None
    try:
        meetergo = Sandbox(
            FaultPlan(**faults),
            host=host,
            port=port,
            state=state,
            fresh=fresh,
            companies=companies,
            retries=retries,
            rate_limit=rate_limit,
            platform_bookings=platform_bookings,
        )
    except OSError as error:
        sys.exit(f"Port {port} cannot be used ({error.strerror}): stop its process, or choose another with --port.")
    except UnusableState as error:
        sys.exit(f"{error} (--state). To begin afresh: --fresh.")
    serve(meetergo)


def _option(fault_field: Field[Any]) -> click.Option:
    default = HOLD_SECONDS if fault_field.name == "hold" else fault_field.default
    types: dict[str, Any] = {"float": click.FloatRange(0), "int": int}
    choices = click.Choice(get_args(Wire)) if fault_field.name == "wire" else types[type(default).__name__]
    text = fault_field.metadata["help"]
    if text.startswith("share"):
        choices = click.FloatRange(0, 1)
    name = "--" + fault_field.name.replace("_", "-")
    return click.Option([name], type=choices, default=default, show_default=True, help=f"{text[:1].upper()}{text[1:]}.")


command.params += [_option(fault_field) for fault_field in fields(FaultPlan) if "help" in fault_field.metadata]
