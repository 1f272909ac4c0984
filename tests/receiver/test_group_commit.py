"""Group commit: deliveries that wait together share one transaction, and each caller gets the outcome of its own."""

import asyncio
import random
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from threading import Event, Lock

import pytest

from models.delivery import Delivery, NewDelivery
from receiver import ingest
from receiver.ingest import GroupCommit
from runtime.database import Database
from runtime.encryption import BodyCipher

NOW = datetime(2024, 1, 14, 15, 30, tzinfo=UTC)
CIPHER = BodyCipher([])
TIMEOUT_SECONDS = 20
ROUNDS = 15


def make_delivery(number: int) -> NewDelivery:
    return NewDelivery.from_body(f"body {number}".encode(), "default", NOW, CIPHER)


class Store:
    """Remembers what it was given together; waits and fails where the test says so."""

    def __init__(self) -> None:
        self.groups: list[list[str]] = []
        self.is_open = Event()
        self.is_open.set()
        self.failing: set[str] = set()
        self.breaking: set[str] = set()
        self.at_once = Lock()

    def __call__(self, deliveries: Sequence[NewDelivery]) -> bool:
        assert self.at_once.acquire(blocking=False), "two groups at once"
        try:
            ids = {each.id for each in deliveries}
            self.groups.append([each.id for each in deliveries])
            assert self.is_open.wait(TIMEOUT_SECONDS)
            if self.breaking & ids:
                raise RuntimeError
            return not self.failing & ids
        finally:
            self.at_once.release()


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(4) as threads:
        yield threads


def commit(group: GroupCommit, *numbers: int) -> list[bool]:
    """What becomes of deliveries that arrive one after the other, the others while the first is being stored."""

    async def commit_all() -> list[bool]:
        return await asyncio.gather(*(group.commit(make_delivery(number)) for number in numbers))

    return asyncio.run(commit_all())


def test_one_alone_does_not_wait_for_others(threads: ThreadPoolExecutor) -> None:
    store = Store()
    assert commit(GroupCommit(store, threads), 1) == [True]
    assert store.groups == [[make_delivery(1).id]]


def test_those_who_come_while_one_is_stored_are_stored_together(threads: ThreadPoolExecutor) -> None:
    store = Store()
    assert commit(GroupCommit(store, threads), *range(10)) == [True] * 10
    assert [len(each) for each in store.groups] == [1, 9]


@pytest.mark.parametrize(("late", "groups"), [(3, [1, 5]), (ingest.MIN_ROWS - 2, [1, ingest.MIN_ROWS])])
def test_those_who_come_soon_after_a_group_share_the_next_one(
    threads: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch, late: int, groups: list[int]
) -> None:
    """It begins at its time, or as soon as it has enough."""
    monkeypatch.setattr(ingest, "MIN_INTERVAL", timedelta(seconds=0.5 if late == 3 else 60))
    store = Store()
    group = GroupCommit(store, threads)

    async def commit_in_turn() -> None:
        first, *others = (asyncio.create_task(group.commit(make_delivery(number))) for number in range(3))
        await first
        others += [asyncio.create_task(group.commit(make_delivery(3 + number))) for number in range(late)]
        await asyncio.gather(*others)

    asyncio.run(commit_in_turn())
    assert [len(each) for each in store.groups] == groups


def test_one_after_the_other_waits_for_nobody(threads: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ingest, "MIN_INTERVAL", timedelta(minutes=1))
    store = Store()
    group = GroupCommit(store, threads)

    async def commit_in_turn() -> None:
        for number in range(3):
            await asyncio.wait_for(group.commit(make_delivery(number)), TIMEOUT_SECONDS)

    asyncio.run(commit_in_turn())
    assert [len(each) for each in store.groups] == [1, 1, 1]


def test_when_a_group_cannot_be_stored_each_of_it_fails_and_nobody_else(threads: ThreadPoolExecutor) -> None:
    store = Store()
    store.failing = {make_delivery(5).id}
    group = GroupCommit(store, threads)
    assert commit(group, *range(10)) == [True] + [False] * 9
    assert commit(group, 10) == [True]


def test_a_store_that_raises_leaves_nobody_waiting(threads: ThreadPoolExecutor) -> None:
    store = Store()
    store.breaking = {make_delivery(0).id}
    group = GroupCommit(store, threads)
    assert commit(group, *range(4)) == [False, True, True, True]
    assert commit(group, 9) == [True]


