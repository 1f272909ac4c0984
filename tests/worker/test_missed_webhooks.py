"""Reconcile tells a webhook that did not arrive from a booking that none was due for; waiting bookings are noticed."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select

from devtools.send import samples
from models.account import DEFAULT
from models.booking import Booking
from models.delivery import Delivery
from models.reconciliation import Reconciliation
from tests.console.cli import ON_SQLITE
from tests.worker.harness import AT, START, Harness
from tests.worker.provider import Provider, webhook
from worker.maintenance.arrivals import ArrivalWatch
from worker.maintenance.observation import ABSENT, Observation

LATER = timedelta(minutes=10)


@pytest.fixture
def host(provider: Provider) -> dict[str, object]:
    """A host with a booking from before, who was compared once."""
    host = provider.add_host()
    provider.book(host)
    assert (provider.reconcile().undelivered, len(provider.reconciled())) == (0, 1)
    return host


@ON_SQLITE
def test_a_booking_that_no_webhook_told_of_is_counted_once(provider: Provider, host: dict[str, object]) -> None:
    provider.book(host, 1)
    provider.ahead = LATER
    assert provider.reconcile().undelivered == 1
    provider.ahead = 2 * LATER
    assert provider.reconcile().undelivered == 0
    assert [row.undelivered for row in provider.harness.all(Reconciliation)] == [0, 1, 0]


@ON_SQLITE
def test_a_booking_made_a_moment_ago_is_not_counted(provider: Provider, host: dict[str, object]) -> None:
    provider.book(host, 1)
    report = provider.reconcile()
    assert ([drift.kind for drift in report.drifts], report.undelivered) == (["missed"], 0)


@ON_SQLITE
@pytest.mark.parametrize("status", ["pending", "dead"])
def test_a_webhook_that_waits_or_is_dead_has_arrived(provider: Provider, host: dict[str, object], status: str) -> None:
    booking_id = provider.book(host, 1)
    provider.harness.deliver(webhook(provider.meetergo, provider.meetergo.appointments[booking_id]))
    if status == "dead":
        with provider.harness.services.database.transaction() as session:
            row = session.scalars(select(Delivery).where(Delivery.source == "webhook")).one()
            row.status, row.booking_id, row.ended_at = "dead", booking_id, datetime.now(UTC)
    provider.ahead = LATER
    report = provider.reconcile()
    assert ([drift.kind for drift in report.drifts], report.undelivered) == (["missed"], 0)


def record_run(harness: Harness, started_at: datetime, **found: object) -> None:
    with harness.services.database.transaction() as session:
        session.add(Reconciliation(**{"started_at": started_at, "ended_at": started_at, **found}))


def test_missed_webhooks_are_over_an_hour_after_the_last_one_if_webhooks_arrive(harness: Harness) -> None:
    now = datetime.now(UTC)

    def missed(at: datetime) -> Observation | None:
        return ArrivalWatch(DEFAULT).observe(harness.services, at).get("webhooks_missed")

    record_run(harness, now - timedelta(minutes=5), undelivered=2)
    assert missed(now) is None  # no webhook ever arrived: an installation without
    harness.deliver(samples.created("b1", START, AT))
    with harness.services.database.transaction() as session:
        (row,) = session.scalars(select(Delivery))
        row.received_at = now - timedelta(days=1)
    counted = Observation(True, {"number": 2})
    assert [missed(now), missed(now + timedelta(days=1))] == [counted, counted]
    harness.deliver(samples.created("b2", START, AT))
    assert [missed(now + timedelta(minutes=30)), missed(now + timedelta(hours=1))] == [counted, ABSENT]


def test_upcoming_bookings_that_wait_for_a_host_are_noticed_after_an_hour(harness: Harness) -> None:
    def waiting(after: timedelta) -> Observation:
        return ArrivalWatch(DEFAULT).observe(harness.services, datetime.now(UTC) + after)["hosts_unmapped"]

    harness.process(*(samples.created(f"b{number}", START, AT, hostIds=["h1"], hosts=[]) for number in (1, 2)))
    harness.process(samples.created("b3", START, AT, hostIds=["h2", "h3"], hosts=[]))
    hour = timedelta(hours=1, minutes=1)
    assert waiting(timedelta(minutes=50)) == ABSENT
    assert waiting(hour) == Observation(True, {"hosts": 3, "bookings": 3, "ids": ["h1", "h2", "h3"]})
    harness.add_user(external_id="1", meetergo_user_id="h1")
    assert waiting(hour) == Observation(True, {"hosts": 2, "bookings": 1, "ids": ["h2", "h3"]})
    assert waiting(START - datetime.now(UTC)) == ABSENT
    with harness.services.database.transaction() as session:
        for booking in session.scalars(select(Booking)):
            booking.status = "cancelled"
    assert waiting(hour) == ABSENT
