"""The PLATFORM_HOOK of a setup: what the example in docs/platform.md does, one UPDATE for each change."""

from sqlalchemy import update
from sqlalchemy.orm import Session

from models.booking import Booking, BookingChange
from models.platform_user import PlatformUser
from runtime.database import table_of

USERS = table_of(PlatformUser)
UPDATE = update(USERS)


def changed(session: Session, booking: Booking, _change: BookingChange) -> None:
    """Write something about the booking into its host's row."""
    host = session.get(PlatformUser, booking.platform_user_id or 0)
    if host:
        session.execute(UPDATE.where(USERS.c.id == host.id).values(booking_url=booking.meeting_name))
