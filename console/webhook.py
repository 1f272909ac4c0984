"""`webhook`: our addresses at meetergo, registered, rotated, listed and removed. Others' are left alone."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from datetime import UTC, datetime, timedelta
from typing import Any

import click
from redis import Redis
from redis.exceptions import RedisError
from rich.console import Console

from console import addresses, output
from console.addresses import Address
from console.filters import AGO, UNITS
from console.output import Column
from console.provider import calling, keeping
from console.registration import Steps, occupants, registration, settle
from console.registry import Registry, Seen
from console.rotation import Rotation
from console.settings import RegistrationSettings
from console.wording import age
from meetergo.api.errors import LimitReached
from meetergo.api.results import Webhook
from models import queue
from models.endpoint import last_came_by

COLUMNS = [
    Column("webhook"),
    Column("whose"),
    Column("posts to"),
    Column("events", folds=True),
    Column("last delivery"),
]
INTERRUPTED = 130
DRY_RUN = click.option("--dry-run", is_flag=True, help="Only say what there is to do.")


class Length(click.ParamType[timedelta]):
    """A length of time: 30s, 10m, 24h, 2d."""

    name = "length"

    def convert(self, value: Any, param: click.Parameter | None, context: click.Context | None) -> timedelta:
        """To a timedelta."""
        if isinstance(value, timedelta):
            return value
        found = AGO.fullmatch(value)
        if not found:
            self.fail(f"'{value}' is no length of time: write 30s, 10m, 24h or 2d", param, context)
        return timedelta(**{UNITS[found[2]]: int(found[1])})


@click.command()
@DRY_RUN
def register(dry_run: bool) -> None:
    """Make meetergo post to our address, once. Running it again changes nothing."""
    with _at_the_registry() as (registry, ours, _):
        _settle(registry, registration(registry, ours), dry_run)
        if not dry_run and (older := registry.look().older(ours)):
            click.echo(f"{len(older)} more at older addresses of ours: `webhook rotate` removes them.")


@click.command()
@click.option("--timeout", type=Length(), default="24h", show_default=True, help="How long to wait for a delivery.")
@click.option("--no-wait", is_flag=True, help="Look once whether a delivery came, and do not wait.")
@click.option("--force", is_flag=True, help="Remove the older addresses even if no delivery came by the newest.")
@DRY_RUN
def rotate(timeout: timedelta, no_wait: bool, force: bool, dry_run: bool) -> None:
    """Move from the older of WEBHOOK_KEYS to the newest without losing a delivery.

    Append the new key to WEBHOOK_KEYS and restart the receiver first. It may be interrupted and run again.
    """
    with _interruptible(), _at_the_registry() as (registry, ours, redis):
        if dry_run:
            return _foretell(registry, ours)
        rotation = Rotation(registry, ours, redis, _tell)
        with _full(registry):
            has_older = rotation.begin()
        if not has_older:
            return click.echo("There is nothing more to do: only the address of the newest key is registered.")
        if redis is None and not (no_wait or force):
            raise click.ClickException("REDIS_URL is not set: it tells whether a delivery came by the new address")
        if not _wait(rotation, timedelta() if no_wait else timeout) and not force:
            raise click.ClickException(
                "no delivery came by the new address yet, so both stay registered: run it again later, "
                "or with --force if you know that the receiver has the new key"
            )
        rotation.end()
        click.echo("Done: only the address of the newest key is registered. Take the older keys out of WEBHOOK_KEYS.")
    return None


@click.command("list")
@output.as_json
def list_command(as_json: bool) -> None:
    """All webhooks at meetergo: ours, and of others the host."""
    with _at_the_registry() as (registry, ours, redis):
        seen = registry.look()
        rows = [_row(webhook, seen, ours, redis) for webhook in seen.webhooks]
    if as_json:
        output.print_json({"webhooks": rows})
    elif not rows:
        click.echo("meetergo has no webhook: `webhook register` makes ours.")
    else:
        output.show(output.listing(COLUMNS, [_line(row) for row in rows]))


@click.command()
@click.argument("webhook_id", metavar="[ID]", required=False)
@click.option("--yes", is_flag=True, help="Do not ask.")
def remove(webhook_id: str | None, yes: bool) -> None:
    """Remove our webhooks, or one of them. meetergo tells us nothing any more then."""
    with _at_the_registry() as (registry, _, _):
        seen = registry.look()
        chosen = [webhook for webhook in seen.ours() if webhook_id in (None, webhook.id)]
        if webhook_id and not chosen and any(webhook.id == webhook_id for webhook in seen.webhooks):
            raise click.ClickException(
                f"webhook {webhook_id} is not known as ours, so it stays: id and address must be as we registered "
                "them (`webhook register` adopts one that posts to our address)"
            )
        if not chosen:
            click.echo("No such webhook of ours is registered.")
        elif not yes:
            click.confirm(f"This removes {', '.join(webhook.id for webhook in chosen)}. Go on?", abort=True)
        ids = {webhook.id for webhook in chosen}
        settle(registry, lambda now: map(registry.remove, [hook for hook in now.ours() if hook.id in ids]), _tell)
        settle(registry, lambda now: map(registry.forget, now.gone()), lambda _: None)


webhook = click.Group("webhook", commands=[register, rotate, list_command, remove], help="Our address at meetergo.")


@contextmanager
def _at_the_registry() -> Iterator[tuple[Registry, Sequence[Address], "Redis | None"]]:
    settings = RegistrationSettings.load()
    ours = addresses.ours(settings)
    redis = queue.connect(settings.redis_url) if settings.redis_url else None
    with keeping(settings) as database, calling(settings) as meetergo:
        yield Registry(meetergo, database, lambda: datetime.now(UTC)), ours, redis


def _settle(registry: Registry, steps: Steps, dry_run: bool) -> None:
    if dry_run:
        todo = [f"It would have {step.did}." for step in steps(registry.look())]
        click.echo("\n".join(todo) or "There is nothing to do.")
        return
    done: list[str] = []
    with _full(registry):
        settle(registry, steps, done.append)
    for did in done or ["nothing to do: meetergo posts to our address already"]:
        _tell(did)


def _foretell(registry: Registry, ours: Sequence[Address]) -> None:
    seen = registry.look()
    older = [webhook.id for webhook in seen.older(ours)]
    if not seen.at(ours[-1]):
        click.echo("It would register the address of the newest key.")
    if older:
        click.echo(f"It would wait for a delivery by that address, and remove {', '.join(older)}.")
    elif seen.at(ours[-1]):
        click.echo("There is nothing to do.")


@contextmanager
def _full(registry: Registry) -> Iterator[None]:
    try:
        yield
    except LimitReached as error:
        there = occupants(registry.look())
        raise click.ClickException(
            f"the company has as many webhooks as meetergo allows: {there}. Remove one that is not needed in meetergo, "
            "then run this again"
        ) from error


def _wait(rotation: Rotation, timeout: timedelta) -> bool:
    """On a terminal, something moves meanwhile."""
    if not timeout or rotation.came():
        return rotation.came()
    click.echo("Both addresses are registered. Waiting for a delivery by the new one; Ctrl-C is safe.")
    console = Console(stderr=True)
    with console.status("") if console.is_terminal else nullcontext():
        return rotation.wait(timeout)


@contextmanager
def _interruptible() -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt:
        click.echo("Interrupted: what is registered stays so. Run it again to go on.", err=True)
        raise SystemExit(INTERRUPTED) from None


def _row(webhook: Webhook, seen: Seen, ours: Sequence[Address], redis: "Redis | None") -> dict[str, Any]:
    is_newest = webhook.endpoint == ours[-1].url
    is_ours = is_newest or webhook in seen.older(ours)
    row = seen.known.get(webhook.id) if seen.is_ours(webhook) else None
    mark = addresses.mark_in(webhook.endpoint) if is_ours else None
    return {
        "id": webhook.id,
        "ours": is_ours,
        "is_newest": is_newest,
        "address": addresses.masked(webhook.endpoint) if is_ours else addresses.host_of(webhook.endpoint),
        "events": sorted(webhook.event_types),
        "registered_at": row and row.registered_at,
        "last_delivery_at": _last(redis, mark),
    }


def _last(redis: "Redis | None", mark: str | None) -> datetime | None:
    try:
        return last_came_by(redis, mark) if redis and mark else None
    except RedisError:
        return None


def _line(row: dict[str, Any]) -> list[str]:
    whose = "others" if not row["ours"] else "ours" if row["is_newest"] else "ours, older"
    last = row["last_delivery_at"]
    when = age(last, datetime.now(UTC)) if row["ours"] else "-"
    return [row["id"], whose, row["address"], ", ".join(row["events"]), when]


def _tell(did: str) -> None:
    click.echo(f"{did[:1].upper()}{did[1:]}.")
