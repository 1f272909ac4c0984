"""A trigger that discards rows of a table, or their changes, without an error, as a platform may have on its tables."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from sqlalchemy import text

from runtime.database import Database, schema_of

SQLITE = "CREATE TRIGGER discard BEFORE {event} ON {table} WHEN {when} BEGIN {body}; END"
POSTGRESQL = (
    "CREATE FUNCTION discard() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {body}; END $$",
    "CREATE TRIGGER discard BEFORE {event} ON {table} FOR EACH ROW WHEN ({when}) EXECUTE FUNCTION discard()",
)
DISCARD = {"sqlite": "SELECT RAISE(IGNORE)", "postgresql": "RETURN NULL"}
REFUSE = {"sqlite": "SELECT RAISE(ABORT, 'refused')", "postgresql": "RAISE 'refused'"}
RETURN_OLD = {"postgresql": "RETURN OLD"}
FORBID = {"postgresql": "RAISE insufficient_privilege"}
"""Database -> what the trigger does."""


@contextmanager
def discarding(
    database: Database, table: str, event: str = "INSERT", when: str = "1 = 1", how: Mapping[str, str] = DISCARD
) -> Iterator[None]:
    """Have the trigger on a table until the block ends."""
    is_sqlite = not database.supports_skip_locked
    name = table if is_sqlite else f"{schema_of(database.engine)}.{table}"
    names = {"table": name, "event": event, "when": when, "body": how[database.engine.dialect.name]}
    _execute(database, *(statement.format(**names) for statement in ((SQLITE,) if is_sqlite else POSTGRESQL)))
    try:
        yield
    finally:
        _execute(database, *(("DROP TRIGGER discard",) if is_sqlite else ("DROP FUNCTION discard() CASCADE",)))


@contextmanager
def refusing_at_commit(database: Database, table: str, event: str, when: str) -> Iterator[None]:
    """Have a deferred constraint trigger on a table of PostgreSQL, which fails when the transaction commits."""
    name = f"{schema_of(database.engine)}.{table}"
    _execute(
        database,
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RAISE ''refused''; END'",
        f"CREATE CONSTRAINT TRIGGER refuse AFTER {event} ON {name} DEFERRABLE INITIALLY DEFERRED"
        f" FOR EACH ROW WHEN ({when}) EXECUTE FUNCTION refuse()",
    )
    try:
        yield
    finally:
        _execute(database, "DROP FUNCTION refuse() CASCADE")


@contextmanager
def putting_into_child(database: Database, table: str) -> Iterator[None]:
    """Have a trigger on a table of PostgreSQL that puts new rows into a child, as before there were partitions."""
    name = f"{schema_of(database.engine)}.{table}"
    body = f"BEGIN INSERT INTO {name}_child VALUES (NEW.*); RETURN NULL; END"
    _execute(
        database,
        f"CREATE TABLE {name}_child () INHERITS ({name})",
        f"CREATE FUNCTION put_into_{table}() RETURNS trigger LANGUAGE plpgsql AS '{body}'",
        f"CREATE TRIGGER put BEFORE INSERT ON {name} FOR EACH ROW EXECUTE FUNCTION put_into_{table}()",
    )
    try:
        yield
    finally:
        _execute(database, f"DROP FUNCTION put_into_{table}() CASCADE", f"DROP TABLE {name}_child")


@contextmanager
def published_without_key(database: Database, table: str) -> Iterator[None]:
    """Publish all tables of PostgreSQL, and take the key from one: nobody can update it."""
    name = f"{schema_of(database.engine)}.{table}"
    _execute(database, f"ALTER TABLE {name} REPLICA IDENTITY NOTHING", "CREATE PUBLICATION everything FOR ALL TABLES")
    try:
        yield
    finally:
        _execute(database, "DROP PUBLICATION everything", f"ALTER TABLE {name} REPLICA IDENTITY DEFAULT")


def _execute(database: Database, *statements: str) -> None:
    with database.transaction() as session:
        for statement in statements:
            session.execute(text(statement))
