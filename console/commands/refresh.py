"""`bookings refresh`: asks meetergo now how bookings are, and lets the worker put them right."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import click
from sqlalchemy import select

from console.cli import completion
from console.cli.errors import StoreError, sentence
from console.render import changes, tables
from console.render.tables import as_json
from console.render.text import printable
from meetergo.api.errors import ApiError, Unauthorised
from meetergo.events import Unreadable
from models.delivery import Delivery, delivery_id
from models.drift import drift
from operations import lookup
from operations.serialize import Json
from runtime.database import Database
from runtime.queue import JobQueue
from runtime.redis import heartbeat
from worker.inbox.cancel_check import CancelCheck
from worker.reconcile.local_bookings import LocalBookings
from worker.reconcile.synthetic_delivery import SyntheticDelivery
from worker.settings import ReconcileSettings

PATIENCE = timedelta(seconds=30)
LOOK_EVERY_SECONDS = 0.2
UNKNOWN = "meetergo knows no such booking: it is left as it is"

Columns = Mapping[str, tuple[Any, Any]]


@dataclass
class Refreshed:
    """What came of one booking.

    Attributes:
        booking_id: which.
        columns: column -> before and after; of a dry run, what it would be.
        problem: why it is not refreshed, or not yet; None if it is.
        delivery_id: of what the worker handles; None if there is nothing to handle.
    """

    booking_id: str
    columns: Columns = field(default_factory=dict)
    problem: str | None = None
    delivery_id: str | None = None

    def as_json(self) -> Json:
        """For scripts."""
        columns = {name: {"before": before, "after": after} for name, (before, after) in self.columns.items()}
        return {"booking_id": self.booking_id, "changes": columns, "problem": self.problem}


@click.command()
@click.argument("booking_ids", metavar="ID...", nargs=-1, required=True, type=completion.BOOKING)
@click.option("--dry-run", "is_dry", is_flag=True, help="Only show what differs; write nothing.")
@as_json
def refresh(booking_ids: Sequence[str], is_dry: bool, as_json: bool) -> None:
    """Ask meetergo now how bookings are, and put ours right. ID may be its beginning.

    What meetergo says is final: it also undoes what somebody made up. Exit 1 if one of them is not refreshed.
    """
    settings = ReconcileSettings.load()
    if not settings.meetergo_api_key:
        raise click.UsageError("MEETERGO_API_KEY is not set: put it into the environment or into .env")
    with _failures_in_a_sentence(), _opened(settings) as refresher:
        found = refresher.run(booking_ids, is_dry)
    if as_json:
        tables.print_json({"dry_run": is_dry, "bookings": [each.as_json() for each in found]})
    else:
        for each in found:
            _show(each, is_dry)
    raise SystemExit(1 if any(each.problem for each in found) else 0)


@dataclass(frozen=True)
class Refresher:
    """Asks, feeds and waits.

    Attributes:
        books: our side.
        confirmation: knows whom to ask at meetergo.
        clock: tells the time, UTC.
        patience: how long the worker has.
    """

    books: LocalBookings
    confirmation: CancelCheck
    clock: Callable[[], datetime]
    patience: timedelta = PATIENCE

    def run(self, typed: Sequence[str], is_dry: bool) -> list[Refreshed]:
        """All of them; one that cannot be read is no reason to leave out the others.

        Raises:
            ClickException: an id is none, or more than one.
            Unauthorised: the key is refused.
            SQLAlchemyError, RedisError: a store is down.
        """
        with self.books.database.reading() as session:
            wanted = list(dict.fromkeys(_meant(session, each) for each in typed))
        before = {key: row.seen() for key, row in self.books.known(wanted).items()}
        found = [self._ask(booking_id, is_dry) for booking_id in wanted]
        if not is_dry:
            self._wait(found)
            after = {key: row.seen() for key, row in self.books.known(wanted).items()}
            for each in found:
                each.columns = _differences(before.get(each.booking_id, {}), after.get(each.booking_id, {}))
        return found

    def _ask(self, booking_id: str, is_dry: bool) -> Refreshed:
        known, asked_at = self.books.known([booking_id]).get(booking_id), self.clock()
        try:
            appointment = self.confirmation.diary(known.host_ids if known else ()).one(booking_id)
            if appointment is None:
                return Refreshed(booking_id, problem=UNKNOWN)
            reading = SyntheticDelivery(appointment, asked_at, known, settled=timedelta(0))
            differs = drift(known, reading.event)
        except Unauthorised:
            raise
        except (ApiError, Unreadable) as error:
            return Refreshed(booking_id, problem=f"meetergo's answer cannot be had: {error}")
        if is_dry:
            return Refreshed(booking_id, differs.columns if differs else {})
        self.books.feed([reading])
        return Refreshed(booking_id, delivery_id=delivery_id(reading.body))

    def _wait(self, found: Sequence[Refreshed]) -> None:
        """Until the worker has handled all, or the time is up."""
        until = time.monotonic() + self.patience.total_seconds()
        waiting = [each for each in found if each.delivery_id]
        if waiting and not heartbeat.living_workers(self.books.bell.queue("inbox")):
            until = 0.0
        while waiting:
            waiting = [each for each in waiting if not self._is_at_rest(each)]
            if waiting and time.monotonic() > until:
                for each in waiting:
                    each.problem = "no worker has handled it yet: python -m console status"
                return
            if waiting:
                time.sleep(LOOK_EVERY_SECONDS)

    def _is_at_rest(self, each: Refreshed) -> bool:
        with self.books.database.reading() as session:
            query = select(Delivery.status, Delivery.last_error).where(Delivery.id == each.delivery_id)
            status, error = session.execute(query).one()
        if error:
            end = "is dead" if status == "dead" else "failed, and is tried again"
            each.problem = f"its delivery {end}: {printable(error)}"
        return status != "pending" or bool(error)


def _meant(session: Any, typed: str) -> str:
    """A booking that we know; or the whole id of one that we do not know yet."""
    try:
        return lookup.known_booking_id(session, typed)
    except lookup.NotThere:
        if _is_uuid(typed):
            return typed.lower()
        raise


def _is_uuid(typed: str) -> bool:
    try:
        return str(UUID(typed)) == typed.lower()
    except ValueError:
        return False


def _differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> Columns:
    return {name: (before.get(name), value) for name, value in after.items() if before.get(name) != value}


@contextmanager
def _opened(settings: ReconcileSettings) -> Iterator[Refresher]:
    database, redis = Database(settings.database_url), settings.redis()
    bell = JobQueue(redis)
    try:
        with settings.provider(redis) as client:
            confirmation = CancelCheck(client, settings.meetergo_api_user)
            books = LocalBookings(database, bell, settings.vault(), settings.webhook_account)
            yield Refresher(books, confirmation, lambda: datetime.now(UTC))
    finally:
        database.close()


@contextmanager
def _failures_in_a_sentence() -> Iterator[None]:
    try:
        yield
    except ApiError as error:
        raise click.ClickException(str(error)) from None
    except StoreError as error:
        raise click.ClickException(sentence(error)) from None


def _show(each: Refreshed, is_dry: bool) -> None:
    booking = f"booking {printable(each.booking_id)}"
    if each.problem:
        click.echo(f"{booking}: {each.problem}")
    elif each.columns:
        click.echo(f"{booking}: {'would change' if is_dry else 'changed'}")
        tables.show(changes.table(*_before_and_after(each.columns)))
    else:
        click.echo(f"{booking}: as meetergo says, nothing differs")


def _before_and_after(columns: Columns) -> tuple[Json, Json]:
    return {name: before for name, (before, _) in columns.items()}, {name: to for name, (_, to) in columns.items()}
