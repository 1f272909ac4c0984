"""The job queue: one drain job for all rows that are due.

The rows themselves say what is due, so the queue only says that there is work. Redis holds no personal data, with one
exception: while the database is down, `enqueue_store` holds the body until a worker can store it.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta
from functools import partial
from itertools import chain
from typing import Literal, cast
from uuid import uuid4

import structlog
from redis import Redis
from redis.client import Pipeline
from redis.exceptions import ConnectionError as RedisUnavailable
from redis.exceptions import RedisError, ResponseError
from redis.exceptions import TimeoutError as RedisTimeout
from rq import Queue
from rq import Retry as RetryJob
from rq.job import Job, JobStatus
from rq.serializers import JSONSerializer

from runtime.outage import Cooldown, Outage
from runtime.redis import deferred_deliveries
from runtime.redis.allowed_jobs import DRAIN, RETRY_ONE, STORE_DEFERRED, OwnJob, current_name
from runtime.redis.client import NotWritable, key_of, origin_of, prefix_of, probe_write

QueueName = Literal["inbox", "outbox"]
QUEUES: tuple[QueueName, ...] = ("inbox", "outbox")

TRIGGER_TTL = timedelta(seconds=45)
"""How long the trigger flag stays set if its job was lost. A second job, after a long wait, does no harm."""
MAINTENANCE_LOCK_TTL = timedelta(seconds=30)
"""How long a worker that is killed while it looks for abandoned jobs keeps others from it. RQ's lock: 15 minutes."""
MAX_SCHEDULED_AHEAD = timedelta(minutes=5)
"""No job is scheduled further ahead; a time beyond was set by a wrong clock."""
MAX_ENQUEUED = 100
"""Scheduled jobs enqueued at once. Each may hold a body."""
LAST_SEEN_TTL = timedelta(days=7)
"""How long the last use of a signed address is remembered."""
JOB_TIMEOUT = timedelta(minutes=2)
STORE_DEFERRED_TIMEOUT = timedelta(seconds=20)
"""Timeout of a job that stores a deferred body. Its one INSERT takes far less; if its worker is killed, the job runs
again after this time."""

RETRY_IF_ABANDONED = RetryJob(max=1000)
"""RQ calls a job abandoned when its worker was killed. Our jobs are idempotent, so they run again and do not fail."""

log = structlog.get_logger()


