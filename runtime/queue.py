"""The queue's door: the bell that says there is mail, and a job of its own for each row that failed.

Healthy rows travel together: `ring` enqueues one job, which works off all that is due. A row that failed
gets an RQ job named after it, so that RQ's own tools show what is sick. Nothing of people is in Redis,
with one exception: while the database is away, `carry` holds the body until a worker can store it.
"""

import base64
import re
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Literal
from uuid import uuid4

import structlog
from redis import Redis
from redis.client import Pipeline
from redis.exceptions import ConnectionError as RedisAway
from redis.exceptions import RedisError
from redis.exceptions import TimeoutError as RedisSilent
from rq import Queue
from rq import Retry as RetryJob
from rq.job import Job, JobStatus
from rq.job_lifecycle import record_job_failure
from rq.serializers import JSONSerializer

from models import endpoint
from models.delivery import NewDelivery
from models.retryable import Retryable
from runtime.cooldown import Cooldown
from runtime.encryption import EncryptedBody
from runtime.outage import Outage
from runtime.redis import deferred_deliveries
from runtime.redis.allowed_jobs import CARRY, EMPTY, TEND, OwnJob
from runtime.redis.client import REDIS_TIMEOUT_SECONDS, CannotServe, connect, key_of, origin_of, prefix_of
from runtime.signed_address import ACCOUNT

QueueName = Literal["inbox", "outbox"]
QUEUES: tuple[QueueName, ...] = ("inbox", "outbox")

ID = re.compile("[0-9a-f]{64}")
KEY = re.compile("[0-9a-f]{0,12}")
TRIGGER_TTL = timedelta(hours=1)
"""How long a bell stays rung if its job was lost; the sweep notices much earlier."""
JOB_TIMEOUT = timedelta(minutes=2)
CARRY_TIMEOUT = timedelta(seconds=20)
"""Its one insert ends much earlier; a body whose worker was killed is free again after this."""

RETRY_IF_ABANDONED = RetryJob(max=1000)
"""RQ calls a job abandoned when its worker was killed; these jobs can run again, so they are no failures."""

log = structlog.get_logger()


__all__ = ["CARRY", "EMPTY", "QUEUES", "REDIS_TIMEOUT_SECONDS", "TEND", "JobQueue", "QueueName", "connect"]


