"""Operators hear of a store that is down or cannot be written, also while the table of incidents cannot be."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from redis import Redis
from rq import SimpleWorker, Worker
from rq.serializers import JSONSerializer

from models.delivery import Delivery, NewDelivery
from models.incident import CALM_AFTER_EVENT, RESOLVE_AFTER, Incident
from models.stats import collect_stats
from runtime import queue
from runtime.queue import QUEUES, JobQueue
from runtime.redis import deferred_deliveries
from runtime.redis.deferred_deliveries import RedisOnly
from tests.stores import gone, read_only
from tests.worker.desk import Desk
from tests.worker.operators import Operators, operators
from worker.maintenance.alerts import Alerts, open_alerts
from worker.services import Services
from worker.settings import AlertSettings

NOW = datetime.now(UTC).replace(microsecond=0)
READ_ONLY = "the database answers, but cannot be written"
WRITABLE = "over: the database can be written again"


@pytest.fixture(autouse=True)
def workers(redis: Redis) -> Iterator[Worker]:
    """Each box has one."""
    worker = Worker([JobQueue(redis).queue(box) for box in QUEUES], connection=redis, serializer=JSONSerializer)
    worker.register_birth()
    yield worker
    worker.register_death()


@pytest.fixture
def crew_room() -> Iterator[Operators]:
    with operators() as channel:
        yield channel


def alerts_to(*channels: Operators) -> Alerts:
    return open_alerts(AlertSettings(alert_channels=[channel.url for channel in channels]))


def check(office: Services, alerts: Alerts, *seconds: float) -> None:
    for after in seconds:
        alerts.check(office, NOW + timedelta(seconds=after))


def carry_one(desk: Desk, body: bytes, received_at: datetime = NOW) -> None:
    desk.office.bell.carry(NewDelivery.of(body, "default", received_at, desk.office.inbox.vault))


def test_a_database_that_cannot_be_written_is_told_once_and_again_when_it_can(desk: Desk, crew_room: Operators) -> None:
    alerts = alerts_to(crew_room)
    check(desk.office, alerts, 0)
    with read_only(desk.office.database):
        check(desk.office, alerts, 15, 30, 45)
        assert crew_room.subjects() == [READ_ONLY]
        assert "do not restart or empty it" in crew_room.told[0][1]
        assert desk.all(Incident) == []
    check(desk.office, alerts, 60, 75, 60 + RESOLVE_AFTER.total_seconds(), 135)
    assert crew_room.subjects() == [READ_ONLY, WRITABLE]
    assert crew_room.kinds == ["failure", "success"]
    [incident] = desk.all(Incident)
    assert (incident.kind, incident.began_at) == ("database_read_only", NOW + timedelta(seconds=15))
    assert incident.ended_at == NOW + timedelta(seconds=60)


def test_nothing_is_told_again_by_a_schedule_that_is_restarted_meanwhile(desk: Desk, crew_room: Operators) -> None:
    with read_only(desk.office.database):
        for after in (0, 15, 30):
            check(desk.office, alerts_to(crew_room), after)
    for after in (45, 60, 110, 125):
        check(desk.office, alerts_to(crew_room), after)
    assert crew_room.subjects() == [READ_ONLY, WRITABLE]


def test_two_schedules_tell_it_once(desk: Desk, crew_room: Operators) -> None:
    one, other = alerts_to(crew_room), alerts_to(crew_room)
    with read_only(desk.office.database):
        for after in (0, 15, 30):
            check(desk.office, one, after)
            check(desk.office, other, after + 7)
    for after in (45, 60, 110, 125):
        check(desk.office, one, after)
        check(desk.office, other, after + 7)
    assert crew_room.subjects() == [READ_ONLY, WRITABLE]
    assert len(desk.all(Incident)) == 1


def test_a_database_that_is_down_is_told_when_it_was_more_than_a_restart(desk: Desk, crew_room: Operators) -> None:
    alerts = alerts_to(crew_room)
    with gone(desk.office) as office:
        check(office, alerts, 0)
        assert crew_room.told == []
        check(office, alerts, 15, 30)
        assert crew_room.subjects() == ["the database does not answer"]
        assert "nobody@" not in crew_room.told[0][1]
    check(desk.office, alerts, 45, 60, 105, 120)
    assert crew_room.subjects()[1:] == ["over: the database answers again"]


def test_a_channel_that_did_not_hear_hears_later(desk: Desk, crew_room: Operators) -> None:
    alerts, crew_room.answer = alerts_to(crew_room), 500
    with read_only(desk.office.database):
        check(desk.office, alerts, 0, 15)
        crew_room.answer = 200
        check(desk.office, alerts, 30, 45)
    assert crew_room.subjects() == [READ_ONLY]


def test_both_stores_down_are_told_from_memory(desk: Desk, crew_room: Operators) -> None:
    alerts = alerts_to(crew_room)
    with gone(desk.office) as office:
        silent = replace(office, bell=JobQueue(queue.connect("redis://127.0.0.1:1/0")))
        check(silent, alerts, 0, 15, 30)
    assert sorted(crew_room.subjects()) == ["Redis does not answer", "the database does not answer"]


def test_redis_that_is_down_is_an_incident_like_others(desk: Desk, crew_room: Operators) -> None:
    alerts = alerts_to(crew_room)
    check(replace(desk.office, bell=JobQueue(queue.connect("redis://127.0.0.1:1/0"))), alerts, 0, 15, 30)
    assert crew_room.subjects() == ["Redis does not answer"]
    assert [incident.kind for incident in desk.all(Incident)] == ["redis_down"]
    check(desk.office, alerts, 45, 110)
    assert crew_room.subjects()[1:] == ["over: Redis answers again"]


def test_webhooks_in_redis_only_are_told_while_the_database_is_down_and_until_they_are_stored(
    desk: Desk, crew_room: Operators, redis: Redis
) -> None:
    alerts = alerts_to(crew_room)
    carry_one(desk, b"{}")
    carry_one(desk, b"[]")
    with gone(desk.office) as office:
        check(office, alerts, 5, 20, 35)
        assert sorted(crew_room.subjects()) == [
            "2 webhooks are in Redis only: do not restart or empty it",
            "the database does not answer",
        ]
    check(desk.office, alerts, 50)
    for job in JobQueue(redis).queue("inbox").jobs:
        desk.office.bell.note_stored(job.id)
    check(desk.office, alerts, 65, 130)
    assert "over: no webhook is in Redis only any more" in crew_room.subjects()


def test_what_rests_in_redis_only_for_a_moment_is_no_incident(desk: Desk, crew_room: Operators) -> None:
    carry_one(desk, b"{}")
    check(desk.office, alerts_to(crew_room), 5, 20)
    assert crew_room.told == []


def test_a_database_that_goes_again_within_a_minute_is_not_told_again(desk: Desk, crew_room: Operators) -> None:
    alerts = alerts_to(crew_room)
    with read_only(desk.office.database):
        check(desk.office, alerts, 0, 15)
    check(desk.office, alerts, 30)
    with read_only(desk.office.database):
        check(desk.office, alerts, 45, 60)
    check(desk.office, alerts, 75, 90, 150)
    assert crew_room.subjects() == [READ_ONLY, WRITABLE]


def test_an_event_is_told_once_and_closes_itself(desk: Desk, crew_room: Operators) -> None:
    alerts = alerts_to(crew_room)
    for after in (0, 40):
        with desk.office.database.transaction() as session:
            Incident.note(session, "worker_died", True, [], NOW + timedelta(seconds=after))
        check(desk.office, alerts, after + 5, after + 20)
    assert crew_room.subjects() == ["a worker died"]
    check(desk.office, alerts, 120, 300)
    assert len(crew_room.told) == 1
    check(desk.office, alerts, 60 + CALM_AFTER_EVENT.total_seconds())
    assert crew_room.subjects()[1:] == ["over: no worker has died for 10 minutes"]


def test_a_box_without_a_worker_is_told_after_a_minute(desk: Desk, crew_room: Operators, workers: Worker) -> None:
    alerts = alerts_to(crew_room)
    workers.register_death()
    check(desk.office, alerts, 0, 15)
    assert crew_room.told == []
    check(desk.office, alerts, 60, 75)
    assert crew_room.subjects() == ["no worker works at the inbox and the outbox"]


def test_a_count_that_was_left_behind_is_corrected(desk: Desk, redis: Redis) -> None:
    carry_one(desk, b"{}")
    carry_one(desk, b"[]")
    JobQueue(redis).queue("inbox").jobs[0].delete()
    desk.office.bell.drop_gone()
    held = collect_stats(desk.office.database, desk.office.bell, NOW).redis_only
    assert held is not None
    assert (held.count, held.oldest) == (1, NOW)


def test_a_stored_body_counts_no_more(desk: Desk, redis: Redis) -> None:
    carry_one(desk, b"{}")
    carry_one(desk, b"[]")
    assert deferred_deliveries.read(redis) == RedisOnly(2, NOW)
    SimpleWorker([JobQueue(redis).queue("inbox")], connection=redis, serializer=JSONSerializer).work(burst=True)
    assert deferred_deliveries.read(redis) == RedisOnly()
    assert len(desk.all(Delivery)) == 2


def test_a_body_that_an_earlier_version_carries_is_counted_when_it_cannot_be_stored(desk: Desk, redis: Redis) -> None:
    carry_one(desk, b"{}")
    deferred_deliveries.remove(redis, JobQueue(redis).queue("inbox").jobs[0].id)
    with read_only(desk.office.database):
        SimpleWorker([JobQueue(redis).queue("inbox")], connection=redis, serializer=JSONSerializer).work(burst=True)
    assert deferred_deliveries.read(redis) == RedisOnly(1, NOW)
