"""The change feed: every committed change once and in order, however transactions commit."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from random import Random
from threading import Event, Thread

import pytest
from sqlalchemy import delete, func, select, update
from sqlalchemy.orm import Session

from models.booking import Booking, BookingChange
from models.change_feed import START, CursorGone, FeedCursor, end_of_feed, has_unnumbered, number_changes, read_changes
from runtime.contention import in_transaction
from runtime.database import Database, RowsDiscarded
from tests.discarding_trigger import discarding

NOW = datetime(2026, 1, 15, 8, tzinfo=UTC)
WRITERS, TRANSACTIONS = 4, 25


def add_bookings(database: Database, *ids: str) -> None:
    with database.transaction() as session:
        session.add_all(Booking(id=each, as_of=NOW, created_at=NOW, updated_at=NOW) for each in ids)


def add_change(session: Session, booking_id: str) -> int:
    """Write the booking's next change as a worker does: with its booking locked."""
    booking = session.get_one(Booking, booking_id, with_for_update=True, populate_existing=True)
    booking.revision += 1
    at = datetime.now(UTC)
    change = BookingChange(booking_id=booking.id, revision=booking.revision, kind="updated", after={}, at=at)
    session.add(change)
    session.flush()
    return change.id


class Consumer:
    """Follows the feed, and remembers which changes it got."""

    def __init__(self, database: Database, limit: int = 3) -> None:
        self.database, self.limit = database, limit
        self.cursor: FeedCursor = START
        self.got: list[tuple[str, int]] = []

    def poll(self) -> int:
        number_changes(self.database)
        with self.database.read_only() as session:
            page = read_changes(session, self.cursor, self.limit, None)
        for change in page:
            self.cursor = FeedCursor.parse(str(FeedCursor.of(change)))
            self.got.append((change.booking_id, change.revision))
        return len(page)

    def catch_up(self) -> None:
        while self.poll():
            pass


class NaiveConsumer(Consumer):
    """Continues after the highest id that it has seen."""

    last = 0

    def poll(self) -> int:
        query = select(BookingChange).where(BookingChange.id > self.last).order_by(BookingChange.id)
        with self.database.read_only() as session:
            page = session.scalars(query.limit(self.limit)).all()
        self.got += [(change.booking_id, change.revision) for change in page]
        self.last = page[-1].id if page else self.last
        return len(page)


def committed(database: Database) -> list[tuple[str, int]]:
    with database.read_only() as session:
        rows = session.execute(select(BookingChange.booking_id, BookingChange.revision)).all()
    return [(row.booking_id, row.revision) for row in rows]


def assert_complete(consumer: Consumer) -> None:
    """Gaps 0, repeats 0, and the changes of each booking in order."""
    assert sorted(consumer.got) == sorted(committed(consumer.database))
    seen: dict[str, int] = {}
    for booking_id, revision in consumer.got:
        assert revision > seen.get(booking_id, 0), "in order"
        seen[booking_id] = revision


@contextmanager
def open_transaction(database: Database, booking_id: str, commits: bool) -> Iterator[None]:
    """Write a change, and commit or roll back at the end of the block."""
    with database.engine.connect() as connection, connection.begin() as transaction:
        with Session(connection, expire_on_commit=False) as session:
            add_change(session, booking_id)
        yield
        if not commits:
            transaction.rollback()


@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
@pytest.mark.parametrize("consumer_class", [Consumer, NaiveConsumer])
def test_transactions_that_commit_out_of_order_leave_no_gap(database: Database, consumer_class: type[Consumer]) -> None:
    random, ids = Random(1), [f"b{number}" for number in range(10)]
    add_bookings(database, *ids)
    consumer = consumer_class(database)
    with ExitStack() as stack:
        blocks = [stack.enter_context(ExitStack()) for _ in ids]
        for number, (block, booking_id) in enumerate(zip(blocks, ids, strict=True)):
            block.enter_context(open_transaction(database, booking_id, commits=number % 4 != 1))
        random.shuffle(blocks)
        for block in blocks:
            block.close()
            consumer.catch_up()
    if consumer_class is NaiveConsumer:
        assert len(consumer.got) < len(committed(database)), "otherwise this test would show nothing"
    else:
        assert_complete(consumer)


@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
def test_a_bookings_changes_keep_their_order_when_the_older_transaction_writes_the_later_one(
    database: Database,
) -> None:
    """By the numbers of their transactions, revision 2 would come first."""
    add_bookings(database, "a", "b")
    consumer = Consumer(database)
    with database.transaction() as older:
        add_change(older, "a")
        with database.transaction() as younger:
            add_change(younger, "b")
        add_change(older, "b")
    consumer.catch_up()
    assert_complete(consumer)
    assert [each for each in consumer.got if each[0] == "b"] == [("b", 1), ("b", 2)]


