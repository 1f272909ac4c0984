"""Process a batch of deliveries, of any size, with one statement per table instead of one per row."""

import math
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import structlog
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from meetergo.events import BookingEvent, Event
from models.account_cache import AccountsUnknown
from models.attempt import FailedAttempt
from models.booking import Booking, BookingChange
from models.delivery import Delivery
from models.incident import Incident
from models.notification import Notification
from models.platform_user import HostLinked
from runtime.bulk import attach, insert_all, modified, unflushed, update_all
from runtime.errors import Failure, describe
from worker.hook import Hook
from worker.inbox.handlers import HANDLERS, Change, HandlerContext, HandlerNote
from worker.inbox.listen_notify import notify_listeners
from worker.outbox.planner import NotificationPlanner

MAX_NOTIFICATIONS = 500
"""Number of notifications written with one statement."""
MAX_CHUNK_TIME = timedelta(milliseconds=60)
"""How long a chunk takes, and by how much the last of a batch may be late: if broken off, all it did is lost."""

ParsedDelivery = tuple[Delivery, Event | Failure]
"""A delivery, and its event or the reason why it cannot be read."""

log = structlog.get_logger()


@dataclass
class HookPace:
    """The hook's recent speed, which decides the size of a chunk. It grows in steps, since a hook may become slow.

    Attributes:
        size: number of deliveries in the next chunk.
        seconds_each: time that one delivery took in the last.
    """

    size: int = 1
    seconds_each: float = 0.0

    def size_within(self, seconds: float) -> int:
        """Return how many deliveries to handle in the next chunk, at least one, if this much time is left."""
        fitting = seconds / self.seconds_each if self.seconds_each else math.inf
        return max(1, int(min(self.size, fitting)))

    def adapt(self, handled: int, seconds: float) -> None:
        """Adjust the size after a chunk to what fits in `MAX_CHUNK_TIME`, but at most to twice the last size."""
        self.seconds_each = seconds / handled
        self.size = 2 * max(self.size, handled)
        self.size = self.size_within(MAX_CHUNK_TIME.total_seconds())


@dataclass(frozen=True)
class ChangeRecorder:
    """Records changes, calls the platform's hook and creates notifications.

    Attributes:
        planner: plans the notifications of a change.
        hook: the platform's function, if it has one.
        database_notify: whether PostgreSQL's listeners are notified of each change.
        hook_pace: how many changes are written before their hooks are called.
    """

    planner: NotificationPlanner
    hook: Hook | None
    database_notify: bool
    hook_pace: HookPace = field(default_factory=HookPace, repr=False, compare=False)

    def notify_listeners(self, session: Session, changes: Sequence[BookingChange]) -> None:
        """Notify the database's listeners of changes, if DATABASE_NOTIFY asks for it."""
        if self.database_notify:
            notify_listeners(session, changes)

    def record_each(self, session: Session, changes: Iterator[Change], now: datetime) -> int:
        """Record each change in its own savepoint, in which it is also made: a change that fails to record is undone.

        A failed change is logged, opens an incident, and does not stop the others.

        Returns:
            The number of new notifications.
        """
        created = 0
        while True:
            change = None
            try:
                with session.begin_nested():
                    change = next(changes, None)
                    if change is None:
                        return created
                    created += Notification.insert_new(session, [*self._record_change(session, change)])
                    if isinstance(change, BookingChange):
                        self.notify_listeners(session, [change])
            except (OperationalError, AccountsUnknown):
                raise
            except Exception as error:
                if change is None:
                    raise
                booking_id = None if isinstance(change, HostLinked) else change.booking_id
                log.error("link.skipped", booking_id=booking_id, error=describe(error))
                Incident.record_event(session, "link_skipped", now)

    def _record_change(self, session: Session, change: Change) -> Iterable[dict[str, Any]]:
        if isinstance(change, HostLinked):
            return self.planner.rows_for_linked_host(session, change)
        session.flush()
        insert_all(session, [change], *BookingChange.KEY)
        if self.hook:
            self.hook(session, change.booking, change)
        return self.planner.rows_for(session, change)


