"""An older version on a newer database: it says so, and works if what changed was added. Migrations keep to that."""

import importlib.util
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, inspect, text

from devtools.send import samples
from models.migrate import migrate
from models.migrations.newer import VERSIONS, find_newer, newest_known, version_of
from models.migrations.takeover import VERSION_TABLE
from operations.copy_database import count_rows
from operations.errors import OperationError
from runtime.database import Database, create_file, schema_of
from tests.another_database import another_database
from tests.console.cli import run_cli_in
from tests.raw_sql import sql
from tests.worker.harness import AT, START, Harness
from worker.settings import WorkerSettings
from worker.start import open_services

pytestmark = pytest.mark.filterwarnings("ignore:.*expression-based index")  # SQLite's reflection
BASELINE = "0008"
"""The last migration from before the rule."""
ADDITIONS = (
    "ALTER TABLE bookings ADD COLUMN new_and_empty TEXT",
    "ALTER TABLE bookings ADD COLUMN new_and_filled INTEGER DEFAULT 7 NOT NULL",
    "CREATE TABLE booking_notes_elsewhere (id INTEGER PRIMARY KEY)",
)


@pytest.fixture(params=["sqlite", "postgresql"])
def own_database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """A database for a test that changes its tables."""
    if request.param == "sqlite":
        database = Database(f"sqlite:///{tmp_path / 'own.db'}")
        yield database
        database.close()
        return
    with another_database(request.getfixturevalue("postgresql_url"), "newer") as url:
        database = Database(url)
        yield database
        database.close()


@pytest.fixture
def harness(own_database: Database, open_harness: Callable[..., Harness]) -> Harness:
    migrate(own_database.engine)
    return open_harness(database_url=url_of(own_database))


@pytest.fixture
def database(own_database: Database) -> Database:
    return own_database


def url_of(database: Database) -> str:
    return database.engine.url.render_as_string(hide_password=False)


def newer(database: Database, *statements: str) -> None:
    with database.engine.begin() as connection:
        for statement in (*statements, f"UPDATE {VERSION_TABLE} SET version_num = '0099'"):
            connection.execute(qualified(connection, statement))


def qualified(connection: Connection, statement: str) -> Any:
    schema = schema_of(connection)
    statement = statement.replace(VERSION_TABLE, f"{schema}.{VERSION_TABLE}") if schema else statement
    return sql(connection, statement)


def test_it_works_on_a_database_to_which_something_was_added(
    harness: Harness, tmp_path: Path, capfd: pytest.CaptureFixture[str], redis_url: str
) -> None:
    newer(harness.services.database, *ADDITIONS)
    url = url_of(harness.services.database)
    done = run_cli_in(tmp_path, "migrate", DATABASE_URL=url)
    assert done.returncode == 0, done.stderr
    assert f"of a newer version of meetergo-inbox (0099; this one knows {newest_known()})" in done.stderr
    harness.add_user(meetergo_user_id=samples.HOST_ID)
    harness.process(samples.created("b1", START, AT), samples.cancelled("b1", START, AT.replace(hour=20)))
    harness.send_all()
    assert (harness.booking().status, len(harness.notification_kinds())) == ("cancelled", 2)
    capfd.readouterr()
    open_services(WorkerSettings.load()).database.close()
    assert "of a newer version of meetergo-inbox (0099" in capfd.readouterr().err
    status = run_cli_in(tmp_path, "status", DATABASE_URL=url, REDIS_URL=redis_url)
    assert "of a newer version" in " ".join(status.stdout.split())
    assert "does not have the tables" not in status.stdout
    with pytest.raises(OperationError, match="bin/inbox migrate first"):
        count_rows(harness.services.database)  # it would leave behind what it does not know


OBSTACLES = {
    "ALTER TABLE failed_attempts DROP COLUMN number": "there is no failed_attempts.number",
    "ALTER TABLE failed_attempts RENAME COLUMN number TO attempt": "there is no failed_attempts.number",
    "DROP TABLE incidents": "there is no incidents",
    "ALTER TABLE failed_attempts ADD COLUMN reason TEXT NOT NULL": "failed_attempts.reason must be filled",
}


def test_it_says_what_it_cannot_do_without(own_database: Database, tmp_path: Path) -> None:
    migrate(own_database.engine)
    newer(own_database)
    for statement, obstacle in OBSTACLES.items():
        if "NOT NULL" in statement and own_database.engine.dialect.name == "sqlite":
            continue  # SQLite adds no such column
        with changed(own_database, statement) as connection:
            found = find_newer(connection, version_of(connection))
        assert found
        assert found.obstacles[0] == obstacle
    newer(own_database, next(iter(OBSTACLES)))
    done = run_cli_in(tmp_path, "migrate", DATABASE_URL=url_of(own_database))
    assert done.returncode == 1
    assert "cannot work with it: there is no failed_attempts.number. Start the newer version again" in done.stderr


