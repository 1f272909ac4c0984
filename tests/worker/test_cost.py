"""What a batch of deliveries costs the worker: statements, commits and round trips to Redis, counted."""

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from random import Random

import pytest

from devtools.send import mix, samples
from models.delivery import Delivery
from models.notification import Notification
from tests.query_count import RedisProxy, count_queries, redis_proxy
from tests.worker.harness import Harness
from tests.worker.hooks import do_nothing
from worker import jobs
from worker.queue_worker import _build_rq_worker

COST = {
    "one created": (15, 1, 3),
    "ten created": (15, 1, 3),
    "a hundred created": (15, 1, 3),
    "a hundred of all kinds": (15, 1, 3),
    "nothing": (1, 0, 1),
}
"""Statements, commits, round trips to Redis of the job that empties the inbox, and looks once more."""

COST_OF_THE_CLAIM_ON_SQLITE = (2, 1, 0)
"""A claim is recorded and the bodies are parsed before the transaction, whose lock is the only one. In it, the rows are
taken and loaded again."""

OUTBOX_COST = {0: (2, 1, 1), 1: (9, 3, 1), 100: (9, 3, 1), 200: (16, 5, 1)}
"""The same of the job that sends as many messages, where sending takes no time."""

NOW = datetime(2124, 1, 14, 15, 30, tzinfo=UTC)

DELIVERIES = {
    "one created": mix.same_event("booking_created", None, "one", 1, NOW),
    "ten created": mix.same_event("booking_created", None, "ten", 10, NOW),
    "a hundred created": mix.same_event("booking_created", None, "hundred", 100, NOW),
    "a hundred of all kinds": mix.mix("kinds", 100, NOW, Random(7)),
    "nothing": [],
}


@pytest.fixture
def proxy(redis_url: str) -> Iterator[RedisProxy]:
    with redis_proxy(redis_url) as proxy:
        yield proxy


@pytest.fixture
def warm_harness(open_harness: Callable[..., Harness], proxy: RedisProxy, monkeypatch: pytest.MonkeyPatch) -> Harness:
    """Its lines are open, and no batch is broken off for the time that it takes."""
    monkeypatch.setattr("worker.inbox.processor.MAX_BATCH_TIME", timedelta(hours=1), raising=False)
    harness = open_harness(redis_url=proxy.url)
    harness.add_user(meetergo_user_id=samples.HOST_ID)
    harness.deliver(*mix.same_event("booking_created", None, "warm-up", 1, NOW))
    jobs.drain("inbox")
    harness.services.job_queue.drain_started("outbox")
    return harness


@pytest.mark.parametrize("what", DELIVERIES)
def test_a_batch_costs_so_many_statements_commits_and_round_trips(
    warm_harness: Harness, proxy: RedisProxy, what: str
) -> None:
    if DELIVERIES[what]:
        warm_harness.deliver(*DELIVERIES[what])
    with count_queries(proxy) as count:
        jobs.drain("inbox")
    assert {row.status for row in warm_harness.all(Delivery)} == {"done"}
    assert count.totals == cost(warm_harness, what), str(count)


def cost(harness: Harness, what: str) -> tuple[int, ...]:
    has_claims = DELIVERIES[what] and not harness.services.database.supports_skip_locked
    more = COST_OF_THE_CLAIM_ON_SQLITE if has_claims else (0, 0, 0)
    return tuple(map(sum, zip(COST[what], more, strict=True)))


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_a_heartbeat_costs_one_round_trip_and_none_right_after_another(
    warm_harness: Harness, proxy: RedisProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    redis = warm_harness.services.job_queue.redis
    worker = _build_rq_worker(redis, "inbox")
    worker.register_birth()
    redis.delete(worker.key)
    monkeypatch.setattr("worker.queue_worker.HEARTBEAT_INTERVAL", timedelta(hours=1))
    with count_queries(proxy) as count:
        worker.heartbeat()
        worker.heartbeat()
    assert count.redis == 1
    assert redis.hget(worker.key, "birth")


def test_with_a_hook_a_chunk_adds_its_savepoint_and_the_writes_that_its_hooks_see(
    warm_harness: Harness, proxy: RedisProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("worker.inbox.batch.MAX_CHUNK_TIME", timedelta(hours=1))
    warm_harness.services.recorder.__dict__["hook"] = do_nothing
    statements = []
    for host in range(3):
        warm_harness.add_user(external_id=f"host {host}", meetergo_user_id=f"host-{host}")
    for number in (7, 56, 64):  # 1 + 2 + 4, then 8 + 16 + 32, then one chunk
        bodies = map(json.loads, mix.same_event("booking_created", None, f"hook-{number}", number, NOW))
        warm_harness.deliver(*(body | {"hostIds": [f"host-{each % 3}"]} for each, body in enumerate(bodies)))
        with count_queries(proxy) as count:
            jobs.drain("inbox")
        assert count.commits <= 2
        statements.append(len(count.statements))
    assert statements[0] == statements[1] == statements[2] + 2 * (2 + 2)
    assert {row.status for row in warm_harness.all(Delivery)} == {"done"}


@pytest.mark.parametrize("number", OUTBOX_COST)
def test_news_costs_so_many_statements_commits_and_round_trips(
    warm_harness: Harness, proxy: RedisProxy, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    for max_duration in ("MAX_SEND_TIME", "MAX_UNRECORDED_TIME"):
        monkeypatch.setattr(f"worker.outbox.sender.{max_duration}", timedelta(hours=1))
    jobs.drain("outbox")
    if number:
        warm_harness.deliver(*mix.same_event("booking_created", None, "told", number, NOW))
    warm_harness.process_due()
    with count_queries(proxy) as count:
        jobs.drain("outbox")
    assert {row.status for row in warm_harness.all(Notification)} == {"done"}
    assert count.totals == OUTBOX_COST[number], str(count)


def test_of_a_hundred_deliveries_each_owes_its_news(warm_harness: Harness) -> None:
    before = len(warm_harness.notification_kinds())
    warm_harness.deliver(*DELIVERIES["a hundred created"])
    jobs.drain("inbox")
    assert len(warm_harness.notification_kinds()) - before == 100
