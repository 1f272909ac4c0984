"""The job queue: one drain job for all rows that are due, and one retry job for each row that failed.

Healthy rows share a job: `trigger_drain` enqueues it, and it processes everything that is due. A row that failed
gets an RQ job named after it, so that RQ's own tools show what failed. Redis holds no personal data, with one
exception: while the database is down, `enqueue_store` holds the body until a worker can store it.
"""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Literal, Protocol, cast
from uuid import uuid4

import structlog
from redis import Redis
from redis.client import Pipeline
from redis.exceptions import ConnectionError as RedisUnavailable
from redis.exceptions import RedisError
from redis.exceptions import TimeoutError as RedisTimeout
from rq import Queue
from rq import Retry as RetryJob
from rq.job import Job, JobStatus
from rq.job_lifecycle import record_job_failure
from rq.serializers import JSONSerializer

from runtime.outage import Cooldown, Outage
from runtime.redis import deferred_deliveries
from runtime.redis.allowed_jobs import DRAIN, RETRY_ONE, STORE_DEFERRED, OwnJob
from runtime.redis.client import REDIS_TIMEOUT_SECONDS, NotWritable, connect, key_of, origin_of, prefix_of

QueueName = Literal["inbox", "outbox"]
QUEUES: tuple[QueueName, ...] = ("inbox", "outbox")

TRIGGER_TTL = timedelta(hours=1)
"""How long the trigger flag stays set if its job was lost. The sweeper notices much earlier."""
LAST_SEEN_TTL = timedelta(days=7)
"""How long it is known when a signed address was last used."""
JOB_TIMEOUT = timedelta(minutes=2)
STORE_DEFERRED_TIMEOUT = timedelta(seconds=20)
"""Timeout of a job that stores a deferred body. Its one INSERT takes far less; if its worker is killed, the job runs
again after this time."""

RETRY_IF_ABANDONED = RetryJob(max=1000)
"""RQ calls a job abandoned when its worker was killed. Our jobs are idempotent, so they run again and do not fail."""

log = structlog.get_logger()


__all__ = [
    "DRAIN",
    "QUEUES",
    "REDIS_TIMEOUT_SECONDS",
    "RETRY_ONE",
    "STORE_DEFERRED",
    "JobQueue",
    "QueueName",
    "connect",
]


class RetryState(Protocol):
    """The part of a failed row that the queue reads; see `models.retryable.Retryable`."""

    @property
    def status(self) -> str:
        """`pending` if it is retried, or `dead`."""

    @property
    def due_at(self) -> datetime:
        """When it is retried."""

    @property
    def failure_summary(self) -> str:
        """Why it failed, safe to log."""


