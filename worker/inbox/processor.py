"""Process due deliveries: from stored bytes to changed bookings, each delivery isolated by a savepoint."""

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial

import structlog
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.orm import Session

from meetergo import events
from meetergo.events import BookingEvent, Event, UnreadableBody
from models.account import DEFAULT, booking_key, check_key
from models.account_cache import Accounts, AccountsUnknown
from models.attempt import FailedAttempt
from models.booking import Booking
from models.claim import Claim
from models.delivery import DUE_KINDS, Delivery, DueKind, DueRow
from models.retryable import RefusedRows, Turn
from runtime.contention import is_contention
from runtime.database import Database, is_table_refused, shorten_lock_timeout
from runtime.encryption import BodyCipher
from runtime.errors import Failure, Permanent, describe
from runtime.outage import Cooldown
from runtime.queue import JobQueue
from runtime.write_probe import probe_write
from worker.drain_result import DrainResult
from worker.identity import own_name
from worker.inbox.batch import ChangeRecorder, Outcome, ParsedDelivery, is_lost, process_batch
from worker.inbox.cancel_check import CancelChecks, CheckResult
from worker.inbox.isolation import Isolation
from worker.metrics.protocol import Metrics, NoMetrics

BATCH = 200
MAX_ROWS: dict[DueKind, int] = {"new": BATCH, "failed": 20, "isolated": 1}
"""Rows claimed at once. The limit for failed rows bounds how long they delay healthy ones."""
MAX_SQLITE_ROWS = 100
"""The same on SQLite, whose only write lock a batch holds: the receiver waits for it, too."""
MAX_BATCH_BYTES = 4 * 1024 * 1024
"""Limit for the bodies of a batch: once parsed they take 25 times as much memory."""
PAGE_BYTES = 512 * 1024
"""Limit for the bodies that are loaded together."""
MAX_BATCH_TIME = timedelta(milliseconds=250)
"""A batch commits what it has after this time, because it holds locks; on SQLite the only one."""
PARSE_SHARE = 0.5
"""Share of MAX_BATCH_TIME for parsing: later deliveries would not be handled in time."""
FILLED_SHARE = 0.9
"""Share of MAX_BATCH_TIME for which rows are claimed: one that is left when it ends was parsed in vain."""
MAX_SINGLES_TIME = timedelta(seconds=1)
"""Limit for a group handled one by one after a failure: it takes longer, and a rollback would lose it all."""

CHECK_LEASE = timedelta(seconds=60)
"""How long a delivery is kept from other workers while one asks meetergo about it, which takes 20 s at most."""
LOCK_COOLDOWN = timedelta(seconds=10)
"""How long a batch waits less for locks after one that was held for long, such as by the platform: each delivery that
needs that row would otherwise hold up all others for as long as one may wait."""
MAX_GROUP = 100
"""Deliveries handled together, with one statement per table instead of one per row."""

Clock = Callable[[], datetime]
log = structlog.get_logger()


@dataclass
class _Batch:
    """Rows handled in one transaction.

    `is_shared`: accounts beside `default` have rows that wait, so that this batch takes those of one account only.
    `parsed`: rows by id, with what was parsed of them before the transaction; see `_parse_ahead`.
    """

    kind: DueKind
    is_shared: bool = False
    rows: list[DueRow] = field(default_factory=list)
    has_more: bool = False
    parsed: dict[str, ParsedDelivery] = field(default_factory=dict)

    @property
    def ids(self) -> list[str]:
        return [row.id for row in self.rows]


@dataclass
class _AdaptiveLimit:
    """Number of new rows to claim at once: claiming rows that there is no time to handle wastes the work."""

    limit: int = BATCH

    def adapt(self, claimed: int, handled: int, seconds: float) -> None:
        """Adjust the limit after a batch to what fits in its time, but at most to twice the number handled."""
        if claimed == self.limit or handled < claimed:
            share = seconds / (MAX_BATCH_TIME.total_seconds() * FILLED_SHARE)
            self.limit = min(max(int(handled / max(share, 0.5)), 1), BATCH)


