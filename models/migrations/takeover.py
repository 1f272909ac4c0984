"""Take over an installation from before DATABASE_SCHEMA: its tables, and its version.

Its tables lay where the search path put them, mostly in `public`, and its version in `alembic_version`, a name that
every platform with Alembic uses as well. Only a version of ours beside tables of ours is taken.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, TableClause, bindparam, column, delete, inspect, select, table, text

FORMER_VERSION_TABLE = "alembic_version"
VERSION_TABLE = "meetergo_inbox_version"
NEW_TABLES: Mapping[str, Sequence[str]] = {
    "0001": ("platform_users", "deliveries", "bookings", "booking_changes", "notifications"),
    "0002": ("interventions", "failed_attempts"),
    "0003": ("incidents",),
    "0004": ("endpoints", "reconcile_cursors", "reconciliations"),
    "0005": (),
    "0006": (),
    "0007": ("claims",),
    "0008": ("meetergo_employees",),
}
"""Revision -> the tables that it made, in the order of our locks. Later ones were never in `alembic_version`."""
MARKS = {
    "platform_users": "meetergo_user_id",
    "deliveries": "sealed_with",
    "bookings": "host_ids",
    "booking_changes": "news",
    "notifications": "fingerprint",
}
"""Table -> a column by which it is known to be ours."""
SCHEMAS_TO_SEARCH = text(
    "SELECT nspname FROM unnest(current_schemas(false) || ARRAY[:schema, 'public']::name[])"
    " WITH ORDINALITY AS searched (nspname, place) JOIN pg_namespace AS space USING (nspname)"
    " WHERE has_schema_privilege(space.oid, 'USAGE') GROUP BY nspname ORDER BY min(place)"
)
IS_READABLE = text(
    "SELECT EXISTS (SELECT FROM pg_class JOIN pg_namespace space ON space.oid = relnamespace"
    " JOIN pg_attribute ON attrelid = pg_class.oid AND attname = 'version_num'"
    " WHERE relname = :name AND nspname = :schema AND has_table_privilege(pg_class.oid, 'SELECT'))"
)
GRANTEES = text(
    "SELECT DISTINCT CASE grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(grantee)) END"
    " FROM pg_class JOIN pg_namespace space ON space.oid = relnamespace, aclexplode(relacl)"
    " WHERE nspname = :schema AND relname IN :names AND grantee <> relowner"
).bindparams(bindparam("names", expanding=True))


class UnusableDatabase(Exception):
    """The database cannot be migrated as it is; the message says why, and what to do."""


@dataclass(frozen=True)
class FormerInstallation:
    """Tables of ours that a release before DATABASE_SCHEMA made.

    Attributes:
        schema: where they are; None on SQLite.
        revision: their version.
        tables: their names.
    """

    schema: str | None
    revision: str
    tables: Sequence[str]


def find_former(connection: Connection, schema: str | None) -> FormerInstallation | None:
    """Look for an installation to take over.

    Args:
        connection: a connection with the search path that the former release had.
        schema: where our tables shall be; None on SQLite.

    Raises:
        UnusableDatabase: there are tables of ours, but not with a version of ours, or not all of them.
    """
    for searched in _schemas(connection, schema):
        if _has_first_tables(connection, searched):
            revision = _revision(connection, searched)
            return FormerInstallation(searched, revision, _tables(connection, searched, revision))
    return None


def take_over(connection: Connection, former: FormerInstallation, schema: str | None) -> None:
    """Move the tables into a schema, which exists, and remove their version from `alembic_version`.

    Rows, indexes, sequences, foreign keys, views and rights stay. Who may use a table may use the schema as well.
    """
    version = _version_table(former.schema)
    connection.execute(delete(version).where(version.c.version_num == former.revision))
    if connection.execute(select(version.c.version_num)).first() is None:
        connection.execute(text(f"DROP TABLE {_name(connection, former.schema, FORMER_VERSION_TABLE)}"))
    if schema == former.schema or schema is None:
        return
    names = [_name(connection, former.schema, name) for name in former.tables]
    connection.execute(text(f"LOCK TABLE {', '.join(names)} IN ACCESS EXCLUSIVE MODE"))
    grantees = connection.scalars(GRANTEES, {"schema": former.schema, "names": list(former.tables)}).all()
    quoted = connection.dialect.identifier_preparer.quote(schema)
    for name in names:
        connection.execute(text(f"ALTER TABLE {name} SET SCHEMA {quoted}"))
    for grantee in grantees:
        connection.execute(text(f"GRANT USAGE ON SCHEMA {quoted} TO {grantee}"))


def _schemas(connection: Connection, schema: str | None) -> Iterator[str | None]:
    """Yield the schemas in which the former release can have put its tables, without those of today's releases."""
    schemas: Sequence[str | None] = [None]
    if connection.dialect.name == "postgresql":
        schemas = connection.scalars(SCHEMAS_TO_SEARCH, {"schema": schema}).all()
    for each in schemas:
        if not inspect(connection).has_table(VERSION_TABLE, schema=each):
            yield each


def _has_first_tables(connection: Connection, schema: str | None) -> bool:
    columns = inspect(connection).get_multi_columns(schema=schema, filter_names=list(MARKS))
    found = {name: {each["name"] for each in of_table} for (_, name), of_table in columns.items()}
    return all(mark in found.get(name, ()) for name, mark in MARKS.items())


def _revision(connection: Connection, schema: str | None) -> str:
    found = sorted(_versions(connection, schema))
    ours = [version for version in found if version in NEW_TABLES]
    if len(ours) == 1:
        return ours[0]
    where, last = _name(connection, schema, FORMER_VERSION_TABLE), max(NEW_TABLES)
    create = f"CREATE TABLE IF NOT EXISTS {where} (version_num VARCHAR(32)); INSERT INTO {where} VALUES ('{last}')"  # noqa: S608 - it is shown
    raise UnusableDatabase(
        f"{_place(connection, schema)} holds tables of meetergo-inbox, but {where} does not say their version: it"
        f" {'says ' + ', '.join(found) if found else 'is missing or empty'}. Write down the version of the release that"
        f" used them ({last} is the last one), and migrate again: {create}"
    )


def _versions(connection: Connection, schema: str | None) -> Sequence[str]:
    """Read the versions in `alembic_version`. One that we may not read is not of ours."""
    if connection.dialect.name == "postgresql":
        is_readable = connection.scalar(IS_READABLE, {"name": FORMER_VERSION_TABLE, "schema": schema})
    else:
        is_readable = inspect(connection).has_table(FORMER_VERSION_TABLE)
    if not is_readable:
        return []
    return connection.scalars(select(_version_table(schema).c.version_num)).all()


def _tables(connection: Connection, schema: str | None, revision: str) -> Sequence[str]:
    tables = [name for since, names in NEW_TABLES.items() if since <= revision for name in names]
    missing = sorted({*tables} - {*inspect(connection).get_table_names(schema=schema)})
    if missing:
        raise UnusableDatabase(
            f"{_place(connection, schema)} holds tables of meetergo-inbox in version {revision}, but"
            f" {', '.join(missing)} is missing: restore it from a backup, and migrate again"
        )
    return tables


def _version_table(schema: str | None) -> TableClause:
    return table(FORMER_VERSION_TABLE, column("version_num"), schema=schema)


def _name(connection: Connection, schema: str | None, name: str) -> str:
    quote = connection.dialect.identifier_preparer.quote
    return f"{quote(schema)}.{quote(name)}" if schema else quote(name)


def _place(connection: Connection, schema: str | None) -> str:
    return f"the schema {schema}" if connection.dialect.name == "postgresql" else "the database"
