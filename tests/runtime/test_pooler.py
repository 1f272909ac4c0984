"""Behind a real PgBouncer: timeouts are in force in each transaction, and nothing is prepared or left behind."""

import socket
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from psycopg import errors
from sqlalchemy import make_url, text
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.orm import Session

from models.claim import Claim
from models.migrate import migrate
from models.migrations.newer import is_up_to_date
from runtime.database import Database
from runtime.postgresql.pooler import split_options
from tests.another_database import another_database
from tests.pgbouncer import MISSING, PROGRAM, PgBouncer, pgbouncer
from tests.runtime.test_database_sessions import AT, ODD_SESSION_SETTINGS, administer
from tests.tcp_proxy import forward

needs_pgbouncer = pytest.mark.skipif(PROGRAM is None, reason=MISSING)
IGNORES = {"ignore_startup_parameters": "options,extra_float_digits"}
KINDS: dict[str, dict[str, str]] = {
    "transaction, strict": {"pool_mode": "transaction"},
    "transaction, ignores options": {"pool_mode": "transaction", **IGNORES},
    "session, strict": {"pool_mode": "session"},
    "session, ignores options": {"pool_mode": "session", **IGNORES},
}
STATEMENT_TIMEOUT = timedelta(milliseconds=300)


@pytest.fixture(scope="module")
def odd_url(postgresql_url: str) -> Iterator[str]:
    """A platform's database, with settings of its own."""
    with another_database(postgresql_url, "pooled") as url:
        administer(
            postgresql_url, *(f"ALTER DATABASE pooled SET {name} = {to}" for name, to in ODD_SESSION_SETTINGS.items())
        )
        yield url


@pytest.fixture(params=KINDS)
def pooler(request: pytest.FixtureRequest, odd_url: str, tmp_path: Path) -> Iterator[PgBouncer]:
    with pgbouncer(tmp_path, odd_url, default_pool_size="3", **KINDS[request.param]) as running:
        yield running


def settings_of(session: Session) -> tuple[Any, ...]:
    names = "lock_timeout statement_timeout timezone bytea_output transaction_isolation synchronous_commit search_path"
    columns = ", ".join(f"current_setting('{name}')" for name in names.split())
    return tuple(session.execute(text(f"SELECT {columns}")).one())


@needs_pgbouncer
def test_each_transaction_has_our_settings_and_leaves_none(pooler: PgBouncer, odd_url: str) -> None:
    options = "?options=-csearch_path%3Dbooking,public%20-c%20lock_timeout%3D700"
    database = Database(pooler.url + options, pool_size=3, statement_timeout=STATEMENT_TIMEOUT)
    migrate(database.engine)
    assert is_up_to_date(database.engine)
    ours = ("700ms", "300ms", "UTC", "hex", "read committed", "on", "booking,public")
    used = set()
    with database.transaction() as first, database.transaction() as second, database.read_only() as third:
        for session in (first, second, third):
            assert settings_of(session) == ours
            used.add(session.scalar(text("SELECT pg_backend_pid()")))
    assert len(used) == 3
    for _ in range(12):  # more often than psycopg's threshold, through other connections to the server each time
        with database.transaction() as session:
            assert settings_of(session) == ours
            assert session.scalar(text("SELECT count(*) FROM pg_prepared_statements")) == 0
        Claim.record(database, "worker-1", "inbox", ["a"], AT)
    with database.engine.begin() as connection:
        row = connection.execute(text("SELECT row_ids, claimed_at FROM meetergo_inbox.claims")).one()
    assert row.row_ids == ["a"]
    assert row.claimed_at.utcoffset() == timedelta(0)
    engine = database.engine.execution_options(isolation_level="REPEATABLE READ")
    with engine.connect() as connection:
        assert connection.exec_driver_sql("SHOW transaction_isolation").scalar_one() == "repeatable read"
    database.close()


@needs_pgbouncer
def test_both_timeouts_end_a_statement(pooler: PgBouncer) -> None:
    database = Database(pooler.url + "?options=-clock_timeout%3D100", pool_size=2, statement_timeout=STATEMENT_TIMEOUT)
    with pytest.raises(DBAPIError) as raised, database.transaction() as session:
        session.execute(text("SELECT pg_sleep(5)"))
    assert isinstance(raised.value.orig, errors.QueryCanceled)
    lock = text("SELECT pg_advisory_xact_lock(4711)")
    with database.transaction() as holder:
        holder.execute(lock)
        with pytest.raises(DBAPIError) as raised, database.transaction() as session:
            session.execute(lock)
    assert isinstance(raised.value.orig, errors.LockNotAvailable)
    database.close()


