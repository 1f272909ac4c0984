"""Every query that runs per delivery finds its rows by an index, as the plans of both databases show.

The statements are recorded as they run, with their parameters, from the receiver to the outbox. They are explained
afterwards, on a database with many rows and current statistics.
"""

import json
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from psycopg import ClientCursor
from sqlalchemy import Engine, event, func, select, update

from benchmarks.growth.fill import booking_id, host_id
from devtools.send import samples
from models.account import DEFAULT
from models.delivery import DUE_KINDS, Delivery
from models.notification import Notification
from models.privacy import retention
from models.retryable import waiting_accounts
from models.tables import Booking, BookingChange, PlatformUser
from operations.users.calendar import CalendarFeed
from runtime.database import Database
from tests.another_database import another_database
from tests.conftest import MANY_ROWS
from tests.raw_sql import sql
from tests.receiver.conftest import ADDRESS, MakeApp, make_app
from tests.worker.conftest import harness, open_harness
from tests.worker.harness import Harness
from worker.maintenance.arrivals import WEEKS, ArrivalWatch
from worker.maintenance.silence import HOUR, WEEK
from worker.maintenance.sweeper import wake

__all__ = ["harness", "make_app", "open_harness"]

GROWING_TABLES = ("deliveries", "bookings", "booking_changes", "notifications", "failed_attempts", "platform_users")
KEEP = {"done": timedelta(days=30), "dead": timedelta(days=90)}
YEARS_AGO = "2020-01-01 00:00:00.000000"
MIX_STATES = "UPDATE deliveries SET attempts = CASE WHEN id < '5' THEN 0 ELSE 1 END, is_isolated = id LIKE '%a'"
"""Make some rows untried, some failed, some isolated: ids are in hex."""
PENDING_INDEX = re.compile("_due|_isolated")
SORT_STEP = re.compile("Sort|Bitmap|TEMP B-TREE")
Statements = list[tuple[str, Any]]


@contextmanager
def record_statements() -> Iterator[Statements]:
    """Record each statement that any engine of this process runs, with its parameters."""
    statements: Statements = []

    def record(_connection: Any, _cursor: Any, statement: str, parameters: Any, _context: Any, many: bool) -> None:
        statements.append((statement, parameters[0] if many and isinstance(parameters, list) else parameters))

    event.listen(Engine, "before_cursor_execute", record)
    try:
        yield statements
    finally:
        event.remove(Engine, "before_cursor_execute", record)


def full_scans(database: Database, statements: Statements) -> dict[str, list[str]]:
    """Return the statements that scan a growing table or index completely -> which."""
    scanned = _scanned_by_postgresql if database.supports_skip_locked else _scanned_by_sqlite
    with database.engine.connect() as connection:
        raw = connection.connection.dbapi_connection
        found = {
            statement: scanned(raw, statement, parameters) for statement, parameters in distinct(statements).items()
        }
    return {statement: tables for statement, tables in found.items() if tables}


def distinct(statements: Statements) -> dict[str, Any]:
    """Return the planned statements; each with its last parameters."""
    return {
        statement: parameters
        for statement, parameters in statements
        if statement.split()[0] in ("SELECT", "INSERT", "UPDATE", "DELETE", "WITH")
    }


def _scanned_by_sqlite(raw: Any, statement: str, parameters: Any) -> list[str]:
    steps = _steps_of_sqlite(raw, statement, parameters)
    return [step for step in steps if step.startswith("SCAN ") and step.split()[1] in GROWING_TABLES]


def _scanned_by_postgresql(raw: Any, statement: str, parameters: Any) -> list[str]:
    scanned = [node for node in _plan(raw, statement, parameters) if node.get("Relation Name") in GROWING_TABLES]
    return [f"{node['Node Type']} on {node['Relation Name']}" for node in scanned if _is_full_scan(node)]


def _plan(raw: Any, statement: str, parameters: Any) -> Iterator[dict[str, Any]]:
    ((((plan,),),)) = ClientCursor(raw).execute(f"EXPLAIN (FORMAT JSON) {statement}", parameters).fetchall()
    return _nodes(plan["Plan"])


