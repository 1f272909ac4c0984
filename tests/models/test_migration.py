"""The migrations make the tables that the code knows, on both databases."""

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext

from models.database import Database, Model
from models.migration import FOLDER, migrate


@pytest.mark.filterwarnings("ignore:.*expression-based index")  # SQLite's reflection
def test_the_migrated_database_is_what_the_models_say(database: Database) -> None:
    with database.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
        assert compare_metadata(context, Model.metadata) == []


def test_migrating_twice_does_nothing(database: Database) -> None:
    migrate(database.engine)


def test_the_migrations_can_be_undone_and_done_again(tmp_path: object) -> None:
    database = Database(f"sqlite:///{tmp_path}/undone.db")
    migrate(database.engine)
    config = Config()
    config.set_main_option("script_location", str(FOLDER))
    with database.engine.begin() as connection:
        config.attributes["connection"] = connection
        command.downgrade(config, "base")
    migrate(database.engine)
    database.close()


def test_sqlite_waits_for_a_writer_and_keeps_foreign_keys(tmp_path: object) -> None:
    database = Database(f"sqlite:///{tmp_path}/pragmas.db")
    with database.engine.connect() as connection:
        values = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("journal_mode", "foreign_keys", "busy_timeout")
        }
    database.close()
    assert values == {"journal_mode": "wal", "foreign_keys": 1, "busy_timeout": 2000}
