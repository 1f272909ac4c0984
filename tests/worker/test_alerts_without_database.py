"""Operators are notified of a store that is down or cannot be written, even while the table of incidents cannot be."""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from redis import Redis
from rq import SimpleWorker, Worker
from rq.serializers import JSONSerializer

from models.account import DEFAULT
from models.delivery import Delivery, NewDelivery, pack
from models.incident import RESOLVE_AFTER, RESOLVE_EVENT_AFTER, Incident
from models.stats import collect_stats
from runtime.queue import QUEUES, JobQueue
from runtime.redis import deferred_deliveries
from runtime.redis.client import connect, key_of
from runtime.redis.deferred_deliveries import RedisOnly
from tests.broken_databases import read_only_database, unreachable_database
from tests.console.cli import ON_SQLITE
from tests.worker.alert_receiver import AlertReceiver, alert_receiver
from tests.worker.harness import Harness
from worker.maintenance.alerts import Alerts, open_alerts
from worker.maintenance.incident_memory import notifier_lock
from worker.services import Services
from worker.settings import AlertSettings

NOW = datetime.now(UTC).replace(microsecond=0)
READ_ONLY = "the database answers, but cannot be written"
WRITABLE = "resolved: the database can be written again"


@pytest.fixture(autouse=True)
def workers(redis: Redis) -> Iterator[Worker]:
    """Start a worker for each queue."""
    worker = Worker([JobQueue(redis).queue(name) for name in QUEUES], connection=redis, serializer=JSONSerializer)
    worker.register_birth()
    yield worker
    worker.register_death()


@pytest.fixture
def operator_channel() -> Iterator[AlertReceiver]:
    with alert_receiver() as channel:
        yield channel


def alerts_to(*channels: AlertReceiver) -> Alerts:
    return open_alerts(AlertSettings(alert_channels=[channel.url for channel in channels]))


def check(services: Services, alerts: Alerts, *seconds: float) -> None:
    for after in seconds:
        alerts.check(services, NOW + timedelta(seconds=after))


def defer_one(harness: Harness, body: bytes, received_at: datetime = NOW) -> None:
    harness.services.job_queue.enqueue_store(
        pack(NewDelivery.from_body(body, "default", received_at, harness.services.inbox.cipher))
    )


def test_a_read_only_database_is_alerted_once_and_resolved_once(
    harness: Harness, operator_channel: AlertReceiver
) -> None:
    alerts = alerts_to(operator_channel)
    check(harness.services, alerts, 0)
    with read_only_database(harness.services.database):
        check(harness.services, alerts, 15, 30, 45)
        assert operator_channel.subjects() == [READ_ONLY]
        assert "do not restart or empty it" in operator_channel.received[0][1]
        assert harness.all(Incident) == []
    check(harness.services, alerts, 60, 75, 60 + RESOLVE_AFTER.total_seconds(), 135)
    assert operator_channel.subjects() == [READ_ONLY, WRITABLE]
    assert operator_channel.kinds == ["failure", "success"]
    [incident] = harness.all(Incident)
    assert (incident.kind, incident.began_at) == ("database_read_only", NOW + timedelta(seconds=15))
    assert incident.ended_at == NOW + timedelta(seconds=60)


def test_a_scheduler_that_restarts_meanwhile_sends_nothing_again(
    harness: Harness, operator_channel: AlertReceiver
) -> None:
    with read_only_database(harness.services.database):
        for after in (0, 15, 30):
            check(harness.services, alerts_to(operator_channel), after)
    for after in (45, 60, 110, 125):
        check(harness.services, alerts_to(operator_channel), after)
    assert operator_channel.subjects() == [READ_ONLY, WRITABLE]


def test_two_schedulers_send_it_once(harness: Harness, operator_channel: AlertReceiver) -> None:
    one, other = alerts_to(operator_channel), alerts_to(operator_channel)
    with read_only_database(harness.services.database):
        for after in (0, 15, 30):
            check(harness.services, one, after)
            check(harness.services, other, after + 7)
    for after in (45, 60, 110, 125):
        check(harness.services, one, after)
        check(harness.services, other, after + 7)
    assert operator_channel.subjects() == [READ_ONLY, WRITABLE]
    assert len(harness.all(Incident)) == 1