def _nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for part in plan.get("Plans", ()):
        yield from _nodes(part)


def _is_full_scan(node: dict[str, Any]) -> bool:
    by_index = node["Node Type"] in ("Index Scan", "Index Only Scan")
    return node["Node Type"] == "Seq Scan" or (by_index and "Index Cond" not in node)


def tables_of(statements: Statements) -> set[str]:
    return {
        table for table in GROWING_TABLES for statement in distinct(statements) if re.search(rf"\b{table}\b", statement)
    }


@pytest.fixture(scope="module")
def large_postgresql(postgresql_url: str, filled_postgresql: str) -> Iterator[str]:
    with another_database(postgresql_url, "crowded", f"TEMPLATE {filled_postgresql}") as url:
        yield url


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def large_database_url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The URL of a database with many rows, a copy for each module."""
    if request.param == "postgresql":
        url: str = request.getfixturevalue("large_postgresql")
        return url
    file = tmp_path_factory.mktemp("crowded") / "inbox.db"
    shutil.copy(request.getfixturevalue("filled_sqlite"), file)
    return f"sqlite:///{file}"


@pytest.fixture
def database(large_database_url: str) -> Iterator[Database]:
    database = Database(large_database_url)
    yield database
    database.close()


@pytest.fixture
def database_url(large_database_url: str) -> str:
    return large_database_url


def bodies(run: str) -> list[dict[str, Any]]:
    """Deliver every kind: new and known bookings; known and unknown hosts, and hosts known by meeting type."""
    now = datetime.now(UTC)
    start = now + timedelta(days=2)
    kinds = {
        "known": {},
        "unknown": {"hostIds": ["nobody"], "hosts": []},
        "type": {"hostIds": [], "hosts": [], "meetingTypeId": "type-7", "meetingType": {"id": "type-7"}},
        "other": {"hostIds": [host_id(5), host_id(6)], "hosts": []},
    }
    made = [samples.created(f"{run}-{name}", start, now, **changes) for name, changes in kinds.items()]
    old = [booking_id(number) for number in range(0, MANY_ROWS, MANY_ROWS // 20)]
    moved = [samples.rescheduled(one, start + timedelta(hours=1), now, start) for one in old]
    return [
        *made,
        *moved,
        *(samples.cancelled(one, start, now + timedelta(minutes=1)) for one in old[:5]),
        samples.attendee_left(f"{run}-known", start, now + timedelta(minutes=2)),
        {"webhookType": "new_employee", "id": f"{run}-employee", "email": "nobody@example.com"},
        {"webhookType": "something_else"},
        {"webhookType": "booking_created", "run": run},
    ]


def test_the_receiver_stores_by_an_index(make_app: MakeApp, database: Database) -> None:
    client = make_app().test_client()
    with record_statements() as statements:
        for body in bodies("receiver"):
            assert client.post(ADDRESS, json=body).status_code == 200
    assert tables_of(statements) == {"deliveries"}
    assert not full_scans(database, statements)


def test_the_workers_find_everything_by_an_index(harness: Harness, database: Database) -> None:
    harness.deliver(*(json.dumps(body).encode() for body in bodies("room")))
    with record_statements() as statements:
        harness.process_due()
    assert tables_of(statements) == set(GROWING_TABLES)
    assert not full_scans(database, statements)


def test_a_retried_delivery_is_found_by_an_index(harness: Harness, database: Database) -> None:
    (delivery_id,) = harness.deliver(samples.created("again", datetime.now(UTC), datetime.now(UTC)))
    with harness.services.database.transaction() as session:
        session.execute(update(Delivery).where(Delivery.id == delivery_id).values(attempts=1))
    with record_statements() as statements:
        wake(harness.services, datetime.now(UTC))
        harness.process_due()
    assert tables_of(statements) >= {"deliveries", "bookings", "notifications"}
    assert not full_scans(database, statements)


def test_what_a_delivery_caused_is_found_by_an_index(harness: Harness, database: Database) -> None:
    (made,) = harness.deliver(samples.created("caused", datetime.now(UTC), datetime.now(UTC)))
    (joined,) = harness.deliver({"webhookType": "new_employee", "id": "caused-employee", "email": "nobody@example.com"})
    harness.process_due()
    with record_statements() as statements, database.read_only() as session:
        for delivery_id, changes in ((made, ["created"]), (joined, [])):
            delivery = session.get_one(Delivery, delivery_id)
            caused = session.scalars(select(BookingChange.kind).where(BookingChange.caused_by(delivery))).all()
            notification_kinds = session.scalars(
                select(Notification.kind).where(Notification.caused_by(delivery))
            ).all()
            assert caused == notification_kinds == changes
    assert not full_scans(database, statements)


def test_the_outbox_claims_and_completes_by_an_index(harness: Harness, database: Database) -> None:
    harness.process(samples.created("told", datetime.now(UTC), datetime.now(UTC)))
    with record_statements() as statements:
        harness.send_all()
    assert tables_of(statements) == {"notifications", "platform_users"}
    assert not full_scans(database, statements)


def test_due_rows_are_claimed_in_index_order_by_a_planner_that_expects_no_backlog(
    database: Database,
) -> None:
    """Otherwise a backlog is sorted for each batch, or read for each row. During ANALYZE few rows are pending."""
    now = datetime.now(UTC)
    with record_statements() as statements, database.rolled_back() as session:
        for status, waiting in (("done", 0), ("pending", 10)):
            for table in ("deliveries", "notifications"):
                session.execute(sql(session, f"UPDATE {table} SET status = '{status}', due_at = '{YEARS_AGO}'"))
            session.execute(sql(session, MIX_STATES))
            statements.clear()
            claimed = [len(Delivery.claim_due(session, kind, now, 10)) for kind in DUE_KINDS]
            assert [*claimed, len(Notification.claim(session, now, 10, "w"))] == [waiting] * 4
            assert Delivery.due(session, now) == (list(DUE_KINDS) if waiting else [], False)
            for statement, parameters in [
                (statement, parameters) for statement, parameters in statements if statement.startswith("SELECT")
            ]:
                steps = _steps(database, session.connection().connection.dbapi_connection, statement, parameters)
                assert not [step for step in steps if SORT_STEP.search(step)]
                expected = len(DUE_KINDS) + 1 if statement.startswith("SELECT EXISTS") else 1
                assert len([step for step in steps if PENDING_INDEX.search(step)]) == expected


def test_isolated_messages_are_found_in_their_index_beside_a_backlog(database: Database) -> None:
    """Each batch asks for them, and a backlog has as many batches as it is long."""
    now = datetime.now(UTC)
    with record_statements() as statements, database.rolled_back() as session:
        session.execute(sql(session, f"UPDATE notifications SET status = 'pending', due_at = '{YEARS_AGO}'"))
        statements.clear()
        assert Notification.look_ahead(session, now) == (False, False)
        assert Notification.claim(session, now, 1, "w", is_isolated=True) == []
        raw = session.connection().connection.dbapi_connection
        steps = [_steps(database, raw, *each) for each in statements if each[0].startswith("SELECT")]
    assert len(steps) == 2
    for each in steps:
        assert [step for step in each if "ix_notifications_isolated" in step]
        assert not [step for step in each if "ix_notifications_due " in f"{step} " or SORT_STEP.search(step)]


def test_earlier_messages_of_a_stream_are_found_by_their_booking_before_the_first_analyze(
    large_postgresql: str, postgresql_url: str
) -> None:
    """A planner without statistics expects many messages of each booking, and prefers all ids up to the row's."""
    database = Database(large_postgresql)
    with record_statements() as statements, database.rolled_back() as session:
        session.execute(
            sql(session, "DELETE FROM pg_statistic WHERE starelid = CAST('meetergo_inbox.notifications' AS regclass)")
        )
        Notification.claim(session, datetime.now(UTC), 10, "w")
        Notification.superseded_ids(session, datetime.now(UTC))
        raw = session.connection().connection.dbapi_connection
        steps = [
            step for each in statements if "AS notifications_1" in each[0] for step in _steps(database, raw, *each)
        ]
    database.close()
    assert [step for step in steps if "ix_notifications_booking_id_key" in step]
    assert not [step for step in steps if "pk_notifications" in step]


