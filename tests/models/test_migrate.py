"""The migrations create the tables that the models declare, on both databases."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from sqlalchemy import inspect, select, text

from benchmarks.growth.fill import fill
from models.migrate import FOLDER, migrate, schema_transaction, unqualified_tables
from models.migrations.takeover import VERSION_TABLE
from models.platform_user import PlatformUser
from runtime.database import Database, Model, create_file, schema_of
from runtime.database_url import DEFAULT_SCHEMA
from tests.another_database import another_database
from tests.raw_sql import sql

ROWS = 20


@pytest.mark.filterwarnings("ignore:.*expression-based index")  # SQLite's reflection
def test_the_migrated_database_matches_the_models(database: Database) -> None:
    with database.engine.connect() as connection:
        if connection.dialect.name == "postgresql":
            connection.execute(text(f"SET LOCAL search_path TO {DEFAULT_SCHEMA}"))
        options = {
            "compare_type": True,
            "compare_server_default": True,
            "version_table": VERSION_TABLE,
            "include_object": _is_of(connection.dialect.name),
        }
        context = MigrationContext.configure(connection, opts=options)
        assert compare_metadata(context, unqualified_tables()) == []


def _is_of(dialect: str) -> Callable[..., bool]:
    """Leave out indexes of the other database (`ddl_if`)."""
    of_others = {
        index.name
        for table in Model.metadata.sorted_tables
        for index in table.indexes
        if index._ddl_if and index._ddl_if.dialect != dialect
    }
    return lambda _, name, *others: name not in of_others


def test_migrating_twice_does_nothing(database: Database) -> None:
    assert migrate(database.engine) == []


def test_rows_that_came_without_their_sequences_have_new_ids_after_them(database: Database) -> None:
    """As by logical replication, on PostgreSQL; SQLite has no sequences."""
    values = "VALUES (7, '7', 'default', 'Europe/Berlin', 'en')"
    with database.engine.begin() as connection:
        columns = "(id, external_id, account, timezone, language)"
        connection.execute(sql(connection, f"INSERT INTO platform_users {columns} {values}"))
    notes = migrate(database.engine)
    assert ["platform_users" in note for note in notes] == [True] * database.supports_skip_locked
    assert migrate(database.engine) == []
    with database.transaction() as session:
        session.add(PlatformUser(external_id="8"))
    with database.read_only() as session:
        assert session.scalars(select(PlatformUser.id).order_by(PlatformUser.id)).all() == [7, 8]


def test_a_sequence_of_the_platforms_with_the_name_of_ours_is_left_alone(postgresql_url: str) -> None:
    """In a schema that both use, ours was given another name."""
    with another_database(postgresql_url, "shared") as url:
        database = Database(url, schema="public")
        with database.engine.begin() as connection:
            connection.execute(text("CREATE SEQUENCE public.notifications_id_seq"))
            connection.execute(text("CREATE SEQUENCE public.platform_users_id_seq"))
        migrate(database.engine)
        with database.engine.begin() as connection:
            columns = "(id, external_id, account, timezone, language)"
            row = "(7, '7', 'default', 'Europe/Berlin', 'en')"
            connection.execute(text(f"INSERT INTO public.platform_users {columns} VALUES {row}"))
        assert [note for note in migrate(database.engine) if "platform_users" in note]
        with database.transaction() as session:
            session.add(PlatformUser(external_id="8"))
        with database.engine.begin() as connection:
            taken = connection.scalar(text("SELECT is_called FROM public.platform_users_id_seq"))
            ids = connection.scalars(text("SELECT id FROM public.platform_users ORDER BY id")).all()
        assert (taken, ids) == (False, [7, 8])
        database.close()


@pytest.mark.parametrize("name", ["bookings_v1", "booking_hosts_v1", "booking_changes_v1"])
def test_a_view_that_was_dropped_is_created_again(empty_database: Database, name: str) -> None:
    migrate(empty_database.engine)
    before = _views(empty_database)
    schema = f"{DEFAULT_SCHEMA}." if empty_database.supports_skip_locked else ""
    with empty_database.engine.begin() as connection:
        connection.execute(text(f"DROP VIEW {schema}{name}"))
    (note,) = migrate(empty_database.engine)
    assert note.startswith(f"Created again what had been dropped: {name}.")
    assert ("Grant" in note) == empty_database.supports_skip_locked
    assert _views(empty_database) == before
    assert migrate(empty_database.engine) == []


def _views(database: Database) -> set[tuple[str, str]]:
    """Return each view's name and definition, with blanks collapsed."""
    inspector, schema = inspect(database.engine), schema_of(database.engine)
    names = inspector.get_view_names(schema=schema)
    definitions = {name: inspector.get_view_definition(name, schema=schema) or "" for name in names}
    return {(name, " ".join(definition.split())) for name, definition in definitions.items()}


