"""A message that was sent, but whose row the database does not let end: a trigger of the platform fails."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from devtools.send import samples
from models.notification import Notification
from runtime.database import Database
from tests.raw_sql import sql
from tests.worker.harness import AT, START, Harness
from tests.worker.test_sender import Flaky, channel, make_due  # noqa: F401 - a fixture
from worker.outbox import sender

BOOKING = "b1"
TRIGGERS = {
    "postgresql": (
        "CREATE FUNCTION count_sent() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN INSERT INTO nowhere VALUES (1); RETURN NEW; END $$",
        f"CREATE TRIGGER count_sent BEFORE UPDATE ON notifications FOR EACH ROW"
        f" WHEN (NEW.status = 'done' AND NEW.booking_id = '{BOOKING}') EXECUTE FUNCTION count_sent()",
    ),
    "sqlite": (
        f"CREATE TRIGGER count_sent BEFORE UPDATE ON notifications"
        f" WHEN NEW.status = 'done' AND NEW.booking_id = '{BOOKING}' BEGIN SELECT RAISE(ABORT, 'nowhere'); END",
    ),
}


@pytest.fixture
def failing_trigger(database: Database) -> Iterator[None]:
    is_postgresql = database.supports_skip_locked
    with database.engine.begin() as connection:
        for statement in TRIGGERS[database.engine.dialect.name]:
            connection.execute(sql(connection, statement))
    yield
    with database.engine.begin() as connection:
        if is_postgresql:
            connection.execute(text("DROP FUNCTION count_sent CASCADE"))


def test_it_is_sent_once_and_ends_dead_with_the_reason(
    harness: Harness,
    channel: Flaky,  # noqa: F811 - as above
    failing_trigger: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sender, "MAX_RECORDING_TIME", timedelta(0))
    harness.process(samples.created(BOOKING, START, AT), samples.created("b2", START, AT))
    for _ in range(2):
        harness.send_all()
        make_due(harness, timedelta(0))
    assert len(channel.taken) == 2
    first, second = harness.all(Notification)
    assert (first.status, second.status) == ("dead", "done")
    assert first.last_error.startswith("it was sent, but that could not be recorded: ")
    assert "nowhere" in first.last_error


REFUSING_TRIGGERS = {
    "postgresql": (
        "CREATE FUNCTION audit() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN INSERT INTO nowhere VALUES (1); RETURN NEW; END $$",
        f"CREATE TRIGGER audit BEFORE UPDATE ON notifications FOR EACH ROW WHEN (NEW.booking_id = '{BOOKING}')"
        f" EXECUTE FUNCTION audit()",
    ),
    "sqlite": (
        f"CREATE TRIGGER audit BEFORE UPDATE ON notifications"
        f" WHEN NEW.booking_id = '{BOOKING}' BEGIN SELECT RAISE(ABORT, 'nowhere'); END",
    ),
}


@pytest.fixture
def refusing_trigger(database: Database) -> Iterator[Callable[[], None]]:
    """It fails for each update of one row, also for its claim. Returns how to drop it."""
    drop = "DROP FUNCTION audit CASCADE" if database.supports_skip_locked else "DROP TRIGGER audit"
    _execute(database, *REFUSING_TRIGGERS[database.engine.dialect.name])
    with ExitStack() as stack:
        stack.callback(_execute, database, drop)
        yield lambda: stack.pop_all().close()


def _execute(database: Database, *statements: str) -> None:
    with database.engine.begin() as connection:
        for statement in statements:
            connection.execute(sql(connection, statement))


def test_a_row_that_cannot_be_claimed_stops_no_other_and_is_sent_once_it_can(
    harness: Harness,
    channel: Flaky,  # noqa: F811 - as above
    refusing_trigger: Callable[[], None],
) -> None:
    harness.process(*(samples.created(key, START, AT) for key in ("b0", BOOKING, "b2", "b3")))
    for _ in range(2):
        harness.send_all()
    assert len(channel.taken) == 3
    assert [row.status for row in harness.all(Notification)] == ["done", "pending", "done", "done"]
    refusing_trigger()
    later_on = replace(harness.services.outbox)  # what it left alone for a minute is forgotten
    while later_on.process_due():
        pass
    assert len(channel.taken) == 4


def test_a_table_that_takes_no_update_is_an_outage(
    harness: Harness,
    channel: Flaky,  # noqa: F811 - as above
    refusing_trigger: Callable[[], None],
) -> None:
    harness.process(samples.created(BOOKING, START, AT))
    for _ in range(2):
        with pytest.raises(SQLAlchemyError):
            harness.send_all()
    assert channel.taken == []
