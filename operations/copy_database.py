"""Copy all tables to an empty database, such as from SQLite to PostgreSQL: page by page, and all or nothing."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, String, Table, func, insert, select, tuple_
from sqlalchemy.exc import SQLAlchemyError

from meetergo.wire import without_unstorable
from models.migrate import advance_sequences, migrate
from models.migrations.newer import is_up_to_date
from models.migrations.takeover import UnusableDatabase
from operations.errors import MIGRATE_COMMAND, OperationError, first_line
from runtime.database import Database, Model, schema_of

PAGE = 100
"""Rows in memory at once; the largest hold a body of up to 256 KiB."""

Row = Mapping[str, Any]
"""Column -> value."""
Report = Callable[[str, int], object]


@dataclass(frozen=True)
class CopyResult:
    """What was copied.

    Attributes:
        rows: table -> number of rows, which is the same in both databases.
        cleaned: number of rows that held NUL characters or lone surrogates, which PostgreSQL cannot store.
    """

    rows: dict[str, int]
    cleaned: int


def count_rows(source: Database) -> dict[str, int]:
    """Return table -> number of rows.

    Raises:
        OperationError: the database does not have the tables of this version.
    """
    _check_version(source)
    with source.read_only() as session:
        return {table.name: _count(session.connection(), table) for table in _tables()}


def copy_database(source: Database, target: Database, report: Report = lambda _table, _rows: None) -> CopyResult:
    """Copy all rows with their ids, times and encrypted bodies; new ids continue after the highest.

    All rows are inserted in one transaction. An SQLite source is locked against writes meanwhile.

    Args:
        source: a database with the tables of this version.
        target: a database without rows. It is migrated first.
        report: called with a table and its newly copied rows.

    Raises:
        OperationError: the target has rows or cannot be migrated, or a row cannot be copied; the message names it.
        SQLAlchemyError: a database does not answer.
    """
    _check_version(source)
    _migrate(target)
    cleaned, rows = 0, dict[str, int]()
    with _snapshot(source) as reading, target.engine.begin() as writing:
        for table in _tables():
            if writing.execute(select(table.primary_key.columns[0]).limit(1)).first():
                raise OperationError(f"the target has rows in {table.name} already: name an empty database")
        for table in _tables():
            for page in _pages(reading, table):
                storable = [_storable(table, row) for row in page] if target.supports_skip_locked else page
                cleaned += sum(before != after for before, after in zip(page, storable, strict=True))
                _insert(writing, table, storable)
                report(table.name, len(page))
            rows[table.name] = _check_count(reading, writing, table)
        advance_sequences(writing, schema_of(writing))
    return CopyResult(rows, cleaned)


def _tables() -> Sequence[Table]:
    """Return the tables, each after those that it references."""
    return Model.metadata.sorted_tables


def _check_version(source: Database) -> None:
    if not is_up_to_date(source.engine):
        raise OperationError(f"the database does not have the tables of this version: {MIGRATE_COMMAND} first")


def _migrate(target: Database) -> None:
    try:
        migrate(target.engine)
    except UnusableDatabase as error:
        raise OperationError(f"the target cannot be used: {error}") from error


@contextmanager
def _snapshot(source: Database) -> Iterator[Connection]:
    """Open a transaction with a consistent snapshot. On SQLite it blocks writers."""
    options = {"isolation_level": "REPEATABLE READ"} if source.supports_skip_locked else {}
    with source.engine.execution_options(**options).connect() as connection, connection.begin() as transaction:
        try:
            yield connection
        finally:
            transaction.rollback()


def _pages(connection: Connection, table: Table) -> Iterator[Sequence[Row]]:
    """Yield the rows page by page, in order of the primary key."""
    key = tuple(table.primary_key.columns)
    query, last = select(table).order_by(*key).limit(PAGE), None
    while True:
        page = _read(connection, table, query if last is None else query.where(tuple_(*key) > tuple_(*last)))
        if page:
            yield page
        if len(page) < PAGE:
            return
        last = [page[-1][column.name] for column in key]


def _read(connection: Connection, table: Table, query: Any) -> Sequence[Row]:
    """Read a page; if that fails, read its rows one by one to name the one that cannot be read."""
    try:
        return [dict(row) for row in connection.execute(query).mappings()]
    except (ValueError, TypeError, OverflowError, RecursionError):
        key = tuple(table.primary_key.columns)
        for each in connection.execute(query.with_only_columns(*key)).all():
            try:
                connection.execute(select(table).where(tuple_(*key) == tuple_(*each))).all()
            except (ValueError, TypeError, OverflowError, RecursionError) as error:
                name = dict(zip((column.name for column in key), each, strict=True))
                raise OperationError(_refusal(table, name, f"it cannot be read ({type(error).__name__})")) from error
        raise


def _insert(connection: Connection, table: Table, rows: Sequence[Row]) -> None:
    """Insert a page; if that fails, insert its rows one by one to name the one that the target rejects."""
    try:
        with connection.begin_nested():
            connection.execute(insert(table), rows)
    except SQLAlchemyError as error:
        if connection.invalidated:
            raise
        if len(rows) == 1:
            raise OperationError(_refusal(table, rows[0], _reason(table, rows[0], error))) from error
        for row in rows:
            _insert(connection, table, [row])


def _refusal(table: Table, row: Row, reason: str) -> str:
    key = ", ".join(repr(row[column.name]) for column in table.primary_key.columns)
    return (
        f"nothing was copied, because of the row {key} of {table.name}: {reason}. Correct or delete it, and try again"
    )


def _reason(table: Table, row: Row, error: SQLAlchemyError) -> str:
    too_long = [
        f"{column.name} has {len(row[column.name])} characters, and {column.type.length} fit"
        for column in table.columns
        if isinstance(column.type, String) and column.type.length and len(str(row[column.name])) > column.type.length
    ]
    return ", ".join(too_long) or first_line(error)


def _storable(table: Table, row: Row) -> Row:
    for name, value in row.items():
        if isinstance(value, bytes) and isinstance(table.c[name].type, String):
            raise OperationError(_refusal(table, row, f"{name} holds bytes instead of text"))
    return {name: without_unstorable(value) for name, value in row.items()}


def _count(connection: Connection, table: Table) -> int:
    return connection.scalar(select(func.count()).select_from(table)) or 0


def _check_count(reading: Connection, writing: Connection, table: Table) -> int:
    there, here = _count(reading, table), _count(writing, table)
    if there != here:
        raise OperationError(f"nothing was copied: {table.name} has {there} rows, and {here} arrived")
    return here
