"""Patience: a PostgreSQL that never answers is given up, and the only lock of SQLite is had by whoever waits for it."""

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
from runtime.database import ROUND_TRIP, Database

STATEMENT_TIMEOUT = timedelta(seconds=1)
ROUNDS, BUSY_SECONDS, GAP_SECONDS = 40, 0.045, 0.006


def test_a_server_that_falls_silent_is_given_up(postgresql_url: str) -> None:
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


def test_who_waits_for_sqlite_comes_in_when_somebody_who_writes_all_the_time_takes_a_breath(sqlite: Database) -> None:
    begun, served = Event(), Event()
    rounds: list[bool] = []

    def write_all_the_time() -> None:
        for _ in range(ROUNDS):
            with sqlite.transaction() as session:
                session.execute(delete(Booking))
                begun.set()
                time.sleep(BUSY_SECONDS)
            rounds.append(served.is_set())
            time.sleep(GAP_SECONDS)

    writer = Thread(target=write_all_the_time)
    writer.start()
    assert begun.wait(20)
    with sqlite.transaction() as session:
        session.execute(delete(Booking))
        served.set()
    writer.join()
    sqlite.close()
    assert rounds.count(False) < ROUNDS / 4


def test_who_waits_for_sqlite_too_long_hears_why(sqlite: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("runtime.database.SQLITE_BUSY_TIMEOUT_SECONDS", 0.1)
    with sqlite.transaction() as session:
        session.execute(delete(Booking))
        with pytest.raises(OperationalError, match="database is locked"), sqlite.transaction() as other:
            other.execute(delete(Booking))
    with sqlite.transaction() as session:
        assert session.scalar(text("PRAGMA busy_timeout")) == 100
    sqlite.close()


def test_what_is_wrong_with_sqlite_but_not_its_lock_is_said_at_once(
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


def test_a_worker_leaves_a_silent_connection_for_a_new_one(postgresql_url: str) -> None:
    """It asks first whether somebody is there: the server may be, though that connection is not."""
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
