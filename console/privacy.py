"""Commands for people's data: how long it is kept, how it is sealed, and how one person is taken out of it."""

from dataclasses import asdict
from datetime import UTC, datetime

import click
import structlog

from console.consent import ask
from console.output import as_json, print_json
from models.database import Database
from models.delivery import Delivery
from models.erasure import erase as erase_guest
from models.failures import Transient
from models.retention import prune as prune_rows
from models.settings import RetentionSettings, SealedStoreSettings

RESEALED_AT_ONCE = 500

log = structlog.get_logger()


@click.command()
@as_json
def prune(as_json: bool) -> None:
    """Remove deliveries and notifications that ended long ago (the schedule does it daily)."""
    settings = RetentionSettings.load()
    database = Database(settings.database_url)
    removed = prune_rows(database, datetime.now(UTC), settings.keep)
    database.close()
    _print_counts(removed, as_json, " removed")


@click.command()
@click.argument("email")
@click.option("--yes", is_flag=True, help="Do not ask.")
@as_json
def erase(email: str, yes: bool, as_json: bool) -> None:
    """Take one guest out of bookings, changes, notifications and deliveries."""
    if not yes:
        warning = "It cannot be undone, and deliveries that name the guest cannot be replayed. Go on?"
        ask(warning, err=True)
    settings = SealedStoreSettings.load()
    database = Database(settings.database_url)
    erased = asdict(erase_guest(database, settings.vault(), email, datetime.now(UTC)))
    database.close()
    log.info("guest.erased", **erased)
    _print_counts(erased, as_json)
    if erased["waiting"] or erased["unopened"]:
        raise click.ClickException("not all: run it again when no delivery is waiting, with all BODY_KEYS")


@click.command()
@as_json
def reseal(as_json: bool) -> None:
    """Encrypt all stored bodies with the newest of BODY_KEYS; then the older keys can go."""
    settings = SealedStoreSettings.load()
    vault, database, total = settings.vault(), Database(settings.database_url), 0
    if vault.newest is None:
        raise click.UsageError("BODY_KEYS is not set: there is nothing to seal with (see .env.example)")
    try:
        while True:
            with database.transaction() as session:
                count = Delivery.reseal(session, vault, RESEALED_AT_ONCE)
            total += count
            if not count:
                break
            database.give_way()
    except Transient as error:
        raise click.ClickException(f"{error}; {total} were resealed before") from error
    finally:
        database.close()
    if as_json:
        print_json({"resealed": total, "key": vault.newest})
    else:
        click.echo(f"{total} bodies resealed; all are sealed with key {vault.newest} now")


def _print_counts(counts: dict[str, int], as_json: bool, after: str = "") -> None:
    if as_json:
        print_json(counts)
        return
    for what, count in counts.items():
        click.echo(f"{what}: {count}{after}")
