"""A channel that hangs holds up nobody else, is left alone for a while, and nothing is sent twice because of it."""

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from threading import Event, Lock, Thread, Timer
from typing import Any

import pytest
from sqlalchemy import select, update
from sqlalchemy.exc import OperationalError, SQLAlchemyError

from devtools.send import samples
from models.claim import Claim
from models.notification import Notification
from runtime.errors import Permanent, Transient
from tests.console.cli import ON_SQLITE
from tests.raw_sql import sql
from tests.worker.harness import AT, START, Harness, later
from worker import stopping as stopping_module
from worker.channels import Message, TemporaryRefusal, Unresponsive
from worker.drain_result import DrainResult
from worker.maintenance.failed_jobs import replay_requeued
from worker.outbox.destinations import MAX_COOLDOWN, MAX_PER_KIND, MIN_COOLDOWN, Destinations
from worker.outbox.sender import OutboxSender
from worker.stopping import Stopping

SOON = 10
"""Seconds: the promise for the messages of others; it takes a fraction of one."""


class Endpoint:
    """A channel that answers when it may, and remembers what it took; its URL is `fake:NAME`."""

    name = "https"

    def __init__(self, name: str) -> None:
        self.destination = self.recipient = f"https:{name}"
        self.taken: list[str] = []
        self.begun: list[str] = []
        self.failure: Exception | None = None
        self.answers = Event()
        self.answers.set()
        self.lock = Lock()
        self.most = self.now = 0

    def send(self, message: Message) -> None:
        with self.lock:
            self.begun.append(message.booking["id"])
            self.now += 1
            self.most = max(self.most, self.now)
        try:
            self.answers.wait(60)
            if self.failure:
                raise self.failure
            self.taken.append(message.booking["id"])
        finally:
            with self.lock:
                self.now -= 1


@pytest.fixture
def endpoints(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Endpoint]]:
    """By name; one that is named for the first time is opened."""
    opened: dict[str, Endpoint] = {}

    def open_endpoint(url: str, _settings: Any) -> Endpoint:
        return opened.setdefault(url, Endpoint(url))

    monkeypatch.setattr("worker.outbox.planner.open_channel", open_endpoint)
    yield opened
    for each in opened.values():
        each.answers.set()


@pytest.fixture
def stopping(monkeypatch: pytest.MonkeyPatch) -> Iterator[Stopping]:
    """Of this test alone."""
    fresh = Stopping()
    monkeypatch.setattr("worker.outbox.sender.stopping", fresh)
    yield fresh
    fresh.wait()


def booking(host: int, number: int) -> dict[str, Any]:
    body = samples.created(f"b{host}-{number}", START, AT)
    body["hostIds"] = [f"host-{host}"]
    return body


def add_host(harness: Harness, number: int) -> None:
    harness.add_user(external_id=str(number), meetergo_user_id=f"host-{number}", channels=[f"fake:{number}"])


def wait_until(holds: Callable[[], object], seconds: float = SOON) -> None:
    until = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < until
        time.sleep(0.01)


def waiting(harness: Harness) -> list[Notification]:
    return [row for row in harness.all(Notification) if row.status == "pending"]


def another(harness: Harness, **changes: Any) -> OutboxSender:
    """The sender of another process."""
    services = harness.services
    return OutboxSender(services.database, services.outbox.planner, services.outbox.clock, **changes)


@pytest.fixture
def sending(harness: Harness, endpoints: dict[str, Endpoint], stopping: Stopping) -> Iterator[Harness]:
    """A worker that sends all the time, and two hosts with an endpoint each."""
    for number in (1, 2):
        add_host(harness, number)
    ended = Event()

    def work() -> None:
        while not ended.wait(0.01):
            harness.send_all()

    worker = Thread(target=work)
    worker.start()
    yield harness
    for each in endpoints.values():
        each.answers.set()
    ended.set()
    worker.join()


def test_news_of_another_host_leaves_while_one_hosts_endpoint_hangs(
    sending: Harness, endpoints: dict[str, Endpoint]
) -> None:
    sending.process(booking(1, 0))
    wait_until(lambda: endpoints["fake:1"].taken)
    endpoints["fake:1"].answers.clear()
    sending.deliver(*(booking(1, number) for number in range(1, 151)))
    sending.process_due()
    wait_until(lambda: len(endpoints["fake:1"].begun) == 2)
    sending.process(booking(2, 0))
    wait_until(lambda: endpoints["fake:2"].taken)
    assert endpoints["fake:1"].most == 1


