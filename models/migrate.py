"""Migration: upgrade a database to the schema of this version."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, Engine, MetaData, func, inspect, select, text
from sqlalchemy.exc import DBAPIError

import models.tables  # noqa: F401 - so that all tables are known
from models.migrations.newer import find_newer, hidden_version, missing, restricted_tables, version_of
from models.migrations.takeover import VERSION_TABLE, UnusableDatabase, find_former, take_over
from runtime.contention import with_retry
from runtime.database import (
    DIALECT_OPTIONS,
    INSUFFICIENT_PRIVILEGE_SQLSTATE,
    NAMING_CONVENTION,
    SQLITE_SAVEPOINTS,
    Model,
    create_file,
    schema_of,
)
from runtime.database_url import DEFAULT_SCHEMA
from runtime.errors import first_line

UNUSABLE_ENCODINGS = ("SQL_ASCII",)
DUPLICATE_SQLSTATES = {"42P07", "42710"}
"""duplicate_table (also a view, an index or a sequence), duplicate_object. Messages may be in another language."""
HEAD = "head"
LOCK = text("SELECT pg_advisory_xact_lock(hashtext(:name))")
"""Serialises concurrent migrations."""
RIGHTS = text(
    "SELECT current_user, current_database(), EXISTS (SELECT FROM pg_namespace WHERE nspname = :schema),"
    " has_database_privilege(current_database(), 'CREATE'),"
    " (SELECT has_schema_privilege(oid, 'USAGE') AND has_schema_privilege(oid, 'CREATE')"
    " FROM pg_namespace WHERE nspname = :schema)"
)
FOLDER = Path(__file__).parent / "migrations"
VIEWS = ("bookings_v1", "booking_hosts_v1", "booking_changes_v1")
"""Views for platforms; no process of this service reads them."""
MIGRATION_OF_VIEWS = "models.migrations.versions.0015_accounts"
"""The migration that defined the views last."""
LAST_ID = text(
    "SELECT coalesce(last_value, 0) FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace"
    " JOIN pg_sequences ON (schemaname, sequencename) = (nspname, relname)"
    " WHERE pg_class.oid = CAST(pg_get_serial_sequence(:table, :column) AS regclass)"
    " AND has_sequence_privilege(pg_class.oid, 'UPDATE')"
)
SET_LAST_ID = text("SELECT setval(CAST(pg_get_serial_sequence(:table, :column) AS regclass), :id)")


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
    if encoding == "UTF8":
        return None
    return (
        f"The database's encoding is {encoding}: a webhook whose guest has a name that it cannot write ends dead."
        " One with ENCODING 'UTF8' takes all."
    )


def migrate(engine: Engine, version: str = HEAD) -> list[str]:
    """Apply pending migrations in one transaction. An up-to-date database stays unchanged, and so does a newer one.

    An installation from before DATABASE_SCHEMA is taken over first; see `models.migrations.takeover`.

    Returns:
        Sentences on what an operator should know.

    Raises:
        UnusableDatabase: it cannot be migrated as it is.
        SQLAlchemyError: the database does not answer, or is not writable.
        CommandError: a migration cannot be found.
    """
    try:
        create_file(engine)
    except OSError as error:
        raise UnusableDatabase(f"the file {engine.url.database} cannot be made: {error.strerror}") from error
    return with_retry(lambda: _migrate(engine, version))


def _migrate(engine: Engine, version: str) -> list[str]:
    schema, config = schema_of(engine), _config()
    with schema_transaction(engine) as connection, _explained(schema):
        if schema:
            connection.execute(LOCK, {"name": f"{VERSION_TABLE} of {schema}"})
        config.attributes["connection"] = connection
        notes = _prepare(connection, schema, config)
        before = version_of(connection)
        newer = find_newer(connection, before) if version == HEAD else None
        if newer and newer.obstacles:
            raise UnusableDatabase(str(newer))
        if newer:
            return [*notes, str(newer)]
        hidden = hidden_version(connection, before)
        if hidden:
            raise UnusableDatabase(hidden)
        _check_version(connection, schema)
        command.upgrade(config, version)
        if version == HEAD:
            _check_tables(connection, schema)
            notes += _create_missing_views(connection, schema)
            notes += advance_sequences(connection, schema)
            restricted = restricted_tables(connection)
            notes += [f"Warning: {restricted}."] if restricted else []
        return notes + _describe(before, version_of(connection)) + _shared_prefix(connection, schema)


def _describe(before: str | None, after: str | None) -> list[str]:
    if before is None:
        return [f"Created the tables of version {after}."]
    return [] if before == after else [f"Migrated the tables from version {before} to {after}."]


def _prepare(connection: Connection, schema: str | None, config: Config) -> list[str]:
    """Prepare the first migration: take over a former installation, or check that no table is in the way."""
    if inspect(connection).has_table(VERSION_TABLE, schema=schema):
        return []
    former = find_former(connection, schema)
    if schema:
        _make_schema(connection, schema)
    if former is None or former.schema != schema:
        _check_names_are_free(connection, schema)
    if former is None:
        return []
    take_over(connection, former, schema)
    command.stamp(config, former.revision)
    if former.schema == schema:
        return []
    return [
        f"Moved {len(former.tables)} tables with all rows from the schema {former.schema} to {schema}."
        " The platform's SQL has to name the schema from now on (see docs/upgrading.md)."
    ]


def _check_version(connection: Connection, schema: str | None) -> None:
    """Check that our tables have a version: a copy of the schema alone lacks it, and rows that migrations insert.

    Raises:
        UnusableDatabase: they have none.
    """
    if version_of(connection) is None and _our_names(connection, schema):
        place = f"{schema}.{VERSION_TABLE}" if schema else VERSION_TABLE
        raise UnusableDatabase(
            f"there are tables of meetergo-inbox, but {place} is empty, as in a copy of the schema without its rows"
            " (pg_dump --schema-only). Copy the rows too; or drop these tables, and migrate again"
        )


def _make_schema(connection: Connection, schema: str) -> None:
    role, database, exists, may_create, may_fill = connection.execute(RIGHTS, {"schema": schema}).one()
    quoted, owner = map(connection.dialect.identifier_preparer.quote, (schema, role))
    if not exists and not may_create:
        raise UnusableDatabase(
            f"the role {role} may not create the schema {schema} in the database {database}. Let its owner run:"
            f" CREATE SCHEMA {quoted} AUTHORIZATION {owner}"
        )
    if exists and not may_fill:
        raise UnusableDatabase(
            f"the role {role} may not create tables in the schema {schema}. Let its owner run:"
            f" GRANT USAGE, CREATE ON SCHEMA {quoted} TO {owner} (or set DATABASE_SCHEMA to another one)"
        )
    if not exists:
        connection.execute(text(f"CREATE SCHEMA {quoted}"))


def _check_names_are_free(connection: Connection, schema: str | None) -> None:
    """Check that no other table or view has the name of one of our tables.

    Raises:
        UnusableDatabase: some have.
    """
    in_the_way = _our_names(connection, schema)
    if in_the_way:
        raise UnusableDatabase(_in_the_way(schema, f"tables of others: {', '.join(in_the_way)}"))


def _our_names(connection: Connection, schema: str | None) -> list[str]:
    """Return the names of our tables that tables or views have."""
    there = {*inspect(connection).get_table_names(schema=schema), *inspect(connection).get_view_names(schema=schema)}
    return sorted(there & {table.name for table in Model.metadata.sorted_tables})


def _in_the_way(schema: str | None, what: str) -> str:
    if schema:
        return f"the schema {schema} holds {what}. Set DATABASE_SCHEMA to a schema of its own for meetergo-inbox"
    return f"the database holds {what}. Set DATABASE_URL to a file of its own for meetergo-inbox"


def _check_tables(connection: Connection, schema: str | None) -> None:
    """Check that each table and column is there, whatever the version says.

    Raises:
        UnusableDatabase: one is not.
    """
    lacking = missing(connection)
    if lacking:
        place = f"{schema}.{VERSION_TABLE}" if schema else VERSION_TABLE
        raise UnusableDatabase(
            f"{place} says that the database is up to date, but there is no {', '.join(lacking)}: restore a backup. If"
            f" nothing of meetergo-inbox is there that you need, drop its tables and {place}, and migrate again"
        )


def _create_missing_views(connection: Connection, schema: str | None) -> list[str]:
    """Create views that somebody has dropped. The migrations have left our schema as the search path.

    Returns:
        Notes for the operator.
    """
    views = inspect(connection).get_view_names(schema=schema)
    dropped = [name for name in VIEWS if name not in views]
    if not dropped:
        return []
    migration = import_module(MIGRATION_OF_VIEWS)
    definitions = dict(zip(migration.VIEWS, (migration.BOOKINGS, migration.CHANGES, migration.HOSTS), strict=True))
    dialect = migration.POSTGRESQL if schema else migration.SQLITE
    for name in dropped:
        definition = definitions[name].format_map({**dialect, **migration.WITH_ACCOUNT, "or_replace": ""})
        connection.execute(text(definition))
    rights = " Grant the platform's role the right to read what is new (see docs/platform.md)." if schema else ""
    return [f"Created again what had been dropped: {', '.join(dropped)}.{rights}"]


def advance_sequences(connection: Connection, schema: str | None) -> list[str]:
    """Advance PostgreSQL's sequences that are behind their rows: copies and logical replication leave them behind.

    Otherwise each new row would fail, as its id exists. A sequence is found by its column, not by its name: a platform
    may have one of that name.

    Returns:
        Notes for the operator.
    """
    if not schema:
        return []
    behind = []
    quote = connection.dialect.identifier_preparer.quote
    for table in Model.metadata.sorted_tables:
        key = table.autoincrement_column
        if key is None:
            continue
        of_key = {"table": f"{quote(schema)}.{quote(table.name)}", "column": key.name}
        last = connection.scalar(LAST_ID, of_key)
        highest = None if last is None else connection.scalar(select(func.max(key)))
        if highest is not None and highest > last:
            connection.execute(SET_LAST_ID, {**of_key, "id": highest})
            behind.append(table.name)
    if not behind:
        return []
    return [f"New ids were below those of the rows there, and are above them now: {', '.join(behind)}."]


def _shared_prefix(connection: Connection, schema: str | None) -> list[str]:
    """Warn of another installation in this database with the same names in Redis: only these two schemas share them."""
    other = {DEFAULT_SCHEMA: "public", "public": DEFAULT_SCHEMA}.get(schema or "")
    if not other or not inspect(connection).has_table(VERSION_TABLE, schema=other):
        return []
    return [
        f"The schema {other} holds another installation. If both use one Redis, give one a REDIS_PREFIX of its own."
    ]


@contextmanager
def _explained(schema: str | None) -> Iterator[None]:
    """Turn a missing privilege or a name clash into an error that says what to do."""
    try:
        yield
    except DBAPIError as error:
        cause, message = error.orig, first_line(error.orig or error)
        if getattr(cause, "sqlstate", None) == INSUFFICIENT_PRIVILEGE_SQLSTATE:
            raise UnusableDatabase(
                f"the role in DATABASE_URL lacks a right ({message}): migrate as the role that owns the tables"
            ) from error
        if "already exists" in message or getattr(cause, "sqlstate", None) in DUPLICATE_SQLSTATES:
            raise UnusableDatabase(_in_the_way(schema, f"something of others ({message})")) from error
        raise


@contextmanager
def schema_transaction(engine: Engine) -> Iterator[Connection]:
    """Open a transaction that may change tables.

    SQLite changes a table by rebuilding it and dropping the old one; rows that refer to it must not be deleted with it.
    """
    with engine.connect() as connection, _rebuilding_tables(connection), connection.begin():
        yield connection


@contextmanager
def _rebuilding_tables(connection: Connection) -> Iterator[None]:
    """Let SQLite ignore foreign keys, and sort the entries of a new index on disk: they can be many."""
    if connection.dialect.name != "sqlite":
        yield
        return
    raw: Any = connection.connection.dbapi_connection
    raw.execute("PRAGMA foreign_keys = OFF")
    raw.execute("PRAGMA temp_store = FILE")
    try:
        yield
    finally:
        raw.execute(f"PRAGMA {SQLITE_SAVEPOINTS}")
        raw.execute("PRAGMA foreign_keys = ON")


@cache
def unqualified_tables() -> MetaData:
    """Return the tables as a migration names them, without their schema, and their indexes with all options."""
    unqualified = MetaData(naming_convention=NAMING_CONVENTION)
    for table in Model.metadata.sorted_tables:
        options = {index.name: index.info.get(DIALECT_OPTIONS, {}) for index in table.indexes}
        copied = table.to_metadata(unqualified, schema=None)  # type: ignore[arg-type] # no schema, as SQLAlchemy's docs say
        for index in copied.indexes:
            index.dialect_kwargs.update(options[index.name])
    return unqualified


def version_table(bind: Engine | Connection) -> dict[str, Any]:
    """Return Alembic's options for the version table."""
    return {"version_table": VERSION_TABLE, "version_table_schema": schema_of(bind)}


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(FOLDER))
    return config
