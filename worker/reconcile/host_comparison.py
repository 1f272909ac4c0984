"""A visit: one host's bookings, compared with that host's appointments at the provider."""

import random
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import islice

from meetergo.api.errors import ApiError, Unauthorised, Unavailable
from meetergo.api.schemas import Appointment
from meetergo.api.session import PAGE_SIZE
from meetergo.events import Unreadable
from models.drift import Drift, drift
from worker.reconcile.hosts import ComparedHost
from worker.reconcile.local_bookings import LocalBookings
from worker.reconcile.provider_appointments import HostAppointments
from worker.reconcile.report import ReadError, ReconcileReport
from worker.reconcile.synthetic_delivery import SyntheticDelivery

LOOKBACK = timedelta(days=1)
"""How far back of the last visit starts are compared: some meetings are moved or cancelled while they are on."""
OVERLAP = timedelta(hours=1)
"""How far before the newest booking that was seen new ones are looked for: lists shift while they are read."""
MOST_LOOK_UPS = 100
"""So many bookings that are in no list are looked up in a visit: chance gives each of more than that its turn."""

Page = tuple[datetime, list[Appointment]]


class Interrupted(Exception):
    """The time is up, or the process is asked to stop: this host is left to the next run."""


@dataclass
class HostComparison:
    """Compares.

    Attributes:
        host: with whom.
        diary: the host's appointments at meetergo.
        books: ours.
        findings: of the run; grows.
        looked_at: bookings that were compared in this run already; grows.
        horizon: how far ahead changes are looked for.
        clock: tells the time, UTC.
        check: raises `Interrupted` when it is time to go.
        is_dry: whether only to look.
    """

    host: ComparedHost
    diary: HostAppointments
    books: LocalBookings
    findings: ReconcileReport
    looked_at: set[str]
    horizon: timedelta
    clock: Callable[[], datetime]
    check: Callable[[], None]
    is_dry: bool = False
    _met: set[str] = field(default_factory=set)

    def make(self) -> datetime | None:
        """Compares everything, and feeds in what differs.

        Returns:
            The creation time of the newest booking that was seen.

        Raises:
            Interrupted: it was time to go.
            ApiError: the host cannot be read.
        """
        now = self.clock()
        since, until = min(now, self.host.swept_at or now) - LOOKBACK, now + self.horizon
        created_until, is_all = self._look_at_new_ones(since)
        if not is_all:
            for page in self._pages(self.diary.between(since, until)):
                self._compare(*page)
        self._look_for_vanished(since, None if is_all else until)
        return created_until

    def _look_at_new_ones(self, since: datetime) -> tuple[datetime | None, bool]:
        """Bookings from the newest back to what was seen. A page that is there is read to its end.

        Returns:
            When the newest was made, and whether that were all there are: then nothing is left to sweep.
        """
        created_until = self.host.created_until
        seen_until = created_until and created_until - OVERLAP
        for asked_at, page in self._pages(self.diary.newest_first(since)):
            self._compare(asked_at, page)
            made = [appointment.created_at for appointment in page if appointment.created_at]
            created_until = max([*made, *([created_until] if created_until else [])], default=None)
            if len(page) == PAGE_SIZE and seen_until and made and made[-1] < seen_until:
                return created_until, False
        return created_until, True

    def _look_for_vanished(self, since: datetime, until: datetime | None) -> None:
        """Bookings that should have been in the lists: moved away, given to another host, or not meetergo's at all."""
        ours, listed = self.books.confirmed_with(self.host.user_id, since, until), self._met | self.looked_at
        vanished = [booking_id for booking_id in ours if booking_id not in listed]
        for booking_id in random.sample(vanished, min(len(vanished), MOST_LOOK_UPS)):
            self.check()
            self._look_up(booking_id)

    def _look_up(self, booking_id: str) -> None:
        asked_at = self.clock()
        self.findings.take_back(booking_id)
        try:
            appointment = self.diary.one(booking_id)
        except (Unauthorised, Unavailable):
            raise
        except ApiError as error:
            self.findings.unread.append(ReadError(f"booking {booking_id}", str(error)))
        else:
            if appointment:
                self._compare(asked_at, [appointment])
            else:
                self.findings.unknown.append(booking_id)

    def _pages(self, appointments: Iterator[Appointment]) -> Iterator[Page]:
        """So many at once as meetergo sends, and when we asked."""
        while True:
            self.check()
            asked_at = self.clock()
            page = list(islice(appointments, PAGE_SIZE))
            if page:
                yield asked_at, page
            if len(page) < PAGE_SIZE:
                return

    def _compare(self, asked_at: datetime, page: Iterable[Appointment]) -> None:
        new = {appointment.id: appointment for appointment in page if appointment.id not in self.looked_at}
        self._met.update(appointment.id for appointment in page)
        for key in new:
            self.findings.take_back(key)
        known = self.books.known(list(new))
        readings = [SyntheticDelivery(appointment, asked_at, known.get(key)) for key, appointment in new.items()]
        found = [(reading, differs) for reading in readings if (differs := self._drift(reading))]
        if found and not self.is_dry:
            self.books.feed([reading for reading, _ in found])
        self.findings.drifts.extend(differs for _, differs in found)
        self.findings.appointments += len(new)
        self.looked_at.update(new)

    def _drift(self, reading: SyntheticDelivery) -> Drift | None:
        try:
            return drift(reading.known, reading.event)
        except Unreadable as error:
            self.findings.unread.append(ReadError(f"booking {reading.appointment.id}", str(error)))
            return None
