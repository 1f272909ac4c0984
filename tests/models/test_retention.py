"""Pruning lets other writers in between its transactions."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from threading import Event, Thread, get_ident

import pytest
from sqlalchemy import Connection, event, func, select, text
from sqlalchemy.exc import IntegrityError

from benchmarks.growth.fill import fill
from models.delivery import Delivery
from models.notification import Notification
from models.privacy import retention
from models.privacy.retention import prune
from runtime.database import Database, RowsDiscarded
from tests.discarding_trigger import discarding
from tests.raw_sql import sql

KEEP = {"done": timedelta(days=1), "dead": timedelta(days=1)}
OLD_ROWS = 60


@pytest.fixture(autouse=True)
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("BATCH_SIZE", "SQLITE_BATCH_SIZE"):
        monkeypatch.setattr(retention, name, OLD_ROWS // 6)


def test_other_writers_get_the_lock_between_two_prune_transactions(database: Database) -> None:
    fill(database, OLD_ROWS, datetime.now(UTC))
    pruner, commits, stop = get_ident(), list[bool](), Event()

    def write() -> None:
        while not stop.is_set():
            with database.transaction() as session:
                session.execute(sql(session, "UPDATE platform_users SET name = 'The host' WHERE id = 1"))

    def record_commit(_connection: Connection) -> None:
        commits.append(get_ident() == pruner)

    writer = Thread(target=write)
    event.listen(database.engine, "commit", record_commit)
    writer.start()
    try:
        assert prune(database, datetime.now(UTC), KEEP)["deliveries"] == OLD_ROWS
    finally:
        stop.set()
        writer.join()
        event.remove(database.engine, "commit", record_commit)
    between = "".join("P" if is_pruner else "w" for is_pruner in commits)
    assert between.count("Pw") > between.count("PP"), between


@pytest.fixture
def referring_table(database: Database) -> Iterator[None]:
    """A table of the platform that refers to a delivery, and does not say what becomes of it when that is deleted."""
    with database.engine.begin() as connection:
        connection.execute(sql(connection, "CREATE TABLE audit (id VARCHAR(64) REFERENCES deliveries (id))"))
    yield
    with database.engine.begin() as connection:
        connection.execute(text("DROP TABLE audit"))


def test_a_row_to_which_the_platform_refers_stays_and_keeps_no_other(database: Database, referring_table: None) -> None:
    fill(database, OLD_ROWS, datetime.now(UTC))
    with database.engine.begin() as connection:
        connection.execute(sql(connection, "INSERT INTO audit SELECT min(id) FROM deliveries"))
    with pytest.raises(IntegrityError):
        prune(database, datetime.now(UTC), KEEP)
    with database.read_only() as session:
        left = [session.scalar(select(func.count()).select_from(model)) for model in (Delivery, Notification)]
    assert left == [1, 0]


@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
def test_the_same_if_the_platforms_foreign_key_is_deferred_as_those_of_django(
    database: Database, referring_table: None
) -> None:
    """It is checked at the commit, which would fail for all rows."""
    with database.engine.begin() as connection:
        connection.execute(text("ALTER TABLE audit ALTER CONSTRAINT audit_id_fkey DEFERRABLE INITIALLY DEFERRED"))
    test_a_row_to_which_the_platform_refers_stays_and_keeps_no_other(database, referring_table)


def test_rows_that_a_trigger_keeps_are_reported_and_keep_no_other(database: Database) -> None:
    """As with a platform that marks rows as deleted instead: they would be deleted again and again."""
    fill(database, OLD_ROWS, datetime.now(UTC))
    with discarding(database, "deliveries", "DELETE"), pytest.raises(RowsDiscarded, match="written to deliveries"):
        prune(database, datetime.now(UTC), KEEP)
    with database.read_only() as session:
        left = [session.scalar(select(func.count()).select_from(model)) for model in (Delivery, Notification)]
    assert left == [OLD_ROWS, 0]


def test_each_transaction_goes_on_where_the_one_before_ended(database: Database) -> None:
    """Rows that stay, such as notifications of bookings to come, are not passed again by each transaction."""
    fill(database, OLD_ROWS, datetime.now(UTC))
    selects = list[str]()

    def record(_connection: Connection, _cursor: object, statement: str, *_rest: object) -> None:
        if "SELECT" in statement and "deliveries.ended_at AS time" in statement:
            selects.append(statement)

    event.listen(database.engine, "before_cursor_execute", record)
    try:
        assert prune(database, datetime.now(UTC), KEEP)["deliveries"] == OLD_ROWS
    finally:
        event.remove(database.engine, "before_cursor_execute", record)
    assert ["ended_at >=" in each for each in selects[:6]] == [False, *[True] * 5]
