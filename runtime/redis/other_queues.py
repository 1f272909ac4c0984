"""Orphaned webhooks on the same Redis: left there by an older version, or after the prefix or the database changed."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import cast

from redis import Redis
from rq import Queue, Worker
from rq.job import Job

from runtime.queue import JobQueue, open_queue
from runtime.redis import deferred_deliveries
from runtime.redis.allowed_jobs import STORE_DEFERRED, OwnJob, current_name
from runtime.redis.client import origin_of

QUEUE_NAME = re.compile(r"([A-Za-z0-9_-]{1,32}-)?inbox")
"""Before there were prefixes, the queue was called `inbox`."""
QUEUES_KEY, QUEUE_KEY = "rq:queues", "rq:queue:"
MAX_QUEUES, MAX_JOBS = 50, 10_000
ARGUMENT_COUNT = 5
"""Number of arguments of a job that stores a deferred body, without its origin."""


@dataclass(frozen=True)
class Adopted:
    """The result of adopting a queue.

    Attributes:
        taken: webhooks that are in our queue now.
        left: webhooks that another database's receiver left there.
    """

    taken: int
    left: int


def orphaned_queues(redis: Redis, own_queue: str) -> dict[str, int]:
    """Return queue -> number of webhooks in it that no worker stores.

    Those are the webhooks in queues of other prefixes without a worker, and in our own queue what our workers rejected,
    since it was accepted for another database.

    Args:
        redis: a client.
        own_queue: the name of our own inbox queue.

    Raises:
        RedisError: Redis is down.
    """
    names = sorted(name for name in _names(redis) if name != own_queue and QUEUE_NAME.fullmatch(name))[:MAX_QUEUES]
    rejected = deferred_deliveries.count_failed(redis)
    found = {own_queue: rejected} if rejected else {}
    for name in names:
        queue = open_queue(redis, name)
        waiting = 0 if Worker.all(queue=queue) else sum(1 for _ in _deferred_jobs(queue, _ids(queue)))
        if waiting:
            found[name] = waiting
    return found


def adopt(job_queue: JobQueue, name: str, *, foreign: bool = False) -> Adopted:
    """Move the webhooks of another queue, or those rejected in our own, into ours, to be stored in our database.

    Each is added to our queue before it is removed from the other. If interrupted, it is in both, and is stored once.

    Args:
        job_queue: our queues.
        name: name of the queue.
        foreign: whether to move also those that were accepted for another database.

    Raises:
        RedisError: Redis is down.
    """
    queue, taken, left = open_queue(job_queue.redis, name), 0, 0
    is_own = name == job_queue.queue("inbox").name  # our workers have the rest of it in their hands
    for job in list(_deferred_jobs(queue, _failed_ids(queue) if is_own else _ids(queue))):
        arguments = [str(argument) for argument in job.args]
        if foreign or _is_ours(arguments, origin_of(job_queue.redis)):
            job_queue.enqueue_packed(arguments[:ARGUMENT_COUNT])
            _remove(queue, job)
            job_queue.remove_redis_only(job.id)
            taken += 1
        else:
            left += 1
    return Adopted(taken, left)


def _is_ours(arguments: list[str], origin: str) -> bool:
    """Whether a webhook belongs here. One without an origin is from a version without prefixes."""
    return len(arguments) == ARGUMENT_COUNT or arguments[ARGUMENT_COUNT].rpartition("/")[2] == origin.rpartition("/")[2]


def _deferred_jobs(queue: Queue, ids: list[str]) -> Iterator[Job]:
    for job in OwnJob.fetch_many(ids, queue.connection, queue.serializer):
        if job is not None and current_name(job.func_name) == STORE_DEFERRED:
            yield job


def _ids(queue: Queue) -> list[str]:
    lists = (
        queue.get_job_ids(0, MAX_JOBS),
        queue.intermediate_queue.get_job_ids(),
        _failed_ids(queue),
        queue.scheduled_job_registry.get_job_ids(0, MAX_JOBS, cleanup=False),
        queue.started_job_registry.get_job_ids(0, MAX_JOBS, cleanup=False),
    )
    return list(dict.fromkeys(name for names in lists for name in names))


def _failed_ids(queue: Queue) -> list[str]:
    return cast("list[str]", queue.failed_job_registry.get_job_ids(0, MAX_JOBS, cleanup=False))


def _remove(queue: Queue, job: Job) -> None:
    queue.remove(job.id)
    queue.intermediate_queue.remove(job.id)
    for registry in (queue.failed_job_registry, queue.scheduled_job_registry, queue.started_job_registry):
        registry.connection.zrem(registry.key, job.id)
    queue.connection.delete(job.key)


def _names(redis: Redis) -> list[str]:
    members = cast("set[bytes]", redis.smembers(QUEUES_KEY))
    return [name.decode(errors="replace").removeprefix(QUEUE_KEY) for name in members]
