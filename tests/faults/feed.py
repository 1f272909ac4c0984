"""Consumers of the change feed, beside workers that are killed and commit out of order."""

from contextlib import suppress
from dataclasses import dataclass, field
from threading import Event, Thread

from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError

from models.booking import BookingChange
from models.change_feed import START, FeedCursor, number_changes, read_changes
from runtime.database import Database
from tests.faults import kills
from tests.faults.context import FaultContext

PAUSES = (0.0, 0.01, 0.3)
"""Seconds between two pages of each consumer."""
PAGE = 7


@dataclass
class FeedConsumer:
    """Follows the feed, and keeps what it got."""

    database: Database
    pause: float
    stop: Event
    cursor: FeedCursor = START
    got: list[tuple[str, int]] = field(default_factory=list)

    def follow(self) -> None:
        """Read on until asked to stop."""
        while not self.stop.is_set():
            with suppress(SQLAlchemyError):  # locked for too long: the consumer asks again
                self.read()
            self.stop.wait(max(self.pause, 0.001))

    def read(self) -> bool:
        """Read a page; return whether there was one."""
        number_changes(self.database)
        with self.database.read_only() as session:
            page = read_changes(session, self.cursor, PAGE, None)
        self.got += [(change.booking_id, change.revision) for change in page]
        self.cursor = FeedCursor.of(page[-1]) if page else self.cursor
        return bool(page)


def follow_while_workers_die(context: FaultContext) -> None:
    """Let consumers follow from the first delivery to the last change, and count gaps, repeats and disorder."""
    database, stop = Database(context.store.url), Event()
    consumers = [FeedConsumer(database, pause, stop) for pause in PAUSES]
    threads = [Thread(target=consumer.follow, daemon=True) for consumer in consumers]
    for thread in threads:
        thread.start()

    def judge() -> None:
        stop.set()
        for thread in threads:
            thread.join()
        with database.read_only() as session:
            rows = session.execute(select(BookingChange.booking_id, BookingChange.revision)).all()
        for consumer in consumers:
            while consumer.read():
                pass
            _judge(context, consumer.got, {(row.booking_id, row.revision) for row in rows})
        database.close()

    context.when_idle.append(judge)
    kills.kill_workers(context)


def _judge(context: FaultContext, got: list[tuple[str, int]], committed: set[tuple[str, int]]) -> None:
    gaps, repeats, newest, disorder = len(committed - set(got)), len(got) - len(set(got)), dict[str, int](), 0
    for booking_id, revision in got:
        disorder += revision < newest.get(booking_id, 0)
        newest[booking_id] = revision
    if gaps or repeats or disorder:
        context.notes.append(f"a consumer of the feed met {gaps} gaps, {repeats} repeats, {disorder} out of order")
