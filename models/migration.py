"""Migration: brings a database to the tables that this version needs."""

import logging
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine

FOLDER = Path(__file__).parent / "migrations"


def migrate(engine: Engine, version: str = "head") -> None:
    """Applies what is missing, in one transaction. On a database that is up to date it does nothing."""
    config = _config()
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, version)


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
