"""What a delivery costs in the receiver: statements, commits and round trips to Redis, counted."""

from collections.abc import Iterator

import pytest

from runtime.database import Database
from tests.payloads import payload
from tests.query_count import RedisProxy, count_queries, redis_proxy
from tests.receiver.conftest import ADDRESS, MakeApp
from tests.receiver.in_process import ReceiverInProcess

Figures = tuple[int, int, int]

COST = {
    "the first, which triggers a drain": (1, 1, 2),
    "one while a drain is triggered": (1, 1, 1),
    "a repeat": (2, 1, 1),
    "one that is refused": (0, 0, 0),
}
"""Statements, commits, round trips to Redis of one delivery. On PostgreSQL the statement commits alone. What an INSERT
skipped is looked for by a second one: was it a repeat, or did a trigger discard it?"""


@pytest.fixture
def proxy(redis_url: str) -> Iterator[RedisProxy]:
    with redis_proxy(redis_url) as proxy:
        yield proxy


@pytest.fixture
def warm_app(make_app: MakeApp, proxy: RedisProxy) -> ReceiverInProcess:
    """Its lines are open, and it noted by which address deliveries come."""
    app = make_app(redis_url=proxy.url)
    assert _post(app, "warm-up") == 200
    return app


def test_a_delivery_costs_so_many_statements_commits_and_round_trips(
    warm_app: ReceiverInProcess, proxy: RedisProxy, database: Database
) -> None:
    def expected(case: str) -> Figures:
        statements, commits, redis = COST[case]
        return statements, commits - int(database.supports_skip_locked), redis

    job_queue = warm_app.app.ingest.job_queue
    job_queue.drain_started("inbox")
    assert _cost(warm_app, proxy, "b1") == expected("the first, which triggers a drain")
    assert _cost(warm_app, proxy, "b2") == expected("one while a drain is triggered")
    assert _cost(warm_app, proxy, "b2") == expected("a repeat")


def test_a_rejected_delivery_costs_nothing(warm_app: ReceiverInProcess, proxy: RedisProxy) -> None:
    assert _cost(warm_app, proxy, "b1", ADDRESS + "x", 404) == COST["one that is refused"]


def _cost(
    app: ReceiverInProcess, proxy: RedisProxy, booking: str, address: str = ADDRESS, status: int = 200
) -> tuple[int, int, int]:
    with count_queries(proxy) as count:
        assert _post(app, booking, address) == status
    return count.totals


def _post(app: ReceiverInProcess, booking: str, address: str = ADDRESS) -> int:
    return app.test_client().post(address, data=payload("booking_created", id=booking)).status_code
