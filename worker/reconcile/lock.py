"""Turns: what only one process at a time should do. Whoever dies gives the exclusive back within half a minute."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from threading import Event, Thread

from redis import Redis
from redis.exceptions import LockError, RedisError
from redis.lock import Lock

from runtime.redis.client import key_of

LASTS = timedelta(seconds=30)
RENEWED_EVERY = timedelta(seconds=10)


class AlreadyRunning(Exception):
    """Another process does it just now."""


@contextmanager
def exclusive(redis: "Redis", name: str) -> Iterator[None]:
    """Holds the exclusive until the block ends. If Redis goes away meanwhile, another may begin: that does no harm.

    Raises:
        AlreadyRunning: somebody else has it.
        RedisError: Redis is away.
    """
    lock = redis.lock(key_of(redis, "exclusive", name), timeout=LASTS.total_seconds(), thread_local=False)
    if not lock.acquire(blocking=False):
        raise AlreadyRunning
    over = Event()
    renewal = Thread(target=_renew, args=(lock, over), name=f"exclusive-{name}", daemon=True)
    renewal.start()
    try:
        yield
    finally:
        over.set()
        renewal.join()
        with suppress(LockError, RedisError):
            lock.release()


def _renew(lock: Lock, over: Event) -> None:
    while not over.wait(RENEWED_EVERY.total_seconds()):
        with suppress(LockError, RedisError):
            lock.reacquire()
