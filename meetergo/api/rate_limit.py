"""The rate limiter: meetergo takes 100 requests a minute of a key, from all our processes together.

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

from meetergo.api.errors import RateLimited

PER_MINUTE = 100
"""Source: developer.meetergo.com/developer-docs/best-practices/rate-limiting."""
BULK_SHARE = 0.8
"""What a long run may take, so that the worker always finds room."""
PROCESSES = 4
"""How many processes share a key, as a guess for the time that they cannot ask each other."""

WINDOW = timedelta(minutes=1)
MAX_WAIT = timedelta(minutes=5)
REDIS_TIMEOUT_SECONDS = 1
COOLDOWN = timedelta(seconds=5)
"""How long a Redis that did not answer is left alone."""
MIN_DELAY = 0.05
KEY_PREFIX = "meetergo-inbox:api-limit"

log = structlog.get_logger()


class Window(RateLimitItemPerMinute):
    """So many a minute. All amounts count in the same window: that is what makes room for the greater."""

    def key_for(self, *identifiers: bytes | str | float) -> str:
        """The name of the window."""
        return "/".join(map(str, identifiers))


class RateLimiter:
    """Limits the requests of a key, across all processes that share a Redis.

    Args:
        redis_url: where all processes count; None if there is only this one, or a pool.
        pool: connections to that Redis, instead of its URL.
        key_prefix: what the keys there begin with.
        per_minute: how many requests a key may make.
        share: how full the window may be for this caller to enter, from 0 to 1: a small one leaves room to others.
        processes: number of processes that share the key; while Redis is down, each takes that part of the limit.
        max_wait: how long one request may wait.
        sleep: waits some seconds.
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
                raise RateLimited("our own limit of requests a minute is used up", retry_after=timedelta(seconds=delay))
            self._sleep(delay)
            waited += delay

    def close(self) -> None:
        """Close the connections to Redis."""
        if self._pool:
            self._pool.disconnect()

    def _delay(self, key: str) -> float:
        """How long to wait before asking again; 0 if the request may pass."""
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
    """One for all limits of this process. Made when first needed, since its storage starts a thread."""
    return MovingWindowRateLimiter(MemoryStorage())


def _pool(url: str) -> ConnectionPool:
    """Gives up soon: a limit must not hang on a Redis that never answers."""
    seconds, retry = REDIS_TIMEOUT_SECONDS, Retry(NoBackoff(), 0)
    return ConnectionPool.from_url(url, socket_connect_timeout=seconds, socket_timeout=seconds, retry=retry)


def _redis_limiter(pool: ConnectionPool, key_prefix: str) -> MovingWindowRateLimiter:
    return MovingWindowRateLimiter(RedisStorage("redis://", connection_pool=pool, key_prefix=key_prefix))
