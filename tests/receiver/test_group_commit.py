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
VAULT = BodyCipher([])
PATIENCE_SECONDS = 20
ROUNDS = 15


def letter(number: int) -> NewDelivery:
    return NewDelivery.of(f"letter {number}".encode(), "default", NOW, VAULT)


class Store:
    """Remembers what it was given together; waits where it is told to; fails where it is told to."""

    def __init__(self) -> None:
        self.groups: list[list[str]] = []
        self.is_open = Event()
        self.is_open.set()
        self.begun = Event()
        self.refused: set[str] = set()
        self.at_once = Lock()

    def __call__(self, letters: Sequence[NewDelivery]) -> bool:
        assert self.at_once.acquire(blocking=False), "two groups at once"
        try:
            self.groups.append([each.id for each in letters])
            self.begun.set()
            assert self.is_open.wait(PATIENCE_SECONDS)
            return not self.refused & {each.id for each in letters}
        finally:
            self.at_once.release()


def wait_for(group: GroupCommit, count: int) -> None:
    until = time.monotonic() + PATIENCE_SECONDS
    while len(group._waiting) < count:
        assert time.monotonic() < until
        time.sleep(0.001)


@contextmanager
def kept_while_one_is_stored(group: GroupCommit, store: Store, others: int) -> Iterator[list[Future[bool]]]:
    """The first letter is being stored, and others wait; it is done when the block ends."""
    store.is_open.clear()
    store.begun.clear()
    with ThreadPoolExecutor(others + 1) as pool:
        first = pool.submit(group.keep, letter(0))
        assert store.begun.wait(PATIENCE_SECONDS)
        waiting = [pool.submit(group.keep, letter(number)) for number in range(1, others + 1)]
        wait_for(group, others)
        yield waiting
        store.is_open.set()
        assert first.result(PATIENCE_SECONDS)


def test_one_alone_does_not_wait_for_others() -> None:
    store = Store()
    assert GroupCommit(store).keep(letter(1))
    assert store.groups == [[letter(1).id]]


def test_those_who_come_while_one_is_stored_are_stored_together() -> None:
    store = Store()
    with kept_while_one_is_stored(GroupCommit(store), store, 9) as others:
        pass
    assert all(each.result(PATIENCE_SECONDS) for each in others)
    assert [len(each) for each in store.groups] == [1, 9]


def test_when_a_group_cannot_be_stored_each_of_it_hears_so_and_nobody_else() -> None:
    store = Store()
    store.refused = {letter(5).id}
    group = GroupCommit(store)
    with kept_while_one_is_stored(group, store, 9) as others:
        pass
    assert not any(each.result(PATIENCE_SECONDS) for each in others)
    assert group.keep(letter(10))


def test_a_store_that_raises_leaves_nobody_waiting() -> None:
    class Broken(Exception):
        pass

    store = Store()
    group = GroupCommit(store)

    def breaks(letters: Sequence[NewDelivery]) -> bool:
        raise Broken

    with kept_while_one_is_stored(group, store, 3) as others:
        group._store = breaks
    heard = [each.exception(PATIENCE_SECONDS) or each.result() for each in others]
    assert sorted(map(repr, heard)) == ["Broken()", "False", "False"]
    group._store = store
    assert group.keep(letter(9))


def test_in_a_rush_each_letter_is_stored_once_and_each_hears_of_it() -> None:
    store, numbers = Store(), range(5_000)
    group = GroupCommit(store)
    with ThreadPoolExecutor(32) as pool:
        assert all(pool.map(lambda number: group.keep(letter(number)), numbers))
    assert sorted(each for some in store.groups for each in some) == sorted(letter(number).id for number in numbers)


def test_two_doors_that_store_the_same_letters_do_not_deadlock(database: Database) -> None:
    dice = random.Random(7)

    def store(letters: Sequence[NewDelivery]) -> None:
        with database.plain_transaction() as connection:
            Delivery.accept(connection, letters)

    with ThreadPoolExecutor(4) as pool:
        for round_ in range(ROUNDS):
            letters = [letter(round_ * 100 + number) for number in range(100)]
            shuffled = [dice.sample(letters, len(letters)) for _ in range(4)]
            for done in [pool.submit(store, each) for each in shuffled]:
                done.result(PATIENCE_SECONDS)
    with database.reading() as session:
        assert session.query(Delivery).count() == ROUNDS * 100
