"""A trigger of the platform discards changes of our rows without an error: nothing is repeated for ever, or wrong."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from structlog.testing import capture_logs

from devtools.send import samples
from models.booking import Booking, BookingChange
from models.delivery import Delivery
from models.notification import Notification
from runtime.database import Database, RowsDiscarded
from tests.discarding_trigger import RETURN_OLD, discarding, putting_into_child
from tests.worker.harness import AT, START, Harness
from tests.worker.test_sender import Flaky, channel, make_due  # noqa: F401 - a fixture
from worker.maintenance.sweeper import sweep
from worker.outbox import claimed

BOOKING = "b1"
CREATED = samples.created(BOOKING, START, AT)


def test_a_delivery_that_cannot_end_is_an_outage_and_is_handled_afterwards(
    harness: Harness, database: Database
) -> None:
    harness.deliver(CREATED, samples.created("b2", START, AT))
    with discarding(database, "deliveries", "UPDATE"), pytest.raises(RowsDiscarded, match="written to deliveries"):
        harness.process_due()
    assert harness.all(BookingChange) == []
    harness.process_due()
    assert {row.status for row in harness.all(Delivery)} == {"done"}
    assert harness.notification_kinds() == ["created", "created"]


@pytest.mark.parametrize("event", ["INSERT", "UPDATE"])
def test_a_booking_that_does_not_take_a_change_fails_its_delivery(
    harness: Harness, database: Database, event: str
) -> None:
    harness.deliver(CREATED, samples.created("b2", START, AT))
    with discarding(database, "bookings", event, f"NEW.id = '{BOOKING}'"):
        harness.process_due()
    failed, done = sorted(harness.all(Delivery), key=lambda delivery: delivery.status == "done")
    assert (failed.status, done.status, done.booking_id) == ("pending", "done", "b2")
    assert "discards or changes what is written to bookings" in failed.last_error
    assert [change.booking_id for change in harness.changes()] == ["b2"]


@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
def test_a_booking_whose_trigger_returns_its_old_row_fails_its_delivery(harness: Harness, database: Database) -> None:
    """As one does that was written for DELETE alone. The host would be notified of what the booking does not say."""
    with discarding(database, "bookings", "UPDATE", f"NEW.id = '{BOOKING}'", RETURN_OLD):
        harness.deliver(CREATED, samples.created("b2", START, AT))
        harness.process_due()
    failed, done = sorted(harness.all(Delivery), key=lambda delivery: delivery.status == "done")
    assert (failed.status, done.booking_id) == ("pending", "b2")
    assert "discards or changes what is written to bookings" in failed.last_error


@pytest.mark.parametrize("table", ["booking_changes", "notifications"])
@pytest.mark.parametrize("settings", [{}, {"platform_hook": "tests.worker.hooks:do_nothing"}], ids=["alone", "hook"])
def test_a_change_or_notification_that_is_not_stored_fails_its_delivery(
    open_harness: Callable[..., Harness], database: Database, table: str, settings: dict[str, str]
) -> None:
    harness = open_harness(notify_default="log://", **settings)
    harness.deliver(CREATED, samples.created("b2", START, AT))
    with discarding(database, table, "INSERT", f"NEW.booking_id = '{BOOKING}'"):
        harness.process_due()
    failed, done = sorted(harness.all(Delivery), key=lambda delivery: delivery.status == "done")
    assert (failed.status, done.status, done.booking_id) == ("pending", "done", "b2")
    assert f"discards or changes what is written to {table}" in failed.last_error
    assert [change.booking_id for change in harness.changes()] == ["b2"]
    assert [row.booking_id for row in harness.all(Notification)] == ["b2"]
    assert [booking.id for booking in harness.all(Booking)] == ["b2"]


@pytest.mark.parametrize("table", ["booking_changes", "bookings"])
def test_a_booking_whose_change_is_not_stored_is_not_linked(harness: Harness, database: Database, table: str) -> None:
    harness.process(CREATED)
    harness.add_user(meetergo_user_id=samples.HOST_ID)
    event = "UPDATE" if table == "bookings" else "INSERT"
    with discarding(database, table, event), capture_logs() as logs:
        sweep(harness.services, datetime.now(UTC))
    (skipped,) = (entry for entry in logs if entry["event"] == "link.skipped")
    assert (skipped["booking_id"], harness.booking().platform_user_id) == (BOOKING, None)
    if table == "booking_changes":
        assert skipped["error"].startswith("the database discards or changes what is written to booking_changes")
    assert [change.kind for change in harness.changes()] == ["created"]


def test_changes_and_notifications_may_be_put_into_child_tables(harness: Harness, database: Database) -> None:
    if not database.supports_skip_locked:
        pytest.skip("SQLite's tables have no children")
    harness.deliver(CREATED, samples.created("b2", START, AT))
    with putting_into_child(database, "booking_changes"), putting_into_child(database, "notifications"):
        harness.process_due()
        assert {row.status for row in harness.all(Delivery)} == {"done"}
        assert sorted(change.booking_id for change in harness.changes()) == ["b1", "b2"]
        assert harness.notification_kinds() == ["created", "created"]


def test_without_a_claim_nothing_is_processed(harness: Harness, database: Database) -> None:
    """A row that kills the worker would do so for ever."""
    harness.deliver(CREATED)
    with discarding(database, "claims", "INSERT"), pytest.raises(RowsDiscarded, match="written to claims"):
        harness.process_due()
    assert harness.changes() == []
    harness.process_due()
    with discarding(database, "claims", "INSERT"), pytest.raises(RowsDiscarded, match="written to claims"):
        harness.send_all()
    assert [(row.status, row.attempts) for row in harness.all(Notification)] == [("pending", 0)]
    harness.send_all()
    assert [row.status for row in harness.all(Notification)] == ["done"]


def test_a_notification_whose_lease_is_discarded_is_not_sent(
    harness: Harness,
    database: Database,
    channel: Flaky,  # noqa: F811 - as above
) -> None:
    harness.process(CREATED)
    with discarding(database, "notifications", "UPDATE"), pytest.raises(RowsDiscarded, match="to notifications"):
        harness.send_all()
    assert channel.taken == []
    replace(harness.services.outbox).process_due()  # or the same after a minute
    assert len(channel.taken) == 1


def test_a_notification_that_cannot_end_is_sent_once(
    harness: Harness,
    database: Database,
    channel: Flaky,  # noqa: F811 - as above
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(claimed, "MAX_RECORDING_TIME", timedelta(0))
    harness.process(CREATED)
    with discarding(database, "notifications", "UPDATE", "NEW.status = 'done'"):
        for _ in range(2):
            harness.send_all()
            make_due(harness, timedelta(0))
    (row,) = harness.all(Notification)
    assert (len(channel.taken), row.status) == (1, "dead")
    assert row.last_error.startswith("it was sent, but that could not be recorded: the database discards")