class JobQueue:
    """Enqueues the workers' jobs.

    Args:
        redis: a client that knows the prefix of this installation's queues and keys.
    """

    def __init__(self, redis: Redis) -> None:
        self.redis = redis
        self._cooldown, self._outage = Cooldown(), Outage("queue.unavailable")
        self._queues = {queue_name: open_queue(redis, rq_queue_name(redis, queue_name)) for queue_name in QUEUES}
        self._flags = {queue_name: key_of(redis, "bell", queue_name) for queue_name in QUEUES}
        self._last_seen = key_of(redis, "came-by", "")

    def queue(self, queue_name: QueueName) -> Queue:
        """The RQ queue of this name."""
        return self._queues[queue_name]

    def job_id(self, queue_name: QueueName, key: str) -> str:
        """Return the id of a job: of a dead row in RQ's failed registry, the row's id is its key."""
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

    def requeue_abandoned(self, queue_name: QueueName) -> None:
        """Requeue the jobs whose worker was killed: a deferred body exists nowhere else. Never raises."""
        queue = self.queue(queue_name)
        self._suppress_redis_errors(queue_name, queue.started_job_registry.cleanup)
        self._suppress_redis_errors(queue_name, partial(_requeue_popped, queue))

    def probe_write(self) -> None:
        """Check that Redis can keep a delivery.

        Raises:
            RedisError: it cannot.
        """
        self._call(lambda: probe_write(self.redis))

    def enqueue_scheduled(self, queue_name: QueueName) -> None:
        """Enqueue the jobs that wait for their time in RQ's scheduled registry, and are due. Never raises.

        So are those whose time is far ahead: a worker whose clock was wrong has set it.

        Two processes that do this at once may run a job twice; ours are idempotent.
        """
        try:
            self._suppress_redis_errors(queue_name, partial(self._enqueue_scheduled, queue_name))
        except (ValueError, TypeError) as error:  # data in Redis that is not RQ's
            log.warning("queue.foreign_data", queue=queue_name, error=type(error).__name__)

    def record_seen(self, fingerprint: str, now: datetime) -> None:
        """Record that a delivery used this signed address, for address rotation. Never raises."""
        key = self._last_seen + fingerprint
        self._suppress_redis_errors("inbox", partial(self.redis.set, key, now.isoformat(), ex=LAST_SEEN_TTL))

    def last_seen(self, fingerprint: str) -> datetime | None:
        """Return when a delivery last used this signed address, to the minute; None if none did, or Redis is down."""
        try:
            value = cast("bytes | None", self.redis.get(self._last_seen + fingerprint))
        except RedisError:
            return None
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
        *_, received_at = packed
        job_id, description = self.job_id("inbox", uuid4().hex), "a delivery, while the database is down"
        args = (*packed, origin_of(self.redis))
        with self.redis.pipeline() as pipeline:  # atomic: no body is in Redis without being counted
            self._enqueue("inbox", STORE_DEFERRED, args, description, pipeline, STORE_DEFERRED_TIMEOUT, job_id)
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

    def _suppress_redis_errors(self, queue_name: QueueName, action: Callable[[], object]) -> bool:
        try:
            self._call(action)
        except RedisError as error:
            self._outage.record_failure(error, queue_name=queue_name)
            return False
        if self._outage.is_on:
            self._outage.record_recovery()
        return True

    def _call(self, action: Callable[[], object]) -> None:
        if time.monotonic() < self._cooldown.until:
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
            with self.redis.pipeline() as pipeline:  # RQ alone makes two round trips
                self._enqueue(queue_name, DRAIN, (queue_name,), f"drain the {queue_name}", pipeline)
                pipeline.execute()

    def _enqueue(
        self,
        queue_name: QueueName,
        job: str,
        args: tuple[str, ...],
        description: str,
        pipeline: Pipeline,
        timeout: timedelta = JOB_TIMEOUT,
        job_id: str | None = None,
    ) -> None:
        new_job = Job.create(
            job,
            args=args,
            connection=self.redis,
            description=description,
            timeout=int(timeout.total_seconds()),
            result_ttl=0,
            retry=RETRY_IF_ABANDONED,
            id=job_id or self.job_id(queue_name, uuid4().hex),
            status=JobStatus.QUEUED,
            serializer=JSONSerializer,
        )
        self.queue(queue_name).enqueue_job(new_job, pipeline)

    def _enqueue_scheduled(self, queue_name: QueueName) -> None:
        queue = self.queue(queue_name)
        registry = queue.scheduled_job_registry
        now = time.time()
        too_far = now + MAX_SCHEDULED_AHEAD.total_seconds()
        # RQ's own method decodes all names at once, so that one that is no text would stop the others
        due = [
            queue.connection.zrangebyscore(registry.key, since, until, start=0, num=MAX_ENQUEUED)
            for since, until in ((0, now), (too_far, "+inf"))
        ]
        for name in cast("Iterator[bytes]", chain.from_iterable(due)):
            try:
                [job] = OwnJob.fetch_many([name.decode()], queue.connection, queue.serializer)
            except (ValueError, TypeError, ResponseError) as error:  # what is under this name is not RQ's
                log.warning("queue.foreign_data", queue=queue_name, job_id=repr(name), error=type(error).__name__)
                job = None
            with queue.connection.pipeline() as pipeline:  # atomic: a deferred body exists nowhere else
                if job and _is_retry_of_former_release(job):
                    job.delete(pipeline=pipeline)
                elif job:
                    queue.enqueue_job(job, pipeline=pipeline)
                pipeline.zrem(registry.key, name)
                pipeline.execute()


def _requeue_popped(queue: Queue) -> None:
    """Requeue the jobs whose worker was killed between popping and registering them: RQ sees them there for a minute.

    RQ's workers do so, too. But an idle one looks every 90 seconds, and has to look twice.
    """
    popped = queue.intermediate_queue
    for job_id in popped.get_job_ids():
        if popped.set_first_seen(job_id) or not popped.should_be_cleaned_up(job_id):
            continue
        with queue.connection.pipeline() as pipeline:
            pipeline.lrem(popped.key, 1, job_id)
            queue.push_job_id(job_id, pipeline=pipeline)
            pipeline.execute()


def _is_retry_of_former_release(job: Job) -> bool:
    """Whether it is a failed row's own job, which former releases scheduled. Today the row is the schedule."""
    return current_name(job.func_name) == RETRY_ONE and not job.number_of_retries


def rq_queue_name(redis: Redis, queue_name: QueueName) -> str:
    """Return the name of a queue in RQ, as `rq info` shows it."""
    return f"{prefix_of(redis)}-{queue_name}"


class OwnQueue(Queue):
    """An RQ queue whose maintenance a killed worker does not stop for long."""

    def acquire_maintenance_lock(self) -> bool:
        """Return whether this process may look for abandoned jobs now."""
        return bool(self.connection.set(self.registry_cleaning_key, 1, nx=True, ex=MAINTENANCE_LOCK_TTL))


def open_queue(redis: Redis, name: str) -> Queue:
    """Open an RQ queue whose jobs can run only our own functions."""
    return OwnQueue(name, connection=redis, serializer=JSONSerializer, job_class=OwnJob)
