"""The search for bookings: which ones somebody means."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Select, select

from models.booking import Booking, BookingStatus
from models.platform_user import PlatformUser


@dataclass(frozen=True)
class BookingSearch:
    """What bookings have to be like; what is None does not matter.

    Attributes:
        status: confirmed or cancelled.
        platform_user: `external_id` of the host who owns it.
        since: starts at or after this, UTC.
        until: starts before this, UTC.
    """

    status: BookingStatus | None = None
    platform_user: str | None = None
    since: datetime | None = None
    until: datetime | None = None

    def bookings(self) -> Select[Booking]:
        """Those bookings, the latest start first; those without one at the end."""
        query = select(Booking).order_by(Booking.starts_at.desc().nulls_last(), Booking.id.desc())
        if self.status:
            query = query.where(Booking.status == self.status)
        if self.platform_user:
            owner = select(PlatformUser.id).where(PlatformUser.external_id == self.platform_user)
            query = query.where(Booking.platform_user_id.in_(owner))
        if self.since:
            query = query.where(Booking.starts_at >= self.since)
        return query.where(Booking.starts_at < self.until) if self.until else query
