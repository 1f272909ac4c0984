"""Lock: what only one process at a time should do. Whoever dies gives the lock back within half a minute."""

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
    """Another process does it just now."""


@contextmanager
def exclusive(redis: "Redis", name: str) -> Iterator[None]:
    """Holds the lock until the block ends. If Redis goes away meanwhile, another may begin: that does no harm.

    Raises:
        AlreadyRunning: somebody else has it.
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
