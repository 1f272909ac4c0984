"""The patience: a write that was left open gets some time before anybody looks whether it was applied."""

from datetime import timedelta
from time import sleep

READ_AFTER_WRITE_DELAY = timedelta(seconds=5)
"""An answer may be lost before the write is done: who looks at once does not see it."""


def wait_for_consistency() -> None:
    """Waits so long."""
    sleep(READ_AFTER_WRITE_DELAY.total_seconds())
