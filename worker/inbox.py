"""The inbox, worked off: from accepted bytes to changed bookings, each delivery in a savepoint of its own."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import groupby
from typing import NamedTuple

import structlog
from sqlalchemy.orm import Session

from meetergo import events
from meetergo.events import BookingEvent, Event, Unreadable
from models.attempt import FailedAttempt
from models.booking import Booking
from models.database import Database
from models.delivery import Delivery
from models.failures import Failure, Permanent, Transient, describe
from models.intervention import BY_RQ, Intervention
from models.queue import Bell
from models.vault import Vault
from worker.confirmation import Answer, Confirmation, is_unconfirmed_cancel
from worker.group import handle_together
from worker.handling import finish, handle
from worker.ledger import Ledger
from worker.progress import Progress
from worker.recorder import Recorder
from worker.tally import NoTally, Tally

BATCH = 200
LONGEST_BATCH = timedelta(milliseconds=250)
"""A batch holds locks, on SQLite the only one: when this is over it commits what it has."""

GROUP = 100
"""Deliveries that are handled together, with a statement for each table instead of each row."""

Clock = Callable[[], datetime]
Todo = tuple[Delivery, Event | Failure]
log = structlog.get_logger()


class Outcome(NamedTuple):
    """What became of a delivery: its error, if it failed.

    `owes`: whether it, or what was handled together with it, owes somebody news. `is_handed_over`: nothing yet, its own
    job asks meetergo first.
    """

    delivery: Delivery
    error: Exception | None = None
    owes: bool = False
    is_handed_over: bool = False


@dataclass(frozen=True)
class Inbox:
    """Works off deliveries.

    Attributes:
        database: where they are.
        bell: wakes the outbox, and tends what failed.
        recorder: records the changes that they make.
        vault: opens their bodies.
        company_id: the only company whose events are taken; empty for any.
        clock: tells the time, UTC.
        tally: hears of each try.
        confirmation: asks meetergo about cancels before they are acted on; None to take them as they come.
    """

    database: Database
    bell: Bell
    recorder: Recorder
    vault: Vault
    company_id: str
    clock: Clock
    tally: Tally = field(default_factory=NoTally)
    confirmation: Confirmation | None = None

    def work_off(self) -> Progress:
        """Handles one batch of what is due, in one transaction."""
        with self.database.transaction() as session:
            due = Delivery.take_due(session, self.clock(), BATCH)
            if len(due) == BATCH and self.database.skips_locked:
                self.bell.ring("inbox")
            outcomes = self.process_all(session, due)
        self._report(outcomes)
        if len(due) == BATCH or len(outcomes) < len(due):
            return Progress.PART
        return Progress.ALL if due else Progress.NOTHING

    def retry(self, delivery_id: str) -> Delivery | None:
        """One more try of a delivery that failed. A dead one starts over, since somebody asked for it.

        Returns:
            The delivery as it is now, or None if there is none.
        """
        answer = self._ask_first(delivery_id)
        with self.database.transaction() as session:
            delivery = session.get(Delivery, delivery_id, with_for_update=True)
            if delivery and delivery.status == "dead":
                Intervention.record(session, "replayed", delivery, self.clock(), by=BY_RQ)
            if delivery is None or not delivery.wants_another_try(self.clock()):
                return delivery
            event = answer.event if answer else self.read(delivery)
            if answer is None and self.confirmation and is_unconfirmed_cancel(event, delivery.source):
                return delivery  # it was not up yet when we would have asked
            delivery.note = answer.note if answer else None
            outcome = self._process(session, delivery, event)
        self._report([outcome], tend=False)
        return delivery

    def process(self, session: Session, delivery: Delivery) -> Outcome:
        """Handles one delivery in the caller's transaction, in a savepoint of its own. It wakes nobody."""
        return self._process(session, delivery, self.read(delivery))

    def process_all(self, session: Session, due: Sequence[Delivery]) -> list[Outcome]:
        """Handles deliveries in the caller's transaction, as many as there is time for. It wakes nobody.

        Args:
            session: holds these deliveries, and nothing else.
            due: what to handle.
        """
        session.expunge_all()  # whoever handles one writes it
        stop = time.monotonic() + LONGEST_BATCH.total_seconds()
        outcomes: list[Outcome] = []
        for group in self._groups(sorted(((row, self.read(row)) for row in due), key=_by_booking)):
            if time.monotonic() > stop:
                break
            outcomes += self._process_group(session, group)
        return outcomes

    def _ask_first(self, delivery_id: str) -> Answer | None:
        """What meetergo says of a cancel that is about to be tried. No lock is held while it answers."""
        with self.database.reading() as session:
            delivery = session.get(Delivery, delivery_id)
            if self.confirmation is None or delivery is None or not delivery.is_up(self.clock()):
                return None
            event = self.read(delivery)
            if not is_unconfirmed_cancel(event, delivery.source):
                return None
            booking = session.get(Booking, event.booking_id)
        return self.confirmation.ask(event, booking.host_ids if booking else (), self.clock())

    def _hand_over(self, delivery: Delivery, event: Event) -> Outcome:
        """To its own job, which asks meetergo first: see `retry`."""
        delivery.tell_of(event)
        delivery.hand_over(self.clock())
        return Outcome(delivery, is_handed_over=True)

    def read(self, delivery: Delivery) -> Event | Failure:
        """What a delivery says; or why nobody can tell."""
        try:
            body, asked = self.vault.open(delivery.sealed), delivery.source == "reconcile"
            event = events.read(body, delivery.received_at, is_authoritative=asked)
        except Unreadable as error:
            delivery.tell_of(error)
            return Permanent(str(error))
        except Transient as error:
            return error
        if self.company_id and event.company_id not in (None, self.company_id):
            delivery.tell_of(event)
            return Permanent("the body is another company's: its companyId is not MEETERGO_COMPANY_ID")
        return event

    def _groups(self, todo: Sequence[Todo]) -> Iterator[Sequence[Todo]]:
        """What is handled together; alone, what may take its time or touch more than its booking."""
        for is_alone, some in groupby(todo, self._is_alone):
            group = list(some)
            size = 1 if is_alone else GROUP
            yield from (group[start : start + size] for start in range(0, len(group), size))

    def _is_alone(self, todo: Todo) -> bool:
        delivery, event = todo
        return bool(
            self.recorder.hook
            or not isinstance(event, BookingEvent)
            or (self.confirmation and is_unconfirmed_cancel(event, delivery.source))
        )

    def _process_group(self, session: Session, group: Sequence[Todo]) -> list[Outcome]:
        """All together; if that fails because of one of them, each alone."""
        if not self._is_alone(group[0]):
            told = [(delivery, event) for delivery, event in group if isinstance(event, BookingEvent)]
            try:
                new = handle_together(session, told, self.recorder.announcer, self.clock())
                return [Outcome(delivery, owes=new > 0) for delivery, _ in told]
            except Exception as error:
                log.info("group.parted", deliveries=len(group), error=describe(error))
                _take_back(session, group)
        return [self._process_alone(session, delivery, event) for delivery, event in group]

    def _process_alone(self, session: Session, delivery: Delivery, event: Event | Failure) -> Outcome:
        session.add(delivery)
        if self.confirmation and is_unconfirmed_cancel(event, delivery.source):
            return self._hand_over(delivery, event)
        return self._process(session, delivery, event)

    def _process(self, session: Session, delivery: Delivery, event: Event | Failure) -> Outcome:
        now = self.clock()
        try:
            if isinstance(event, Failure):
                raise event
            delivery.tell_of(event)
            with session.begin_nested():
                owed = self.recorder.record(session, handle(Ledger(session, now), delivery, event))
            finish(delivery, event, now)
        except Exception as error:
            delivery.fail(error, now)
            FailedAttempt.record(session, delivery, now)
            return Outcome(delivery, error)
        return Outcome(delivery, owes=owed > 0)

    def _report(self, outcomes: Sequence[Outcome], *, tend: bool = True) -> None:
        """After the commit: wakes the outbox, gives each failed row a job of its own, counts and logs."""
        if any(outcome.owes for outcome in outcomes):
            self.bell.ring("outbox")
        for delivery, error, _, is_handed_over in outcomes:
            if (error or is_handed_over) and tend:
                self.bell.tend("inbox", delivery.id, delivery)
            if not is_handed_over:
                self.tally.delivery(delivery, self.clock())
            waiting = "confirming" if is_handed_over else "retrying"
            log.info(
                f"delivery.{waiting if delivery.status == 'pending' else delivery.status}",
                delivery_id=delivery.id,
                booking_id=delivery.booking_id,
                type=delivery.event,
                **({"error": describe(error)} if error else {}),
            )


def _by_booking(item: Todo) -> str:
    """Every transaction locks bookings in the same order, so that two workers cannot deadlock."""
    return item[1].booking_id if isinstance(item[1], BookingEvent) else ""


def _take_back(session: Session, group: Sequence[Todo]) -> None:
    """The deliveries as they are in the database: forgets what the group would have made of them."""
    for delivery, _ in group:
        session.add(delivery)
        session.expire(delivery)
