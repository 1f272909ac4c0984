"""Ingest: persist an authenticated body, then trigger a worker. The body is not parsed here.

Deliveries that wait at the same time share one transaction, and so one disk sync (group commit).
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import NamedTuple, TypeVar

import structlog
from redis.exceptions import RedisError

from models.delivery import Delivery, NewDelivery, pack
from receiver.auth import RequestAddress
from runtime.contention import is_contention
from runtime.database import Database
from runtime.encryption import BodyCipher
from runtime.errors import log_fields
from runtime.logs import info_for_each, log_unhandled_exception
from runtime.outage import Cooldown
from runtime.queue import JobQueue

T = TypeVar("T")

SEEN_INTERVAL = timedelta(minutes=1)
NEVER = datetime.min.replace(tzinfo=UTC)
MAX_ROWS, MAX_BYTES = 500, 8 * 1024 * 1024
"""Limits of a batch, which has at least one delivery."""
MIN_INTERVAL = timedelta(milliseconds=10)
"""Minimum time between the starts of two batches, while deliveries arrive faster than they are committed. The first
delivery of a batch costs about eight times as much as each further one: the commit, the trigger, waking the threads."""
MIN_ROWS = 16
"""With this many deliveries a batch starts before the interval is over: the extra cost of its first is then small."""
MAX_WAIT = timedelta(seconds=3)
"""After this time a delivery goes to Redis instead. The sender waits 5 s, and a disk may not answer at all."""

LARGE_BODY = 256 * 1024
"""Size in bytes. Checking, hashing and encrypting a larger body takes milliseconds; other requests would wait."""

log = structlog.get_logger()


class Ingest:
    """Persists deliveries in the database, or in Redis while the database is down.

    Args:
        database: holds the deliveries.
        job_queue: wakes the workers, and holds what the database cannot.
        cipher: encrypts bodies.
        threads: number of threads that wait for the stores.
    """

    def __init__(self, database: Database, job_queue: JobQueue, cipher: BodyCipher, threads: int) -> None:
        self.database = database
        self.job_queue = job_queue
        self._cipher = cipher
        self._threads = ThreadPoolExecutor(threads, "store")
        self._group_commit = GroupCommit(self._persist, self._threads)
        self._cooldown = Cooldown()
        self._was_locked = False
        self._last_recorded: dict[str, datetime] = {}

    async def accept(self, address: RequestAddress, body: bytes, now: datetime) -> str:
        """Persist an authenticated body in the database or, failing that, in the job queue.

        Returns:
            The delivery's id.

        Raises:
            RedisError: neither store can keep it.
        """
        new_delivery = await in_thread_if_large(body, NewDelivery.from_body, body, address.account, now, self._cipher)
        if not await self._store(new_delivery):
            await self._defer(new_delivery)
        fingerprint = address.fingerprint
        if fingerprint and now - self._last_recorded.get(fingerprint, NEVER) >= SEEN_INTERVAL:
            self._last_recorded[fingerprint] = now
            with suppress(RuntimeError):  # no thread can be started, and the delivery is stored
                await self._in_thread(self.job_queue.record_seen, fingerprint, now)
        return new_delivery.id

    def close(self) -> None:
        """Finish what the threads are doing and close the connections."""
        self._threads.shutdown()
        self.database.close()
        self.job_queue.redis.close()

    async def _store(self, new_delivery: NewDelivery) -> bool:
        """Store a delivery in the database, unless it failed just now."""
        if time.monotonic() < self._cooldown.until:
            return False
        try:
            return await self._group_commit.commit(new_delivery)
        except TimeoutError:
            self._cooldown.start()
            return False

    async def _defer(self, new_delivery: NewDelivery) -> None:
        """Keep a delivery in Redis until a worker can store it.

        Raises:
            RedisError: Redis cannot keep it, for whatever reason.
        """
        try:
            await self._in_thread(self.job_queue.enqueue_store, pack(new_delivery))
        except RedisError:
            raise
        except Exception as error:
            log_unhandled_exception(error)
            raise RedisError(type(error).__name__) from error
        log.warning("delivery.deferred", delivery_id=new_delivery.id)
        _log_accepted([new_delivery])

    async def _in_thread(self, call: Callable[..., T], *arguments: object) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, call, *arguments)

    def _persist(self, new_deliveries: Sequence[NewDelivery]) -> bool:
        """Commit the deliveries, trigger a worker, and log them."""
        if self._commit(new_deliveries):
            self.job_queue.trigger_drain("inbox")
            _log_accepted(new_deliveries)
            return True
        return False

    def _commit(self, new_deliveries: Sequence[NewDelivery]) -> bool:
        """Store the deliveries. If a pooled connection turns out to be dead, try once more on a new one."""
        if time.monotonic() < self._cooldown.until:
            return False
        for attempt in (1, 2):
            try:
                with self.database.one_statement() as connection:
                    Delivery.accept(connection, new_deliveries)
            except Exception as error:  # whatever the reason, Redis can still keep the delivery
                if attempt == 2 or not getattr(error, "connection_invalidated", False):
                    self._note_failure(error)
                    return False
            else:
                self._was_locked = False
                return True
        return False

    def _note_failure(self, error: Exception) -> None:
        """Leave the database alone for a while, unless the batch met a lock: the next one may not."""
        was_locked, self._was_locked = self._was_locked, is_contention(error)
        if self._was_locked and not was_locked:
            log.warning("database.locked", error=type(error).__name__)
            return
        log.error("database.unavailable", **log_fields(error))
        self._cooldown.start()


class Waiting(NamedTuple):
    """A delivery that waits to be committed.

    Attributes:
        new_delivery: the delivery.
        is_stored: gets the result.
        deadline: until when it waits, by the event loop's clock in seconds.
    """

    new_delivery: NewDelivery
    is_stored: asyncio.Future[bool]
    deadline: float


class GroupCommit:
    """Commits concurrent deliveries in batches, one batch at a time. Belongs to one event loop.

    The first delivery is committed at once. Those that arrive during a commit form the next batch, which begins
    `MIN_INTERVAL` after the one before, or with `MIN_ROWS` deliveries. A delivery that meets no other is not delayed.

    All share one timer: an `asyncio.timeout` for each would cost as much as verifying a signature.

    Args:
        store: persists deliveries in one transaction; returns whether it did, and never raises.
        threads: run `store`.
    """

    def __init__(self, store: Callable[[Sequence[NewDelivery]], bool], threads: Executor) -> None:
        self._store, self._threads = store, threads
        self._underway: list[Waiting] = []
        self._waiting: list[Waiting] = []
        self._next_at = 0.0
        self._scheduled: asyncio.TimerHandle | None = None
        self._timer: asyncio.TimerHandle | None = None

    async def commit(self, new_delivery: NewDelivery) -> bool:
        """Commit a delivery with its batch, and wait for the result, but not longer than `MAX_WAIT`.

        Returns:
            Whether it was stored.

        Raises:
            TimeoutError: it was not stored in time, and may still be.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + MAX_WAIT.total_seconds()
        is_stored: asyncio.Future[bool] = loop.create_future()
        self._waiting.append(Waiting(new_delivery, is_stored, deadline))
        self._timer = self._timer or loop.call_at(deadline, self._expire)
        is_due = len(self._waiting) >= MIN_ROWS if self._scheduled else not self._underway
        if is_due:
            self._commit_waiting()
        return await is_stored

    def _commit_waiting(self) -> None:
        if self._scheduled:
            self._scheduled.cancel()
            self._scheduled = None
        self._underway = self._take_batch()
        if not self._underway:
            if self._timer:
                self._timer.cancel()
                self._timer = None
            return
        deliveries = [waiting.new_delivery for waiting in self._underway]
        loop = asyncio.get_running_loop()
        self._next_at = loop.time() + MIN_INTERVAL.total_seconds()
        try:
            commit = loop.run_in_executor(self._threads, self._store, deliveries)
        except RuntimeError as error:  # no thread can be started now
            log_unhandled_exception(error)
            everyone, self._waiting = [*self._underway, *self._waiting], []
            _resume(everyone, is_stored=False)
            self._commit_waiting()
        else:
            commit.add_done_callback(self._resolve)

    def _take_batch(self) -> list[Waiting]:
        """Take the first that wait, up to the limits: more could not be sent within a statement's time limit."""
        size = rows = 0
        for waiting in self._waiting[:MAX_ROWS]:
            size += len(waiting.new_delivery.encrypted_body.content)
            if rows and size > MAX_BYTES:
                break
            rows += 1
        batch, self._waiting = self._waiting[:rows], self._waiting[rows:]
        return batch

    def _resolve(self, commit: asyncio.Future[bool]) -> None:
        """Resume those that wait for this batch, and start the next."""
        error = None if commit.cancelled() else commit.exception()
        if error:
            log_unhandled_exception(error)
        _resume(self._underway, is_stored=not commit.cancelled() and error is None and commit.result())
        if self._waiting:
            self._underway = []
            next_at = self._next_at if len(self._waiting) < MIN_ROWS else 0.0
            self._scheduled = asyncio.get_running_loop().call_at(next_at, self._commit_waiting)
        else:
            self._commit_waiting()

    def _expire(self) -> None:
        """End the wait of those whose deadline has passed; the next to expire is the oldest of the others."""
        loop = asyncio.get_running_loop()
        now, everyone = loop.time(), [*self._underway, *self._waiting]
        for waiting in everyone:
            if waiting.deadline <= now and not waiting.is_stored.done():
                waiting.is_stored.set_exception(TimeoutError())
        self._waiting = [waiting for waiting in self._waiting if waiting.deadline > now]
        later = [waiting.deadline for waiting in everyone if waiting.deadline > now]
        self._timer = loop.call_at(min(later), self._expire) if later else None


def _log_accepted(new_deliveries: Sequence[NewDelivery]) -> None:
    """Log a line for each delivery. The lines of an account are written together."""
    ids: dict[str, list[str]] = {}
    for new_delivery in new_deliveries:
        ids.setdefault(new_delivery.account, []).append(new_delivery.id)
    for account, ids_of_account in ids.items():
        if len(ids_of_account) == 1:
            log.info("delivery.accepted", delivery_id=ids_of_account[0], account=account)
        else:
            info_for_each("delivery.accepted", "delivery_id", ids_of_account, account=account)


def _resume(batch: Sequence[Waiting], *, is_stored: bool) -> None:
    for waiting in batch:
        if not waiting.is_stored.done():  # cancelled, or expired
            waiting.is_stored.set_result(is_stored)


async def in_thread_if_large(body: bytes, call: Callable[..., T], *arguments: object) -> T:
    """Call a function whose time grows with a body, in a thread if that is large: it must not hold the event loop."""
    if len(body) > LARGE_BODY:
        return await asyncio.to_thread(call, *arguments)
    return call(*arguments)
