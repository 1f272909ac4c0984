"""The platform's hook: a function that PLATFORM_HOOK names, called in the transaction that changes a booking."""

import functools
import inspect
import re
import sys
import sysconfig
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from types import TracebackType
from typing import Any

import structlog
from sqlalchemy import Connection, Engine, event
from sqlalchemy.orm import Session

from meetergo_inbox import BookingSnapshot, ChangeSnapshot, HostSnapshot, import_file
from models.booking import Booking, BookingChange
from models.facts import sorted_ids
from models.platform_user import PlatformUser
from runtime.database import Model
from runtime.errors import Failure, Transient
from worker import hook_source
from worker.hook_source import UnusableHook

Hook = Callable[[Session, Booking, BookingChange], None]

SESSION_METHODS = ("commit", "rollback", "close", "reset", "invalidate", "expunge_all", "prepare")
"""Session methods that would end the transaction or detach objects that other deliveries share."""
CONNECTION_METHODS = ("commit", "rollback", "close")
"""Those of the connection, and of the session's transaction."""
DRIVER_METHODS = ("commit", "rollback")
"""Those of the driver's connection, whose `close` our timeouts call."""
BLANKS_AND_COMMENTS = r"(?:\s|;|--[^\n]*|/\*.*?\*/)*+"
"""Possessive, since comments could otherwise be divided in many ways."""
ENDS_TRANSACTION = re.compile(
    rf"(?is){BLANKS_AND_COMMENTS}(?:COMMIT|END|ABORT|PREPARE\s+TRANSACTION|ROLLBACK(?!\s+(?:(?:WORK|TRANSACTION)\s+)?TO\b))\b"
)
COMMITS_AT_ITS_END = re.compile(r"(?i);\s*(?:COMMIT|ROLLBACK)(?:\s+(?:WORK|TRANSACTION))?[\s;]*+\Z")
"""Matches the end of a script of several statements."""
LIBRARY_PATHS = tuple(filter(None, map(sysconfig.get_path, ("stdlib", "platstdlib", "purelib", "platlib"))))
MAX_NAME_LENGTH = 255
MAX_FRAMES = 8
"""Maximum number of stack frames in a logged error."""

log = structlog.get_logger()


class HookFailed(Transient):
    """The hook raised; the message names the error's type and place in the code, and quotes no value."""


def load(path: str, folders: Sequence[Path] = ()) -> Hook | None:
    """Import the function that PLATFORM_HOOK names; None if it is empty.

    Args:
        path: `package.module:function` or `path/to/file.py:function`.
        folders: PLATFORM_PATH, the folders with the platform's code.

    Raises:
        UnusableHook: the module or the function does not exist, or it cannot be called as a hook.
    """
    if not path:
        hook_source.add_to_path(folders)
        return None
    if len(path) > MAX_NAME_LENGTH:
        raise UnusableHook(f"PLATFORM_HOOK={path[:40]}... cannot be imported: it is too long")
    try:
        function = hook_source.find_function(path, folders)
    except UnusableHook:
        raise
    except ImportError as error:
        place = _summary(error).partition(" at ")[2]
        raise UnusableHook(
            f"PLATFORM_HOOK={path} cannot be imported: {error}{place and f', at {place}'}{hook_source.advice(error)}"
        ) from error
    except (Exception, SystemExit) as error:
        raise UnusableHook(f"PLATFORM_HOOK={path} cannot be imported: {_summary(error)}") from error
    _validate(path, function)
    return _wrapped(function)


def forbid_commit_as_sql(engine: Engine) -> None:
    """Refuse statements that end the transaction. Only a hook executes any: our own code has the driver end it."""
    event.listen(engine, "before_cursor_execute", _reject_end_of_transaction)


def _reject_end_of_transaction(_connection: Connection, _cursor: Any, statement: str, *_: Any) -> None:
    if ENDS_TRANSACTION.match(statement) or COMMITS_AT_ITS_END.search(statement):
        raise HookFailed("the hook ends the transaction: leave that to the worker, which commits all or nothing")


