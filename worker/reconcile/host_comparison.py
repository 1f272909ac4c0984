"""Compare one host's bookings with that host's appointments at the provider."""

import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import islice
from typing import TYPE_CHECKING

from meetergo.api.defaults import PAGE_SIZE
from meetergo.api.errors import ApiError, BadResponse, Unauthorised, Unavailable
from meetergo.events import MAX_CLOCK_AHEAD, UnreadableBody
from models.drift import Drift, drift
from worker.reconcile.hosts import ComparedHost
from worker.reconcile.local_bookings import LocalBookings
from worker.reconcile.provider_appointments import HostAppointments
from worker.reconcile.report import ReadError, ReconcileReport
from worker.reconcile.synthetic_delivery import CONSISTENCY_DELAY, SyntheticDelivery

if TYPE_CHECKING:
    from meetergo.api.schemas import Appointment

LOOKBACK = timedelta(days=1)
"""How far before the last comparison a meeting may start: some are moved or cancelled while they take place."""
OVERLAP = timedelta(hours=1)
"""How far before the newest known booking to look for new ones: lists shift while they are read."""
MAX_LOOKUPS = 100
"""Maximum number of unlisted bookings looked up per comparison; beyond it a random sample, so all get a turn."""

Page = tuple[datetime, "list[Appointment]"]


class ComparisonInterrupted(Exception):
    """The time is up, or the process is stopping: the next run continues with this host."""


@dataclass
class HostComparison:
    """Compares one host.

    Attributes:
        host: the host.
        appointments: the host's appointments at meetergo.
        local_bookings: our bookings.
        report: the run's report; appended to.
        compared_ids: bookings already compared in this run; added to.
        horizon: how far ahead to look for changes.
        clock: returns the time, UTC.
        raise_if_interrupted: raises `ComparisonInterrupted` when the run has to stop.
        is_dry: whether to compare without writing.
    """

    host: ComparedHost
    appointments: HostAppointments
    local_bookings: LocalBookings
    report: ReconcileReport
    compared_ids: set[str]
    horizon: timedelta
    clock: Callable[[], datetime]
    raise_if_interrupted: Callable[[], None]
    is_dry: bool
    _listed_ids: set[str] = field(default_factory=set)

    def run(self) -> datetime | None:
        """Compare all appointments and ingest the differences.

        Returns:
            Creation time of the newest booking seen.

        Raises:
            ComparisonInterrupted: the run has to stop.
            ApiError: the host cannot be read.
        """
        now = self.clock()
        since, until = min(now, self.host.swept_at or now) - LOOKBACK, now + self.horizon
        created_until, is_complete = self._compare_newest(since)
        if not is_complete:
            for page in self._pages(self.appointments.between(since, until)):
                self._compare(*page)
        self._check_missing(since, None if is_complete else until)
        return created_until

    def _compare_newest(self, since: datetime) -> tuple[datetime | None, bool]:
        """Compare bookings from the newest back to those already seen. A page that was fetched is read to its end.

        Returns:
            Creation time of the newest booking, and whether the list was complete: then no sweep is needed.
        """
        created_until = self.host.created_until
        seen_until = created_until and created_until - OVERLAP
        for asked_at, page in self._pages(self.appointments.newest_first(since)):
            self._compare(asked_at, page)
            latest = asked_at + MAX_CLOCK_AHEAD  # a time beyond it would hide all later bookings
            created = [each.created_at for each in page if each.created_at and each.created_at <= latest]
            created_until = max([*created, *([created_until] if created_until else [])], default=None)
            if len(page) == PAGE_SIZE and seen_until and created and created[-1] < seen_until:
                return created_until, False
        return created_until, True

    def _check_missing(self, since: datetime, until: datetime | None) -> None:
        """Look up bookings missing from the lists: moved, given to another host, or unknown to meetergo."""
        ours = self.local_bookings.confirmed_ids(self.host.user_id, since, until)
        listed = self._listed_ids | self.compared_ids
        missing = [booking_id for booking_id in ours if booking_id not in listed]
        for booking_id in random.sample(missing, min(len(missing), MAX_LOOKUPS)):
            self.raise_if_interrupted()
            self._look_up(booking_id)

    def _look_up(self, booking_id: str) -> None:
        asked_at = self.clock()
        key = self.local_bookings.key(booking_id)
        self.report.retract(key)
        try:
            appointment = self.appointments.get(booking_id)
        except ApiError as error:
            if isinstance(error, Unauthorised | Unavailable) and not isinstance(error, BadResponse):
                raise
            self.report.read_errors.append(ReadError(f"booking {key}", str(error)))
        else:
            if appointment:
                self._compare(asked_at, [appointment])
            else:
                self.report.unknown.append(key)

    def _pages(self, appointments: "Iterator[Appointment]") -> Iterator[Page]:
        """Yield pages as meetergo sends them, each with the time of the request."""
        while True:
            self.raise_if_interrupted()
            asked_at = self.clock()
            page = list(islice(appointments, PAGE_SIZE))
            if page:
                yield asked_at, page
            if len(page) < PAGE_SIZE:
                return

    def _compare(self, asked_at: datetime, page: "Iterable[Appointment]") -> None:
        new = {appointment.id: appointment for appointment in page if appointment.id not in self.compared_ids}
        self._listed_ids.update(appointment.id for appointment in page)
        for booking_id in new:
            self.report.retract(self.local_bookings.key(booking_id))
        known, account = self.local_bookings.known(list(new)), self.local_bookings.account
        deliveries = [
            SyntheticDelivery(appointment, asked_at, account, known.get(booking_id))
            for booking_id, appointment in new.items()
        ]
        drifted = [(delivery, found) for delivery in deliveries if (found := self._drift(delivery))]
        self.report.undelivered += self._undelivered(asked_at, drifted)
        if drifted and not self.is_dry:
            self.local_bookings.ingest([delivery for delivery, _ in drifted])
        self.report.drifts.extend(found for _, found in drifted)
        self.report.appointments += len(new)
        self.compared_ids.update(new)

    def _undelivered(self, asked_at: datetime, drifted: Sequence[tuple[SyntheticDelivery, Drift]]) -> int:
        """Count new bookings whose webhook had time to arrive. A host's first comparison finds older ones."""
        if self.host.swept_at is None:
            return 0
        since, until = self.host.swept_at - CONSISTENCY_DELAY, asked_at - CONSISTENCY_DELAY
        created = {
            found.booking_id: delivery.appointment.created_at for delivery, found in drifted if found.kind == "missed"
        }
        return self.local_bookings.count_undelivered([key for key, at in created.items() if at and since < at < until])

    def _drift(self, delivery: SyntheticDelivery) -> Drift | None:
        try:
            return drift(delivery.known, delivery.event)
        except UnreadableBody as error:
            key = self.local_bookings.key(delivery.appointment.id)
            self.report.read_errors.append(ReadError(f"booking {key}", str(error)))
            return None
