"""Messages are sent once, in order; one that cannot be sent is retried, or ends dead and visible."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from threading import Event, Thread, Timer
from typing import Any

import pytest
from sqlalchemy import update

from devtools.send import samples
from models.notification import SEND_LEASE, Notification
from runtime.database import Database
from runtime.errors import Permanent, Transient
from tests.worker.harness import AT, START, Harness, later
from worker.channels import Message
from worker.channels.log import LogChannel

CREATED = samples.created("b1", START, AT)
MOVED = samples.rescheduled("b1", START + timedelta(hours=1), later(1), START)


class Flaky:
    """A channel that fails on request, and remembers what it took."""

    def __init__(self) -> None:
        self.taken: list[tuple[str, str]] = []
        self.failure: Exception | None = None

    def send(self, _channel: Any, message: Message) -> None:
        if self.failure:
            raise self.failure
        self.taken.append((message.kind, message.id))


@pytest.fixture
def channel(monkeypatch: pytest.MonkeyPatch) -> Flaky:
    flaky = Flaky()
    monkeypatch.setattr(LogChannel, "send", lambda channel, message: flaky.send(channel, message))
    return flaky


def make_due(harness: Harness, ago: timedelta) -> None:
    with harness.services.database.transaction() as session:
        session.execute(update(Notification).values(due_at=datetime.now(UTC) - ago))


def test_a_notification_is_sent_once(harness: Harness, channel: Flaky) -> None:
    harness.process(CREATED, CREATED)
    harness.send_all()
    harness.send_all()
    assert [kind for kind, _ in channel.taken] == ["created"]
    assert [row.status for row in harness.all(Notification)] == ["done"]


def test_a_replayed_delivery_tells_nobody_twice(harness: Harness, channel: Flaky) -> None:
    (delivery_id,) = harness.deliver(CREATED)
    harness.process_due()
    harness.send_all()
    with harness.services.database.transaction() as session:
        from models.delivery import Delivery

        session.get_one(Delivery, delivery_id).replay(datetime.now(UTC))
    harness.process_due()
    harness.send_all()
    assert len(channel.taken) == 1


def test_a_later_notification_of_a_booking_waits_for_an_earlier_one(harness: Harness, channel: Flaky) -> None:
    harness.process(CREATED)
    channel.failure = Transient("busy")
    harness.send_all()
    harness.process(MOVED)
    channel.failure = None
    harness.send_all()
    assert channel.taken == []
    make_due(harness, timedelta(minutes=5))
    harness.send_all()
    assert [kind for kind, _ in channel.taken] == ["created", "rescheduled"]


def test_every_attempt_carries_the_same_id(harness: Harness, channel: Flaky, monkeypatch: pytest.MonkeyPatch) -> None:
    harness.process(CREATED)
    tried: list[str] = []
    monkeypatch.setattr(channel, "send", lambda _channel, message: tried.append(message.id) or _busy())
    for _ in range(3):
        harness.send_all()
        make_due(harness, timedelta(minutes=5))
    assert len(tried) == 3
    assert len(set(tried)) == 1


def _busy() -> None:
    raise Transient("busy")


def test_a_failure_waits_as_long_as_the_other_side_asked(harness: Harness, channel: Flaky) -> None:
    harness.process(CREATED)
    channel.failure = Transient("slow down", retry_after=timedelta(minutes=10))
    harness.send_all()
    (row,) = harness.all(Notification)
    assert row.status == "pending"
    assert row.due_at > datetime.now(UTC) + timedelta(minutes=9)


def test_a_permanent_failure_dies_and_lets_a_later_notification_go(harness: Harness, channel: Flaky) -> None:
    harness.process(CREATED)
    channel.failure = Permanent("nobody there")
    harness.send_all()
    assert [(row.status, row.last_error) for row in harness.all(Notification)] == [("dead", "nobody there")]
    channel.failure = None
    harness.process(MOVED)
    harness.send_all()
    assert [kind for kind, _ in channel.taken] == ["rescheduled"]


def test_who_died_while_sending_is_tried_again_after_the_lease(harness: Harness, channel: Flaky) -> None:
    harness.process(CREATED)
    now = datetime.now(UTC)
    with harness.services.database.transaction() as session:
        [row] = Notification.claim(session, now, 1, "w")
        assert row.due_at <= now, "as it was: see `release`"
    with harness.services.database.transaction() as session:
        assert not Notification.claim(session, now + timedelta(seconds=1), 1, "v")
    with harness.services.database.transaction() as session:
        assert Notification.claim(session, now + SEND_LEASE, 1, "v")


def bookings(count: int) -> list[dict[str, Any]]:
    return [samples.created(f"b{number}", START, AT) for number in range(count)]


def test_what_there_was_no_time_for_is_due_as_it_was(
    harness: Harness, channel: Flaky, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("worker.outbox.sender.MAX_SEND_TIME", timedelta(milliseconds=1))
    monkeypatch.setattr("worker.outbox.sender.MAX_UNRECORDED_TIME", timedelta(0))
    harness.deliver(*bookings(5))
    harness.process_due()
    due = {row.id: row.due_at for row in harness.all(Notification)}
    assert harness.services.outbox.process_due()
    left = [row for row in harness.all(Notification) if row.status == "pending"]
    assert 3 <= len(left) < 5
    assert {row.id: row.due_at for row in left}.items() <= due.items()
    harness.send_all()
    assert sorted(channel.taken) == sorted(set(channel.taken))
    assert len(channel.taken) == 5


def test_who_is_stopped_while_sending_writes_down_what_was_sent(
    harness: Harness, channel: Flaky, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("worker.outbox.sender.MAX_UNRECORDED_TIME", timedelta(hours=1))
    harness.deliver(*bookings(4))
    harness.process_due()

    def send(_channel: LogChannel, message: Message) -> None:
        if len(channel.taken) == 2:
            raise SystemExit
        channel.send(_channel, message)

    monkeypatch.setattr(LogChannel, "send", send)
    with pytest.raises(SystemExit):
        harness.services.outbox.process_due()
    assert [row.status for row in harness.all(Notification)] == ["done", "done", "pending", "pending"]


def settled_before_each(harness: Harness, channel: Flaky, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Send all messages; return how many were recorded when each was sent."""
    settled: list[int] = []

    def send(_channel: LogChannel, message: Message) -> None:
        settled.append(sum(row.status == "done" for row in harness.all(Notification)))
        channel.send(_channel, message)

    monkeypatch.setattr(LogChannel, "send", send)
    harness.send_all()
    return settled


