"""Operators' actions on ended rows: done once, recorded, and harmless when repeated."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import pytest

from devtools.demo.webhook_sink import open_webhook_sink
from devtools.send import samples
from models.delivery import Delivery
from models.intervention import Intervention
from models.notification import Notification
from models.search import RowSearch
from operations.replay.selection import SelectedDelivery, chunks, select_deliveries
from operations.replay.service import NotDead, ReplayResult, ReplayService
from runtime.errors import Permanent
from tests.worker.harness import AT, START, Harness, later
from worker.channels.log import LogChannel

CREATED = samples.created("b1", START, AT)
CANCELLED = samples.cancelled("b1", START, later(5))
SECRET = "whsec_" + "b2xk" * 11


def choose(harness: Harness, **wanted: Any) -> list[SelectedDelivery]:
    return list(select_deliveries(harness.services.inbox, RowSearch(**wanted).deliveries()).chosen)


def replay(harness: Harness, chosen: list[SelectedDelivery] | None = None, **wanted: Any) -> ReplayResult:
    return ReplayService(harness.services, "the operator", "the hook is repaired", **wanted).replay(
        choose(harness) if chosen is None else chosen, datetime.now(UTC)
    )


def acts(harness: Harness) -> list[tuple[str, str | None, int | None, str | None, str, str]]:
    return [
        (act.kind, act.delivery_id, act.notification_id, act.booking_id, act.by, act.reason)
        for act in harness.all(Intervention)
    ]


def test_a_replay_is_recorded_and_triggers_the_workers(harness: Harness) -> None:
    (delivery_id,) = harness.deliver(b"not json")
    harness.process_due()
    assert replay(harness).ids == [delivery_id]
    assert [(row.status, row.attempts) for row in harness.all(Delivery)] == [("pending", 0)]
    assert acts(harness) == [("replayed", delivery_id, None, None, "the operator", "the hook is repaired")]
    inbox = harness.services.job_queue.queue("inbox")
    assert inbox.count == 1


def test_a_replay_notifies_nobody_twice(harness: Harness) -> None:
    harness.process(CREATED)
    harness.send_all()
    replay(harness)
    harness.process_due()
    assert harness.notification_kinds() == ["created"]
    assert harness.services.job_queue.queue("outbox").count == 1


@pytest.mark.parametrize("operators", [2, 4])
def test_concurrent_replays_of_a_delivery_replay_it_once(harness: Harness, operators: int) -> None:
    ids = harness.deliver(*(b"not json %d" % number for number in range(40)))
    harness.process_due()
    seen = choose(harness, status="dead")
    with ThreadPoolExecutor(operators) as pool:
        done = list(pool.map(lambda _: replay(harness, seen), range(operators)))
    assert sorted(key for each in done for key in each.ids) == sorted(ids)
    assert sum(each.skipped for each in done) == len(ids) * (operators - 1)
    assert len(harness.all(Intervention)) == len(ids)


def test_a_delivery_replayed_since_the_selection_is_left_alone(harness: Harness) -> None:
    harness.process(CREATED)
    seen = choose(harness)
    replay(harness, seen)
    harness.process_due()
    assert replay(harness, seen).ids == []
    assert len(harness.all(Intervention)) == 1


def test_replayed_deliveries_are_processed_in_the_order_received(harness: Harness) -> None:
    """Otherwise the same replay would notify of a booking and its cancellation, or of the cancellation alone."""
    later_id, first_id = harness.deliver(CANCELLED, CREATED)
    with harness.services.database.transaction() as session:
        session.get_one(Delivery, first_id).received_at = AT
        for key in (later_id, first_id):
            session.get_one(Delivery, key).fail(Permanent("a bad hook"), AT)
    replay(harness)
    harness.process_due()
    assert harness.notification_kinds() == ["created", "cancelled"]


def test_all_deliveries_of_a_booking_are_replayed_together(harness: Harness) -> None:
    for number in range(5):
        harness.process(*(samples.created(f"b{booking}", START, later(number)) for booking in range(3)))
    sizes = [[row.booking_id for row in chunk] for chunk in chunks(choose(harness), size=4)]
    assert sizes == [[name] * 5 for name in ("b0", "b1", "b2")]


def test_a_delivery_whose_key_was_missing_is_found_by_its_booking_when_the_key_is_back(
    open_harness: Callable[..., Harness],
) -> None:
    from cryptography.fernet import Fernet

    key = Fernet.generate_key().decode()
    (delivery_id,) = open_harness(body_keys=key).deliver(CREATED)
    harness = open_harness(body_keys=Fernet.generate_key().decode())
    with harness.services.database.transaction() as session:
        harness.services.inbox.process(session, session.get_one(Delivery, delivery_id))
        session.get_one(Delivery, delivery_id).status = "dead"
    assert [row.booking_id for row in choose(harness)] == [""]
    assert [(row.booking_id, row.event) for row in choose(open_harness(body_keys=key))] == [("b1", "booking_created")]


def test_a_resend_sends_once_more_under_a_new_id(open_harness: Callable[..., Harness]) -> None:
    with open_webhook_sink(SECRET) as listener:
        harness = open_harness(notify_default=listener.url, notify_signing_secret=SECRET)
        harness.process(CREATED, CANCELLED)
        harness.send_all()
        first = dict(listener.received)
        created = choose(harness, event="booking_created")
        resent = replay(harness, created, resend=True, superseded=True).resent
        harness.process_due()
        harness.send_all()
        new = {key: kind for key, kind in listener.received.items() if key not in first}
    assert sorted(first.values()) == ["booking.cancelled", "booking.created"]
    assert new == {resent[0].message_id: "booking.created"}
    rows = harness.all(Notification)
    assert rows[2].payload == rows[0].payload
    assert acts(harness)[1][:4] == ("sent_again", None, rows[2].id, "b1")


def test_a_superseded_notification_is_not_resent(harness: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    """The recipient would take the last message for the truth."""
    sent: list[str] = []
    monkeypatch.setattr(LogChannel, "send", lambda _channel, message: sent.append(message.kind))
    harness.process(CREATED, CANCELLED)
    harness.send_all()
    assert replay(harness, choose(harness, event="booking_created"), resend=True).resent == []
    replay(harness, choose(harness, event="booking_cancelled"), resend=True)
    harness.process_due()
    harness.send_all()
    assert sent == ["created", "cancelled", "cancelled"]


def test_a_notification_sent_repeatedly_is_resent_once(harness: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[str] = []
    monkeypatch.setattr(LogChannel, "send", lambda _channel, message: sent.append(message.id))
    harness.process(CREATED)
    harness.send_all()
    for _ in range(3):
        replay(harness, resend=True)
        harness.process_due()
        harness.send_all()
    assert len(sent) == len(set(sent)) == 4


def test_a_pending_notification_is_not_copied_by_a_resend(harness: Harness) -> None:
    harness.process(CREATED)
    assert replay(harness, resend=True).resent == []
    harness.process_due()
    assert harness.notification_kinds() == ["created"]


def test_a_dead_notification_is_retried_under_its_own_id(harness: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(LogChannel, "send", _refuse)
    harness.process(CREATED)
    harness.send_all()
    replay(harness, resend=True)
    monkeypatch.undo()
    harness.send_all()
    assert [(row.status, row.kind) for row in harness.all(Notification)] == [("done", "created")]
    assert [act[0] for act in acts(harness)] == ["replayed", "replayed"]


def _refuse(_channel: object, _message: object) -> None:
    raise Permanent("nobody there")


def test_ignoring_closes_a_dead_delivery(harness: Harness) -> None:
    (delivery_id,) = harness.deliver(b"not json")
    harness.process_due()
    ReplayService(harness.services, "the operator", "a test of theirs").ignore([delivery_id], datetime.now(UTC))
    (row,) = harness.all(Delivery)
    assert (row.status, row.note, row.last_error) == ("done", "ignored: a test of theirs", None)
    assert acts(harness) == [("ignored", delivery_id, None, None, "the operator", "a test of theirs")]
    replay(harness)
    assert harness.all(Delivery)[0].note is None


def test_only_dead_rows_can_be_ignored_all_or_none(harness: Harness) -> None:
    (dead,) = harness.deliver(b"not json")
    harness.process(CREATED)
    ids = [row.id for row in harness.all(Delivery)]
    with pytest.raises(NotDead, match="is done, not dead"):
        ReplayService(harness.services, "x", "y").ignore(ids, datetime.now(UTC))
    assert {row.id: row.status for row in harness.all(Delivery)}[dead] == "dead"
    assert acts(harness) == []
