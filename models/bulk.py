"""Bulk: many rows of one table in one statement, where the ORM's own flush sends many."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

from sqlalchemy import bindparam, insert, update
from sqlalchemy.orm import Session

from models.database import Model, table_of

KEY = "key_of_row"
"""Of an UPDATE's parameters: SQLAlchemy keeps the columns' own names for what is set."""

Row = TypeVar("Row", bound=Model)


@contextmanager
def unflushed(session: Session) -> Iterator[Session]:
    """A session in the same transaction that writes nothing by itself: what changed in its rows is for `update_all`."""
    with Session(
        session.connection(), autoflush=False, expire_on_commit=False, join_transaction_mode="rollback_only"
    ) as page:
        yield page


def modified(page: Session, model: type[Row]) -> list[Row]:
    """Those rows of an unflushed session that are not any more as they were read, whether or not anybody sees it."""
    return [row for row in page.dirty if isinstance(row, model) and page.is_modified(row)]


def insert_all(session: Session, rows: Sequence[Any]) -> None:
    """Writes new rows of one table; their generated ids stay unknown."""
    if rows:
        columns = _columns(type(rows[0]))
        session.execute(insert(table_of(type(rows[0]))), [_values(row, columns) for row in rows])


def update_all(session: Session, rows: Sequence[Any], *only: str) -> None:
    """Writes rows as they are now.

    Args:
        session: writes.
        rows: of one table, with `id` as their key.
        only: attributes to write; all if none is named.
    """
    if not rows:
        return
    table, columns = table_of(type(rows[0])), _columns(type(rows[0]))
    if only:
        columns = {column: name for column, name in columns.items() if name in only}
    statement = update(table).where(table.c.id == bindparam(KEY)).values({name: bindparam(name) for name in columns})
    session.execute(statement, [{KEY: row.id, **_values(row, columns)} for row in rows])


def _values(row: Any, columns: Mapping[str, str]) -> dict[str, Any]:
    return {column: getattr(row, name) for column, name in columns.items()}


def _columns(model: type[Model]) -> dict[str, str]:
    """Column -> attribute, without the key."""
    attributes = model.__mapper__.column_attrs
    return {each.columns[0].name: each.key for each in attributes if not each.columns[0].primary_key}
