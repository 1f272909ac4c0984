"""What an operator does to ended rows: once, written down, and harmless when it is done again."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import pytest

from devtools.demo.webhook_sink import platform
from devtools.send import samples
from models.delivery import Delivery
from models.intervention import Intervention
from models.notification import Notification
from models.search import RowSearch
from operations.replay.selection import SelectedDelivery, chunks, select_deliveries
from operations.replay.service import NotDead, ReplayResult, ReplayService
from runtime.errors import Permanent
from tests.worker.desk import AT, START, Desk, later
from worker.channels.log import LogChannel

CREATED = samples.created("b1", START, AT)
CANCELLED = samples.cancelled("b1", START, later(5))
SECRET = "whsec_" + "b2xk" * 11


def choose(desk: Desk, **wanted: Any) -> list[SelectedDelivery]:
    return list(select_deliveries(desk.office.inbox, RowSearch(**wanted).deliveries()).chosen)


def replay(desk: Desk, chosen: list[SelectedDelivery] | None = None, **wanted: Any) -> ReplayResult:
    return ReplayService(desk.office, "the operator", "the hook is repaired", **wanted).replay(
        choose(desk) if chosen is None else chosen, datetime.now(UTC)
    )


def acts(desk: Desk) -> list[tuple[str, str | None, int | None, str | None, str, str]]:
    return [
        (act.kind, act.delivery_id, act.notification_id, act.booking_id, act.by, act.reason)
        for act in desk.all(Intervention)
    ]


def test_a_replay_is_written_down_and_wakes_the_workers(desk: Desk) -> None:
    (delivery_id,) = desk.deliver(b"not json")
    desk.work_off()
    assert replay(desk).ids == [delivery_id]
    assert [(row.status, row.attempts) for row in desk.all(Delivery)] == [("pending", 0)]
    assert acts(desk) == [("replayed", delivery_id, None, None, "the operator", "the hook is repaired")]
    box = desk.office.bell.queue("inbox")
    assert (box.count, box.failed_job_registry.get_job_ids()) == (1, [])


def test_a_replay_tells_nobody_twice(desk: Desk) -> None:
    desk.tell(CREATED)
    desk.send_all()
    replay(desk)
    desk.work_off()
    assert desk.news() == ["created"]
    assert desk.office.bell.queue("outbox").count == 1


@pytest.mark.parametrize("operators", [2, 4])
def test_operators_who_replay_the_same_at_once_replay_it_once(desk: Desk, operators: int) -> None:
    ids = desk.deliver(*(b"not json %d" % number for number in range(40)))
    desk.work_off()
    seen = choose(desk, status="dead")
    with ThreadPoolExecutor(operators) as pool:
        done = list(pool.map(lambda _: replay(desk, seen), range(operators)))
    assert sorted(key for each in done for key in each.ids) == sorted(ids)
    assert sum(each.left for each in done) == len(ids) * (operators - 1)
    assert len(desk.all(Intervention)) == len(ids)


def test_who_was_replayed_and_handled_since_it_was_chosen_is_left_alone(desk: Desk) -> None:
    desk.tell(CREATED)
    seen = choose(desk)
    replay(desk, seen)
    desk.work_off()
    assert replay(desk, seen).ids == []
    assert len(desk.all(Intervention)) == 1


def test_what_came_together_is_handled_in_the_order_in_which_it_came(desk: Desk) -> None:
    """Else the same replay would tell now of a booking and its end, now of its end alone."""
    later_id, first_id = desk.deliver(CANCELLED, CREATED)
    with desk.office.database.transaction() as session:
        session.get_one(Delivery, first_id).received_at = AT
        for key in (later_id, first_id):
            session.get_one(Delivery, key).fail(Permanent("a bad hook"), AT)
    replay(desk)
    desk.work_off()
    assert desk.news() == ["created", "cancelled"]


def test_all_deliveries_of_a_booking_go_together(desk: Desk) -> None:
    for number in range(5):
        desk.tell(*(samples.created(f"b{booking}", START, later(number)) for booking in range(3)))
    sizes = [[row.booking_id for row in chunk] for chunk in chunks(choose(desk), size=4)]
    assert sizes == [[name] * 5 for name in ("b0", "b1", "b2")]


def test_a_delivery_whose_key_was_away_is_known_by_its_booking_when_the_key_is_back(
    open_desk: Callable[..., Desk],
) -> None:
    from cryptography.fernet import Fernet

    key = Fernet.generate_key().decode()
    (delivery_id,) = open_desk(body_keys=key).deliver(CREATED)
    desk = open_desk(body_keys=Fernet.generate_key().decode())
    with desk.office.database.transaction() as session:
        desk.office.inbox.process(session, session.get_one(Delivery, delivery_id))
        session.get_one(Delivery, delivery_id).status = "dead"
    assert [row.booking_id for row in choose(desk)] == [""]
    assert [(row.booking_id, row.event) for row in choose(open_desk(body_keys=key))] == [("b1", "booking_created")]


def test_what_was_told_is_told_once_more_under_a_new_id_if_that_is_wanted(open_desk: Callable[..., Desk]) -> None:
    with platform(SECRET) as listener:
        desk = open_desk(notify_default=listener.url, notify_signing_secret=SECRET)
        desk.tell(CREATED, CANCELLED)
        desk.send_all()
        first = dict(listener.received)
        created = choose(desk, event="booking_created")
        told = replay(desk, created, tells_again=True, superseded=True).told_again
        desk.work_off()
        desk.send_all()
        new = {key: kind for key, kind in listener.received.items() if key not in first}
    assert sorted(first.values()) == ["booking.cancelled", "booking.created"]
    assert new == {told[0].message_id: "booking.created"}
    rows = desk.all(Notification)
    assert rows[2].payload == rows[0].payload
    assert acts(desk)[1][:4] == ("sent_again", None, rows[2].id, "b1")


def test_what_is_not_the_latest_any_more_is_not_told_once_more(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its reader would take for true what was said last."""
    sent: list[str] = []
    monkeypatch.setattr(LogChannel, "send", lambda _channel, message: sent.append(message.kind))
    desk.tell(CREATED, CANCELLED)
    desk.send_all()
    assert replay(desk, choose(desk, event="booking_created"), tells_again=True).told_again == []
    replay(desk, choose(desk, event="booking_cancelled"), tells_again=True)
    desk.work_off()
    desk.send_all()
    assert sent == ["created", "cancelled", "cancelled"]


