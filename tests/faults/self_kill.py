"""Death at a chosen place: a process that passes it while it is armed kills itself with SIGKILL."""

import os
import random
import signal
import time
from pathlib import Path
from typing import Any

ARMED = "FAULTS_ARMED"
"""Environment variable with the file that arms the place: whoever deletes it dies."""
SLOWNESS_SECONDS = 0.02
POISON_NOTIFICATION = "booking-poison-notification"
"""Notifications of bookings with this prefix end their sender."""


def die_if_armed() -> None:
    """Die here, once per arming."""
    try:
        Path(os.environ[ARMED]).unlink()
    except FileNotFoundError:
        return
    os.kill(os.getpid(), signal.SIGKILL)


def in_the_transaction(_session: Any, _booking: Any, _change: Any) -> None:
    """A PLATFORM_HOOK that dies when a delivery is written but not committed."""
    die_if_armed()


POISON = "booking-poison"
"""Bookings with this prefix end their worker."""


def of_some_bookings(session: Any, booking: Any, change: Any) -> None:
    """A PLATFORM_HOOK in which some bookings end the process each time, like a fault in an extension."""
    if booking.id.startswith(POISON):
        os._exit(1)
    slowly(session, booking, change)


def slowly(_session: Any, _booking: Any, _change: Any) -> None:
    """A slow PLATFORM_HOOK, so that a random kill hits a worker at work."""
    time.sleep(random.uniform(0, SLOWNESS_SECONDS))
