"""Triggers and jobs, through RQ itself: one job for all that is due."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import cast

import pytest
from cryptography.fernet import Fernet
from redis import Redis
from rq import Retry as RetryJob
from rq.job import Job
from rq.registry import FailedJobRegistry, ScheduledJobRegistry
from rq.serializers import JSONSerializer
from sqlalchemy import update
from sqlalchemy.orm import Session

from devtools.send import samples
from models.booking import Booking, BookingChange
from models.delivery import Delivery, NewDelivery, pack
from models.intervention import Intervention
from runtime.encryption import BodyCipher
from runtime.queue import QueueName
from runtime.redis.allowed_jobs import REJECTION
from runtime.redis.client import origin_of
from tests.console.cli import ON_SQLITE
from tests.redis_content import redis_dump
from tests.worker.harness import AT, START, Harness
from worker import jobs
from worker.drain_result import DrainResult
from worker.maintenance.failed_jobs import sync_failed_jobs
from worker.maintenance.sweeper import OVERDUE_AFTER, sweep, wake
from worker.outbox.sender import OutboxSender
from worker.queue_worker import QueueWorker

KEY = Fernet.generate_key().decode()
CREATED = samples.created("b1", START, AT)
BROKEN = {"hook": True}
PACKED = pack(NewDelivery.from_body(b"{}", "default", AT, BodyCipher([])))


def hook_that_may_fail(session: Session, booking: Booking, change: BookingChange) -> None:
    if BROKEN["hook"]:
        raise KeyError("guest-1@example.com")


@pytest.fixture
def failing_harness(open_harness: Callable[..., Harness]) -> Harness:
    BROKEN["hook"] = True
    return open_harness(platform_hook=f"{__name__}:hook_that_may_fail")


def run_worker(harness: Harness, name: QueueName = "inbox") -> None:
    """A real RQ worker, until its queue is empty; it enqueues what is scheduled for now first."""
    queue = harness.services.job_queue.queue(name)
    harness.services.job_queue.enqueue_scheduled(name)
    QueueWorker([queue], connection=queue.connection, serializer=JSONSerializer).work(
        burst=True, logging_level="CRITICAL"
    )


def failed(harness: Harness, name: QueueName = "inbox") -> FailedJobRegistry:
    return harness.services.job_queue.queue(name).failed_job_registry


def scheduled(harness: Harness, name: QueueName = "inbox") -> ScheduledJobRegistry:
    return harness.services.job_queue.queue(name).scheduled_job_registry


def make_due(harness: Harness, ago: timedelta = timedelta(seconds=1)) -> None:
    """Lets the waiting time pass."""
    with harness.services.database.transaction() as session:
        session.execute(update(Delivery).values(due_at=datetime.now(UTC) - ago))


def wake_when_due(harness: Harness) -> None:
    make_due(harness)
    wake(harness.services, datetime.now(UTC))
    run_worker(harness)


def test_a_thousand_rings_are_one_job(harness: Harness) -> None:
    for _ in range(1000):
        harness.services.job_queue.trigger_drain("inbox")
    assert harness.services.job_queue.queue("inbox").count == 1


def test_a_ring_during_a_job_is_not_swallowed(harness: Harness) -> None:
    job_queue = harness.services.job_queue
    job_queue.trigger_drain("inbox")
    job_queue.drain_started("inbox")
    job_queue.trigger_drain("inbox")
    assert job_queue.queue("inbox").count == 2


def test_the_bell_is_taken_down_before_anything_is_read(harness: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    rang_meanwhile: list[int] = []

    def ring_while_reading(_inbox: object) -> bool:
        harness.services.job_queue.trigger_drain("inbox")
        rang_meanwhile.append(harness.services.job_queue.queue("inbox").count)
        return False

    monkeypatch.setattr("worker.inbox.processor.InboxProcessor.process_due", ring_while_reading)
    harness.services.job_queue.trigger_drain("inbox")
    jobs.drain("inbox")
    assert rang_meanwhile == [2]


def test_a_worker_that_is_rung_for_works_off_and_rings_for_the_outbox(harness: Harness) -> None:
    harness.deliver(CREATED)
    harness.services.job_queue.trigger_drain("inbox")
    run_worker(harness)
    assert harness.booking().status == "confirmed"
    run_worker(harness, "outbox")
    assert [row.status for row in harness.all(Delivery)] == ["done"]
    assert not failed(harness).get_job_ids()


def test_a_drain_that_found_work_until_its_time_was_up_is_followed_by_another(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A booking's messages go out one after the other: each round makes the next ones due, however slow it is."""
    monkeypatch.setattr(jobs, "MAX_DRAIN_TIME", timedelta(0))
    monkeypatch.setattr(OutboxSender, "process_due", lambda _self: DrainResult.DRAINED)
    jobs.drain("outbox")
    assert harness.services.job_queue.queue("outbox").count == 1


