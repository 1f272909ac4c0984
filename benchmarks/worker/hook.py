"""The PLATFORM_HOOK of a setup: what the example in docs/platform.md does, one UPDATE for each change."""

from sqlalchemy import bindparam, update
from sqlalchemy.orm import Session

from meetergo_inbox import BookingSnapshot, ChangeSnapshot
from models.platform_user import PlatformUser
from runtime.database import table_of

USERS = table_of(PlatformUser)
UPDATE_HOST = update(USERS).where(USERS.c.id == bindparam("host"))


def changed(session: Session, booking: BookingSnapshot, _change: ChangeSnapshot) -> None:
    """Write something about the booking into its host's row."""
    if booking.host:
        session.execute(UPDATE_HOST, {"host": booking.host.id, "booking_url": booking.meeting_name})