def test_one_that_is_cancelled_is_stored_and_leaves_nobody_waiting(threads: ThreadPoolExecutor) -> None:
    store = Store()
    store.is_open.clear()

    async def commit_and_cancel() -> list[bool]:
        group = GroupCommit(store, threads)
        first, second, third = (asyncio.create_task(group.commit(make_delivery(number))) for number in range(3))
        await asyncio.sleep(0)
        second.cancel()
        store.is_open.set()
        return await asyncio.gather(first, third)

    assert asyncio.run(commit_and_cancel()) == [True, True]
    assert store.groups == [[make_delivery(0).id], [make_delivery(1).id, make_delivery(2).id]]


def test_a_group_is_limited_by_number_and_by_size(threads: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store()
    monkeypatch.setattr(ingest, "MAX_ROWS", 4)
    assert commit(GroupCommit(store, threads), *range(10)) == [True] * 10
    assert [len(each) for each in store.groups] == [1, 4, 4, 1]
    store.groups.clear()
    monkeypatch.setattr(ingest, "MAX_BYTES", 1)
    assert commit(GroupCommit(store, threads), *range(3)) == [True] * 3
    assert [len(each) for each in store.groups] == [1, 1, 1]


def test_a_store_that_does_not_answer_keeps_nobody_waiting(
    threads: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ingest, "MAX_WAIT", timedelta(milliseconds=50))
    store = Store()
    store.is_open.clear()
    group = GroupCommit(store, threads)

    async def commit_twice() -> list[bool | BaseException]:
        waiting = (group.commit(make_delivery(number)) for number in (0, 1))
        stuck = await asyncio.gather(*waiting, return_exceptions=True)
        monkeypatch.setattr(ingest, "MAX_WAIT", timedelta(seconds=TIMEOUT_SECONDS))
        store.is_open.set()
        return [*stuck, await group.commit(make_delivery(2))]

    *stuck, last = asyncio.run(commit_twice())
    assert [type(each) for each in stuck] == [TimeoutError, TimeoutError]
    assert last is True
    assert store.groups == [[make_delivery(0).id], [make_delivery(2).id]]


def test_who_comes_when_everybody_gave_up_waits_no_longer_than_they(
    threads: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ingest, "MAX_WAIT", timedelta(milliseconds=50))
    store = Store()
    store.is_open.clear()
    group = GroupCommit(store, threads)

    async def commit_one_after_the_other() -> None:
        for number in range(3):
            with pytest.raises(TimeoutError):
                await group.commit(make_delivery(number))
        store.is_open.set()

    asyncio.run(commit_one_after_the_other())
    assert store.groups == [[make_delivery(0).id]]


def test_a_thread_that_cannot_be_started_leaves_nobody_waiting(
    threads: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store()
    group = GroupCommit(store, threads)
    with monkeypatch.context() as patch:
        patch.setattr(threads, "submit", raise_no_thread)
        assert commit(group, *range(3)) == [False] * 3
    assert commit(group, 4) == [True]


def raise_no_thread(*_arguments: object) -> None:
    raise RuntimeError("can't start new thread")


def test_in_a_burst_each_delivery_is_stored_once_and_each_caller_returns(threads: ThreadPoolExecutor) -> None:
    store, numbers = Store(), range(1_000)

    async def burst() -> None:
        group = GroupCommit(store, threads)

        async def caller(first: int) -> None:
            for number in numbers[first::32]:
                assert await group.commit(make_delivery(number))

        await asyncio.gather(*map(caller, range(32)))

    asyncio.run(burst())
    assert sorted(each for some in store.groups for each in some) == sorted(
        make_delivery(number).id for number in numbers
    )


def test_two_receivers_that_store_the_same_deliveries_do_not_deadlock(database: Database) -> None:
    dice = random.Random(7)

    def store(deliveries: Sequence[NewDelivery]) -> None:
        with database.engine.begin() as connection:
            Delivery.accept(connection, deliveries)

    with ThreadPoolExecutor(4) as pool:
        for round_ in range(ROUNDS):
            deliveries = [make_delivery(round_ * 100 + number) for number in range(100)]
            shuffled = [dice.sample(deliveries, len(deliveries)) for _ in range(4)]
            for done in [pool.submit(store, each) for each in shuffled]:
                done.result(TIMEOUT_SECONDS)
    with database.read_only() as session:
        assert session.query(Delivery).count() == ROUNDS * 100
