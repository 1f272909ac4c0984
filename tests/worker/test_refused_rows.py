"""The database refuses to update one row: a trigger or a constraint of the platform fails for it alone."""

from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
from sqlalchemy import update
from sqlalchemy.exc import SQLAlchemyError

from devtools.send import samples
from models.delivery import Delivery
from models.notification import Notification
from models.retryable import RefusedRows
from runtime.database import Database
from tests.discarding_trigger import (
    DISCARD,
    FORBID,
    REFUSE,
    RETURN_OLD,
    discarding,
    published_without_key,
    refusing_at_commit,
)
from tests.worker.harness import AT, START, Harness
from tests.worker.test_sender import Flaky, channel  # noqa: F401 - a fixture
from worker.outbox.claimed import BATCH

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


@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
def test_a_notification_whose_claim_fails_at_the_commit_stops_no_other(
    harness: Harness,
    database: Database,
    channel: Flaky,  # noqa: F811 - as above
) -> None:
    harness.process(*BODIES)
    with refusing_at_commit(database, "notifications", "UPDATE", f"NEW.booking_id = '{BOOKING}'"):
        harness.send_all()
    assert [row.status for row in harness.all(Notification)] == ["done", "pending", "done", "done"]


@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
@pytest.mark.parametrize(
    ("table", "event"),
    [("deliveries", "UPDATE"), ("bookings", "UPDATE"), ("booking_changes", "INSERT"), ("notifications", "INSERT")],
)
def test_a_delivery_whose_transaction_fails_at_the_commit_stops_no_other(
    harness: Harness, database: Database, table: str, event: str
) -> None:
    ids = harness.deliver(*BODIES)
    column, key = ("id", ids[1]) if table == "deliveries" else ("id" if table == "bookings" else "booking_id", BOOKING)
    with refusing_at_commit(database, table, event, f"NEW.{column} = '{key}'"):
        harness.process_due()
        late = harness.deliver(samples.created("b4", START, AT))
        harness.process_due()
    assert statuses(harness) == {**dict.fromkeys([*ids, *late], "done"), ids[1]: "pending"}


def test_notifications_none_of_which_can_be_claimed_are_an_outage(
    harness: Harness,
    database: Database,
    channel: Flaky,  # noqa: F811 - as above
) -> None:
    harness.process(*BODIES)
    with discarding(database, "notifications", "UPDATE", how=REFUSE):
        for _ in range(2):
            with pytest.raises(SQLAlchemyError):
                replace(harness.services.outbox).process_due()
    assert channel.taken == []


def test_a_whole_batch_that_cannot_be_claimed_does_not_stop_those_behind_it(
    harness: Harness,
    database: Database,
    channel: Flaky,  # noqa: F811 - as above
) -> None:
    harness.process(*[samples.created(f"old{number}", START, AT) for number in range(BATCH)], BODIES[0])
    with discarding(database, "notifications", "UPDATE", "NEW.booking_id LIKE 'old%'", REFUSE):
        with pytest.raises(SQLAlchemyError):
            harness.send_all()
        harness.send_all()
    assert len(channel.taken) == 1


def test_the_refused_ones_are_sought_behind_those_whose_channel_is_cooling_down(
    harness: Harness,
    database: Database,
    channel: Flaky,  # noqa: F811 - as above
) -> None:
    harness.process(*[samples.created(f"old{number}", START, AT) for number in range(BATCH)])
    with database.transaction() as session:
        session.execute(update(Notification).values(fingerprint="hangs"))
    harness.services.outbox._destinations.acquire("hangs", "https", {"hangs"})
    harness.process(*BODIES)
    with discarding(database, "notifications", "UPDATE", f"NEW.booking_id = '{BOOKING}'", REFUSE):
        for _ in range(3):
            harness.services.outbox.process_due()
    assert len(channel.taken) == 3


def test_an_isolated_notification_that_cannot_be_claimed_stops_no_other(
    harness: Harness,
    database: Database,
    channel: Flaky,  # noqa: F811 - as above
) -> None:
    harness.process(*BODIES)
    with database.transaction() as session:
        session.execute(update(Notification).where(Notification.booking_id == BOOKING).values(is_isolated=True))
    with discarding(database, "notifications", "UPDATE", f"NEW.booking_id = '{BOOKING}'", REFUSE):
        harness.services.outbox.process_due()
        with pytest.raises(SQLAlchemyError):
            harness.services.outbox.process_due()
        harness.process(samples.created("b4", START, AT))
        harness.send_all()
    assert len(channel.taken) == 4


