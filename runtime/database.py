"""The database: one engine per process, opened lazily. It makes SQLite and PostgreSQL behave alike."""

import json
import os
import sqlite3
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from fcntl import LOCK_EX, LOCK_NB, LOCK_UN, flock
from pathlib import Path
from typing import Any, ClassVar, cast

from pydantic_core import from_json
from sqlalchemy import (
    JSON,
    DateTime,
    Dialect,
    Engine,
    Index,
    MetaData,
    Table,
    Update,
    create_engine,
    event,
    func,
    literal,
    text,
)
from sqlalchemy.engine import Connection, CursorResult, ExceptionContext, make_url
from sqlalchemy.exc import DisconnectionError, SQLAlchemyError
from sqlalchemy.orm import DeclarativeBase, Session
from sqlalchemy.types import TypeDecorator, TypeEngine

from runtime.database_url import DEFAULT_SCHEMA
from runtime.errors import Failure
from runtime.postgresql.pooler import is_pooled
from runtime.private_files import FILE_MODE

SQLITE_BUSY_TIMEOUT_SECONDS = 2
SQLITE_CACHE = "cache_size=-16384"
"""16 MiB (a negative value is in KiB): enough for the upper pages of all indexes of a large database."""
SQLITE_SAVEPOINTS = "temp_store=MEMORY"
"""What a savepoint needs for its rollback stays in memory. In temporary files it was two fifths of the bytes that a
delivery made the worker write, and parts of bookings were outside of the database's folder."""
SQLITE_PRAGMAS = (
    "journal_mode=WAL",
    "synchronous=FULL",
    "foreign_keys=ON",
    SQLITE_CACHE,
    SQLITE_SAVEPOINTS,
)
SQLITE_FILE = "sqlite_file"
"""Key in the pool's `info` of a connection to a file: its path, in which links may come to lead elsewhere, and its
identity."""
NO_FILE = ("file:", ":memory:")
"""Beginnings of what SQLite takes in the place of a path."""
POSTGRESQL_SHORT_LOCK_TIMEOUT_MILLISECONDS = 100
POOL_TIMEOUT_SECONDS = 2
EARLIEST, LATEST = datetime(2, 1, 1, tzinfo=UTC), datetime(9998, 12, 31, tzinfo=UTC)
CLOCK_TOLERANCE = timedelta(minutes=1)
"""How far the clocks of two machines may differ, such as that of a worker and the database's."""
BEGIN = "BEGIN IMMEDIATE"
WRITE_QUEUE_SUFFIX = "-queue"
"""Of the empty file beside a SQLite database in which writers queue: locks of the database file itself are SQLite's."""
POLL_INTERVAL = timedelta(milliseconds=2)
"""How often a waiting transaction polls the lock of the queue and, as the first in it, SQLite's write lock.

While the lock is idle, a platform's writer takes it, which does not queue. Polled each 0.5 ms, the lock is idle less:
beside three busy writers, a platform's waited four times as long, and some of its writes failed after 5 s.
"""
YIELD = 5 * POLL_INTERVAL
"""Pause between two transactions on SQLite, so that the platform gets the write lock too, which does not queue."""

NOT_WRITABLE_SQLSTATES = {
    "25006",  # read_only_sql_transaction: a standby, a demoted primary, a hoster's full disk
    "08P01",  # a pooler that cannot reach the server, or waited too long for a free connection to it
    "25P03",  # idle_in_transaction_session_timeout
    "57P01",  # admin_shutdown
    "57P02",  # crash_shutdown
    "57P03",  # cannot_connect_now
    "57P05",  # idle_session_timeout
}
RECOVERY_SQLSTATES = {"40001", "55000"}
"""What a standby answers, too, to what it cannot do "during recovery": only its message tells."""
UNDEFINED_SQLSTATES = {"42P01", "42703"}
"""undefined_table, undefined_column."""
NOT_WRITABLE_SQLITE_CODES = {
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_CORRUPT,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_NOTADB,
}
TABLE_OPTION = "meetergo_inbox_table"
"""Execution option of a statement written as text: the table that it changes, which a trace names."""
DIALECT_OPTIONS = "meetergo_inbox_dialect_options"
"""Key in the `info` of an index; see `dialect_options`."""
LOCK_TIMEOUT_SQLSTATE = "55P03"
INSUFFICIENT_PRIVILEGE_SQLSTATE = "42501"
REFUSED_TABLE_SQLSTATES = {INSUFFICIENT_PRIVILEGE_SQLSTATE, "55000"}
"""Of a missing right, and of a table that is published without a replica identity."""
NAMING_CONVENTION = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_name)s",
    "pk": "pk_%(table_name)s",
}


