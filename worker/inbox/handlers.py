"""Event handlers: plain functions that apply an event to the database's rows, and the context that they see.

A handler receives the context and the event and yields the changes it made. It has no session, clock, queue or HTTP.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import structlog
from sqlalchemy import Select, or_, select
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from meetergo.events import BookingEvent, EmployeeEvent
from models.booking import Booking, BookingChange, BookingStatus
from models.employee import Employee
from models.incident import Incident
from models.platform_user import NO_MAPPING, HostLinked, HostResolver, PlatformUser
from runtime.errors import describe

LINK_PAGE_SIZE = 500

Change = BookingChange | HostLinked

log = structlog.get_logger()


class HandlerContext:
    """What a handler can read and change in the database.

    Args:
        expected: events that will be handled, whose bookings `prefetch` locks.

    Attributes:
        session: the transaction's session, for recording the changes; handlers must not use it.
        now: the time of this transaction, UTC.
        account: the account of the delivery that is handled; not set before the first.
    """

    account: str

    def __init__(self, session: Session, now: datetime, expected: Sequence[BookingEvent] = ()) -> None:
        self.session = session
        self.now = now
        self._host_resolvers: dict[str, HostResolver] = {}
        self._expected = expected
        self._bookings: dict[str, Booking] = {}

    def prefetch(self) -> None:
        """Lock the bookings of all expected events and resolve their hosts with one statement each, once."""
        expected, self._expected = self._expected, ()
        if expected:
            self._lock(each for event in expected for each in (event.booking_id, event.moved_from) if each)
            hosts = defaultdict[str, list[Any]](list)
            for event in expected:
                hosts[self._bookings[event.booking_id].account] += event.facts.get("host_ids") or ()
            for booking in self._bookings.values():
                hosts[booking.account] += booking.host_ids or ()
            for account, host_ids in hosts.items():
                self.host_resolver(account).prefetch(host_ids)

    def bookings(self, *ids: str) -> list[Booking]:
        """Return the bookings' rows, locked; a new booking gets a row."""
        self._lock(ids)
        return [self._bookings[each] for each in ids]

    def delete_blank_bookings(self) -> None:
        """Delete the rows of new bookings whose events were postponed or failed."""
        Booking.delete_blank(self.session, self._bookings)

    def _lock(self, ids: Iterable[str]) -> None:
        """Lock bookings that are not locked yet. Reloading the others would discard unwritten changes."""
        missing = {*ids} - self._bookings.keys()
        if missing:
            self._bookings |= Booking.get_for_update(self.session, missing, self.now)

    def host_resolver(self, account: str) -> HostResolver:
        """Return what resolves an account's hosts to platform users."""
        if account not in self._host_resolvers:
            self._host_resolvers[account] = HostResolver(self.session, account)
        return self._host_resolvers[account]

    def forget_unknown_hosts(self) -> None:
        """Look hosts up again that were not found."""
        for resolver in self._host_resolvers.values():
            resolver.forget_unknown()

    def forget_hosts(self) -> None:
        """Look all hosts up again, since users that were inserted or changed may have been rolled back."""
        self._host_resolvers = {}

    def resolve_host(self, host_ids: Sequence[str], meeting_type_id: str | None) -> int | None:
        """Return the id of the platform user who hosts this in the account, if known."""
        user = self.host_resolver(self.account).resolve(host_ids, meeting_type_id)
        return user.id if user else None

    def knows_host(self, event: BookingEvent, account: str) -> bool:
        """Whether a platform user of the account hosts this, as far as the event itself tells."""
        host_ids, meeting_type_id = event.facts.get("host_ids") or (), event.facts.get("meeting_type_id")
        return self.host_resolver(account).resolve(host_ids, meeting_type_id) is not None

    def find_unlinked_user(self, email: str) -> PlatformUser | None:
        """Return the account's only platform user with this e-mail address that has no meetergo id yet."""
        return PlatformUser.unmapped_by_email(self.session, email, self.account)

    def is_mapped(self, meetergo_user_id: str) -> bool:
        """Whether a platform user of the account already has this meetergo id."""
        return PlatformUser.by_meetergo_user_id(self.session, meetergo_user_id, self.account) is not None

    def record_employee(self, meetergo_user_id: str, email: str) -> None:
        """Remember the e-mail address of a meetergo user of the account."""
        Employee.insert_new(self.session, meetergo_user_id, email, self.now, self.account)

    def is_email_shared(self, meetergo_user_id: str, email: str) -> bool:
        """Whether another meetergo user of the account has the same e-mail address."""
        return Employee.is_email_shared(self.session, meetergo_user_id, email, self.account)

    def link_waiting_bookings(self, user: PlatformUser) -> Iterator[Change]:
        """Assign waiting bookings to this user; yield each booking's change, then one `HostLinked` for all.

        A booking that cannot be linked stays as it is, is logged, and opens an incident.
        """
        is_new = user.linked_as in (None, NO_MAPPING)
        is_new_host = is_new or bool(user.meetergo_user_id and user.meetergo_user_id != user.linked_host)
        self.session.flush()
        self.account, self._host_resolvers = user.account, {}
        linked: set[str] = set()
        for booking_id, booking in self._unlinked_bookings_for(user):
            change = self._link(booking_id, booking)
            if change:
                linked.add(booking_id)
                yield change
        user.linked_as = user.mapping
        self.session.flush()
        hosted = self.session.scalars(self._hosted_by(user, "confirmed")).all()
        cancelled = self.session.scalars(self._hosted_by(user, "cancelled")).all() if is_new_host else ()
        yield HostLinked(user, [each for each in hosted if is_new_host or each in linked], self.now, cancelled)

    def _link(self, booking_id: str, booking: Booking | None) -> BookingChange | None:
        try:
            booking = booking or self.session.get_one(Booking, booking_id)
            return booking.link(self.resolve_host, self.now)
        except OperationalError:
            raise
        except Exception as error:
            if booking:
                self.session.expire(booking)
            log.error("link.skipped", booking_id=booking_id, error=describe(error))
            Incident.record_event(self.session, "link_skipped", self.now)
            return None

    def _unlinked_bookings_for(self, user: PlatformUser) -> Iterator[tuple[str, Booking | None]]:
        """Yield bookings of the user's account page by page, locked in order of id, as in every transaction.

        A page with a row that cannot be loaded yields ids only.
        """
        by_type = Booking.meeting_type_id == (user.meetergo_meeting_type_id or "")
        is_own = Booking.account == user.account
        is_for_user = or_(by_type, Booking.is_hosted_by(self.session, user.meetergo_user_id or ""))
        after = ""
        while True:
            is_unlinked = Booking.platform_user_id.is_(None), Booking.id > after, is_own, is_for_user
            ids = self.session.scalars(
                select(Booking.id).where(*is_unlinked).order_by(Booking.id).limit(LINK_PAGE_SIZE).with_for_update()
            ).all()
            if not ids:
                return
            try:
                page = Booking.by_ids(self.session, ids)
            except OperationalError:
                raise
            except Exception:
                page = {}
            yield from ((booking_id, page.get(booking_id)) for booking_id in ids)
            after = ids[-1]

    def _hosted_by(self, user: PlatformUser, status: BookingStatus) -> Select[str]:
        is_host = Booking.is_hosted_by(self.session, user.meetergo_user_id or "")
        return (
            select(Booking.id)
            .where(
                Booking.is_upcoming(self.now, status),
                Booking.account == user.account,
                or_(Booking.platform_user_id == user.id, is_host),
            )
            .order_by(Booking.starts_at, Booking.id)
        )