def test_a_failed_row_waits_for_its_due_time_without_a_job(failing_harness: Harness) -> None:
    failing_harness.deliver(CREATED)
    failing_harness.process_due()
    assert not scheduled(failing_harness).get_job_ids()
    wake(failing_harness.services, datetime.now(UTC))
    assert failing_harness.services.job_queue.queue("inbox").count == 0


def test_a_failed_row_is_tried_when_it_is_due_until_it_works(failing_harness: Harness) -> None:
    failing_harness.deliver(CREATED)
    failing_harness.process_due()
    for attempts in (2, 3):
        wake_when_due(failing_harness)
        assert [(row.status, row.attempts) for row in failing_harness.all(Delivery)] == [("pending", attempts)]
    BROKEN["hook"] = False
    wake_when_due(failing_harness)
    assert failing_harness.booking().status == "confirmed"


def test_a_failed_row_is_tried_even_if_redis_and_the_worker_were_lost(failing_harness: Harness, redis: Redis) -> None:
    failing_harness.deliver(CREATED)
    failing_harness.process_due()
    BROKEN["hook"] = False
    redis.flushall()
    wake_when_due(failing_harness)
    assert [row.status for row in failing_harness.all(Delivery)] == ["done"]


def test_a_row_that_cannot_be_taken_is_left_to_the_sweep_after_some_seconds(failing_harness: Harness) -> None:
    failing_harness.deliver(CREATED)
    failing_harness.process_due()
    make_due(failing_harness, ago=OVERDUE_AFTER + timedelta(seconds=1))
    wake(failing_harness.services, datetime.now(UTC))
    assert failing_harness.services.job_queue.queue("inbox").count == 0
    sweep(failing_harness.services, datetime.now(UTC))
    assert failing_harness.services.job_queue.queue("inbox").count == 1


@ON_SQLITE
def test_jobs_that_waited_for_their_time_are_enqueued_once(harness: Harness) -> None:
    queue = harness.services.job_queue.queue("inbox")
    due, later = (
        queue.enqueue_at(datetime.now(UTC) + delay, "worker.jobs.drain", "inbox")
        for delay in (-timedelta(seconds=1), timedelta(minutes=1))
    )
    queue.connection.zadd(queue.scheduled_job_registry.key, {"gone": 1})
    for _ in range(2):
        harness.services.job_queue.enqueue_scheduled("inbox")
    assert (queue.get_job_ids(), scheduled(harness).get_job_ids()) == ([due.id], [later.id])
    assert due.get_status() == "queued"


@ON_SQLITE
def test_a_body_whose_retry_was_scheduled_by_a_wrong_clock_is_not_left_in_redis(harness: Harness) -> None:
    queue = harness.services.job_queue.queue("inbox")
    ahead = queue.enqueue_at(datetime.now(UTC) + timedelta(hours=1), "worker.jobs.store_deferred")
    harness.services.job_queue.enqueue_scheduled("inbox")
    assert (queue.get_job_ids(), scheduled(harness).get_job_ids()) == ([ahead.id], [])


@ON_SQLITE
@pytest.mark.parametrize("is_name", [True, False])
def test_what_is_not_rqs_among_the_jobs_that_wait_stops_nothing(
    harness: Harness, redis: Redis, is_name: bool, capfd: pytest.CaptureFixture[str]
) -> None:
    queue = harness.services.job_queue.queue("inbox")
    due = queue.enqueue_at(datetime.now(UTC) - timedelta(seconds=1), "worker.jobs.drain", "inbox")
    redis.zadd(queue.scheduled_job_registry.key, {b"\xff is no text" if is_name else "theirs": 1})
    redis.set(Job.key_for("theirs"), "no job")
    harness.services.job_queue.enqueue_scheduled("inbox")
    assert queue.get_job_ids() == [due.id]
    assert "queue.foreign_data" in capfd.readouterr().out


def test_a_dead_row_is_in_rqs_failed_registry_and_requeue_tries_it_once_more(harness: Harness) -> None:
    (delivery_id,) = harness.deliver(b"not json")
    harness.process_due()
    sync_failed_jobs(harness.services, datetime.now(UTC))
    assert failed(harness).get_job_ids() == [f"meetergo-inbox-inbox-{delivery_id}"]
    with harness.services.database.transaction() as session:
        session.get_one(Delivery, delivery_id).body = b'{"webhookType":"form_submission"}'
    failed(harness).requeue(f"meetergo-inbox-inbox-{delivery_id}")
    run_worker(harness)
    assert [row.status for row in harness.all(Delivery)] == ["done"]
    assert not failed(harness).get_job_ids()