def test_a_scheduler_whose_lock_expired_leaves_the_lock_of_another_alone(redis: Redis) -> None:
    with ExitStack() as another:
        with notifier_lock(redis) as is_held:
            redis.delete(key_of(redis, "incidents-lock"))  # as after its time
            assert is_held
            assert another.enter_context(notifier_lock(redis))
        with notifier_lock(redis) as is_third_held:
            assert not is_third_held


@ON_SQLITE
def test_a_database_that_is_down_is_alerted_after_longer_than_a_restart(
    harness: Harness, operator_channel: AlertReceiver
) -> None:
    alerts = alerts_to(operator_channel)
    with unreachable_database(harness.services) as services:
        check(services, alerts, 0)
        assert operator_channel.received == []
        check(services, alerts, 15, 30)
        assert operator_channel.subjects() == ["the database does not answer"]
        assert "nobody@" not in operator_channel.received[0][1]
    check(harness.services, alerts, 45, 60, 105, 120)
    assert operator_channel.subjects()[1:] == ["resolved: the database answers again"]


@ON_SQLITE
def test_a_channel_that_failed_is_notified_later(harness: Harness, operator_channel: AlertReceiver) -> None:
    alerts, operator_channel.answer = alerts_to(operator_channel), 500
    with read_only_database(harness.services.database):
        check(harness.services, alerts, 0, 15)
        operator_channel.answer = 200
        check(harness.services, alerts, 30, 45)
    assert operator_channel.subjects() == [READ_ONLY]


@ON_SQLITE
def test_with_both_stores_down_alerts_are_sent_from_memory(harness: Harness, operator_channel: AlertReceiver) -> None:
    alerts = alerts_to(operator_channel)
    with unreachable_database(harness.services) as services:
        silent = replace(services, job_queue=JobQueue(connect("redis://127.0.0.1:1/0")))
        check(silent, alerts, 0, 15, 30)
    assert sorted(operator_channel.subjects()) == ["Redis cannot be used", "the database does not answer"]


@ON_SQLITE
def test_redis_that_is_down_is_an_incident_like_others(harness: Harness, operator_channel: AlertReceiver) -> None:
    alerts = alerts_to(operator_channel)
    check(replace(harness.services, job_queue=JobQueue(connect("redis://127.0.0.1:1/0"))), alerts, 0, 15, 30)
    assert operator_channel.subjects() == ["Redis cannot be used"]
    assert [incident.kind for incident in harness.all(Incident)] == ["redis_down"]
    check(harness.services, alerts, 45, 110)
    assert operator_channel.subjects()[1:] == ["resolved: Redis can be used again"]


@ON_SQLITE
def test_redis_that_is_full_is_an_incident_too(harness: Harness, operator_channel: AlertReceiver, redis: Redis) -> None:
    alerts = alerts_to(operator_channel)
    redis.config_set("maxmemory", 1)
    try:
        check(harness.services, alerts, 0, 15, 30)
    finally:
        redis.config_set("maxmemory", 0)
    assert operator_channel.subjects() == ["Redis cannot be used"]
    recovered = replace(harness.services, job_queue=JobQueue(redis))  # its cool-down is over
    check(recovered, alerts, 45, 110)
    assert operator_channel.subjects()[1:] == ["resolved: Redis can be used again"]


@ON_SQLITE
def test_webhooks_in_redis_only_are_an_incident_until_they_are_stored(
    harness: Harness, operator_channel: AlertReceiver, redis: Redis
) -> None:
    alerts = alerts_to(operator_channel)
    defer_one(harness, b"{}")
    defer_one(harness, b"[]")
    with unreachable_database(harness.services) as services:
        check(services, alerts, 5, 20, 35)
        assert sorted(operator_channel.subjects()) == [
            "2 webhooks are in Redis only: do not restart or empty it",
            "the database does not answer",
        ]
    for alert in operator_channel.received:
        assert str(alert).count("do not restart or empty it") == 1, alert
        assert "2 webhooks are in Redis only" in str(alert)
    check(harness.services, alerts, 50)
    for job in JobQueue(redis).queue("inbox").jobs:
        harness.services.job_queue.remove_redis_only(job.id)
    check(harness.services, alerts, 65, 130)
    assert "resolved: no webhook is in Redis only any more" in operator_channel.subjects()


