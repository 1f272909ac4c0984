"""The sweep makes true what a lost trigger, an emptied Redis or a late mapping left undone."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from threading import Thread
from typing import Any

import pytest
from redis.exceptions import RedisError
from sqlalchemy import insert, update

from devtools.send import samples
from models.delivery import Delivery
from models.notification import Notification
from models.platform_user import PlatformUser
from runtime.outage import Outage
from runtime.process.stop_signal import StopEvent
from runtime.redis import heartbeat
from tests.console.cli import ON_SQLITE
from tests.worker.harness import AT, START, Harness
from tests.worker.test_pool import wait_until
from worker import scheduler
from worker.maintenance import sweeper
from worker.maintenance.sweeper import OVERDUE_AFTER, sweep, wake
from worker.queue_worker import QueueWorker
from worker.services import Services

CREATED = samples.created("b1", START, AT)


def soon(harness: Harness) -> None:
    sweep(harness.services, datetime.now(UTC) + OVERDUE_AFTER + timedelta(seconds=1))


def test_a_lost_trigger_is_repeated(harness: Harness) -> None:
    harness.deliver(CREATED)
    harness.services.job_queue.trigger_drain("inbox")
    harness.services.job_queue.queue("inbox").empty()  # the job is lost, the flag still set
    soon(harness)
    assert harness.services.job_queue.queue("inbox").count == 1


def test_an_emptied_redis_is_rung_for_both_boxes(harness: Harness) -> None:
    harness.process(CREATED)
    harness.deliver(samples.created("b2", START, AT))
    harness.services.job_queue.redis.flushall()
    soon(harness)
    assert [harness.services.job_queue.queue(name).count for name in ("inbox", "outbox")] == [1, 1]


def test_a_job_whose_worker_was_killed_is_enqueued_again(harness: Harness) -> None:
    """Such as one that carries a body that is nowhere else."""
    queue = harness.services.job_queue.queue("inbox")
    harness.services.job_queue.trigger_drain("inbox")
    worker = QueueWorker(
        [queue], connection=harness.services.job_queue.redis, serializer=queue.serializer, prepare_for_work=False
    )
    popped = queue.dequeue_any([queue], None, connection=queue.connection, serializer=queue.serializer)
    assert popped is not None
    execution = worker.prepare_execution(popped[0])
    worker.prepare_job_execution(popped[0])
    registry = queue.started_job_registry
    sweep(harness.services, datetime.now(UTC))
    assert (queue.count, registry.get_job_count(cleanup=False)) == (0, 1)
    queue.connection.zadd(registry.key, {execution.composite_key: 1})  # its time is over
    sweep(harness.services, datetime.now(UTC))
    assert (queue.count, registry.get_job_count(cleanup=False)) == (1, 0)


def test_a_step_that_fails_keeps_no_other_from_its_turn(harness: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    def breaks(*_arguments: object) -> None:
        raise ValueError("year 20000 is out of range")

    turns: list[str] = []
    monkeypatch.setattr(sweeper, "recover_stale_claims", breaks)
    monkeypatch.setattr(sweeper, "link_new_users", lambda *_: turns.append("linked"))
    with pytest.raises(ValueError, match="out of range"):
        sweeper.sweep(harness.services, datetime.now(UTC))
    assert turns == ["linked"]


def test_a_backlog_of_1_000_rows_is_not_multiplied(harness: Harness) -> None:
    rows = [
        dict(
            id=f"{number:064d}", account="default", source="webhook", body=b"{}", received_at=AT, due_at=AT, attempts=0
        )
        for number in range(1_000)
    ]
    with harness.services.database.transaction() as session:
        session.execute(insert(Delivery).values(status="pending"), rows)
    for _ in range(50):
        soon(harness)
    assert harness.services.job_queue.queue("inbox").count == 1


def test_what_is_not_overdue_is_left_to_its_trigger(harness: Harness) -> None:
    harness.deliver(CREATED)
    sweep(harness.services, datetime.now(UTC))
    assert harness.services.job_queue.queue("inbox").count == 0


def test_bookings_that_waited_are_linked_when_the_platform_adds_their_host(harness: Harness) -> None:
    harness.process(CREATED, samples.created("b2", START, AT, hostIds=["somebody-else"], hosts=[]))
    user = harness.add_user(meetergo_user_id=samples.HOST_ID)
    soon(harness)
    assert harness.booking("b1").platform_user_id == user.id
    assert harness.booking("b2").platform_user_id is None
    assert harness.all(PlatformUser)[0].linked_as is not None
    assert harness.notification_kinds() == ["created", "created"]  # to the log, which has it already, not once more


def test_a_host_who_is_linked_late_hears_of_the_booking_by_their_own_channel(
    open_harness: Callable[..., Harness],
) -> None:
    harness = open_harness()
    harness.process(CREATED)
    harness.add_user(meetergo_user_id=samples.HOST_ID, channels=["log:own"])
    soon(harness)
    soon(harness)
    own = [row for row in harness.all(Notification) if row.platform_user_id is not None]
    assert [(row.kind, row.booking_id) for row in own] == [("created", "b1")]


def test_a_user_who_is_linked_is_not_looked_at_again_until_the_mapping_changes(harness: Harness) -> None:
    user = harness.add_user(meetergo_user_id="h1")
    soon(harness)
    harness.process(CREATED)
    with harness.services.database.transaction() as session:
        assert not PlatformUser.newly_mapped(session)
        session.get_one(PlatformUser, user.id).meetergo_user_id = samples.HOST_ID
    soon(harness)
    assert harness.booking().platform_user_id == user.id
    assert [row.status for row in harness.all(Delivery)] == ["done"]


def test_the_outbox_is_woken_for_what_can_be_sent_and_not_for_what_waits_behind_it(harness: Harness) -> None:
    harness.process(CREATED)
    harness.process(samples.rescheduled("b1", START + timedelta(hours=1), AT + timedelta(minutes=1), START))
    now, outbox = datetime.now(UTC), harness.services.job_queue.queue("outbox")
    for first_due, jobs in ((timedelta(minutes=1), 0), (timedelta(0), 1)):
        with harness.services.database.transaction() as session:
            session.execute(update(Notification).values(due_at=now, attempts=1))
            session.execute(update(Notification).where(Notification.id == 1).values(due_at=now + first_due))
        outbox.connection.flushall()
        wake(harness.services, now)
        assert outbox.count == jobs


@pytest.mark.parametrize("database", ["postgresql"], indirect=True)  # SQLite is for one machine, with one clock
@pytest.mark.parametrize("ahead", [timedelta(hours=1), timedelta(hours=-1)])
def test_a_scheduler_whose_clock_is_wrong_wakes_in_time(harness: Harness, ahead: timedelta) -> None:
    harness.deliver(CREATED)
    inbox = harness.services.job_queue.queue("inbox")
    with harness.services.database.transaction() as session:
        session.execute(update(Delivery).values(due_at=datetime.now(UTC), attempts=1))
    wake(harness.services, datetime.now(UTC) + ahead)
    assert inbox.count == 1


def test_a_notification_of_a_worker_whose_clock_was_ahead_is_sent_soon(harness: Harness) -> None:
    ahead = datetime.now(UTC) + timedelta(hours=1)
    harness.deliver(CREATED)
    while replace(harness.services.inbox, clock=lambda: ahead).process_due():
        pass
    harness.send_all()
    assert [row.status for row in harness.all(Notification)] == ["pending"]
    sweep(harness.services, datetime.now(UTC))
    harness.send_all()
    assert [row.status for row in harness.all(Notification)] == ["done"]


def test_a_notification_that_a_channel_refused_for_now_is_left_alone(harness: Harness) -> None:
    harness.process(CREATED)
    until = datetime.now(UTC) + timedelta(minutes=5)
    with harness.services.database.transaction() as session:
        session.execute(update(Notification).values(due_at=until))
    sweep(harness.services, datetime.now(UTC))
    assert [row.due_at for row in harness.all(Notification)] == [until]


@ON_SQLITE
def test_an_emptied_redis_soon_knows_again_when_a_daily_task_runs(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scheduler, "HEARTBEAT_INTERVAL", timedelta(milliseconds=10))
    stop, redis, tasks = StopEvent(), harness.services.job_queue.redis, {"prune": (timedelta(days=1), lambda *_: None)}
    thread = Thread(target=scheduler.run, args=(tasks, harness.services, stop))
    thread.start()
    wait_until(lambda: "prune" in heartbeat.next_runs(redis))
    redis.flushall()
    wait_until(lambda: "prune" in heartbeat.next_runs(redis))
    stop.set()
    thread.join()
    assert heartbeat.next_runs(redis)["prune"] > datetime.now(UTC) + timedelta(hours=23)


@ON_SQLITE
def test_a_daily_task_that_ran_while_redis_was_down_is_not_run_again_and_is_soon_known_to_have(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise `status` called for a person for ten minutes after a start before Redis."""
    monkeypatch.setattr(scheduler, "HEARTBEAT_INTERVAL", timedelta(milliseconds=10))
    stop, redis, runs = StopEvent(), harness.services.job_queue.redis, list[datetime]()
    failures, record = iter([RedisError()]), heartbeat.record

    def record_unless_down(*args: Any) -> None:
        for error in failures:
            raise error
        record(*args)

    monkeypatch.setattr(heartbeat, "record", record_unless_down)
    tasks: scheduler.Schedule = {"prune": (timedelta(days=1), lambda _services, now: runs.append(now))}
    thread = Thread(target=scheduler.run, args=(tasks, harness.services, stop))
    thread.start()
    wait_until(lambda: "prune" in heartbeat.next_runs(redis))
    stop.set()
    thread.join()
    assert len(runs) == 1


