"""Reconcile: find changes that no webhook delivered, and ingest them as deliveries for the worker."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import structlog
from redis import Redis
from redis.exceptions import LockError, RedisError
from redis.lock import Lock

from meetergo.api.defaults import BULK_SHARE
from meetergo.api.errors import ApiError, Unauthorised, Unavailable
from models.account import DEFAULT
from models.reconciliation import ReconcileCursor, Reconciliation
from runtime.database import Database
from runtime.encryption import BodyCipher
from runtime.process.stop_signal import StopEvent
from runtime.queue import JobQueue
from runtime.redis.client import key_of
from worker.reconcile.host_comparison import ComparisonInterrupted, HostComparison
from worker.reconcile.hosts import ComparedHost, count_unmapped, mapped_hosts, with_acting_user
from worker.reconcile.local_bookings import LocalBookings
from worker.reconcile.provider_appointments import ProviderAppointments
from worker.reconcile.report import ReadError, ReconcileReport
from worker.services import Services
from worker.settings import ComparisonSettings, ScheduleSettings

if TYPE_CHECKING:
    from meetergo.api import Meetergo

MAX_REQUEST_WAIT = timedelta(minutes=2)
"""Longest wait of a scheduled run for the rate limiter. The run sends no request this close to its end."""
LOCK_NAME = "reconcile"
LOCK_TTL = timedelta(minutes=1)
"""How long a killed run keeps others from running. A run renews its lock before each request."""

NOTHING_TO_READ = ReadError("any host", "no host is mapped, and meetergo does not tell this key whose it is")

HOST_REFUSED = "meetergo knows the key, but refuses it for this user: `users sync` says whether the user still exists"

log = structlog.get_logger()


class AlreadyRunning(Exception):
    """Another process holds the lock."""


@dataclass(frozen=True)
class Reconciler:
    """Compares the bookings of all hosts with meetergo's.

    Attributes:
        local_bookings: our side.
        provider_appointments: meetergo's side.
        clock: returns the time, UTC.
        horizon: how far ahead to look for changes.
    """

    local_bookings: LocalBookings
    provider_appointments: ProviderAppointments
    clock: Callable[[], datetime]
    horizon: timedelta

    def run(
        self,
        *,
        only: str | None = None,
        is_dry: bool = False,
        should_stop: Callable[[], bool] = lambda: False,
        progress: Callable[[int, int], None] = lambda done, total: None,
    ) -> ReconcileReport:
        """Run once, least recently visited host first. A run is idempotent and can be interrupted anywhere.

        Args:
            only: external id of the one host to compare; None for all.
            is_dry: whether to write nothing.
            should_stop: called before each request; the next run starts with the remaining hosts.
            progress: called with the number of hosts done and the total.

        Returns:
            The report. A rejected key is recorded in it and does not raise.

        Raises:
            AlreadyRunning: another run is in progress.
            RedisError, SQLAlchemyError: a store is down. The next run continues.
        """
        if is_dry:
            return self._compare(ReconcileRun(self, None, should_stop), only, progress)
        account = self.local_bookings.account
        with exclusive(self.local_bookings.job_queue.redis, lock_name(account)) as lock:

            def has_to_stop() -> bool:
                with suppress(LockError, RedisError):
                    lock.reacquire()
                return should_stop()

            started_at = self.clock()
            with self.local_bookings.database.transaction() as session:
                row = Reconciliation(started_at=started_at, account=account)
                session.add(row)
            return self._compare(ReconcileRun(self, row.id, has_to_stop), only, progress)

    def _compare(self, run: "ReconcileRun", only: str | None, progress: Callable[[int, int], None]) -> ReconcileReport:
        report = run.report
        try:
            hosts = self._hosts(report, only)
            report.left = len(hosts)
            for done, host in enumerate(hosts):
                progress(done, len(hosts))
                run.compare(host)
                report.left -= 1
            progress(len(hosts), len(hosts))
        except ComparisonInterrupted:
            pass
        except ApiError as error:
            report.stopped = str(error)
        run.end()
        return report

    def _hosts(self, report: ReconcileReport, only: str | None) -> list[ComparedHost]:
        """Return the hosts to compare.

        Raises:
            ApiError: meetergo does not say whose key this is.
        """
        with self.local_bookings.database.read_only() as session:
            account = self.local_bookings.account
            report.unmapped, hosts = count_unmapped(session, account), mapped_hosts(session, only, account)
        if only is not None:
            return hosts
        report.left = len(hosts)
        acting = self.provider_appointments.acting_user
        if acting is None and not hosts:
            report.read_errors.append(NOTHING_TO_READ)
        with self.local_bookings.database.read_only() as session:
            return with_acting_user(session, hosts, acting, account)


def open_reconciler(
    settings: ComparisonSettings,
    database: Database,
    job_queue: JobQueue,
    cipher: BodyCipher,
    client: "Meetergo",
    account: str,
) -> Reconciler:
    """Build a reconciler from an account's settings; the caller keeps ownership of the client."""
    local_bookings = LocalBookings(database, job_queue, cipher, account)
    return Reconciler(
        local_bookings,
        ProviderAppointments(client, settings.meetergo_api_user),
        lambda: datetime.now(UTC),
        settings.horizon,
    )


def lock_name(account: str) -> str:
    """Return the name of the lock that a run of an account holds."""
    return LOCK_NAME if account == DEFAULT else f"{LOCK_NAME}:{account}"


