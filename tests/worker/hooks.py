"""Hooks for worker processes of the tests: a platform's function that takes its time."""

import time
from pathlib import Path

from sqlalchemy.orm import Session

from models.booking import Booking, BookingChange


def take_time(_session: Session, _booking: Booking, _change: BookingChange) -> None:
    """Says that it began, and is not done at once."""
    Path("hook-began").touch()
    time.sleep(3)


def do_nothing(_session: Session, _booking: Booking, _change: BookingChange) -> None:
    """Is there: so each delivery is handled by itself."""
