"""The platform's hook is checked at the start, and its errors affect only its own delivery."""

import asyncio
import functools
import importlib
import json
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from rq.timeouts import JobTimeoutException
from sqlalchemy import text
from sqlalchemy.orm import Session
from structlog.testing import CapturingLogger

from devtools.send import samples
from models.attempt import FailedAttempt
from models.booking import Booking, BookingChange
from models.delivery import Delivery
from models.notification import Notification
from models.platform_user import PlatformUser
from runtime.errors import Permanent, Transient
from tests.console.cli import ON_SQLITE
from tests.worker.harness import AT, START, Harness
from worker import hook
from worker.hook import UnusableHook
from worker.inbox import processor
from worker.queue_worker import RepeatedTimeout

SECRET = "guest-1@example.com"


async def late(session: Session, booking: Booking, change: BookingChange) -> None: ...


def generating(session: Session, booking: Booking, change: BookingChange) -> Any:
    yield 1


async def generating_late(session: Session, booking: Booking, change: BookingChange) -> Any:
    yield 1


class Callee:
    def __call__(self, session: Session, booking: Booking, change: BookingChange) -> None:
        CALLS.append(booking.id)

    async def late(self, session: Session, booking: Booking, change: BookingChange) -> None: ...


class LateCallee:
    async def __call__(self, session: Session, booking: Booking, change: BookingChange) -> None: ...


CALLS: list[str] = []
callee, late_callee, bound_late = Callee(), LateCallee(), Callee().late
partial = functools.partial(lambda word, session, booking, change: CALLS.append(word), "partial")
partial_late = functools.partial(late)
partial_late_callee = functools.partial(LateCallee())


def two(session: Session, booking: Booking) -> None: ...
def four(session: Session, booking: Booking, change: BookingChange, more: str) -> None: ...
def named(*, session: Session, booking: Booking, change: BookingChange) -> None: ...
def any_number(*arguments: Any) -> None:
    CALLS.append("any")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("late", "is async or a generator"),
        ("generating", "is async or a generator"),
        ("generating_late", "is async or a generator"),
        ("bound_late", "is async or a generator"),
        ("late_callee", "is async or a generator"),
        ("partial_late", "is async or a generator"),
        ("two", "cannot be called with three arguments (session, booking, change): too many positional arguments"),
        ("four", "missing a required argument: 'more'"),
        ("named", "cannot be called with three arguments"),
        ("SECRET", "is not a function"),
        ("nothing", "cannot be imported: module"),
        ("", "cannot be imported"),
    ],
)
def test_an_unusable_hook_is_an_error_message_at_start(name: str, said: str) -> None:
    with pytest.raises(UnusableHook) as error:
        hook.load(f"{__name__}:{name}")
    assert str(error.value).startswith(f"PLATFORM_HOOK={__name__}:{name} ")
    assert said in str(error.value)


