"""PostgreSQL behind a pooler such as PgBouncer: recognised by each connection, without a setting.

A pooler in transaction mode gives each transaction another connection to the server, so nothing may belong to the
session: settings are made in each transaction, and no statement is prepared. That is as right behind a pooler in
session mode. A connection to the server itself makes its settings once, when it is opened.
"""

import os
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, LiteralString, NamedTuple

from sqlalchemy.engine import Connection, Dialect
from sqlalchemy.pool import ConnectionPoolEntry

if TYPE_CHECKING:
    import psycopg

REFUSALS = ("startup parameter", "command-line options")
"""Parts of the errors of poolers that do not take `options`: PgBouncer, all of it (1.18) or a setting in it (1.20), and
Amazon's RDS Proxy."""
SET = (
    "SELECT count(set_config(name, value, true))"
    " FROM unnest(CAST(%s AS text[]), CAST(%s AS text[])) AS given (name, value)"
)
PER_TRANSACTION = "settings_per_transaction"
"""Key in SQLAlchemy's `info` of a connection whose settings are made in each transaction."""
SYNCHRONOUS_COMMIT = "synchronous_commit"
"""Where it is off, a crash of the server loses the last commits. We turn it on, unless the URL sets it: a 200 means
that the delivery is on the disk. No other value is changed, since those are about standbys."""
FROM_ENVIRONMENT = {"PGDATESTYLE": "DateStyle", "PGTZ": "timezone"}
"""Variables of libpq -> the setting that it sends for each, which wins over `options`."""
WORD = re.compile(r"(?:\\.|[^\s\\])+", re.DOTALL)
SETTING = re.compile(r"(?:-c|--)(?P<name>[^=]+)=(?P<value>.*)", re.DOTALL)


class Connector:
    """Opens the connections of an engine, and begins their transactions.

    Args:
        connection_class: class of the connections.
        settings: settings of PostgreSQL, as text.
        options: PostgreSQL's `options` as the URL has them. Its settings win over `settings`; other words are for the
            pooler, such as Neon's `endpoint=...`.
        may_prepare: whether the URL says when to prepare statements, so that we do not.
    """

    def __init__(
        self,
        connection_class: "type[psycopg.Connection[Any]]",
        settings: Mapping[str, str],
        options: str,
        may_prepare: bool,
    ) -> None:
        of_url, self._other_options = split_options(options)
        self._settings = {**settings, **of_url}
        self._may_lose_commits = SYNCHRONOUS_COMMIT in of_url
        self._connection_class = connection_class
        self._may_prepare = may_prepare
        self._refuses_options = False

    @property
    def options(self) -> str:
        """All settings as one connection's `options`."""
        flags = [f"-c {name}={_escaped(value)}" for name, value in self._settings.items()]
        return " ".join([*flags, self._other_options]).strip()

    def connect(
        self, _dialect: Dialect, record: ConnectionPoolEntry, arguments: Sequence[Any], keywords: Mapping[str, Any]
    ) -> "psycopg.Connection[Any]":
        """Open a connection, for SQLAlchemy's event `do_connect`. The server itself is asked one question more.

        Raises:
            psycopg.OperationalError: nothing answers, or it refuses.
        """
        connection = self._connect_with_options(arguments, keywords)
        refuses_options = connection is None
        if connection is None:
            without = {**keywords, "options": self._other_options}
            connection = self._connection_class.connect(*arguments, **without)
        server = _ask(connection)
        is_pooled = refuses_options or server.is_pooler
        if not server.waits_for_disk and not self._may_lose_commits:
            self._settings = {**self._settings, SYNCHRONOUS_COMMIT: "on"}
            if not is_pooled:  # later connections begin with it
                _execute(connection, f"SET {SYNCHRONOUS_COMMIT} = on")
        if not is_pooled:
            for variable, name in FROM_ENVIRONMENT.items():
                if variable in os.environ and name in self._settings:
                    _execute(connection, "SELECT set_config(%s, %s, false)", (name, self._settings[name]))
            return connection
        if not self._may_prepare:
            connection.prepare_threshold = None
        record.info[PER_TRANSACTION] = True
        return connection

    def _connect_with_options(
        self, arguments: Sequence[Any], keywords: Mapping[str, Any]
    ) -> "psycopg.Connection[Any] | None":
        """Return None if a pooler does not take the options; it is not asked again."""
        from psycopg import OperationalError  # late: see runtime/postgresql/driver.py

        if self._refuses_options:
            return None
        try:
            return self._connection_class.connect(*arguments, **{**keywords, "options": self.options})
        except OperationalError as error:
            if not any(refusal in str(error) for refusal in REFUSALS):
                raise
        self._refuses_options = True
        return None

    def begin(self, connection: Connection) -> None:
        """Make the settings of a transaction, for SQLAlchemy's event `begin`."""
        raw: Any = connection.connection.dbapi_connection
        if is_pooled(connection) and not raw.autocommit:
            connection.exec_driver_sql(SET, (list(self._settings), list(self._settings.values())))


def is_pooled(connection: Connection) -> bool:
    """Whether settings hold for a transaction only, so that a statement with timeouts needs one."""
    return PER_TRANSACTION in connection.info


def split_options(options: str) -> tuple[dict[str, str], str]:
    """Split PostgreSQL's `options` into its settings (name -> value) and all other words."""
    settings: dict[str, str] = {}
    others: list[str] = []
    words = iter(WORD.findall(options))
    for word in words:
        flag = f"-c{next(words, '')}" if word == "-c" else word
        setting = SETTING.fullmatch(flag)
        if setting:
            settings[setting["name"].replace("-", "_")] = re.sub(r"\\(.)", r"\1", setting["value"], flags=re.DOTALL)
        else:
            others.append(flag)
    return settings, " ".join(others)


def _escaped(value: str) -> str:
    return re.sub(r"([\s\\])", r"\\\1", value)


class Server(NamedTuple):
    """What answers: whether it is a pooler, and whether a commit there waits for the disk."""

    is_pooler: bool
    waits_for_disk: bool


def _ask(connection: "psycopg.Connection[Any]") -> Server:
    """Ask a new connection what answers.

    It is a pooler if another process answers than the one that the connection was opened to, by its own word. A pooler
    invents the process id, since it belongs to no process of the server. That `options` were accepted says nothing:
    PgBouncer can be told to drop them (`ignore_startup_parameters`).
    """
    answer = _execute(connection, f"SELECT pg_backend_pid(), current_setting('{SYNCHRONOUS_COMMIT}')").fetchone()
    pid, synchronous_commit = answer or (0, "")
    return Server(pid != connection.info.backend_pid, synchronous_commit != "off")


def _execute(
    connection: "psycopg.Connection[Any]", statement: LiteralString, parameters: Sequence[str] = ()
) -> "psycopg.Cursor[Any]":
    """Execute a statement outside of a transaction; close the connection if it fails."""
    try:
        connection.autocommit = True
        cursor = connection.execute(statement, parameters, prepare=False)
        connection.autocommit = False
    except BaseException:
        connection.close()
        raise
    return cursor
