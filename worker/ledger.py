"""The ledger: the bookings and users that one event may touch, locked for its transaction."""

from collections.abc import Iterator, Sequence
from datetime import datetime

from sqlalchemy import func, or_, select
from sqlalchemy.orm import Session

from models.booking import Booking, BookingChange
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

    def booking(self, booking_id: str) -> Booking:
        """The booking's row, locked; made if it is new."""
        return Booking.locked(self._session, booking_id, self.now)

    def owner_of(self, host_ids: Sequence[str], meeting_type_id: str | None) -> int | None:
        """The id of the platform user who hosts this, if we know one."""
        user = PlatformUser.hosting(self._session, host_ids, meeting_type_id)
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