def reconcile_on_schedule(
    settings: ScheduleSettings,
    services: Services,
    now: datetime,
    *,
    max_duration: timedelta,
    stop: StopEvent,
    account: str,
) -> ReconcileReport | None:
    """Run as a scheduled task. What it cannot finish is left to the next run.

    Args:
        settings: the account's settings, with the API key.
        services: the stores.
        now: time of the start, UTC; every task gets it, and this one asks the clock before each request.
        max_duration: limit for the run.
        stop: set when the process is asked to stop.
        account: the account.

    Returns:
        The report; None if another run is in progress, or if the client cannot be opened.
    """
    ends = time.monotonic() + (max_duration - MAX_REQUEST_WAIT).total_seconds()
    try:
        with settings.api_client(settings.redis(), share=BULK_SHARE, max_wait=MAX_REQUEST_WAIT) as client:
            stores = (services.database, services.job_queue, services.inbox.cipher)
            reconciler = open_reconciler(settings, *stores, client, account)
            return reconciler.run(should_stop=lambda: stop.is_set() or time.monotonic() > ends)
    except AlreadyRunning:
        log.info("reconcile.already_running", account=account)
    except ApiError as error:
        log.error("reconcile.stopped", error=str(error), account=account)
    return None


@contextmanager
def exclusive(redis: Redis, name: str) -> Iterator[Lock]:
    """Hold a lock during the block, to be renewed. A second run beside one that outlasts its lock is harmless.

    Raises:
        AlreadyRunning: another process holds the lock.
        RedisError: Redis is down.
    """
    lock = redis.lock(key_of(redis, "turn", name), timeout=LOCK_TTL.total_seconds())
    if not lock.acquire(blocking=False):
        raise AlreadyRunning
    try:
        yield lock
    finally:
        with suppress(LockError, RedisError):
            lock.release()


class ReconcileRun:
    """One run over the hosts.

    Args:
        reconciler: the reconciler.
        row_id: the run's row; None for a dry run.
        should_stop: whether the run has to stop.

    Attributes:
        report: what it has found so far.
    """

    def __init__(self, reconciler: Reconciler, row_id: int | None, should_stop: Callable[[], bool]) -> None:
        self.report = ReconcileReport()
        self._reconciler = reconciler
        self._account = reconciler.local_bookings.account
        self._row_id = row_id
        self._should_stop = should_stop
        self._compared_ids: set[str] = set()
        self._is_first = True

    def compare(self, host: ComparedHost) -> None:
        """Compare one host, or record that it cannot be read.

        Raises:
            ComparisonInterrupted: the run has to stop.
            ApiError: no host can be read: the key is rejected, or meetergo is down.
        """
        self._raise_if_interrupted()
        swept_at, had_full_time = self._reconciler.clock(), self._is_first
        self._begin(host, swept_at)
        try:
            created_until = self._comparison_of(host).run()
        except ComparisonInterrupted:
            if not had_full_time:
                self._begin(host, host.tried_at)  # so that it is the first of the next run
            raise
        except ApiError as error:
            self._record_read_error(host, error)
            return
        self.report.hosts += 1
        self._save(host, created_until, swept_at)

    def _begin(self, host: ComparedHost, tried_at: datetime | None) -> None:
        """Record the attempt before reading: a host that takes too long or crashes the process goes to the end."""
        self._is_first = False
        if self._row_id is not None:
            with self._reconciler.local_bookings.database.transaction() as session:
                ReconcileCursor.record_attempt(session, self._account, host.user_id, tried_at)

    def _comparison_of(self, host: ComparedHost) -> HostComparison:
        reconciler = self._reconciler
        return HostComparison(
            host,
            reconciler.provider_appointments.for_host(host.user_id),
            reconciler.local_bookings,
            self.report,
            self._compared_ids,
            reconciler.horizon,
            reconciler.clock,
            self._raise_if_interrupted,
            is_dry=self._row_id is None,
        )

    def _record_read_error(self, host: ComparedHost, error: ApiError) -> None:
        """Record one host's error and go on with the others, unless meetergo is down or does not know the key.

        A 401 can also be about the host that the key acts as: no document says how meetergo answers for a deleted one.

        Raises:
            ApiError: meetergo is down, or does not know the key.
        """
        if isinstance(error, Unauthorised | Unavailable):
            self._reconciler.provider_appointments.check_reachable()
        reason = HOST_REFUSED if isinstance(error, Unauthorised) else str(error)
        log.warning("reconcile.read_failed", meetergo_user_id=host.user_id, error=str(error))
        self.report.read_errors.append(ReadError(f"host {host.external_id or host.user_id}", reason))

    def _raise_if_interrupted(self) -> None:
        if self._should_stop():
            raise ComparisonInterrupted

    def _save(self, host: ComparedHost, created_until: datetime | None, swept_at: datetime) -> None:
        """Save the progress after the deliveries: a run killed in between reads this host again."""
        if self._row_id is None:
            return
        with self._reconciler.local_bookings.database.transaction() as session:
            ReconcileCursor.advance(session, self._account, host.user_id, created_until, swept_at)
            self._count(session.get_one(Reconciliation, self._row_id))

    def end(self) -> None:
        """Record and log the result of the run; a dry run does neither, its caller has the report."""
        if self._row_id is None:
            return
        for booking_id in self.report.unknown:
            log.warning("reconcile.unknown", booking_id=booking_id)
        with self._reconciler.local_bookings.database.transaction() as session:
            row = session.get_one(Reconciliation, self._row_id)
            self._count(row)
            row.ended_at, row.error = self._reconciler.clock(), self.report.error_summary
        found = {"reconciliation_id": self._row_id, "account": self._account, **self.report.summary()}
        if self.report.stopped:
            log.error("reconcile.stopped", error=self.report.stopped, **found)
        else:
            log.info("reconcile.done", **found)

    def _count(self, row: Reconciliation) -> None:
        for name, count in self.report.counts.items():
            setattr(row, name, count)
