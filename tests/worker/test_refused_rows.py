"""The database refuses to update one row: a trigger or a constraint of the platform fails for it alone."""

from collections.abc import Iterator
from dataclasses import replace

import pytest
from sqlalchemy.exc import SQLAlchemyError

from devtools.send import samples
from models.delivery import Delivery
from models.notification import Notification
from models.retryable import RefusedRows
from runtime.database import Database
from tests.discarding_trigger import DISCARD, REFUSE, RETURN_OLD, discarding
from tests.worker.harness import AT, START, Harness
from tests.worker.test_sender import Flaky, channel  # noqa: F401 - a fixture

BOOKING = "b1"
BODIES = [samples.created(key, START, AT) for key in ("b0", BOOKING, "b2", "b3")]


@pytest.mark.parametrize("how", [REFUSE, DISCARD, RETURN_OLD], ids=["refuses", "discards", "returns OLD"])
def test_a_notification_that_cannot_be_claimed_stops_no_other_and_is_sent_once_it_can(
    harness: Harness,
    database: Database,
    channel: Flaky,  # noqa: F811 - as above
    how: dict[str, str],
) -> None:
    """If its lease were not stored, it would be sent again and again."""
    if database.engine.dialect.name not in how:
        pytest.skip("a trigger of SQLite returns no row")
    harness.process(*BODIES)
    with discarding(database, "notifications", "UPDATE", f"NEW.booking_id = '{BOOKING}'", how):
        for _ in range(3):
            harness.send_all()
    assert len(channel.taken) == 3
    assert [row.status for row in harness.all(Notification)] == ["done", "pending", "done", "done"]
    another = replace(harness.services.outbox)  # it does not know of the row that the first leaves alone for a minute
    while another.process_due():
        pass
    assert len(channel.taken) == 4


def test_notifications_none_of_which_can_be_claimed_are_an_outage(
    harness: Harness,
    database: Database,
    channel: Flaky,  # noqa: F811 - as above
) -> None:
    harness.process(*BODIES)
    with discarding(database, "notifications", "UPDATE", how=REFUSE):
        for _ in range(2):
            with pytest.raises(SQLAlchemyError):
                harness.send_all()
    assert channel.taken == []


@pytest.fixture
def refused_delivery(harness: Harness, database: Database) -> Iterator[str]:
    """The second of four deliveries, which the database refuses to update."""
    ids = harness.deliver(*BODIES)
    with discarding(database, "deliveries", "UPDATE", f"NEW.id = '{ids[1]}'", REFUSE):
        yield ids[1]


def statuses(harness: Harness) -> dict[str, str]:
    return {row.id: row.status for row in harness.all(Delivery)}


def test_a_delivery_that_cannot_be_updated_stops_no_other(harness: Harness, refused_delivery: str) -> None:
    for _ in range(3):
        harness.process_due()
    (late,) = harness.deliver(samples.created("b4", START, AT))
    harness.process_due()
    rows = statuses(harness)
    assert rows.pop(refused_delivery) == "pending"
    assert rows[late] == "done"
    assert set(rows.values()) == {"done"}
    assert sorted(change.booking_id for change in harness.changes()) == ["b0", "b2", "b3", "b4"]


def test_an_isolated_delivery_that_cannot_be_updated_stops_no_other(harness: Harness, database: Database) -> None:
    ids = harness.deliver(*BODIES)
    with database.transaction() as session:
        Delivery.isolate_all(session, ids)
    with discarding(database, "deliveries", "UPDATE", f"NEW.id = '{ids[1]}'", REFUSE):
        harness.process_due()
    assert statuses(harness) == {**dict.fromkeys(ids, "done"), ids[1]: "pending"}


def test_a_delivery_that_could_not_be_updated_is_handled_once_it_can(harness: Harness, database: Database) -> None:
    ids = harness.deliver(*BODIES)
    with discarding(database, "deliveries", "UPDATE", f"NEW.id = '{ids[1]}'", REFUSE):
        harness.process_due()
        assert statuses(harness)[ids[1]] == "pending"
    another = replace(harness.services.inbox, _refused=RefusedRows())  # or the same after a minute
    while another.process_due():
        pass
    assert set(statuses(harness).values()) == {"done"}
