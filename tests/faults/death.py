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
DEADLY_NEWS = "booking-deadly-news"
"""News of the bookings whose names begin so ends whoever sends it."""


def if_armed() -> None:
    """Dies here, once for each time it was armed."""
    try:
        Path(os.environ[ARMED]).unlink()
    except FileNotFoundError:
        return
    os.kill(os.getpid(), signal.SIGKILL)


def in_the_transaction(_session: Any, _booking: Any, _change: Any) -> None:
    """A PLATFORM_HOOK: everything of a delivery is written, nothing is committed."""
    if_armed()


def slowly(_session: Any, _booking: Any, _change: Any) -> None:
    """A PLATFORM_HOOK that takes its time, so that a random death finds somebody at work."""
    time.sleep(random.uniform(0, SLOWNESS_SECONDS))
