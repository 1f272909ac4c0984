"""The handler context: the bookings and users that events may touch, locked for their transaction."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import structlog
from sqlalchemy import Select, func, or_, select
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from meetergo.events import BookingEvent
from models.booking import Booking, BookingChange
from models.employee import Employee
from models.incident import Incident
from models.platform_user import HostResolver, PlatformUser
from runtime.errors import describe

LINK_PAGE_SIZE = 500

log = structlog.get_logger()


@dataclass
class HostLinked:
    """A platform user was newly linked to a meetergo user who hosts bookings.

    Attributes:
        user: the platform user.
        booking_ids: bookings that the user owns from now on, confirmed and not over.
        at: time of linking, UTC.
        delivery_id: the delivery that caused it; None if none did.
        is_late: whether the event is outdated.
    """

    user: PlatformUser
    booking_ids: Sequence[str]
    at: datetime
    delivery_id: str | None = field(default=None, init=False)
    is_late: bool = field(default=False, init=False)


Change = BookingChange | HostLinked


class HandlerContext:
    """What a handler can read and change in the database.

    Attributes:
        now: the time of this transaction, UTC.
        host_resolver: resolves hosts to platform users.
    """

    def __init__(self, session: Session, now: datetime) -> None:
        self.now = now
        self.host_resolver = HostResolver(session)
        self._session = session
        self._bookings: dict[str, Booking] = {}

    def prefetch(self, events: Sequence[BookingEvent]) -> None:
        """Lock the bookings of many events and resolve their hosts with one statement each."""
        moved = (event.moved_from for event in events if event.moved_from)
        ids = (*(event.booking_id for event in events), *moved)
        self._bookings |= Booking.get_for_update(self._session, ids, self.now)
        self.host_resolver.prefetch(host for event in events for host in event.facts.get("host_ids") or ())
        self.host_resolver.prefetch(host for booking in self._bookings.values() for host in booking.host_ids or ())

    def booking(self, booking_id: str) -> Booking:
        """Return the booking's row, locked; a new booking gets a row."""
        if booking_id not in self._bookings:
            self._bookings |= Booking.get_for_update(self._session, [booking_id], self.now)
        return self._bookings[booking_id]

    def resolve_host(self, host_ids: Sequence[str], meeting_type_id: str | None) -> int | None:
        """Return the id of the platform user who hosts this, if known."""
        user = self.host_resolver.resolve(host_ids, meeting_type_id)
        return user.id if user else None

    def find_unlinked_user(self, email: str) -> PlatformUser | None:
        """Return the only platform user with this e-mail address that has no meetergo id yet."""
        return PlatformUser.unmapped_by_email(self._session, email)

    def is_mapped(self, meetergo_user_id: str) -> bool:
        """Whether a platform user already has this meetergo id."""
        query = select(func.count()).where(PlatformUser.meetergo_user_id == meetergo_user_id)
        return bool(self._session.scalar(query))

    def record_employee(self, meetergo_user_id: str, email: str) -> None:
        """Remember the e-mail address of a meetergo user."""
        Employee.insert_new(self._session, meetergo_user_id, email, self.now)

    def is_email_shared(self, meetergo_user_id: str, email: str) -> bool:
        """Whether another meetergo user has the same e-mail address."""
        return Employee.is_email_shared(self._session, meetergo_user_id, email)

    def link_waiting_bookings(self, user: PlatformUser) -> Iterator[Change]:
        """Assign waiting bookings to this user; yield each booking's change, then one `HostLinked` for all.

        A booking that cannot be linked stays as it is, is logged, and opens an incident.
        """
        is_new_host = bool(user.meetergo_user_id) and user.meetergo_user_id != user.linked_host
        self._session.flush()
        self.host_resolver = HostResolver(self._session)
        linked: set[str] = set()
        for booking_id, booking in self._unlinked_bookings_for(user):
            change = self._link(booking_id, booking)
            if change:
                linked.add(booking_id)
                yield change
        user.linked_as = user.mapping
        self._session.flush()
        hosted = self._session.scalars(self._hosted_by(user))
        yield HostLinked(user, [each for each in hosted if is_new_host or each in linked], self.now)

    def _link(self, booking_id: str, booking: Booking | None) -> BookingChange | None:
        try:
            booking = booking or self._session.get_one(Booking, booking_id)
            return booking.link(self.resolve_host, self.now)
        except OperationalError:
            raise
        except Exception as error:
            if booking:
                self._session.expire(booking)
            log.error("link.skipped", booking_id=booking_id, error=describe(error))
            Incident.record_event(self._session, "link_skipped", self.now)
            return None

    def _unlinked_bookings_for(self, user: PlatformUser) -> Iterator[tuple[str, Booking | None]]:
        """Yield bookings page by page, locked in order of id, as in every transaction that locks several bookings.

        A page with a row that cannot be loaded yields ids only.
        """
        by_type = Booking.meeting_type_id == (user.meetergo_meeting_type_id or "")
        is_for_user = or_(by_type, Booking.is_hosted_by(self._session, user.meetergo_user_id or ""))
        after = ""
        while True:
            is_unlinked = Booking.platform_user_id.is_(None), Booking.id > after, is_for_user
            ids = self._session.scalars(
                select(Booking.id).where(*is_unlinked).order_by(Booking.id).limit(LINK_PAGE_SIZE).with_for_update()
            ).all()
            if not ids:
                return
            try:
                page = {row.id: row for row in self._session.scalars(select(Booking).where(Booking.id.in_(ids)))}
            except OperationalError:
                raise
            except Exception:
                page = {}
            yield from ((booking_id, page.get(booking_id)) for booking_id in ids)
            after = ids[-1]

    def _hosted_by(self, user: PlatformUser) -> Select[str]:
        is_host = Booking.is_hosted_by(self._session, user.meetergo_user_id or "")
        return (
            select(Booking.id)
            .where(Booking.is_upcoming(self.now), or_(Booking.platform_user_id == user.id, is_host))
            .order_by(Booking.starts_at, Booking.id)
        )
