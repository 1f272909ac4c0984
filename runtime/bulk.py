"""Bulk writes: many rows of one table in one statement, where the ORM's flush sends many.

PostgreSQL gets all rows as one JSON value. Its driver would send a message per row; client and server would then spend
their time waking each other, and two workers would get a quarter less done. SQLite's driver gets tuples: SQLAlchemy
would build a dictionary of parameters for each row first, which was a tenth of a worker's time. pydantic's encoder
takes a quarter of the time of Python's, which was a twentieth of a worker's.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from functools import cache, lru_cache
from typing import Any, TypeVar

from pydantic_core import to_json
from sqlalchemy import Dialect, TextClause, func, select, text, tuple_
from sqlalchemy.orm import Session, make_transient, make_transient_to_detached
from sqlalchemy.types import TypeEngine

from runtime.database import (
    TABLE_OPTION,
    JsonValue,
    Model,
    RowsDiscarded,
    Utc,
    in_range,
    is_postgresql,
    qualified_name,
    sqlite_text,
    table_of,
)

Row = TypeVar("Row", bound=Model)
Values = Mapping[str, Any]
"""Column -> value."""
Converter = Callable[[Any], Any]


@contextmanager
def unflushed(session: Session) -> Iterator[Session]:
    """Open a session in the same transaction that never flushes. `update_all` writes the changes of its rows."""
    with Session(
        session.connection(), autoflush=False, expire_on_commit=False, join_transaction_mode="rollback_only"
    ) as unflushed_session:
        yield unflushed_session


def modified(session: Session, model: type[Row]) -> list[Row]:
    """Return the rows of one model that have changed in an unflushed session."""
    return [row for row in session.dirty if isinstance(row, model) and session.is_modified(row)]


def insert_all(session: Session, rows: Sequence[Any], *key: str) -> None:
    """Insert new rows of one table. Their generated ids stay unknown.

    Args:
        session: session that executes the statement.
        rows: rows of one table.
        key: the columns of a key that no other row has.

    Raises:
        RowsDiscarded: a trigger of the platform's keeps some out of the table, without an error.
    """
    if not rows:
        return
    model: type[Model] = type(rows[0])
    columns = _columns(model)
    values = [_values(row, columns) for row in rows]
    if _insert(session, model, values) < len(rows):
        check_inserted(session, model, values, *key)


def attach(session: Session, *rows: Any) -> None:
    """Make rows that these functions wrote unmodified rows of a session, as if it had just loaded them."""
    for row in rows:
        make_transient(row)
        make_transient_to_detached(row)
        session.add(row)


def insert_missing(session: Session, model: type[Model], values: Sequence[Values], *key: str) -> int:
    """Insert rows, given as column values; skip those whose key exists.

    Returns:
        The number of new rows.
    """
    if not values:
        return 0
    return _insert(session, model, values, f" ON CONFLICT ({', '.join(key)}) DO NOTHING")


def check_inserted(session: Session, model: type[Model], values: Sequence[Values], *key: str) -> None:
    """Check that rows are there of which the database reports fewer: a trigger may put them into a child table.

    Raises:
        RowsDiscarded: some are not.
    """
    table = table_of(model)
    keys = {tuple(row[column] for column in key) for row in values}
    are_these = tuple_(*(table.c[column] for column in key)).in_(keys)
    if session.execute(select(func.count()).select_from(table).where(are_these)).scalar_one() < len(keys):
        raise RowsDiscarded(table.name)


def update_all(session: Session, rows: Sequence[Any], *only: str) -> None:
    """Update rows to their current attribute values.

    Args:
        session: session that executes the statement.
        rows: rows of one table whose key is `id`.
        only: attributes to write; all if none is given.

    Raises:
        RowsDiscarded: a trigger of the platform's keeps some as they were, without an error.
    """
    if not rows:
        return
    model: type[Model] = type(rows[0])
    table, values = qualified_name(session, model), [_values_and_key(row, only) for row in rows]
    if is_postgresql(session):
        updated = _count_updated(session, _update_from_rows(model, table, only), model, values)
    else:
        updated = _execute_for_each(session, _update_by_id(model, table, only), model, values)
    if updated < len(rows):
        raise RowsDiscarded(table_of(model).name)


def _insert(session: Session, model: type[Model], values: Sequence[Values], suffix: str = "") -> int:
    table, columns = qualified_name(session, model), ", ".join(values[0])
    insertion = f"INSERT INTO {table} ({columns})"
    if is_postgresql(session):
        rows = f"SELECT {columns} FROM {_rows_as_table(table)}"  # noqa: S608 - names of ours
        return _execute_for_all(session, f"{insertion} {rows}{suffix}", model, values)
    return _execute_for_each(session, f"{insertion} VALUES ({', '.join('?' * len(values[0]))}){suffix}", model, values)


def _rows_as_table(table: str) -> str:
    """Return SQL for the JSON rows of the parameter as a table with the columns of another."""
    return f"json_populate_recordset(NULL::{table}, CAST(:rows AS json)) AS given"


def _execute_for_all(session: Session, statement: str, model: type[Model], values: Sequence[Values]) -> int:
    rows = {"rows": to_json(values).decode()}
    result = session.connection().execute(_prepared(statement), rows, execution_options=_options(model))
    return result.rowcount


def _count_updated(session: Session, statement: str, model: type[Model], values: Sequence[Values]) -> int:
    """Update rows. Returns how many have what was written: a trigger that returns OLD keeps a row as it was."""
    rows = {"rows": to_json(values).decode()}
    are_written = session.scalars(_prepared(statement), rows, execution_options={TABLE_OPTION: table_of(model).name})
    return are_written.all().count(True)


@cache
def _options(model: type[Model]) -> Mapping[str, Any]:
    return {"preserve_rowcount": True, TABLE_OPTION: table_of(model).name}


@cache
def _prepared(statement: str) -> TextClause:
    """Return the statement, cached so that SQLAlchemy parses it once."""
    return text(statement)


def _values_and_key(row: Any, only: tuple[str, ...]) -> dict[str, Any]:
    model: type[Model] = type(row)
    return {**_values(row, _columns(model, only)), "id": row.id}


def _values(row: Any, columns: Mapping[str, str]) -> dict[str, Any]:
    loaded = row.__dict__  # SQLAlchemy's attributes are functions, which take ten times as long
    return {column: loaded[name] if name in loaded else getattr(row, name) for column, name in columns.items()}


@cache
def _update_from_rows(model: type[Model], table: str, only: tuple[str, ...]) -> str:
    sets = ", ".join(f"{column} = given.{column}" for column in _columns(model, only))
    name, columns = table_of(model).name, _columns(model, only)
    checked = [each for each in model.CHANGED_BY_EACH_UPDATE if each in columns]
    is_written = " AND ".join(f"{name}.{each} = given.{each}" for each in checked) or "true"
    return (
        f"UPDATE {table} SET {sets} FROM {_rows_as_table(table)} WHERE {name}.id = given.id"  # noqa: S608 - names of ours
        f" RETURNING {is_written}"
    )


@cache
def _update_by_id(model: type[Model], table: str, only: tuple[str, ...]) -> str:
    """Return an UPDATE whose last parameter is the id; see `_values_and_key`."""
    sets = ", ".join(f"{column} = ?" for column in _columns(model, only))
    return f"UPDATE {table} SET {sets} WHERE id = ?"  # noqa: S608 - as above


def _execute_for_each(session: Session, statement: str, model: type[Model], values: Sequence[Values]) -> int:
    converters = _converters(model, (*values[0],))
    parameters = [
        tuple(
            [
                convert(row[column]) if convert and row[column] is not None else row[column]
                for column, convert in converters
            ]
        )
        for row in values
    ]
    result = session.connection().exec_driver_sql(statement, parameters, execution_options=_options(model))
    return result.rowcount


@cache
def _converters(model: type[Model], columns: tuple[str, ...]) -> Sequence[tuple[str, Converter | None]]:
    """Return each column with what converts a value other than None for SQLite; None if nothing has to."""
    from sqlalchemy.dialects.sqlite import dialect  # late: not needed on PostgreSQL

    sqlite = dialect()
    return [(column, _converter(table_of(model).c[column].type, sqlite)) for column in columns]


def _converter(type_: TypeEngine[Any], sqlite: Dialect) -> Converter | None:
    if isinstance(type_, JsonValue):
        return lambda value: to_json(value).decode()
    if isinstance(type_, Utc):
        return _time_text
    return type_.dialect_impl(sqlite).bind_processor(sqlite)


@lru_cache(maxsize=32)
def _time_text(value: datetime) -> str:
    """Return a time as text. Most times of a batch are that of its transaction."""
    return sqlite_text(in_range(value))


@cache
def _columns(model: type[Model], only: tuple[str, ...] = ()) -> Mapping[str, str]:
    """Return column -> attribute, without the primary key; of the attributes `only`, if any is given."""
    attributes = [each for each in model.__mapper__.column_attrs if not each.columns[0].primary_key]
    return {each.columns[0].name: each.key for each in attributes if not only or each.key in only}
