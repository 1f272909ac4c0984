"""Death at a chosen place: a process that comes by there, while it is armed, kills itself as `kill -9` would."""

import os
import random
import signal
import time
from pathlib import Path
from typing import Any

ARMED = "FAULTS_ARMED"
"""The environment's name for the file that arms: who can take it away, dies."""
SLOWNESS_SECONDS = 0.02
POISON_NOTIFICATION = "booking-poison-notification"
"""News of the bookings whose names begin so ends whoever sends it."""


def die_if_armed() -> None:
    """Dies here, once for each time it was armed."""
    try:
        Path(os.environ[ARMED]).unlink()
    except FileNotFoundError:
        return
    os.kill(os.getpid(), signal.SIGKILL)


def in_the_transaction(_session: Any, _booking: Any, _change: Any) -> None:
    """A PLATFORM_HOOK: everything of a delivery is written, nothing is committed."""
    die_if_armed()


POISON = "booking-poison"
"""The bookings whose names begin so end whoever handles them."""


def of_some_bookings(session: Any, booking: Any, change: Any) -> None:
    """A PLATFORM_HOOK in which some bookings end the process each time, as a fault in an extension does."""
    if booking.id.startswith(POISON):
        os._exit(1)
    slowly(session, booking, change)


def slowly(_session: Any, _booking: Any, _change: Any) -> None:
    """A PLATFORM_HOOK that takes its time, so that a random death finds somebody at work."""
    time.sleep(random.uniform(0, SLOWNESS_SECONDS))