@pytest.mark.parametrize("model", [Delivery, Notification])
def test_accounts_that_wait_are_found_in_the_index_of_what_waits(
    database: Database, model: type[Delivery] | type[Notification]
) -> None:
    """There is also an index of all rows of an account, of which nearly all are done."""
    with record_statements() as statements, database.rolled_back() as session:
        assert waiting_accounts(session, model) == []
        [(statement, parameters)] = [each for each in statements if each[0].startswith("WITH RECURSIVE")]
        steps = _steps(database, session.connection().connection.dbapi_connection, statement, parameters)
    used = [step for step in steps if "ix_" in step]
    assert used
    assert all("_due_of_account" in step for step in used)


def _steps(database: Database, raw: Any, statement: str, parameters: Any) -> list[str]:
    if not database.supports_skip_locked:
        return _steps_of_sqlite(raw, statement, parameters)
    return [f"{node['Node Type']} {node.get('Index Name')}" for node in _plan(raw, statement, parameters)]


def _steps_of_sqlite(raw: Any, statement: str, parameters: Any) -> list[str]:
    return [row[3] for row in raw.execute(f"EXPLAIN QUERY PLAN {statement}", parameters)]


def test_silence_is_observed_by_an_index_and_few_probes(harness: Harness, database: Database) -> None:
    with database.read_only() as session:
        last = session.scalars(select(func.max(Delivery.received_at))).one()
    watch, silent = ArrivalWatch(DEFAULT), last + timedelta(hours=12)
    with record_statements() as statements:
        watch.observe(harness.services, silent)
    assert tables_of(statements) >= {"deliveries", "bookings"}
    assert not full_scans(database, statements)
    assert len(statements) < WEEK * WEEKS / HOUR + 20
    statements.clear()
    with record_statements() as statements:
        watch.observe(harness.services, silent + timedelta(minutes=10))
    assert len(statements) < 12, "what was learnt is kept while no webhook arrives"