@ON_SQLITE
def test_a_webhook_briefly_in_redis_only_is_no_incident(harness: Harness, operator_channel: AlertReceiver) -> None:
    defer_one(harness, b"{}")
    check(harness.services, alerts_to(operator_channel), 5, 20)
    assert operator_channel.received == []


@ON_SQLITE
def test_a_database_that_fails_again_within_a_minute_is_not_alerted_again(
    harness: Harness, operator_channel: AlertReceiver
) -> None:
    alerts = alerts_to(operator_channel)
    with read_only_database(harness.services.database):
        check(harness.services, alerts, 0, 15)
    check(harness.services, alerts, 30)
    with read_only_database(harness.services.database):
        check(harness.services, alerts, 45, 60)
    check(harness.services, alerts, 75, 90, 150)
    assert operator_channel.subjects() == [READ_ONLY, WRITABLE]


@ON_SQLITE
def test_an_event_is_alerted_once_and_closes_itself(harness: Harness, operator_channel: AlertReceiver) -> None:
    alerts = alerts_to(operator_channel)
    for after in (0, 40):
        with harness.services.database.transaction() as session:
            Incident.record_state(session, DEFAULT, "worker_died", True, [], NOW + timedelta(seconds=after))
        check(harness.services, alerts, after + 5, after + 20)
    assert operator_channel.subjects() == ["a worker died"]
    check(harness.services, alerts, 120, 300)
    assert len(operator_channel.received) == 1
    check(harness.services, alerts, 60 + RESOLVE_EVENT_AFTER.total_seconds())
    assert operator_channel.subjects()[1:] == ["resolved: no worker has died for 10 minutes"]


@ON_SQLITE
def test_a_queue_without_a_worker_is_alerted_after_a_minute(
    harness: Harness, operator_channel: AlertReceiver, workers: Worker
) -> None:
    alerts = alerts_to(operator_channel)
    workers.register_death()
    check(harness.services, alerts, 0, 15)
    assert operator_channel.received == []
    check(harness.services, alerts, 60, 75)
    assert operator_channel.subjects() == ["no worker runs for the inbox and the outbox"]


@ON_SQLITE
def test_a_stale_count_is_corrected(harness: Harness, redis: Redis) -> None:
    defer_one(harness, b"{}")
    defer_one(harness, b"[]")
    JobQueue(redis).queue("inbox").jobs[0].delete()
    harness.services.job_queue.prune_redis_only()
    held = collect_stats(harness.services.database, harness.services.job_queue, NOW).redis_only
    assert held is not None
    assert (held.count, held.oldest) == (1, NOW)


@ON_SQLITE
def test_a_stored_body_is_no_longer_counted(harness: Harness, redis: Redis) -> None:
    defer_one(harness, b"{}")
    defer_one(harness, b"[]")
    assert deferred_deliveries.read(redis) == RedisOnly(2, NOW)
    SimpleWorker([JobQueue(redis).queue("inbox")], connection=redis, serializer=JSONSerializer).work(burst=True)
    assert deferred_deliveries.read(redis) == RedisOnly()
    assert len(harness.all(Delivery)) == 2


def test_a_body_deferred_by_an_earlier_version_is_counted_if_it_cannot_be_stored(
    harness: Harness, redis: Redis
) -> None:
    defer_one(harness, b"{}")
    deferred_deliveries.remove(redis, JobQueue(redis).queue("inbox").jobs[0].id)
    with read_only_database(harness.services.database):
        SimpleWorker([JobQueue(redis).queue("inbox")], connection=redis, serializer=JSONSerializer).work(burst=True)
    assert deferred_deliveries.read(redis) == RedisOnly(1, NOW)