@dataclass(frozen=True)
class HandlerNote:
    """A reason why a delivery had less effect than it could have; quotes nothing of it."""

    text: str


Handler = Callable[[HandlerContext, Any], Iterator[Change | HandlerNote]]


def apply_booking_event(context: HandlerContext, event: BookingEvent) -> Iterator[Change]:
    """Apply a created, rescheduled or cancelled event: each holds the booking's state, and the row keeps the newest.

    A reschedule that created a new booking first cancels the previous one.
    """
    if event.moved_from:
        previous, _ = context.bookings(event.moved_from, event.booking_id)  # both are locked in the order of their ids
        ended = previous.cancel_as_moved(event.booking_id, event, context.now)
        if ended:
            yield ended
    (booking,) = context.bookings(event.booking_id)
    change = booking.apply(event, context.resolve_host, context.now)
    if change:
        yield change


def link_employee(context: HandlerContext, event: EmployeeEvent) -> Iterator[Change | HandlerNote]:
    """Link an employee to the platform user with the same e-mail, and assign the bookings that waited for an owner.

    The employee is remembered: if the platform adds its user later, the sweep links them.
    """
    if not event.email:
        yield HandlerNote("not linked: the body names no e-mail address")
        return
    context.record_employee(event.user_id, event.email)
    if context.is_mapped(event.user_id):
        return
    if context.is_email_shared(event.user_id, event.email):
        yield HandlerNote("not linked: another employee has the same e-mail address")
        return
    user = context.find_unlinked_user(event.email)
    if user is None:
        yield HandlerNote("not linked: no single platform user with this e-mail address waits for a meetergo id")
        return
    user.meetergo_user_id = event.user_id
    yield from context.link_waiting_bookings(user)


HANDLERS: dict[str, Handler] = {
    "booking_created": apply_booking_event,
    "booking_rescheduled": apply_booking_event,
    "booking_cancelled": apply_booking_event,
    "new_employee": link_employee,
}