@pytest.mark.parametrize("name", ["tend", "retry_one"])
def test_a_retry_job_of_the_previous_version_only_triggers_a_drain(failing_harness: Harness, name: str) -> None:
    (delivery_id,) = failing_harness.deliver(CREATED)
    failing_harness.process_due()
    queue = failing_harness.services.job_queue.queue("inbox")
    queue.enqueue_at(datetime.now(UTC), f"worker.jobs.{name}", args=("inbox", delivery_id), result_ttl=0)
    run_worker(failing_harness)
    assert [(row.status, row.attempts) for row in failing_harness.all(Delivery)] == [("pending", 1)]
    assert (queue.count, scheduled(failing_harness).count, failed(failing_harness).count) == (0, 0, 0)
    assert failing_harness.all(Intervention) == []


@pytest.mark.parametrize("name", ["tend", "retry_one"])
def test_a_scheduled_retry_job_of_the_previous_version_revives_no_dead_row(harness: Harness, name: str) -> None:
    (delivery_id,) = harness.deliver(b"not json")
    harness.process_due()
    queue = harness.services.job_queue.queue("inbox")
    job_id = f"meetergo-inbox-inbox-{delivery_id}"  # that of the mirrored job, too
    queue.enqueue_at(datetime.now(UTC), f"worker.jobs.{name}", args=("inbox", delivery_id), job_id=job_id)
    wake(harness.services, datetime.now(UTC))
    assert (queue.count, scheduled(harness).count) == (0, 0)
    sync_failed_jobs(harness.services, datetime.now(UTC))
    assert failed(harness).get_job_ids() == [job_id]
    assert [row.status for row in harness.all(Delivery)] == ["dead"]


@ON_SQLITE
def test_a_job_whose_worker_was_killed_is_queued_again_and_is_no_failure(failing_harness: Harness) -> None:
    queue = failing_harness.services.job_queue.queue("inbox")
    failing_harness.deliver(CREATED)
    failing_harness.services.job_queue.trigger_drain("inbox")
    killed = QueueWorker([queue], connection=queue.connection, serializer=JSONSerializer)
    job = killed.dequeue_job_and_maintain_ttl(timeout=1)[0]  # type: ignore[index]
    killed.prepare_execution(job)
    killed.prepare_job_execution(job, remove_from_intermediate_queue=True)
    assert queue.count == 0
    queue.started_job_registry.cleanup(timestamp=datetime.now(UTC).timestamp() + 3600)
    assert queue.get_job_ids() == [job.id]
    assert not failed(failing_harness).get_job_ids()


def test_a_job_whose_worker_was_killed_right_after_popping_it_is_queued_again_by_the_sweep(
    harness: Harness, redis: Redis
) -> None:
    job_queue = harness.services.job_queue
    queue = job_queue.queue("inbox")
    job_queue.enqueue_store(PACKED)
    killed = QueueWorker([queue], connection=queue.connection, serializer=JSONSerializer)
    job = killed.dequeue_job_and_maintain_ttl(timeout=1)[0]  # type: ignore[index]
    job_queue.requeue_abandoned("inbox")
    assert queue.count == 0, "a worker may have popped it just now"
    popped = queue.intermediate_queue
    redis.set(popped.get_first_seen_key(job.id), datetime.now(UTC).timestamp() - 61)
    job_queue.requeue_abandoned("inbox")
    assert (queue.get_job_ids(), popped.get_job_ids()) == ([job.id], [])
    run_worker(harness)
    assert len(harness.all(Delivery)) == 1


def test_a_job_whose_worker_was_killed_ends_although_its_first_execution_has_expired(
    harness: Harness, redis: Redis, capfd: pytest.CaptureFixture[str]
) -> None:
    """RQ forgets an execution a minute before the entry that names it, and failed to delete the job meanwhile."""
    queue = harness.services.job_queue.queue("inbox")
    harness.services.job_queue.enqueue_store(PACKED)
    killed = QueueWorker([queue], connection=queue.connection, serializer=JSONSerializer)
    job = killed.dequeue_job_and_maintain_ttl(timeout=1)[0]  # type: ignore[index]
    killed.prepare_execution(job)
    killed.prepare_job_execution(job, remove_from_intermediate_queue=True)
    queue.started_job_registry.cleanup(timestamp=datetime.now(UTC).timestamp() + 3600)
    redis.delete(*cast("list[bytes]", redis.keys("rq:execution:*")))
    run_worker(harness)
    assert len(harness.all(Delivery)) == 1
    assert failed(harness).get_job_ids() == []
    assert redis.keys("rq:job:*") == []
    assert "job.dead" not in capfd.readouterr().out


def test_a_body_that_came_while_the_database_was_away_is_stored_and_worked_off(
    open_harness: Callable[..., Harness],
) -> None:
    harness = open_harness(body_keys=KEY)
    received_at = datetime(2024, 1, 14, 16, 0, tzinfo=UTC)
    harness.services.job_queue.enqueue_store(
        pack(NewDelivery.from_body(b'{"webhookType":"form_submission"}', "default", received_at, BodyCipher([KEY])))
    )
    run_worker(harness)
    assert [(row.status, row.received_at) for row in harness.all(Delivery)] == [("done", received_at)]


