"""Migration: brings a database to the tables that this version needs."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine

FOLDER = Path(__file__).parent / "migrations"


def migrate(engine: Engine, version: str = "head") -> None:
    """Applies what is missing, in one transaction. On a database that is up to date it does nothing."""
    config = _config()
    with open_for_change(engine) as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, version)


@contextmanager
def open_for_change(engine: Engine) -> Iterator[Connection]:
    """A transaction that may change tables.

    SQLite changes a table by making it again, and so removes the old one: what refers to it must not go with it.
    """
    with engine.connect() as connection, _unguarded(connection), connection.begin():
        yield connection


@contextmanager
def _unguarded(connection: Connection) -> Iterator[None]:
    if connection.dialect.name != "sqlite":
        yield
        return
    raw: Any = connection.connection.dbapi_connection
    raw.execute("PRAGMA foreign_keys = OFF")
    try:
        yield
    finally:
        raw.execute("PRAGMA foreign_keys = ON")


def is_up_to_date(engine: Engine) -> bool:
    """Whether the database has the tables of this version.

    Raises:
        SQLAlchemyError: the database does not answer.
    """
    logging.getLogger("alembic.runtime.migration").setLevel(logging.WARNING)  # it would say what it is about to do
    with engine.execution_options(sqlite_begin="DEFERRED").connect() as connection:
        current = MigrationContext.configure(connection).get_current_revision()
    return current == ScriptDirectory.from_config(_config()).get_current_head()


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(FOLDER))
    return config
