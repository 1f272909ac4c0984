"""RQ's failed registry and our dead rows tell the same story, whatever is lost, requeued, replayed or pruned."""

import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test
from redis import Redis
from rq.job import Job, JobStatus, requeue_job
from rq.serializers import JSONSerializer
from sqlalchemy import delete, update

from devtools.send import samples
from models.claim import MODEL_OF_QUEUE
from models.delivery import Delivery
from models.intervention import BY_RQ, Intervention
from models.notification import Notification
from models.privacy.retention import prune
from models.search import RowSearch
from operations.replay.selection import select_deliveries
from operations.replay.service import ReplayService
from runtime.errors import Permanent
from runtime.queue import QUEUES, QueueName
from tests.redis_content import redis_dump
from tests.snapshot import snapshot_redis
from tests.worker.harness import AT, START, Harness
from tests.worker.test_jobs import run_worker
from worker.channels.log import LogChannel
from worker.maintenance import failed_jobs
from worker.maintenance.failed_jobs import sync_failed_jobs

CREATED = samples.created("b1", START, AT)
FAILING = {"channel": True}


@pytest.fixture
def failing_channel(monkeypatch: pytest.MonkeyPatch) -> None:
    def send(_channel: LogChannel, _message: object) -> None:
        if FAILING["channel"]:
            raise Permanent("nobody there")

    FAILING["channel"] = True
    monkeypatch.setattr(LogChannel, "send", send)


def failed(harness: Harness, name: QueueName = "inbox") -> list[str]:
    return harness.services.job_queue.queue(name).failed_job_registry.get_job_ids()


def sync(harness: Harness) -> None:
    sync_failed_jobs(harness.services, datetime.now(UTC))


def die(harness: Harness, *bodies: bytes) -> list[str]:
    ids = harness.deliver(*(bodies or (b"not json",)))
    harness.process_due()
    sync(harness)
    return ids


def test_after_a_loss_of_redis_the_dead_come_back_and_say_why(
    harness: Harness, redis: Redis, failing_channel: None
) -> None:
    (delivery_id,) = die(harness)
    harness.process(CREATED)
    harness.send_all()
    redis.flushall()
    sync(harness)
    assert failed(harness) == [f"meetergo-inbox-inbox-{delivery_id}"]
    assert failed(harness, "outbox") == ["meetergo-inbox-outbox-1"]
    job = Job.fetch(f"meetergo-inbox-inbox-{delivery_id}", redis, JSONSerializer)
    assert (job.latest_result().exc_string, job.get_status()) == ("the body is not JSON", JobStatus.FAILED)  # type: ignore[union-attr]
    harness.services.job_queue.queue("inbox").failed_job_registry.requeue(job.id)
    run_worker(harness)
    sync(harness)
    assert failed(harness) == [f"meetergo-inbox-inbox-{delivery_id}"]
    assert [(act.kind, act.by) for act in harness.all(Intervention)] == [("replayed", BY_RQ)]


def test_mirroring_tells_redis_nothing_of_people(harness: Harness, redis: Redis) -> None:
    (delivery_id,) = die(harness)
    with harness.services.database.transaction() as session:
        session.get_one(Delivery, delivery_id).last_error = "KeyError: 'guest-1@example.com'"
    redis.flushall()
    sync(harness)
    assert (
        Job.fetch(f"meetergo-inbox-inbox-{delivery_id}", redis, JSONSerializer).latest_result().exc_string == "KeyError"
    )  # type: ignore[union-attr]
    assert b"guest-1" not in redis_dump(redis)


@pytest.mark.parametrize("end", ["done", "pending", "pruned"])
def test_a_job_whose_row_is_not_dead_any_more_goes(harness: Harness, redis: Redis, end: str) -> None:
    (delivery_id,) = die(harness)
    with harness.services.database.transaction() as session:
        if end == "pruned":
            session.execute(delete(Delivery))
        else:
            session.execute(update(Delivery).values(status=end))
    sync(harness)
    assert failed(harness) == []
    assert not redis.exists(Job.key_for(f"meetergo-inbox-inbox-{delivery_id}"))


