"""Engines, and so connections, of the PostgreSQL server that lasts as long as the tests.

A new connection costs a process of the server, which reads its catalogue again for each statement: a third of what most
tests on PostgreSQL take. An engine of its own for each `Database` would open some for each test.
"""

import os

from sqlalchemy import Engine, make_url

from runtime import database as database_module
from runtime.database import Database, open_engine

_urls: set[str] = set()
_engines: dict[tuple[object, ...], Engine] = {}


def share_engines_of(url: str) -> None:
    """Open no engine of this URL twice with the same arguments; closing a `Database` leaves it open."""
    _urls.add(_full(url))


def close_shared_connections() -> None:
    """Let the next transactions open new ones, for what a server tells new connections only."""
    for engine in _engines.values():
        engine.dispose()


def _open_engine(url: str, *arguments: object) -> Engine:
    if _full(url) not in _urls:
        return open_engine(url, *arguments)  # type: ignore[arg-type]
    key = (os.getpid(), _full(url), *arguments)  # a fork shares no connection
    if key not in _engines:
        _engines[key] = open_engine(url, *arguments)  # type: ignore[arg-type]
    return _engines[key]


def _close(database: Database) -> None:
    if database.engine not in _engines.values():
        database.engine.dispose()


def _full(url: str) -> str:
    """Return a URL as an engine shows it."""
    return make_url(url).render_as_string(hide_password=False)


database_module.open_engine = _open_engine
Database.close = _close  # type: ignore[method-assign]