def test_a_module_that_fails_on_import_is_an_error_message(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    for name, source in {
        "raises_at_import": "SETTINGS = {}\nSETTINGS['s3cret']\n",
        "exits_at_import": "raise SystemExit(3)\n",
        "no_python": "def changed(:\n",
    }.items():
        (tmp_path / f"{name}.py").write_text(source)
    for path, said in {
        "raises_at_import:x": "KeyError at raises_at_import.py:2 in <module>",
        "exits_at_import:x": "exit at exits_at_import.py:1 in <module>",
        "no_python:x": "SyntaxError",
        "raises_at_import.more:x": "cannot be imported",
        "..:x": "cannot be imported",
    }.items():
        with pytest.raises(UnusableHook) as error:
            hook.load(path)
        assert said in str(error.value)
        assert "s3cret" not in str(error.value)


@ON_SQLITE
@pytest.mark.parametrize("name", ["callee", "partial", "any_number"])
def test_every_callable_with_three_arguments_is_a_hook(open_harness: Callable[..., Harness], name: str) -> None:
    CALLS.clear()
    open_harness(platform_hook=f"{__name__}:{name}").process(samples.created("b1", START, AT))
    assert len(CALLS) == 1


def fails(session: Session, booking: Booking, change: BookingChange) -> None:
    def room() -> None:
        raise KeyError(booking.attendees[0]["email"])

    if booking.id == "b1":
        room()


def fails_in_a_library(session: Session, booking: Booking, change: BookingChange) -> None:
    if booking.id == "b1":
        json.loads(booking.attendees[0]["email"])


def fails_in_the_database(session: Session, booking: Booking, change: BookingChange) -> None:
    if booking.id == "b1":
        session.execute(text(f"SELECT '{SECRET}' FROM nowhere"))


def catches_an_error_of_the_database(session: Session, booking: Booking, change: BookingChange) -> None:
    if booking.id == "b1":
        try:
            session.execute(text("SELECT 1 FROM nowhere"))
        except Exception:
            return


def catches_an_error_of_a_flush(session: Session, booking: Booking, change: BookingChange) -> None:
    if booking.id == "b1":
        session.add(PlatformUser(external_id=None, name=SECRET))
        try:
            session.flush()
        except Exception:
            return


def leaves_what_cannot_be_written(session: Session, booking: Booking, change: BookingChange) -> None:
    if booking.id == "b1":
        session.add(PlatformUser(external_id=None, name=SECRET))


def commits(session: Session, booking: Booking, change: BookingChange) -> None:
    if booking.id == "b1":
        session.commit()


def rolls_back(session: Session, booking: Booking, change: BookingChange) -> None:
    if booking.id == "b1":
        session.rollback()


def closes(session: Session, booking: Booking, change: BookingChange) -> None:
    if booking.id == "b1":
        session.close()


def commits_by_connection(session: Session, booking: Booking, change: BookingChange) -> None:
    if booking.id == "b1":
        session.connection().commit()


def closes_the_connection(session: Session, booking: Booking, change: BookingChange) -> None:
    if booking.id == "b1":
        with session.connection() as connection:
            connection.execute(text("SELECT 1"))


def commits_as_the_driver(session: Session, booking: Booking, change: BookingChange) -> None:
    if booking.id == "b1":
        session.connection().connection.commit()


def commits_by_transaction(session: Session, booking: Booking, change: BookingChange) -> None:
    transaction = session.get_transaction()
    if booking.id == "b1" and transaction:
        transaction.commit()


def commits_as_sql(session: Session, booking: Booking, change: BookingChange) -> None:
    if booking.id == "b1":
        session.execute(text(" commit;"))
        session.execute(text("SELECT 1"))


def rolls_back_as_sql(session: Session, booking: Booking, change: BookingChange) -> None:
    if booking.id == "b1":
        session.connection().exec_driver_sql("ROLLBACK")


def commits_after_a_comment(session: Session, booking: Booking, change: BookingChange) -> None:
    if booking.id == "b1":
        session.execute(text("/* the end */ -- of it\nCOMMIT"))


def rolls_back_with_a_comment(session: Session, booking: Booking, change: BookingChange) -> None:
    if booking.id == "b1":
        session.execute(text("ROLLBACK -- to the start"))


def commits_by_a_script(session: Session, booking: Booking, change: BookingChange) -> None:
    if booking.id == "b1":
        session.execute(text("BEGIN;\nUPDATE platform_users SET name = name;\nCOMMIT;\n"))


def is_cancelled(session: Session, booking: Booking, change: BookingChange) -> None:
    if booking.id == "b1":
        raise asyncio.CancelledError(SECRET)


def ends_our_savepoint(session: Session, booking: Booking, change: BookingChange) -> None:
    nested = session.get_nested_transaction()
    if booking.id == "b1" and nested:
        nested.rollback()


def exits(session: Session, booking: Booking, change: BookingChange) -> None:
    if booking.id == "b1":
        raise SystemExit(SECRET)


def loses_the_connection(session: Session, booking: Booking, change: BookingChange) -> None:
    """Take longer than the server lets a transaction idle."""
    if booking.id == "b1":
        session.execute(text("SET LOCAL idle_in_transaction_session_timeout = 1"))
        time.sleep(0.3)


def sees_the_server_restart(session: Session, booking: Booking, change: BookingChange) -> None:
    CALLS.append(booking.id)
    if CALLS == ["b1"]:
        session.execute(text("SELECT pg_terminate_backend(pg_backend_pid())"))


def returns_a_coroutine(session: Session, booking: Booking, change: BookingChange) -> Any:
    return late(session, booking, change) if booking.id == "b1" else None


HERE = "worker/test_hook.py"


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("fails", f"KeyError at tests/{HERE}"),
        ("fails_in_a_library", f"JSONDecodeError at tests/{HERE}"),
        ("fails_in_the_database", f"Error at tests/{HERE}"),
        ("catches_an_error_of_a_flush", "left it broken"),
        ("leaves_what_cannot_be_written", "IntegrityError"),
        ("commits", "the hook calls session.commit(): leave that to the worker"),
        ("rolls_back", "the hook calls session.rollback()"),
        ("closes", "the hook calls session.close()"),
        ("commits_by_connection", "the hook calls connection.commit()"),
        ("closes_the_connection", "the hook calls connection.close()"),
        ("commits_by_transaction", "the hook calls transaction.commit()"),
        ("commits_as_sql", "the hook ends the transaction"),
        ("rolls_back_as_sql", "the hook ends the transaction"),
        ("commits_after_a_comment", "the hook ends the transaction"),
        ("rolls_back_with_a_comment", "the hook ends the transaction"),
        ("commits_by_a_script", "the hook ends the transaction"),
        ("commits_as_the_driver", "the hook calls connection.commit()"),
        ("is_cancelled", f"CancelledError at tests/{HERE}"),
        ("ends_our_savepoint", "ended the transaction"),
        ("exits", f"the hook asked Python to exit at tests/{HERE}"),
        ("returns_a_coroutine", "the hook returned a coroutine"),
        ("partial_late_callee", "the hook returned a coroutine"),
    ],
)
def test_a_failing_hook_names_place_and_error_and_affects_no_other_delivery(
    open_harness: Callable[..., Harness], name: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        processor, "MAX_BATCH_TIME", timedelta(hours=1)
    )  # one batch: a hook alone has no savepoint to end
    harness = open_harness(platform_hook=f"{__name__}:{name}")
    harness.deliver(*(samples.created(f"b{number}", START, AT) for number in range(3)))
    monkeypatch.setattr(hook, "log", log := CapturingLogger())
    harness.process_due()
    rows = {row.booking_id: row for row in harness.all(Delivery)}
    assert said in (rows["b1"].last_error or "")
    assert rows["b1"].status == "pending"
    assert SECRET not in f"{rows['b1'].last_error} {log.calls}"
    if name != "partial_late_callee":
        assert {rows[each].status for each in ("b0", "b2")} == {"done"}
        assert {booking.id for booking in harness.all(Booking)} == {"b0", "b2"}
        assert {notification.booking_id for notification in harness.all(Notification)} == {"b0", "b2"}


