"""The version of a database, without Alembic; after a rollback, whether this version can work with a newer one.

Migrations only add, and take away a version later (docs/upgrading.md), so one version back works.
"""

from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Connection, Engine, Table, column, inspect, select, table, text
from sqlalchemy.engine.reflection import ObjectKind

from models.migrations.takeover import VERSION_TABLE
from runtime.database import Model, schema_of

VERSIONS = Path(__file__).parent / "versions"
HIDES_ROWS = text("SELECT current_user WHERE row_security_active(to_regclass(:name))")

RESTRICTED = text(
    "SELECT current_user, array_agg(CAST(relname AS text) ORDER BY relname) FROM pg_class"
    " WHERE relnamespace = to_regnamespace(:schema) AND relname = ANY(:names) AND row_security_active(oid)"
    " AND EXISTS (SELECT FROM unnest(CAST('{r,a,w,d}' AS text[])) AS command WHERE NOT EXISTS ("
    "SELECT FROM pg_policy WHERE polrelid = pg_class.oid AND polpermissive AND polcmd IN ('*', command)"
    " AND EXISTS (SELECT FROM unnest(polroles) AS role WHERE role = 0 OR pg_has_role(role, 'USAGE'))))"
)
"""Tables with row-level security where no policy lets our role select, insert, update or delete. Role 0 is PUBLIC."""


@dataclass(frozen=True)
class NewerDatabase:
    """The tables are of a newer version.

    Attributes:
        version: their version.
        obstacles: why this version cannot work with them; empty if it can.
    """

    version: str
    obstacles: tuple[str, ...]

    def __str__(self) -> str:
        """Return a sentence that describes it and says what to do."""
        what = f"The database is of a newer version of meetergo-inbox ({self.version}; this one knows {newest_known()})"
        if not self.obstacles:
            return f"{what}. It has all that this version uses, so nothing needs to be done."
        return (
            f"{what}, and this version cannot work with it: {', '.join(self.obstacles)}. Start the newer version again,"
            " or restore the backup from before its migration"
        )


def find_newer(connection: Connection, version: str | None) -> NewerDatabase | None:
    """Return what is known of a database whose version this one does not know; None if it knows it, or has no tables.

    Args:
        connection: connection to the database.
        version: what `version_of` returned.

    Raises:
        SQLAlchemyError: the database does not answer.
    """
    if version is None or version in _known():
        return None
    return NewerDatabase(version, (*(f"there is no {name}" for name in missing(connection)), *_demands(connection)))


def version_of(connection: Connection) -> str | None:
    """Return the version of the database; None if it has none of ours."""
    schema = schema_of(connection)
    if not inspect(connection).has_table(VERSION_TABLE, schema=schema):
        return None
    versions = table(VERSION_TABLE, column("version_num"), schema=schema)
    found: str | None = connection.scalar(select(versions.c.version_num))
    return found


def hidden_version(connection: Connection, version: str | None) -> str | None:
    """Return a sentence that says why the version cannot be read although it is there; None if it can, or is not.

    Args:
        connection: connection to the database.
        version: what `version_of` returned.
    """
    if connection.dialect.name != "postgresql" or version is not None:
        return None
    schema = schema_of(connection)
    name = f"{connection.dialect.identifier_preparer.quote(schema)}.{VERSION_TABLE}" if schema else VERSION_TABLE
    role = connection.scalar(HIDES_ROWS, {"name": name})
    if role is None:
        return None
    return (
        f"row-level security hides the row of {name} from the role {role}, so the version of the tables is unknown."
        f" Let the owner of the table run: ALTER TABLE {name} DISABLE ROW LEVEL SECURITY"
    )


def restricted_tables(connection: Connection) -> str | None:
    """Return a sentence on the tables whose rows row-level security keeps from us without an error; None if none are.

    It asks for those of our tables whose models are imported.
    """
    if connection.dialect.name != "postgresql":
        return None
    quote = connection.dialect.identifier_preparer.quote
    schema = quote(schema_of(connection) or "")
    names = [table.name for table in Model.metadata.sorted_tables]
    role, tables = connection.execute(RESTRICTED, {"schema": schema, "names": names}).one()
    if not tables:
        return None
    return (
        f"row-level security keeps rows of {', '.join(tables)} from the role {role}, without an error: it has no policy"
        " for each of SELECT, INSERT, UPDATE and DELETE. Let the owner of the tables create one, or run: "
        + "; ".join(f"ALTER TABLE {schema}.{quote(table)} DISABLE ROW LEVEL SECURITY" for table in tables)
    )


def missing(connection: Connection) -> list[str]:
    """Return the tables and columns that this version uses and the database lacks, such as `bookings.location`.

    A view is as good as a table: a platform may have put one of its hosts in the place of `platform_users`.
    """
    columns = inspect(connection).get_multi_columns(schema=schema_of(connection), kind=ObjectKind.ANY)
    found = {name: {each["name"] for each in of_table} for (_, name), of_table in columns.items()}
    lacking: list[str] = []
    for each in _tables():
        if each.name not in found:
            lacking.append(each.name)
        else:
            lacking += [f"{each.name}.{name}" for name in sorted({*each.c.keys()} - found[each.name])]
    return lacking


def is_up_to_date(engine: Engine) -> bool:
    """Whether the database has the schema of this version.

    Raises:
        SQLAlchemyError: the database does not answer.
    """
    with engine.execution_options(sqlite_begin="DEFERRED").connect() as connection:
        return version_of(connection) == newest_known()


def newest_known() -> str:
    """Return the newest version that this code migrates to."""
    return max(_known())


def _known() -> set[str]:
    return {file.name[:4] for file in VERSIONS.glob("[0-9]*.py")}


def _tables() -> list[Table]:
    """Return all tables."""
    import models.tables  # noqa: F401 - late: `status` asks for the version, and starts without most of them

    return Model.metadata.sorted_tables


def _demands(connection: Connection) -> list[str]:
    """Return the columns that a row of this version may leave empty, and the database does not."""
    columns = inspect(connection).get_multi_columns(schema=schema_of(connection))
    demands, ours = list[str](), {table.name: table.c for table in _tables()}
    for (_, name), found in columns.items():
        for each in found if name in ours else ():
            known = ours[name].get(each["name"])
            may_be_left_empty = known is None or known.nullable
            if may_be_left_empty and not each["nullable"] and each.get("default") is None:
                demands.append(f"{name}.{each['name']} must be filled")
    return demands
