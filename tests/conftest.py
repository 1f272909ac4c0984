"""Fixtures for all packages: real stores, started once and emptied for each test."""

import gc
import logging
import os
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import structlog
from redis import Redis
from selenium import webdriver
from sqlalchemy import Engine, create_engine
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg
from sqlalchemy.dialects.sqlite.pysqlite import SQLiteDialect_pysqlite
from sqlalchemy.util import LRUCache
from werkzeug.routing import Rule
from xdist.scheduler import LoadFileScheduling

from benchmarks.growth.fill import fill
from devtools.redis_server import redis_server
from models.migrate import migrate
from runtime import database as database_module
from runtime.database import Database
from runtime.queue import JobQueue
from runtime.redis.client import DEFAULT_PREFIX, connect
from tests.another_database import another_database
from tests.chromium import new_tab, open_chromium
from tests.postgresql_server import empty, postgresql_server
from tests.shared_engines import close_shared_connections, share_engines_of

# A background shell ignores SIGINT, and nohup SIGHUP; so would the programs that tests start and interrupt.
for number, handler in ((signal.SIGINT, signal.default_int_handler), (signal.SIGHUP, signal.SIG_DFL)):
    if signal.getsignal(number) is signal.SIG_IGN:
        signal.signal(number, handler)

sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
"""Tests start hundreds of processes. Each would compile our packages again, and each run of pytest the tests."""

gc.set_threshold(50_000, 20, 20)
"""Thousands of modules are loaded permanently: the garbage collector need not scan them."""

os.environ["REDIS_PREFIX"] = DEFAULT_PREFIX
"""Otherwise each test's database would have queues with unpredictable names."""

STATEMENTS: dict[str, LRUCache[Any, Any]] = {}
"""Compiled statements by dialect. An engine of its own for each test would compile each of them again."""


def _share_statements(*arguments: Any, **options: Any) -> Engine:
    engine = create_engine(*arguments, **options)
    engine._compiled_cache = STATEMENTS.setdefault(engine.dialect.name, LRUCache(4_000))
    return engine


for dialect in (PGDialect_psycopg, SQLiteDialect_pysqlite):  # part of the cache's keys
    dialect.__hash__ = lambda self: hash(type(self))
    dialect.__eq__ = lambda self, other: type(self) is type(other)
database_module.create_engine = _share_statements


def _share_builders(compile_builder: Callable[..., Any]) -> Callable[..., Any]:
    """Compile how to build a route's address once, not again for each app: it depends on the rule alone."""
    builders: dict[tuple[object, ...], Any] = {}

    def compiled(rule: Rule, append_unknown: bool = True) -> Any:
        key = (rule.rule, tuple(rule._trace), repr(rule.defaults), append_unknown)
        if key not in builders:
            builders[key] = compile_builder(rule, append_unknown)
        return builders[key]

    return compiled


Rule._compile_builder = _share_builders(Rule._compile_builder)


SLOWEST_FIRST = (
    "test_accessibility.py",
    "test_pool.py",
    "test_incident.py",
    "test_run.py",
    "test_query_plans.py",
    "test_store_outage.py",
    "test_faults_smoke.py",
    "test_batch.py",
    "test_unusual_redis.py",
    "test_app.py",
    "test_slow_channels.py",
    "test_secrecy.py",
    "test_dry_run.py",
    "test_concurrent_operations.py",
    "test_odd_settings.py",
    "test_takeover.py",
    "test_process.py",
    "test_systemd.py",
    "test_slow_clients.py",
    "test_convergence.py",
    "test_users_onboard.py",
    "test_demo.py",
    "test_platform_year.py",
)
"""Files that take 10 seconds or more: begun last, one of them would run alone in the end."""


MANY_ROWS = 20_000
"""Of each table of the filled databases."""


EXPENSIVE = {
    "filled databases": ("plans.py",),
    "chromium": (
        "dashboard/test_accessibility.py",
        "dashboard/test_incident.py",
        "dashboard/test_script.py",
        "sandbox/test_browser.py",
    ),
}
"""What takes seconds to make -> ends of the names of the files that share it."""


class ByFileScheduling(LoadFileScheduling):
    """Send each file to one process, and all that share something expensive to the same: it is made once."""

    def _split_scope(self, nodeid: str) -> str:
        file: str = super()._split_scope(nodeid)
        return next((shared for shared, ends in EXPENSIVE.items() if file.endswith(ends)), file)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadFileScheduling | None:
    return ByFileScheduling(config, log) if config.getvalue("dist") == "loadfile" else None


def pytest_collection_finish() -> None:
    """Spare the garbage collector all modules and tests, which stay: pytest calls it in the end, and some tests do."""
    gc.freeze()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    ranks = {name: rank for rank, name in enumerate(SLOWEST_FIRST)}
    items.sort(key=lambda item: ranks.get(item.path.name, len(ranks)))


@pytest.fixture(autouse=True)
def own_logs(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A command run in this process configures or silences the logs; undo that after each test."""
    before, level, handlers = structlog.get_config(), logging.root.level, logging.root.handlers
    monkeypatch.setattr(structlog, "configure", partial(_configure_uncached, structlog.configure))
    yield
    monkeypatch.undo()
    structlog.configure(**before)
    logging.root.handlers = handlers
    logging.root.setLevel(level)
    logging.captureWarnings(False)


def _configure_uncached(configure: Callable[..., None], **options: Any) -> None:
    """A logger that caches its first configuration would keep it for later tests."""
    configure(**{**options, "cache_logger_on_first_use": False})


@pytest.fixture(scope="session")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with redis_server(tmp_path_factory.mktemp("redis")) as url:
        yield url


@pytest.fixture
def redis(redis_url: str) -> Iterator[Redis]:
    with connect(redis_url) as client:
        client.flushall()
        yield client


@pytest.fixture(scope="session")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    with open_chromium(tmp_path_factory.mktemp("chromium")) as driver:
        yield driver


@pytest.fixture
def browser(chromium: webdriver.Chrome) -> Iterator[webdriver.Chrome]:
    with new_tab(chromium):
        yield chromium


@pytest.fixture
def job_queue(redis: Redis) -> JobQueue:
    return JobQueue(redis)


@pytest.fixture(scope="session")
def postgresql_url() -> Iterator[str]:
    with postgresql_server() as url:
        share_engines_of(url)
        yield url
        close_shared_connections()


@pytest.fixture(scope="session")
def migrated_postgresql(postgresql_url: str) -> Iterator[Database]:
    database = Database(postgresql_url, pool_size=20)
    migrate(database.engine)
    yield database
    database.close()


@pytest.fixture(scope="session")
def migrated_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated file to copy: migrations take longer than most tests."""
    file = tmp_path_factory.mktemp("sqlite") / "inbox.db"
    database = Database(f"sqlite:///{file}")
    migrate(database.engine)
    database.close()  # closing the last connection removes the log beside the file
    return file


@pytest.fixture(scope="session")
def filled_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with many rows to copy."""
    file = tmp_path_factory.mktemp("filled") / "inbox.db"
    _fill(f"sqlite:///{file}")
    return file


@pytest.fixture(scope="session")
def filled_postgresql(postgresql_url: str) -> Iterator[str]:
    """The name of a database with many rows, a template for others."""
    with another_database(postgresql_url, "filled") as url:
        _fill(url)
        yield "filled"


def _fill(url: str) -> None:
    database = Database(url)
    migrate(database.engine)
    fill(database, MANY_ROWS, datetime.now(UTC))
    database.close()


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
        empty(database.engine)


@pytest.fixture
def database_url(database: Database) -> str:
    return database.engine.url.render_as_string(hide_password=False)
