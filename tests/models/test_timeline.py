"""The timeline is derived from the rows, in order."""

from datetime import UTC, datetime, timedelta

from devtools.send import samples
from models import timeline
from models.delivery import Delivery
from tests.worker.harness import AT, START, Harness
from worker.maintenance.failed_jobs import replay_requeued

EXPECTED_KINDS = ["delivery.received", "booking.created", "notification.owed", "delivery.done", "notification.done"]


def kinds(harness: Harness, minutes: int) -> list[str]:
    with harness.services.database.read_only() as session:
        return [entry.kind for entry in timeline.since(session, AT + timedelta(minutes=minutes))]


def test_entries_of_one_transaction_are_ordered_by_cause(harness: Harness) -> None:
    harness.process(samples.created("b1", START, AT))
    harness.send_all()
    with harness.services.database.read_only() as session:
        assert [entry.kind for entry in timeline.for_booking(session, "b1")] == EXPECTED_KINDS
        assert timeline.for_booking(session, "b2") == []


def test_since_includes_its_own_time(harness: Harness) -> None:
    for minute in range(3):
        (delivery_id,) = harness.deliver(b'{"webhookType":"form_submission","n":%d}' % minute)
        with harness.services.database.transaction() as session:
            session.get_one(Delivery, delivery_id).received_at = AT + timedelta(minutes=minute)
    assert [len(kinds(harness, minute)) for minute in range(4)] == [3, 2, 1, 0]


def test_latest_returns_the_last_entries_of_all_kinds(harness: Harness) -> None:
    for number in range(3):
        harness.process(samples.created(f"b{number}", START, AT))
    with harness.services.database.read_only() as session:
        entries = timeline.since(session, AT)
        assert timeline.latest(session, 6) == entries[-6:]
        assert timeline.latest(session, 100) == entries


def test_a_dead_row_and_its_replay_stay_in_the_timeline(harness: Harness) -> None:
    harness.process(b"not json")
    (row,) = harness.all(Delivery)
    replay_requeued(harness.services, "inbox", row.id, datetime.now(UTC))
    harness.process_due()
    with harness.services.database.read_only() as session:
        kinds_and_operators = [(entry.kind, entry.by) for entry in timeline.since(session, AT)]
    assert kinds_and_operators == [
        *(("delivery.received", None), ("delivery.dead", None)),
        *(("delivery.replayed", "rq requeue"), ("delivery.dead", None)),
    ]


def test_an_entry_keeps_its_identity_when_its_booking_becomes_known(harness: Harness) -> None:
    harness.deliver(samples.created("b1", START, AT))
    with harness.services.database.read_only() as session:
        (before,) = timeline.since(session, AT)
    harness.process_due()
    with harness.services.database.read_only() as session:
        after = timeline.since(session, AT)[0]
    assert (before.booking_id, after.booking_id) == (None, "b1")
    assert before.identity == after.identity