def test_of_one_destination_messages_leave_one_at_a_time_and_in_their_order(
    sending: Harness, endpoints: dict[str, Endpoint]
) -> None:
    sending.deliver(*(booking(1, number) for number in range(20)))
    sending.process_due()
    wait_until(lambda: len(endpoints["fake:1"].taken) == 20)
    pending = [row.booking_id for row in sending.all(Notification)]
    assert endpoints["fake:1"].taken == pending
    assert endpoints["fake:1"].most == 1


def test_the_next_message_of_a_booking_leaves_once_the_one_before_it_was_taken(
    harness: Harness, endpoints: dict[str, Endpoint], stopping: Stopping, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_host(harness, 1)
    harness.process(booking(1, 0))
    harness.process(samples.rescheduled("b1-0", START + timedelta(hours=1), later(1), START, hostIds=["host-1"]))
    endpoints["fake:1"] = Endpoint("fake:1")
    endpoints["fake:1"].answers.clear()
    assert harness.services.outbox.process_due() is DrainResult.MORE
    monkeypatch.setattr("worker.outbox.sender.POLL_SECONDS", SOON)
    Timer(0.1, endpoints["fake:1"].answers.set).start()
    while harness.services.outbox.process_due():
        pass
    assert endpoints["fake:1"].taken == ["b1-0", "b1-0"]


def test_who_does_not_answer_in_time_rests_and_no_attempt_of_the_others_is_counted(
    harness: Harness, endpoints: dict[str, Endpoint]
) -> None:
    add_host(harness, 1)
    harness.deliver(*(booking(1, number) for number in range(5)))
    harness.process_due()
    endpoints["fake:1"].failure = Unresponsive("no answer in time")
    harness.send_all()
    rows = waiting(harness)
    assert sorted(row.attempts for row in rows) == [0, 0, 0, 0, 1]
    assert all(row.due_at > datetime.now(UTC) + MIN_COOLDOWN / 2 for row in rows)
    assert all(row.claimed_by is None for row in rows)
    assert len(endpoints["fake:1"].begun) == 1


def test_what_is_owed_while_a_destination_rests_waits_without_being_tried(
    harness: Harness, endpoints: dict[str, Endpoint]
) -> None:
    add_host(harness, 1)
    harness.process(booking(1, 0))
    endpoints["fake:1"].failure = Unresponsive("no answer in time")
    harness.send_all()
    harness.process(booking(1, 1))
    harness.send_all()
    with harness.services.database.transaction() as session:
        session.execute(update(Notification).values(due_at=datetime.now(UTC)))
    harness.send_all()
    assert len(endpoints["fake:1"].begun) == 1
    assert {row.attempts for row in waiting(harness)} == {0, 1}


def test_what_could_not_be_released_is_sent_once_its_lease_has_ended(
    harness: Harness, endpoints: dict[str, Endpoint], monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in (1, 2):
        add_host(harness, number)
    harness.process(booking(1, 0), booking(2, 0))

    def fail(*_: Any) -> None:
        raise OperationalError("UPDATE", {}, OSError())

    with monkeypatch.context() as patch:
        patch.setattr(Destinations, "acquire", lambda *_: False)
        patch.setattr(Notification, "release", fail)
        with pytest.raises(OperationalError):
            harness.services.outbox.process_due()
    with harness.services.database.transaction() as session:
        session.execute(update(Notification).values(due_at=datetime.now(UTC)))
    harness.services.outbox._claimed._renewed_at = 0  # a third of a lease ago
    harness.send_all()
    assert [each.taken for each in endpoints.values()] == [["b1-0"], ["b2-0"]]


def test_a_rest_doubles_up_to_a_minute_and_ends_with_an_answer() -> None:
    destinations = Destinations()
    rests = []
    for _ in range(40):
        assert destinations.acquire("a", "https", ["f"])
        rests.append(destinations.start_cooldown("a"))
        destinations.release("a")
        assert not destinations.acquire("a", "https", ["f"])
        assert destinations.unavailable() == {"f"}
        destinations._destinations["a"].cooldown_until = 0
    assert (rests[0], rests[1], rests[-1]) == (MIN_COOLDOWN, 2 * MIN_COOLDOWN, MAX_COOLDOWN)
    assert destinations.acquire("a", "https", ["f"])
    destinations.record_answer("a")
    assert destinations.start_cooldown("a") == MIN_COOLDOWN


def test_one_kind_of_channel_holds_a_share_of_the_threads_only() -> None:
    destinations = Destinations()
    begun = [destinations.acquire(f"slack:{number}", "slack", [f"f{number}"]) for number in range(2 * MAX_PER_KIND)]
    assert sum(begun) == MAX_PER_KIND
    assert len(destinations.unavailable()) == 2 * MAX_PER_KIND
    assert destinations.acquire("https:a", "https", ["a"])
    destinations.release("slack:0")
    assert len(destinations.unavailable()) == MAX_PER_KIND


def test_what_there_was_no_time_for_is_looked_for_again(
    harness: Harness, endpoints: dict[str, Endpoint], stopping: Stopping, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise the drain would stop, and nothing would trigger another."""
    monkeypatch.setattr("worker.outbox.sender.MAX_SEND_TIME", timedelta(0))
    add_host(harness, 1)
    harness.deliver(*(booking(1, number) for number in range(5)))
    harness.process_due()
    looks = []
    while waiting(harness):
        looks.append(harness.services.outbox.process_due())
    assert set(looks[:-1]) == {DrainResult.MORE}


def test_the_lease_is_renewed_while_a_message_is_under_way(
    sending: Harness, endpoints: dict[str, Endpoint], monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("models.notification", "worker.outbox.claimed"):
        monkeypatch.setattr(f"{module}.SEND_LEASE", timedelta(seconds=4))
    sending.process(booking(1, 0))
    wait_until(lambda: endpoints["fake:1"].taken)
    endpoints["fake:1"].answers.clear()
    sending.process(booking(1, 1))
    wait_until(lambda: len(endpoints["fake:1"].begun) == 2)
    other = another(sending, worker="another")
    until = time.monotonic() + 9
    while time.monotonic() < until:
        assert not other.process_due()
        time.sleep(0.05)
    endpoints["fake:1"].answers.set()
    wait_until(lambda: not waiting(sending))
    assert len(endpoints["fake:1"].begun) == 2


@pytest.mark.parametrize("failure", [None, Transient("busy"), Permanent("never")])
def test_who_lost_the_lease_does_not_write_the_result(
    harness: Harness, endpoints: dict[str, Endpoint], stopping: Stopping, failure: Exception | None
) -> None:
    add_host(harness, 1)
    harness.process(booking(1, 0))
    endpoint = endpoints["fake:1"]
    endpoint.failure = failure
    endpoint.answers.clear()
    worker = Thread(target=harness.send_all)
    worker.start()
    wait_until(lambda: endpoint.begun)
    with harness.services.database.transaction() as session:
        session.execute(update(Notification).values(claimed_by="another"))
    endpoint.answers.set()
    worker.join()
    [row] = harness.all(Notification)
    assert (row.status, row.attempts, row.claimed_by, row.last_error) == ("pending", 0, "another", None)


def test_who_is_asked_to_stop_ends_what_hangs_and_gives_it_back(
    harness: Harness, endpoints: dict[str, Endpoint], stopping: Stopping, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stopping_module, "GRACE", timedelta(milliseconds=200))
    add_host(harness, 1)
    harness.deliver(*(booking(1, number) for number in range(3)))
    harness.process_due()
    endpoint = endpoints["fake:1"]
    endpoint.answers.clear()
    endpoint.failure = Unresponsive("ended")
    monkeypatch.setattr("worker.deadline.abort_all", endpoint.answers.set)
    worker = Thread(target=harness.send_all)
    worker.start()
    wait_until(lambda: endpoint.begun)
    stopping.request()
    worker.join(SOON)
    stopping.wait()
    assert not harness.services.outbox.process_due()
    assert len(endpoint.begun) == 1
    assert [(row.attempts, row.claimed_by) for row in waiting(harness)] == [(0, None)] * 3
    assert all(row.due_at <= datetime.now(UTC) for row in waiting(harness))


def claims(harness: Harness) -> list[list[int]]:
    with harness.services.database.read_only() as session:
        return [claim.row_ids for claim in session.scalars(select(Claim))]


def test_what_is_being_sent_is_claimed_and_nothing_once_all_is_sent(
    harness: Harness, endpoints: dict[str, Endpoint], stopping: Stopping
) -> None:
    for number in (1, 2):
        add_host(harness, number)
    harness.deliver(booking(1, 0), booking(2, 0))
    harness.process_due()
    ids = sorted(row.id for row in harness.all(Notification))
    for endpoint in endpoints.values():
        endpoint.answers.clear()
    worker = Thread(target=harness.send_all)
    worker.start()
    wait_until(lambda: all(endpoint.begun for endpoint in endpoints.values()))
    assert claims(harness) == [ids]
    for endpoint in endpoints.values():
        endpoint.answers.set()
    worker.join()
    assert claims(harness) == []


def test_no_lease_is_taken_without_the_claim(harness: Harness, endpoints: dict[str, Endpoint]) -> None:
    add_host(harness, 1)
    harness.process(booking(1, 0))
    rename_table(harness, "claims", "claims_elsewhere")
    with pytest.raises(SQLAlchemyError):
        harness.services.outbox.process_due()
    rename_table(harness, "claims_elsewhere", "claims")
    [row] = waiting(harness)
    assert (row.claimed_by, endpoints["fake:1"].begun) == (None, [])
    assert row.due_at <= datetime.now(UTC)


def rename_table(harness: Harness, name: str, new_name: str) -> None:
    with harness.services.database.engine.begin() as connection:
        connection.execute(sql(connection, f"ALTER TABLE {name} RENAME TO {new_name}"))


@pytest.mark.parametrize("channel", ["fake:1", "log:"])
def test_an_isolated_row_is_sent_alone_under_a_claim_of_its_own(
    harness: Harness, endpoints: dict[str, Endpoint], channel: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in (1, 2):
        harness.add_user(external_id=str(number), meetergo_user_id=f"host-{number}", channels=[channel])
    harness.deliver(*(booking(number, 0) for number in (1, 2)))
    harness.process_due()
    endpoints[channel].name = channel.partition(":")[0]
    with harness.services.database.transaction() as session:
        session.execute(update(Notification).values(is_isolated=True, channel=endpoints[channel].name))
    alone: list[list[list[int]]] = []
    monkeypatch.setattr(Endpoint, "send", lambda *_: alone.append(claims(harness)))
    harness.send_all()
    assert alone == [[[row.id]] for row in harness.all(Notification)]
    assert {row.status for row in harness.all(Notification)} == {"done"}


@ON_SQLITE
@pytest.mark.parametrize(("after", "status"), [(timedelta(minutes=59), "pending"), (timedelta(minutes=61), "dead")])
def test_a_refusal_that_often_passes_is_final_after_an_hour(
    harness: Harness, endpoints: dict[str, Endpoint], after: timedelta, status: str
) -> None:
    add_host(harness, 1)
    harness.process(booking(1, 0))
    outbox, now = harness.services.outbox, datetime.now(UTC)
    endpoints["fake:1"].failure = TemporaryRefusal("the platform answered 404")
    harness.send_all()
    [row] = harness.all(Notification)
    outbox.clock = lambda: now + after
    harness.send_all()
    [row] = harness.all(Notification)
    assert (row.status, row.attempts, row.last_error) == (status, 2, "the platform answered 404")
    if status == "pending":
        assert row.due_at <= now + timedelta(minutes=61)


def test_the_hour_of_a_refusal_begins_after_the_outage_before_it(
    harness: Harness, endpoints: dict[str, Endpoint]
) -> None:
    add_host(harness, 1)
    harness.process(booking(1, 0))
    outbox, now = harness.services.outbox, datetime.now(UTC)
    statuses = []
    for error, hours in (("503", 0), ("404", 3), ("404", 3.9), ("404", 4)):
        outbox.clock = lambda hours=hours: now + timedelta(hours=hours)
        endpoints["fake:1"].failure = Transient(error) if error == "503" else TemporaryRefusal(error)
        harness.send_all()
        statuses += [row.status for row in harness.all(Notification)]
    assert statuses == ["pending", "pending", "pending", "dead"]


@ON_SQLITE
def test_a_refused_message_that_was_replayed_has_another_hour(harness: Harness, endpoints: dict[str, Endpoint]) -> None:
    add_host(harness, 1)
    harness.process(booking(1, 0))
    outbox, now = harness.services.outbox, datetime.now(UTC)
    endpoints["fake:1"].failure = TemporaryRefusal("the platform answered 404")
    harness.send_all()
    [row] = harness.all(Notification)
    outbox.clock = lambda: now + timedelta(hours=2)
    harness.send_all()
    replay_requeued(harness.services, "outbox", str(row.id), outbox.clock())
    outbox.clock = lambda: now + timedelta(hours=3)
    harness.send_all()
    [row] = harness.all(Notification)
    assert (row.status, row.attempts) == ("pending", 1)


def test_what_is_over_by_the_time_that_its_channel_answers_again_is_not_sent(
    harness: Harness, endpoints: dict[str, Endpoint]
) -> None:
    add_host(harness, 1)
    harness.process(booking(1, 0))
    outbox, now = harness.services.outbox, datetime.now(UTC)
    endpoints["fake:1"].failure = Transient("busy")
    harness.send_all()
    [row] = harness.all(Notification)
    outbox.clock = lambda: max(now, START) + timedelta(days=2)
    harness.send_all()
    [row] = harness.all(Notification)
    assert (row.status, row.last_error, row.claimed_by) == ("done", "not sent: the meeting is over", None)
    assert len(endpoints["fake:1"].begun) == 1
