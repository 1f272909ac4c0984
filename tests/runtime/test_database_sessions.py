"""A database with its own session settings: ours override them."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone

import pytest
from sqlalchemy import func, select, text
from sqlalchemy.exc import OperationalError

from models.booking import Booking
from models.delivery import Delivery, NewDelivery
from models.migrate import migrate
from runtime.database import EARLIEST, LATEST, Database
from runtime.encryption import BodyCipher
from tests.another_database import administer, another_database

AT = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
ODD_SESSION_SETTINGS = {
    "DateStyle": "'German, DMY'",
    "timezone": "'America/New_York'",
    "IntervalStyle": "sql_standard",
    "bytea_output": "escape",
    "standard_conforming_strings": "off",
    "default_transaction_isolation": "serializable",
    "client_encoding": "LATIN1",
    "extra_float_digits": "-15",
    "array_nulls": "off",
    "quote_all_identifiers": "on",
    "synchronous_commit": "off",
}


@pytest.fixture
def platform_database_url(postgresql_url: str) -> Iterator[str]:
    with another_database(postgresql_url, "platform") as url:
        administer(
            postgresql_url, *(f"ALTER DATABASE platform SET {name} = {to}" for name, to in ODD_SESSION_SETTINGS.items())
        )
        yield url


def insert(booking_id: str, starts: str) -> str:
    return (
        "INSERT INTO meetergo_inbox.deliveries (id, account, source, body, received_at, due_at, status, attempts)"
        f" VALUES ('{booking_id}', 'default', 'webhook', 'x', '{starts}', '{starts}', 'pending', 0)"
    )


def test_a_database_with_settings_of_its_own_is_migrated_written_and_read(platform_database_url: str) -> None:
    database = Database(platform_database_url)
    migrate(database.engine)
    with database.transaction() as session:
        session.add(
            Delivery(
                id="a", account="Jörg 😀", source="webhook", body=b"\x00\xff\\", received_at=AT, due_at=AT, attempts=0
            )
        )
    with database.transaction() as session:
        row = session.scalars(select(Delivery)).one()
        assert (row.received_at, row.body, row.account) == (AT, b"\x00\xff\\", "Jörg 😀")
        assert session.scalar(text("SHOW transaction_isolation")) == "read committed"
        assert session.scalar(text("SHOW timezone")) == "UTC"
        assert session.scalar(text("SELECT interval '1 day'")) == timedelta(days=1)
    database.close()


def test_variables_of_libpq_change_no_session(postgresql_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """An environment that the process shares with the platform, or with PostgreSQL itself."""
    for name, value in {
        "PGDATESTYLE": "German",
        "PGTZ": "Asia/Kathmandu",
        "PGOPTIONS": "-c bytea_output=escape",
    }.items():
        monkeypatch.setenv(name, value)
    database = Database(postgresql_url)
    with database.read_only() as session:
        now = session.scalar(select(func.now()))
        assert now is not None
        assert now.utcoffset() == timedelta(0)
        assert session.scalar(text("SHOW bytea_output")) == "hex"
    database.close()


def test_a_body_that_is_not_encrypted_has_no_key_whatever_the_database_makes_of_null_in_an_array(
    platform_database_url: str,
) -> None:
    database = Database(platform_database_url)
    migrate(database.engine)
    new = NewDelivery.from_body(b"{}", "default", AT, BodyCipher([]))
    with database.engine.begin() as connection:
        Delivery.accept(connection, [new])
    with database.read_only() as session:
        assert session.get_one(Delivery, new.id).sealed_with is None
    database.close()


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("infinity", LATEST),
        ("-infinity", EARLIEST),
        ("9999-12-31 23:59:59+00", LATEST),
        ("20000-01-01 00:00:00+00", LATEST),
        ("0001-01-01 00:00:00+00", EARLIEST),
        ("0044-03-15 00:00:00+00 BC", EARLIEST),
    ],
)
def test_an_impossible_time_does_not_block_other_rows(platform_database_url: str, written: str, read: datetime) -> None:
    database = Database(platform_database_url)
    migrate(database.engine)
    with database.transaction() as session:
        session.execute(text(insert("bad", written)))
        session.execute(text(insert("good", AT.isoformat())))
    with database.read_only() as session:
        rows = {row.id: row.received_at for row in session.scalars(select(Delivery))}
    assert rows == {"bad": read, "good": AT}
    for time in rows.values():
        for hours in (-14, 14):
            time.astimezone(timezone(timedelta(hours=hours)))
    database.close()


def test_the_first_and_last_datetime_can_be_written(database: Database) -> None:
    edges = [datetime.max.replace(tzinfo=timezone(-timedelta(hours=5))), datetime.min.replace(tzinfo=UTC)]
    with database.transaction() as session:
        for number, time in enumerate(edges):
            values = dict(account="a", source="webhook", body=b"", attempts=0, due_at=AT)
            session.add(Delivery(id=str(number), received_at=time, **values))
    with database.read_only() as session:
        found = session.scalars(select(Delivery.received_at).order_by(Delivery.id)).all()
    assert list(found) == [LATEST, EARLIEST]


def test_the_options_of_a_url_are_kept_and_win(postgresql_url: str) -> None:
    with another_database(postgresql_url, "platform") as url:
        administer(url, "CREATE SCHEMA booking")
        more = "&options=-csearch_path%3Dbooking%20-c%20lock_timeout%3D7&connect_timeout=9&prepare_threshold=0"
        database = Database(url + more)
        migrate(database.engine)
        with database.transaction() as session:
            schema = session.scalar(
                text("SELECT schemaname FROM pg_tables WHERE tablename = :name").params(name=Booking.__tablename__)
            )
            assert schema == "meetergo_inbox"
            assert session.scalar(text("SHOW search_path")) == "booking"
            assert session.scalar(text("SHOW lock_timeout")) == "7ms"
            assert session.scalar(text("SHOW timezone")) == "UTC"
        database.close()


def test_a_connection_closed_while_idle_is_replaced(postgresql_url: str) -> None:
    database = Database(postgresql_url, pool_size=1)
    with database.transaction() as session:
        pid = session.scalar(text("SELECT pg_backend_pid()"))
    administer(postgresql_url, f"SELECT pg_terminate_backend({pid}, 5000)")
    with database.transaction() as session:
        assert session.scalar(text("SELECT pg_backend_pid()")) != pid
    database.close()


def test_without_pre_ping_a_closed_connection_raises(postgresql_url: str) -> None:
    database = Database(postgresql_url, pool_size=1, pre_ping=False)
    with database.transaction() as session:
        pid = session.scalar(text("SELECT pg_backend_pid()"))
    administer(postgresql_url, f"SELECT pg_terminate_backend({pid}, 5000)")
    with pytest.raises(OperationalError) as raised, database.transaction() as session:
        session.scalar(text("SELECT 1"))
    assert raised.value.connection_invalidated
    database.close()


def test_a_commit_waits_for_the_disk_unless_the_url_says_otherwise(platform_database_url: str) -> None:
    on_local = "&options=-csynchronous_commit%3Dlocal"
    for url, expected in (
        (platform_database_url, "on"),
        (f"{platform_database_url}{on_local}", "local"),
        (f"{platform_database_url}{on_local.replace('local', 'off')}", "off"),
    ):
        database = Database(url, pool_size=2)
        with database.transaction() as one, database.transaction() as another:
            assert [each.scalar(text("SHOW synchronous_commit")) for each in (one, another)] == [expected] * 2
        with database.one_statement() as connection:
            assert connection.scalar(text("SHOW synchronous_commit")) == expected
        database.close()
