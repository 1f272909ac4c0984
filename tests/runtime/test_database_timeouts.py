"""Timeouts: an unresponsive PostgreSQL is given up, and every waiting writer gets SQLite's lock."""

import os
import signal
import time
from datetime import timedelta
from pathlib import Path
from threading import Event, Thread

import pytest
from sqlalchemy import delete, text
from sqlalchemy.exc import OperationalError

from models.booking import Booking
from models.migrate import migrate
from runtime.database import Database
from runtime.postgresql.engine import ROUND_TRIP

STATEMENT_TIMEOUT = timedelta(seconds=1)
ROUNDS, BUSY_SECONDS, GAP_SECONDS = 40, 0.045, 0.006


def test_a_silent_server_times_out(postgresql_url: str) -> None:
    database = Database(postgresql_url, pool_size=1, statement_timeout=STATEMENT_TIMEOUT, pre_ping=False)
    with database.transaction() as session:
        pid = session.scalar(text("SELECT pg_backend_pid()"))
    os.kill(pid, signal.SIGSTOP)
    try:
        started = time.monotonic()
        with pytest.raises(OperationalError) as raised, database.transaction() as session:
            session.execute(text("SELECT 1"))
        assert STATEMENT_TIMEOUT + ROUND_TRIP <= timedelta(seconds=time.monotonic() - started) < timedelta(seconds=4)
        assert raised.value.connection_invalidated
    finally:
        os.kill(pid, signal.SIGCONT)
    with database.transaction() as session:
        assert session.scalar(text("SELECT pg_backend_pid()")) != pid
    database.close()


@pytest.fixture
def sqlite(tmp_path: Path) -> Database:
    database = Database(f"sqlite:///{tmp_path / 'inbox.db'}")
    migrate(database.engine)
    return database


def test_a_waiting_sqlite_writer_gets_the_lock_between_two_writes_of_a_busy_one(sqlite: Database) -> None:
    started_writing, got_lock = Event(), Event()
    served_by_round: list[bool] = []

    def write_constantly() -> None:
        for _ in range(ROUNDS):
            with sqlite.transaction() as session:
                session.execute(delete(Booking))
                started_writing.set()
                time.sleep(BUSY_SECONDS)
            served_by_round.append(got_lock.is_set())
            time.sleep(GAP_SECONDS)

    writer = Thread(target=write_constantly)
    writer.start()
    assert started_writing.wait(60)
    with sqlite.transaction() as session:
        session.execute(delete(Booking))
        got_lock.set()
    writer.join()
    sqlite.close()
    assert served_by_round.count(False) < ROUNDS / 4


def test_waiting_too_long_for_sqlite_raises_database_is_locked(
    sqlite: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runtime.database.SQLITE_BUSY_TIMEOUT_SECONDS", 0.1)
    with sqlite.transaction() as session:
        session.execute(delete(Booking))
        with pytest.raises(OperationalError, match="database is locked"), sqlite.transaction() as other:
            other.execute(delete(Booking))
    with sqlite.transaction() as session:
        assert session.scalar(text("PRAGMA busy_timeout")) == 100
    sqlite.close()


def test_sqlite_errors_other_than_the_lock_are_raised_at_once(
    sqlite: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runtime.database.SQLITE_BUSY_TIMEOUT_SECONDS", 30)
    read_only = Database(f"sqlite:///file:{sqlite.engine.url.database}?mode=ro&uri=true")
    started = time.monotonic()
    with pytest.raises(OperationalError, match="readonly"), read_only.transaction() as session:
        session.execute(delete(Booking))
    assert time.monotonic() - started < 20
    for each in (read_only, sqlite):
        each.close()


def test_a_worker_replaces_a_silent_connection(postgresql_url: str) -> None:
    """It pings first: the server may be up while that connection is dead."""
    database = Database(postgresql_url, pool_size=1, statement_timeout=STATEMENT_TIMEOUT)
    with database.transaction() as session:
        pid = session.scalar(text("SELECT pg_backend_pid()"))
    os.kill(pid, signal.SIGSTOP)
    try:
        with database.transaction() as session:
            assert session.scalar(text("SELECT pg_backend_pid()")) != pid
    finally:
        os.kill(pid, signal.SIGCONT)
    database.close()
