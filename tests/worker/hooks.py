"""Hooks for worker processes of the tests: a platform's function that takes its time."""

import gc
import os
import signal
import time
from pathlib import Path

from sqlalchemy.orm import Session

from models.booking import Booking, BookingChange


def take_time(_session: Session, _booking: Booking, _change: BookingChange) -> None:
    """Says that it began, and is not done at once."""
    Path("hook-began").touch()
    time.sleep(3)


def count_frozen(_session: Session, _booking: Booking, _change: BookingChange) -> None:
    """Writes how many objects the garbage collector does not look at."""
    made = Path("frozen.part")
    made.write_text(str(gc.get_freeze_count()))
    made.rename("frozen")


def do_nothing(_session: Session, _booking: Booking, _change: BookingChange) -> None:
    """Is there: so each delivery is handled by itself."""


def kill_the_worker(_session: Session, booking: Booking, _change: BookingChange) -> None:
    """As a fault in an extension does, or a lack of memory: no exception, no rollback."""
    if booking.id.startswith("poison"):
        os._exit(1)


def kill_the_pool(_session: Session, booking: Booking, _change: BookingChange) -> None:
    """As a container that is killed with everything in it."""
    if booking.id.startswith("poison"):
        os.killpg(0, signal.SIGKILL)