class Utc(TypeDecorator[datetime]):
    """An aware datetime in UTC. SQLite stores it without its offset, as text in UTC."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Convert a value to UTC."""
        return value and in_range(value)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Return an aware value, within a range that is safe for time zone conversion and arithmetic."""
        return value and in_range(value.replace(tzinfo=UTC) if value.tzinfo is None else value)


def in_range(value: datetime) -> datetime:
    """Return a time in UTC, clamped to what both databases and Python can hold with any time zone."""
    if not EARLIEST <= value <= LATEST:
        value = min(max(value, EARLIEST), LATEST)
    return value if value.tzinfo is UTC else value.astimezone(UTC)


def sqlite_text(value: datetime) -> str:
    """Return a time in UTC as SQLAlchemy stores it in SQLite."""
    return value.replace(tzinfo=None).isoformat(" ", "microseconds")


def read_json(value: str | bytes) -> Any:
    """Read a stored JSON value. pydantic's reader takes a fifth of the time of Python's: a worker saves 3 %."""
    try:
        return from_json(value)
    except ValueError:  # half of a surrogate pair, or nested very deep
        return json.loads(value)


class JsonValue(TypeDecorator[Any]):
    """JSON, on PostgreSQL as JSONB. None is NULL."""

    impl = JSON(none_as_null=True)
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """Return the database's type."""
        if dialect.name != "postgresql":
            return dialect.type_descriptor(self.impl_instance)
        from sqlalchemy.dialects.postgresql import JSONB  # late: a twentieth of a command's start on SQLite

        return dialect.type_descriptor(JSONB(none_as_null=True))


class TolerantJson(JsonValue):
    """JSON that others write. Malformed JSON is read as text, so that it is reported as not a list of URLs."""

    cache_ok = True

    def result_processor(self, dialect: Dialect, coltype: Any) -> Any:
        """Read without failing: one row must not keep others from being read."""
        read = super().result_processor(dialect, coltype)

        def parse(value: Any) -> Any:
            try:
                return read(value) if read else value
            except (ValueError, TypeError, RecursionError):
                return "unreadable"

        return parse


class Model(DeclarativeBase):
    """Declarative base of all tables.

    They are declared in `DEFAULT_SCHEMA`. An engine whose tables lie elsewhere translates that name alone, so the
    tables of a platform, which its hook uses in our sessions, are named as the platform names them. See `schema_of`.
    """

    metadata = MetaData(schema=DEFAULT_SCHEMA, naming_convention=NAMING_CONVENTION)
    type_annotation_map: ClassVar[dict[Any, Any]] = {
        datetime: Utc(),
        dict[str, Any]: JsonValue(),
        list[Any]: JsonValue(),
    }
    CHANGED_BY_EACH_UPDATE: ClassVar[tuple[str, ...]] = ()
    """Columns by one of which an update of a row can be seen; see `update_all`."""


class RowsDiscarded(Failure, SQLAlchemyError):
    """The database reported no error, but a table does not have what was written to it."""

    def __init__(self, table: str) -> None:
        super().__init__(
            f"the database discards or changes what is written to {table}, without an error: look at that table's"
            " triggers and row-level security"
        )


