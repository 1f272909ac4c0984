"""Reconcile: finds what no webhook told us, and feeds it in as deliveries that the worker handles like any other."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import structlog

from meetergo.api import BULK_SHARE, Meetergo
from meetergo.api.errors import ApiError, Unauthorised, Unavailable
from models.reconciliation import ReconcileCursor, Reconciliation
from runtime.database import Database
from runtime.encryption import BodyCipher
from runtime.queue import JobQueue
from runtime.stop_signal import Stop
from worker.reconcile.host_comparison import HostComparison, Interrupted
from worker.reconcile.hosts import ComparedHost, and_acting, mapped_hosts, unmapped
from worker.reconcile.local_bookings import LocalBookings
from worker.reconcile.lock import AlreadyRunning, exclusive
from worker.reconcile.provider_appointments import ProviderAppointments
from worker.reconcile.report import ReadError, ReconcileReport
from worker.services import Services
from worker.settings import ComparisonSettings, ScheduleSettings

HORIZON = timedelta(days=90)
PATIENCE = timedelta(minutes=2)
"""How long a request of a run by the clock may wait for its exclusive. So long before its time is up it asks no more."""
TURN = "reconcile"

log = structlog.get_logger()


@dataclass(frozen=True)
class Reconciler:
    """Compares all hosts' bookings with meetergo's.

    Attributes:
        books: our side.
        diaries: meetergo's side.
        clock: tells the time, UTC.
        horizon: how far ahead changes are looked for.
    """

    books: LocalBookings
    diaries: ProviderAppointments
    clock: Callable[[], datetime]
    horizon: timedelta = HORIZON

    def run(
        self,
        *,
        only: str | None = None,
        is_dry: bool = False,
        is_over: Callable[[], bool] = lambda: False,
        progress: Callable[[int, int], None] = lambda done, total: None,
    ) -> ReconcileReport:
        """One run, longest not visited host first. What it does is safe to repeat, and to break off anywhere.

        Args:
            only: the external id of the one host to compare.
            is_dry: writes nothing at all.
            is_over: asked before each request; the hosts that are left are the first of the next run.
            progress: told how many hosts of how many are done.

        Returns:
            What was found. A key that is refused is in it, and is no exception.

        Raises:
            AlreadyRunning: another run is at it.
            RedisError, SQLAlchemyError: a store is away. The next run goes on.
        """
        if is_dry:
            return self._compare(Run(self, ReconcileReport(), None, is_over), only, progress)
        with exclusive(self.books.bell.redis, TURN):
            started_at = self.clock()
            with self.books.database.transaction() as session:
                row = Reconciliation(started_at=started_at)
                session.add(row)
            return self._compare(Run(self, ReconcileReport(), row.id, is_over), only, progress)

    def _compare(self, run: "Run", only: str | None, progress: Callable[[int, int], None]) -> ReconcileReport:
        findings = run.findings
        try:
            hosts = self._hosts(findings, only)
            findings.left = len(hosts)
            for done, host in enumerate(hosts):
                progress(done, len(hosts))
                run.visit(host)
                findings.left -= 1
            progress(len(hosts), len(hosts))
        except Interrupted:
            pass
        except ApiError as error:
            findings.stopped = str(error)
        run.end()
        return findings

    def _hosts(self, findings: ReconcileReport, only: str | None) -> list[ComparedHost]:
        """
        Raises:
            ApiError: meetergo does not say who acts.
        """
        with self.books.database.reading() as session:
            findings.unmapped, hosts = unmapped(session), mapped_hosts(session, only)
        if only is not None:
            return hosts
        findings.left = len(hosts)
        acting = self.diaries.acting_user
        with self.books.database.reading() as session:
            return and_acting(session, hosts, acting)


def open_reconciler(
    settings: ComparisonSettings, database: Database, bell: JobQueue, vault: BodyCipher, client: Meetergo
) -> Reconciler:
    """A reconciler on these settings; the client stays the caller's."""
    books = LocalBookings(database, bell, vault, settings.webhook_account)
    return Reconciler(
        books, ProviderAppointments(client, settings.meetergo_api_user), lambda: datetime.now(UTC), settings.horizon
    )


