"""A further PostgreSQL database for a test: the shared one is emptied for each test that uses it."""

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import create_engine, text


@contextmanager
def another_database(postgresql_url: str, name: str, options: str = "") -> Iterator[str]:
    """Yield the URL of a new database without tables, which is dropped when the block ends.

    Args:
        postgresql_url: URL of a database of the same server.
        name: name of the new database.
        options: options of CREATE DATABASE.
    """
    administer(postgresql_url, f"CREATE DATABASE {name} {options}")
    try:
        yield postgresql_url.replace("/postgres?", f"/{name}?")
    finally:
        administer(postgresql_url, f"DROP DATABASE {name} WITH (FORCE)")


def administer(url: str, *statements: str) -> None:
    """Run statements, each in a transaction of its own."""
    engine = create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        for statement in statements:
            connection.execute(text(statement))
    engine.dispose()