def test_a_slow_one_is_settled_alone(harness: Harness, channel: Flaky, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("worker.outbox.sender.MAX_UNRECORDED_TIME", timedelta(0))
    harness.deliver(*bookings(3))
    harness.process_due()
    assert settled_before_each(harness, channel, monkeypatch) == [0, 1, 2]


def test_what_is_more_than_a_line_in_a_log_is_settled_alone(
    harness: Harness, channel: Flaky, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that a death repeats one of them at most."""
    monkeypatch.setattr("worker.outbox.sender.MAX_UNRECORDED_TIME", timedelta(hours=1))
    harness.deliver(*bookings(3))
    harness.process_due()
    with harness.services.database.transaction() as session:
        session.execute(update(Notification).values(channel="https"))
    assert settled_before_each(harness, channel, monkeypatch) == [0, 1, 2]


def test_some_of_those_that_are_settled_together_may_have_failed(
    harness: Harness, channel: Flaky, monkeypatch: pytest.MonkeyPatch
) -> None:
    failures: dict[str, Exception] = {"b1": Transient("busy"), "b3": Permanent("nobody there")}

    def send(_channel: LogChannel, message: Message) -> None:
        if message.booking["id"] in failures:
            raise failures[message.booking["id"]]
        channel.send(_channel, message)

    monkeypatch.setattr(LogChannel, "send", send)
    harness.deliver(*bookings(5))
    harness.process_due()
    harness.send_all()
    became = {row.booking_id: (row.status, row.attempts, row.last_error) for row in harness.all(Notification)}
    assert became == {
        "b0": ("done", 0, None),
        "b1": ("pending", 1, "busy"),
        "b2": ("done", 0, None),
        "b3": ("dead", 1, "nobody there"),
        "b4": ("done", 0, None),
    }
    assert len(channel.taken) == 3


def test_two_senders_send_nothing_twice(harness: Harness, channel: Flaky) -> None:
    harness.deliver(*bookings(150))
    harness.process_due()
    senders = [Thread(target=harness.send_all) for _ in range(3)]
    for sender in senders:
        sender.start()
    for sender in senders:
        sender.join(60)
    assert len({message_id for _, message_id in channel.taken}) == len(channel.taken) == 150
    assert {row.status for row in harness.all(Notification)} == {"done"}


def test_a_notification_for_a_channel_that_is_gone_dies_with_a_reason(open_harness: Callable[..., Harness]) -> None:
    open_harness(notify_default="log:old").process(CREATED)
    harness = open_harness(notify_default="log:new")
    harness.send_all()
    assert [(row.status, row.last_error) for row in harness.all(Notification)] == [
        ("dead", "the channel is not configured any more")
    ]


def test_a_users_own_channels_replace_the_default(harness: Harness) -> None:
    harness.add_user(meetergo_user_id=samples.HOST_ID, channels=[])
    harness.process(CREATED)
    assert harness.notification_kinds() == []


def test_a_users_broken_channel_does_not_keep_the_booking_from_being_right(harness: Harness) -> None:
    harness.add_user(meetergo_user_id=samples.HOST_ID, channels=["mailto:", "log:"])
    harness.process(CREATED)
    harness.send_all()
    assert harness.booking().status == "confirmed"
    assert sorted(row.status for row in harness.all(Notification)) == ["dead", "done"]


def test_what_was_sent_while_the_database_went_away_is_not_sent_again(
    harness: Harness, database: Database, channel: Flaky, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another transaction locks the rows between the channel's yes and our commit, for longer than our lock timeout."""
    harness.process(CREATED)
    locked, release = Event(), Event()

    def lock() -> None:
        with database.transaction() as session:
            session.execute(update(Notification).values(attempts=Notification.attempts))
            locked.set()
            release.wait(60)

    locker = Thread(target=lock)

    def send(_channel: LogChannel, message: Message) -> None:
        channel.send(_channel, message)
        locker.start()
        assert locked.wait(60)
        Timer(3, release.set).start()

    monkeypatch.setattr(LogChannel, "send", send)
    harness.send_all()
    locker.join()
    assert len(channel.taken) == 1
    assert [row.status for row in harness.all(Notification)] == ["done"]
