"""Commands for people's data: how long it is kept, how it is sealed, and how one person is taken out of it."""

from dataclasses import asdict
from datetime import UTC, datetime

import click
import structlog

from models.database import Database
from models.delivery import Delivery
from models.erasure import erase as erase_guest
from models.failures import Transient
from models.retention import prune as prune_rows
from models.settings import RetentionSettings, SealedStoreSettings

RESEALED_AT_ONCE = 500

log = structlog.get_logger()


@click.command()
def prune() -> None:
    """Remove deliveries and notifications that ended long ago (the schedule does it daily)."""
    settings = RetentionSettings.load()
    database = Database(settings.database_url)
    for table, count in prune_rows(database, datetime.now(UTC), settings.keep).items():
        click.echo(f"{table}: {count} removed")
    database.close()


@click.command()
@click.argument("email")
@click.option("--yes", is_flag=True, help="Do not ask.")
def erase(email: str, yes: bool) -> None:
    """Take one guest out of bookings, changes, notifications and deliveries."""
    if not yes:
        click.confirm("It cannot be undone, and deliveries that name the guest cannot be replayed. Go on?", abort=True)
    settings = SealedStoreSettings.load()
    database = Database(settings.database_url)
    erased = asdict(erase_guest(database, settings.vault(), email, datetime.now(UTC)))
    database.close()
    log.info("guest.erased", **erased)
    for what, count in erased.items():
        click.echo(f"{what}: {count}")
    if erased["waiting"] or erased["unopened"]:
        raise click.ClickException("not all: run it again when no delivery is waiting, with all BODY_KEYS")


@click.command()
def reseal() -> None:
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
    except Transient as error:
        raise click.ClickException(f"{error}; {total} were resealed before") from error
    finally:
        database.close()
    click.echo(f"{total} bodies resealed; all are sealed with key {vault.newest} now")