class Database:
    """Opens transactions.

    Args:
        url: SQLAlchemy URL of SQLite or PostgreSQL (psycopg 3).
        pool_size: number of pooled connections; one for each thread that uses them.
        statement_timeout: how long PostgreSQL may work on one statement; zero for no limit.
        pre_ping: whether to test a pooled connection before use, so that one closed while idle causes no error. This
            costs a round trip per transaction; without it, the caller has to retry once.
        schema: schema of our tables on PostgreSQL; SQLite has none.
    """

    def __init__(
        self,
        url: str,
        pool_size: int = 5,
        statement_timeout: timedelta = timedelta(0),
        pre_ping: bool = True,
        schema: str = DEFAULT_SCHEMA,
    ) -> None:
        self.engine = open_engine(url, pool_size, statement_timeout, pre_ping, schema)
        self._reader = self.engine.execution_options(sqlite_begin="DEFERRED")

    @contextmanager
    def transaction(self) -> Iterator[Session]:
        """Open a session that commits at its end or rolls back. On SQLite it takes the write lock at the start."""
        with Session(self.engine, expire_on_commit=False) as session, session.begin():
            yield session

    @contextmanager
    def unsynced_transaction(self) -> Iterator[Session]:
        """Like `transaction`, but on SQLite the commit does not wait for the disk.

        It survives a crash of the process, and one of the machine once a later commit has waited. Use it only for
        claims and leases: on SQLite, all workers run on that machine.
        """
        with (
            self.engine.connect() as connection,
            sqlite_pragma(connection, "synchronous = NORMAL", "synchronous = FULL"),
            Session(connection, expire_on_commit=False) as session,
            session.begin(),
        ):
            yield session

    @contextmanager
    def one_statement(self, *, read_only: bool = False) -> Iterator[Connection]:
        """Open a connection for one statement. On PostgreSQL it commits alone, which saves two round trips.

        Behind a pooler it is a transaction, which has the timeouts. On SQLite, one that only reads waits for no writer.
        """
        with (self._reader if read_only else self.engine).connect() as connection:
            if self.supports_skip_locked and not is_pooled(connection):
                yield connection.execution_options(isolation_level="AUTOCOMMIT")
            else:
                yield connection
                if not read_only:
                    connection.commit()

    @contextmanager
    def rolled_back(self) -> Iterator[Session]:
        """Open a transaction that is always rolled back, including commits made inside it."""
        with self.engine.connect() as connection:
            outer = connection.begin()
            try:
                with Session(connection, expire_on_commit=False, join_transaction_mode="create_savepoint") as session:
                    yield session
            finally:
                outer.rollback()

    @contextmanager
    def read_only(self) -> Iterator[Session]:
        """Open a session that only reads, and so does not wait for writers."""
        with Session(self._reader, expire_on_commit=False) as session:
            yield session

    @property
    def supports_skip_locked(self) -> bool:
        """Whether the database supports SKIP LOCKED, so that two workers can claim rows of a table at once."""
        return self.engine.dialect.name == "postgresql"

    def yield_lock(self) -> None:
        """Pause between two of many transactions, to let others take SQLite's only write lock."""
        if not self.supports_skip_locked:
            time.sleep(YIELD.total_seconds())

    def close(self) -> None:
        """Close all connections."""
        self.engine.dispose()


@contextmanager
def sqlite_pragma(connection: Connection, during: str, afterwards: str) -> Iterator[None]:
    """Set a pragma of SQLite for the block. It is set by the driver, so that no transaction begins."""
    if connection.dialect.name != "sqlite":
        yield
        return
    raw: Any = connection.connection.dbapi_connection
    raw.execute(f"PRAGMA {during}")
    try:
        yield
    finally:
        if not connection.invalidated:
            raw.execute(f"PRAGMA {afterwards}")


def shorten_lock_timeout(session: Session) -> None:
    """Wait less for each lock until the end of the transaction. SQLite has only one, which the transaction has."""
    if is_postgresql(session):
        session.execute(text(f"SET LOCAL lock_timeout = {POSTGRESQL_SHORT_LOCK_TIMEOUT_MILLISECONDS}"))


def check_constraints(session: Session) -> None:
    """Check PostgreSQL's deferred constraints now, as the commit would."""
    if is_postgresql(session):
        session.execute(text("SET CONSTRAINTS ALL IMMEDIATE"))


def database_now(session: Session, now: datetime, plus: timedelta = timedelta()) -> Any:
    """Return an SQL expression for the database's clock, which machines share. SQLite uses the local time given.

    Args:
        session: session of the statement.
        now: the local time, UTC.
        plus: offset to add; may be negative.
    """
    if is_postgresql(session):
        return func.now() + plus
    return literal(now + plus, Utc())


def insert_into(connection: Connection | Session, model: type[Model]) -> Any:
    """Build an INSERT of the connection's dialect, which supports ON CONFLICT."""
    if is_postgresql(connection):
        from sqlalchemy.dialects.postgresql import insert as postgresql_insert  # late: see `JsonValue`

        return postgresql_insert(table_of(model))
    from sqlalchemy.dialects.sqlite import insert as sqlite_insert

    return sqlite_insert(table_of(model))


def update_rows(session: Session, statement: Update, parameters: Mapping[str, Any] | None = None) -> int:
    """Execute an UPDATE that leaves objects of the session as they are; return the number of rows that it matched."""
    result = session.execute(statement, parameters, execution_options={"synchronize_session": False})
    return cast("CursorResult[Any]", result).rowcount


def partial_index(name: str, *columns: str, where: str, unique: bool = False) -> Index:
    """Build an index of only the rows that match an SQL condition."""
    options = dialect_options(sqlite_where=text(where), postgresql_where=text(where))
    return Index(name, *columns, unique=unique, info=options)


