"""Bulk writes: many rows of one table in one statement, where the ORM's flush sends many.

PostgreSQL gets all rows as one JSON value. Its driver would send a message per row; client and server would then spend
their time waking each other, and two workers would get a quarter less done. pydantic's encoder takes a quarter of the
time of Python's, which was a twentieth of a worker's.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Any, TypeVar

from pydantic_core import to_json
from sqlalchemy import TextClause, Update, bindparam, insert, text, update
from sqlalchemy.orm import Session, make_transient, make_transient_to_detached

from runtime.database import Model, insert_new, is_postgresql, qualified_name, table_of

ROW_KEY = "key_of_row"
"""Parameter that holds the key in an UPDATE: SQLAlchemy reserves the column names for the values to set."""

WITH_ROWCOUNT = {"preserve_rowcount": True}

Row = TypeVar("Row", bound=Model)
Values = Mapping[str, Any]
"""Column -> value."""


@contextmanager
def unflushed(session: Session) -> Iterator[Session]:
    """Open a session in the same transaction that never flushes. `update_all` writes the changes of its rows."""
    with Session(
        session.connection(), autoflush=False, expire_on_commit=False, join_transaction_mode="rollback_only"
    ) as new_session:
        yield new_session


def modified(new_session: Session, model: type[Row]) -> list[Row]:
    """Return the rows of one model that have changed in an unflushed session."""
    return [row for row in new_session.dirty if isinstance(row, model) and new_session.is_modified(row)]


def insert_all(session: Session, rows: Sequence[Any]) -> None:
    """Insert new rows of one table. Their generated ids stay unknown."""
    if not rows:
        return
    model: type[Model] = type(rows[0])
    columns = _columns(model)
    values = [_values(row, columns) for row in rows]
    if is_postgresql(session):
        _execute_for_all(session, _insert(qualified_name(session, model), values[0]), values)
    else:
        session.execute(insert(table_of(model)), values)


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
    if is_postgresql(session):
        insertion = _insert(qualified_name(session, model), values[0])
        return _execute_for_all(session, f"{insertion} ON CONFLICT ({', '.join(key)}) DO NOTHING", values)
    result = session.execute(insert_new(session, model, *key), values, execution_options=WITH_ROWCOUNT)
    return int(result.rowcount)  # type: ignore[attr-defined]


def update_all(session: Session, rows: Sequence[Any], *only: str) -> None:
    """Update rows to their current attribute values.

    Args:
        session: session that executes the statement.
        rows: rows of one table whose key is `id`.
        only: attributes to write; all if none is given.
    """
    if not rows:
        return
    model: type[Model] = type(rows[0])
    if is_postgresql(session):
        statement = _update_from_rows(model, qualified_name(session, model), only)
        _execute_for_all(session, statement, [_key_and_values(row, only) for row in rows])
    else:
        columns = _columns(model, only)
        session.execute(_update_each(model, only), [{ROW_KEY: row.id, **_values(row, columns)} for row in rows])


def _insert(table: str, columns: Iterable[str]) -> str:
    names = ", ".join(columns)
    return f"INSERT INTO {table} ({names}) SELECT {names} FROM {_rows_as_table(table)}"  # noqa: S608 - as above


def _rows_as_table(table: str) -> str:
    """Return SQL for the JSON rows of the parameter as a table with the columns of another."""
    return f"json_populate_recordset(NULL::{table}, CAST(:rows AS json)) AS given"


def _execute_for_all(session: Session, statement: str, values: Sequence[Values]) -> int:
    result = session.execute(_prepared(statement), {"rows": to_json(values).decode()}, execution_options=WITH_ROWCOUNT)
    return int(result.rowcount)  # type: ignore[attr-defined]


@cache
def _prepared(statement: str) -> TextClause:
    """Return the statement, cached so that SQLAlchemy parses it once."""
    return text(statement)


def _key_and_values(row: Any, only: tuple[str, ...] = ()) -> dict[str, Any]:
    model: type[Model] = type(row)
    return {"id": row.id, **_values(row, _columns(model, only))}


def _values(row: Any, columns: Mapping[str, str]) -> dict[str, Any]:
    return {column: getattr(row, name) for column, name in columns.items()}


@cache
def _update_from_rows(model: type[Model], table: str, only: tuple[str, ...]) -> str:
    sets = ", ".join(f"{column} = given.{column}" for column in _columns(model, only))
    return f"UPDATE {table} SET {sets} FROM {_rows_as_table(table)} WHERE {table_of(model).name}.id = given.id"  # noqa: S608 - names of ours


@cache
def _update_each(model: type[Model], only: tuple[str, ...]) -> Update:
    table = table_of(model)
    parameters: dict[str, Any] = {column: bindparam(column) for column in _columns(model, only)}
    return update(table).where(table.c.id == bindparam(ROW_KEY)).values(parameters)


@cache
def _columns(model: type[Model], only: tuple[str, ...] = ()) -> Mapping[str, str]:
    """Return column -> attribute, without the primary key; of the attributes `only`, if any is given."""
    attributes = [each for each in model.__mapper__.column_attrs if not each.columns[0].primary_key]
    return {each.columns[0].name: each.key for each in attributes if not only or each.key in only}
