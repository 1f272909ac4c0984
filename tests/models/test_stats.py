"""The statistics count both stores, and omit one that does not respond."""

from datetime import UTC, datetime, timedelta

import pytest
from redis import Redis
from sqlalchemy import insert, update

from models import error_groups
from models.delivery import Delivery
from models.error_groups import ErrorGroups
from models.stats import RowStats, collect_stats
from runtime.database import Database
from runtime.queue import JobQueue
from runtime.redis import heartbeat
from runtime.redis.client import connect
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


def test_a_limit_ends_each_count_one_above_it(harness: Harness) -> None:
    harness.deliver(*(f"no json {number}".encode() for number in range(4)), b'{"webhookType":"form_submission"}')
    harness.process_due()
    harness.deliver(*(f'{{"webhookType":"review_submitted","n":{number}}}'.encode() for number in range(4)))
    now, services = datetime.now(UTC), harness.services
    for limit, counts in {2: (3, 1, 3), 50: (4, 1, 4)}.items():
        rows = collect_stats(services.database, services.job_queue, now, limit).rows
        assert rows
        assert (rows["inbox"].waiting, rows["inbox"].done, rows["inbox"].dead) == counts
        assert rows["inbox"].oldest_waiting
        assert rows["outbox"] == RowStats()


def test_causes_are_percentages_if_not_all_rows_were_read(harness: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    now = datetime.now(UTC)
    row = dict(account="a", source="webhook", body=b"x", status="dead", attempts=2, received_at=now, due_at=now)
    errors = ["KeyError: 1", "KeyError: 2", "KeyError: 3", "OSError: 4"]
    with harness.services.database.transaction() as session:
        for number, error in enumerate(errors):
            values = dict(id=f"{number:064x}", last_error=error, ended_at=now + timedelta(seconds=number))
            session.execute(insert(Delivery).values(**row, **values))

    def causes(limit: int | None) -> ErrorGroups:
        with harness.services.database.read_only() as session:
            return ErrorGroups.of_dead(session, Delivery, limit)

    for limit in (None, 4):
        assert (causes(limit).rows, causes(limit).summary()) == (4, "KeyError 3, OSError 1")
    monkeypatch.setattr(error_groups, "SAMPLE_SIZE", 3)
    assert (causes(2).rows, causes(2).summary()) == (3, "KeyError")
    assert (causes(4).rows, causes(4).summary()) == (4, "KeyError")
    monkeypatch.setattr(error_groups, "SAMPLE_SIZE", 2)
    with harness.services.database.transaction() as session:
        session.execute(update(Delivery).where(Delivery.last_error == "KeyError: 1").values(last_error="OSError: 1"))
    assert causes(4).summary() == "OSError 50 %, KeyError 50 %"


def test_it_reports_the_next_run_of_the_scheduler(database: Database, job_queue: JobQueue, redis: Redis) -> None:
    heartbeat.record(redis, "sweep", NOW + timedelta(seconds=15), timedelta(minutes=1))
    assert collect_stats(database, job_queue, NOW).next_runs == {"sweep": NOW + timedelta(seconds=15)}


def test_a_store_that_is_down_leaves_its_fields_none(database: Database, job_queue: JobQueue, tmp_path: object) -> None:
    unreachable_queue = JobQueue(connect("redis://127.0.0.1:1"))
    assert collect_stats(database, unreachable_queue, NOW).jobs is None
    assert collect_stats(database, unreachable_queue, NOW).rows
    empty_database = Database(f"sqlite:///{tmp_path}/nothing.db")
    assert collect_stats(empty_database, job_queue, NOW).rows is None
    empty_database.close()
