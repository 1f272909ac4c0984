"""Broken databases: read-only or unresponsive."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from sqlalchemy import event, text

from runtime.database import Database
from tests.shared_engines import close_shared_connections
from worker.services import Services


@contextmanager
def read_only_database(database: Database) -> Iterator[None]:
    """Make a database read-only, as after a failover or with a full disk, for open and new connections."""
    engine = database.engine
    engine.dispose()
    if database.supports_skip_locked:
        _as_admin(database, "ALTER DATABASE {} SET default_transaction_read_only = on")
        undo = "ALTER DATABASE {} RESET default_transaction_read_only"
    else:
        event.listen(engine, "connect", _make_read_only)
    try:
        yield
    finally:
        engine.dispose()
        if database.supports_skip_locked:
            _as_admin(database, undo)
        else:
            event.remove(engine, "connect", _make_read_only)


@contextmanager
def unreachable_database(services: Services) -> Iterator[Services]:
    """Return the same services with a database that does not respond."""
    database = Database("postgresql+psycopg://nobody@127.0.0.1:1/nothing")
    yield replace(services, database=database)
    database.close()


def _make_read_only(connection: object, _record: object) -> None:
    connection.execute("PRAGMA query_only = ON")  # type: ignore[attr-defined] # sqlite3's


def _as_admin(database: Database, statement: str) -> None:
    with database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("SET default_transaction_read_only = off"))
        name = connection.execute(text("SELECT quote_ident(current_database())")).scalar_one()
        connection.execute(text(statement.format(name)))
    database.engine.dispose()
    close_shared_connections()
