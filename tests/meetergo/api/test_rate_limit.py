"""The limit of requests per minute, shared through a real Redis, on a clock that only sleeps advance."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import limits.storage.memory
import limits.storage.redis
import pytest
from redis import Redis

from devtools.redis_server import free_port
from meetergo.api import rate_limit as module
from meetergo.api.errors import RateLimited
from meetergo.api.rate_limit import RateLimiter
from tests.meetergo.api.conftest import OpenClient
from tests.meetergo.api.fake_api import FakeApi, recorded

KEY = "fingerprint"
START = 1_700_000_000.0


class Clock:
    """A clock that only sleeps advance."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    @property
    def passed(self) -> float:
        return self.now - START


OpenRateLimiter = Callable[..., RateLimiter]


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Also the clock of the library."""
    clock = Clock()
    for storage in (limits.storage.memory, limits.storage.redis):
        monkeypatch.setattr(storage, "time", SimpleNamespace(time=clock))
    module._local_limiter.cache_clear()
    return clock


@pytest.fixture
def open_rate_limiter(clock: Clock, redis: Redis, redis_url: str) -> Iterator[OpenRateLimiter]:
    """Limiters as if each were in its own process, as far as Redis is concerned."""
    opened: list[RateLimiter] = []

    def open_with(redis_url: str | None = redis_url, per_minute: int = 10, **changes: Any) -> RateLimiter:
        given = {"per_minute": per_minute, "sleep": clock.sleep, "clock": clock, **changes}
        opened.append(RateLimiter(redis_url, **given))
        return opened[-1]

    yield open_with
    for limit in opened:
        limit.close()


def request_times(limit: RateLimiter, clock: Clock, count: int) -> list[int]:
    """Return the time of each of N requests, in whole seconds."""
    passed = []
    for _ in range(count):
        limit.acquire(KEY)
        passed.append(round(clock.passed))
    return passed


def most_in_a_minute(passed: list[int]) -> int:
    return max(sum(start <= each < start + 60 for each in passed) for start in passed)


def test_requests_above_the_limit_wait_for_the_window_to_move(open_rate_limiter: OpenRateLimiter, clock: Clock) -> None:
    limit = open_rate_limiter(per_minute=3)
    assert request_times(limit, clock, 2) == [0, 0]
    clock.sleep(20)
    assert request_times(limit, clock, 4) == [20, 60, 60, 80]


def test_two_clients_share_one_limit(open_rate_limiter: OpenRateLimiter, clock: Clock) -> None:
    one, other = open_rate_limiter(per_minute=10), open_rate_limiter(per_minute=10)
    passed = [moment for _ in range(15) for limit in (one, other) for moment in request_times(limit, clock, 1)]
    assert most_in_a_minute(passed) == 10
    assert passed[:10] == [0] * 10
    assert passed[-1] == 120


def test_a_bulk_run_leaves_room_for_the_worker(open_rate_limiter: OpenRateLimiter, clock: Clock) -> None:
    bulk, worker = open_rate_limiter(share=0.8), open_rate_limiter()
    assert request_times(bulk, clock, 8) == [0] * 8
    assert request_times(worker, clock, 2) == [0, 0], "the worker does not wait although the bulk run took all it could"
    assert request_times(bulk, clock, 1) == [60]


def test_a_bulk_run_yields_while_the_worker_is_busy(open_rate_limiter: OpenRateLimiter, clock: Clock) -> None:
    bulk, worker = open_rate_limiter(share=0.8), open_rate_limiter()
    request_times(worker, clock, 8)
    clock.sleep(30)
    assert request_times(bulk, clock, 1) == [60]
    assert request_times(worker, clock, 9) == [60] * 9
    assert request_times(worker, clock, 1) == [120]


def test_each_key_has_its_own_limit(open_rate_limiter: OpenRateLimiter, clock: Clock) -> None:
    limit = open_rate_limiter(per_minute=1)
    limit.acquire("one")
    limit.acquire("other")
    assert clock.passed == 0


def test_the_wait_is_limited(open_rate_limiter: OpenRateLimiter, clock: Clock) -> None:
    limit = open_rate_limiter(per_minute=1, max_wait=timedelta(seconds=59))
    limit.acquire(KEY)
    with pytest.raises(RateLimited) as rejection:
        limit.acquire(KEY)
    assert rejection.value.is_transient
    assert rejection.value.retry_after == timedelta(minutes=1)
    assert clock.passed == 0


def test_without_redis_all_clients_of_a_process_share_a_limit(open_rate_limiter: OpenRateLimiter, clock: Clock) -> None:
    one, other = open_rate_limiter(None, per_minute=3), open_rate_limiter(None, per_minute=3)
    assert request_times(one, clock, 2) + request_times(other, clock, 2) == [0, 0, 0, 60]


def test_a_bulk_run_leaves_room_without_redis_too(open_rate_limiter: OpenRateLimiter, clock: Clock) -> None:
    bulk, worker = open_rate_limiter(None, share=0.8), open_rate_limiter(None)
    assert request_times(bulk, clock, 8) + request_times(worker, clock, 2) == [0] * 10
    assert request_times(bulk, clock, 1) == [60]


def test_without_redis_each_process_uses_its_part_of_the_limit(
    open_rate_limiter: OpenRateLimiter, clock: Clock
) -> None:
    limit = open_rate_limiter(f"redis://127.0.0.1:{free_port()}/0", per_minute=8, processes=4)
    assert request_times(limit, clock, 4) == [0, 0, 60, 60]


def test_a_redis_that_refuses_writes_is_as_good_as_down_until_it_is_back(
    open_rate_limiter: OpenRateLimiter, clock: Clock, redis: Redis
) -> None:
    limit = open_rate_limiter(per_minute=8, processes=4)
    redis.config_set("maxmemory", 1)  # it refuses every write, as one does that is full
    assert request_times(limit, clock, 3) == [0, 0, 60]
    redis.config_set("maxmemory", 0)
    redis.flushall()
    clock.sleep(module.COOLDOWN.total_seconds())
    assert request_times(limit, clock, 9) == [65] * 8 + [125]


def test_an_unresponsive_redis_is_not_used_during_the_cooldown(
    open_rate_limiter: OpenRateLimiter, clock: Clock
) -> None:
    limit = open_rate_limiter(f"redis://127.0.0.1:{free_port()}/0", per_minute=40)
    request_times(limit, clock, 1)
    requests_made = []
    limit._shared = SimpleNamespace(hit=lambda *_: requests_made.append(1) or True)  # type: ignore[assignment]
    request_times(limit, clock, 3)
    assert not requests_made
    clock.sleep(module.COOLDOWN.total_seconds())
    request_times(limit, clock, 1)
    assert requests_made


def test_redis_holds_a_keys_fingerprint_and_not_the_key(
    open_client: OpenClient, open_rate_limiter: OpenRateLimiter, fake_api: FakeApi, redis: Redis
) -> None:
    fake_api.respond_with(recorded("user_me"))
    client = open_client(rate_limiter=open_rate_limiter())
    client.users.me()
    assert redis.keys() == [f"meetergo-inbox:api-limit:{client._session.transport.credential.fingerprint}".encode()]


def test_two_clients_of_one_key_send_no_more_than_the_limit(
    open_client: OpenClient, open_rate_limiter: OpenRateLimiter, fake_api: FakeApi, clock: Clock
) -> None:
    fake_api.respond_with(recorded("user_me"))
    one, other = (
        open_client(rate_limiter=open_rate_limiter(per_minute=4)),
        open_client(rate_limiter=open_rate_limiter(per_minute=4)),
    )
    for client in (one, other, one, other):
        client.users.me()
    assert (len(fake_api.requests), clock.passed) == (4, 0)
    other.users.me()
    assert round(clock.passed) == 60
