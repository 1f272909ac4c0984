"""Refresh: read bookings from meetergo now, show what differs, and let the worker correct ours."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from meetergo.api.errors import ApiError, Unauthorised
from meetergo.events import UnreadableBody
from models.account import DEFAULT, account_of, booking_key, meetergo_id
from models.booking import Booking
from models.delivery import Delivery, delivery_id
from models.drift import drift
from operations import lookup
from operations.serialize import Json
from operations.text import printable
from runtime.database import Database
from runtime.queue import JobQueue
from runtime.redis import heartbeat
from worker.inbox.cancel_check import CancelCheck
from worker.reconcile.local_bookings import LocalBookings
from worker.reconcile.provider_appointments import is_uuid
from worker.reconcile.synthetic_delivery import SyntheticDelivery
from worker.settings import ReconcileSettings

TIMEOUT = timedelta(seconds=30)
POLL_INTERVAL_SECONDS = 0.2
UNKNOWN_BOOKING = "meetergo does not know this booking: it is left unchanged"

Columns = Mapping[str, tuple[Any, Any]]


@dataclass
class RefreshResult:
    """The result for one booking.

    Attributes:
        booking_id: the booking's id.
        columns: column -> before and after; in a dry run, the expected value.
        problem: why it was not refreshed, or not yet; None on success.
        delivery_id: the delivery for the worker; None in a dry run, or if meetergo gave no booking.
    """

    booking_id: str
    columns: Columns = field(default_factory=dict)
    problem: str | None = None
    delivery_id: str | None = None

    def as_json(self) -> Json:
        """The result as JSON."""
        columns = {name: {"before": before, "after": after} for name, (before, after) in self.columns.items()}
        return {"booking_id": self.booking_id, "changes": columns, "problem": self.problem}


@dataclass(frozen=True)
class Refresher:
    """Reads bookings from meetergo, ingests them as deliveries, and waits for the worker.

    Attributes:
        local_bookings: our side of the comparison.
        cancel_check: chooses the users to act as at meetergo.
        clock: returns the time, UTC.
        timeout: how long to wait for the worker.
    """

    local_bookings: LocalBookings
    cancel_check: CancelCheck
    clock: Callable[[], datetime]
    timeout: timedelta = TIMEOUT

    def run(self, typed: Sequence[str], is_dry: bool) -> list[RefreshResult]:
        """Refresh all bookings; one that cannot be read does not stop the others.

        Raises:
            OperationError: an id is unknown or ambiguous.
            Unauthorised: the key is rejected.
            SQLAlchemyError, RedisError: a store is down.
        """
        with self.local_bookings.database.read_only() as session:
            wanted = find_keys(session, typed, self.local_bookings.account)
        before = self._columns(wanted)
        found = [self._fetch(key, is_dry) for key in wanted]
        if not is_dry:
            self._wait_for_worker(found)
            after = self._columns(wanted)
            for each in found:
                each.columns = _differences(before.get(each.booking_id, {}), after.get(each.booking_id, {}))
        return found

    def _columns(self, keys: Sequence[str]) -> Mapping[str, Mapping[str, Any]]:
        """Return the public columns of the known ones of these bookings, by key."""
        with self.local_bookings.database.read_only() as session:
            return {key: row.public_columns() for key, row in Booking.by_ids(session, keys).items()}

    def _fetch(self, key: str, is_dry: bool) -> RefreshResult:
        account, asked_at = self.local_bookings.account, self.clock()
        booking_id = meetergo_id(account, key)
        known = self.local_bookings.known([booking_id]).get(booking_id)
        try:
            appointment = self.cancel_check.appointments_for(known.host_ids if known else ()).get(booking_id)
            if appointment is None:
                return RefreshResult(key, problem=UNKNOWN_BOOKING)
            no_delay = timedelta(0)
            delivery = SyntheticDelivery(appointment, asked_at, account, known, no_delay)
            differs = drift(known, delivery.event)
        except Unauthorised:
            raise
        except (ApiError, UnreadableBody) as error:
            return RefreshResult(key, problem=f"cannot be read from meetergo: {error}")
        if is_dry:
            return RefreshResult(key, differs.columns if differs else {})
        self.local_bookings.ingest([delivery])
        return RefreshResult(key, delivery_id=delivery_id(delivery.body, account))

    def _wait_for_worker(self, found: Sequence[RefreshResult]) -> None:
        """Wait until the worker has handled all deliveries, or the time is up."""
        deadline = time.monotonic() + self.timeout.total_seconds()
        waiting = [each for each in found if each.delivery_id]
        if waiting and not heartbeat.live_workers(self.local_bookings.job_queue.queue("inbox")):
            deadline = 0.0
        while waiting := [each for each in waiting if not self._is_finished(each)]:
            if time.monotonic() > deadline:
                for each in waiting:
                    each.problem = "no worker has processed it yet: bin/inbox status"
                return
            time.sleep(POLL_INTERVAL_SECONDS)

    def _is_finished(self, each: RefreshResult) -> bool:
        with self.local_bookings.database.read_only() as session:
            query = select(Delivery.status, Delivery.last_error).where(Delivery.id == each.delivery_id)
            status, error = session.execute(query).one()
        if error:
            end = "is dead" if status == "dead" else "failed, and is retried"
            each.problem = f"its delivery {end}: {printable(error)}"
        return status != "pending" or bool(error)


@contextmanager
def open_refresher(
    settings: ReconcileSettings,
    database: Database,
    job_queue: JobQueue,
    account: str,
    worker_timeout: timedelta = TIMEOUT,
    **client_options: Any,
) -> Iterator[Refresher]:
    """Open a refresher of one account's bookings on opened stores.

    Args:
        settings: the account's settings, with the API key.
        database: the database with the bookings.
        job_queue: triggers the worker.
        account: the account.
        worker_timeout: how long to wait for the worker.
        client_options: options of the API client, such as its timeout.

    Raises:
        UnusableKey: no key is set.
    """
    with settings.api_client(job_queue.redis, **client_options) as client:
        local_bookings = LocalBookings(database, job_queue, settings.cipher(), account)
        cancel_check = CancelCheck(client, settings.meetergo_api_user, account)
        yield Refresher(local_bookings, cancel_check, lambda: datetime.now(UTC), worker_timeout)


def find_keys(session: Session, typed: Sequence[str], account: str) -> list[str]:
    """Return the keys of bookings, each once.

    Args:
        session: session to read with.
        typed: known bookings' ids or prefixes of them; of unknown bookings meetergo's complete ids.
        account: the account of the unknown ones.

    Raises:
        OperationError: an id is unknown or ambiguous.
    """
    return list(dict.fromkeys(_find_key(session, each, account) for each in typed))


def _find_key(session: Session, typed: str, account: str) -> str:
    try:
        return lookup.find_booking_id(session, typed)
    except lookup.IdNotFound:
        named = account_of(typed)
        account = account if named == DEFAULT else named
        booking_id = meetergo_id(account, typed)
        if is_uuid(booking_id):
            return booking_key(account, booking_id.lower())
        raise


def _differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> Columns:
    return {name: (before.get(name), value) for name, value in after.items() if before.get(name) != value}