def reconcile_by_the_clock(
    settings: ScheduleSettings, office: Services, now: datetime, *, longest: timedelta, stop: Stop
) -> None:
    """A run of the schedule's. It leaves what it does not get done to the next one.

    Args:
        settings: name the key.
        office: the stores.
        now: when it begins.
        longest: how long it may take.
        stop: set when the process is asked to end.
    """
    ends = time.monotonic() + (longest - PATIENCE).total_seconds()
    try:
        with settings.provider(settings.redis(), share=BULK_SHARE, patience=PATIENCE) as client:
            reconciler = open_reconciler(settings, office.database, office.bell, office.inbox.vault, client)
            reconciler.run(is_over=lambda: stop.is_set() or time.monotonic() > ends)
    except AlreadyRunning:
        log.info("reconcile.taken")
    except ApiError as error:
        log.error("reconcile.stopped", error=str(error))


class Run:
    """One run's way through the hosts.

    Args:
        reconciler: whose run it is.
        findings: grow.
        row_id: the run's row; None for a dry run.
        is_over: whether it is time to go.
    """

    def __init__(
        self, reconciler: Reconciler, findings: ReconcileReport, row_id: int | None, is_over: Callable[[], bool]
    ) -> None:
        self.findings = findings
        self._with = reconciler
        self._row_id = row_id
        self._is_over = is_over
        self._looked_at: set[str] = set()
        self._is_first = True

    def visit(self, host: ComparedHost) -> None:
        """Compares one host, or notes that it cannot be read.

        Raises:
            Interrupted: it is time to go.
            ApiError: no host can be read: the key is refused, or meetergo is away.
        """
        self._check()
        swept_at, had_all_the_time = self._with.clock(), self._is_first
        self._begin(host, swept_at)
        try:
            created_until = self._visit_to(host).make()
        except Interrupted:
            if not had_all_the_time:
                self._begin(host, host.tried_at)  # so that it is the first of the next run
            raise
        except Unauthorised:
            raise
        except ApiError as error:
            self._note_unread(host, error)
            return
        self.findings.hosts += 1
        self._save(host, created_until, swept_at)

    def _begin(self, host: ComparedHost, tried_at: datetime | None) -> None:
        """Before anything is read: a host that takes more than a run, or the process with it, goes to the end."""
        self._is_first = False
        if self._row_id is not None:
            with self._with.books.database.transaction() as session:
                ReconcileCursor.begin(session, host.user_id, tried_at)

    def _visit_to(self, host: ComparedHost) -> HostComparison:
        ours = self._with
        return HostComparison(
            host,
            ours.diaries.of(host.user_id),
            ours.books,
            self.findings,
            self._looked_at,
            ours.horizon,
            ours.clock,
            self._check,
            is_dry=self._row_id is None,
        )

    def _note_unread(self, host: ComparedHost, error: ApiError) -> None:
        """One host's trouble is no reason to leave out the others, unless meetergo answers nobody."""
        if isinstance(error, Unavailable) and not self._with.diaries.is_open():
            raise error
        log.warning("reconcile.unread", meetergo_user_id=host.user_id, error=str(error))
        self.findings.unread.append(ReadError(f"host {host.external_id or host.user_id}", str(error)))

    def _check(self) -> None:
        if self._is_over():
            raise Interrupted

    def _save(self, host: ComparedHost, created_until: datetime | None, swept_at: datetime) -> None:
        """After the deliveries: who dies in between reads this host again."""
        if self._row_id is None:
            return
        with self._with.books.database.transaction() as session:
            ReconcileCursor.move(session, host.user_id, created_until, swept_at)
            self._count(session.get_one(Reconciliation, self._row_id))

    def end(self) -> None:
        """Writes down what came of it."""
        for booking_id in self.findings.unknown:
            log.warning("reconcile.unknown", booking_id=booking_id)
        if self.findings.stopped:
            log.error("reconcile.stopped", error=self.findings.stopped)
        if self._row_id is None:
            return
        with self._with.books.database.transaction() as session:
            row = session.get_one(Reconciliation, self._row_id)
            self._count(row)
            row.ended_at, row.error = self._with.clock(), self.findings.complaint
        log.info("reconcile.done", reconciliation_id=self._row_id, **self.findings.summary())

    def _count(self, row: Reconciliation) -> None:
        for name, count in self.findings.counts.items():
            setattr(row, name, count)
