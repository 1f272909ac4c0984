"""The pulse: what a process without a port leaves in Redis, so that others can tell it works."""

import socket
from datetime import timedelta

from redis import Redis
from rq import Queue, Worker


def beat(redis: "Redis", task: str, lasts: timedelta) -> None:
    """Says that a task of the schedule ran on this machine.

    Raises:
        RedisError: Redis is away.
    """
    redis.set(_key(task), 1, ex=lasts)


def task_runs(redis: "Redis", task: str) -> bool:
    """Whether a task ran lately on this machine.

    Raises:
        RedisError: Redis is away.
    """
    return bool(redis.exists(_key(task)))


def worker_runs(queue: Queue) -> bool:
    """Whether a worker of this machine, or of this container, listens to a queue.

    Raises:
        RedisError: Redis is away.
    """
    return any(worker.hostname == socket.gethostname() for worker in Worker.all(queue=queue))


def _key(task: str) -> str:
    return f"meetergo-inbox:ran:{socket.gethostname()}:{task}"
