"""A platform's hook that gives each booking a room. The incident copies this file and breaks the copy."""

from sqlalchemy import text
from sqlalchemy.orm import Session

from models.booking import Booking, BookingChange
from runtime.errors import Permanent

ROOMS = {"sample-type": "Room 1"}


def changed(session: Session, booking: Booking, change: BookingChange) -> None:
    if booking.meeting_type_id not in ROOMS:
        raise Permanent(f"no room is known for meeting type {booking.meeting_type_id}")
    if booking.status == "cancelled":
        session.execute(text("DELETE FROM rooms WHERE booking_id = :id"), {"id": booking.id})
    elif change.kind == "created":
        room = {"id": booking.id, "room": ROOMS[booking.meeting_type_id]}
        session.execute(text("INSERT INTO rooms (booking_id, room) VALUES (:id, :room)"), room)