class PendingChanges:
    """The changes of a batch. They and their notifications are written together; with a hook, before its calls.

    Args:
        recorder: plans the notifications; has the hook.
        context: the batch's context, whose session never flushes by itself.
    """

    def __init__(self, recorder: ChangeRecorder, context: HandlerContext) -> None:
        self.context = context
        self.hook_pace = recorder.hook_pace
        self._recorder = recorder
        self._session, self._planner, self._hook = context.session, recorder.planner, recorder.hook
        self._recorded: list[BookingChange] = []
        self._changes: list[BookingChange] = []
        self._notifications: list[dict[str, Any]] = []
        self._attached: list[Booking] = []
        self._created = 0

    @property
    def has_hook(self) -> bool:
        """Whether each change calls the platform's hook."""
        return self._hook is not None

    def add(self, change: Change) -> None:
        """Add a change. Without a hook, plan its notifications; with one, `call_hooks` does."""
        if isinstance(change, HostLinked):
            self._write_pending()
            self._notifications += self._planner.rows_for_linked_host(self._session, change)
            return
        self._recorded.append(change)
        self._changes.append(change)
        if not self._hook:
            self._plan(change)
            self._write_if_many()

    def call_hooks(self, deadline: float = math.inf) -> None:
        """Write the added changes, and call the hook for each with a session that has nothing else to flush.

        Raises:
            OutOfTime: not every hook was called by the deadline, in monotonic seconds.
        """
        if not self._hook or not self._changes:
            return
        changes, self._changes = self._changes, []
        bookings = [change.booking for change in changes]
        update_all(self._session, bookings)
        insert_all(self._session, changes, *BookingChange.KEY)
        attach(self._session, *bookings)
        self._attached += bookings
        for number, change in enumerate(changes):
            if number and time.monotonic() > deadline:
                raise OutOfTime
            self._session.autoflush = True
            try:
                self._hook(self._session, change.booking, change)
            finally:
                self._session.autoflush = False
            self.context.forget_unknown_hosts()  # the hook may have inserted users
            self._plan(change)

    def write(self) -> int:
        """Write everything that is not written yet.

        Returns:
            The number of new notifications of the batch.
        """
        self._write(modified(self._session, Booking))
        self._recorder.notify_listeners(self._session, self._recorded)
        self._recorded = []
        return self._created

    @contextmanager
    def savepoint(self) -> Iterator[None]:
        """Open a savepoint. If it fails, its changes and notifications are undone."""
        recorded, notifications, self._attached = [*self._recorded], [*self._notifications], []
        try:
            with self._session.begin_nested():
                yield
        except BaseException:
            self._recorded, self._notifications, self._changes = recorded, notifications, []
            for booking in self._attached:
                if booking in self._session:
                    self._session.expire(booking)
            self.context.forget_hosts()
            raise
        self._write_if_many()

    def _plan(self, change: BookingChange) -> None:
        resolver = self.context.host_resolver(change.booking.account)
        self._notifications += [*self._planner.rows_for(self._session, change, resolver, self._notifications)]

    def _write_if_many(self) -> None:
        if len(self._notifications) >= MAX_NOTIFICATIONS:
            self._write_pending()

    def _write_pending(self) -> None:
        self._write({change.booking.id: change.booking for change in self._changes}.values())

    def _write(self, bookings: Iterable[Booking]) -> None:
        update_all(self._session, [*bookings])
        insert_all(self._session, self._changes, *BookingChange.KEY)
        self._changes = []
        self._created += Notification.insert_new(self._session, self._notifications)
        self._notifications = []


class OutOfTime(Exception):
    """There was no time to call all hooks of a chunk."""


class Outcome(NamedTuple):
    """The result of one attempt.

    Attributes:
        delivery: the delivery.
        error: why it failed; None if it did not.
        created_notifications: whether its batch created notifications.
        awaits_check: whether it was not handled yet, because meetergo is asked first.
    """

    delivery: Delivery
    error: Exception | None = None
    created_notifications: bool = False
    awaits_check: bool = False


class _Handled(NamedTuple):
    """A delivery that was handled: the error that it failed with, or the handler's note."""

    delivery: Delivery
    event: Event | Failure
    error: Exception | None = None
    note: str | None = None


def process_batch(
    session: Session,
    parsed: Sequence[ParsedDelivery],
    recorder: ChangeRecorder,
    now: datetime,
    deadline: float = math.inf,
) -> list[Outcome]:
    """Handle deliveries in one savepoint, then end them: done, or failed.

    With a hook, one of several deliveries whose hook raises fails alone; see `_handle_in_chunks`. Any other error of
    one among several is not distinguished from an error of all.

    Args:
        session: the transaction's session.
        parsed: deliveries and their events; those of no booking first, because users are locked before bookings.
        recorder: records their changes.
        now: the time, UTC.
        deadline: when to stop, in monotonic seconds: the remaining deliveries are left. The first is always handled.

    Raises:
        Exception: one of several failed, and nothing was changed: process each alone. Or the transaction is lost.
    """
    handled, created = list[_Handled](), 0
    try:
        with session.begin_nested(), unflushed(session) as batch_session:
            bookings = [event for _, event in parsed if isinstance(event, BookingEvent)]
            changes = PendingChanges(recorder, HandlerContext(batch_session, now, bookings))
            handle = _handle_in_chunks if changes.has_hook and len(parsed) > 1 else _handle_each
            for each in handle(parsed, changes, deadline):
                handled.append(each)
            created = changes.write()
            if len(handled) < len(parsed) or any(each.error for each in handled):
                changes.context.delete_blank_bookings()
    except Exception as error:
        if len(parsed) > 1 or is_lost(session):
            raise
        handled = [_Handled(*parsed[0], error)]
    return _end(session, handled, now, created_notifications=created > 0)


def is_lost(session: Session) -> bool:
    """Whether the transaction can only be rolled back."""
    return not session.is_active or session.connection().invalidated