def _validate(path: str, function: Any) -> None:
    if not callable(function):
        raise UnusableHook(f"PLATFORM_HOOK={path} is not a function")
    callee = function if inspect.isroutine(function) or inspect.isclass(function) else type(function).__call__
    plain = function.func if isinstance(function, functools.partial) else callee
    if any(is_deferred(each) for each in (function, callee, plain) for is_deferred in DEFERRED_KINDS):
        raise UnusableHook(f"PLATFORM_HOOK={path} is async or a generator: it would never run; write a plain function")
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):  # some functions written in C have no signature
        return
    try:
        signature.bind(None, None, None)
    except TypeError as error:
        raise UnusableHook(
            f"PLATFORM_HOOK={path} cannot be called with three arguments (session, booking, change): {error}"
        ) from None


DEFERRED_KINDS = (inspect.iscoroutinefunction, inspect.isasyncgenfunction, inspect.isgeneratorfunction)
"""Kinds of functions whose body does not run when they are called."""


def _wrapped(function: Callable[[Session, BookingSnapshot, ChangeSnapshot], object]) -> Hook:
    """Wrap the function so that whatever it does to its session or process fails only its own delivery."""

    def hook(session: Session, booking: Booking, change: BookingChange) -> None:
        transaction = session.get_nested_transaction() or session.get_transaction()
        try:
            with _guarded(session):
                result = function(session, _booking_snapshot(session, booking), _change_snapshot(change))
            _reject_deferred_result(result)
            _check_transaction(session, transaction)
            session.flush()  # an invalid row that the hook added fails here, as the hook's error
        except (Failure, KeyboardInterrupt):
            raise
        except BaseException as error:  # neither CancelledError nor gevent.Timeout nor a panic in Rust is an Exception
            path = [_location(frame) for frame in _frames(error)][-MAX_FRAMES:]
            log.warning("hook.failed", delivery_id=change.delivery_id, error=type(error).__name__, at=path)
            raise HookFailed(_summary(error)) from error

    return hook


def _booking_snapshot(session: Session, booking: Booking) -> BookingSnapshot:
    owner = session.get(PlatformUser, booking.platform_user_id) if booking.platform_user_id else None
    return BookingSnapshot(
        **_copied(booking, BOOKING_COLUMNS),
        host=HostSnapshot(**_copied(owner, HOST_COLUMNS)) if owner else None,
        host_ids=sorted_ids(booking.host_ids),
        metadata=_copy(booking.metadata_),
    )


def _change_snapshot(change: BookingChange) -> ChangeSnapshot:
    return ChangeSnapshot(**_copied(change, CHANGE_COLUMNS))


def _copied(row: Model, columns: Iterable[str]) -> dict[str, Any]:
    loaded = row.__dict__  # SQLAlchemy's attributes are functions, which take ten times as long
    return {name: _copy(loaded[name] if name in loaded else getattr(row, name)) for name in columns}


def _copy(value: Any) -> Any:
    """Copy JSON; all other values are immutable. `deepcopy` would take a third of a call, as it knows neither."""
    if isinstance(value, dict):
        return {name: _copy(item) for name, item in value.items()}
    return [*map(_copy, value)] if isinstance(value, list) else value


CHANGE_COLUMNS = [each.name for each in fields(ChangeSnapshot)]
HOST_COLUMNS = [each.name for each in fields(HostSnapshot)]
BOOKING_COLUMNS = [each.name for each in fields(BookingSnapshot) if each.name not in ("host", "host_ids", "metadata")]


