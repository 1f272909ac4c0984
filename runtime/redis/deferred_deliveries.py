"""Webhooks that are in Redis only: accepted while the database could not store them.

A sorted set beside the queue holds the id of each job that holds a body, ordered by the time received, so that
counting costs the same for one and for 100,000. Its entry goes when the body is stored.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import cast

from redis import Redis
from redis.client import Pipeline
from rq.job import Job, JobStatus

from runtime.redis.client import key_of

CHECK_BATCH = 500
"""Entries that one call of `prune_missing` or `count_failed` checks."""


@dataclass(frozen=True)
class RedisOnly:
    """The bodies that would be lost with Redis.

    Attributes:
        count: bodies that the database does not have yet.
        oldest: when the oldest of them was received, UTC; None if there is none.
    """

    count: int = 0
    oldest: datetime | None = None


def add(redis: Redis, job_id: str, received_at: datetime, pipeline: Pipeline | None = None) -> None:
    """Count a body that a job holds. Idempotent."""
    (pipeline if pipeline is not None else redis).zadd(_key(redis), {job_id: received_at.timestamp()}, nx=True)


def remove(redis: Redis, job_id: str) -> None:
    """Stop counting a body that was stored."""
    redis.zrem(_key(redis), job_id)


def read(redis: Redis) -> RedisOnly:
    """Return the count and the age of bodies that are only in Redis.

    Raises:
        RedisError: Redis is down.
    """
    pipeline = redis.pipeline(transaction=False)
    pipeline.zcard(_key(redis))
    pipeline.zrange(_key(redis), 0, 0, withscores=True)
    count, oldest = pipeline.execute()
    return RedisOnly(count, datetime.fromtimestamp(oldest[0][1], UTC) if oldest else None)


def count_failed(redis: Redis) -> int:
    """Return how many of the oldest bodies are in jobs that failed for good, which no worker runs again.

    Raises:
        RedisError: Redis is down.
    """
    pipeline = redis.pipeline(transaction=False)
    for job_id in _oldest(redis):
        pipeline.hget(Job.key_for(job_id), "status")
    return pipeline.execute().count(JobStatus.FAILED.value.encode())


def prune_missing(redis: Redis) -> int:
    """Remove the oldest entries whose job is gone, for example after `rq empty inbox`.

    Returns:
        The number of removed entries.

    Raises:
        RedisError: Redis is down.
    """
    ids = _oldest(redis)
    pipeline = redis.pipeline(transaction=False)
    for job_id in ids:
        pipeline.exists(Job.key_for(job_id))
    missing = [job_id for job_id, exists in zip(ids, pipeline.execute(), strict=True) if not exists]
    return redis.zrem(_key(redis), *missing) if missing else 0


def _oldest(redis: Redis) -> list[str]:
    return [cast("bytes", member).decode() for member in redis.zrange(_key(redis), 0, CHECK_BATCH - 1)]


def _key(redis: Redis) -> str:
    return key_of(redis, "redis-only")
