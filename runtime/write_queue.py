"""The queue of those that wait for SQLite's write lock, in all processes that share the file.

SQLite gives its lock to whoever asks in the moment in which it is free. That is nearly always the writer that has just
released it and begins again, so that others wait for seconds beside one that is busy. Here only the first in the queue
asks, and who begins again is behind those that wait.
"""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from fcntl import LOCK_EX, LOCK_NB, LOCK_UN, flock

from runtime.private_files import FILE_MODE

SUFFIX = "-queue"
"""Of an empty file beside the database: locks of the database file itself are SQLite's."""
POLL_INTERVAL = timedelta(milliseconds=2)


@contextmanager
def first_in_queue(database: str, until: float) -> Iterator[None]:
    """Wait to be the first of those that wait for a database file, and be it until the end of the block.

    The kernel holds the place, and ends it with the process. Without a file that can be locked there is no queue.

    Args:
        database: path of the database.
        until: when to stop waiting, in monotonic seconds. Then it goes on without its place.
    """
    try:
        file = _open(database)
    except OSError:
        yield
        return
    try:
        with suppress(OSError):
            _lock(file, until)
        yield
    finally:
        with suppress(OSError):
            flock(file, LOCK_UN)  # not only closed: a process forked meanwhile has it open too
        os.close(file)


def _open(database: str) -> int:
    """Open the file that is locked, and make it if it is missing.

    Raises:
        OSError: it cannot be opened, or the database has no path.
    """
    if not database or database.startswith(("file:", ":memory:")):
        raise FileNotFoundError(database)
    return os.open(database + SUFFIX, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, FILE_MODE)


def _lock(file: int, until: float) -> None:
    while True:
        with suppress(BlockingIOError):
            return flock(file, LOCK_EX | LOCK_NB)
        if time.monotonic() > until:
            return None
        time.sleep(POLL_INTERVAL.total_seconds())
