"""SQLite's write lock goes to those that wait, however busy the others are."""

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from fcntl import LOCK_EX, LOCK_NB, flock
from itertools import count
from pathlib import Path
from threading import Event, Thread

import pytest
from sqlalchemy import text

from runtime.database import SQLITE_BUSY_TIMEOUT_SECONDS, WRITE_QUEUE_SUFFIX, Database, create_file
from runtime.private_files import GROUP_AND_OTHERS

BUSY_WRITERS, WRITES = 2, 25
MOST_TURNS = 20
"""Each turn goes to one of those that wait, so that ten in a row miss it once in a thousand times."""
HOLDER = """
import fcntl, sys, time
file = open(sys.argv[1], "a")
fcntl.flock(file, fcntl.LOCK_EX)
print("first", flush=True)
time.sleep(600)
"""


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "inbox.db")


@pytest.fixture
def database(path: str) -> Iterator[Database]:
    database = Database(f"sqlite:///{path}")
    create_file(database.engine)
    with database.transaction() as session:
        session.execute(text("CREATE TABLE turns (number INTEGER)"))
    yield database
    database.close()


def test_a_writer_waits_for_a_few_turns_of_those_that_begin_again_at_once(path: str, database: Database) -> None:
    turns, is_busy, stop = count(), Event(), Event()

    def write_constantly() -> None:
        own = Database(f"sqlite:///{path}")
        while not stop.is_set():
            with own.transaction() as session:
                session.execute(text("INSERT INTO turns VALUES (1)"))
                next(turns)
                is_busy.set()
                time.sleep(0.005)  # an open transaction, not a wait
        own.close()

    writers = [Thread(target=write_constantly) for _ in range(BUSY_WRITERS)]
    for each in writers:
        each.start()
    assert is_busy.wait(60)
    waited = []
    for _ in range(WRITES):
        before = next(turns)
        with database.transaction() as session:
            session.execute(text("DELETE FROM turns"))
            waited.append(next(turns) - before)
    stop.set()
    for each in writers:
        each.join()
    assert max(waited) <= MOST_TURNS, waited


def test_the_place_of_a_killed_process_is_free(path: str, database: Database) -> None:
    with subprocess.Popen([sys.executable, "-c", HOLDER, path + WRITE_QUEUE_SUFFIX], stdout=subprocess.PIPE) as holder:
        assert holder.stdout
        assert holder.stdout.readline() == b"first\n"
        with pytest.raises(BlockingIOError), Path(path + WRITE_QUEUE_SUFFIX).open() as file:
            flock(file, LOCK_EX | LOCK_NB)
        holder.send_signal(signal.SIGKILL)
        started = time.monotonic()
        with database.transaction() as session:
            session.execute(text("DELETE FROM turns"))
        assert time.monotonic() - started < SQLITE_BUSY_TIMEOUT_SECONDS


def test_who_stays_first_without_writing_delays_a_write_but_does_not_fail_it(
    path: str, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runtime.database.SQLITE_BUSY_TIMEOUT_SECONDS", 0.05)
    with Path(path + WRITE_QUEUE_SUFFIX).open() as file:
        flock(file, LOCK_EX)
        with database.transaction() as session:
            session.execute(text("DELETE FROM turns"))


def test_a_database_named_by_a_uri_has_no_queue(tmp_path: Path) -> None:
    database = Database(f"sqlite:///file:{tmp_path / 'inbox.db'}?uri=true")
    with database.transaction() as session:
        session.execute(text("CREATE TABLE turns (number INTEGER)"))
    database.close()
    assert [each.name for each in tmp_path.iterdir()] == ["inbox.db"]


def test_the_file_of_the_queue_is_private(path: str, database: Database) -> None:
    assert Path(path + WRITE_QUEUE_SUFFIX).stat().st_mode & GROUP_AND_OTHERS == 0
