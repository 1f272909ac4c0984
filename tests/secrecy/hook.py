"""A platform's hook with bad manners: it fails and quotes everything."""

from sqlalchemy import text
from sqlalchemy.orm import Session

from models.booking import Booking, BookingChange


def changed(session: Session, booking: Booking, change: BookingChange) -> None:
    """Fail for bookings that are named after a failure."""
    said = f"{booking.public_columns()} {change.after}"
    if booking.id.startswith("sql"):
        session.execute(text("INSERT INTO nowhere VALUES (:said, '" + str(booking.meeting_name) + "')"), {"said": said})
    if booking.id.startswith("hook"):
        try:
            raise LookupError(said)
        except LookupError as error:
            raise ValueError(f"nobody knows {said}") from error
    if booking.id.startswith("exit"):
        raise SystemExit(said)
