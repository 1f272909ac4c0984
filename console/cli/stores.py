"""The stores, as the desk opens them: briefly, and it gives up soon."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

from sqlalchemy.orm import Session

from runtime.database import Database
from runtime.settings import DatabaseSettings

STATEMENT_TIMEOUT = timedelta(seconds=20)
"""A search for the text of an error may have to read a whole table."""


@contextmanager
def open_database(url: str, statement_timeout: timedelta = STATEMENT_TIMEOUT) -> Iterator[Database]:
    """A database, closed at the end; a statement that takes longer than `patience` fails."""
    database = Database(url, pool_size=1, statement_timeout=statement_timeout)
    try:
        yield database
    finally:
        database.close()


@contextmanager
def read_only_session() -> Iterator[Session]:
    """A session on the database that the settings name, for reading only."""
    with open_database(DatabaseSettings.load().existing_database_url) as database, database.read_only() as session:
        yield session
