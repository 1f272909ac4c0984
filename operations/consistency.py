"""Read-after-write delay: wait before checking whether a write with unknown outcome was applied."""

from datetime import timedelta
from time import sleep

READ_AFTER_WRITE_DELAY = timedelta(seconds=5)
"""A response can be lost before the write completes; an immediate read would miss the write."""


def wait_for_consistency() -> None:
    """Wait for READ_AFTER_WRITE_DELAY."""
    sleep(READ_AFTER_WRITE_DELAY.total_seconds())
