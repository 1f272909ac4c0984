"""A PostgreSQL that is there and never answers keeps nobody waiting who has no time."""

import os
import signal
import time
from datetime import timedelta

import pytest
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from models.database import ROUND_TRIP, Database

STATEMENT_TIMEOUT = timedelta(seconds=1)


def test_a_server_that_falls_silent_is_given_up(postgresql_url: str) -> None:
    database = Database(postgresql_url, pool_size=1, statement_timeout=STATEMENT_TIMEOUT)
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
