"""The write probe: whether the database takes writes now. One that refuses them may go on to answer reads."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import cache
from typing import Any
from uuid import uuid4

from sqlalchemy import ColumnClause, DateTime, Insert, Update, bindparam, column, insert, table, update
from sqlalchemy.engine import Connection
from sqlalchemy.exc import OperationalError

from runtime.database import (
    LOCK_TIMEOUT_SQLSTATE,
    POSTGRESQL_SHORT_LOCK_TIMEOUT_MILLISECONDS,
    SQLITE_CACHE,
    Database,
    RowsDiscarded,
    schema_of,
    sqlite_pragma,
)

PROBE_BYTES = 16 * 1024
PROBE_STATUS = "done"


def probe_write(database: Database) -> None:
    """Ask whether a delivery could be stored, handled and ended now: see `probe_deliveries`.

    Of the other tables that each booking needs, PostgreSQL is asked for our rights alone: a platform has triggers
    there, which would take a row of the probe for a booking.

    Raises:
        SQLAlchemyError: it could not, or the database does not answer.
    """
    with _rolled_back(database) as connection:
        _probe_deliveries(connection)
        if database.supports_skip_locked:
            _probe_rights_to_bookings(connection)


def probe_deliveries(database: Database) -> None:
    """Ask whether a delivery could be stored and ended now, by an INSERT and an UPDATE that are rolled back.

    A read-only or full database, a standby, a revoked right and a trigger that fails or writes something else all
    answer reads. On PostgreSQL the transaction around them is committed: without its synchronous standby, a server
    takes writes and ends no commit. Each call leaves two dead rows there for the next vacuum: call it at most once
    a second.

    Raises:
        SQLAlchemyError: it could not, or the database does not answer.
    """
    with _rolled_back(database) as connection:
        _probe_deliveries(connection)


@contextmanager
def _rolled_back(database: Database) -> Iterator[Connection]:
    with database.engine.connect() as connection, connection.begin() as transaction:
        undone = connection.begin_nested() if database.supports_skip_locked else transaction
        try:
            yield connection
        finally:
            undone.rollback()


def _probe_deliveries(connection: Connection) -> None:
    insert_probe, update_probe = _delivery_statements(schema_of(connection))
    with sqlite_pragma(connection, "cache_size = 1", SQLITE_CACHE):  # else a full disk shows at the commit
        row = _new_row()
        connection.execute(insert_probe, row)
        updated = connection.execute(update_probe, {"probe_id": row["id"]})
        if updated.rowcount != 1:  # not that of the INSERT: a trigger may put rows into a child table
            raise RowsDiscarded("deliveries")


def _probe_rights_to_bookings(connection: Connection) -> None:
    try:
        for statement in _rights_statements(schema_of(connection)):
            connection.exec_driver_sql(statement)
    except OperationalError as error:
        if getattr(error.orig, "sqlstate", None) != LOCK_TIMEOUT_SQLSTATE:  # who locks a table changes no right
            raise


@cache
def _delivery_statements(schema: str | None) -> tuple[Insert, Update]:
    """Name the required columns of a delivery again: models/delivery.py is above this package."""
    columns: list[ColumnClause[Any]] = [
        column(name) for name in ("id", "account", "source", "body", "status", "attempts")
    ]
    times = [column(name, DateTime(timezone=True)) for name in ("received_at", "due_at")]
    deliveries = table("deliveries", *columns, *times, schema=schema)
    is_as_inserted = (deliveries.c.id == bindparam("probe_id"), deliveries.c.status == PROBE_STATUS)
    return insert(deliveries), update(deliveries).where(*is_as_inserted).values(attempts=1)


def _rights_statements(schema: str | None) -> list[str]:
    """Build EXPLAINs of writes: they check rights and replica identity, change nothing, and run no trigger.

    They are sent one by one: with `prepare_threshold=0` in DATABASE_URL each is prepared, and several cannot be.
    """
    place = f'"{schema}".' if schema else ""
    statements = [f"SELECT 1 FROM {place}platform_users"]  # noqa: S608 - names of ours
    statements += [
        f"INSERT INTO {place}{name} DEFAULT VALUES" for name in ("bookings", "booking_changes", "notifications")
    ]
    statements += [f"UPDATE {place}{name} SET id = id" for name in ("bookings", "notifications")]  # noqa: S608 - as above
    timeout = f"SET LOCAL lock_timeout = {POSTGRESQL_SHORT_LOCK_TIMEOUT_MILLISECONDS}"
    return [timeout, *(f"EXPLAIN {each}" for each in statements)]


def _new_row() -> dict[str, Any]:
    """Build a row with a unique id, larger than the cache of `probe_write`."""
    now = datetime.now(UTC)
    return dict(
        id=uuid4().hex * 2,
        account="probe",
        source="webhook",
        body=bytes(PROBE_BYTES),
        received_at=now,
        due_at=now,
        status=PROBE_STATUS,
        attempts=0,
    )