@ON_SQLITE
def test_the_error_names_the_last_frame_and_the_log_all_frames(
    open_harness: Callable[..., Harness], monkeypatch: pytest.MonkeyPatch
) -> None:
    harness, log = open_harness(platform_hook=f"{__name__}:fails"), CapturingLogger()
    monkeypatch.setattr(hook, "log", log)
    harness.process(samples.created("b1", START, AT))
    (row,) = harness.all(Delivery)
    assert row.last_error.endswith(" in room")
    (line,) = [call.kwargs for call in log.calls if call.args == ("hook.failed",)]
    assert [each.rpartition(" in ")[2] for each in line["at"]] == ["fails", "room"]
    assert line["delivery_id"] == row.id


def test_a_database_error_that_the_hook_caught_affects_no_other_delivery(
    open_harness: Callable[..., Harness], database: Any
) -> None:
    """SQLite continues after the error; PostgreSQL does not."""
    harness = open_harness(platform_hook=f"{__name__}:catches_an_error_of_the_database")
    harness.deliver(*(samples.created(f"b{number}", START, AT) for number in range(3)))
    harness.process_due()
    errors = {row.booking_id: row.last_error for row in harness.all(Delivery) if row.status != "done"}
    expected = ["b1"] if database.supports_skip_locked else []
    assert list(errors) == expected
    assert all("the hook caught a database error" in error for error in errors.values())


@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
def test_a_commit_of_the_drivers_own_connection_is_refused(open_harness: Callable[..., Harness]) -> None:
    harness = open_harness(platform_hook=f"{__name__}:commits_by_driver")
    harness.process(*(samples.created(f"b{number}", START, AT) for number in range(3)))
    assert {booking.id for booking in harness.all(Booking)} == {"b0", "b2"}


def commits_by_driver(session: Session, booking: Booking, change: BookingChange) -> None:
    if booking.id == "b1":
        with session.connection().connection.driver_connection as connection:  # type: ignore[union-attr]  # psycopg's
            connection.execute("SELECT 1")