@dataclass(frozen=True)
class InboxProcessor:
    """Processes deliveries.

    Attributes:
        database: the database with the deliveries.
        job_queue: triggers the outbox.
        recorder: records the changes that deliveries make.
        cipher: decrypts the bodies.
        accounts: the accounts, and the company of each.
        clock: returns the time, UTC.
        metrics: counts each attempt.
        cancel_check: verifies webhooks with meetergo before they are applied, see CONFIRM; None to trust them.
        worker: name of this process, under which it claims rows.
    """

    database: Database
    job_queue: JobQueue
    recorder: ChangeRecorder
    cipher: BodyCipher
    accounts: Accounts
    clock: Clock
    metrics: Metrics = field(default_factory=NoMetrics)
    cancel_check: CancelChecks | None = None
    worker: str = field(default_factory=own_name)
    _limit: _AdaptiveLimit = field(default_factory=_AdaptiveLimit, repr=False, compare=False)
    _long_lock: Cooldown = field(default_factory=lambda: Cooldown(LOCK_COOLDOWN), repr=False, compare=False)
    _refused: RefusedRows = field(default_factory=RefusedRows, repr=False, compare=False)
    _turns: dict[DueKind, Turn] = field(
        default_factory=lambda: {kind: Turn() for kind in DUE_KINDS}, repr=False, compare=False
    )
    """One for each kind: with a common one, two accounts could take turns by kind, and one's new rows never be due."""

    def process_due(self) -> DrainResult:
        """Handle due deliveries, each kind in its own transaction: new ones first, then failed and isolated ones."""
        with self.database.one_statement(read_only=True) as connection:
            due, is_shared = Delivery.due(connection, self.clock())
        return max((self._process_kind(kind, is_shared=is_shared) for kind in due), default=DrainResult.IDLE)

    def process(self, session: Session, delivery: Delivery) -> Outcome:
        """Handle one delivery in the caller's transaction, in its own savepoint. Triggers no queue."""
        (outcome,) = process_batch(session, [(delivery, self.parse(delivery))], self.recorder, self.clock())
        return outcome

    def process_all(
        self,
        session: Session,
        claimed: Sequence[DueRow],
        kind: DueKind,
        ahead: Mapping[str, ParsedDelivery],
    ) -> list[Outcome]:
        """Handle as many deliveries as time allows, in the caller's transaction. Triggers no queue.

        Args:
            session: holds the locks of these deliveries, and no other objects.
            claimed: the deliveries to handle. The first is always handled.
            kind: their kind.
            ahead: what was parsed before the transaction, by id; see `_parse_ahead`.
        """
        deadline = time.monotonic() + MAX_BATCH_TIME.total_seconds()
        outcomes, parsed = self._parse_in_time(session, claimed, ahead)
        session.expunge_all()  # what is left of them is loaded again
        ready = list[ParsedDelivery]()
        for delivery, event in parsed:
            if self.cancel_check and self.cancel_check.needs_check(event, delivery.source):
                outcomes.append(self._await_check(session, delivery, event, kind))
            else:
                ready.append((delivery, event))
        if time.monotonic() < self._long_lock.until:
            shorten_lock_timeout(session)
        for group in _groups(sorted(ready, key=_by_booking), MAX_GROUP):
            if outcomes and time.monotonic() > deadline:
                break
            outcomes += self._process_group(session, group, deadline)
        if any(_waited_for_lock(outcome.error) for outcome in outcomes):
            self._long_lock.start()
        return outcomes

    def _process_kind(self, kind: DueKind, *, is_shared: bool) -> DrainResult:
        batch, seconds = _Batch(kind, is_shared), 0.0
        try:
            with self._claimed(batch) as session:
                if batch.has_more and kind == "new" and self.database.supports_skip_locked:
                    self.job_queue.trigger_drain("inbox")
                started = time.monotonic()
                outcomes = self.process_all(session, batch.rows, kind, batch.parsed) if batch.rows else []
                seconds = time.monotonic() - started
        except Exception as error:
            self._report(self._isolation().isolate(kind, batch.ids, error))
            return DrainResult.MORE
        if kind == "isolated" and outcomes and outcomes[0].awaits_check:
            self._check(outcomes[0].delivery)
            return DrainResult.MORE
        self._report(outcomes)
        if kind == "new":
            self._limit.adapt(len(batch.rows), len(outcomes), seconds)
        if batch.rows and not outcomes:
            self._isolation().note_stuck(kind, batch.ids)
            return DrainResult.IDLE
        if batch.has_more or len(outcomes) < len(batch.rows) or any(outcome.awaits_check for outcome in outcomes):
            return DrainResult.MORE
        return DrainResult.DRAINED if batch.rows else DrainResult.IDLE

    def _check(self, delivery: Delivery) -> None:
        """Ask meetergo about a delivery, then handle it. No lock is held and no transaction is open meanwhile."""
        try:
            event = self.parse(delivery)
            if self.cancel_check and self.cancel_check.needs_check(event, delivery.source):
                with self.database.read_only() as session:
                    booking = session.get(Booking, event.booking_id)
                hosts = booking.host_ids if booking else ()
                with self._dropping_claims():
                    self._record_claim([delivery.id])
                    received_at = delivery.received_at
                    result = self.cancel_check.verify(delivery.account, event, hosts, self.clock(), received_at)
                    with self.database.transaction() as session:
                        outcomes = self._apply_check(session, delivery, result)
                        Claim.release(session, self.worker)
                self._report(outcomes)
        except Exception as error:
            probe_write(self.database)
            self._report(self._isolation().fail(delivery.id, error))

    def _apply_check(self, session: Session, checked: Delivery, result: CheckResult) -> list[Outcome]:
        delivery = session.get(Delivery, checked.id, with_for_update=True)
        if delivery is None or delivery.status != "pending" or delivery.due_at != checked.due_at:
            return []  # an operator ignored or replayed it meanwhile
        delivery.note = result.note
        return self._process_batch(session, [(delivery, result.event)])

    @contextmanager
    def _claimed(self, batch: _Batch) -> Iterator[Session]:
        """Open a transaction that locks the rows of a batch. The claim is recorded outside of it."""
        if not self.database.supports_skip_locked:
            with self.database.read_only() as session:
                ids = self._fill(session, batch).ids
            with self._dropping_claims():
                self._record_batch_claim(batch)  # SQLite's only lock would block it later
                self._parse_ahead(batch)
                batch.rows = []  # none is to blame if another process keeps the lock
                with self.database.transaction() as session:
                    self._fill(session, batch, ids)
                    yield session
                    Claim.release(session, self.worker)
            return
        with self._dropping_claims(), self.database.transaction() as session:
            if self._fill(session, batch).rows:
                self._record_batch_claim(batch)
            yield session
            Claim.release(session, self.worker)

    def _record_batch_claim(self, batch: _Batch) -> None:
        """Record the claim on a batch, whose rows are not to blame if that fails: no connection may be free."""
        try:
            self._record_claim(batch.ids)
        except SQLAlchemyError:
            batch.rows = []
            raise

    def _record_claim(self, ids: Sequence[str]) -> None:
        Claim.record(self.database, self.worker, "inbox", ids, self.clock())

    @contextmanager
    def _dropping_claims(self) -> Iterator[None]:
        """Drop the claims on an error: a worker that sees the error was not killed by the rows it claimed."""
        try:
            yield
        except BaseException:
            Claim.discard(self.database, self.worker)
            raise

    def _fill(self, session: Session, batch: _Batch, among: Sequence[str] | None = None) -> _Batch:
        """Fill a batch up to the limits for rows and for bytes, but with at least one row."""
        most = BATCH if self.database.supports_skip_locked else MAX_SQLITE_ROWS
        limit = min(MAX_ROWS[batch.kind], self._limit.limit, most)
        claim = partial(Delivery.claim_due, session, batch.kind, self.clock(), limit, refused=self._refused.keys)
        if batch.is_shared and among is None:
            due = self._turns[batch.kind].take(session, Delivery, claim)
            batch.has_more = bool(due)
        else:
            due = claim(among)
        batch.rows, bytes_left = [], MAX_BATCH_BYTES
        for row in due:
            bytes_left -= row.size
            if batch.rows and bytes_left < 0:
                break
            batch.rows.append(row)
        batch.has_more = batch.has_more or len(due) == limit or len(batch.rows) < len(due)
        return batch

    def _isolation(self) -> Isolation:
        return Isolation(self.database, self._refused, self.clock())

    def _parse_ahead(self, batch: _Batch) -> None:
        """Parse what time allows before SQLite's only write lock is taken. The rows are loaded again under it."""
        deadline = time.monotonic() + MAX_BATCH_TIME.total_seconds() * PARSE_SHARE
        with self.database.read_only() as session, suppress(DBAPIError, ValueError, OverflowError):  # see `_load`
            for page in _pages(batch.rows):
                rows = Delivery.load(session, page)
                session.expunge_all()
                for row in rows:
                    if time.monotonic() > deadline:
                        return
                    batch.parsed[row.id] = (row, self.parse(row))

    def _parse_in_time(
        self, session: Session, claimed: Sequence[DueRow], ahead: Mapping[str, ParsedDelivery]
    ) -> tuple[list[Outcome], list[ParsedDelivery]]:
        """Parse as many deliveries as time allows; also return the outcomes of those that cannot be loaded."""
        deadline = time.monotonic() + MAX_BATCH_TIME.total_seconds() * PARSE_SHARE
        outcomes, parsed = list[Outcome](), list[ParsedDelivery]()
        for page in _pages(claimed):
            for row in self._load(session, page, outcomes):
                if (parsed or outcomes) and time.monotonic() > deadline:
                    return outcomes, parsed
                parsed.append((row, _known(row, ahead.get(row.id)) or self.parse(row)))
        return outcomes, parsed

    def _load(self, session: Session, ids: Sequence[str], outcomes: list[Outcome]) -> Sequence[Delivery]:
        """Load rows. A row that cannot be loaded ends dead and does not stop the others."""
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

    def parse(self, delivery: Delivery) -> Event | Failure:
        """Return the delivery's event, or the reason why it cannot be read."""
        account = self.accounts.default if delivery.account == DEFAULT else self.accounts.get(delivery.account)
        if account is None and not self.accounts.is_current:
            return AccountsUnknown()
        if account is None:
            return Permanent(f"there is no account {delivery.account}: bin/inbox accounts add, then replay it")
        if delivery.account != account.name:
            delivery.account = account.name
        try:
            body, is_authoritative = self.cipher.decrypt(delivery.encrypted_body), delivery.source == "reconcile"
            event = _keyed(events.read(body, delivery.received_at, is_authoritative=is_authoritative), account.name)
        except UnreadableBody as error:
            delivery.set_event(error)
            return Permanent(str(error))
        except Failure as error:
            return error
        if account.company_id and event.company_id not in (None, account.company_id):
            delivery.set_event(event)
            of_account = "MEETERGO_COMPANY_ID" if account.is_default else f"that of the account {account.name}"
            return Permanent(f"the body is another company's: its companyId is not {of_account}")
        return event

    def _process_group(self, session: Session, group: Sequence[ParsedDelivery], deadline: float) -> list[Outcome]:
        """Handle a group together, until `deadline` in monotonic seconds; if one of them fails, each alone."""
        try:
            return self._process_batch(session, group, deadline)
        except Exception as error:
            if len(group) == 1 or is_lost(session):
                raise  # see `Isolation.isolate`
            log.info("batch.split", deliveries=len(group), error=describe(error))
            if is_contention(error):
                shorten_lock_timeout(session)
        deadline = time.monotonic() + MAX_SINGLES_TIME.total_seconds()
        outcomes: list[Outcome] = []
        for each in group:
            if outcomes and time.monotonic() > deadline:
                break
            outcomes += self._process_batch(session, [each])
        return outcomes

    def _process_batch(
        self, session: Session, group: Sequence[ParsedDelivery], deadline: float = math.inf
    ) -> list[Outcome]:
        """Like `process_batch`, but probe a table refused to one delivery: if it is refused to all, none is to blame.

        Raises:
            Exception: as `process_batch`, or the reason why the database cannot be written.
        """
        outcomes = process_batch(session, group, self.recorder, self.clock(), deadline)
        if any(outcome.error and is_table_refused(outcome.error) for outcome in outcomes):
            probe_write(self.database)
        return outcomes

    def _await_check(self, session: Session, delivery: Delivery, event: BookingEvent, kind: DueKind) -> Outcome:
        session.add(delivery)
        delivery.set_event(event)
        delivery.await_check(self.clock() + (CHECK_LEASE if kind == "isolated" else timedelta(0)))
        return Outcome(delivery, awaits_check=True)

    def _report(self, outcomes: Sequence[Outcome]) -> None:
        """Run after the commit: trigger the outbox, count and log."""
        if any(outcome.created_notifications for outcome in outcomes):
            self.job_queue.trigger_drain("outbox")
        for delivery, error, _, awaits_check in outcomes:
            if not awaits_check:
                self.metrics.delivery(delivery, self.clock())
            pending_event = "confirming" if awaits_check else "retrying"
            log.info(
                f"delivery.{pending_event if delivery.status == 'pending' else delivery.status}",
                account=delivery.account,
                delivery_id=delivery.id,
                booking_id=delivery.booking_id,
                type=delivery.event,
                **({"error": describe(error)} if error else {}),
            )


