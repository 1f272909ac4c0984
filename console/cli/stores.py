"""Open the stores for one command. An error of theirs becomes a message in `RootGroup.invoke`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING

from runtime import logs

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from runtime.database import Database
    from runtime.settings import DatabaseSettings
    from worker.services import Services
    from worker.settings import WorkerSettings

STATEMENT_TIMEOUT = timedelta(seconds=20)
"""A search by error text may have to read a whole table."""
NO_TIMEOUT = timedelta(0)
"""For commands that may take any time, such as an erasure, or one that calls meetergo in between."""
UNUSED_REDIS_URL = "redis://127.0.0.1"


@contextmanager
def open_database(settings: DatabaseSettings, statement_timeout: timedelta = STATEMENT_TIMEOUT) -> Iterator[Database]:
    """Open the existing database until the block ends; a statement that exceeds `statement_timeout` fails.

    Raises:
        SystemExit: it is an SQLite file that does not exist.
    """
    settings.check_file_exists()
    database = settings.database(statement_timeout=statement_timeout)
    try:
        yield database
    finally:
        database.close()


@contextmanager
def read_only_session() -> Iterator[Session]:
    """Open a read-only session on the configured database."""
    from runtime.settings import DatabaseSettings

    with open_database(DatabaseSettings.load()) as database, database.read_only() as session:
        yield session


@contextmanager
def worker_services() -> Iterator[Services]:
    """Open the worker's services for one command."""
    from worker.settings import WorkerSettings
    from worker.start import build_or_exit, print_if_newer

    logs.configure()
    logs.silence()  # the command prints the results itself
    settings = WorkerSettings.load()
    settings.check_file_exists()
    services = build_or_exit(settings)
    try:
        print_if_newer(services.database)  # on the connection that the command needs anyway
        yield services
    finally:
        services.database.close()


def channel_settings() -> WorkerSettings:
    """Load the settings that channels are opened with: the worker's, but no Redis is needed."""
    from worker.settings import WorkerSettings

    return WorkerSettings.load(redis_url=UNUSED_REDIS_URL)
