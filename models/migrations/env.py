"""Alembic's environment: the tables of `models`, on the engine of the caller."""

from typing import Literal

from alembic import context
from sqlalchemy import Connection, text

from models.migrate import schema_transaction, unqualified_tables, version_table
from runtime.database import Utc, schema_of
from runtime.settings import DatabaseSettings


def migrate() -> None:
    """Run the migrations on the caller's connection, else on DATABASE_URL."""
    connection = context.config.attributes.get("connection")
    if connection is None:
        with schema_transaction(DatabaseSettings.load().database().engine) as connection:
            _run(connection)
    else:
        _run(connection)


def _run(connection: Connection) -> None:
    """Run them with our schema as the search path, since a migration names its tables without a schema."""
    schema = schema_of(connection)
    if schema:
        name = connection.dialect.identifier_preparer.quote(schema)
        connection.execute(text(f"SET LOCAL search_path TO {name}"))
    context.configure(
        connection=connection,
        target_metadata=unqualified_tables(),
        render_as_batch=True,
        **version_table(connection),
        render_item=_without_our_types,
    )
    with context.begin_transaction():
        context.run_migrations()


def _without_our_types(kind: str, item: object, _context: object) -> str | Literal[False]:
    """Render our types as SQLAlchemy's: a migration must not change when our code does."""
    return "sa.DateTime(timezone=True)" if kind == "type" and isinstance(item, Utc) else False


migrate()
