"""Bulk writes: many rows of one table in one statement, where the ORM's flush sends many.

PostgreSQL gets all rows as one JSON value. Its driver would send a message per row; client and server would then spend
their time waking each other, and two workers would get a quarter less done.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from functools import cache
from typing import Any, TypeVar

from sqlalchemy import TextClause, bindparam, insert, text, update
from sqlalchemy.orm import Session

from runtime.database import Model, insert_new, qualified_name, table_of

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
    model = type(rows[0])
    columns = _columns(model)
    values = [_values(row, columns) for row in rows]
    if _is_postgresql(session):
        _execute_for_all(session, _insert(session, model, values), values)
    else:
        session.execute(insert(table_of(model)), values)


def insert_missing(session: Session, model: type[Model], values: Sequence[Values], *key: str) -> int:
    """Insert rows, given as column values; skip those whose key exists.

    Returns:
        The number of new rows.
    """
    if not values:
        return 0
    if _is_postgresql(session):
        statement = f"{_insert(session, model, values)} ON CONFLICT ({', '.join(key)}) DO NOTHING"
        return _execute_for_all(session, statement, values)
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
    model, columns = type(rows[0]), _columns(type(rows[0]))
    if only:
        columns = {column: name for column, name in columns.items() if name in only}
    table = table_of(model)
    if _is_postgresql(session):
        sets = ", ".join(f"{name} = given.{name}" for name in columns)
        qualified = qualified_name(session, model)
        statement = f"UPDATE {qualified} SET {sets} FROM {_rows_as_table(qualified)} WHERE {table.name}.id = given.id"  # noqa: S608 - names of ours
        _execute_for_all(session, statement, [{"id": row.id, **_values(row, columns)} for row in rows])
    else:
        row_update = (
            update(table).where(table.c.id == bindparam(ROW_KEY)).values({name: bindparam(name) for name in columns})
        )
        session.execute(row_update, [{ROW_KEY: row.id, **_values(row, columns)} for row in rows])


def _is_postgresql(session: Session) -> bool:
    return session.get_bind().dialect.name == "postgresql"


def _insert(session: Session, model: type[Model], values: Sequence[Values]) -> str:
    names, table = ", ".join(values[0]), qualified_name(session, model)
    return f"INSERT INTO {table} ({names}) SELECT {names} FROM {_rows_as_table(table)}"  # noqa: S608 - as above


def _rows_as_table(table: str) -> str:
    """Return SQL for the JSON rows as a table with the columns of another."""
    return f"json_populate_recordset(NULL::{table}, CAST(:rows AS json)) AS given"


def _execute_for_all(session: Session, statement: str, values: Sequence[Values]) -> int:
    result = session.execute(_prepared(statement), {"rows": _as_json(values)}, execution_options=WITH_ROWCOUNT)
    return int(result.rowcount)  # type: ignore[attr-defined]


@cache
def _prepared(statement: str) -> TextClause:
    """Return the statement, cached so that SQLAlchemy parses it once."""
    return text(statement)


def _values(row: Any, columns: Mapping[str, str]) -> dict[str, Any]:
    return {column: getattr(row, name) for column, name in columns.items()}


def _columns(model: type[Model]) -> dict[str, str]:
    """Return column -> attribute, without the primary key."""
    attributes = model.__mapper__.column_attrs
    return {each.columns[0].name: each.key for each in attributes if not each.columns[0].primary_key}


_as_json = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), default=datetime.isoformat).encode