@contextmanager
def changed(database: Database, statement: str) -> Iterator[Connection]:
    """A transaction in which the tables are changed, and which is rolled back."""
    with database.engine.connect() as connection, connection.begin() as transaction:
        schema = schema_of(connection)
        if schema:
            connection.execute(text(f"SET LOCAL search_path TO {schema}"))
        connection.execute(text(statement))
        yield connection
        transaction.rollback()


def test_a_database_of_this_version_or_without_tables_is_not_newer(own_database: Database) -> None:
    create_file(own_database.engine)
    with own_database.engine.connect() as connection:
        assert find_newer(connection, version_of(connection)) is None
    migrate(own_database.engine)
    with own_database.engine.connect() as connection:
        assert find_newer(connection, version_of(connection)) is None


def test_each_migration_is_named_after_its_version() -> None:
    scripts = {file.name[:4]: script(file) for file in VERSIONS.glob("[0-9]*.py")}
    assert {name: each.revision for name, each in scripts.items()} == {name: name for name in scripts}


def test_migrations_add_first_and_take_away_a_version_later(own_database: Database) -> None:
    """Expand, then contract: what a migration takes away has been out of use since a released version."""
    changelog = (VERSIONS.parents[2] / "CHANGELOG.md").read_text()
    migrate(own_database.engine, BASELINE)
    with own_database.engine.connect() as connection:
        before = shape(connection)
    for file in sorted(VERSIONS.glob("[0-9]*.py")):
        if file.name[:4] <= BASELINE:
            continue
        migrate(own_database.engine, file.name[:4])
        with own_database.engine.connect() as connection:
            after = shape(connection)
        taken_away, before = contractions(before, after), after
        since = getattr(script(file), "out_of_use_since", None)
        assert not taken_away or since, f"{file.name}: {taken_away}. See docs/upgrading.md, Rule for migrations"
        assert not since or re.search(rf"^## \[?{re.escape(since)}\b", changelog, re.MULTILINE), (
            f"{since} is no release"
        )


CHANGES: dict[str, list[str]] = {
    **{statement: [] for statement in ADDITIONS},
    "CREATE INDEX ix_x ON incidents (kind)": [],
    "ALTER TABLE failed_attempts DROP COLUMN number": ["failed_attempts.number is gone"],
    "ALTER TABLE failed_attempts RENAME COLUMN number TO attempt": [
        "failed_attempts.number is gone",
        "failed_attempts.attempt must be filled",
    ],
    "DROP TABLE incidents": ["incidents is gone"],
    "DROP VIEW booking_changes_v1": ["booking_changes_v1 is gone"],
    "ALTER TABLE failed_attempts RENAME TO attempts_elsewhere": ["failed_attempts is gone"],
    "CREATE UNIQUE INDEX uq_x ON failed_attempts (number)": ["failed_attempts has a new unique index"],
}


def test_the_rule_notices_what_is_taken_away(own_database: Database) -> None:
    migrate(own_database.engine)
    with own_database.engine.connect() as connection:
        before = shape(connection)
    for statement, taken_away in CHANGES.items():
        with changed(own_database, statement) as connection:
            assert contractions(before, shape(connection)) == taken_away, statement


def shape(connection: Connection) -> dict[str, dict[str, Any]]:
    """Table or view -> column -> type, whether it may be left out, and whether it may be null; and what is unique."""
    inspector, schema = inspect(connection), schema_of(connection)
    tables, views = inspector.get_table_names(schema=schema), inspector.get_view_names(schema=schema)
    found: dict[str, dict[str, Any]] = {}
    for name in (*tables, *views):
        found[name] = {
            each["name"]: (str(each["type"]), each["nullable"] or each.get("default") is not None, each["nullable"])
            for each in inspector.get_columns(name, schema=schema)
        }
        if name in tables:
            indexes = [each for each in inspector.get_indexes(name, schema=schema) if each["unique"]]
            rules = [*indexes, *inspector.get_unique_constraints(name, schema=schema)]
            found[name]["unique"] = {frozenset(map(str, each["column_names"])) for each in rules}
    return found


def contractions(before: dict[str, dict[str, Any]], after: dict[str, dict[str, Any]]) -> list[str]:
    """What an older version would miss, or would have to fill."""
    found: list[str] = []
    for name, columns in before.items():
        if name not in after:
            found.append(f"{name} is gone")
            continue
        was_unique = columns.get("unique", set())
        new_rules = after[name].get("unique", set()) - was_unique
        if any(not any(before <= new for before in was_unique) for new in new_rules):  # more columns demand less
            found.append(f"{name} has a new unique index")
        for column in columns.keys() - {"unique"}:
            if column not in after[name]:
                found.append(f"{name}.{column} is gone")
            elif after[name][column][0] != columns[column][0]:
                found.append(f"{name}.{column} has another type")
            elif columns[column][2] and not after[name][column][2]:
                found.append(f"{name}.{column} must be filled")
        new = after[name].keys() - columns.keys()
        found += [f"{name}.{column} must be filled" for column in sorted(new) if not after[name][column][1]]
    return found


def script(file: Path) -> Any:
    spec = importlib.util.spec_from_file_location(file.stem, file)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