@contextmanager
def _guarded(session: Session) -> Iterator[None]:
    """Keep the hook from ending the transaction, which other deliveries share."""
    connection = session.connection()
    pooled = connection.connection
    guarded = [(session, FORBIDDEN), (connection, FORBIDDEN_BY_CONNECTION), (pooled, FORBIDDEN_BY_CONNECTION)]
    guarded.append((session.get_transaction(), FORBIDDEN_BY_TRANSACTION))
    if hasattr(pooled.dbapi_connection, "__dict__"):  # that of SQLite is written in C
        guarded.append((pooled.dbapi_connection, FORBIDDEN_BY_DRIVER))
    for each, forbidden in guarded:
        vars(each).update(forbidden)
    try:
        yield
    finally:
        for each, forbidden in guarded:
            for name in forbidden:
                vars(each).pop(name, None)


def _forbid(call: str) -> Callable[..., Any]:
    def forbidden(*_: Any, **__: Any) -> None:
        raise HookFailed(f"the hook calls {call}(): leave that to the worker, which commits all or nothing")

    return forbidden


FORBIDDEN = {name: _forbid(f"session.{name}") for name in SESSION_METHODS}
FORBIDDEN_BY_CONNECTION = {name: _forbid(f"connection.{name}") for name in CONNECTION_METHODS}
FORBIDDEN_BY_TRANSACTION = {name: _forbid(f"transaction.{name}") for name in CONNECTION_METHODS}
FORBIDDEN_BY_DRIVER = {name: _forbid(f"connection.{name}") for name in DRIVER_METHODS}


def _reject_deferred_result(result: Any) -> None:
    if result is None:
        return
    if inspect.iscoroutine(result) or inspect.isgenerator(result):
        result.close()
    if inspect.isawaitable(result) or inspect.isasyncgen(result) or inspect.isgenerator(result):
        raise HookFailed(f"the hook returned a {type(result).__name__}, which is never run: write a plain function")


def _check_transaction(session: Session, transaction: Any) -> None:
    """Reject a hook that swallowed a database error: its transaction can do nothing more."""
    now = session.get_nested_transaction() or session.get_transaction()
    if now is None or now is not transaction or not now.is_active:
        raise HookFailed("the hook ended the transaction, or left it broken after an error that it caught")
    raw: Any = session.connection().connection.dbapi_connection
    status = getattr(getattr(raw, "info", None), "transaction_status", None)  # psycopg's; SQLite's has none
    if status is not None and status.name == "INERROR":
        raise HookFailed("the hook caught a database error, after which nothing can be written")


def _summary(error: BaseException) -> str:
    """Return the error's type and its place: the last frame in the platform's own code."""
    if isinstance(error, SyntaxError) and error.filename:
        return f"{type(error).__name__}: {error.msg}, at {_relative(Path(error.filename))}:{error.lineno}"
    frames = list(_frames(error))
    own = [frame for frame in frames if not frame.filename.startswith(LIBRARY_PATHS)]
    kind = "the hook asked Python to exit" if isinstance(error, SystemExit) else type(error).__name__
    return f"{kind} at {_location((own or frames)[-1])}" if frames else kind


def _frames(error: BaseException) -> Iterator[traceback.FrameSummary]:
    """Yield the frames below this module, without reading source lines or variables."""
    for frame, line in traceback.walk_tb(_below_this_module(error.__traceback__)):
        yield traceback.FrameSummary(frame.f_code.co_filename, line, frame.f_code.co_name, lookup_line=False)


def _below_this_module(tb: TracebackType | None) -> TracebackType | None:
    while tb and (tb.tb_frame.f_code.co_filename in OWN_FILES or "importlib" in tb.tb_frame.f_code.co_filename):
        tb = tb.tb_next
    return tb


OWN_FILES = (__file__, hook_source.__file__, import_file.__code__.co_filename)


def _location(frame: traceback.FrameSummary) -> str:
    return f"{_relative(Path(frame.filename))}:{frame.lineno} in {frame.name}"


def _relative(path: Path) -> Path:
    """Return a path as seen from the nearest folder of Python's path, else from its own folder."""
    roots = sorted((Path(root or ".").absolute() for root in sys.path), key=lambda root: -len(root.parts))
    root = next((root for root in roots if path.is_relative_to(root)), path.parent)
    return path.relative_to(root)
