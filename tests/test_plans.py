"""Every query that runs per delivery finds its rows by an index, as the plans of both databases show.

What runs is heard, not named: each statement with its parameters, from the door to the outbox. It is explained
afterwards, on a database with many rows, whose planner knows of them.
"""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from psycopg import ClientCursor
from sqlalchemy import Engine, event, select, text

from benchmarks.growth.fill import booking_id, fill, host_id
from devtools.send import samples
from models import retention
from models.delivery import DUES, Delivery
from models.migrate import migrate
from models.notification import Notification
from models.tables import Booking, BookingChange
from runtime.database import Database
from tests.another_database import another_database
from tests.receiver.conftest import ADDRESS, MakeApp, make_app
from tests.worker.conftest import desk, open_desk
from tests.worker.desk import Desk

__all__ = ["desk", "make_app", "open_desk"]

ROWS = 20_000
GROWING = ("deliveries", "bookings", "booking_changes", "notifications", "failed_attempts", "platform_users")
KEEP = {"done": timedelta(days=30), "dead": timedelta(days=90)}
YEARS_AGO = "2020-01-01 00:00:00.000000"
MIXED = "UPDATE deliveries SET attempts = CASE WHEN id < '5' THEN 0 ELSE 1 END, is_isolated = id LIKE '%a'"
"""Some were never tried, some failed, some are isolated: ids are in hex."""
INDEX_OF_WHAT_WAITS = re.compile("_due|_isolated")
SORTS = re.compile("Sort|Bitmap|TEMP B-TREE")
Heard = list[tuple[str, Any]]


@contextmanager
def listening() -> Iterator[Heard]:
    """Each statement that any engine of this process runs, with its parameters."""
    heard: Heard = []

    def hear(_connection: Any, _cursor: Any, statement: str, parameters: Any, _context: Any, many: bool) -> None:
        heard.append((statement, parameters[0] if many else parameters))

    event.listen(Engine, "before_cursor_execute", hear)
    try:
        yield heard
    finally:
        event.remove(Engine, "before_cursor_execute", hear)


def scans(database: Database, heard: Heard) -> dict[str, list[str]]:
    """Statements that read a growing table, or an index of it, from one end to the other -> which."""
    look = _scanned_by_postgresql if database.skips_locked else _scanned_by_sqlite
    with database.engine.connect() as connection:
        raw = connection.connection.dbapi_connection
        found = {said: look(raw, said, given) for said, given in distinct(heard).items()}
    return {said: tables for said, tables in found.items() if tables}


def distinct(heard: Heard) -> dict[str, Any]:
    """Those that a planner has to do with; the last parameters of each."""
    return {said: given for said, given in heard if said.split()[0] in ("SELECT", "INSERT", "UPDATE", "DELETE", "WITH")}


def _scanned_by_sqlite(raw: Any, statement: str, parameters: Any) -> list[str]:
    steps = _steps_of_sqlite(raw, statement, parameters)
    return [step for step in steps if step.startswith("SCAN ") and step.split()[1] in GROWING]


def _scanned_by_postgresql(raw: Any, statement: str, parameters: Any) -> list[str]:
    scanned = [node for node in _plan(raw, statement, parameters) if node.get("Relation Name") in GROWING]
    return [f"{node['Node Type']} on {node['Relation Name']}" for node in scanned if _is_whole(node)]


def _plan(raw: Any, statement: str, parameters: Any) -> Iterator[dict[str, Any]]:
    ((((plan,),),)) = ClientCursor(raw).execute(f"EXPLAIN (FORMAT JSON) {statement}", parameters).fetchall()
    return _nodes(plan["Plan"])


def _nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for part in plan.get("Plans", ()):
        yield from _nodes(part)


def _is_whole(node: dict[str, Any]) -> bool:
    by_index = node["Node Type"] in ("Index Scan", "Index Only Scan")
    return node["Node Type"] == "Seq Scan" or (by_index and "Index Cond" not in node)


def tables_of(heard: Heard) -> set[str]:
    return {table for table in GROWING for said in distinct(heard) if re.search(rf"\b{table}\b", said)}


