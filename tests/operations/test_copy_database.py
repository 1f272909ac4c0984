"""`copy-database` moves every row between the real databases, and leaves the target empty if it cannot."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from inspect import isgeneratorfunction
from pathlib import Path
from random import Random
from typing import Any

import pytest
from sqlalchemy import insert, select, text, update

from benchmarks.growth.fill import fill
from devtools.send import mix, samples
from models.attempt import FailedAttempt
from models.booking import Booking, BookingChange
from models.delivery import Delivery
from models.migrate import migrate
from models.migrations.takeover import VERSION_TABLE
from models.platform_user import PlatformUser
from operations import copy_database as module
from operations.copy_database import copy_database
from operations.errors import OperationError
from runtime.database import Database, Model, create_file, table_of
from tests.another_database import another_database
from tests.console.cli import run_cli_in
from tests.worker.harness import AT, START, Harness

BOTH_WAYS = pytest.mark.parametrize("database", ["sqlite", "postgresql"], indirect=True)
FROM_SQLITE = pytest.mark.parametrize("database", ["sqlite"], indirect=True)
BODY_KEY = "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="


@pytest.fixture
def target(database: Database, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """A database of the other kind, without tables."""
    if database.engine.dialect.name == "postgresql":
        opened = Database(f"sqlite:///{tmp_path / 'target.db'}")
        yield opened
        opened.close()
        return
    with another_database(request.getfixturevalue("postgresql_url"), "copied") as url:
        opened = Database(url)
        yield opened
        opened.close()


@pytest.fixture
def harness(open_harness: Callable[..., Harness]) -> Harness:
    return open_harness(body_keys=BODY_KEY, notify_default="log:")


def contents(database: Database) -> dict[str, list[Any]]:
    with database.read_only() as session:
        return {
            table.name: sorted(tuple(row) for row in session.execute(select(table)))  # they begin with the key
            for table in Model.metadata.sorted_tables
        }


@BOTH_WAYS
def test_every_row_arrives_as_it_was_and_ids_go_on(
    database: Database, target: Database, harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PAGE", 15)
    harness.add_user(id=1001, meetergo_user_id=samples.HOST_ID, channels=["log:"])
    harness.deliver(*mix.mix("copy", 40, datetime(2024, 1, 20, tzinfo=UTC), Random(7)), b"no JSON")
    harness.process_due()
    with database.transaction() as session:
        session.execute(update(Booking).values(metadata_={"huge": "ü" * 300_000, "deep": [[[{"a": None}]]], "n": 0.25}))
    before = contents(database)
    assert all(before[name] for name in ("deliveries", "bookings", "booking_changes", "notifications"))
    reported: list[int] = []
    result = copy_database(database, target, lambda _table, rows: reported.append(rows))
    assert contents(target) == before == contents(database)
    assert result.rows == {name: len(rows) for name, rows in before.items()}
    assert sum(reported) == sum(result.rows.values())
    assert result.cleaned == 0
    with target.transaction() as session:
        session.add(PlatformUser(external_id="new"))
        session.flush()
        newest = session.scalars(select(BookingChange.id).order_by(BookingChange.id.desc())).first()
        session.execute(
            insert(table_of(BookingChange)).values(
                booking_id=before["bookings"][0][0], revision=99, kind="updated", after={}, news=[], at=START
            )
        )
        assert session.scalars(select(BookingChange.id).order_by(BookingChange.id.desc())).first() == newest + 1
    with target.read_only() as session:
        body = session.scalars(select(Delivery).limit(1)).one().encrypted_body
    assert harness.services.inbox.cipher.decrypt(body)


@FROM_SQLITE
def test_what_postgresql_does_not_store_is_taken_out_and_counted(
    database: Database, target: Database, harness: Harness
) -> None:
    harness.process(samples.created("b1", START, AT))
    hostile = "a\x00b\U0001f600\u202e"
    with database.transaction() as session:
        session.add(PlatformUser(external_id="1\x002", name=hostile, channels=["log:", "x\x00"]))
        session.execute(update(Booking).values(metadata_={"k\x00": [hostile]}, location=hostile))
        session.add(FailedAttempt(delivery_id=None, number=1, error=hostile, outcome="dead", at=START))
    with database.engine.begin() as connection:
        connection.execute(text("INSERT INTO platform_users (external_id, channels) VALUES ('malformed', 'no json')"))
        connection.execute(text("UPDATE bookings SET meeting_name = CAST(x'eda080' AS text) WHERE 0"))
    result = copy_database(database, target)
    assert result.cleaned == 3
    with target.read_only() as session:
        found = {user.external_id: user for user in session.scalars(select(PlatformUser))}
        assert (found["12"].name, found["12"].channels) == ("ab\U0001f600\u202e", ["log:", "x"])
        assert found["malformed"].channels == "unreadable"
        booking = session.get_one(Booking, "b1")
        assert (booking.metadata_, booking.location) == ({"k": ["ab\U0001f600\u202e"]}, "ab\U0001f600\u202e")


@FROM_SQLITE
@pytest.mark.parametrize(
    ("statement", "reason"),
    [
        ("UPDATE bookings SET meeting_type_id = printf('%.300c', 'x')", "'b1' of bookings: meeting_type_id has 300"),
        ("UPDATE bookings SET facts = 'no json'", "'b1' of bookings: it cannot be read"),
        ("UPDATE bookings SET starts_at = 'soon'", "'b1' of bookings: it cannot be read"),
        ("UPDATE bookings SET revision = 9999999999", "'b1' of bookings: .*out of range"),
        ("UPDATE bookings SET meeting_link = x'00ff'", "'b1' of bookings: meeting_link holds bytes"),
    ],
)
def test_a_row_that_cannot_be_copied_is_named_and_nothing_is_copied(
    database: Database, target: Database, harness: Harness, statement: str, reason: str
) -> None:
    harness.add_user()
    harness.process(samples.created("b1", START, AT))
    with database.engine.begin() as connection:
        connection.execute(text(statement))
    with pytest.raises(OperationError, match=f"nothing was copied, because of the row {reason}"):
        copy_database(database, target)
    assert not any(contents(target).values())


@BOTH_WAYS
def test_a_target_with_rows_is_refused(database: Database, target: Database) -> None:
    migrate(target.engine)
    with target.transaction() as session:
        session.add(PlatformUser(external_id="theirs"))
    with pytest.raises(OperationError, match="the target has rows in platform_users already"):
        copy_database(database, target)
    assert len(contents(target)["platform_users"]) == 1


@BOTH_WAYS
def test_a_target_that_cannot_hold_the_tables_is_refused_in_a_sentence(database: Database, target: Database) -> None:
    create_file(target.engine)
    with target.engine.begin() as connection:
        schema = "meetergo_inbox." if target.supports_skip_locked else ""
        if schema:
            connection.execute(text("CREATE SCHEMA meetergo_inbox"))
        connection.execute(text(f"CREATE TABLE {schema}bookings (number INTEGER)"))
    with pytest.raises(OperationError, match=r"^the target cannot be used: .* tables of others: bookings"):
        copy_database(database, target)


@FROM_SQLITE
def test_a_source_of_another_version_is_refused(database: Database, target: Database) -> None:
    with database.engine.begin() as connection:
        connection.execute(text(f"UPDATE {VERSION_TABLE} SET version_num = '0007'"))
    with pytest.raises(OperationError, match="bin/inbox migrate first"):
        copy_database(database, target)


@FROM_SQLITE
def test_only_a_page_is_in_memory(database: Database, target: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PAGE", 7)
    fill(database, 30, datetime.now(UTC))
    read, pages, reading = module._read, list[int](), module._pages

    def counted(*arguments: Any) -> Any:
        rows = read(*arguments)
        pages.append(len(rows))
        return rows

    monkeypatch.setattr(module, "_read", counted)
    result = copy_database(database, target)
    assert (max(pages), sum(pages)) == (7, sum(result.rows.values()))
    assert isgeneratorfunction(reading)


@FROM_SQLITE
def test_the_command_says_what_to_stop_and_what_to_change(
    database: Database, target: Database, database_url: str, harness: Harness, tmp_path: Path
) -> None:
    harness.process(samples.created("b1", START, AT))
    url = target.engine.url.render_as_string(hide_password=False)
    refused = run_cli_in(tmp_path, "copy-database", "--to", url, DATABASE_URL=database_url)
    assert (refused.returncode, "Stop receiver, worker and scheduler first" in refused.stdout) == (1, True)
    done = run_cli_in(tmp_path, "copy-database", "--to", url, "--yes", DATABASE_URL=database_url)
    assert done.returncode == 0, done.stderr
    assert "set DATABASE_URL to the new database" in done.stdout
    assert len(contents(target)["bookings"]) == 1
    again = run_cli_in(tmp_path, "copy-database", "--to", url, "--yes", DATABASE_URL=database_url)
    assert (again.returncode, "the target has rows in" in again.stderr) == (1, True)
    itself = run_cli_in(tmp_path, "copy-database", "--to", database_url, "--yes", DATABASE_URL=database_url)
    assert (itself.returncode, "itself" in itself.stderr) == (2, True)
    odd = run_cli_in(tmp_path, "copy-database", "--to", "mysql://u:secret@h/d", "--yes", DATABASE_URL=database_url)
    assert (odd.returncode, "secret" in odd.stderr) == (2, False)
