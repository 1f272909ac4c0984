"""An engine for PostgreSQL: how it connects, and what holds in each of its sessions.

Imported only where the database is PostgreSQL.
"""

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Engine, event
from sqlalchemy.engine import make_url

from runtime.database_url import driver_options, names_several_hosts
from runtime.postgresql.driver import connection_class, tolerant_timestamps
from runtime.postgresql.pooler import Connector

CONNECT_TIMEOUT_SECONDS = 2
LOCK_TIMEOUT_MILLISECONDS = 2_000
TCP_TIMEOUT_MILLISECONDS = 3_000
ROUND_TRIP = timedelta(milliseconds=200)
"""How much longer than the statement timeout the client waits for the response."""
ISOLATION = "READ COMMITTED"
SESSION_SETTINGS = {
    "timezone": "UTC",
    "DateStyle": "ISO",
    "IntervalStyle": "postgres",
    "bytea_output": "hex",
    "standard_conforming_strings": "on",
    "array_nulls": "on",
    "quote_all_identifiers": "off",
    "default_transaction_isolation": ISOLATION.lower(),
}
"""Settings that the driver or our code relies on, and that a database or role may override."""


def connect_arguments(url: str) -> dict[str, Any]:
    """Return the driver's arguments: every timeout, unless the URL sets it, and the URL's own options."""
    parts = make_url(url)
    defaults: dict[str, Any] = {
        "connect_timeout": CONNECT_TIMEOUT_SECONDS,
        "tcp_user_timeout": TCP_TIMEOUT_MILLISECONDS,
        "client_encoding": "UTF8",
    }
    if names_several_hosts(parts):  # else the first that answers, which a failover may have made a standby
        defaults["target_session_attrs"] = "read-write"
    arguments = {name: value for name, value in defaults.items() if name not in parts.query}
    return arguments | driver_options(parts)


def listen(engine: Engine, url: str, statement_timeout: timedelta, earliest: datetime, latest: datetime) -> None:
    """Make an engine's connections ours: their settings, their timeouts, and times that Python cannot hold.

    Args:
        engine: has no connection yet.
        url: of the database; its options override our settings.
        statement_timeout: how long the server may work on one statement; zero for no limit.
        earliest: read instead of a time that is too early for Python.
        latest: read instead of one that is too late.
    """
    connector, timestamps = _connector(url, statement_timeout), tolerant_timestamps(earliest, latest)

    def register_timestamps(connection: Any, _record: Any) -> None:
        connection.adapters.register_loader("timestamptz", timestamps)

    event.listen(engine, "do_connect", connector.connect)
    event.listen(engine, "connect", register_timestamps)
    event.listen(engine, "begin", connector.begin)


def _connector(url: str, statement_timeout: timedelta) -> Connector:
    query = make_url(url).query
    milliseconds = int(statement_timeout.total_seconds() * 1000)
    lock_timeout = LOCK_TIMEOUT_MILLISECONDS
    if milliseconds:  # at the same time, the statement's would be reported
        lock_timeout = min(lock_timeout, max(1, milliseconds * 9 // 10))
    settings = SESSION_SETTINGS | {"lock_timeout": str(lock_timeout), "statement_timeout": str(milliseconds)}
    options = query.get("options", "")
    return Connector(
        connection_class(statement_timeout + ROUND_TRIP if statement_timeout else None),
        settings,
        options if isinstance(options, str) else " ".join(options),
        may_prepare="prepare_threshold" in query,
    )
