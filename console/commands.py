"""Commands: thin words over what the other rooms do."""

import json
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
import urllib3
from alembic.util.exc import CommandError
from redis.exceptions import RedisError
from rich.console import Console
from sqlalchemy.exc import SQLAlchemyError

from console import demo, run, samples
from console.privacy import erase, prune, reseal
from console.reconcile import reconcile
from console.redis_server import NoRedisServer
from console.sender import Sender
from console.settings import ConsoleSettings
from console.stage import StageFright
from meetergo.address import Addresses
from models import pulse, queue
from models.database import Database
from models.delivery import Delivery
from models.migration import migrate as migrate_engine
from models.queue import Bell
from models.settings import DatabaseSettings, StoreSettings


@click.command()
def migrate() -> None:
    """Bring the database to the tables that this version needs."""
    database = Database(DatabaseSettings.load().database_url)
    try:
        migrate_engine(database.engine)
    except (SQLAlchemyError, CommandError) as error:
        raise click.ClickException(f"the database cannot be migrated: {_cause(error)}") from error
    finally:
        database.close()
    click.echo("The database is up to date.")


@click.command()
def endpoint() -> None:
    """Print the address to register with meetergo. It is a secret."""
    settings = ConsoleSettings.load()
    click.echo(_address(settings))
    if not settings.public_url.startswith("https://"):
        click.echo("meetergo needs an https address that it can reach: set PUBLIC_URL.", err=True)


@click.command()
@click.argument("event", type=click.Choice(samples.EVENTS), required=False)
@click.option("--booking", metavar="ID", help="Which booking it is about (a new one).")
@click.option("--file", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="Send this body instead.")
@click.option("--url", metavar="ADDRESS", help="Where to (the address that `endpoint` prints).")
def send(event: str | None, booking: str | None, file: Path | None, url: str | None) -> None:
    """Deliver a sample, or a file, over real HTTP."""
    if (event is None) == (file is None):
        raise click.UsageError("name an EVENT or a --file, one of the two")
    settings = ConsoleSettings.load()
    booking = booking or f"sample-{uuid.uuid4().hex[:8]}"
    body = file.read_bytes() if file else _sample(event or "", booking)
    try:
        answer = Sender(url or _address(settings), settings.verifier()).send(body)
    except urllib3.exceptions.HTTPError:
        raise click.ClickException(f"nobody answers at {settings.receiver_url}: is it running? (make run)") from None
    click.echo(f"{answer.status} in {answer.milliseconds:.0f} ms: {_said(answer.body)}")
    if answer.status != 200:
        sys.exit(1)
    if event == "booking_created":
        click.echo(f"Move or cancel it: python -m console send booking_rescheduled --booking {booking}")


@click.command()
@click.argument("delivery_id")
def replay(delivery_id: str) -> None:
    """Handle one delivery again, such as a dead one whose cause is repaired."""
    settings = StoreSettings.load()
    database, bell = Database(settings.database_url), Bell(queue.connect(settings.redis_url))
    with database.transaction() as session:
        delivery = session.get(Delivery, delivery_id, with_for_update=True)
        if delivery is None:
            raise click.ClickException("there is no such delivery: its id is the SHA-256 that the receiver answered")
        if not delivery.body:
            raise click.ClickException("its body was erased: there is nothing to handle")
        delivery.replay(datetime.now(UTC))
    bell.forget("inbox", delivery_id)
    bell.ring("inbox")
    click.echo("It is pending again; a worker takes it next.")


@click.command()
@click.argument("process", type=click.Choice(["worker", "cron"]))
def alive(process: str) -> None:
    """Exit 0 if this machine's worker or schedule works (for health checks)."""
    bell = Bell(queue.connect(StoreSettings.load().redis_url))
    try:
        runs = (
            all(pulse.worker_runs(bell.queue(box)) for box in queue.BOXES)
            if process == "worker"
            else pulse.task_runs(bell.redis, "sweep")
        )
    except RedisError:
        raise click.ClickException("Redis does not answer") from None
    if not runs:
        raise click.ClickException(f"no sign of the {process} on this machine")


@click.command("demo")
def demo_command() -> None:
    """A short story from webhook to notification, on servers of its own."""
    with _failures_in_a_sentence():
        sys.exit(0 if demo.play(Console()) else 1)


@click.command("run")
def run_command() -> None:
    """Receiver, worker and schedule until Ctrl-C, with a Redis of its own if REDIS_URL is unset."""
    with _failures_in_a_sentence():
        sys.exit(run.run(Path.cwd()))


COMMANDS = [endpoint, send, replay, reconcile, prune, erase, reseal, migrate, alive, run_command, demo_command]


@contextmanager
def _failures_in_a_sentence() -> Iterator[None]:
    try:
        yield
    except (NoRedisServer, StageFright) as error:
        raise click.ClickException(str(error)) from error


def _said(body: dict[str, Any]) -> str:
    if "delivery" in body:
        return f"{body['status']} as delivery {body['delivery']}"
    return str(body.get("reason", "no answer that we know"))


def _sample(event: str, booking: str) -> bytes:
    return json.dumps(samples.sample(event, booking, datetime.now(UTC))).encode()


def _cause(error: Exception) -> str:
    """The driver's first line: it names the server or the file, not what is in it."""
    return str(getattr(error, "orig", error)).strip().partition("\n")[0]


def _address(settings: ConsoleSettings) -> str:
    return settings.receiver_url + Addresses(settings.webhook_keys).path(settings.webhook_account)