@ON_SQLITE
def test_a_daily_task_that_failed_is_run_again_soon(harness: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise a scheduler that starts before its database would be reported as broken for a day."""
    monkeypatch.setattr(scheduler, "RETRY_INTERVAL", timedelta(milliseconds=10))
    stop, redis, failures = StopEvent(), harness.services.job_queue.redis, iter([OSError()])

    def task(_services: Services, _now: datetime) -> None:
        for error in failures:
            raise error

    tasks = {"prune": (timedelta(days=1), task)}
    thread = Thread(target=scheduler.run, args=(tasks, harness.services, stop))
    thread.start()
    wait_until(lambda: "prune" in heartbeat.next_runs(redis))
    stop.set()
    thread.join()
    assert heartbeat.next_runs(redis)["prune"] > datetime.now(UTC) + timedelta(hours=23)


def test_a_task_that_fails_each_second_is_logged_when_it_begins_and_ends(
    harness: Harness, capfd: pytest.CaptureFixture[str]
) -> None:
    outage, answers = Outage("schedule.failed"), iter([True, True, True, False])

    def task(_services: Services, _now: datetime) -> None:
        if next(answers):
            raise OSError

    for _ in range(4):
        scheduler._run("wake", task, harness.services, timedelta(seconds=1), outage)
    logged = capfd.readouterr().out
    assert (logged.count("schedule.failed"), logged.count("schedule.failed_over")) == (2, 1)