def test_however_often_it_was_told_it_is_told_once_more_not_twice(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[str] = []
    monkeypatch.setattr(LogChannel, "send", lambda _channel, message: sent.append(message.id))
    desk.tell(CREATED)
    desk.send_all()
    for _ in range(3):
        replay(desk, tells_again=True)
        desk.work_off()
        desk.send_all()
    assert len(sent) == len(set(sent)) == 4


def test_news_that_waits_goes_out_anyway_and_is_not_copied(desk: Desk) -> None:
    desk.tell(CREATED)
    assert replay(desk, tells_again=True).told_again == []
    desk.work_off()
    assert desk.news() == ["created"]


def test_news_that_could_not_be_told_is_tried_again_as_itself(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(LogChannel, "send", _refuse)
    desk.tell(CREATED)
    desk.send_all()
    replay(desk, tells_again=True)
    monkeypatch.undo()
    desk.send_all()
    assert [(row.status, row.kind) for row in desk.all(Notification)] == [("done", "created")]
    assert [act[0] for act in acts(desk)] == ["replayed", "replayed"]
    assert desk.office.bell.queue("outbox").failed_job_registry.get_job_ids() == []


def _refuse(_channel: object, _message: object) -> None:
    raise Permanent("nobody there")


def test_ignoring_closes_a_dead_delivery_and_takes_it_from_rqs_failed_jobs(desk: Desk) -> None:
    (delivery_id,) = desk.deliver(b"not json")
    desk.work_off()
    ReplayService(desk.office, "the operator", "a test of theirs").ignore([delivery_id], datetime.now(UTC))
    (row,) = desk.all(Delivery)
    assert (row.status, row.note, row.last_error) == ("done", "ignored: a test of theirs", None)
    assert acts(desk) == [("ignored", delivery_id, None, None, "the operator", "a test of theirs")]
    assert desk.office.bell.queue("inbox").failed_job_registry.get_job_ids() == []
    replay(desk)
    assert desk.all(Delivery)[0].note is None


def test_only_what_is_dead_can_be_ignored_and_then_all_or_none(desk: Desk) -> None:
    (dead,) = desk.deliver(b"not json")
    desk.tell(CREATED)
    ids = [row.id for row in desk.all(Delivery)]
    with pytest.raises(NotDead, match="is done, not dead"):
        ReplayService(desk.office, "x", "y").ignore(ids, datetime.now(UTC))
    assert {row.id: row.status for row in desk.all(Delivery)}[dead] == "dead"
    assert acts(desk) == []