def dialect_options(**options: Any) -> dict[str, Any]:
    """Return the `info` of an index that holds options for one database, such as `postgresql_using`.

    Only Alembic needs them, which gets them from `models.migrate.unqualified_tables`. As arguments of the index they
    would make SQLAlchemy import the dialects that they are for: on SQLite, a twentieth of a command's start.
    """
    return {DIALECT_OPTIONS: options}


def table_of(model: type[Model]) -> Table:
    """Return the table that a model is mapped to."""
    table = model.__table__
    assert isinstance(table, Table)  # noqa: S101 - none of ours is mapped to anything else
    return table


def schema_of(bind: Engine | Connection | Session) -> str | None:
    """Return the schema of our tables there; None on SQLite."""
    engine = bind.get_bind() if isinstance(bind, Session) else bind
    translated = engine.get_execution_options().get("schema_translate_map") or {}
    schema: str | None = translated.get(DEFAULT_SCHEMA, DEFAULT_SCHEMA)
    return schema


def qualified_name(bind: Connection | Session, model: type[Model]) -> str:
    """Return the name of a model's table for SQL as text, with its schema."""
    engine = bind.get_bind() if isinstance(bind, Session) else bind
    preparer = engine.dialect.identifier_preparer
    schema, name = schema_of(bind), preparer.quote(table_of(model).name)
    return f"{preparer.quote(schema)}.{name}" if schema else name


def is_postgresql(connection: Connection | Session) -> bool:
    """Whether it is a connection to PostgreSQL."""
    return (connection.get_bind() if isinstance(connection, Session) else connection).dialect.name == "postgresql"


def open_engine(url: str, pool_size: int, statement_timeout: timedelta, pre_ping: bool, schema: str) -> Engine:
    """Open an engine with every timeout set, and with parameters hidden from errors, since they hold personal data.

    Options in the URL override ours.
    """
    options: dict[str, Any] = {
        "hide_parameters": True,
        "json_deserializer": read_json,
        "pool_size": pool_size,
        "max_overflow": 0,
        "pool_timeout": POOL_TIMEOUT_SECONDS,
    }
    is_sqlite = make_url(url).get_backend_name() == "sqlite"
    if is_sqlite or schema != DEFAULT_SCHEMA:
        options["execution_options"] = {"schema_translate_map": {DEFAULT_SCHEMA: None if is_sqlite else schema}}
    if is_sqlite:
        engine = create_engine(url, connect_args={"timeout": SQLITE_BUSY_TIMEOUT_SECONDS}, **options)
        event.listen(engine, "do_connect", _find_sqlite)
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "checkout", _discard_replaced_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
        event.listen(engine, "handle_error", _discard_unwritable)
        return engine
    from runtime.postgresql import engine as postgresql  # late: a tenth of a command's start on SQLite

    engine = create_engine(
        url,
        connect_args=postgresql.connect_arguments(url),
        pool_pre_ping=pre_ping,
        isolation_level=postgresql.ISOLATION,
        **options,
    )
    postgresql.listen(engine, url, statement_timeout, EARLIEST, LATEST)
    event.listen(engine, "handle_error", _discard_unwritable)
    return engine


def _discard_unwritable(context: ExceptionContext) -> None:
    """Discard a connection to a demoted server, which would answer reads and refuse writes for ever."""
    if _is_unwritable(context.original_exception):
        context.is_disconnect = True


def _is_unwritable(error: BaseException | None) -> bool:
    if error is not None and hasattr(error, "sqlstate"):
        is_of_standby = error.sqlstate in RECOVERY_SQLSTATES and "recovery" in str(error)
        return is_of_standby or error.sqlstate in NOT_WRITABLE_SQLSTATES
    code = getattr(error, "sqlite_errorcode", None)
    return code is not None and code & 0xFF in NOT_WRITABLE_SQLITE_CODES


def is_schema_outdated(error: BaseException) -> bool:
    """Whether an error means that the database's schema is not that of this version."""
    cause = getattr(error, "orig", None)
    if cause is not None and hasattr(cause, "sqlstate"):
        return cause.sqlstate in UNDEFINED_SQLSTATES and not cause.diag.context  # else a trigger names what is missing
    return isinstance(error, SQLAlchemyError) and str(cause).startswith(("no such table", "no such column"))


def is_table_refused(error: BaseException) -> bool:
    """Whether PostgreSQL says that a table is refused to us. A trigger or a policy can say the same of one row."""
    return getattr(getattr(error, "orig", None), "sqlstate", None) in REFUSED_TABLE_SQLSTATES