def test_a_notification_that_its_own_worker_had_leased_is_not_sent_without_a_lease(
    harness: Harness,
    database: Database,
    channel: Flaky,  # noqa: F811 - as above
) -> None:
    if database.engine.dialect.name not in RETURN_OLD:
        pytest.skip("a trigger of SQLite returns no row")
    harness.process(*BODIES)
    with database.transaction() as session:
        session.execute(update(Notification).values(claimed_by=harness.services.outbox.worker))
    with (
        discarding(database, "notifications", "UPDATE", how=RETURN_OLD),
        pytest.raises(SQLAlchemyError),
    ):
        harness.send_all()
    assert channel.taken == []


@pytest.fixture(params=[REFUSE, DISCARD, RETURN_OLD], ids=["refuses", "discards", "returns OLD"])
def refused_delivery(request: pytest.FixtureRequest, harness: Harness, database: Database) -> Iterator[str]:
    """The second of four deliveries, which the database refuses to update."""
    if database.engine.dialect.name not in request.param:
        pytest.skip("a trigger of SQLite returns no row")
    ids = harness.deliver(*BODIES)
    with discarding(database, "deliveries", "UPDATE", f"NEW.id = '{ids[1]}'", request.param):
        yield ids[1]


def statuses(harness: Harness) -> dict[str, str]:
    return {row.id: row.status for row in harness.all(Delivery)}


def test_a_delivery_that_cannot_be_updated_stops_no_other(harness: Harness, refused_delivery: str) -> None:
    for _ in range(9):
        harness.services.inbox.process_due()
    assert not harness.services.inbox.process_due(), "it would be tried again and again"
    (late,) = harness.deliver(samples.created("b4", START, AT))
    harness.process_due()
    rows = statuses(harness)
    assert rows.pop(refused_delivery) == "pending"
    assert rows[late] == "done"
    assert set(rows.values()) == {"done"}
    assert sorted(change.booking_id for change in harness.changes()) == ["b0", "b2", "b3", "b4"]


@pytest.mark.parametrize("how", [REFUSE, DISCARD], ids=["refuses", "discards"])
def test_an_isolated_delivery_that_cannot_be_updated_stops_no_other(
    harness: Harness, database: Database, how: dict[str, str]
) -> None:
    ids = harness.deliver(*BODIES)
    with database.transaction() as session:
        Delivery.isolate_all(session, ids)
    with discarding(database, "deliveries", "UPDATE", f"NEW.id = '{ids[1]}'", how):
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


@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
@pytest.mark.parametrize("hook", ["", "tests.worker.hooks:do_nothing"], ids=["no hook", "hook"])
@pytest.mark.parametrize("number", [1, 4])
def test_a_table_that_takes_nothing_from_us_is_no_deliverys_fault(
    open_harness: Callable[..., Harness], database: Database, hook: str, number: int
) -> None:
    harness = open_harness(platform_hook=hook)
    ids = harness.deliver(*BODIES[:number])
    with published_without_key(database, "bookings"):
        for _ in range(3):
            with pytest.raises(SQLAlchemyError, match="replica identity"):
                harness.process_due()
        assert {(row.status, row.attempts, row.is_isolated) for row in harness.all(Delivery)} == {("pending", 0, False)}
    harness.process_due()
    assert statuses(harness) == dict.fromkeys(ids, "done")


@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
@pytest.mark.parametrize("hook", ["", "tests.worker.hooks:do_nothing"], ids=["no hook", "hook"])
def test_a_booking_that_we_alone_have_no_right_to_stops_no_other(
    open_harness: Callable[..., Harness], database: Database, hook: str
) -> None:
    harness = open_harness(platform_hook=hook)
    ids = harness.deliver(*BODIES)
    with discarding(database, "bookings", "INSERT OR UPDATE", f"NEW.id = '{BOOKING}'", FORBID):
        for _ in range(9):
            harness.services.inbox.process_due()
    assert statuses(harness) == {**dict.fromkeys(ids, "done"), ids[1]: "pending"}
    (refused,) = [row for row in harness.all(Delivery) if row.id == ids[1]]
    assert (refused.attempts, refused.booking_id, refused.event) == (1, BOOKING, "booking_created")
    assert not any(row.is_isolated for row in harness.all(Delivery))
