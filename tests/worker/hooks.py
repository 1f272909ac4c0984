"""Platform hooks for worker processes of the tests."""

import gc
import os
import signal
import time
from pathlib import Path

from sqlalchemy.orm import Session

from models.booking import Booking, BookingChange


def take_time(_session: Session, _booking: Booking, _change: BookingChange) -> None:
    """Report its start, and take some time."""
    Path("hook-began").touch()
    time.sleep(3)


def count_frozen(_session: Session, _booking: Booking, _change: BookingChange) -> None:
    """Write the number of objects that the garbage collector ignores."""
    made = Path("frozen.part")
    made.write_text(str(gc.get_freeze_count()))
    made.rename("frozen")


def do_nothing(_session: Session, _booking: Booking, _change: BookingChange) -> None:
    """Do nothing: with a hook, each delivery has its own savepoint."""


def kill_the_worker(_session: Session, booking: Booking, _change: BookingChange) -> None:
    """Die like a fault in an extension or an out-of-memory kill: no exception, no rollback."""
    if booking.id.startswith("poison"):
        os._exit(1)


def kill_the_pool(_session: Session, booking: Booking, _change: BookingChange) -> None:
    """Die like a container that is killed with all its processes."""
    if booking.id.startswith("poison"):
        os.killpg(0, signal.SIGKILL)