@pytest.fixture(scope="session")
def crowded_postgresql(postgresql_url: str) -> Iterator[str]:
    with another_database(postgresql_url, "crowded") as url:
        yield url


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def crowded(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The URL of a database with many rows."""
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path_factory.mktemp('crowded') / 'inbox.db'}"
    else:
        url = request.getfixturevalue("crowded_postgresql")
    database = Database(url)
    migrate(database.engine)
    fill(database, ROWS, datetime.now(UTC))
    database.close()
    return url


@pytest.fixture
def database(crowded: str) -> Iterator[Database]:
    database = Database(crowded)
    yield database
    database.close()


@pytest.fixture
def database_url(crowded: str) -> str:
    return crowded


def bodies(run: str) -> list[dict[str, Any]]:
    """Whatever comes: new bookings and known ones; hosts whom we know, whom nobody knows, known by the meeting type."""
    now = datetime.now(UTC)
    start = now + timedelta(days=2)
    kinds = {
        "known": {},
        "unknown": {"hostIds": ["nobody"], "hosts": []},
        "type": {"hostIds": [], "hosts": [], "meetingTypeId": "type-7", "meetingType": {"id": "type-7"}},
        "other": {"hostIds": [host_id(5), host_id(6)], "hosts": []},
    }
    made = [samples.created(f"{run}-{name}", start, now, **changes) for name, changes in kinds.items()]
    old = [booking_id(number) for number in range(0, ROWS, ROWS // 20)]
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


def test_the_door_stores_by_an_index(make_app: MakeApp, database: Database) -> None:
    client = make_app().test_client()
    with listening() as heard:
        for body in bodies("door"):
            assert client.post(ADDRESS, json=body).status_code == 200
    assert tables_of(heard) == {"deliveries"}
    assert not scans(database, heard)


def test_the_back_room_finds_everything_by_an_index(desk: Desk, database: Database) -> None:
    desk.deliver(*(json.dumps(body).encode() for body in bodies("room")))
    with listening() as heard:
        desk.work_off()
    assert tables_of(heard) == set(GROWING)
    assert not scans(database, heard)


def test_a_delivery_that_is_tried_again_is_found_by_an_index(desk: Desk, database: Database) -> None:
    (delivery_id,) = desk.deliver(samples.created("again", datetime.now(UTC), datetime.now(UTC)))
    with listening() as heard:
        assert desk.office.inbox.retry(delivery_id)
    assert tables_of(heard) >= {"deliveries", "bookings"}
    assert not scans(database, heard)


def test_what_a_delivery_caused_is_found_by_an_index(desk: Desk, database: Database) -> None:
    (made,) = desk.deliver(samples.created("caused", datetime.now(UTC), datetime.now(UTC)))
    (joined,) = desk.deliver({"webhookType": "new_employee", "id": "caused-employee", "email": "nobody@example.com"})
    desk.work_off()
    with listening() as heard, database.reading() as session:
        for delivery_id, changes in ((made, ["created"]), (joined, [])):
            delivery = session.get_one(Delivery, delivery_id)
            caused = session.scalars(select(BookingChange.kind).where(BookingChange.caused_by(delivery))).all()
            news = session.scalars(select(Notification.kind).where(Notification.caused_by(delivery))).all()
            assert caused == news == changes
    assert not scans(database, heard)


def test_the_outbox_claims_and_settles_by_an_index(desk: Desk, database: Database) -> None:
    desk.tell(samples.created("told", datetime.now(UTC), datetime.now(UTC)))
    with listening() as heard:
        desk.send_all()
    assert tables_of(heard) == {"notifications", "platform_users"}
    assert not scans(database, heard)


def test_what_is_due_is_taken_in_the_order_of_an_index_by_a_planner_that_expects_nobody_to_wait(
    database: Database,
) -> None:
    """Else a backlog is sorted for each batch, or read for each row. When a planner looks, hardly anybody waits."""
    now = datetime.now(UTC)
    with listening() as heard, database.rehearsal() as session:
        for status, waiting in (("done", 0), ("pending", 10)):
            for table in ("deliveries", "notifications"):
                session.execute(text(f"UPDATE {table} SET status = '{status}', due_at = '{YEARS_AGO}'"))
            session.execute(text(MIXED))
            heard.clear()
            taken = [len(Delivery.take_due(session, kind, now, 10)) for kind in DUES]
            assert [*taken, len(Notification.claim(session, now, 10, "w"))] == [waiting] * 4
            assert Delivery.due(session, now) == (list(DUES) if waiting else [])
            for said, given in [(said, given) for said, given in heard if said.startswith("SELECT")]:
                steps = _steps(database, session.connection().connection.dbapi_connection, said, given)
                assert not [step for step in steps if SORTS.search(step)]
                expected = len(DUES) if said.startswith("SELECT EXISTS") else 1
                assert len([step for step in steps if INDEX_OF_WHAT_WAITS.search(step)]) == expected


def _steps(database: Database, raw: Any, statement: str, parameters: Any) -> list[str]:
    if not database.skips_locked:
        return _steps_of_sqlite(raw, statement, parameters)
    return [f"{node['Node Type']} {node.get('Index Name')}" for node in _plan(raw, statement, parameters)]


def _steps_of_sqlite(raw: Any, statement: str, parameters: Any) -> list[str]:
    return [row[3] for row in raw.execute(f"EXPLAIN QUERY PLAN {statement}", parameters)]


def test_what_is_old_is_found_and_removed_by_an_index(database: Database) -> None:
    with database.engine.begin() as connection:
        for table in ("deliveries", "notifications"):
            oldest = f"SELECT id FROM {table} WHERE status = 'done' ORDER BY ended_at LIMIT 10"
            years_ago = f"UPDATE {table} SET ended_at = :then WHERE id IN ({oldest})"
            connection.execute(text(years_ago), {"then": YEARS_AGO})
    with listening() as heard:
        removed = retention.prune(database, datetime.now(UTC) - timedelta(days=300), KEEP)
    assert (removed["deliveries"], removed["notifications"]) == (10, 10)
    assert not scans(database, heard)


def test_what_refers_to_a_row_that_we_remove_is_found_by_an_index() -> None:
    without = {
        f"{table.name}.{column.name}"
        for table in Booking.metadata.tables.values()
        for column in table.columns
        if column.foreign_keys and not any(next(iter(index.columns)) is column for index in table.indexes)
    }
    assert without == {"notifications.platform_user_id"}, "only the platform removes its users"
