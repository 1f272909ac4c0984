"""Ingest: persist an authenticated body, then trigger a worker. The body is not parsed here."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import structlog

from models.delivery import Delivery, NewDelivery, pack
from receiver.auth import AuthenticatedRequest
from receiver.debounced_trigger import DebouncedTrigger
from receiver.group_commit import GroupCommit
from receiver.thread_pool import ThreadPool
from runtime.database import Database
from runtime.encryption import BodyCipher
from runtime.outage import Cooldown
from runtime.queue import JobQueue

SEEN_INTERVAL = timedelta(minutes=1)
NEVER = datetime.min.replace(tzinfo=UTC)

log = structlog.get_logger()


class Ingest:
    """Persists deliveries in the database, or in Redis while the database is down."""

    def __init__(self, database: Database, job_queue: JobQueue, cipher: BodyCipher) -> None:
        self.database = database
        self.job_queue = job_queue
        self._cipher = cipher
        self._group_commit = GroupCommit(self._persist)
        self._trigger = DebouncedTrigger(job_queue, "inbox")
        self._cooldown = Cooldown()
        self._last_recorded: dict[str, datetime] = {}

    def accept(self, request: AuthenticatedRequest, now: datetime) -> str:
        """Persist a body in the database or, failing that, in the job queue.

        Returns:
            The delivery's id.

        Raises:
            RedisError: neither store can keep it.
        """
        new_delivery = NewDelivery.from_body(request.body, request.account, now, self._cipher)
        self._complete(new_delivery, self._group_commit.commit(new_delivery), request.fingerprint, now)
        return new_delivery.id

    async def accept_async(self, threads: ThreadPool, request: AuthenticatedRequest, now: datetime) -> str:
        """Like `accept`, from an event loop: these threads wait for the stores."""
        new_delivery = NewDelivery.from_body(request.body, request.account, now, self._cipher)
        is_stored = await self._group_commit.commit_async(threads, new_delivery)
        if not is_stored or self._is_seen_due(request.fingerprint, now):
            await threads.run(self._complete, new_delivery, is_stored, request.fingerprint, now)
        return new_delivery.id

    def close(self) -> None:
        """Send a pending trigger and close the connections."""
        self._trigger.flush()
        self.database.close()
        self.job_queue.redis.close()

    def _complete(self, new_delivery: NewDelivery, is_stored: bool, fingerprint: str | None, now: datetime) -> None:
        if not is_stored:
            self.job_queue.enqueue_store(pack(new_delivery))
            log.warning("delivery.deferred", delivery_id=new_delivery.id)
        if fingerprint and self._is_seen_due(fingerprint, now):
            self._last_recorded[fingerprint] = now
            self.job_queue.record_seen(fingerprint, now)

    def _is_seen_due(self, fingerprint: str | None, now: datetime) -> bool:
        return fingerprint is not None and now - self._last_recorded.get(fingerprint, NEVER) >= SEEN_INTERVAL

    def _persist(self, new_deliveries: Sequence[NewDelivery]) -> bool:
        """Commit the deliveries, then trigger a worker."""
        if self._commit(new_deliveries):
            self._trigger.trigger_drain()
            return True
        return False

    def _commit(self, new_deliveries: Sequence[NewDelivery]) -> bool:
        """Store the deliveries. If a pooled connection turns out to be dead, try once more on a new one."""
        if self._cooldown.active:
            return False
        for attempt in (1, 2):
            try:
                with self.database.core_transaction() as connection:
                    Delivery.accept(connection, new_deliveries)
                return True
            except Exception as error:  # whatever the reason, Redis can still keep the delivery
                if attempt == 2 or not getattr(error, "connection_invalidated", False):
                    log.error("database.unavailable", error=type(error).__name__)
                    self._cooldown.start()
                    return False
        return False
