"""A lock for work that one process at a time may do. The lock of a dead process expires within 30 seconds."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from threading import Event, Thread

from redis import Redis
from redis.exceptions import LockError, RedisError
from redis.lock import Lock

from runtime.redis.client import key_of

LOCK_TTL = timedelta(seconds=30)
RENEW_INTERVAL = timedelta(seconds=10)


class AlreadyRunning(Exception):
    """Another process holds the lock."""


@contextmanager
def exclusive(redis: "Redis", name: str) -> Iterator[None]:
    """Hold a lock during the block. If Redis goes down meanwhile, another process may start too: that is harmless.

    Raises:
        AlreadyRunning: another process holds the lock.
        RedisError: Redis is down.
    """
    lock = redis.lock(key_of(redis, "turn", name), timeout=LOCK_TTL.total_seconds(), thread_local=False)
    if not lock.acquire(blocking=False):
        raise AlreadyRunning
    released = Event()
    renewal = Thread(target=_renew, args=(lock, released), name=f"lock-{name}", daemon=True)
    renewal.start()
    try:
        yield
    finally:
        released.set()
        renewal.join()
        with suppress(LockError, RedisError):
            lock.release()


def _renew(lock: Lock, released: Event) -> None:
    while not released.wait(RENEW_INTERVAL.total_seconds()):
        with suppress(LockError, RedisError):
            lock.reacquire()
