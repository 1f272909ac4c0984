"""Long polling: clients that wait for a change hold neither a thread nor a database connection."""

import asyncio
from collections.abc import Callable
from datetime import timedelta
from enum import Enum

import structlog

from operations.store_errors import StoreError

MAX_WAITING = 200
"""Maximum number of waiting clients; others get an empty page and Retry-After at once."""
POLL_INTERVAL = timedelta(milliseconds=500)
"""How often the database is polled, once for all waiting clients."""

log = structlog.get_logger()


class WaitResult(Enum):
    """How a wait ended."""

    CHANGED = "there is a newer batch"
    UNCHANGED = "the time is up"
    FULL = "too many wait already"


class FeedWaiters:
    """Lets coroutines wait until the change feed has a newer batch.

    The database is polled only while a client waits. LISTEN would need DATABASE_NOTIFY and a connection that bypasses
    any pooler, and still a poll for SQLite and for notifications missed while disconnected.

    Args:
        poll: numbers new changes and returns the last batch; called in a thread.
        limit: maximum number of waiting clients.
        interval: time between two polls.
    """

    def __init__(self, poll: Callable[[], int], limit: int = MAX_WAITING, interval: timedelta = POLL_INTERVAL) -> None:
        self._poll, self._limit, self._interval = poll, limit, interval
        self._waiting, self._last = 0, 0
        self._changed = asyncio.Condition()
        self._poller: asyncio.Task[None] | None = None

    async def wait(self, batch: int, seconds: float) -> WaitResult:
        """Wait until the feed has a batch after this one, for at most this many seconds."""
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
