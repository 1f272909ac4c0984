"""The collect_stats counts what is there, and leaves out what does not answer."""

from datetime import UTC, datetime, timedelta

from redis import Redis

from models.stats import RowStats, collect_stats
from runtime import queue
from runtime.database import Database
from runtime.queue import JobQueue
from runtime.redis import heartbeat
from tests.worker.desk import Desk

NOW = datetime(2024, 1, 14, 16, 0, tzinfo=UTC)


def test_an_empty_house_is_counted_as_such(database: Database, bell: JobQueue) -> None:
    seen = collect_stats(database, bell, NOW)
    assert seen.rows == {"inbox": RowStats(), "outbox": RowStats()}
    assert seen.jobs
    assert [jobs.workers for jobs in seen.jobs.values()] == [0, 0]
    assert seen.next_runs == {}


def test_it_counts_what_waits_what_is_done_and_what_is_dead(desk: Desk) -> None:
    desk.deliver(b"not json", b'{"webhookType":"form_submission"}')
    desk.work_off()
    desk.deliver(b'{"webhookType":"review_submitted"}')
    now = datetime.now(UTC)
    seen = collect_stats(desk.office.database, desk.office.bell, now)
    assert seen.rows
    inbox = seen.rows["inbox"]
    assert (inbox.waiting, inbox.done, inbox.dead, inbox.per_minute) == (1, 1, 1, 2 / 5)
    assert inbox.oldest_waiting
    assert now - timedelta(minutes=1) < inbox.oldest_waiting <= now
    assert seen.accepted_per_minute == 3 / 5
    assert seen.jobs
    assert seen.jobs["inbox"].failed == 1


def test_it_knows_when_the_schedule_runs_next(database: Database, bell: JobQueue, redis: Redis) -> None:
    heartbeat.record(redis, "sweep", NOW + timedelta(seconds=15), timedelta(minutes=1))
    assert collect_stats(database, bell, NOW).next_runs == {"sweep": NOW + timedelta(seconds=15)}


def test_a_store_that_is_away_leaves_its_part_out(database: Database, bell: JobQueue, tmp_path: object) -> None:
    away = JobQueue(queue.connect("redis://127.0.0.1:1"))
    assert collect_stats(database, away, NOW).jobs is None
    assert collect_stats(database, away, NOW).rows
    nothing = Database(f"sqlite:///{tmp_path}/nothing.db")
    assert collect_stats(nothing, bell, NOW).rows is None
    nothing.close()
