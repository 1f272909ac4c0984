"""Commands for personal data: retention, encryption and erasure."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from console.cli.accounts import DEFAULT, ONLY_ACCOUNT_OPTION
from console.cli.audit import audited
from console.cli.confirm import DRY_RUN_NOTE, JSON_OPTION, YES_OPTION, check_can_ask, confirm_or_exit
from console.cli.stores import NO_TIMEOUT, open_database
from console.render.tables import as_json, print_json
from operations.text import count, printable

if TYPE_CHECKING:
    from models.privacy.erasure import ErasureResult
    from models.privacy.person_search import PersonMatches
    from operations.settings import ErasureSettings

MAX_SHOWN = 5
OLD_PAGES_REMAIN = "other processes are reading the database file, so it still holds old copies: run it again"


@click.command()
@as_json
def prune(as_json: bool) -> None:
    """Delete deliveries and notifications past their retention (the scheduler does it daily)."""
    from models.privacy.retention import prune as prune_rows
    from runtime.settings import RetentionSettings

    settings = RetentionSettings.load()
    with open_database(settings, NO_TIMEOUT) as database:
        removed = prune_rows(database, datetime.now(UTC), settings.keep_for)
    _print_counts(removed, as_json, " removed")


@click.command()
@click.argument("email", default="")
@click.option("--phone", default="", metavar="NUMBER", help="A guest with this phone number.")
@click.option(
    "--name", default="", metavar="NAME", help="A guest with this full name, if neither address nor number is known."
)
@ONLY_ACCOUNT_OPTION
@click.option("--dry-run", is_flag=True, help="Show what would happen, and do nothing.")
@YES_OPTION
@JSON_OPTION
@audited
def erase(
    email: str,
    phone: str,
    name: str,
    account: str | None,
    dry_run: bool,
    yes: bool,
    as_json: bool,
    by: str,
    reason: str,
) -> None:
    """Erase one guest from bookings, changes, notifications and deliveries.

    Shows first whom it would erase, and from how many rows.
    """
    from models.intervention import Intervention
    from models.privacy.erasure import ErasureResult, vacuum
    from models.privacy.erasure import erase as erase_guest
    from models.privacy.person_search import find_person
    from operations.accounts import check_account
    from operations.erasure import GuestName, reason_without_guest, refuse_several
    from operations.errors import OperationError
    from operations.settings import ErasureSettings
    from runtime.contention import in_transaction

    check_can_ask(as_json, yes, dry_run)
    try:
        person = GuestName(email, phone, name).person()
    except OperationError as error:
        raise click.UsageError(str(error)) from None
    settings = ErasureSettings.load()
    cipher = settings.cipher()
    with open_database(settings, NO_TIMEOUT) as database:
        if account:
            with database.read_only() as session:
                check_account(session, account)
        remaining = _remaining_in_redis(settings)  # first: what is stored meanwhile may be missed by the search
        found = find_person(database, cipher, person, account)
        unsearched = _remaining_in_database(ErasureResult(unopened=len(found.unopened), skipped=found.skipped))
        if not found.has_matches:
            if not dry_run and not vacuum(database):  # an earlier erasure may have ended before it did this
                remaining.append(OLD_PAGES_REMAIN)
            _print_remaining(remaining + unsearched)
            raise click.ClickException("nobody with this address, number or name is known")
        refuse_several(person, found)
        click.echo(_describe_matches(found), err=as_json)
        if dry_run:
            _print_remaining(remaining + unsearched)
            _end_dry_run(found, as_json)
            return
        if not yes:
            confirm_or_exit(
                "It cannot be undone, and deliveries that name the guest cannot be replayed. Continue?", err=True
            )
        erased = erase_guest(database, cipher, person, datetime.now(UTC), found)
        act = dict(by=by, reason=reason_without_guest(reason, person, found), account=account or DEFAULT)
        in_transaction(database, lambda session: Intervention.record_act(session, "erased", datetime.now(UTC), **act))
        if not vacuum(database):
            remaining.append(OLD_PAGES_REMAIN)
    _report_erased(erased, remaining + _remaining_in_database(erased), as_json)


@click.command()
@click.option(
    "--for-0.1.0",
    "for_0_1_0",
    is_flag=True,
    help="Instead encrypt what is pending or dead as version 0.1.0 did, to go back to it. Stop everything first.",
)
@as_json
def reencrypt(for_0_1_0: bool, as_json: bool) -> None:
    """Encrypt all stored bodies and API keys with the newest of BODY_KEYS; then the older keys can be removed."""
    from models.privacy.reencryption import reencrypt as reencrypt_bodies
    from models.privacy.reencryption import reencrypt_for_0_1_0
    from operations.settings import ErasureSettings

    settings = ErasureSettings.load()
    cipher = settings.cipher()
    if cipher.newest_key is None:
        raise click.UsageError("BODY_KEYS is not set: there is nothing to encrypt with (see .env.example)")
    remaining = [] if for_0_1_0 else _remaining_in_redis(settings)  # first: what is stored meanwhile may be missed
    with open_database(settings, NO_TIMEOUT) as database:
        result = (reencrypt_for_0_1_0 if for_0_1_0 else reencrypt_bodies)(database, cipher)
    if as_json:
        print_json({"resealed": result.done, "key": cipher.newest_key, "failed": result.failed})
    else:
        bodies = "what is pending or dead is" if for_0_1_0 else "all are"
        summary = "" if result.failed or remaining else f"; {bodies} encrypted with key {cipher.newest_key} now"
        api_keys = f" and {count(result.api_keys, 'API key')}" if result.api_keys else ""
        click.echo(f"{count(result.done, 'body', 'bodies')}{api_keys} re-encrypted{summary}")
    _print_remaining(remaining)
    if result.failed:
        for key, reason in [*result.failed.items()][:MAX_SHOWN]:
            click.echo(f"{key if ' ' in key else f'delivery {key}'}: {reason}", err=True)
        raise click.ClickException(
            f"{count(len(result.failed), 'body', 'bodies')} could not be decrypted, and stay as before"
        )
    if remaining:
        raise click.ClickException("the older keys are still needed: see above")


def _report_erased(erased: ErasureResult, remaining: list[str], as_json: bool) -> None:
    counts = asdict(erased)
    _print_counts(counts if as_json else {what: number for what, number in counts.items() if number}, as_json)
    click.echo("Later webhooks bring the guest's data back: erase the guest in meetergo too.", err=True)
    if erased.hosts:
        click.echo(f"{count(erased.hosts, 'host')} with this address: that is the platform's, and stays.", err=True)
    _print_remaining(remaining)
    if remaining:
        raise click.ClickException("not all is erased: see above")


def _describe_matches(found: PersonMatches) -> str:
    from operations.erasure import describe_guest

    names = list(dict.fromkeys(describe_guest(each) for each in found.guests))
    more = f" and {len(names) - MAX_SHOWN} more" if len(names) > MAX_SHOWN else ""
    who = "; ".join(names[:MAX_SHOWN]) + more if names else "A person who is not a guest, but is mentioned"
    parts = [count(len(found.keys), "booking")]
    parts += [f"{count(len(found.bodies), 'delivery', 'deliveries')} besides"] if found.bodies else []
    parts += [f"{count(len(found.texts), 'text')} that name them"] if found.texts else []
    return f"{who}: {', '.join(parts)}."


def _end_dry_run(found: PersonMatches, as_json: bool) -> None:
    if as_json:
        numbers = dict(bookings=len(found.keys), other_deliveries=len(found.bodies), texts=len(found.texts))
        numbers |= dict(hosts=found.hosts, unopened=len(found.unopened))
        print_json({"dry_run": True, **numbers, "skipped": found.skipped})
    else:
        click.echo(DRY_RUN_NOTE)


def _remaining_in_redis(settings: ErasureSettings) -> list[str]:
    from redis.exceptions import RedisError

    from runtime.redis import deferred_deliveries
    from runtime.redis.client import connect

    if not settings.redis_url:
        click.echo("REDIS_URL is not set: webhooks that may be in Redis only were not searched.", err=True)
        return []
    try:
        with connect(settings.redis_url, settings.prefix, settings.origin) as redis:
            redis_only = deferred_deliveries.read(redis)
    except RedisError:
        return ["Redis does not answer, so webhooks that are in Redis only were not searched: run it again"]
    return (
        [f"{count(redis_only.count, 'webhook')} in Redis only: run it again when they are stored"]
        if redis_only.count
        else []
    )


def _remaining_in_database(erased: ErasureResult) -> list[str]:
    remaining = [f"could not be read or changed: {each}" for each in erased.skipped]
    if erased.waiting:
        number = count(erased.waiting, "delivery", "deliveries")
        remaining.append(f"{number} not processed yet: run it again when no delivery is waiting")
    if erased.unopened:
        remaining.append(
            f"{count(erased.unopened, 'body', 'bodies')} that cannot be decrypted: run it again with all BODY_KEYS"
        )
    return remaining


def _print_remaining(remaining: list[str]) -> None:
    for each in remaining:
        click.echo(f"Not reached: {printable(each)}", err=True)


def _print_counts(counts: dict[str, Any], as_json: bool, after: str = "") -> None:
    if as_json:
        print_json(counts)
        return
    for what, number in counts.items():
        if not isinstance(number, list):
            click.echo(f"{what}: {number}{after}")