def test_a_view_in_the_place_of_a_table_is_none_that_is_missing(empty_database: Database) -> None:
    migrate(empty_database.engine)
    with empty_database.engine.begin() as connection:
        connection.execute(sql(connection, "ALTER TABLE platform_users RENAME TO hosts_of_the_platform"))
        schema = f"{DEFAULT_SCHEMA}." if empty_database.supports_skip_locked else ""
        view = f"CREATE VIEW {schema}platform_users AS SELECT * FROM {schema}hosts_of_the_platform"
        connection.execute(text(view))
    assert migrate(empty_database.engine) == []


def test_the_migrations_can_be_reverted_and_repeated(tmp_path: object) -> None:
    database = Database(f"sqlite:///{tmp_path}/undone.db")
    migrate(database.engine)
    downgrade(database, "base")
    migrate(database.engine)
    database.close()


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """A database without tables."""
    if request.param == "sqlite":
        database = Database(f"sqlite:///{tmp_path / 'fresh.db'}")
        yield database
        database.close()
        return
    with another_database(request.getfixturevalue("postgresql_url"), "fresh") as url:
        database = Database(url)
        yield database
        database.close()


@pytest.mark.filterwarnings("ignore:.*expression-based index")
def test_recreating_a_table_deletes_no_referring_rows(empty_database: Database) -> None:
    """SQLite drops the old table, and would delete the rows that refer to it."""
    migrate(empty_database.engine, "0005")
    fill(empty_database, ROWS, datetime.now(UTC))
    with empty_database.engine.begin() as connection:
        attempt = "INSERT INTO failed_attempts (notification_id, number, error, outcome, at)"
        connection.execute(sql(connection, f"{attempt} SELECT id, 1, '', 'dead', created_at FROM notifications"))
    before = contents(empty_database)
    assert {table: len(rows) for table, rows in before.items()} == dict.fromkeys(before, ROWS)
    migrate(empty_database.engine)
    assert {
        table: _without_new_columns(rows, before[table]) for table, rows in contents(empty_database).items()
    } == before
    downgrade(empty_database, "0005")
    assert contents(empty_database) == before


def test_sqlite_keeps_its_settings_after_a_migration(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path}/kept.db", pool_size=1)
    migrate(database.engine)
    with database.engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA foreign_keys").scalar() == 1
        assert connection.exec_driver_sql("PRAGMA temp_store").scalar() == 2
    database.close()


def contents(database: Database) -> dict[str, list[Any]]:
    tables = ("deliveries", "bookings", "booking_changes", "notifications", "failed_attempts")
    with database.engine.connect() as connection:
        return {
            table: [
                dict(row)
                for row in connection.execute(sql(connection, f"SELECT * FROM {table} ORDER BY id")).mappings()
            ]
            for table in tables
        }


def _without_new_columns(rows: list[Any], before: list[Any]) -> list[Any]:
    return [{name: row[name] for name in before[0]} for row in rows]


def downgrade(database: Database, version: str) -> None:
    config = Config()
    config.set_main_option("script_location", str(FOLDER))
    with schema_transaction(database.engine) as connection:
        config.attributes["connection"] = connection
        command.downgrade(config, version)


def test_sqlite_waits_for_a_writer_and_keeps_foreign_keys(tmp_path: object) -> None:
    database = Database(f"sqlite:///{tmp_path}/pragmas.db")
    create_file(database.engine)
    with database.engine.connect() as connection:
        values = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("journal_mode", "foreign_keys", "busy_timeout")
        }
    database.close()
    assert values == {"journal_mode": "wal", "foreign_keys": 1, "busy_timeout": 2000}