@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
def test_a_query_that_outlasts_the_job_is_cancelled(open_harness: Callable[..., Harness]) -> None:
    """Else the server would go on with it, and hold the locks of all bookings of the batch."""
    harness = open_harness(platform_hook=f"{__name__}:queries_for_long")
    harness.deliver(*(samples.created(f"b{number}", START, AT) for number in range(3)))
    with RepeatedTimeout(1, JobTimeoutException):
        harness.process_due()
    statuses = {row.booking_id: row.status for row in harness.all(Delivery)}
    assert statuses == {"b0": "done", "b1": "pending", "b2": "done"}
    with harness.services.database.read_only() as session:
        query = "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query LIKE 'SELECT pg_sleep%'"
        assert session.scalar(text(query)) == 0


def queries_for_long(session: Session, booking: Booking, change: BookingChange) -> None:
    if booking.id == "b1":
        session.execute(text("SELECT pg_sleep(20)"))


def uses_savepoints(session: Session, booking: Booking, change: BookingChange) -> None:
    connection = session.connection()
    with session.begin_nested():
        session.execute(text("SELECT 1"))
    undone = session.begin_nested()
    undone.rollback()
    with connection.begin_nested():
        connection.execute(text("SELECT 1"))
    for statement in ("SAVEPOINT own", "SELECT '; commit'", "ROLLBACK TRANSACTION TO own", "RELEASE SAVEPOINT own"):
        session.execute(text(statement))
    with Session(connection) as own:
        own.execute(text("SELECT 1"))
        own.commit()
    if connection.dialect.name == "postgresql":
        with connection.connection.driver_connection.transaction():  # type: ignore[union-attr]  # psycopg's
            connection.execute(text("SELECT 1"))


def test_a_hook_may_use_savepoints(open_harness: Callable[..., Harness]) -> None:
    harness = open_harness(platform_hook=f"{__name__}:uses_savepoints")
    harness.deliver(*(samples.created(f"b{number}", START, AT) for number in range(3)))
    harness.process_due()
    assert [(row.status, row.attempts, row.last_error) for row in harness.all(Delivery)] == [("done", 0, None)] * 3


@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
@pytest.mark.parametrize("others", [0, 2])
def test_a_hook_that_loses_the_connection_each_time_stops_no_other_delivery(
    open_harness: Callable[..., Harness], others: int
) -> None:
    harness = open_harness(platform_hook=f"{__name__}:loses_the_connection")
    harness.deliver(*(samples.created(f"b{number}", START, AT) for number in [1, *range(2, 2 + others)]))
    harness.process_due()
    rows = {row.booking_id: row for row in harness.all(Delivery)}
    failed = next(row for row in rows.values() if row.status == "pending")
    assert (failed.attempts, failed.due_at > failed.received_at) == (1, True)
    assert failed.booking_id in (None, "b1")
    assert [booking.id for booking in harness.all(Booking)] == [f"b{number}" for number in range(2, 2 + others)]


def break_in_recovery_codes(session: Session, booking: Booking, change: BookingChange) -> None:
    if booking.id == "b1":
        message = 'duplicate key value violates unique constraint "recovery_codes_pkey"'
        session.execute(text(f"DO $$ BEGIN RAISE unique_violation USING MESSAGE = '{message}'; END $$"))


@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
def test_an_error_that_names_recovery_is_no_standby_s_and_undoes_no_other_delivery(
    open_harness: Callable[..., Harness],
) -> None:
    harness = open_harness(platform_hook=f"{__name__}:break_in_recovery_codes")
    harness.deliver(*(samples.created(f"b{number}", START, AT) for number in range(3)))
    harness.services.inbox.process_due()
    rows = {row.booking_id: (row.status, row.attempts, row.is_isolated) for row in harness.all(Delivery)}
    assert rows == {"b0": ("done", 0, False), "b1": ("pending", 1, False), "b2": ("done", 0, False)}


@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
def test_a_connection_that_is_lost_once_costs_a_delivery_no_attempt(open_harness: Callable[..., Harness]) -> None:
    CALLS.clear()
    harness = open_harness(platform_hook=f"{__name__}:sees_the_server_restart")
    harness.process(samples.created("b1", START, AT))
    assert CALLS == ["b1", "b1"]
    assert [(row.status, row.attempts) for row in harness.all(Delivery)] == [("done", 0)]
    assert harness.all(FailedAttempt) == []


def test_hooks_may_use_the_former_names() -> None:
    failures = importlib.import_module("models.failures")
    assert (failures.Permanent, failures.Transient) == (Permanent, Transient)
    assert BookingChange(notification_kinds=["created"]).news == ["created"]