def _waited_for_lock(error: Exception | None) -> bool:
    """Whether a delivery, or its hook, waited too long for a lock."""
    return error is not None and (is_contention(error) or is_contention(error.__cause__))


def _keyed(event: Event, account: str) -> Event:
    """Return the event with its bookings named by their keys instead of meetergo's ids.

    Raises:
        Permanent: a key is too long.
    """
    if not isinstance(event, BookingEvent) or (
        account == DEFAULT and ":" not in f"{event.booking_id}{event.moved_from}"
    ):
        return event
    moved_from = event.moved_from and _key(account, event.moved_from)
    return replace(event, booking_id=_key(account, event.booking_id), moved_from=moved_from)


def _key(account: str, booking_id: str) -> str:
    return check_key(booking_key(account, booking_id))


def _known(row: Delivery, ahead: ParsedDelivery | None) -> Event | None:
    """Return the event that was parsed before, unless the body was erased or encrypted again since."""
    if ahead is None or isinstance(ahead[1], Failure) or ahead[0].encrypted_body != row.encrypted_body:
        return None
    if row.account != ahead[0].account:  # as `parse` sets it
        row.account = ahead[0].account
    return ahead[1]


def _pages(claimed: Sequence[DueRow]) -> Iterator[list[str]]:
    """Yield ids of rows to load together; fewer if bodies are large, so that few unparsed bodies are in memory."""
    page, bytes_left = list[str](), PAGE_BYTES
    for row in claimed:
        if page and row.size > bytes_left:
            yield page
            page, bytes_left = [], PAGE_BYTES
        page.append(row.id)
        bytes_left -= row.size
    if page:
        yield page


def _groups(parsed: Sequence[ParsedDelivery], size: int) -> Iterator[Sequence[ParsedDelivery]]:
    return (parsed[start : start + size] for start in range(0, len(parsed), size))


def _by_booking(item: ParsedDelivery) -> str:
    """Sort key: every transaction locks bookings in the same order, so that two workers cannot deadlock."""
    return item[1].booking_id if isinstance(item[1], BookingEvent) else ""