def test_old_rows_are_pruned_by_an_index(database: Database) -> None:
    with database.engine.begin() as connection:
        for table in ("deliveries", "notifications"):
            oldest = f"SELECT id FROM {table} WHERE status = 'done' ORDER BY ended_at LIMIT 10"
            years_ago = f"UPDATE {table} SET ended_at = :then WHERE id IN ({oldest})"
            connection.execute(sql(connection, years_ago), {"then": YEARS_AGO})
    with record_statements() as statements:
        removed = retention.prune(database, datetime.now(UTC), dict.fromkeys(KEEP, timedelta(days=400)))
    assert (removed["deliveries"], removed["notifications"]) == (10, 10)
    assert not full_scans(database, statements)


def test_foreign_keys_to_rows_that_are_removed_have_an_index() -> None:
    without = {
        f"{table.name}.{column.name}"
        for table in Booking.metadata.tables.values()
        for column in table.columns
        if column.foreign_keys
        and not any(next(iter(index.columns)) is column for index in (*table.indexes, table.primary_key))
    }
    assert without == {"notifications.platform_user_id"}, "only the platform removes its users"


def test_a_hosts_calendar_is_found_by_an_index(database: Database) -> None:
    """Also what the host only takes part in: without an index of its own, every booking to come would be read."""
    now = datetime.now(UTC)
    with database.rolled_back() as session:
        user = PlatformUser.by_meetergo_user_id(session, host_id(5), DEFAULT)
        assert user
        user.calendar_feed_id = "a-feed"
        for booking in session.scalars(select(Booking).order_by(Booking.id).limit(3)):
            booking.host_ids, booking.starts_at = [host_id(4), host_id(5)], now
        session.flush()
        with record_statements() as statements:
            feed = CalendarFeed.find(session, "a-feed", now)
        assert feed
        assert len(feed.rows) >= 3
    assert tables_of(statements) == {"platform_users", "bookings"}
    assert not full_scans(database, statements)
    with database.engine.connect() as connection:
        raw = connection.connection.dbapi_connection
        *_, shared = distinct(statements).items()
        assert "ix_bookings_shared" in str(_steps(database, raw, *shared))