class JobQueue:
    """Enqueues the workers' jobs.

    Args:
        redis: a client that knows the prefix of this installation's queues and keys.
    """

    def __init__(self, redis: "Redis") -> None:
        self.redis = redis
        self._cooldown, self._outage = Cooldown(), Outage("queue.unavailable")
        self._queues = {queue_name: open_queue(redis, rq_queue_name(redis, queue_name)) for queue_name in QUEUES}
        self._flags = {queue_name: key_of(redis, "bell", queue_name) for queue_name in QUEUES}

    def queue(self, queue_name: QueueName) -> Queue:
        """The RQ queue of this name."""
        return self._queues[queue_name]

    def job_id(self, queue_name: QueueName, key: str) -> str:
        """Return the id of a row's retry job."""
        return f"{self._queues[queue_name].name}-{key}"

    def trigger_drain(self, queue_name: QueueName) -> bool:
        """Enqueue one drain job, unless one is pending.

        Never raises: if Redis is down, the sweeper triggers once it is back.

        Returns:
            Whether Redis was reached.
        """
        return self._suppress_redis_errors(queue_name, partial(self._trigger_drain, queue_name))

    def force_drain(self, queue_name: QueueName) -> None:
        """Enqueue a drain job even if the trigger flag is set, unless the queue holds jobs. Never raises.

        The flag may belong to a job that was lost.
        """
        self._suppress_redis_errors(
            queue_name, lambda: None if self.queue(queue_name).count else self.redis.delete(self._flags[queue_name])
        )
        self.trigger_drain(queue_name)

    def drain_started(self, queue_name: QueueName) -> None:
        """Clear the trigger flag. Call this before reading the due rows, so that no wake-up is lost. Never raises."""
        self._suppress_redis_errors(queue_name, partial(self.redis.delete, self._flags[queue_name]))

    def schedule_retry(self, queue_name: QueueName, key: str, row: RetryState) -> None:
        """Schedule a failed row's retry job, or put it into the failed registry if the row is dead. Never raises."""
        self._suppress_redis_errors(queue_name, lambda: self._schedule_retry(queue_name, key, row))

    def requeue_abandoned(self, queue_name: QueueName) -> None:
        """Requeue the jobs whose worker was killed: a deferred body exists nowhere else. Never raises."""
        self._suppress_redis_errors(queue_name, lambda: self.queue(queue_name).started_job_registry.cleanup())

    def discard(self, queue_name: QueueName, *keys: str) -> bool:
        """Delete the retry jobs of rows that start over or have ended, from every registry. Never raises.

        Returns:
            Whether Redis was reached.
        """
        return self._suppress_redis_errors(queue_name, lambda: self._discard(queue_name, keys))

    def mark_failed(self, queue_name: QueueName, key: str, reason: str) -> None:
        """Move a dead row's retry job to RQ's failed registry.

        Args:
            queue_name: the row's queue.
            key: the row's id.
            reason: why the row is dead, safe to log.

        Raises:
            RedisError: Redis is down.
        """
        queue, job = self.queue(queue_name), self._row_job(queue_name, key)
        queue.remove(job.id)
        queue.scheduled_job_registry.remove(job.id)
        with job.connection.pipeline() as pipeline:
            record_job_failure(job, reason, pipeline)
            pipeline.execute()

    def record_seen(self, fingerprint: str, now: datetime) -> None:
        """Record that a delivery used this signed address, for address rotation. Never raises."""
        key = self._seen_key(fingerprint)
        self._suppress_redis_errors("inbox", partial(self.redis.set, key, now.isoformat(), ex=LAST_SEEN_TTL))

    def last_seen(self, fingerprint: str) -> datetime | None:
        """Return when a delivery last used this signed address, to the minute; None if none did recently.

        Raises:
            RedisError: Redis is down.
        """
        value = cast("bytes | None", self.redis.get(self._seen_key(fingerprint)))
        return datetime.fromisoformat(value.decode()) if value else None

    def enqueue_store(self, packed: Sequence[str]) -> None:
        """Enqueue a delivery that the database cannot take now, packed by `models.delivery.pack`.

        Raises:
            RedisError: Redis is down too.
        """
        self._call(lambda: self.enqueue_packed(packed))

    def enqueue_packed(self, packed: Sequence[str]) -> None:
        """Enqueue a packed body, to be stored by a worker of this installation.

        Raises:
            RedisError: Redis is down.
        """
        *_, received_at = packed[:5]
        job_id, description = self.job_id("inbox", uuid4().hex), "a delivery, while the database is away"
        with self.redis.pipeline() as pipeline:  # atomic: no body is in Redis without being counted
            args = (*packed, origin_of(self.redis))
            self._enqueue(
                "inbox", STORE_DEFERRED, args, description, STORE_DEFERRED_TIMEOUT, job_id=job_id, pipeline=pipeline
            )
            deferred_deliveries.add(self.redis, job_id, datetime.fromisoformat(received_at), pipeline)
            pipeline.execute()

    def add_redis_only(self, job_id: str, received_at: datetime) -> None:
        """Count a body that its job could not store yet. Never raises."""
        self._suppress_redis_errors("inbox", lambda: deferred_deliveries.add(self.redis, job_id, received_at))

    def remove_redis_only(self, job_id: str) -> None:
        """Stop counting a body that its job has stored. Never raises."""
        self._suppress_redis_errors("inbox", lambda: deferred_deliveries.remove(self.redis, job_id))

    def prune_redis_only(self) -> None:
        """Correct the count of bodies that are only in Redis, after jobs were deleted by hand. Never raises."""

        def drop() -> None:
            gone = deferred_deliveries.prune_missing(self.redis)
            if gone:
                log.warning("redis_only.pruned", jobs=gone)

        self._suppress_redis_errors("inbox", drop)

    def _seen_key(self, fingerprint: str) -> str:
        return key_of(self.redis, "came-by", fingerprint)

    def _suppress_redis_errors(self, queue_name: QueueName, action: Callable[[], object]) -> bool:
        try:
            self._call(action)
        except RedisError as error:
            self._outage.record_failure(error, queue_name=queue_name)
            return False
        self._outage.record_recovery()
        return True

    def _call(self, action: Callable[[], object]) -> None:
        if self._cooldown.active:
            raise RedisUnavailable("it did not answer just now")
        try:
            try:
                action()
            except NotWritable:  # after a failover: pooled connections lead to the old primary, new ones to the new one
                self.redis.connection_pool.disconnect(inuse_connections=False)
                action()
        except (RedisUnavailable, RedisTimeout):
            self._cooldown.start()
            raise

    def _trigger_drain(self, queue_name: QueueName) -> None:
        if self.redis.set(self._flags[queue_name], 1, nx=True, ex=TRIGGER_TTL):
            self._enqueue(queue_name, DRAIN, (queue_name,), f"empty the {queue_name}")

    def _enqueue(
        self,
        queue_name: QueueName,
        job: str,
        args: tuple[str, ...],
        description: str,
        timeout: timedelta = JOB_TIMEOUT,
        job_id: str | None = None,
        pipeline: Pipeline | None = None,
    ) -> None:
        new_job = Job.create(
            job,
            args=args,
            connection=self.redis,
            description=description,
            timeout=_seconds(timeout),
            result_ttl=0,
            retry=RETRY_IF_ABANDONED,
            id=job_id or self.job_id(queue_name, uuid4().hex),
            status=JobStatus.QUEUED,
            serializer=JSONSerializer,
        )
        self.queue(queue_name).enqueue_job(new_job, pipeline)

    def _schedule_retry(self, queue_name: QueueName, key: str, row: RetryState) -> None:
        if row.status == "dead":
            self.mark_failed(queue_name, key, row.failure_summary)
        else:
            queue, job = self.queue(queue_name), self._row_job(queue_name, key)
            queue.failed_job_registry.remove(job.id)
            queue.schedule_job(job, row.due_at)

    def _discard(self, queue_name: QueueName, keys: Sequence[str]) -> None:
        ids = [self.job_id(queue_name, key) for key in keys]
        queue = self.queue(queue_name)
        for name, job in zip(ids, OwnJob.fetch_many(ids, queue.connection, queue.serializer), strict=True):
            if job:
                job.delete()
            queue.failed_job_registry.remove(name)

    def _row_job(self, queue_name: QueueName, key: str) -> Job:
        return self.queue(queue_name).create_job(
            RETRY_ONE,
            args=(queue_name, key),
            job_id=self.job_id(queue_name, key),
            description=f"{queue_name} {key}",
            timeout=_seconds(JOB_TIMEOUT),
            result_ttl=0,
            retry=RETRY_IF_ABANDONED,
            status=JobStatus.SCHEDULED,
        )


def rq_queue_name(redis: "Redis", queue_name: QueueName) -> str:
    """Return the name of a queue in RQ, as `rq info` shows it."""
    return f"{prefix_of(redis)}-{queue_name}"


def open_queue(redis: "Redis", name: str) -> Queue:
    """Open an RQ queue whose jobs can run only our own functions."""
    return Queue(name, connection=redis, serializer=JSONSerializer, job_class=OwnJob)


def _seconds(duration: timedelta) -> int:
    return int(duration.total_seconds())
