"""Migration: upgrade a database to the schema of this version."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine

UNUSABLE_ENCODINGS = ("SQL_ASCII",)
FOLDER = Path(__file__).parent / "migrations"


class UnusableDatabase(Exception):
    """The database's encoding cannot hold people's names; the message says what to do."""


def check_encoding(engine: Engine) -> str | None:
    """Check the encoding of a PostgreSQL database.

    Returns:
        A sentence on what it cannot store; None if it can store everything.

    Raises:
        UnusableDatabase: it has no character encoding.
        SQLAlchemyError: the database does not answer.
    """
    if engine.dialect.name != "postgresql":
        return None
    with engine.connect() as connection:
        encoding = connection.exec_driver_sql("SHOW server_encoding").scalar_one()
    if encoding in UNUSABLE_ENCODINGS:
        raise UnusableDatabase(
            f"the database's encoding is {encoding}, which does not know characters: create one with"
            " CREATE DATABASE ... ENCODING 'UTF8' TEMPLATE template0"
        )
    return (
        None
        if encoding == "UTF8"
        else (
            f"The database's encoding is {encoding}: a webhook whose guest has a name that it cannot write ends dead."
            " One with ENCODING 'UTF8' takes all."
        )
    )


def migrate(engine: Engine, version: str = "head") -> None:
    """Apply pending migrations in one transaction. An up-to-date database stays unchanged."""
    config = _config()
    with schema_transaction(engine) as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, version)


@contextmanager
def schema_transaction(engine: Engine) -> Iterator[Connection]:
    """Open a transaction that may change tables.

    SQLite changes a table by rebuilding it and dropping the old one; rows that refer to it must not be deleted with it.
    """
    with engine.connect() as connection, _without_foreign_keys(connection), connection.begin():
        yield connection


@contextmanager
def _without_foreign_keys(connection: Connection) -> Iterator[None]:
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
    """Whether the database has the schema of this version.

    Raises:
        SQLAlchemyError: the database does not answer.
    """
    logging.getLogger("alembic.runtime.migration").setLevel(logging.WARNING)  # it would say what it is about to do
    with engine.execution_options(sqlite_begin="DEFERRED").connect() as connection:
        current = MigrationContext.configure(connection).get_current_revision()
    return current == _head()


@cache
def _head() -> str | None:
    """Return the newest revision. The files of a running program do not change, and reading them all takes a while."""
    return ScriptDirectory.from_config(_config()).get_current_head()


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(FOLDER))
    return config
