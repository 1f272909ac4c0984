"""The ledger: the bookings and users that events may touch, locked for their transaction."""

from collections.abc import Iterator, Sequence
from datetime import datetime

from sqlalchemy import func, or_, select
from sqlalchemy.orm import Session

from meetergo.events import BookingEvent
from models.booking import Booking, BookingChange
from models.owners import Owners
from models.platform_user import PlatformUser

LINKED_AT_ONCE = 500


class Ledger:
    """What a handler sees of the database.

    Attributes:
        now: the time of this transaction, UTC.
    """

    def __init__(self, session: Session, now: datetime) -> None:
        self.now = now
        self._session = session
        self._owners = Owners(session)
        self._bookings: dict[str, Booking] = {}

    def open_at(self, events: Sequence[BookingEvent]) -> None:
        """Locks the bookings of many events, and looks up their hosts, with a statement for all instead of each."""
        self._bookings |= Booking.locked(self._session, (event.booking_id for event in events), self.now)
        self._owners.look_up(host for event in events for host in event.facts.get("host_ids") or ())
        self._owners.look_up(host for booking in self._bookings.values() for host in booking.host_ids)

    def booking(self, booking_id: str) -> Booking:
        """The booking's row, locked; made if it is new."""
        if booking_id not in self._bookings:
            self._bookings |= Booking.locked(self._session, [booking_id], self.now)
        return self._bookings[booking_id]

    def owner_of(self, host_ids: Sequence[str], meeting_type_id: str | None) -> int | None:
        """The id of the platform user who hosts this, if we know one."""
        user = self._owners.of(host_ids, meeting_type_id)
        return user.id if user else None

    def waiting_user(self, email: str) -> PlatformUser | None:
        """The one platform user with this e-mail who waits for a meetergo id."""
        return PlatformUser.waiting_for(self._session, email)

    def is_mapped(self, meetergo_user_id: str) -> bool:
        """Whether a platform user has this meetergo id already."""
        query = select(func.count()).where(PlatformUser.meetergo_user_id == meetergo_user_id)
        return bool(self._session.scalar(query))

    def link_waiting_bookings(self, user: PlatformUser) -> Iterator[BookingChange]:
        """Gives their owner to the bookings that waited for this user; yields the change of each."""
        self._session.flush()
        self._owners = Owners(self._session)
        after = ""
        while page := self._waiting_for(user, after):
            for booking in page:
                change = booking.link(self.owner_of(booking.host_ids, booking.meeting_type_id), self.now)
                if change:
                    yield change
            after = page[-1].id
        user.linked_as = user.mapping

    def _waiting_for(self, user: PlatformUser, after: str) -> Sequence[Booking]:
        """Locked in the order of ids, as in every transaction that locks several bookings."""
        by_type = Booking.meeting_type_id == (user.meetergo_meeting_type_id or "")
        return self._session.scalars(
            select(Booking)
            .where(Booking.platform_user_id.is_(None), Booking.id > after)
            .where(or_(by_type, Booking.is_hosted_by(self._session, user.meetergo_user_id or "")))
            .order_by(Booking.id)
            .limit(LINKED_AT_ONCE)
            .with_for_update()
        ).all()
