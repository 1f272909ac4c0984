"""History is read back from the rows, in the order in which it happened."""

from datetime import timedelta

from devtools.send import samples
from models import timeline
from models.delivery import Delivery
from tests.worker.desk import AT, START, Desk

KEPT = ["delivery.received", "booking.created", "notification.owed", "delivery.done", "notification.done"]


def kinds(desk: Desk, minutes: int) -> list[str]:
    with desk.office.database.reading() as session:
        return [happening.kind for happening in timeline.since(session, AT + timedelta(minutes=minutes))]


def test_what_one_transaction_did_is_in_the_order_of_cause_and_effect(desk: Desk) -> None:
    desk.tell(samples.created("b1", START, AT))
    desk.send_all()
    with desk.office.database.reading() as session:
        assert [happening.kind for happening in timeline.of_booking(session, "b1")] == KEPT
        assert timeline.of_booking(session, "b2") == []


def test_since_takes_the_moment_itself_and_what_came_after(desk: Desk) -> None:
    for minute in range(3):
        (delivery_id,) = desk.deliver(b'{"webhookType":"form_submission","n":%d}' % minute)
        with desk.office.database.transaction() as session:
            session.get_one(Delivery, delivery_id).received_at = AT + timedelta(minutes=minute)
    assert [len(kinds(desk, minute)) for minute in range(4)] == [3, 2, 1, 0]


def test_the_latest_are_the_last_of_all_sorts(desk: Desk) -> None:
    for number in range(3):
        desk.tell(samples.created(f"b{number}", START, AT))
    with desk.office.database.reading() as session:
        everything = timeline.since(session, AT)
        assert timeline.latest(session, 6) == everything[-6:]
        assert timeline.latest(session, 100) == everything


def test_a_death_and_a_replay_stay_in_history(desk: Desk) -> None:
    desk.tell(b"not json")
    (row,) = desk.all(Delivery)
    desk.office.inbox.retry(row.id)
    with desk.office.database.reading() as session:
        told = [(happening.kind, happening.by) for happening in timeline.since(session, AT)]
    assert told == [
        *(("delivery.received", None), ("delivery.dead", None)),
        *(("delivery.replayed", "rq requeue"), ("delivery.dead", None)),
    ]


def test_a_happening_is_the_same_when_its_booking_becomes_known(desk: Desk) -> None:
    desk.deliver(samples.created("b1", START, AT))
    with desk.office.database.reading() as session:
        (before,) = timeline.since(session, AT)
    desk.work_off()
    with desk.office.database.reading() as session:
        after = timeline.since(session, AT)[0]
    assert (before.booking_id, after.booking_id) == (None, "b1")
    assert before.identity == after.identity
