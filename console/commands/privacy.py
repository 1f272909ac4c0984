"""Commands for people's data: how long it is kept, how it is sealed, and how one person is taken out of it."""

from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

import click
from pydantic import Field
from redis.exceptions import RedisError

from console.cli.api_client import keeping
from console.cli.confirm import confirm_or_exit
from console.render.tables import as_json, print_json
from console.render.text import count, printable
from models.erasure import Erased, Found, find, scrub
from models.erasure import erase as erase_guest
from models.person import Details, Person, identities, person_called
from models.reencryption import reencrypt
from models.retention import prune as prune_rows
from runtime.redis import deferred_deliveries
from runtime.redis.client import connect
from runtime.settings import EncryptionSettings, RedisUrl, RetentionSettings, StoreSettings

SHOWN = 5
BUSY_FILE = "other processes read the file of the database, and it keeps old copies meanwhile: run it again"


class ErasureSettings(StoreSettings, EncryptionSettings):
    """What `erase` reads. Without Redis it cannot look there."""

    redis_url: RedisUrl | None = Field(None, repr=False)  # type: ignore[assignment] # wider than others have it


@click.command()
@as_json
def prune(as_json: bool) -> None:
    """Remove deliveries and notifications that ended long ago (the schedule does it daily)."""
    settings = RetentionSettings.load()
    with keeping(settings) as database:
        removed = prune_rows(database, datetime.now(UTC), settings.keep)
    _print_counts(removed, as_json, " removed")


@click.command()
@click.argument("email", default="")
@click.option("--phone", default="", metavar="NUMBER", help="A guest with this telephone number.")
@click.option("--name", default="", metavar="NAME", help="A guest with this full name, if that is all there is.")
@click.option("--yes", is_flag=True, help="Do not confirm_or_exit.")
@as_json
def erase(email: str, phone: str, name: str, yes: bool, as_json: bool) -> None:
    """Take one guest out of bookings, changes, notifications and deliveries.

    Whom it means, and how much that is, is shown first.
    """
    person = _meant(email, phone, name)
    settings = ErasureSettings.load()
    vault = settings.vault()
    with keeping(settings) as database:
        found = find(database, vault, person)
        left = _left_in_redis(settings)
        if not found.is_anybody:
            _say_left([*left, *_not_reached(Erased(unopened=len(found.unopened), skipped=found.skipped))])
            raise click.ClickException("nobody with this address, number or name is known")
        _refuse_several(person, found)
        click.echo(_whom(found), err=as_json)
        if not yes:
            confirm_or_exit(
                "It cannot be undone, and deliveries that name the guest cannot be replayed. Go on?", err=True
            )
        erased = erase_guest(database, vault, person, datetime.now(UTC), found)
        if not scrub(database):
            left.append(BUSY_FILE)
    told = asdict(erased)
    _print_counts(told if as_json else {what: number for what, number in told.items() if number}, as_json)
    left += _not_reached(erased)
    click.echo("What meetergo sends of the guest later comes in again: erase the guest there too.", err=True)
    if erased.hosts:
        click.echo(f"{count(erased.hosts, 'host')} with this address: that is the platform's, and stays.", err=True)
    if not settings.redis_url:
        click.echo("REDIS_URL is not set: webhooks that may wait in Redis alone were not looked at.", err=True)
    _say_left(left)
    if left:
        raise click.ClickException("not all is erased: see above")


@click.command()
@as_json
def reseal(as_json: bool) -> None:
    """Encrypt all stored bodies with the newest of BODY_KEYS; then the older keys can go."""
    settings = ErasureSettings.load()
    vault = settings.vault()
    if vault.newest is None:
        raise click.UsageError("BODY_KEYS is not set: there is nothing to seal with (see .env.example)")
    with keeping(settings) as database:
        result = reencrypt(database, vault)
    if as_json:
        print_json({"resealed": result.done, "key": vault.newest, "failed": result.failed})
    else:
        all_are = "" if result.failed else f"; all are sealed with key {vault.newest} now"
        click.echo(f"{result.done} bodies resealed{all_are}")
    if result.failed:
        for key, reason in [*result.failed.items()][:SHOWN]:
            click.echo(f"delivery {key}: {reason}", err=True)
        raise click.ClickException(
            f"{count(len(result.failed), 'body', 'bodies')} could not be opened, and stay as before"
        )


def _meant(email: str, phone: str, name: str) -> Person:
    try:
        person = person_called(email, phone, name)
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    if person == Person():
        raise click.UsageError("say whom: an e-mail address, --phone or --name")
    return person


def _refuse_several(person: Person, found: Found) -> None:
    """A name alone may be that of several people."""
    by_name = not (person.emails or person.phones)
    ways = {frozenset(identities(each)[0] or identities(each)[1]) for each in found.guests}
    if by_name and len(ways) > 1:
        known = "; ".join(sorted(_described(each) for each in found.guests))
        raise click.ClickException(f"several guests have this name: {known}. Name the address, or --phone")


def _whom(found: Found) -> str:
    names = list(dict.fromkeys(_described(each) for each in found.guests))
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    who = "; ".join(names[:SHOWN]) + more if names else "Somebody who is no guest, but is mentioned"
    parts = [count(len(found.keys), "booking")]
    parts += [f"{count(len(found.bodies), 'delivery', 'deliveries')} besides"] if found.bodies else []
    parts += [f"{count(len(found.texts), 'text')} that name them"] if found.texts else []
    return f"{who}: {', '.join(parts)}."


def _described(details: Details) -> str:
    name = details.get("fullname") or f"{details.get('firstname') or ''} {details.get('lastname') or ''}".strip()
    ways = " ".join(str(details[each]) for each in ("email", "phone") if details.get(each))
    return printable(f"{name} <{ways}>" if name and ways else str(name or ways or "a guest without a name"))


def _left_in_redis(settings: ErasureSettings) -> list[str]:
    if not settings.redis_url:
        return []
    try:
        with connect(settings.redis_url, settings.prefix, settings.origin) as redis:
            held = deferred_deliveries.read(redis)
    except RedisError:
        return ["Redis does not answer, so webhooks that wait in it alone were not looked at: run it again"]
    return [f"{count(held.count, 'webhook')} in Redis alone: run it again when they are stored"] if held.count else []


def _not_reached(erased: Erased) -> list[str]:
    left = [f"could not be read or changed: {each}" for each in erased.skipped]
    if erased.waiting:
        number = count(erased.waiting, "delivery", "deliveries")
        left.append(f"{number} not handled yet: run it again when no delivery is waiting")
    if erased.unopened:
        left.append(
            f"{count(erased.unopened, 'body', 'bodies')} that cannot be opened: run it again with all BODY_KEYS"
        )
    return left


def _say_left(left: list[str]) -> None:
    for each in left:
        click.echo(f"Not reached: {printable(each)}", err=True)


def _print_counts(counts: dict[str, Any], as_json: bool, after: str = "") -> None:
    if as_json:
        print_json(counts)
        return
    for what, number in counts.items():
        if not isinstance(number, list):
            click.echo(f"{what}: {number}{after}")