def test_failed_jobs_of_others_are_left_alone(harness: Harness, redis: Redis) -> None:
    (delivery_id,) = die(harness)
    others = [
        b"\xff is no text",
        "theirs",
        "inbox-" + "a" * 64,
        "meetergo-inbox-inbox-theirs",
        "meetergo-inbox-inbox-" + "G" * 64,
        "meetergo-inbox-outbox-x",
    ]
    registries = [harness.services.job_queue.queue(name).failed_job_registry.key for name in QUEUES]
    for registry in registries:
        redis.zadd(registry, dict.fromkeys(others, 4_000_000_000.0))
    with harness.services.database.transaction() as session:
        session.execute(update(Delivery).values(status="done"))
    sync(harness)
    kept = {each if isinstance(each, bytes) else each.encode() for each in others}
    assert [set(redis.zrange(registry, 0, -1)) for registry in registries] == [kept, kept]
    assert not redis.exists(Job.key_for(f"meetergo-inbox-inbox-{delivery_id}"))


def test_nothing_is_written_when_nothing_differs(harness: Harness, redis: Redis) -> None:
    die(harness)
    before = snapshot_redis(redis)
    sync(harness)
    assert snapshot_redis(redis) == before


def test_a_name_without_its_job_cannot_be_requeued_so_it_is_filed_anew(harness: Harness, redis: Redis) -> None:
    (delivery_id,) = die(harness)
    redis.delete(Job.key_for(f"meetergo-inbox-inbox-{delivery_id}"))
    sync(harness)
    assert requeue_job(f"meetergo-inbox-inbox-{delivery_id}", redis, JSONSerializer).get_status() == JobStatus.QUEUED


def test_who_was_requeued_and_waits_for_a_worker_is_not_filed_again(harness: Harness) -> None:
    (delivery_id,) = die(harness)
    harness.services.job_queue.queue("inbox").failed_job_registry.requeue(f"meetergo-inbox-inbox-{delivery_id}")
    sync(harness)
    assert failed(harness) == []
    run_worker(harness)
    sync(harness)
    assert failed(harness) == [f"meetergo-inbox-inbox-{delivery_id}"]