def write_changes(database: Database, ids: Sequence[str], seed: int) -> None:
    """Commit changes of some bookings at once, and roll back every fourth time."""
    random = Random(seed)
    for _ in range(TRANSACTIONS):
        chosen, commits = sorted(random.sample(ids, random.randint(1, 3))), random.random() < 0.75

        def write(session: Session, chosen: Sequence[str] = chosen, commits: bool = commits) -> None:
            for booking_id in chosen:
                add_change(session, booking_id)
            if not commits:
                session.rollback()

        in_transaction(database, write)


def test_concurrent_writers_leave_no_gap_and_no_repeat(database: Database) -> None:
    ids = [f"b{number}" for number in range(6)]
    add_bookings(database, *ids)
    consumers, done = [Consumer(database, limit=7), Consumer(database, limit=50)], Event()

    def follow(consumer: Consumer) -> None:
        while not done.is_set():
            consumer.poll()
            done.wait(0.002)

    readers = [Thread(target=follow, args=(consumer,)) for consumer in consumers]
    writers = [Thread(target=write_changes, args=(database, ids, seed)) for seed in range(WRITERS)]
    for thread in (*readers, *writers):
        thread.start()
    for thread in writers:
        thread.join()
    done.set()
    for thread in readers:
        thread.join()
    for consumer in consumers:
        consumer.catch_up()
        assert_complete(consumer)
    assert consumers[0].got == consumers[1].got, "one order for all"


def test_an_id_that_is_used_again_is_a_new_change(database: Database) -> None:
    """SQLite gives the id of a deleted last row to the next one."""
    add_bookings(database, "a", "b")
    with database.transaction() as session:
        add_change(session, "a")
    consumer = Consumer(database)
    consumer.catch_up()
    with database.transaction() as session:
        add_change(session, "b")
    other = Consumer(database)
    number_changes(database)
    with database.transaction() as session:
        session.execute(delete(BookingChange).where(BookingChange.booking_id == "b"))
        add_change(session, "b")
    consumer.catch_up()
    other.catch_up()
    assert consumer.got[-1] == other.got[-1] == ("b", 2)


def test_nothing_is_numbered_twice_and_large_backlogs_are_numbered_in_steps(database: Database) -> None:
    add_bookings(database, "a")
    with database.transaction() as session:
        for _ in range(5):
            add_change(session, "a")
    assert [number_changes(database, 2) for _ in range(4)] == [2, 2, 1, 0]
    with database.read_only() as session:
        assert not has_unnumbered(session)
        batches = session.execute(select(BookingChange.feed_batch, func.count()).group_by(BookingChange.feed_batch))
        assert sorted(tuple(row) for row in batches) == [(1, 2), (2, 2), (3, 1)]


def test_a_consumer_may_start_at_the_end(database: Database) -> None:
    add_bookings(database, "a")
    with database.read_only() as session:
        assert end_of_feed(session) == START
    with database.transaction() as session:
        add_change(session, "a")
    number_changes(database)
    consumer = Consumer(database)
    with database.read_only() as session:
        consumer.cursor = end_of_feed(session)
    assert not consumer.poll()
    with database.transaction() as session:
        add_change(session, "a")
    assert consumer.poll() == 1


def test_a_cursor_of_a_database_that_was_restored_since_is_refused(database: Database) -> None:
    """After a restore the same batch and id name another change, or none."""
    add_bookings(database, "a")
    with database.transaction() as session:
        add_change(session, "a")
    consumer = Consumer(database)
    consumer.catch_up()
    with database.transaction() as session:
        session.execute(update(BookingChange).values(at=NOW))
    with pytest.raises(CursorGone):
        consumer.poll()
    with database.transaction() as session:
        session.execute(delete(BookingChange))
    with pytest.raises(CursorGone):
        consumer.poll()


@pytest.mark.parametrize("text", ["", "x", "AAAA", "MS4y", "MS4yLng", "LTEuMi4z", "é", "a" * 1000])
def test_what_is_no_cursor_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="cursor"):
        FeedCursor.parse(text)


def test_numbers_that_a_trigger_discards_are_an_error(database: Database) -> None:
    """As where the platform keeps the changes as they were: a consumer would wait for ever."""
    add_bookings(database, "b1")
    with database.transaction() as session:
        add_change(session, "b1")
    with discarding(database, "booking_changes", "UPDATE"), pytest.raises(RowsDiscarded, match="to booking_changes"):
        number_changes(database)
    assert number_changes(database) == 1
