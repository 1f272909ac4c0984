"""The statistics count both stores, and omit one that does not respond."""

from datetime import UTC, datetime, timedelta

from redis import Redis

from models.stats import RowStats, collect_stats
from runtime import queue
from runtime.database import Database
from runtime.queue import JobQueue
from runtime.redis import heartbeat
from tests.worker.harness import Harness
from worker.maintenance.failed_jobs import sync_failed_jobs

NOW = datetime(2024, 1, 14, 16, 0, tzinfo=UTC)


def test_empty_stores_count_zero(database: Database, job_queue: JobQueue) -> None:
    stats = collect_stats(database, job_queue, NOW)
    assert stats.rows == {"inbox": RowStats(), "outbox": RowStats()}
    assert stats.jobs
    assert [jobs.workers for jobs in stats.jobs.values()] == [0, 0]
    assert stats.next_runs == {}


def test_it_counts_pending_done_and_dead_rows(harness: Harness) -> None:
    harness.deliver(b"not json", b'{"webhookType":"form_submission"}')
    harness.process_due()
    harness.deliver(b'{"webhookType":"review_submitted"}')
    now = datetime.now(UTC)
    sync_failed_jobs(harness.services, now)
    stats = collect_stats(harness.services.database, harness.services.job_queue, now)
    assert stats.rows
    inbox = stats.rows["inbox"]
    assert (inbox.waiting, inbox.done, inbox.dead, inbox.per_minute) == (1, 1, 1, 2 / 5)
    assert inbox.oldest_waiting
    assert now - timedelta(minutes=1) < inbox.oldest_waiting <= now
    assert stats.accepted_per_minute == 3 / 5
    assert stats.jobs
    assert stats.jobs["inbox"].failed == 1


def test_it_reports_the_next_run_of_the_scheduler(database: Database, job_queue: JobQueue, redis: Redis) -> None:
    heartbeat.record(redis, "sweep", NOW + timedelta(seconds=15), timedelta(minutes=1))
    assert collect_stats(database, job_queue, NOW).next_runs == {"sweep": NOW + timedelta(seconds=15)}


def test_a_store_that_is_down_leaves_its_fields_none(database: Database, job_queue: JobQueue, tmp_path: object) -> None:
    unreachable_queue = JobQueue(queue.connect("redis://127.0.0.1:1"))
    assert collect_stats(database, unreachable_queue, NOW).jobs is None
    assert collect_stats(database, unreachable_queue, NOW).rows
    empty_database = Database(f"sqlite:///{tmp_path}/nothing.db")
    assert collect_stats(empty_database, job_queue, NOW).rows is None
    empty_database.close()
