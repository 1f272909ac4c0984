"""Operators are notified once that a person is needed, and once that it is over."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from threading import Barrier, Event, Thread

import pytest
from redis import Redis
from rq import Worker
from rq.serializers import JSONSerializer
from sqlalchemy import select, update

from devtools.send import samples
from models.account import DEFAULT
from models.delivery import Delivery
from models.incident import NOTIFYING_LEASE, RESOLVE_AFTER, WORTH_NOTIFYING, Incident
from models.notification import Notification
from models.reconciliation import Reconciliation
from models.stats import collect_stats
from runtime.database import Database
from runtime.queue import QUEUES, JobQueue
from tests.console.cli import ON_SQLITE
from tests.worker.alert_receiver import AlertReceiver, alert_receiver
from tests.worker.harness import AT, START, Harness
from worker import scheduler
from worker.maintenance.alerts import Alerts, UnusableAlert, open_alerts
from worker.settings import AlertSettings

NOW = datetime.now(UTC).replace(microsecond=0)
EACH = timedelta(seconds=15)


@pytest.fixture(autouse=True)
def workers(redis: Redis) -> Iterator[Worker]:
    """Start a worker for each queue."""
    queues = [JobQueue(redis).queue(name) for name in QUEUES]
    worker = Worker(queues, connection=redis, serializer=JSONSerializer)
    worker.register_birth()
    yield worker
    worker.register_death()


@pytest.fixture
def operator_channel() -> Iterator[AlertReceiver]:
    with alert_receiver() as channel:
        yield channel


@pytest.fixture
def second_channel() -> Iterator[AlertReceiver]:
    with alert_receiver() as channel:
        yield channel


def alerts_to(*channels: AlertReceiver, max_wait: int = 300) -> Alerts:
    urls = [channel.url for channel in channels]
    return open_alerts(AlertSettings(alert_channels=urls, alert_waiting_seconds=max_wait))


def check(harness: Harness, alerts: Alerts, *seconds: float) -> None:
    """Check at these times, as the scheduler would."""
    for after in seconds:
        alerts.check(harness.services, NOW + timedelta(seconds=after))


def fail_one(harness: Harness) -> None:
    harness.deliver(b"not json")
    harness.process_due()


def repair(harness: Harness) -> None:
    with harness.services.database.transaction() as session:
        for row in session.scalars(select(Delivery)):
            row.finish(NOW)


def test_a_dead_delivery_is_alerted_once_and_resolved_once(harness: Harness, operator_channel: AlertReceiver) -> None:
    alerts = alerts_to(operator_channel)
    check(harness, alerts, 0)
    assert operator_channel.received == []
    fail_one(harness)
    check(harness, alerts, 15, 30, 45)
    assert operator_channel.subjects() == ["1 delivery is dead"]
    repair(harness)
    check(harness, alerts, 60, 75, 90, 105)
    assert operator_channel.subjects() == ["1 delivery is dead"]
    check(harness, alerts, 120, 135)
    assert operator_channel.subjects() == ["1 delivery is dead", "resolved: no delivery is dead any more"]
    assert [(row.began_at, row.ended_at) for row in harness.all(Incident)] == [(NOW + EACH, NOW + EACH * 4)]


@ON_SQLITE
def test_a_failing_reconcile_is_an_incident_until_a_run_reads_everything(
    harness: Harness, operator_channel: AlertReceiver
) -> None:
    def run(error: str | None) -> None:
        with harness.services.database.transaction() as session:
            session.add(Reconciliation(started_at=datetime.now(UTC), ended_at=datetime.now(UTC), error=error))

    alerts = alerts_to(operator_channel)
    run(None)
    check(harness, alerts, 0)
    assert operator_channel.received == []
    run("the key of host@example.com has ended")
    check(harness, alerts, 15, 30)
    assert operator_channel.subjects() == ["reconcile cannot read everything"]
    assert "bin/inbox reconcile --dry-run" in operator_channel.received[0][1]
    assert "example.com" not in operator_channel.received[0][1]
    run(None)
    check(harness, alerts, 45, 120)
    assert operator_channel.subjects()[1:] == ["resolved: reconcile reads everything again"]


@ON_SQLITE
def test_an_alert_holds_counts_times_and_commands_only(harness: Harness, operator_channel: AlertReceiver) -> None:
    fail_one(harness)
    harness.deliver(samples.created("b1", START, AT))
    with harness.services.database.transaction() as session:
        waits = Delivery.status == "pending"
        session.execute(update(Delivery).where(waits).values(received_at=NOW - timedelta(seconds=130)))
    check(harness, alerts_to(operator_channel), 0)
    [(subject, text)] = operator_channel.received
    assert subject == "meetergo-inbox: 1 delivery is dead"
    assert text.splitlines() == [
        f"Since {NOW:%Y-%m-%d %H:%M} UTC.",
        "Deliveries: 1 dead, 1 waiting, the oldest for 2 min.",
        "Notifications: 0 dead, 0 waiting.",
        "Most frequent cause: the body is not JSON.",
        "Next commands:",
        "  bin/inbox deliveries list --status dead",
        "  bin/inbox replay --dead --dry-run",
        'More: docs/operations, "Deliveries are dead"',
    ]


def test_dead_notifications_and_overdue_rows_are_separate_incidents(
    harness: Harness, operator_channel: AlertReceiver
) -> None:
    harness.process(samples.created("b1", START, AT), samples.created("b2", START, AT))
    with harness.services.database.transaction() as session:
        first, second = session.scalars(select(Notification).order_by(Notification.id))
        first.status, first.ended_at, second.created_at = "dead", NOW, NOW - timedelta(seconds=60)
    alerts = alerts_to(operator_channel, max_wait=60)
    check(harness, alerts, 0)
    assert operator_channel.subjects() == ["1 notification is dead"]
    check(harness, alerts, 1, 15)
    assert operator_channel.subjects() == ["1 notification is dead", "1 notification waits, the oldest for 1 min"]


@ON_SQLITE
def test_a_flapping_condition_is_one_incident(harness: Harness, operator_channel: AlertReceiver) -> None:
    alerts = alerts_to(operator_channel)
    for turn in range(6):
        fail_one(harness)
        harness.deliver(f"not json {turn}".encode())
        harness.process_due()
        check(harness, alerts, turn * 60)
        repair(harness)
        check(harness, alerts, turn * 60 + 15, turn * 60 + 45)
    assert operator_channel.subjects() == ["2 deliveries are dead"]
    assert len(harness.all(Incident)) == 1
    check(harness, alerts, 400)
    assert len(operator_channel.received) == 2


@ON_SQLITE
def test_a_recurring_condition_is_alerted_again(harness: Harness, operator_channel: AlertReceiver) -> None:
    alerts = alerts_to(operator_channel)
    for hour in (0, 1):
        harness.deliver(f"not json {hour}".encode())
        harness.process_due()
        check(harness, alerts, hour * 3600)
        repair(harness)
        check(harness, alerts, hour * 3600 + 15, hour * 3600 + 15 + RESOLVE_AFTER.total_seconds())
    assert len(operator_channel.received) == 4


@ON_SQLITE
def test_a_channel_that_fails_is_retried_and_no_other_is_notified_twice(
    harness: Harness, operator_channel: AlertReceiver, second_channel: AlertReceiver
) -> None:
    alerts = alerts_to(second_channel, operator_channel)
    second_channel.answer = 500
    fail_one(harness)
    check(harness, alerts, 0, 15, 30)
    assert (len(second_channel.received), len(operator_channel.received)) == (0, 1)
    second_channel.answer = 200
    check(harness, alerts, 45, 60)
    assert second_channel.subjects() == operator_channel.subjects() == ["1 delivery is dead"]


@ON_SQLITE
def test_a_channel_that_does_not_take_an_alert_is_a_finding_until_it_does_or_is_removed(
    harness: Harness, operator_channel: AlertReceiver, second_channel: AlertReceiver
) -> None:
    def unsent(after: float) -> int:
        at = NOW + timedelta(seconds=after)
        return collect_stats(harness.services.database, harness.services.job_queue, at).alerts_unsent

    second_channel.answer = 500
    fail_one(harness)
    check(harness, alerts_to(operator_channel, second_channel), 0, 15)
    assert unsent(15) == 0, "it may be tried again in time"
    assert unsent(120) == 1
    check(harness, alerts_to(operator_channel), 135)
    assert unsent(135) == 0
    check(harness, alerts_to(operator_channel, second_channel), 138)
    check(harness, alerts_to(), 141)
    assert unsent(141) == 0, "the setting is empty now"
    check(harness, alerts_to(operator_channel, second_channel), 150)
    assert unsent(150) == 1
    second_channel.answer = 200
    check(harness, alerts_to(operator_channel, second_channel), 165)
    assert unsent(165) == 0
    assert len(operator_channel.received) == 1


def test_an_incident_that_ended_before_it_could_be_sent_is_sent_once_as_resolved(
    harness: Harness, operator_channel: AlertReceiver
) -> None:
    alerts = alerts_to(operator_channel)
    operator_channel.answer = 500
    fail_one(harness)
    check(harness, alerts, 0)
    repair(harness)
    check(harness, alerts, 15, 90)
    operator_channel.answer = 200
    check(harness, alerts, 105, 120)
    assert operator_channel.subjects() == ["resolved: no delivery is dead any more"]
    assert "lasted 15 s" in operator_channel.received[0][1]


def test_an_incident_that_could_not_be_sent_for_a_day_is_dropped(
    harness: Harness, operator_channel: AlertReceiver
) -> None:
    alerts = alerts_to(operator_channel)
    operator_channel.answer = 500
    fail_one(harness)
    check(harness, alerts, 0)
    repair(harness)
    check(harness, alerts, 15, 90)
    operator_channel.answer = 200
    check(harness, alerts, 15 + WORTH_NOTIFYING.total_seconds())
    assert operator_channel.received == []


@ON_SQLITE
def test_a_new_channel_is_notified_of_open_incidents_only(
    harness: Harness, operator_channel: AlertReceiver, second_channel: AlertReceiver
) -> None:
    fail_one(harness)
    check(harness, alerts_to(operator_channel), 0)
    check(harness, alerts_to(operator_channel, second_channel), 15)
    assert second_channel.subjects() == operator_channel.subjects() == ["1 delivery is dead"]
    repair(harness)
    check(harness, alerts_to(operator_channel), 30, 90)
    with alert_receiver() as third_channel:
        check(harness, alerts_to(operator_channel, second_channel, third_channel), 105, 120)
        assert third_channel.received == []
    assert len(operator_channel.received) == len(second_channel.received) == 2


@ON_SQLITE
def test_nothing_is_sent_again_after_a_restart(harness: Harness, operator_channel: AlertReceiver) -> None:
    fail_one(harness)
    for after in (0, 15, 30):
        check(harness, alerts_to(operator_channel), after)
    assert len(operator_channel.received) == 1


def test_the_claim_of_a_process_that_died_while_sending_expires(
    harness: Harness, operator_channel: AlertReceiver
) -> None:
    alerts = alerts_to(operator_channel)
    fail_one(harness)
    with harness.services.database.transaction() as session:
        Incident.record_state(session, DEFAULT, "deliveries_dead", True, list(alerts.channels), NOW)
    with harness.services.database.transaction() as session:
        assert Incident.claim(session, list(alerts.channels), NOW)
    check(harness, alerts, 15, 45)
    assert operator_channel.received == []
    check(harness, alerts, NOTIFYING_LEASE.total_seconds(), 75)
    assert len(operator_channel.received) == 1


def test_several_schedulers_at_once_send_once(
    harness: Harness, operator_channel: AlertReceiver, second_channel: AlertReceiver
) -> None:
    fail_one(harness)
    start, broken = Barrier(4), list[BaseException]()

    def look() -> None:
        alerts = alerts_to(operator_channel, second_channel)
        try:
            for turn in range(4):
                start.wait()
                check(harness, alerts, turn * 15)
        except BaseException as error:
            broken.append(error)
            start.abort()

    threads = [Thread(target=look) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert broken == []
    assert (len(operator_channel.received), len(second_channel.received)) == (1, 1)
    assert len(harness.all(Incident)) == 1


def test_two_simultaneous_claims_of_an_incident_do_not_both_succeed(database: Database) -> None:
    if not database.supports_skip_locked:
        pytest.skip("SQLite lets one transaction begin after the other")
    with database.transaction() as session:
        Incident.record_state(session, DEFAULT, "deliveries_dead", True, ["a", "b"], NOW)
    with database.transaction() as one, database.transaction() as other:
        assert Incident.claim(one, ["a", "b"], NOW)
        assert Incident.claim(other, ["a", "b"], NOW) is None


@ON_SQLITE
def test_without_channels_an_incident_is_still_recorded(harness: Harness) -> None:
    fail_one(harness)
    check(harness, alerts_to(), 0)
    assert collect_stats(harness.services.database, harness.services.job_queue, NOW).incidents == {
        "deliveries_dead": NOW
    }


@ON_SQLITE
def test_the_log_names_the_alert_and_its_channel_but_not_the_address(
    harness: Harness, operator_channel: AlertReceiver, capfd: pytest.CaptureFixture[str]
) -> None:
    operator_channel.answer = 500
    fail_one(harness)
    check(harness, alerts_to(operator_channel), 0)
    operator_channel.answer = 200
    check(harness, alerts_to(operator_channel), 15)
    printed = "".join(capfd.readouterr())
    assert "alert.failed" in printed
    assert "alert.sent" in printed
    assert "the-" not in printed


def test_a_database_that_is_down_is_not_an_incident_at_once_and_causes_no_traceback(
    harness: Harness, operator_channel: AlertReceiver, tmp_path: object, capfd: pytest.CaptureFixture[str]
) -> None:
    nothing = Database(f"sqlite:///{tmp_path}/nothing.db")
    alerts_to(operator_channel).check(replace(harness.services, database=nothing), NOW)
    nothing.close()
    assert "database.unavailable" in "".join(capfd.readouterr())
    assert operator_channel.requests == 0


@pytest.mark.parametrize("url", ["s3cr3t", "nonsense://s3cr3t", "https://s3cr3t.example/x", "slack://s3cr3t"])
def test_an_unusable_channel_is_reported_without_its_secret(url: str) -> None:
    with pytest.raises(UnusableAlert) as refused:
        open_alerts(AlertSettings(alert_channels=[url]))
    assert "s3cr3t" not in str(refused.value)


@ON_SQLITE
def test_a_task_that_hangs_delays_no_other(harness: Harness) -> None:
    stop, hung, ran = Event(), Event(), Event()

    def often(interval: float, task: Callable[[], object]) -> tuple[timedelta, scheduler.Task]:
        return timedelta(seconds=interval), lambda _services, _now: task()

    tasks = {
        "hangs": often(1, lambda: (hung.set(), stop.wait())),
        "runs": often(0.01, lambda: hung.is_set() and ran.set()),
    }
    thread = Thread(target=scheduler.run, args=(tasks, harness.services, stop))
    thread.start()
    assert ran.wait(60)
    stop.set()
    thread.join()
