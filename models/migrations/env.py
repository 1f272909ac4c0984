"""Alembic's environment: the tables of `models`, on the engine of whoever migrates."""

from typing import Literal

from alembic import context
from sqlalchemy import Connection

import models.tables  # noqa: F401 - so that all tables are known
from models.migrate import schema_transaction
from runtime.database import Model, Utc, open_engine
from runtime.settings import DatabaseSettings


def migrate() -> None:
    """Runs the migrations on the connection that we were given, else on DATABASE_URL."""
    connection = context.config.attributes.get("connection")
    if connection is None:
        with schema_transaction(open_engine(DatabaseSettings.load().database_url)) as connection:
            _run(connection)
    else:
        _run(connection)


def _run(connection: Connection) -> None:
    context.configure(
        connection=connection,
        target_metadata=Model.metadata,
        render_as_batch=True,
        render_item=_without_our_types,
    )
    with context.begin_transaction():
        context.run_migrations()


def _without_our_types(kind: str, item: object, _context: object) -> str | Literal[False]:
    """A migration must not change when our code does: it names SQLAlchemy's types only."""
    return "sa.DateTime(timezone=True)" if kind == "type" and isinstance(item, Utc) else False


migrate()
