"""A message that was sent, but whose row the database does not let end: a trigger of the platform fails."""

from collections.abc import Iterator
from datetime import timedelta

import pytest
from sqlalchemy import text

from devtools.send import samples
from models.notification import Notification
from runtime.database import Database
from tests.raw_sql import sql
from tests.worker.harness import AT, START, Harness
from tests.worker.test_sender import Flaky, channel, make_due  # noqa: F401 - a fixture
from worker.outbox import claimed

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
    monkeypatch.setattr(claimed, "MAX_RECORDING_TIME", timedelta(0))
    harness.process(samples.created(BOOKING, START, AT), samples.created("b2", START, AT))
    for _ in range(2):
        harness.send_all()
        make_due(harness, timedelta(0))
    assert len(channel.taken) == 2
    first, second = harness.all(Notification)
    assert (first.status, second.status) == ("dead", "done")
    assert first.last_error.startswith("it was sent, but that could not be recorded: ")
    assert "nowhere" in first.last_error