def test_it_goes_page_by_page_and_does_so_much_at_once(
    harness: Harness, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(failed_jobs, "PAGE_SIZE", 3)
    monkeypatch.setattr(failed_jobs, "MAX_CHANGES", 6)
    ids = die(harness, *(b"%d not json" % number for number in range(10)))
    with harness.services.database.transaction() as session:
        session.execute(update(Delivery).values(ended_at=AT))  # one moment, so that pages end within it
    redis.flushall()
    counts = []
    for _ in range(3):
        sync(harness)
        counts.append(len(failed(harness)))
    assert counts == [6, 10, 10]
    assert sorted(failed(harness)) == sorted(f"meetergo-inbox-inbox-{key}" for key in ids)
    with harness.services.database.transaction() as session:
        session.execute(update(Delivery).values(status="done"))
    sync(harness)
    assert len(failed(harness)) == 4
    sync(harness)
    assert failed(harness) == []


def rq(redis_url: str, *words: str) -> str:
    command = [sys.executable, "-c", "from rq.cli import main; main()", *words, "--url", redis_url]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_rqs_own_command_line_requeues_the_dead_and_it_is_written_down(
    harness: Harness, redis_url: str, failing_channel: None
) -> None:
    harness.process(CREATED)
    harness.send_all()
    one, two = die(harness, b"one", b"two")
    rq(redis_url, "requeue", "--queue", "meetergo-inbox-inbox", f"meetergo-inbox-inbox-{one}")
    rq(redis_url, "requeue", "--queue", "meetergo-inbox-outbox", "--all")
    FAILING["channel"] = False
    run_worker(harness)
    run_worker(harness, "outbox")
    sync(harness)
    assert failed(harness, "outbox") == []
    assert sorted(failed(harness)) == sorted(f"meetergo-inbox-inbox-{key}" for key in (one, two))
    assert [row.status for row in harness.all(Notification)] == ["done"]
    acts = [(act.kind, act.delivery_id, act.notification_id, act.by) for act in harness.all(Intervention)]
    assert acts == [("replayed", one, None, BY_RQ), ("replayed", None, 1, BY_RQ)]


class Redises(RuleBasedStateMachine):
    """What befalls dead rows and their jobs."""

    harness: Harness

    def __init__(self) -> None:
        super().__init__()
        self.bodies = 0
        with self.harness.services.database.transaction() as session:
            for rows in (Delivery, Notification):
                session.execute(delete(rows))
        self.harness.services.job_queue.redis.flushall()

    @rule()
    def a_delivery_dies(self) -> None:
        self.bodies += 1
        self.harness.deliver(b"not json %d" % self.bodies)
        self.harness.process_due()

    @rule()
    def a_notification_dies(self) -> None:
        self.bodies += 1
        self.harness.process(samples.created(f"b{self.bodies}", START, AT))
        self.harness.send_all()

    @rule(data=st.data(), works=st.booleans())
    def an_operator_replays(self, data: st.DataObject, works: bool) -> None:
        chosen = select_deliveries(self.harness.services.inbox, RowSearch(status="dead").deliveries()).chosen
        if chosen:
            ReplayService(self.harness.services, "x").replay([data.draw(st.sampled_from(chosen))], datetime.now(UTC))
        if works:
            self.harness.process_due()

    @rule(data=st.data(), heals=st.booleans())
    def an_operator_replays_a_notification(self, data: st.DataObject, heals: bool) -> None:
        dead = [row.id for row in self.harness.all(Notification) if row.status == "dead"]
        if dead:
            FAILING["channel"] = not heals
            ReplayService(self.harness.services, "x").replay_notifications(
                [data.draw(st.sampled_from(dead))], datetime.now(UTC)
            )
            self.harness.send_all()
            FAILING["channel"] = True

    @rule(data=st.data())
    def an_operator_ignores(self, data: st.DataObject) -> None:
        dead = [row.id for row in self.harness.all(Delivery) if row.status == "dead"]
        if dead:
            ReplayService(self.harness.services, "x", "never").ignore(
                [data.draw(st.sampled_from(dead))], datetime.now(UTC)
            )

    @rule(data=st.data(), name=st.sampled_from(QUEUES), works=st.booleans())
    def rq_requeues(self, data: st.DataObject, name: QueueName, works: bool) -> None:
        registry = self.harness.services.job_queue.queue(name).failed_job_registry
        jobs = sorted(registry.get_job_ids())
        if jobs:
            registry.requeue(data.draw(st.sampled_from(jobs)))
        if works:
            run_worker(self.harness, name)

    @rule()
    def old_rows_are_pruned(self) -> None:
        dead = [row for rows in (Delivery, Notification) for row in self.harness.all(rows) if row.status == "dead"]
        with self.harness.services.database.transaction() as session:
            for row in dead[:1]:
                session.merge(row).ended_at = datetime.now(UTC) - timedelta(days=100)
        prune(
            self.harness.services.database, datetime.now(UTC), {"done": timedelta(days=90), "dead": timedelta(days=90)}
        )

    @rule()
    def redis_is_lost(self) -> None:
        self.harness.services.job_queue.redis.flushall()

    @rule()
    def it_is_filed(self) -> None:
        sync_failed_jobs(self.harness.services, datetime.now(UTC))
        for name, rows in MODEL_OF_QUEUE.items():
            dead = {f"meetergo-inbox-{name}-{row.id}" for row in self.harness.all(rows) if row.status == "dead"}
            on_their_way = {name for name in dead if self._status(name) == JobStatus.QUEUED}
            assert {*failed(self.harness, name)} == dead - on_their_way
        for name in QUEUES:
            run_worker(self.harness, name)
        sync_failed_jobs(self.harness.services, datetime.now(UTC))
        for name, rows in MODEL_OF_QUEUE.items():
            assert {*failed(self.harness, name)} == {
                f"meetergo-inbox-{name}-{row.id}" for row in self.harness.all(rows) if row.status == "dead"
            }

    def _status(self, name: str) -> Any:
        redis = self.harness.services.job_queue.redis
        return Job.fetch(name, redis, JSONSerializer).get_status() if redis.exists(Job.key_for(name)) else None

    def teardown(self) -> None:
        self.it_is_filed()


@pytest.mark.timeout(300)
def test_after_each_sync_the_failed_jobs_are_the_dead_rows(
    open_harness: Callable[..., Harness], failing_channel: None
) -> None:
    harness = open_harness()

    class Machine(Redises):
        def __init__(self) -> None:
            self.harness = harness
            super().__init__()

    run_state_machine_as_test(  # type: ignore[no-untyped-call]
        Machine,
        settings=settings(
            max_examples=12, stateful_step_count=20, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )
