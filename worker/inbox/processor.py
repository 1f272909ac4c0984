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
from meetergo.events import BookingEvent, Event, UnreadableBody
from models.attempt import FailedAttempt
from models.booking import Booking
from models.claim import Claim
from models.delivery import Delivery, DueKind, DueRow
from models.incident import Incident
from models.intervention import BY_RQ, Intervention
from runtime.database import Database
from runtime.encryption import BodyCipher
from runtime.errors import Failure, Permanent, Transient, describe
from runtime.queue import JobQueue
from worker.drain_result import DrainResult
from worker.identity import own_name
from worker.inbox.batch import process_batch
from worker.inbox.cancel_check import CancelCheck, CheckResult
from worker.inbox.changes import ChangeRecorder
from worker.inbox.context import HandlerContext
from worker.inbox.handling import complete, run_handler
from worker.metrics import Metrics, NoMetrics

BATCH = 200
MAX_ROWS: dict[DueKind, int] = {"new": BATCH, "failed": 20, "isolated": 1}
"""How many are taken at once. What fails again and again keeps healthy ones waiting for that long."""
MAX_BATCH_BYTES = 4 * 1024 * 1024
"""Of the bodies of a batch: what they say takes 25 times as much memory."""
PAGE_BYTES = 512 * 1024
"""Of the bodies that are loaded together."""
MAX_BATCH_TIME = timedelta(milliseconds=250)
"""A batch holds locks, on SQLite the only one: when this is over it commits what it has."""
PARSE_SHARE = 0.5
"""Of that time: what is read afterwards would not be handled in it."""
MAX_SINGLES_TIME = timedelta(seconds=1)
"""For a group of which one failed: each of them costs more than before, and all that they cost would be lost again."""

GROUP_SIZE = 100
"""Deliveries that are handled together, with a statement for each table instead of each row."""

Clock = Callable[[], datetime]
ParsedDelivery = tuple[Delivery, Event | Failure]
log = structlog.get_logger()


class Outcome(NamedTuple):
    """What became of a delivery: its error, if it failed.

    `owes`: whether it, or what was handled together with it, owes somebody news. `is_handed_over`: nothing yet, its own
    job asks meetergo first.
    """

    delivery: Delivery
    error: Exception | None = None
    created_notifications: bool = False
    awaits_check: bool = False


@dataclass
class _Batch:
    """Rows that are handled in one transaction."""

    kind: DueKind
    rows: list[DueRow] = field(default_factory=list)
    has_more: bool = False

    @property
    def ids(self) -> list[str]:
        return [row.id for row in self.rows]


@dataclass
class _AdaptiveLimit:
    """How many new rows are taken at once: what there was no time for was read, and locked, for nothing."""

    limit: int = BATCH

    def adapt(self, claimed: int, handled: int) -> None:
        """After a batch, grows or shrinks to twice what was handled."""
        if claimed == self.limit or handled < claimed:
            self.limit = min(max(2 * handled, 1), BATCH)