@needs_pgbouncer
def test_a_connection_that_the_pooler_gives_up_is_replaced(odd_url: str, tmp_path: Path) -> None:
    more = {"pool_mode": "transaction", "default_pool_size": "1", "query_wait_timeout": "1"}
    with pgbouncer(tmp_path, odd_url, **more) as running:
        database = Database(running.url, pool_size=2, pre_ping=False)
        with database.transaction() as holder:
            holder.execute(text("SELECT 1"))
            refusals = running.log.count("unsupported startup parameter")
            with pytest.raises(OperationalError) as raised, database.transaction() as session:
                session.execute(text("SELECT 1"))
            assert raised.value.connection_invalidated
        with database.transaction() as session:
            assert session.scalar(text("SELECT 1")) == 1
        running.stop()
        started = time.monotonic()
        for _ in range(3):
            with pytest.raises(OperationalError), database.transaction() as session:
                session.execute(text("SELECT 1"))
        assert time.monotonic() - started < 10
        running.start()
        with database.transaction() as session:
            assert session.scalar(text("SELECT 1")) == 1
        assert 0 < running.log.count("unsupported startup parameter") == refusals
        database.close()


@needs_pgbouncer
def test_a_full_pooler_and_a_dead_server_raise_soon(odd_url: str, tmp_path: Path) -> None:
    more = {"pool_mode": "transaction", "max_client_conn": "1", "query_wait_timeout": "2"}
    with pgbouncer(tmp_path, odd_url, **more) as running:
        database = Database(running.url, pool_size=2)
        with database.transaction() as session:
            session.execute(text("SELECT 1"))
            with pytest.raises(OperationalError, match="no more connections allowed"), database.transaction() as other:
                other.execute(text("SELECT 1"))
        database.close()
    nowhere = "postgresql+psycopg://postgres@127.0.0.1:1/postgres"
    with pgbouncer(tmp_path, nowhere, **IGNORES, query_wait_timeout="2") as running:
        database = Database(running.url)
        with pytest.raises(OperationalError), database.transaction() as session:
            session.execute(text("SELECT 1"))
        database.close()


@pytest.fixture
def rds_proxy(odd_url: str) -> Iterator[str]:
    """The URL of a proxy that refuses `options` in the words of Amazon's."""
    listener = socket.create_server(("127.0.0.1", 0))
    thread = Thread(target=refuse_options, args=(listener, f"{make_url(odd_url).query['host']}/.s.PGSQL.5432"))
    thread.start()
    yield f"postgresql+psycopg://postgres@127.0.0.1:{listener.getsockname()[1]}/pooled?sslmode=disable&gssencmode=disable"
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    thread.join()


def refuse_options(listener: socket.socket, server: str) -> None:
    refusal = b"SFATAL\0C0A000\0MFeature not supported: RDS Proxy currently doesn't support command-line options.\0\0"
    while True:
        try:
            client, _ = listener.accept()
        except OSError:
            return
        startup = client.recv(65536)
        if b"\0options\0" in startup:
            client.sendall(b"E" + (len(refusal) + 4).to_bytes(4, "big") + refusal)
            client.close()
            continue
        real = socket.socket(socket.AF_UNIX)
        real.connect(server)
        real.sendall(startup)
        for source, sink in ((client, real), (real, client)):
            Thread(target=forward, args=(source, sink), daemon=True).start()


def test_a_proxy_that_takes_no_command_line_options_is_a_pooler(rds_proxy: str) -> None:
    database = Database(rds_proxy, pool_size=1, statement_timeout=STATEMENT_TIMEOUT)
    with database.transaction() as session:
        assert settings_of(session)[:3] == ("270ms", "300ms", "UTC")
    database.close()


def test_a_connection_to_the_server_makes_its_settings_once(postgresql_url: str) -> None:
    database = Database(postgresql_url, pool_size=1)
    with database.transaction() as session:
        assert session.scalar(text("SHOW lock_timeout")) == "2s"
        assert session.scalar(text("SELECT source FROM pg_settings WHERE name = 'lock_timeout'")) == "client"
        assert "settings_per_transaction" not in session.connection().info
    database.close()


@pytest.mark.parametrize(
    ("options", "settings", "others"),
    [
        ("", {}, ""),
        ("-csearch_path=a,b -c lock_timeout=7", {"search_path": "a,b", "lock_timeout": "7"}, ""),
        (r"--lock-timeout=7  -c x=read\ committed\\", {"lock_timeout": "7", "x": "read committed\\"}, ""),
        ("endpoint=ep-1 -c a=1 project=p", {"a": "1"}, "endpoint=ep-1 project=p"),
        ("-c", {}, "-c"),
    ],
)
def test_options_are_split_as_postgresql_does(options: str, settings: dict[str, str], others: str) -> None:
    assert split_options(options) == (settings, others)
