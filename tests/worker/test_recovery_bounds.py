"""Recovery is quick with default settings: which numbers make it so, and that nobody changes them unnoticed."""

from datetime import timedelta
from functools import partial

from redis import Redis
from rq import SimpleWorker
from rq.job import Job

from models.notification import SEND_LEASE
from runtime.queue import JOB_TIMEOUT, RETRY_IF_ABANDONED, STORE_DEFERRED_TIMEOUT, JobQueue
from runtime.redis.allowed_jobs import STORE_DEFERRED
from runtime.redis.client import REDIS_TIMEOUT_SECONDS, connect
from tests.worker.harness import Harness
from worker.channels.mail.smtp import TIMEOUT as MAIL_TIMEOUT
from worker.inbox.processor import CHECK_LEASE
from worker.jobs import MAX_DRAIN_TIME
from worker.maintenance.sweeper import OVERDUE_AFTER
from worker.outbox.claimed import MAX_RECORDING_TIME
from worker.pool import RESTART_DELAY, WorkerPool
from worker.queue_worker import ABANDONED_AFTER, MAINTENANCE_INTERVAL, WORKER_TTL, QueueWorker
from worker.scheduler import SCHEDULE

SWEEP_EVERY = SCHEDULE["sweep"][0]
LOST_TRIGGER = timedelta(seconds=60)
KILLED_WORKER = timedelta(seconds=90)


def test_a_lost_trigger_is_repeated_in_time() -> None:
    assert OVERDUE_AFTER + SWEEP_EVERY < LOST_TRIGGER


def test_what_a_killed_worker_held_is_taken_by_another_in_time() -> None:
    """What was handled is free at once; what was sent or checked, after its lease."""
    for held in (timedelta(0), SEND_LEASE, CHECK_LEASE):
        assert held + OVERDUE_AFTER + SWEEP_EVERY + RESTART_DELAY < KILLED_WORKER


def test_a_body_that_only_redis_has_is_carried_again_in_time_if_its_worker_was_killed() -> None:
    assert STORE_DEFERRED_TIMEOUT + ABANDONED_AFTER + SWEEP_EVERY < KILLED_WORKER
    job = Job.create(STORE_DEFERRED, connection=Redis(), timeout=int(STORE_DEFERRED_TIMEOUT.total_seconds()))
    assert QueueWorker.get_heartbeat_ttl(None, job) == (STORE_DEFERRED_TIMEOUT + ABANDONED_AFTER).total_seconds()  # type: ignore[arg-type]


def test_a_sent_message_is_recorded_as_long_as_nobody_else_may_send_it() -> None:
    """The longest channel is a mail server; its timeout is one deadline for the whole exchange."""
    assert MAIL_TIMEOUT < SEND_LEASE <= MAX_RECORDING_TIME


def test_a_worker_that_is_asked_to_stop_does_so_before_docker_loses_patience() -> None:
    assert timedelta(seconds=10) > MAX_DRAIN_TIME
    assert MAX_DRAIN_TIME < JOB_TIMEOUT


def test_rq_looks_for_killed_workers_every_minute_and_workers_show_themselves_as_often(harness: Harness) -> None:
    """Its defaults are ten minutes, and seven."""
    inbox = harness.services.job_queue.queue("inbox")
    worker = QueueWorker(
        [inbox],
        connection=connect(_url(harness)),
        worker_ttl=int(WORKER_TTL.total_seconds()),
        prepare_for_work=False,
    )
    assert timedelta(minutes=1) >= MAINTENANCE_INTERVAL
    assert worker.dequeue_timeout == 45
    assert worker.max_connection_wait_time == 5
    assert issubclass(QueueWorker, SimpleWorker)
    worker.connection.close()


def test_a_worker_killed_during_maintenance_keeps_the_others_from_it_for_less_than_a_minute(harness: Harness) -> None:
    """RQ's own lock lasts for 15 minutes: for so long nobody would look for a body that a killed worker had popped."""
    inbox = harness.services.job_queue.queue("inbox")
    assert inbox.acquire_maintenance_lock()
    assert not inbox.acquire_maintenance_lock()
    assert 0 < inbox.connection.ttl(inbox.registry_cleaning_key) < MAINTENANCE_INTERVAL.total_seconds()


def test_a_job_whose_worker_was_killed_may_run_again() -> None:
    assert RETRY_IF_ABANDONED.max >= 100


def test_a_failed_row_is_tried_again_within_two_seconds_after_it_is_due() -> None:
    assert SCHEDULE["wake"][0] <= timedelta(seconds=1)


def test_each_worker_listens_to_one_queue() -> None:
    targets = WorkerPool(partial(connect, "redis://127.0.0.1:1"), ("inbox", "outbox"), 2)._targets()
    assert [(duty.func.__name__, duty.args[1]) for duty in targets] == [  # type: ignore[attr-defined]
        ("run_worker", "inbox"),
        ("run_worker", "inbox"),
        ("run_worker", "outbox"),
        ("run_worker", "outbox"),
    ]


def test_who_rings_does_not_wait_long_for_a_redis_that_never_answers(harness: Harness) -> None:
    kwargs = JobQueue(connect(_url(harness))).redis.connection_pool.connection_kwargs
    assert kwargs["socket_timeout"] == kwargs["socket_connect_timeout"] == REDIS_TIMEOUT_SECONDS == 1


def _url(harness: Harness) -> str:
    kwargs = harness.services.job_queue.redis.connection_pool.connection_kwargs
    return f"redis://127.0.0.1:{kwargs['port']}/0"
