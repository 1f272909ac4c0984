"""Clients that wait for a change: they hold neither a thread nor a connection to the database."""

import asyncio
from collections.abc import Callable
from datetime import timedelta
from enum import Enum

import structlog

from operations.errors import StoreError

MAX_WAITING = 200
"""Clients that wait at once; others get their empty page and Retry-After."""
POLL_INTERVAL = timedelta(milliseconds=500)
"""How often the database is asked, once for all who wait."""

log = structlog.get_logger()


class WaitResult(Enum):
    """How a wait ended."""

    CHANGED = "there is a newer batch"
    UNCHANGED = "the time is up"
    FULL = "too many wait already"


class FeedWaiters:
    """Lets coroutines wait until the change feed has a newer batch.

    The database is polled only while somebody waits. Not by LISTEN: it would need a connection of its own past any
    pooler, DATABASE_NOTIFY, and the same poll for SQLite and for what a lost connection missed.

    Args:
        poll: numbers new changes and returns the last batch; called in a thread.
        limit: how many may wait at once.
        interval: time between two polls.
    """

    def __init__(self, poll: Callable[[], int], limit: int = MAX_WAITING, interval: timedelta = POLL_INTERVAL) -> None:
        self._poll, self._limit, self._interval = poll, limit, interval
        self._waiting, self._last = 0, 0
        self._changed = asyncio.Condition()
        self._poller: asyncio.Task[None] | None = None

    async def wait(self, batch: int, seconds: float) -> WaitResult:
        """Wait until the feed has a batch after this one, for at most so many seconds."""
        if self._waiting >= self._limit:
            return WaitResult.FULL
        self._waiting += 1
        if self._poller is None or self._poller.done():
            self._poller = asyncio.create_task(self._poll_while_needed())
        try:
            async with asyncio.timeout(seconds), self._changed:
                await self._changed.wait_for(lambda: self._last > batch)
        except TimeoutError:
            return WaitResult.UNCHANGED
        finally:
            self._waiting -= 1
        return WaitResult.CHANGED

    async def _poll_while_needed(self) -> None:
        while self._waiting:
            try:
                self._last = await asyncio.to_thread(self._poll)
            except StoreError as error:
                log.warning("api.poll_failed", error=type(error).__name__)
            async with self._changed:
                self._changed.notify_all()
            await asyncio.sleep(self._interval.total_seconds())