@dataclass(frozen=True)
class InboxProcessor:
    """Works off deliveries.

    Attributes:
        database: where they are.
        job_queue: wakes the outbox, and schedules retries.
        recorder: records the changes that they make.
        cipher: decrypts their bodies.
        company_id: the only company whose events are taken; empty for any.
        clock: tells the time, UTC.
        metrics: counts each attempt.
        cancel_check: asks meetergo before webhooks are acted on, see CONFIRM; None to take them as they come.
        worker: name of this process, under which it claims.
    """

    database: Database
    job_queue: JobQueue
    recorder: ChangeRecorder
    cipher: BodyCipher
    company_id: str
    clock: Clock
    metrics: Metrics = field(default_factory=NoMetrics)
    cancel_check: CancelCheck | None = None
    worker: str = field(default_factory=own_name)
    _limit: _AdaptiveLimit = field(default_factory=_AdaptiveLimit, repr=False, compare=False)

    def process_due(self) -> DrainResult:
        """Handles what is due, each kind in a transaction of its own: what was never tried, then what is in trouble."""
        with self.database.read_only() as session:
            due = Delivery.due(session, self.clock())
        return max((self._process_kind(kind) for kind in due), default=DrainResult.IDLE)

    def retry(self, delivery_id: str) -> Delivery | None:
        """One more try of a delivery that failed. A dead one starts over, since somebody asked for it.

        Returns:
            The delivery as it is now, or None if there is none.
        """
        with self.database.read_only() as session:
            delivery = session.get(Delivery, delivery_id)
        if delivery is None or not delivery.is_retry_due(self.clock()):
            return delivery
        check = self._check_first(delivery)
        try:
            return self._retry(delivery_id, check)
        except Exception as error:
            self._raise_unless_row_fault(error)
            return self._fail(delivery_id, error)

    def _retry(self, delivery_id: str, check: CheckResult | None) -> Delivery | None:
        with self._with_claim([delivery_id]) as session:
            delivery = session.get(Delivery, delivery_id, with_for_update=True)
            if delivery and delivery.status == "dead":
                Intervention.record(session, "replayed", delivery, self.clock(), by=BY_RQ)
            if delivery is None or not delivery.begin_retry(self.clock()):
                return delivery
            event = check.event if check else self.parse(delivery)
            if check is None and self.cancel_check and self.cancel_check.needs_check(event, delivery.source):
                return delivery  # it was not up yet when we would have asked
            delivery.note = check.note if check else None
            outcome = self._process(session, delivery, event)
        self._report([outcome], schedule_retries=False)
        return delivery

    def process(self, session: Session, delivery: Delivery) -> Outcome:
        """Handles one delivery in the caller's transaction, in a savepoint of its own. It wakes nobody."""
        return self._process(session, delivery, self.parse(delivery))

    def process_all(self, session: Session, claimed: Sequence[DueRow]) -> list[Outcome]:
        """Handles deliveries in the caller's transaction, as many as there is time for. It wakes nobody.

        Args:
            session: has locked these deliveries, and holds nothing else.
            claimed: what to handle. The first is handled in any case.
        """
        deadline = time.monotonic() + MAX_BATCH_TIME.total_seconds()
        outcomes, parsed = self._parse_in_time(session, claimed)
        session.expunge_all()  # whoever handles one writes it
        for group in self._groups(sorted(parsed, key=_by_booking)):
            if outcomes and time.monotonic() > deadline:
                break
            outcomes += self._process_group(session, group, deadline)
        return outcomes

    def _process_kind(self, kind: DueKind) -> DrainResult:
        batch = _Batch(kind)
        try:
            with self._claimed(batch) as session:
                if batch.has_more and kind == "new" and self.database.supports_skip_locked:
                    self.job_queue.trigger_drain("inbox")
                outcomes = self.process_all(session, batch.rows) if batch.rows else []
        except Exception as error:
            self._isolate(batch, error)
            return DrainResult.MORE
        self._report(outcomes)
        if batch.kind == "new":
            self._limit.adapt(len(batch.rows), len(outcomes))
        if batch.rows and not outcomes:
            self._note_stuck(batch)
            return DrainResult.IDLE
        return DrainResult.MORE if batch.has_more or len(outcomes) < len(batch.rows) else DrainResult.DRAINED

    @contextmanager
    def _claimed(self, batch: _Batch) -> Iterator[Session]:
        """A transaction in which the rows of a batch are locked. Outside of it is recorded that we are at them."""
        if not self.database.supports_skip_locked:
            with self.database.read_only() as session:
                ids = self._fill(session, batch).ids
            with self._with_claim(ids) as session:  # SQLite's only lock would keep the record out
                self._fill(session, batch, ids)
                yield session
            return
        with self._dropping_claims(), self.database.transaction() as session:
            if self._fill(session, batch).rows:
                self._record_claim(batch.ids)
            yield session
            Claim.release(session, self.worker)

    @contextmanager
    def _with_claim(self, ids: Sequence[str]) -> Iterator[Session]:
        """A transaction, and outside of it the record that we are at these rows."""
        with self._dropping_claims():
            self._record_claim(ids)
            with self.database.transaction() as session:
                yield session
                Claim.release(session, self.worker)

    def _record_claim(self, ids: Sequence[str]) -> None:
        Claim.record(self.database, self.worker, "inbox", ids, self.clock())

    @contextmanager
    def _dropping_claims(self) -> Iterator[None]:
        """A worker that lives to see an error has not died at what it claimed."""
        try:
            yield
        except BaseException:
            Claim.discard(self.database, self.worker)
            raise

    def _fill(self, session: Session, batch: _Batch, among: Sequence[str] | None = None) -> _Batch:
        """Fills a batch: as many rows as may be taken, and as there is room for their bodies; one in any case."""
        limit = min(MAX_ROWS[batch.kind], self._limit.limit)
        due = Delivery.claim_due(session, batch.kind, self.clock(), limit, among)
        batch.rows, bytes_left = [], MAX_BATCH_BYTES
        for row in due:
            bytes_left -= row.size
            if batch.rows and bytes_left < 0:
                break
            batch.rows.append(row)
        batch.has_more = batch.has_more or len(due) == limit or len(batch.rows) < len(due)
        return batch

    def _isolate(self, batch: _Batch, error: Exception) -> None:
        """A transaction failed, and took the good rows along with the bad one: from now on each is tried alone.

        Raises:
            Exception: the same error, if it was no row's.
        """
        if not batch.rows:
            raise error
        self._raise_unless_row_fault(error)
        if len(batch.rows) == 1:
            self._fail(batch.ids[0], error)
            return
        log.warning("batch.isolated", deliveries=len(batch.rows), error=describe(error))
        with self.database.transaction() as session:
            Delivery.isolate_all(session, batch.ids)

    def _raise_unless_row_fault(self, error: Exception) -> None:
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
        log.error("drain.no_progress", queue="inbox", due=batch.kind, deliveries=len(batch.rows), first=batch.ids[0])
        try:
            with self.database.transaction() as session:
                Incident.record_state(session, "processing_stuck", True, [], self.clock())
        except SQLAlchemyError as error:
            log.warning("incident.not_recorded", error=type(error).__name__)

    def _check_first(self, delivery: Delivery) -> CheckResult | None:
        """What meetergo says of what is about to be tried. No lock is held while it answers."""
        if self.cancel_check is None:
            return None
        event = self.parse(delivery)
        if not self.cancel_check.needs_check(event, delivery.source):
            return None
        with self.database.read_only() as session:
            booking = session.get(Booking, event.booking_id)
        hosts = booking.host_ids if booking else ()
        return self.cancel_check.verify(event, hosts, self.clock(), delivery.received_at)

    def _parse_in_time(self, session: Session, claimed: Sequence[DueRow]) -> tuple[list[Outcome], list[ParsedDelivery]]:
        """What deliveries say, of as many as there is time to read; and what became of those that cannot be loaded."""
        deadline = time.monotonic() + MAX_BATCH_TIME.total_seconds() * PARSE_SHARE
        outcomes, parsed = list[Outcome](), list[ParsedDelivery]()
        for page in _pages(claimed):
            for row in self._load(session, page, outcomes):
                if (parsed or outcomes) and time.monotonic() > deadline:
                    return outcomes, parsed
                parsed.append((row, self.parse(row)))
        return outcomes, parsed

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
        row = Delivery.mark_unloadable_dead(session, ids[0], str(cause), self.clock())
        FailedAttempt.record(session, row, self.clock())
        session.flush()
        outcomes.append(Outcome(row, cause))
        return ()

    def _defer_to_check(self, delivery: Delivery, event: Event) -> Outcome:
        """To its own job, which asks meetergo first: see `retry`."""
        delivery.set_event(event)
        delivery.defer(self.clock())
        return Outcome(delivery, awaits_check=True)

    def parse(self, delivery: Delivery) -> Event | Failure:
        """What a delivery says; or why nobody can tell."""
        try:
            body, is_authoritative = self.cipher.decrypt(delivery.encrypted_body), delivery.source == "reconcile"
            event = events.read(body, delivery.received_at, is_authoritative=is_authoritative)
        except UnreadableBody as error:
            delivery.set_event(error)
            return Permanent(str(error))
        except Transient as error:
            return error
        if self.company_id and event.company_id not in (None, self.company_id):
            delivery.set_event(event)
            return Permanent("the body is another company's: its companyId is not MEETERGO_COMPANY_ID")
        return event

    def _groups(self, parsed: Sequence[ParsedDelivery]) -> Iterator[Sequence[ParsedDelivery]]:
        """What is handled together; alone, what may take its time or touch more than its booking."""
        for is_processed_alone, chunk in groupby(parsed, self._is_processed_alone):
            group = list(chunk)
            size = 1 if is_processed_alone else GROUP_SIZE
            yield from (group[start : start + size] for start in range(0, len(group), size))

    def _is_processed_alone(self, parsed: ParsedDelivery) -> bool:
        delivery, event = parsed
        return bool(
            self.recorder.hook
            or not isinstance(event, BookingEvent)
            or (self.cancel_check and self.cancel_check.needs_check(event, delivery.source))
        )

    def _process_group(self, session: Session, group: Sequence[ParsedDelivery], deadline: float) -> list[Outcome]:
        """All together, until `stop` in monotonic seconds; if that fails because of one of them, each alone."""
        if not self._is_processed_alone(group[0]):
            booking_events = [(delivery, event) for delivery, event in group if isinstance(event, BookingEvent)]
            try:
                handled, created = process_batch(
                    session, booking_events, self.recorder.planner, self.clock(), lambda: time.monotonic() > deadline
                )
                return [
                    Outcome(delivery, created_notifications=created > 0) for delivery, _ in booking_events[:handled]
                ]
            except Exception as error:
                if not session.is_active:
                    raise
                log.info("batch.split", deliveries=len(group), error=describe(error))
                _discard_changes(session, group)
                deadline = time.monotonic() + MAX_SINGLES_TIME.total_seconds()
        outcomes: list[Outcome] = []
        for delivery, event in group:
            if outcomes and time.monotonic() > deadline:
                break
            outcomes.append(self._process_alone(session, delivery, event))
        return outcomes

    def _process_alone(self, session: Session, delivery: Delivery, event: Event | Failure) -> Outcome:
        session.add(delivery)
        if self.cancel_check and self.cancel_check.needs_check(event, delivery.source):
            return self._defer_to_check(delivery, event)
        return self._process(session, delivery, event)

    def _process(self, session: Session, delivery: Delivery, event: Event | Failure) -> Outcome:
        now = self.clock()
        try:
            if isinstance(event, Failure):
                raise event
            delivery.set_event(event)
            with session.begin_nested():
                created = self.recorder.record(session, run_handler(HandlerContext(session, now), delivery, event))
            complete(delivery, event, now)
        except Exception as error:
            if not session.is_active:
                raise  # its transaction is lost: see `_split`
            delivery.fail(error, now)
            FailedAttempt.record(session, delivery, now)
            return Outcome(delivery, error)
        return Outcome(delivery, created_notifications=created > 0)

    def _report(self, outcomes: Sequence[Outcome], *, schedule_retries: bool = True) -> None:
        """After the commit: wakes the outbox, gives each failed row a job of its own, counts and logs."""
        if any(outcome.created_notifications for outcome in outcomes):
            self.job_queue.trigger_drain("outbox")
        for delivery, error, _, awaits_check in outcomes:
            if (error or awaits_check) and schedule_retries:
                self.job_queue.schedule_retry("inbox", delivery.id, delivery)
            if not awaits_check:
                self.metrics.delivery(delivery, self.clock())
            pending_event = "confirming" if awaits_check else "retrying"
            log.info(
                f"delivery.{pending_event if delivery.status == 'pending' else delivery.status}",
                delivery_id=delivery.id,
                booking_id=delivery.booking_id,
                type=delivery.event,
                **({"error": describe(error)} if error else {}),
            )


def _pages(claimed: Sequence[DueRow]) -> Iterator[list[str]]:
    """Ids of rows that are loaded together: of large bodies only some, so that few are held that are not read yet."""
    page, bytes_left = list[str](), PAGE_BYTES
    for row in claimed:
        if page and row.size > bytes_left:
            yield page
            page, bytes_left = [], PAGE_BYTES
        page.append(row.id)
        bytes_left -= row.size
    if page:
        yield page


def _by_booking(item: ParsedDelivery) -> str:
    """Every transaction locks bookings in the same order, so that two workers cannot deadlock."""
    return item[1].booking_id if isinstance(item[1], BookingEvent) else ""


def _discard_changes(session: Session, group: Sequence[ParsedDelivery]) -> None:
    """The deliveries as they are in the database: forgets what the group would have made of them."""
    for delivery, _ in group:
        session.add(delivery)
        session.expire(delivery)
