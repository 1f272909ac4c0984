"""The rate limiter: meetergo accepts 100 requests a minute per key, from all processes together.

The sliding window is kept in Redis. While Redis is down, each process uses a share of the limit that is small enough
for all of them. What was counted elsewhere does not count then, so the minute in which Redis goes down or comes back
may exceed the limit: meetergo answers 429, and the request is retried.
"""

import time
from collections.abc import Callable
from datetime import timedelta
from functools import cache

import structlog
from limits import RateLimitItemPerMinute
from limits.storage import MemoryStorage, RedisStorage
from limits.strategies import MovingWindowRateLimiter
from redis import ConnectionPool
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from meetergo.api.defaults import MAX_WAIT, PER_MINUTE
from meetergo.api.errors import RateLimited

PROCESSES = 4
"""Assumed number of processes that share a key while Redis is down."""

REDIS_TIMEOUT_SECONDS = 1
COOLDOWN = timedelta(seconds=5)
"""Pause after a failure of Redis."""
MIN_DELAY = 0.05
KEY_PREFIX = "meetergo-inbox:api-limit"

log = structlog.get_logger()


class Window(RateLimitItemPerMinute):
    """A limit of N requests per minute. All shares count in one window, so smaller ones leave room for larger ones."""

    def key_for(self, *identifiers: bytes | str | float) -> str:
        """Return the key of the window."""
        return "/".join(map(str, identifiers))


class RateLimiter:
    """Limits the requests of a key, across all processes that share a Redis.

    Args:
        redis_url: the Redis in which all processes count; None for a single process or with a pool.
        pool: connection pool, instead of a URL.
        key_prefix: prefix of the Redis keys.
        per_minute: maximum requests per key.
        share: part of the window that this caller may use, from 0 to 1; a small one leaves room for others.
        processes: number of processes that share the key; while Redis is down, each uses its part of the limit.
        max_wait: maximum wait of one request.
        sleep: waits N seconds.
        clock: seconds since 1970.
    """

    def __init__(
        self,
        redis_url: str | None = None,
        *,
        pool: ConnectionPool | None = None,
        key_prefix: str = KEY_PREFIX,
        per_minute: int = PER_MINUTE,
        share: float = 1.0,
        processes: int = PROCESSES,
        max_wait: timedelta = MAX_WAIT,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._pool = _pool(redis_url) if redis_url else pool
        self._shared = _redis_limiter(self._pool, key_prefix) if self._pool else None
        self._window = Window(max(1, int(per_minute * share)))
        self._local_window = Window(max(1, int(per_minute * share / processes))) if self._pool else self._window
        self._max_wait = max_wait.total_seconds()
        self._sleep = sleep
        self._clock = clock
        self._redis_down_until = float("-inf")

    def acquire(self, key: str) -> None:
        """Wait until the key may make a request, and count it.

        Args:
            key: the fingerprint of the key.

        Raises:
            RateLimited: there was no room within `max_wait`.
        """
        waited = 0.0
        while delay := self._delay(key):
            if waited + delay > self._max_wait:
                raise RateLimited("our limit of requests per minute is exhausted", retry_after=timedelta(seconds=delay))
            self._sleep(delay)
            waited += delay

    def close(self) -> None:
        """Close the connections to Redis."""
        if self._pool:
            self._pool.disconnect()

    def _delay(self, key: str) -> float:
        """Return the delay before asking again; 0 if the request may proceed."""
        if self._shared and self._clock() >= self._redis_down_until:
            try:
                return self._delay_in(self._shared, self._window, key)
            except RedisError as error:
                log.warning("api.rate_limit_local", error=type(error).__name__)
                self._redis_down_until = self._clock() + COOLDOWN.total_seconds()
        return self._delay_in(_local_limiter(), self._local_window, key)

    def _delay_in(self, limiter: MovingWindowRateLimiter, window: Window, key: str) -> float:
        if limiter.hit(window, key):
            return 0.0
        return max(MIN_DELAY, limiter.get_window_stats(window, key).reset_time - self._clock())


@cache
def _local_limiter() -> MovingWindowRateLimiter:
    """Return the limiter that all instances of this process share. Created lazily: its storage starts a thread."""
    return MovingWindowRateLimiter(MemoryStorage())


def _pool(url: str) -> ConnectionPool:
    """Return a connection pool with short timeouts: a limit must not hang on an unresponsive Redis."""
    seconds, retry = REDIS_TIMEOUT_SECONDS, Retry(NoBackoff(), 0)
    return ConnectionPool.from_url(url, socket_connect_timeout=seconds, socket_timeout=seconds, retry=retry)


def _redis_limiter(pool: ConnectionPool, key_prefix: str) -> MovingWindowRateLimiter:
    return MovingWindowRateLimiter(RedisStorage("redis://", connection_pool=pool, key_prefix=key_prefix))