def test_a_carried_body_waits_for_the_database(
    harness: Harness, open_harness: Callable[..., Harness], redis: Redis
) -> None:
    away = open_harness(database_url="postgresql://nobody@127.0.0.1:1/nothing")
    away.services.job_queue.enqueue_store(
        pack(NewDelivery.from_body(b'{"webhookType":"form_submission"}', "default", AT, BodyCipher([])))
    )
    run_worker(away)
    assert len(scheduled(away).get_job_ids()) == 1
    assert not failed(away).get_job_ids()


def test_a_drain_that_finds_the_database_away_is_no_failure_and_is_not_run_again(
    open_harness: Callable[..., Harness],
) -> None:
    away = open_harness(database_url="postgresql://nobody@127.0.0.1:1/nothing")
    away.services.job_queue.trigger_drain("inbox")
    run_worker(away)
    assert (scheduled(away).count, failed(away).count) == (0, 0)


@ON_SQLITE
@pytest.mark.parametrize("job", ["drain", "retry_one", "store_deferred"])
def test_a_job_that_breaks_is_run_again_later_and_says_nothing_of_people(
    harness: Harness, redis: Redis, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], job: str
) -> None:
    def break_down(*_: object) -> None:
        raise KeyError(samples.guest(1)["email"])

    monkeypatch.setattr(jobs, f"_{job}", break_down)
    arguments = {"drain": ("inbox",), "retry_one": ("inbox", "0" * 64), "store_deferred": PACKED}[job]
    harness.services.job_queue.queue("inbox").enqueue(f"worker.jobs.{job}", args=arguments, description="a job")
    run_worker(harness)
    assert scheduled(harness).count == (job != "drain")
    assert not failed(harness).get_job_ids()
    assert b"example.com" not in redis_dump(redis)
    assert "guest-1" not in "".join(capfd.readouterr())


@ON_SQLITE
@pytest.mark.parametrize(
    ("job", "arguments"),
    [
        ("drain", ("nonsense",)),
        ("drain", ()),
        ("drain", (["inbox"],)),
        ("drain", ("inbox", "inbox")),
        ("retry_one", ("inbox", None)),
        ("retry_one", ("inbox", "a\x00b")),
        ("retry_one", ("inbox", "a" * 10_000)),
        ("retry_one", ("outbox", "x")),
        ("retry_one", ("outbox", "9" * 30)),
        ("retry_one", ("outbox", "\u0661")),
        ("retry_one", ("nonsense", "1")),
        ("store_deferred", ()),
        ("store_deferred", (1, 2, 3, 4, 5)),
        ("store_deferred", (*PACKED[:2], "no base 64", *PACKED[3:])),
        ("store_deferred", (*PACKED[:4], "yesterday")),
        ("store_deferred", (*PACKED[:4], "2024-01-14T15:30:00")),
        ("store_deferred", ("a\x00", *PACKED[1:])),
        ("store_deferred", (PACKED[0], "a" * 65, *PACKED[2:])),
        ("store_deferred", (*PACKED[:3], "much longer than a key", PACKED[4])),
    ],
)
def test_a_job_that_is_none_of_ours_fails_once_and_says_so(
    harness: Harness, job: str, arguments: tuple[object, ...]
) -> None:
    if len(arguments) == len(PACKED):
        arguments = (*arguments, origin_of(harness.services.job_queue.redis))
    hostile = harness.services.job_queue.queue("inbox").enqueue(
        f"worker.jobs.{job}", args=arguments, retry=RetryJob(max=100), description="a job"
    )
    run_worker(harness)
    assert failed(harness).get_job_ids() == [hostile.id]
    assert not scheduled(harness).get_job_ids()
    result = hostile.latest_result()
    assert result is not None
    sentences = (REJECTION, "was not written by meetergo-inbox")
    assert any(sentence in (result.exc_string or "") for sentence in sentences)
    assert hostile.get_status(refresh=True) == "failed"
    assert harness.all(Delivery) == []


def test_healthy_rows_come_before_many_that_fail(failing_harness: Harness) -> None:
    failing_harness.deliver(*(samples.created(f"b{number}", START, AT) for number in range(1500)))
    with failing_harness.services.database.transaction() as session:
        session.execute(update(Delivery).values(attempts=1, due_at=datetime.now(UTC) - timedelta(seconds=1)))
    (healthy,) = failing_harness.deliver({"webhookType": "form_submission"})
    failing_harness.services.inbox.process_due()
    assert {row.id: row.status for row in failing_harness.all(Delivery)}[healthy] == "done"