def create_file(engine: Engine) -> None:
    """Create the file of SQLite with private permissions, which SQLite copies to its WAL and shared-memory files.

    Nothing else creates it: otherwise, a file that is gone for a while would come back empty.

    Raises:
        OSError: it cannot be created.
    """
    path = engine.url.database or ""
    if engine.dialect.name == "sqlite" and path and not path.startswith(NO_FILE):
        with suppress(FileExistsError):
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, FILE_MODE))


def _find_sqlite(_dialect: Any, record: Any, arguments: Sequence[Any], _options: Any) -> None:
    if not arguments or str(arguments[0]).startswith(NO_FILE):
        return
    path = Path(arguments[0])
    identity = _identity(path)
    if identity is None:
        raise sqlite3.OperationalError(
            f"there is no file {path}: bring it back, or let bin/inbox migrate make a new one"
        )
    record.info[SQLITE_FILE] = path, identity


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # pysqlite must not begin on its own: see _begin_sqlite
    for pragma in SQLITE_PRAGMAS:
        connection.execute(f"PRAGMA {pragma}")


def _discard_replaced_sqlite(_connection: Any, record: Any, _proxy: Any) -> None:
    """Discard a connection whose file was replaced or removed: what it writes, no other process would ever see.

    Raises:
        DisconnectionError: it was. The pool opens another connection.
    """
    path, opened = record.info.get(SQLITE_FILE, (None, None))
    if path and _identity(path) != opened:
        raise DisconnectionError("the database's file was replaced")


def _identity(path: Path) -> tuple[int, int] | None:
    with suppress(OSError):
        status = path.stat()
        return status.st_dev, status.st_ino
    return None


def _begin_sqlite(connection: Connection) -> None:
    """Begin as a writer by default: SQLite cannot make a transaction wait that reads first and writes later."""
    if connection.get_execution_options().get("sqlite_begin") == "DEFERRED":
        connection.exec_driver_sql("BEGIN DEFERRED")
    else:
        _begin_as_writer(connection)


def _begin_as_writer(connection: Connection) -> None:
    """Begin as the first of those that wait, polling the write lock often: SQLite's own handler polls every 100 ms."""
    raw: Any = connection.connection.dbapi_connection
    until = time.monotonic() + SQLITE_BUSY_TIMEOUT_SECONDS
    raw.execute("PRAGMA busy_timeout = 0")
    try:
        with _first_in_queue(connection.engine.url.database or "", until):
            while time.monotonic() < until:
                try:
                    raw.execute(BEGIN)
                    return
                except sqlite3.OperationalError as error:
                    if error.sqlite_errorcode != sqlite3.SQLITE_BUSY:
                        break
                time.sleep(POLL_INTERVAL.total_seconds())
            connection.exec_driver_sql(BEGIN)  # raises SQLAlchemy's error
    finally:
        with suppress(sqlite3.ProgrammingError):  # the connection was discarded and is closed
            raw.execute(f"PRAGMA busy_timeout = {SQLITE_BUSY_TIMEOUT_SECONDS * 1000:.0f}")


@contextmanager
def _first_in_queue(database: str, until: float) -> Iterator[None]:
    """Wait to be the first of those that wait for a database file's write lock, and be it until the end of the block.

    SQLite grants its lock to the writer that asks at the moment it is free: nearly always the one that has just
    released it, so that others starve for seconds beside a busy one. Here only the first in the queue asks, and a
    writer that begins again queues behind those that wait. The kernel releases the place with the process. Without a
    file that can be locked there is no queue.

    Args:
        database: path of the database.
        until: when to stop waiting, in monotonic seconds. Then it goes on without its place.
    """
    try:
        file = _open_write_queue(database)
    except OSError:
        yield
        return
    try:
        with suppress(OSError):
            _lock(file, until)
        yield
    finally:
        with suppress(OSError):
            flock(file, LOCK_UN)  # not only closed: a process forked meanwhile has it open too
        os.close(file)


def _open_write_queue(database: str) -> int:
    """Open the file that is locked, and make it if it is missing.

    Raises:
        OSError: it cannot be opened, or the database has no path.
    """
    if not database or database.startswith(NO_FILE):
        raise FileNotFoundError(database)
    return os.open(database + WRITE_QUEUE_SUFFIX, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, FILE_MODE)


def _lock(file: int, until: float) -> None:
    while True:
        with suppress(BlockingIOError):
            return flock(file, LOCK_EX | LOCK_NB)
        if time.monotonic() > until:
            return None
        time.sleep(POLL_INTERVAL.total_seconds())
