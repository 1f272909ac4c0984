"""Contention: retry a transaction that failed because of another one.

Every transaction that locks rows of several tables locks them in one order: the change feed, platform users,
deliveries, bookings, changes, notifications, and within each table by id. A transaction that still fails (a deadlock
with a foreign transaction, a lock timeout) has had no effect, so it is retried.
"""

import random
import sqlite3
import time
from collections.abc import Callable
from typing import TypeVar

from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from runtime.database import LOCK_TIMEOUT_SQLSTATE, Database

RETRYABLE_SQLSTATES = {"40P01", "40001", LOCK_TIMEOUT_SQLSTATE}
"""SQLSTATEs of a deadlock, a serialisation failure and a lock timeout."""
RETRYABLE_SQLITE_CODES = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}
MAX_ATTEMPTS = 8
INITIAL_BACKOFF = 0.05
"""Seconds; doubled after each attempt."""

Result = TypeVar("Result")


def is_contention(error: BaseException | None) -> bool:
    """Whether a transaction failed only because of another one, and may be retried: the database itself may be well."""
    cause = getattr(error, "orig", None)
    return (
        getattr(cause, "sqlstate", None) in RETRYABLE_SQLSTATES
        or getattr(cause, "sqlite_errorcode", 0) & 0xFF in RETRYABLE_SQLITE_CODES
    )


def in_transaction(database: Database, work: Callable[[Session], Result]) -> Result:
    """Run work in its own transaction, and retry all of it a few times on contention.

    Args:
        database: opens the transaction.
        work: must have no effect outside the session; its result is returned.

    Raises:
        OperationalError: every attempt met contention, or the error is a different one.
    """

    def attempt() -> Result:
        with database.transaction() as session:
            return work(session)

    return with_retry(attempt)


def with_retry(work: Callable[[], Result]) -> Result:
    """Run work that is one transaction, and retry all of it a few times on contention.

    Raises:
        OperationalError: every attempt met contention, or the error is a different one.
    """
    for attempt in range(MAX_ATTEMPTS):
        try:
            return work()
        except OperationalError as error:
            if not is_contention(error) or attempt == MAX_ATTEMPTS - 1:
                raise
        time.sleep(INITIAL_BACKOFF * 2**attempt * random.uniform(0.5, 1.5))  # noqa: S311 - spreads load, guards nothing
    raise AssertionError("unreachable")
