"""The job queue: one drain job for all rows that are due, and a job of its own for each row that failed.

Healthy rows share a job: `trigger_drain` enqueues one, which processes all that is due. A row that failed
gets an RQ job named after it, so that RQ's own tools show what failed. Nothing of people is in Redis,
with one exception: while the database is away, `enqueue_store` holds the body until a worker can store it.
"""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Literal, Protocol
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

from runtime.cooldown import Cooldown
from runtime.outage import Outage
from runtime.redis import address_usage, deferred_deliveries
from runtime.redis.allowed_jobs import DRAIN, RETRY_ONE, STORE_DEFERRED, OwnJob
from runtime.redis.client import REDIS_TIMEOUT_SECONDS, NotWritable, connect, key_of, origin_of, prefix_of

QueueName = Literal["inbox", "outbox"]
QUEUES: tuple[QueueName, ...] = ("inbox", "outbox")

TRIGGER_TTL = timedelta(hours=1)
"""How long the trigger stays set if its job was lost; the sweeper notices much earlier."""
JOB_TIMEOUT = timedelta(minutes=2)
STORE_DEFERRED_TIMEOUT = timedelta(seconds=20)
"""Its one insert ends much earlier; a body whose worker was killed is free again after this."""

RETRY_IF_ABANDONED = RetryJob(max=1000)
"""RQ calls a job abandoned when its worker was killed; these jobs can run again, so they are no failures."""

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
    """What the queue has to know of a row that failed; see `models.retryable.Retryable`."""

    @property
    def status(self) -> str:
        """Whether it is tried again or dead."""

    @property
    def due_at(self) -> datetime:
        """When it is tried again."""

    @property
    def failure_summary(self) -> str:
        """Why it failed, safe to log."""


class JobQueue:
    """Wakes the workers.

    Args:
        redis: the connection; it knows what our queues and keys are called.
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
        """What a row's own job is called."""
        return f"{self._queues[queue_name].name}-{key}"

    def trigger_drain(self, queue_name: QueueName) -> bool:
        """Enqueues one drain job, unless one is pending.

        Never raises: if Redis is down, the sweeper triggers when it is back.

        Returns:
            Whether Redis was reached.
        """
        return self._suppress_redis_errors(queue_name, partial(self._trigger_drain, queue_name))

    def force_drain(self, queue_name: QueueName) -> None:
        """Triggers even if one is pending, in case its job was lost; not while any job is waiting. Never raises."""
        self._suppress_redis_errors(
            queue_name, lambda: None if self.queue(queue_name).count else self.redis.delete(self._flags[queue_name])
        )
        self.trigger_drain(queue_name)

    def drain_started(self, queue_name: QueueName) -> None:
        """Clears the trigger. Do it before reading what is due, and no wake-up can be lost. Never raises."""
        self._suppress_redis_errors(queue_name, partial(self.redis.delete, self._flags[queue_name]))

    def schedule_retry(self, queue_name: QueueName, key: str, row: RetryState) -> None:
        """Gives a row that failed a job of its own: in the failed registry if it is dead. Never raises."""
        self._suppress_redis_errors(queue_name, lambda: self._schedule_retry(queue_name, key, row))

    def requeue_abandoned(self, queue_name: QueueName) -> None:
        """Enqueues again the jobs whose worker was killed: a deferred body is nowhere else. Never raises."""
        self._suppress_redis_errors(queue_name, lambda: self.queue(queue_name).started_job_registry.cleanup())

    def discard(self, queue_name: QueueName, *keys: str) -> bool:
        """Takes rows' own jobs away, wherever they are: the rows start over, or are closed. Never raises.

        Returns:
            Whether Redis was reached.
        """
        return self._suppress_redis_errors(queue_name, lambda: self._discard(queue_name, keys))

    def mark_failed(self, queue_name: QueueName, key: str, reason: str) -> None:
        """Puts a dead row's own job into RQ's failed registry, and nowhere else.

        Args:
            queue_name: whose row it is.
            key: the row's id.
            reason: why it died, safe to log.

        Raises:
            RedisError: Redis is away.
        """
        queue, job = self.queue(queue_name), self._row_job(queue_name, key)
        queue.remove(job.id)
        queue.scheduled_job_registry.remove(job.id)
        with job.connection.pipeline() as pipeline:
            record_job_failure(job, reason, pipeline)
            pipeline.execute()

    def record_seen(self, fingerprint: str, now: datetime) -> None:
        """Says that a delivery came by this address, so that a rotation knows. Never raises."""
        self._suppress_redis_errors("inbox", partial(address_usage.record_seen, self.redis, fingerprint, now))

    def enqueue_store(self, packed: Sequence[str]) -> None:
        """Holds a delivery that the database cannot take now, packed as `models.delivery.pack` does.

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
        with self.redis.pipeline() as pipeline:  # so that nothing is in Redis only and not counted
            args = (*packed, origin_of(self.redis))
            self._enqueue(
                "inbox", STORE_DEFERRED, args, description, STORE_DEFERRED_TIMEOUT, job_id=job_id, pipeline=pipeline
            )
            deferred_deliveries.add(self.redis, job_id, datetime.fromisoformat(received_at), pipeline)
            pipeline.execute()

    def add_redis_only(self, job_id: str, received_at: datetime) -> None:
        """Counts a body that its job could not store yet. Never raises."""
        self._suppress_redis_errors("inbox", lambda: deferred_deliveries.add(self.redis, job_id, received_at))

    def remove_redis_only(self, job_id: str) -> None:
        """Counts a body no more that its job has stored. Never raises."""
        self._suppress_redis_errors("inbox", lambda: deferred_deliveries.remove(self.redis, job_id))

    def prune_redis_only(self) -> None:
        """Corrects the count of bodies in Redis only, should a job have been deleted by hand. Never raises."""

        def drop() -> None:
            gone = deferred_deliveries.prune_missing(self.redis)
            if gone:
                log.warning("redis_only.pruned", jobs=gone)

        self._suppress_redis_errors("inbox", drop)

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
        self.queue(queue_name).enqueue(
            job,
            args=args,
            description=description,
            job_timeout=_seconds(timeout),
            result_ttl=0,
            retry=RETRY_IF_ABANDONED,
            job_id=job_id or self.job_id(queue_name, uuid4().hex),
            pipeline=pipeline,
        )

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
    """The name of a queue in RQ: `rq info` shows it so."""
    return f"{prefix_of(redis)}-{queue_name}"


def open_queue(redis: "Redis", name: str) -> Queue:
    """A queue of RQ; its jobs run nothing but our functions."""
    return Queue(name, connection=redis, serializer=JSONSerializer, job_class=OwnJob)


def _seconds(duration: timedelta) -> int:
    return int(duration.total_seconds())
