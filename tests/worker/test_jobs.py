"""The bell and the jobs, through RQ itself: the healthy by bus, the sick by ambulance."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

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
from models.delivery import Delivery, NewDelivery
from models.retryable import OWN_JOB_GRACE
from runtime.encryption import BodyCipher
from runtime.queue import QueueName, pack
from runtime.redis.allowed_jobs import REFUSAL
from runtime.redis.client import origin_of
from tests.redis_content import everything_in
from tests.worker.desk import AT, START, Desk
from worker import jobs
from worker.pool import QueueWorker

KEY = Fernet.generate_key().decode()
CREATED = samples.created("b1", START, AT)
BROKEN = {"hook": True}
PACKED = pack(NewDelivery.of(b"{}", "default", AT, BodyCipher([])))


def hook_that_may_fail(session: Session, booking: Booking, change: BookingChange) -> None:
    if BROKEN["hook"]:
        raise KeyError("guest-1@example.com")


@pytest.fixture
def sick_desk(open_desk: Callable[..., Desk]) -> Desk:
    BROKEN["hook"] = True
    return open_desk(platform_hook=f"{__name__}:hook_that_may_fail")


def run_worker(desk: Desk, box: QueueName = "inbox") -> None:
    """A real RQ worker, until its queue is empty; it enqueues what is scheduled for now first."""
    queue = desk.office.bell.queue(box)
    QueueWorker([queue], connection=queue.connection, serializer=JSONSerializer).work(
        burst=True, with_scheduler=True, logging_level="CRITICAL"
    )


def failed(desk: Desk, box: QueueName = "inbox") -> FailedJobRegistry:
    return desk.office.bell.queue(box).failed_job_registry


def scheduled(desk: Desk, box: QueueName = "inbox") -> ScheduledJobRegistry:
    return desk.office.bell.queue(box).scheduled_job_registry


def make_due(desk: Desk, ago: timedelta = timedelta(seconds=1)) -> None:
    """Lets the waiting time pass, for the rows and for RQ."""
    due = datetime.now(UTC) - ago
    with desk.office.database.transaction() as session:
        session.execute(update(Delivery).values(due_at=due))
    registry = scheduled(desk)
    for job_id in registry.get_job_ids():
        registry.connection.zadd(registry.key, {job_id: due.timestamp()})


def test_a_thousand_rings_are_one_job(desk: Desk) -> None:
    for _ in range(1000):
        desk.office.bell.ring("inbox")
    assert desk.office.bell.queue("inbox").count == 1


def test_a_ring_during_a_job_is_not_swallowed(desk: Desk) -> None:
    bell = desk.office.bell
    bell.ring("inbox")
    bell.answer("inbox")
    bell.ring("inbox")
    assert bell.queue("inbox").count == 2


def test_the_bell_is_taken_down_before_anything_is_read(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    rang_meanwhile: list[int] = []

    def ring_while_reading(_inbox: object) -> bool:
        desk.office.bell.ring("inbox")
        rang_meanwhile.append(desk.office.bell.queue("inbox").count)
        return False

    monkeypatch.setattr("worker.inbox.processor.InboxProcessor.work_off", ring_while_reading)
    desk.office.bell.ring("inbox")
    jobs.empty("inbox")
    assert rang_meanwhile == [2]


def test_a_worker_that_is_rung_for_works_off_and_rings_for_the_outbox(desk: Desk) -> None:
    desk.deliver(CREATED)
    desk.office.bell.ring("inbox")
    run_worker(desk)
    assert desk.booking().status == "confirmed"
    run_worker(desk, "outbox")
    assert [row.status for row in desk.all(Delivery)] == ["done"]
    assert not failed(desk).get_job_ids()


def test_a_row_that_fails_gets_a_job_named_after_it_that_waits_out_its_backoff(sick_desk: Desk) -> None:
    (delivery_id,) = sick_desk.deliver(CREATED)
    sick_desk.work_off()
    (job_id,) = scheduled(sick_desk).get_job_ids()
    assert job_id == f"meetergo-inbox-inbox-{delivery_id}"
    due_at = sick_desk.all(Delivery)[0].due_at
    assert abs(scheduled(sick_desk).get_scheduled_time(job_id) - due_at) < timedelta(seconds=1)


def test_its_own_job_tries_it_again_and_again_until_it_works(sick_desk: Desk) -> None:
    sick_desk.deliver(CREATED)
    sick_desk.work_off()
    for attempts in (2, 3):
        make_due(sick_desk)
        run_worker(sick_desk)
        assert [(row.status, row.attempts) for row in sick_desk.all(Delivery)] == [("pending", attempts)]
        assert len(scheduled(sick_desk).get_job_ids()) == 1
    BROKEN["hook"] = False
    make_due(sick_desk)
    run_worker(sick_desk)
    assert sick_desk.booking().status == "confirmed"
    assert not scheduled(sick_desk).get_job_ids()
    assert not failed(sick_desk).get_job_ids()


def test_the_bus_leaves_a_failed_row_to_its_own_job_but_not_for_ever(sick_desk: Desk) -> None:
    sick_desk.deliver(CREATED)
    sick_desk.work_off()
    BROKEN["hook"] = False
    make_due(sick_desk)
    sick_desk.work_off()
    assert [row.status for row in sick_desk.all(Delivery)] == ["pending"]
    make_due(sick_desk, ago=OWN_JOB_GRACE + timedelta(seconds=1))
    sick_desk.work_off()
    assert [row.status for row in sick_desk.all(Delivery)] == ["done"]


def test_a_dead_row_is_in_rqs_failed_registry_and_requeue_tries_it_once_more(desk: Desk) -> None:
    (delivery_id,) = desk.deliver(b"not json")
    desk.work_off()
    assert failed(desk).get_job_ids() == [f"meetergo-inbox-inbox-{delivery_id}"]
    with desk.office.database.transaction() as session:
        session.get_one(Delivery, delivery_id).body = b'{"webhookType":"form_submission"}'
    failed(desk).requeue(f"meetergo-inbox-inbox-{delivery_id}")
    run_worker(desk)
    assert [row.status for row in desk.all(Delivery)] == ["done"]
    assert not failed(desk).get_job_ids()


def test_a_row_that_dies_in_its_own_job_goes_to_the_failed_registry_too(desk: Desk) -> None:
    (delivery_id,) = desk.deliver(b"not json")
    desk.work_off()
    failed(desk).requeue(f"meetergo-inbox-inbox-{delivery_id}")
    run_worker(desk)
    assert failed(desk).get_job_ids() == [f"meetergo-inbox-inbox-{delivery_id}"]
    job = Job.fetch(f"meetergo-inbox-inbox-{delivery_id}", desk.office.bell.redis, JSONSerializer)
    result = job.latest_result()
    assert result is not None
    assert "the body is not JSON" in (result.exc_string or "")


@pytest.mark.parametrize("failed_row", [False, True])
def test_a_job_whose_worker_was_killed_is_queued_again_and_is_no_failure(sick_desk: Desk, failed_row: bool) -> None:
    queue = sick_desk.office.bell.queue("inbox")
    sick_desk.deliver(CREATED)
    if failed_row:
        sick_desk.work_off()
        make_due(sick_desk)
        (job_id,) = scheduled(sick_desk).get_job_ids()
        scheduled(sick_desk).remove(job_id)
        queue.push_job_id(job_id)
    else:
        sick_desk.office.bell.ring("inbox")
    killed = QueueWorker([queue], connection=queue.connection, serializer=JSONSerializer)
    job = killed.dequeue_job_and_maintain_ttl(timeout=1)[0]  # type: ignore[index]
    killed.prepare_execution(job)
    killed.prepare_job_execution(job, remove_from_intermediate_queue=True)
    assert queue.count == 0
    queue.started_job_registry.cleanup(timestamp=datetime.now(UTC).timestamp() + 3600)
    assert queue.get_job_ids() == [job.id]
    assert not failed(sick_desk).get_job_ids()


def test_no_job_of_a_failed_row_holds_anything_of_people(sick_desk: Desk, redis: Redis) -> None:
    sick_desk.deliver(CREATED)
    sick_desk.work_off()
    make_due(sick_desk)
    run_worker(sick_desk)
    assert b"example.com" not in everything_in(redis)


def test_a_body_that_came_while_the_database_was_away_is_stored_and_worked_off(open_desk: Callable[..., Desk]) -> None:
    desk = open_desk(body_keys=KEY)
    received_at = datetime(2024, 1, 14, 16, 0, tzinfo=UTC)
    desk.office.bell.carry(
        NewDelivery.of(b'{"webhookType":"form_submission"}', "default", received_at, BodyCipher([KEY]))
    )
    run_worker(desk)
    assert [(row.status, row.received_at) for row in desk.all(Delivery)] == [("done", received_at)]


def test_a_carried_body_waits_for_the_database(desk: Desk, open_desk: Callable[..., Desk], redis: Redis) -> None:
    away = open_desk(database_url="postgresql://nobody@127.0.0.1:1/nothing")
    away.office.bell.carry(NewDelivery.of(b'{"webhookType":"form_submission"}', "default", AT, BodyCipher([])))
    run_worker(away)
    assert len(scheduled(away).get_job_ids()) == 1
    assert not failed(away).get_job_ids()


def test_a_job_that_finds_the_database_away_knocks_again_and_is_no_failure(open_desk: Callable[..., Desk]) -> None:
    away = open_desk(database_url="postgresql://nobody@127.0.0.1:1/nothing")
    away.office.bell.ring("inbox")
    run_worker(away)
    assert len(scheduled(away).get_job_ids()) == 1
    assert not failed(away).get_job_ids()


@pytest.mark.parametrize("job", ["empty", "tend", "carry"])
def test_a_job_that_breaks_is_run_again_later_and_says_nothing_of_people(
    desk: Desk, redis: Redis, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], job: str
) -> None:
    def break_down(*_: object) -> None:
        raise KeyError(samples.guest(1)["email"])

    monkeypatch.setattr(jobs, f"_{job}", break_down)
    arguments = {"empty": ("inbox",), "tend": ("inbox", "x"), "carry": PACKED}[job]
    desk.office.bell.queue("inbox").enqueue(f"worker.jobs.{job}", args=arguments, description="a job")
    run_worker(desk)
    assert len(scheduled(desk).get_job_ids()) == 1
    assert not failed(desk).get_job_ids()
    assert b"example.com" not in everything_in(redis)
    assert "guest-1" not in "".join(capfd.readouterr())


@pytest.mark.parametrize(
    ("job", "arguments"),
    [
        ("empty", ("nonsense",)),
        ("empty", ()),
        ("empty", (["inbox"],)),
        ("empty", ("inbox", "inbox")),
        ("tend", ("inbox", None)),
        ("tend", ("inbox", "a\x00b")),
        ("tend", ("inbox", "a" * 10_000)),
        ("tend", ("outbox", "x")),
        ("tend", ("outbox", "9" * 30)),
        ("tend", ("outbox", "\u0661")),
        ("tend", ("nonsense", "1")),
        ("carry", ()),
        ("carry", (1, 2, 3, 4, 5)),
        ("carry", (*PACKED[:2], "no base 64", *PACKED[3:])),
        ("carry", (*PACKED[:4], "yesterday")),
        ("carry", (*PACKED[:4], "2024-01-14T15:30:00")),
        ("carry", ("a\x00", *PACKED[1:])),
        ("carry", (PACKED[0], "a" * 65, *PACKED[2:])),
        ("carry", (*PACKED[:3], "much longer than a key", PACKED[4])),
    ],
)
def test_a_job_that_is_none_of_ours_fails_once_and_says_so(desk: Desk, job: str, arguments: tuple[object, ...]) -> None:
    if len(arguments) == len(PACKED):
        arguments = (*arguments, origin_of(desk.office.bell.redis))
    hostile = desk.office.bell.queue("inbox").enqueue(
        f"worker.jobs.{job}", args=arguments, retry=RetryJob(max=100), description="a job"
    )
    run_worker(desk)
    assert failed(desk).get_job_ids() == [hostile.id]
    assert not scheduled(desk).get_job_ids()
    result = hostile.latest_result()
    assert result is not None
    sentences = (REFUSAL, "are not such as this service gives", "was not written by meetergo-inbox")
    assert any(sentence in (result.exc_string or "") for sentence in sentences)
    assert hostile.get_status(refresh=True) == "failed"
    assert desk.all(Delivery) == []


def test_healthy_rows_come_before_the_jobs_of_many_that_fail(sick_desk: Desk) -> None:
    """Each of those has a job of its own, and all of these were enqueued before the one that works off the others."""
    sick_desk.deliver(CREATED)
    sick_desk.work_off()
    make_due(sick_desk)
    (healthy,) = sick_desk.deliver({"webhookType": "form_submission"})
    jobs.tend("inbox", next(row.id for row in sick_desk.all(Delivery) if row.id != healthy))
    assert {row.id: row.status for row in sick_desk.all(Delivery)}[healthy] == "done"
