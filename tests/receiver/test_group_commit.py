"""Group commit: letters that wait together share one transaction, and each hears what became of its own."""

import random
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from threading import Event, Lock

from models.delivery import Delivery, NewDelivery
from receiver.group_commit import GroupCommit
from runtime.database import Database
from runtime.encryption import BodyCipher

NOW = datetime(2024, 1, 14, 15, 30, tzinfo=UTC)
CIPHER = BodyCipher([])
TIMEOUT_SECONDS = 20
ROUNDS = 15


def make_delivery(number: int) -> NewDelivery:
    return NewDelivery.from_body(f"letter {number}".encode(), "default", NOW, CIPHER)


class Store:
    """Remembers what it was given together; waits where it is told to; fails where it is told to."""

    def __init__(self) -> None:
        self.groups: list[list[str]] = []
        self.is_open = Event()
        self.is_open.set()
        self.started = Event()
        self.failing: set[str] = set()
        self.at_once = Lock()

    def __call__(self, deliveries: Sequence[NewDelivery]) -> bool:
        assert self.at_once.acquire(blocking=False), "two groups at once"
        try:
            self.groups.append([each.id for each in deliveries])
            self.started.set()
            assert self.is_open.wait(TIMEOUT_SECONDS)
            return not self.failing & {each.id for each in deliveries}
        finally:
            self.at_once.release()


def wait_for(group: GroupCommit, count: int) -> None:
    until = time.monotonic() + TIMEOUT_SECONDS
    while len(group._waiting) < count:
        assert time.monotonic() < until
        time.sleep(0.001)


@contextmanager
def committed_while_one_is_stored(group: GroupCommit, store: Store, others: int) -> Iterator[list[Future[bool]]]:
    """The first letter is being stored, and others wait; it is done when the block ends."""
    store.is_open.clear()
    store.started.clear()
    with ThreadPoolExecutor(others + 1) as pool:
        first = pool.submit(group.commit, make_delivery(0))
        assert store.started.wait(TIMEOUT_SECONDS)
        waiting = [pool.submit(group.commit, make_delivery(number)) for number in range(1, others + 1)]
        wait_for(group, others)
        yield waiting
        store.is_open.set()
        assert first.result(TIMEOUT_SECONDS)


def test_one_alone_does_not_wait_for_others() -> None:
    store = Store()
    assert GroupCommit(store).commit(make_delivery(1))
    assert store.groups == [[make_delivery(1).id]]


def test_those_who_come_while_one_is_stored_are_stored_together() -> None:
    store = Store()
    with committed_while_one_is_stored(GroupCommit(store), store, 9) as others:
        pass
    assert all(each.result(TIMEOUT_SECONDS) for each in others)
    assert [len(each) for each in store.groups] == [1, 9]


def test_when_a_group_cannot_be_stored_each_of_it_fails_and_nobody_else() -> None:
    store = Store()
    store.failing = {make_delivery(5).id}
    group = GroupCommit(store)
    with committed_while_one_is_stored(group, store, 9) as others:
        pass
    assert not any(each.result(TIMEOUT_SECONDS) for each in others)
    assert group.commit(make_delivery(10))


def test_a_store_that_raises_leaves_nobody_waiting() -> None:
    class Broken(Exception):
        pass

    store = Store()
    group = GroupCommit(store)

    def breaks(deliveries: Sequence[NewDelivery]) -> bool:
        raise Broken

    with committed_while_one_is_stored(group, store, 3) as others:
        group._store = breaks
    outcomes = [each.exception(TIMEOUT_SECONDS) or each.result() for each in others]
    assert sorted(map(repr, outcomes)) == ["Broken()", "False", "False"]
    group._store = store
    assert group.commit(make_delivery(9))


def test_in_a_burst_each_delivery_is_stored_once_and_each_caller_returns() -> None:
    store, numbers = Store(), range(5_000)
    group = GroupCommit(store)
    with ThreadPoolExecutor(32) as pool:
        assert all(pool.map(lambda number: group.commit(make_delivery(number)), numbers))
    assert sorted(each for some in store.groups for each in some) == sorted(
        make_delivery(number).id for number in numbers
    )


def test_two_receivers_that_store_the_same_deliveries_do_not_deadlock(database: Database) -> None:
    dice = random.Random(7)

    def store(deliveries: Sequence[NewDelivery]) -> None:
        with database.core_transaction() as connection:
            Delivery.accept(connection, deliveries)

    with ThreadPoolExecutor(4) as pool:
        for round_ in range(ROUNDS):
            deliveries = [make_delivery(round_ * 100 + number) for number in range(100)]
            shuffled = [dice.sample(deliveries, len(deliveries)) for _ in range(4)]
            for done in [pool.submit(store, each) for each in shuffled]:
                done.result(TIMEOUT_SECONDS)
    with database.read_only() as session:
        assert session.query(Delivery).count() == ROUNDS * 100
