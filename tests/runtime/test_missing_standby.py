"""PostgreSQL waits for a synchronous standby that is gone: it answers reads, and each commit waits for ever."""

from collections.abc import Iterator
from datetime import timedelta

import pytest
from sqlalchemy import Connection, create_engine, text
from sqlalchemy.exc import SQLAlchemyError

from runtime.database import Database
from runtime.write_probe import probe_write
from tests.postgresql_server import empty
from tests.raw_sql import sql
from tests.waiting import wait_until

STATEMENT_TIMEOUT = timedelta(milliseconds=500)


@pytest.fixture
def admin(postgresql_url: str) -> Iterator[Connection]:
    """A connection whose commits wait for nobody."""
    engine = create_engine(postgresql_url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text("SET synchronous_commit = off"))
        yield connection
    engine.dispose()


@pytest.fixture
def without_standby(admin: Connection, postgresql_url: str, migrated_postgresql: Database) -> Iterator[Database]:
    """A database, with a client-side timeout, whose synchronous standby is gone."""
    database = Database(postgresql_url, pool_size=1, statement_timeout=STATEMENT_TIMEOUT)
    probe_write(database)
    wait_for_standby(admin, "nobody")
    wait_until(lambda: not commits(database))
    yield database
    wait_for_standby(admin, "")
    wait_until(lambda: commits(database))
    database.close()
    wait_until(lambda: not waiting_commits(admin))
    empty(migrated_postgresql.engine)


def wait_for_standby(admin: Connection, name: str) -> None:
    admin.execute(text(f"ALTER SYSTEM SET synchronous_standby_names = '{name}'"))
    admin.execute(text("SELECT pg_reload_conf()"))


def commits(database: Database) -> bool:
    """Whether a commit ends: after a reload, that depends on one of the server's processes."""
    try:
        with database.transaction() as session:
            session.execute(text("SELECT pg_logical_emit_message(true, '', '')"))
    except SQLAlchemyError:
        return False
    return True


def waiting_commits(admin: Connection) -> int:
    found = admin.scalar(text("SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'"))
    assert isinstance(found, int)
    return found


def test_the_probe_fails_while_no_commit_ends(without_standby: Database) -> None:
    with pytest.raises(SQLAlchemyError, match="did not answer in time"):
        probe_write(without_standby)


def test_a_commit_that_is_given_up_leaves_no_connection_in_the_server(
    without_standby: Database, admin: Connection
) -> None:
    for number in range(3):
        with pytest.raises(SQLAlchemyError, match="did not answer in time"), without_standby.transaction() as session:
            session.execute(sql(session, f"INSERT INTO reconcile_cursors (meetergo_user_id) VALUES ('{number}')"))
    wait_until(lambda: not waiting_commits(admin))
