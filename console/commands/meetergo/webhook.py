"""`webhook`: register, rotate, list and remove our webhooks at meetergo. Others' are not changed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from datetime import timedelta
from typing import TYPE_CHECKING

import click
from rich.console import Console

from console.app import EXIT_INTERRUPTED, CommandGroup
from console.cli.accounts import ACCOUNT_OPTION, DEFAULT, only_default
from console.cli.confirm import YES_OPTION, confirm_or_exit
from console.cli.registrations import open_registrations
from console.cli.stores import read_only_session
from console.cli.types import DURATION
from console.commands.meetergo.webhook_list import list_command
from console.render.tables import as_json, print_json

if TYPE_CHECKING:
    from meetergo.api.schemas import Webhook
    from operations.webhooks.addresses import Address
    from operations.webhooks.registration import Plan
    from operations.webhooks.registrations import Registrations, RegistrationState
    from operations.webhooks.rotation import Rotation

FORCE_OPTION = click.option(
    "--force", is_flag=True, help="Also change webhooks that post to another host than PUBLIC_URL's."
)
DRY_RUN_OPTION = click.option("--dry-run", is_flag=True, help="Only show what there is to do.")


@click.command()
@click.option("--move", is_flag=True, help="Replace an older key's address at once: the receiver has the newest key.")
@FORCE_OPTION
@ACCOUNT_OPTION
@DRY_RUN_OPTION
def register(move: bool, force: bool, account: str, dry_run: bool) -> None:
    """Register our address with meetergo, once. Running it again changes nothing."""
    from operations.webhooks.registration import plan_register
    from runtime.signed_address import host_of

    with open_registrations(account, force) as (registrations, ours, _):
        _apply(registrations, plan_register(registrations, ours, move=move), dry_run)
        state = registrations.fetch()
        if not dry_run and (older := state.older(ours)):
            click.echo(f"{len(older)} more at older addresses of ours: `webhook rotate` removes them.")
        for webhook in state.elsewhere(ours):
            click.echo(
                f"Webhook {webhook.id} posts to an address of these WEBHOOK_KEYS on {host_of(webhook.endpoint)}. "
                f"Unless another installation receives there, remove it: `webhook remove {webhook.id} --force`."
            )


@click.command()
@click.option("--timeout", type=DURATION, default="24h", show_default=True, help="How long to wait for a delivery.")
@click.option("--no-wait", is_flag=True, help="Check once for a delivery, and do not wait.")
@click.option(
    "--force",
    is_flag=True,
    help="Remove the older addresses even if the newest received no delivery, or they are on another host.",
)
@ACCOUNT_OPTION
@DRY_RUN_OPTION
def rotate(timeout: timedelta, no_wait: bool, force: bool, account: str, dry_run: bool) -> None:
    """Rotate from the older WEBHOOK_KEYS to the newest without losing a delivery.

    Append the new key to WEBHOOK_KEYS and restart the receiver first. It is safe to interrupt and run again.
    """
    from operations.webhooks.rotation import Rotation

    with _interruptible(), open_registrations(account, force) as (registrations, ours, redis):
        if dry_run:
            return _print_plan(registrations, ours)
        rotation = Rotation(registrations, ours, redis, _print_action)
        with _report_full(registrations):
            has_older = rotation.start()
        if not has_older:
            return click.echo("There is nothing more to do: only the address of the newest key is registered.")
        if redis is None and not (no_wait or force):
            raise click.ClickException(
                "REDIS_URL is not set: Redis records whether the new address received a delivery"
            )
        if not _wait(rotation, timedelta() if no_wait else timeout) and not force:
            raise click.ClickException(
                "the new address has received no delivery yet, so both stay registered: run it again later, "
                "or with --force if you know that the receiver has the new key"
            )
        rotation.finish()
        click.echo(
            "Done: only the address of the newest key is registered. Remove the older keys from WEBHOOK_KEYS"
            f"{'.' if only_default() else ' once this is done for every account.'}"
        )
    return None


@click.command()
@click.argument("webhook_id", metavar="[ID]", required=False)
@YES_OPTION
@FORCE_OPTION
@ACCOUNT_OPTION
def remove(webhook_id: str | None, yes: bool, force: bool, account: str) -> None:
    """Remove our webhooks, or one of them. meetergo then sends nothing more."""
    from operations.webhooks.registration import apply

    with open_registrations(account, force) as (registrations, ours, _):
        state = registrations.fetch()
        chosen = _removable(state, ours, webhook_id, force)
        if webhook_id and not chosen and any(webhook.id == webhook_id for webhook in state.webhooks):
            raise click.ClickException(
                f"webhook {webhook_id} is not known as ours, so it stays: id and address must be as we registered "
                "them (`webhook register` adopts one that posts to our address)"
            )
        for webhook in chosen:
            registrations.check_host(webhook)
        if not chosen:
            click.echo("No such webhook of ours is registered.")
        elif not yes:
            confirm_or_exit(f"This removes {', '.join(webhook.id for webhook in chosen)}. Continue?")
        ids = {webhook.id for webhook in chosen}
        apply(
            registrations,
            lambda now: map(
                registrations.remove, [hook for hook in _removable(now, ours, webhook_id, force) if hook.id in ids]
            ),
            _print_action,
        )
        apply(registrations, lambda now: map(registrations.forget, now.missing()), lambda _: None)


@click.command("url")
@ACCOUNT_OPTION
@as_json
def webhook_url(account: str, as_json: bool) -> None:
    """Print the address to register with meetergo. It is a secret."""
    from operations.settings import ConsoleSettings

    settings = ConsoleSettings.load(**_name_in_address(account))
    if as_json:
        print_json({"address": settings.address})
    else:
        click.echo(settings.address)
    if not settings.public_url.startswith("https://"):
        click.echo("meetergo needs an https address that it can reach: set PUBLIC_URL.", err=True)


webhook = CommandGroup(
    "webhook",
    commands=[webhook_url, register, rotate, list_command, remove],
    help="Register and rotate our address at meetergo.",
)


def _removable(state: RegistrationState, ours: Sequence[Address], webhook_id: str | None, force: bool) -> list[Webhook]:
    """Return our webhooks, or the named one if it is ours or, with --force, posts to an address of our keys."""
    if webhook_id is None:
        return state.ours()
    named = [webhook for webhook in (*state.ours(), *state.elsewhere(ours)) if webhook.id == webhook_id]
    if named and not (force or state.is_ours(named[0])):
        raise click.ClickException(
            f"webhook {webhook_id} posts to an address of these WEBHOOK_KEYS, and is not known as ours: another "
            "installation may receive there. If none does, run this again with --force"
        )
    return named


def _name_in_address(account: str) -> dict[str, str]:
    from operations.accounts import check_account

    if account == DEFAULT:
        return {}
    with read_only_session() as session:
        return {"webhook_account": check_account(session, account)}


def _apply(registrations: Registrations, plan: Plan, dry_run: bool) -> None:
    from operations.webhooks.registration import apply

    if dry_run:
        planned = [f"It would have {action.description}." for action in plan(registrations.fetch())]
        click.echo("\n".join(planned) or "There is nothing to do.")
        return
    done: list[str] = []
    with _report_full(registrations):
        apply(registrations, plan, done.append)
    for description in done or ["nothing to do: meetergo posts to our address already"]:
        _print_action(description)


def _print_plan(registrations: Registrations, ours: Sequence[Address]) -> None:
    state = registrations.fetch()
    older = [webhook.id for webhook in state.older(ours)]
    if not state.for_address(ours[-1]):
        click.echo("It would register the address of the newest key.")
    if older:
        click.echo(f"It would wait for a delivery by that address, and remove {', '.join(older)}.")
    elif state.for_address(ours[-1]):
        click.echo("There is nothing to do.")


@contextmanager
def _report_full(registrations: Registrations) -> Iterator[None]:
    from meetergo.api.errors import LimitReached
    from operations.webhooks.registration import describe_slots

    try:
        yield
    except LimitReached as error:
        slots = describe_slots(registrations.fetch())
        raise click.ClickException(
            f"the company has as many webhooks as meetergo allows: {slots}. Remove one that is not needed in meetergo, "
            "then run this again"
        ) from error


def _wait(rotation: Rotation, timeout: timedelta) -> bool:
    """Wait for a delivery, with a spinner on a terminal."""
    if not timeout or rotation.has_received():
        return rotation.has_received()
    click.echo("Both addresses are registered. Waiting for a delivery by the new one; Ctrl-C is safe.")
    console = Console(stderr=True)
    with console.status("") if console.is_terminal else nullcontext():
        return rotation.wait(timeout)


@contextmanager
def _interruptible() -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt:
        click.echo("Interrupted: registered webhooks stay. Run it again to continue.", err=True)
        raise SystemExit(EXIT_INTERRUPTED) from None


def _print_action(description: str) -> None:
    click.echo(f"{description[:1].upper()}{description[1:]}.")