def _handle_each(parsed: Sequence[ParsedDelivery], changes: PendingChanges, deadline: float) -> Iterator[_Handled]:
    for number, (delivery, event) in enumerate(parsed):
        if number and time.monotonic() > deadline:
            return
        _prepare(event, changes)
        yield _handle(delivery, event, changes, calls_hooks=True)


def _handle_in_chunks(parsed: Sequence[ParsedDelivery], changes: PendingChanges, deadline: float) -> Iterator[_Handled]:
    """Handle deliveries in chunks with a savepoint each, which write everything before they call the hooks.

    A chunk of several that fails is undone, and each of its deliveries is then handled in a chunk of its own, so that
    only one whose own hook raises has failed, and no hook has seen a row that was undone later.
    """
    waiting, pace, alone = _in_turns(parsed), changes.hook_pace, 0
    is_first = True
    while waiting:
        started = time.monotonic()
        if started > deadline and not is_first:
            return
        _prepare(waiting[0][1], changes)
        chunk = waiting[:1] if alone else _next_chunk(waiting, pace.size_within(deadline - started), changes.context)
        try:
            with changes.savepoint():
                handled = [_handle(*each, changes, calls_hooks=len(chunk) == 1) for each in chunk]
                changes.call_hooks(deadline + MAX_CHUNK_TIME.total_seconds())
        except Exception as error:
            if is_lost(changes.context.session):
                raise
            if len(chunk) > 1:
                alone, pace.size = len(chunk), 1
                continue
            handled = [_Handled(*chunk[0], error)]
        yield from handled
        waiting, alone, is_first = waiting[len(chunk) :], max(0, alone - 1), False
        pace.adapt(len(chunk), time.monotonic() - started)


def _in_turns(parsed: Sequence[ParsedDelivery]) -> list[ParsedDelivery]:
    """Put the first deliveries of all bookings before the second ones, as a chunk changes no booking twice."""
    seen = Counter[str]()
    turns = []
    for item in parsed:
        booking_id = item[1].booking_id if isinstance(item[1], BookingEvent) else ""
        turns.append((seen[booking_id] if booking_id else -1, item))
        seen[booking_id] += 1
    return [item for _, item in sorted(turns, key=lambda turn: turn[0])]


def _next_chunk(waiting: Sequence[ParsedDelivery], size: int, context: HandlerContext) -> Sequence[ParsedDelivery]:
    """Return the next deliveries, which can be applied before the hook was called for any of them.

    They are about different bookings, whose hosts are known: a hook may insert the platform user of the next booking.
    """
    bookings = set[str]()
    for length, (delivery, event) in enumerate(waiting[:size]):
        if not isinstance(event, BookingEvent):
            return waiting[: max(length, 1)]
        its = {event.booking_id, event.moved_from or event.booking_id}
        if length and (its & bookings or not context.knows_host(event, delivery.account)):
            return waiting[:length]
        bookings |= its
    return waiting[:size]


def _prepare(event: Event | Failure, changes: PendingChanges) -> None:
    if isinstance(event, BookingEvent):
        changes.context.prefetch()
    elif isinstance(event, Event):
        changes.write()  # notifications for a newly linked host depend on those already written


def _handle(delivery: Delivery, event: Event | Failure, changes: PendingChanges, *, calls_hooks: bool) -> _Handled:
    if isinstance(event, Failure):
        return _Handled(delivery, event, event)
    return _Handled(delivery, event, note=_run_handler(delivery, event, changes, calls_hooks=calls_hooks))


def _run_handler(delivery: Delivery, event: Event, changes: PendingChanges, *, calls_hooks: bool) -> str | None:
    """Record each change before the next is made. Returns the handler's note."""
    handler, note = HANDLERS.get(event.type), None
    if handler is None:
        return "nobody handles this event"
    changes.context.account = delivery.account
    for change in handler(changes.context, event):
        if isinstance(change, HandlerNote):
            note = change.text
            continue
        change.delivery_id, change.is_late = delivery.id, delivery.is_late(changes.context.now)
        changes.add(change)
        if calls_hooks:
            changes.call_hooks()
    return note


def _end(session: Session, handled: Sequence[_Handled], now: datetime, *, created_notifications: bool) -> list[Outcome]:
    """Mark deliveries done or failed, outside the savepoint in which they were handled: they were locked before it.

    PostgreSQL records a row locked outside a savepoint and changed inside it as locked by two transactions. Its index
    entry then stays live until the next vacuum, and every query for due rows would visit all that are done.
    """
    for delivery, event, error, note in handled:
        if isinstance(event, Event):
            delivery.set_event(event)
        if error is None:
            notes = (delivery.note, note, event.note if isinstance(event, Event) else None)
            if any(notes):
                delivery.note = "; ".join(filter(None, notes))
            delivery.finish(now)
        else:
            delivery.fail(error, now)
            FailedAttempt.record(session, delivery, now)
    update_all(session, [each.delivery for each in handled], *Delivery.HANDLING_COLUMNS)
    return [Outcome(each.delivery, each.error, created_notifications) for each in handled]
