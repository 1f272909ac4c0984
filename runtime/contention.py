"""Contention: what two transactions do to each other, and doing it again.

Every transaction that locks rows of several tables locks them in one order: platform users, deliveries, bookings,
changes, notifications, and of each table in the order of ids. What still collides (a deadlock with somebody else's
transaction, a lock that is not free in time) has done nothing, and is done again.
"""

import random
import time
from collections.abc import Callable
from typing import TypeVar

from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from runtime.database import Database

RETRYABLE_SQLSTATES = {"40P01", "40001", "55P03"}
"""SQLSTATEs: a deadlock, a serialisation failure, a lock that was not free in time."""
RETRYABLE_SQLITE_ERRORS = {"SQLITE_BUSY", "SQLITE_BUSY_SNAPSHOT", "SQLITE_LOCKED"}
MAX_ATTEMPTS = 8
INITIAL_BACKOFF = 0.05
"""Seconds; it doubles."""

Result = TypeVar("Result")


def is_contention(error: BaseException) -> bool:
    """Whether a transaction failed only because of another one, and may be done again."""
    cause = getattr(error, "orig", None)
    return (
        getattr(cause, "sqlstate", None) in RETRYABLE_SQLSTATES
        or getattr(cause, "sqlite_errorname", None) in RETRYABLE_SQLITE_ERRORS
    )


def in_transaction(database: Database, work: Callable[[Session], Result]) -> Result:
    """Does some work in a transaction of its own; all of it again, a few times, if another transaction was in its way.

    Args:
        database: where.
        work: has no effect but on the session, and returns what it did.

    Raises:
        OperationalError: another transaction was in the way each time.
    """

    def attempt() -> Result:
        with database.transaction() as session:
            return work(session)

    return with_retry(attempt)


def with_retry(work: Callable[[], Result]) -> Result:
    """Does some work that is one transaction; all of it again, a few times, if another transaction was in its way.

    Raises:
        OperationalError: another transaction was in the way each time.
    """
    for attempt in range(MAX_ATTEMPTS):
        try:
            return work()
        except OperationalError as error:
            if not is_contention(error) or attempt == MAX_ATTEMPTS - 1:
                raise
        time.sleep(INITIAL_BACKOFF * 2**attempt * random.uniform(0.5, 1.5))  # noqa: S311 - spreads load, guards nothing
    raise AssertionError("unreachable")
