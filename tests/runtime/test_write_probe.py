"""The write probe detects a read-only database, and leaves nothing behind."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from threading import Thread

import pytest
from sqlalchemy import make_url, text
from sqlalchemy.exc import SQLAlchemyError

from models.migrate import migrate
from runtime.database import Database, is_schema_outdated
from runtime.write_probe import probe_deliveries, probe_write
from tests.another_database import administer, another_database
from tests.broken_databases import read_only_database
from tests.raw_sql import sql


def count_deliveries(database: Database) -> int:
    with database.read_only() as session:
        return session.execute(sql(session, "SELECT count(*) FROM deliveries")).scalar_one()


def test_a_writable_database_passes_and_stores_nothing(database: Database) -> None:
    probe_write(database)
    probe_write(database)
    assert count_deliveries(database) == 0


def test_concurrent_probes_do_not_collide(database: Database) -> None:
    failures: list[Exception] = []

    def probe_repeatedly() -> None:
        try:
            for _ in range(10):
                probe_write(database)
        except SQLAlchemyError as error:
            failures.append(error)

    threads = [Thread(target=probe_repeatedly) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


def test_a_probe_leaves_the_connection_as_it_was(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path / 'inbox.db'}", pool_size=1)
    migrate(database.engine)
    with database.read_only() as session:
        before = session.execute(text("PRAGMA cache_size")).scalar_one()
    probe_write(database)
    with database.read_only() as session:
        assert session.execute(text("PRAGMA cache_size")).scalar_one() == before
    database.close()


def test_a_read_only_file_fails_the_probe(tmp_path: Path) -> None:
    migrated = Database(f"sqlite:///{tmp_path / 'inbox.db'}")
    migrate(migrated.engine)
    read_only_database = Database(f"sqlite:///file:{tmp_path / 'inbox.db'}?mode=ro&uri=true")
    assert count_deliveries(read_only_database) == 0
    with pytest.raises(SQLAlchemyError, match="readonly"):
        probe_write(read_only_database)
    for each in (read_only_database, migrated):
        each.close()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", folder]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("this process may not mount a disk")
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)


def test_a_full_disk_fails_the_probe_until_space_is_free(small_disk: Path) -> None:
    database = Database(f"sqlite:///{small_disk / 'inbox.db'}")
    migrate(database.engine)
    probe_write(database)
    with (small_disk / "filler").open("wb", buffering=0) as filler, suppress(OSError):
        while True:
            os.write(filler.fileno(), b"x" * 4096)
    assert count_deliveries(database) == 0
    with pytest.raises(SQLAlchemyError, match="full"):
        _probe_until_the_wal_is_full(database)
    (small_disk / "filler").unlink()
    probe_write(database)
    database.close()


def _probe_until_the_wal_is_full(database: Database) -> None:
    for _ in range(100):
        probe_write(database)
        _write_one(database)


def _write_one(database: Database) -> None:
    with database.transaction() as session:
        session.execute(text("CREATE TABLE IF NOT EXISTS others (body BLOB)"))
        session.execute(text("INSERT INTO others VALUES (zeroblob(20000))"))


@pytest.fixture
def probed_url(postgresql_url: str) -> Iterator[str]:
    with another_database(postgresql_url, "probed") as url:
        database = Database(url)
        migrate(database.engine)
        database.close()
        yield url


TERMINATE_CONNECTIONS = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'probed' AND pid <> pg_backend_pid()"
)


def test_a_read_only_database_fails_the_probe_until_it_is_writable(probed_url: str, postgresql_url: str) -> None:
    database = Database(probed_url, pool_size=1)
    probe_write(database)
    administer(postgresql_url, "ALTER DATABASE probed SET default_transaction_read_only = on", TERMINATE_CONNECTIONS)
    for _ in range(3):
        with pytest.raises(SQLAlchemyError):
            probe_write(database)
    assert count_deliveries(database) == 0
    administer(postgresql_url, "ALTER DATABASE probed RESET default_transaction_read_only")
    with pytest.raises(SQLAlchemyError):
        probe_write(database)  # through the connection that only read meanwhile: it is discarded now
    probe_write(database)
    database.close()


@pytest.mark.parametrize(
    "right",
    [
        "INSERT ON meetergo_inbox.deliveries",
        "INSERT ON meetergo_inbox.bookings",
        "UPDATE ON meetergo_inbox.notifications",
        "SELECT ON meetergo_inbox.platform_users",
    ],
)
def test_a_revoked_privilege_fails_the_probe_of_an_ordinary_role(probed_url: str, right: str) -> None:
    administer(probed_url, "DROP ROLE IF EXISTS clerk", "CREATE ROLE clerk LOGIN")
    administer(probed_url, "GRANT USAGE ON SCHEMA meetergo_inbox TO clerk")
    tables = "ALL TABLES IN SCHEMA meetergo_inbox"
    administer(probed_url, f"GRANT SELECT, INSERT, UPDATE, DELETE ON {tables} TO clerk")
    database = Database(probed_url.replace("postgres:@", "clerk:@"))
    assert "clerk" in str(database.engine.url)
    probe_write(database)
    administer(probed_url, f"REVOKE {right} FROM clerk")
    assert count_deliveries(database) == 0
    with pytest.raises(SQLAlchemyError, match="permission denied"):
        probe_write(database)
    if "deliveries" not in right:
        probe_deliveries(database)  # the receiver's: it can go on
    database.close()
    administer(probed_url, "DROP OWNED BY clerk", "DROP ROLE clerk")


FAILING_TRIGGER = (
    "CREATE FUNCTION audit() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN INSERT INTO audit_log VALUES (now()); END'",
    "CREATE TRIGGER audit AFTER UPDATE ON meetergo_inbox.deliveries FOR EACH ROW EXECUTE FUNCTION audit()",
)
PUBLICATION_WITHOUT_IDENTITY = (
    "CREATE PUBLICATION everything FOR ALL TABLES",
    "ALTER TABLE meetergo_inbox.deliveries REPLICA IDENTITY NOTHING",
)


@pytest.mark.parametrize(
    ("statements", "message"),
    [(FAILING_TRIGGER, 'relation "audit_log" does not exist'), (PUBLICATION_WITHOUT_IDENTITY, "replica identity")],
)
def test_a_delivery_that_can_be_stored_but_not_ended_fails_the_probe(
    probed_url: str, statements: tuple[str, ...], message: str
) -> None:
    administer(probed_url, *statements)
    database = Database(probed_url)
    with pytest.raises(SQLAlchemyError, match=message) as raised:
        probe_write(database)
    assert not is_schema_outdated(raised.value)
    database.close()


def test_the_probe_runs_no_trigger_of_the_platforms_on_bookings(probed_url: str) -> None:
    administer(
        probed_url,
        FAILING_TRIGGER[0],
        *(
            f"CREATE TRIGGER audit_{each} BEFORE INSERT OR UPDATE ON meetergo_inbox.bookings FOR EACH {each}"
            " EXECUTE FUNCTION audit()"
            for each in ("ROW", "STATEMENT")
        ),
    )
    database = Database(probed_url)
    probe_write(database)
    database.close()


def test_the_probe_passes_with_statements_that_are_always_prepared(probed_url: str) -> None:
    parts = make_url(probed_url).update_query_dict({"prepare_threshold": "0"})
    database = Database(parts.render_as_string(hide_password=False))
    probe_write(database)
    probe_write(database)
    database.close()


def test_a_locked_table_of_bookings_does_not_fail_the_probe(probed_url: str) -> None:
    database, locking = Database(probed_url), Database(probed_url)
    with locking.transaction() as session:
        session.execute(text("LOCK TABLE meetergo_inbox.bookings"))
        probe_write(database)
    database.close()
    locking.close()


def test_a_booking_that_cannot_be_updated_fails_the_probe(probed_url: str) -> None:
    administer(probed_url, *(each.replace("deliveries", "bookings") for each in PUBLICATION_WITHOUT_IDENTITY))
    database = Database(probed_url)
    with pytest.raises(SQLAlchemyError, match="replica identity"):
        probe_write(database)
    database.close()


def test_a_sqlite_transaction_that_cannot_begin_raises_a_sqlalchemy_error(tmp_path: Path) -> None:
    """A read-only file is noticed at BEGIN IMMEDIATE; the connection is discarded in the middle of it."""
    database = Database(f"sqlite:///{tmp_path / 'inbox.db'}")
    migrate(database.engine)
    with read_only_database(database), pytest.raises(SQLAlchemyError), database.transaction() as session:
        session.execute(text("SELECT 1"))
    with database.transaction() as session:
        session.execute(text("SELECT 1"))
    database.close()
