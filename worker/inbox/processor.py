"""The inbox, worked off: from accepted bytes to changed bookings, each delivery in a savepoint of its own."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import groupby
from typing import NamedTuple

import structlog
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.orm import Session

from meetergo import events
from meetergo.events import BookingEvent, Event, Unreadable
from models.attempt import FailedAttempt
from models.booking import Booking
from models.claim import Claim
from models.delivery import Delivery, Due, Taken
from models.incident import Incident
from models.intervention import BY_RQ, Intervention
from runtime.database import Database
from runtime.encryption import BodyCipher
from runtime.errors import Failure, Permanent, Transient, describe
from runtime.queue import JobQueue
from worker.identity import own_name
from worker.inbox.batch import process_batch
from worker.inbox.cancel_check import CancelCheck, CheckResult
from worker.inbox.changes import ChangeRecorder
from worker.inbox.context import HandlerContext
from worker.inbox.handling import finish, handle
from worker.progress import DrainResult
from worker.tally import Metrics, NoMetrics

BATCH = 200
MOST: dict[Due, int] = {"new": BATCH, "failed": 20, "isolated": 1}
"""How many are taken at once. What fails again and again keeps healthy ones waiting for that long."""
MOST_BYTES = 4 * 1024 * 1024
"""Of the bodies of a batch: what they say takes 25 times as much memory."""
PAGE_BYTES = 512 * 1024
"""Of the bodies that are loaded together."""
LONGEST_BATCH = timedelta(milliseconds=250)
"""A batch holds locks, on SQLite the only one: when this is over it commits what it has."""
READING = 0.5
"""Of that time: what is read afterwards would not be handled in it."""
LONGEST_ALONE = timedelta(seconds=1)
"""For a group of which one failed: each of them costs more than before, and all that they cost would be lost again."""

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


@dataclass
class _Batch:
    """Rows that are handled in one transaction."""

    kind: Due
    rows: list[Taken] = field(default_factory=list)
    has_more: bool = False

    @property
    def ids(self) -> list[str]:
        return [row.id for row in self.rows]


@dataclass
class _Pace:
    """How many new rows are taken at once: what there was no time for was read, and locked, for nothing."""

    most: int = BATCH

    def learn(self, taken: int, handled: int) -> None:
        """After a batch, grows or shrinks to twice what was handled."""
        if taken == self.most or handled < taken:
            self.most = min(max(2 * handled, 1), BATCH)


@dataclass(frozen=True)
class InboxProcessor:
    """Works off deliveries.

    Attributes:
        database: where they are.
        bell: wakes the outbox, and tends what failed.
        recorder: records the changes that they make.
        vault: opens their bodies.
        company_id: the only company whose events are taken; empty for any.
        clock: tells the time, UTC.
        tally: hears of each try.
        confirmation: asks meetergo before webhooks are acted on, see CONFIRM; None to take them as they come.
        worker: name of this process, under which it claims.
    """

    database: Database
    bell: JobQueue
    recorder: ChangeRecorder
    vault: BodyCipher
    company_id: str
    clock: Clock
    tally: Metrics = field(default_factory=NoMetrics)
    confirmation: CancelCheck | None = None
    worker: str = field(default_factory=own_name)
    _pace: _Pace = field(default_factory=_Pace, repr=False, compare=False)

    def work_off(self) -> DrainResult:
        """Handles what is due, each kind in a transaction of its own: what was never tried, then what is in trouble."""
        with self.database.reading() as session:
            due = Delivery.due(session, self.clock())
        return max((self._work_off(kind) for kind in due), default=DrainResult.NOTHING)

    def retry(self, delivery_id: str) -> Delivery | None:
        """One more try of a delivery that failed. A dead one starts over, since somebody asked for it.

        Returns:
            The delivery as it is now, or None if there is none.
        """
        with self.database.reading() as session:
            delivery = session.get(Delivery, delivery_id)
        if delivery is None or not delivery.is_up(self.clock()):
            return delivery
        answer = self._ask_first(delivery)
        try:
            return self._retry(delivery_id, answer)
        except Exception as error:
            self._blame(error)
            return self._fail(delivery_id, error)

    def _retry(self, delivery_id: str, answer: CheckResult | None) -> Delivery | None:
        with self._recorded([delivery_id]) as session:
            delivery = session.get(Delivery, delivery_id, with_for_update=True)
            if delivery and delivery.status == "dead":
                Intervention.record(session, "replayed", delivery, self.clock(), by=BY_RQ)
            if delivery is None or not delivery.wants_another_try(self.clock()):
                return delivery
            event = answer.event if answer else self.read(delivery)
            if answer is None and self.confirmation and self.confirmation.needs_check(event, delivery.source):
                return delivery  # it was not up yet when we would have asked
            delivery.note = answer.note if answer else None
            outcome = self._process(session, delivery, event)
        self._report([outcome], tend=False)
        return delivery

    def process(self, session: Session, delivery: Delivery) -> Outcome:
        """Handles one delivery in the caller's transaction, in a savepoint of its own. It wakes nobody."""
        return self._process(session, delivery, self.read(delivery))

    def process_all(self, session: Session, taken: Sequence[Taken]) -> list[Outcome]:
        """Handles deliveries in the caller's transaction, as many as there is time for. It wakes nobody.

        Args:
            session: has locked these deliveries, and holds nothing else.
            taken: what to handle. The first is handled in any case.
        """
        stop = time.monotonic() + LONGEST_BATCH.total_seconds()
        outcomes, todo = self._read_some(session, taken)
        session.expunge_all()  # whoever handles one writes it
        for group in self._groups(sorted(todo, key=_by_booking)):
            if outcomes and time.monotonic() > stop:
                break
            outcomes += self._process_group(session, group, stop)
        return outcomes

    def _work_off(self, kind: Due) -> DrainResult:
        batch = _Batch(kind)
        try:
            with self._claimed(batch) as session:
                if batch.has_more and kind == "new" and self.database.skips_locked:
                    self.bell.ring("inbox")
                outcomes = self.process_all(session, batch.rows) if batch.rows else []
        except Exception as error:
            self._split(batch, error)
            return DrainResult.PART
        self._report(outcomes)
        if batch.kind == "new":
            self._pace.learn(len(batch.rows), len(outcomes))
        if batch.rows and not outcomes:
            self._note_stuck(batch)
            return DrainResult.NOTHING
        return DrainResult.PART if batch.has_more or len(outcomes) < len(batch.rows) else DrainResult.ALL

    @contextmanager
    def _claimed(self, batch: _Batch) -> Iterator[Session]:
        """A transaction in which the rows of a batch are locked. Outside of it is recorded that we are at them."""
        if not self.database.skips_locked:
            with self.database.reading() as session:
                ids = self._take(session, batch).ids
            with self._recorded(ids) as session:  # SQLite's only lock would keep the record out
                self._take(session, batch, ids)
                yield session
            return
        with self._dropping_claims(), self.database.transaction() as session:
            if self._take(session, batch).rows:
                self._record(batch.ids)
            yield session
            Claim.release(session, self.worker)

    @contextmanager
    def _recorded(self, ids: Sequence[str]) -> Iterator[Session]:
        """A transaction, and outside of it the record that we are at these rows."""
        with self._dropping_claims():
            self._record(ids)
            with self.database.transaction() as session:
                yield session
                Claim.release(session, self.worker)

    def _record(self, ids: Sequence[str]) -> None:
        Claim.record(self.database, self.worker, "inbox", ids, self.clock())

    @contextmanager
    def _dropping_claims(self) -> Iterator[None]:
        """A worker that lives to see an error has not died at what it claimed."""
        try:
            yield
        except BaseException:
            Claim.drop(self.database, self.worker)
            raise

    def _take(self, session: Session, batch: _Batch, among: Sequence[str] | None = None) -> _Batch:
        """Fills a batch: as many rows as may be taken, and as there is room for their bodies; one in any case."""
        most = min(MOST[batch.kind], self._pace.most)
        due = Delivery.take_due(session, batch.kind, self.clock(), most, among)
        batch.rows, room = [], MOST_BYTES
        for row in due:
            room -= row.size
            if batch.rows and room < 0:
                break
            batch.rows.append(row)
        batch.has_more = batch.has_more or len(due) == most or len(batch.rows) < len(due)
        return batch

    def _split(self, batch: _Batch, error: Exception) -> None:
        """A transaction failed, and took the good rows along with the bad one: from now on each is tried alone.

        Raises:
            Exception: the same error, if it was no row's.
        """
        if not batch.rows:
            raise error
        self._blame(error)
        if len(batch.rows) == 1:
            self._fail(batch.ids[0], error)
            return
        log.warning("batch.split", deliveries=len(batch.rows), error=describe(error))
        with self.database.transaction() as session:
            Delivery.isolate_all(session, batch.ids)

    def _blame(self, error: Exception) -> None:
        """A row is blamed only if the database could take it.

        Raises:
            Exception: the same error, or why it could not.
        """
        if isinstance(error, DBAPIError) and error.connection_invalidated:
            raise error
        self.database.probe_write()

    def _fail(self, delivery_id: str, error: Exception) -> Delivery | None:
        """A delivery whose own transaction failed, fails alone; if its error cannot be written, the class of it can."""
        try:
            return self._write_failure(delivery_id, error)
        except Exception:
            return self._write_failure(delivery_id, Transient(type(error).__name__))

    def _write_failure(self, delivery_id: str, error: Exception) -> Delivery | None:
        with self.database.transaction() as session:
            delivery = session.get(Delivery, delivery_id, with_for_update=True)
            if delivery is None or delivery.status != "pending":
                return delivery
            delivery.fail(error, self.clock())
            FailedAttempt.record(session, delivery, self.clock())
        self._report([Outcome(delivery, error)])
        return delivery

    def _note_stuck(self, batch: _Batch) -> None:
        """Rows were due and nothing came of any: that never ends by itself, so a person has to look at it."""
        log.error("drain.no_progress", box="inbox", due=batch.kind, deliveries=len(batch.rows), first=batch.ids[0])
        try:
            with self.database.transaction() as session:
                Incident.note(session, "processing_stuck", True, [], self.clock())
        except SQLAlchemyError as error:
            log.warning("incident.unnoted", error=type(error).__name__)

    def _ask_first(self, delivery: Delivery) -> CheckResult | None:
        """What meetergo says of what is about to be tried. No lock is held while it answers."""
        if self.confirmation is None:
            return None
        event = self.read(delivery)
        if not self.confirmation.needs_check(event, delivery.source):
            return None
        with self.database.reading() as session:
            booking = session.get(Booking, event.booking_id)
        hosts = booking.host_ids if booking else ()
        return self.confirmation.ask(event, hosts, self.clock(), delivery.received_at)

    def _read_some(self, session: Session, taken: Sequence[Taken]) -> tuple[list[Outcome], list[Todo]]:
        """What deliveries say, of as many as there is time to read; and what became of those that cannot be loaded."""
        stop = time.monotonic() + LONGEST_BATCH.total_seconds() * READING
        outcomes, todo = list[Outcome](), list[Todo]()
        for page in _pages(taken):
            for row in self._load(session, page, outcomes):
                if (todo or outcomes) and time.monotonic() > stop:
                    return outcomes, todo
                todo.append((row, self.read(row)))
        return outcomes, todo

    def _load(self, session: Session, ids: Sequence[str], outcomes: list[Outcome]) -> Sequence[Delivery]:
        """Rows of the database; one that cannot be loaded dies, and stops no other."""
        try:
            return Delivery.load(session, ids)
        except DBAPIError as error:
            if error.connection_invalidated or not session.is_active:
                raise
            reason = describe(error)
        except (ValueError, OverflowError) as error:
            reason = describe(error)
        if len(ids) > 1:
            return [row for key in ids for row in self._load(session, [key], outcomes)]
        cause = Permanent(f"the row cannot be loaded: {reason}")
        row = Delivery.bury(session, ids[0], str(cause), self.clock())
        FailedAttempt.record(session, row, self.clock())
        session.flush()
        outcomes.append(Outcome(row, cause))
        return ()

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
            or (self.confirmation and self.confirmation.needs_check(event, delivery.source))
        )

    def _process_group(self, session: Session, group: Sequence[Todo], stop: float) -> list[Outcome]:
        """All together, until `stop` in monotonic seconds; if that fails because of one of them, each alone."""
        if not self._is_alone(group[0]):
            told = [(delivery, event) for delivery, event in group if isinstance(event, BookingEvent)]
            try:
                handled, new = process_batch(
                    session, told, self.recorder.announcer, self.clock(), lambda: time.monotonic() > stop
                )
                return [Outcome(delivery, owes=new > 0) for delivery, _ in told[:handled]]
            except Exception as error:
                if not session.is_active:
                    raise
                log.info("group.parted", deliveries=len(group), error=describe(error))
                _take_back(session, group)
                stop = time.monotonic() + LONGEST_ALONE.total_seconds()
        outcomes: list[Outcome] = []
        for delivery, event in group:
            if outcomes and time.monotonic() > stop:
                break
            outcomes.append(self._process_alone(session, delivery, event))
        return outcomes

    def _process_alone(self, session: Session, delivery: Delivery, event: Event | Failure) -> Outcome:
        session.add(delivery)
        if self.confirmation and self.confirmation.needs_check(event, delivery.source):
            return self._hand_over(delivery, event)
        return self._process(session, delivery, event)

    def _process(self, session: Session, delivery: Delivery, event: Event | Failure) -> Outcome:
        now = self.clock()
        try:
            if isinstance(event, Failure):
                raise event
            delivery.tell_of(event)
            with session.begin_nested():
                owed = self.recorder.record(session, handle(HandlerContext(session, now), delivery, event))
            finish(delivery, event, now)
        except Exception as error:
            if not session.is_active:
                raise  # its transaction is lost: see `_split`
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


def _pages(taken: Sequence[Taken]) -> Iterator[list[str]]:
    """Ids of rows that are loaded together: of large bodies only some, so that few are held that are not read yet."""
    page, room = list[str](), PAGE_BYTES
    for row in taken:
        if page and row.size > room:
            yield page
            page, room = [], PAGE_BYTES
        page.append(row.id)
        room -= row.size
    if page:
        yield page


def _by_booking(item: Todo) -> str:
    """Every transaction locks bookings in the same order, so that two workers cannot deadlock."""
    return item[1].booking_id if isinstance(item[1], BookingEvent) else ""


def _take_back(session: Session, group: Sequence[Todo]) -> None:
    """The deliveries as they are in the database: forgets what the group would have made of them."""
    for delivery, _ in group:
        session.add(delivery)
        session.expire(delivery)