class JobQueue:
    """Wakes the workers.

    Args:
        redis: the connection to ring through; it knows what our queues and keys are called.
    """

    def __init__(self, redis: "Redis") -> None:
        self.redis = redis
        self._respite, self._outage = Cooldown(), Outage("bell.unheard")
        self._queues = {box: open_queue(redis, queue_name(redis, box)) for box in QUEUES}

    def queue(self, box: QueueName) -> Queue:
        """The RQ queue behind a box."""
        return self._queues[box]

    def job_id(self, box: QueueName, key: str) -> str:
        """What a row's own job is called."""
        return f"{self.queue(box).name}-{key}"

    def ring(self, box: QueueName) -> bool:
        """Says that there is something to do; only who rings first enqueues a job.

        Never raises: if Redis is away, the sweep will ring when it is back.

        Returns:
            Whether Redis heard it.
        """
        return self._quietly(box, lambda: self._ring(box))

    def ring_again(self, box: QueueName) -> None:
        """Rings even if the bell is rung, in case its job was lost; not while any job is waiting. Never raises."""
        self._quietly(box, lambda: None if self.queue(box).count else self.redis.delete(self._flag(box)))
        self.ring(box)

    def answer(self, box: QueueName) -> None:
        """Takes the bell down. Do it before reading what is due, and no wake-up can be lost. Never raises."""
        self._quietly(box, lambda: self.redis.delete(self._flag(box)))

    def tend(self, box: QueueName, key: str, row: Retryable) -> None:
        """Gives a row that failed a job of its own: in the failed registry if it is dead. Never raises."""
        self._quietly(box, lambda: self._tend(box, key, row))

    def revive(self, box: QueueName) -> None:
        """Enqueues again the jobs whose worker was killed: a carried body is nowhere else. Never raises."""
        self._quietly(box, lambda: self.queue(box).started_job_registry.cleanup())

    def forget(self, box: QueueName, *keys: str) -> bool:
        """Takes rows' own jobs away, wherever they are: the rows start over, or are closed. Never raises.

        Returns:
            Whether Redis heard it.
        """
        return self._quietly(box, lambda: self._forget(box, keys))

    def file(self, box: QueueName, key: str, reason: str) -> None:
        """Puts a dead row's own job into RQ's failed registry, and nowhere else.

        Args:
            box: whose row it is.
            key: the row's id.
            reason: why it died, safe to log.

        Raises:
            RedisError: Redis is away.
        """
        queue, job = self.queue(box), self._own_job(box, key)
        queue.remove(job.id)
        queue.scheduled_job_registry.remove(job.id)
        with job.connection.pipeline() as pipeline:
            record_job_failure(job, reason, pipeline)
            pipeline.execute()

    def note_arrival(self, mark: str, now: datetime) -> None:
        """Says that a delivery came by this address, so that a rotation knows. Never raises."""
        self._quietly("inbox", lambda: endpoint.record_seen(self.redis, mark, now))

    def carry(self, letter: NewDelivery) -> None:
        """Holds what the database cannot take now.

        Raises:
            RedisError: Redis is away too.
        """
        self._ask(lambda: self.store_later(pack(letter)))

    def store_later(self, packed: Sequence[str]) -> None:
        """Enqueue a packed body, to be stored by a worker of this installation.

        Raises:
            RedisError: Redis is down.
        """
        *_, received_at = packed[:5]
        job_id, description = self.job_id("inbox", uuid4().hex), "a delivery, while the database is away"
        with self.redis.pipeline() as pipeline:  # so that nothing is in Redis only and not counted
            args = (*packed, origin_of(self.redis))
            self._enqueue("inbox", CARRY, args, description, CARRY_TIMEOUT, job_id=job_id, pipeline=pipeline)
            deferred_deliveries.add(self.redis, job_id, datetime.fromisoformat(received_at), pipeline)
            pipeline.execute()

    def note_redis_only(self, job_id: str, received_at: datetime) -> None:
        """Counts a body that its job could not store yet. Never raises."""
        self._quietly("inbox", lambda: deferred_deliveries.add(self.redis, job_id, received_at))

    def note_stored(self, job_id: str) -> None:
        """Counts a body no more that its job has stored. Never raises."""
        self._quietly("inbox", lambda: deferred_deliveries.remove(self.redis, job_id))

    def drop_gone(self) -> None:
        """Corrects the count of bodies in Redis only, should a job have been deleted by hand. Never raises."""

        def drop() -> None:
            gone = deferred_deliveries.drop_gone(self.redis)
            if gone:
                log.warning("redis_only.gone", jobs=gone)

        self._quietly("inbox", drop)

    def _quietly(self, box: QueueName, action: Callable[[], object]) -> bool:
        try:
            self._ask(action)
        except RedisError as error:
            self._outage.notice(error, box=box)
            return False
        self._outage.end()
        return True

    def _ask(self, action: Callable[[], object]) -> None:
        if self._respite.is_on:
            raise RedisAway("it did not answer just now")
        try:
            self._ask_twice(action)
        except (RedisAway, RedisSilent):
            self._respite.begin()
            raise

    def _ask_twice(self, action: Callable[[], object]) -> None:
        """After a failover, the pooled connections lead to a server that was demoted; a new one to its successor."""
        try:
            action()
        except CannotServe:
            self.redis.connection_pool.disconnect(inuse_connections=False)
            action()

    def _ring(self, box: QueueName) -> None:
        if self.redis.set(self._flag(box), 1, nx=True, ex=TRIGGER_TTL):
            self._enqueue(box, EMPTY, (box,), f"empty the {box}")

    def _enqueue(
        self,
        box: QueueName,
        job: str,
        args: tuple[str, ...],
        description: str,
        timeout: timedelta = JOB_TIMEOUT,
        job_id: str | None = None,
        pipeline: Pipeline | None = None,
    ) -> None:
        self.queue(box).enqueue(
            job,
            args=args,
            description=description,
            job_timeout=_seconds(timeout),
            result_ttl=0,
            retry=RETRY_IF_ABANDONED,
            job_id=job_id or self.job_id(box, uuid4().hex),
            pipeline=pipeline,
        )

    def _tend(self, box: QueueName, key: str, row: Retryable) -> None:
        if row.status == "dead":
            self.file(box, key, row.last_words)
        else:
            queue, job = self.queue(box), self._own_job(box, key)
            queue.failed_job_registry.remove(job.id)
            queue.schedule_job(job, row.due_at)

    def _forget(self, box: QueueName, keys: Sequence[str]) -> None:
        ids = [self.job_id(box, key) for key in keys]
        queue = self.queue(box)
        for name, job in zip(ids, OwnJob.fetch_many(ids, queue.connection, queue.serializer), strict=True):
            if job:
                job.delete()
            queue.failed_job_registry.remove(name)

    def _flag(self, box: QueueName) -> str:
        return key_of(self.redis, "bell", box)

    def _own_job(self, box: QueueName, key: str) -> Job:
        return self.queue(box).create_job(
            TEND,
            args=(box, key),
            job_id=self.job_id(box, key),
            description=f"{box} {key}",
            timeout=_seconds(JOB_TIMEOUT),
            result_ttl=0,
            retry=RETRY_IF_ABANDONED,
            status=JobStatus.SCHEDULED,
        )


def queue_name(redis: "Redis", box: QueueName) -> str:
    """What RQ calls a box: `rq info` shows it so."""
    return f"{prefix_of(redis)}-{box}"


def open_queue(redis: "Redis", name: str) -> Queue:
    """A queue of RQ; its jobs run nothing but our functions."""
    return Queue(name, connection=redis, serializer=JSONSerializer, job_class=OwnJob)


def pack(letter: NewDelivery) -> tuple[str, ...]:
    """A letter as JSON can carry it."""
    content = base64.b64encode(letter.sealed.content).decode()
    return letter.id, letter.account, content, letter.sealed.key or "", letter.received_at.isoformat()


def unpack(letter_id: str, account: str, content: str, key: str, received_at: str) -> NewDelivery:
    """The letter again.

    Raises:
        ValueError: that is none that we packed.
    """
    moment = datetime.fromisoformat(received_at)
    if not ID.fullmatch(letter_id) or not ACCOUNT.fullmatch(account) or not KEY.fullmatch(key) or not moment.tzinfo:
        raise ValueError("not a letter of ours")
    return NewDelivery(letter_id, account, EncryptedBody(base64.b64decode(content, validate=True), key or None), moment)


def _seconds(duration: timedelta) -> int:
    return int(duration.total_seconds())
