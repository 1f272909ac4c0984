"""Another database on the PostgreSQL of the tests: the shared one is emptied for each test that asks for it."""

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import create_engine, text


@contextmanager
def another_database(postgresql_url: str, name: str, options: str = "") -> Iterator[str]:
    """The URL of a new one without tables; it is gone when the block ends.

    Args:
        postgresql_url: of the database beside which it is.
        name: of the new one.
        options: of CREATE DATABASE.
    """
    admin = create_engine(postgresql_url, isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name} {options}"))
    try:
        yield postgresql_url.replace("/postgres?", f"/{name}?")
    finally:
        with admin.connect() as connection:
            connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
        admin.dispose()
