"""The pulse: what a process without a port leaves in Redis, so that others can tell it works."""

import socket
from contextlib import suppress
from datetime import datetime, timedelta
from typing import cast

from redis import Redis
from redis.exceptions import ResponseError
from rq import Queue, Worker

from models.redis_client import key_of

RAN = "ran"


def beat(redis: "Redis", task: str, next_run: datetime, lasts: timedelta) -> None:
    """Says that a task of the schedule ran on this machine, and when it will again.

    Raises:
        RedisError: Redis is away.
    """
    redis.set(_key(redis, task), next_run.isoformat(), ex=lasts)


def task_runs(redis: "Redis", task: str) -> bool:
    """Whether a task ran lately on this machine.

    Raises:
        RedisError: Redis is away.
    """
    return bool(redis.exists(_key(redis, task)))


def next_runs(redis: "Redis") -> dict[str, datetime]:
    """Task -> when it runs next, on any machine; a task that did not run lately is not there.

    Raises:
        RedisError: Redis is away.
    """
    runs: dict[str, datetime] = {}
    for key in redis.scan_iter(match=key_of(redis, RAN, "*"), count=1000):
        task = key.decode().rpartition(":")[2]
        with suppress(ResponseError, ValueError):  # not what we wrote
            moment = datetime.fromisoformat(cast("bytes", redis.get(key) or b"").decode())
            runs[task] = min(runs.get(task, moment), moment)
    return runs


def worker_runs(queue: Queue) -> bool:
    """Whether a worker of this machine, or of this container, listens to a queue.

    Raises:
        RedisError: Redis is away.
    """
    return any(worker.hostname == socket.gethostname() for worker in Worker.all(queue=queue))


def _key(redis: "Redis", task: str) -> str:
    return key_of(redis, RAN, socket.gethostname(), task)
