"""Heartbeats: what a process without a port writes to Redis, so that others see that it is alive."""

import socket
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import cast
from uuid import uuid4

from redis import Redis
from redis.exceptions import ResponseError
from rq import Queue, Worker
from rq.worker import BaseWorker, WorkerStatus

from runtime.redis.client import key_of, probe_write

TASKS = ("wake", "sweep", "runs", "failed_jobs", "prune", "alerts", "arrivals")
"""The scheduler's tasks that run in every installation."""
OLD_TASKS = {"filing": "failed_jobs"}
"""Names of version 0.1.0, whose scheduler may still run during an upgrade."""
SIGNS_OF_SCHEDULER = ("sweep", "alerts")
"""Either shows that the scheduler runs: the sweep needs the database, the alerts do not."""
RAN_KEY = "ran"
DEATH_WINDOW = timedelta(minutes=10)
GRACE_SECONDS = 60
"""A worker's registration outlives its promised heartbeat by this; RQ's own constant. In it, the worker is late."""


def record(redis: Redis, task: str, next_run: datetime, ttl: timedelta) -> None:
    """Record that a scheduled task ran on this machine, and when it runs next.

    Raises:
        RedisError: Redis is down.
    """
    redis.set(_key(redis, task), next_run.isoformat(), ex=ttl)


def task_alive(redis: Redis, task: str) -> bool:
    """Whether a scheduled task ran recently on this machine.

    Raises:
        RedisError: Redis is down.
    """
    return bool(redis.exists(_key(redis, task)))


def scheduler_alive(redis: Redis) -> bool:
    """Whether a scheduler runs on this machine. While the database is down, its alerts still run.

    Raises:
        RedisError: Redis is down, or cannot be written, so that nothing could have been recorded.
    """
    if any(task_alive(redis, task) for task in SIGNS_OF_SCHEDULER):
        return True
    probe_write(redis)
    return False


def next_runs(redis: Redis) -> dict[str, datetime]:
    """Return task -> when it runs next, on any machine. Tasks that did not run recently are missing.

    Raises:
        RedisError: Redis is down.
    """
    runs: dict[str, datetime] = {}
    for key in redis.scan_iter(match=key_of(redis, RAN_KEY, "*"), count=1000):
        task = key.decode().rpartition(":")[2]
        with suppress(ResponseError, ValueError):  # not what we wrote
            moment = datetime.fromisoformat(cast("bytes", redis.get(key) or b"").decode())
            runs[task] = min(runs.get(task, moment), moment)
    for old_name, name in OLD_TASKS.items():
        if old_name in runs:
            runs.setdefault(name, runs.pop(old_name))
    return runs


def redis_now(redis: Redis) -> datetime:
    """Return Redis's time, UTC, which all machines share however wrong their own clocks are.

    Raises:
        RedisError: Redis is down.
    """
    seconds, microseconds = redis.time()
    return datetime.fromtimestamp(seconds, UTC) + timedelta(microseconds=microseconds)


def live_workers(queue: Queue) -> list[BaseWorker]:
    """Return the workers of a queue, on all machines, without those that were killed and are still registered.

    An idle worker renews its registration long before the grace period begins. A busy one ends within the time limit of
    its job. Only Redis's clock is read.

    Raises:
        RedisError: Redis is down.
    """
    workers = Worker.all(queue=queue)
    pipeline = queue.connection.pipeline(transaction=False)
    for worker in workers:
        pipeline.ttl(worker.key)
    ttl = pipeline.execute()
    return [worker for worker, seconds in zip(workers, ttl, strict=True) if _is_alive(worker, seconds)]


def _is_alive(worker: BaseWorker, seconds: int) -> bool:
    return seconds > (0 if worker.get_state() == WorkerStatus.BUSY else GRACE_SECONDS)


def worker_alive(queue: Queue) -> bool:
    """Whether a worker of this machine or container serves a queue.

    Raises:
        RedisError: Redis is down, or cannot be written, so that nothing could have been recorded.
    """
    if any(worker.hostname == socket.gethostname() for worker in live_workers(queue)):
        return True
    probe_write(queue.connection)
    return False


def record_death(redis: Redis, pid: int) -> None:
    """Record that a worker of this machine was killed, so that it counts as dead before its registration expires.

    Args:
        redis: the client.
        pid: process id; ignored if the process was not a worker.

    Raises:
        RedisError: Redis is down.
    """
    now = redis_now(redis)
    for worker in Worker.all(redis):
        if worker.pid == pid and worker.hostname == socket.gethostname():
            worker.register_death()
            for name in worker.queue_names():
                redis.zadd(_deaths(redis), {f"{uuid4()}:{name}": now.timestamp()})
    redis.zremrangebyscore(_deaths(redis), 0, (now - DEATH_WINDOW).timestamp())
    redis.expire(_deaths(redis), DEATH_WINDOW)


def deaths(redis: Redis) -> Mapping[str, int]:
    """Return queue name -> number of its workers that died within `DEATH_WINDOW`, on all machines.

    Raises:
        RedisError: Redis is down.
    """
    since = (redis_now(redis) - DEATH_WINDOW).timestamp()
    members = cast("list[bytes]", redis.zrangebyscore(_deaths(redis), since, "+inf"))
    return Counter(member.decode().partition(":")[2] for member in members)


def _key(redis: Redis, task: str) -> str:
    return key_of(redis, RAN_KEY, socket.gethostname(), task)


def _deaths(redis: Redis) -> str:
    return key_of(redis, "worker-deaths")
