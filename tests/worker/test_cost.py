"""What a batch of deliveries costs in the back room: statements, commits and round trips to Redis, counted."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from random import Random

import pytest

from devtools.send import mix, samples
from models.delivery import Delivery
from models.notification import Notification
from tests.counting import RedisProxy, counted, redis_proxy
from tests.worker.desk import Desk
from worker import jobs

COST = {
    "one created": (15, 1, 4),
    "ten created": (15, 1, 4),
    "a hundred created": (15, 1, 4),
    "a hundred of all kinds": (15, 1, 4),
    "nothing": (1, 0, 1),
}
"""Statements, commits, round trips to Redis of the job that empties the inbox, and looks once more."""

COST_OF_THE_CLAIM_ON_SQLITE = (1, 1, 0)
"""A claim is recorded before the transaction, not beside it: it needs one of its own, and the rows are taken again."""

OUTBOX_COST = {0: (2, 1, 1), 1: (9, 3, 1), 100: (9, 3, 1), 200: (16, 5, 1)}
"""The same of the job that sends so much news, where sending takes no time. On SQLite each claim is a commit more."""
BATCH = 100

NOW = datetime(2124, 1, 14, 15, 30, tzinfo=UTC)

DELIVERIES = {
    "one created": mix.alike("booking_created", None, "one", 1, NOW),
    "ten created": mix.alike("booking_created", None, "ten", 10, NOW),
    "a hundred created": mix.alike("booking_created", None, "hundred", 100, NOW),
    "a hundred of all kinds": mix.mix("kinds", 100, NOW, Random(7)),
    "nothing": [],
}


@pytest.fixture
def proxy(redis_url: str) -> Iterator[RedisProxy]:
    with redis_proxy(redis_url) as proxy:
        yield proxy


@pytest.fixture
def warm_desk(open_desk: Callable[..., Desk], proxy: RedisProxy, monkeypatch: pytest.MonkeyPatch) -> Desk:
    """Its lines are open, and no batch is broken off for the time that it takes."""
    monkeypatch.setattr("worker.inbox.processor.LONGEST_BATCH", timedelta(hours=1), raising=False)
    desk = open_desk(redis_url=proxy.url)
    desk.add_user(meetergo_user_id=samples.HOST_ID)
    desk.deliver(*mix.alike("booking_created", None, "warm-up", 1, NOW))
    jobs.empty("inbox")
    desk.office.bell.answer("outbox")
    return desk


@pytest.mark.parametrize("what", DELIVERIES)
def test_a_batch_costs_so_many_statements_commits_and_round_trips(
    warm_desk: Desk, proxy: RedisProxy, what: str
) -> None:
    if DELIVERIES[what]:
        warm_desk.deliver(*DELIVERIES[what])
    with counted(proxy) as count:
        jobs.empty("inbox")
    assert {row.status for row in warm_desk.all(Delivery)} == {"done"}
    assert count.figures == cost(warm_desk, what), str(count)


def cost(desk: Desk, what: str) -> tuple[int, ...]:
    has_claims = DELIVERIES[what] and not desk.office.database.skips_locked
    more = COST_OF_THE_CLAIM_ON_SQLITE if has_claims else (0, 0, 0)
    return tuple(map(sum, zip(COST[what], more, strict=True)))


@pytest.mark.parametrize("number", OUTBOX_COST)
def test_news_costs_so_many_statements_commits_and_round_trips(
    warm_desk: Desk, proxy: RedisProxy, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    for longest in ("LONGEST_TURN", "LONGEST_UNSETTLED"):
        monkeypatch.setattr(f"worker.outbox.sender.{longest}", timedelta(hours=1))
    jobs.empty("outbox")
    if number:
        warm_desk.deliver(*mix.alike("booking_created", None, "told", number, NOW))
    warm_desk.work_off()
    with counted(proxy) as count:
        jobs.empty("outbox")
    assert {row.status for row in warm_desk.all(Notification)} == {"done"}
    statements, commits, round_trips = OUTBOX_COST[number]
    claims = 0 if warm_desk.office.database.skips_locked else -(-number // BATCH)
    assert count.figures == (statements, commits + claims, round_trips), str(count)


def test_of_a_hundred_deliveries_each_owes_its_news(warm_desk: Desk) -> None:
    before = len(warm_desk.news())
    warm_desk.deliver(*DELIVERIES["a hundred created"])
    jobs.empty("inbox")
    assert len(warm_desk.news()) - before == 100
