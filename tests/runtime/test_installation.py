"""Two installations on one Redis: each has names of its own, and takes no body of the other."""

import re
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from redis import Redis
from rq.job import Job
from rq.serializers import JSONSerializer

from models.delivery import NewDelivery, pack
from runtime.database_url import DEFAULT_SCHEMA
from runtime.encryption import BodyCipher
from runtime.queue import QUEUES, JobQueue
from runtime.redis import heartbeat
from runtime.redis.allowed_jobs import STORE_DEFERRED
from runtime.redis.client import connect
from runtime.redis.failed_jobs import FailedJobs
from runtime.redis.installation import default_prefix, origin
from runtime.redis.other_queues import Adopted, adopt, orphaned_queues
from runtime.settings import StoreSettings
from worker.reconcile.runner import exclusive

NOW = datetime(2026, 1, 2, 3, 4, tzinfo=UTC)
SAME_DATABASE = [
    "postgresql://inbox:secret@db:5432/platform",
    "postgresql+psycopg://inbox:other@DB/platform?options=-csearch_path%3Dx&sslmode=require",
    "postgres://somebody@db/platform",
    "postgresql:///platform?host=db&port=5432",
]
OTHER_DATABASES = [
    "postgresql://inbox:secret@db:5433/platform",
    "postgresql://inbox:secret@db2/platform",
    "postgresql://inbox:secret@db/staging",
    "postgresql:///platform?host=/run/postgresql",
    "sqlite:///platform",
]


def prefix(url: str, schema: str = DEFAULT_SCHEMA) -> str:
    return settings(url, schema).prefix


def settings(url: str, schema: str = DEFAULT_SCHEMA) -> StoreSettings:
    return StoreSettings(database_url=url, database_schema=schema, redis_url="redis://127.0.0.1:1", redis_prefix="")


def test_each_schema_has_a_prefix_and_an_origin_but_the_first_ones_keep_theirs() -> None:
    url = SAME_DATABASE[0]
    first, second = settings(url), settings(url, "second")
    assert second.prefix not in (first.prefix, prefix(url, "third"))
    assert second.origin.rpartition("/")[2] != first.origin.rpartition("/")[2]
    assert first.prefix == prefix(url, "public") == default_prefix(url)
    assert first.origin == settings(url, "public").origin == origin(first.prefix, url)
    assert prefix("sqlite:///x.db", "second") == prefix("sqlite:///x.db")


def test_one_database_has_one_prefix_however_it_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert len({prefix(url) for url in SAME_DATABASE}) == 1
    assert re.fullmatch("mi-[0-9a-f]{10}", prefix(SAME_DATABASE[0]))
    assert len({prefix(url) for url in (SAME_DATABASE[0], *OTHER_DATABASES)}) == len(OTHER_DATABASES) + 1
    assert prefix("postgresql://localhost/x") == prefix("postgresql://127.0.0.1/x") == prefix("postgresql:///x")
    assert prefix("postgresql:///x?host=a:1&host=b:2") == prefix("postgresql:///x?host=b:2&host=a:1")


def test_a_file_has_one_prefix_from_whichever_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    absolute_prefix, relative_prefix = prefix("sqlite:///data/inbox.db"), prefix(f"sqlite:///{tmp_path}/data/inbox.db")
    (tmp_path / "other").mkdir()
    monkeypatch.chdir(tmp_path / "other")
    assert absolute_prefix == relative_prefix == prefix("sqlite:///../data/inbox.db")
    assert prefix("sqlite:///data/inbox.db") != absolute_prefix


def test_a_configured_prefix_is_used_and_a_malformed_one_rejected() -> None:
    settings = StoreSettings(
        database_url=SAME_DATABASE[0], redis_url="redis://127.0.0.1:1", redis_prefix="acme-staging"
    )
    assert settings.prefix == "acme-staging"
    for wrong in ("a:b", "a b", "*", "a" * 33, "ä"):
        with pytest.raises(ValueError, match="letters, digits"):
            StoreSettings(database_url=SAME_DATABASE[0], redis_url="redis://127.0.0.1:1", redis_prefix=wrong)


def test_no_prefix_reveals_a_password() -> None:
    assert "secret" not in default_prefix(SAME_DATABASE[0]) + origin("x", SAME_DATABASE[0])


@pytest.fixture
def open_queue(redis_url: str, redis: Redis) -> Callable[[str], JobQueue]:
    def job_queue(name: str) -> JobQueue:
        return JobQueue(connect(redis_url, name, f"{name}/{name}"))

    return job_queue


def new_delivery(number: int = 0) -> NewDelivery:
    return NewDelivery.from_body(b'{"n": %d}' % number, "default", NOW, BodyCipher([]))


def write_all_keys(job_queue: JobQueue) -> None:
    job_queue.enqueue_store(pack(new_delivery()))
    for queue_name in QUEUES:
        job_queue.trigger_drain(queue_name)
        FailedJobs(job_queue, queue_name).add("1" if queue_name == "outbox" else "a" * 64, "KeyError")
    job_queue.record_seen("mark", NOW)
    heartbeat.record(job_queue.redis, "sweep", NOW, NOW - NOW.replace(hour=2))


def test_every_name_has_the_prefix(open_queue: Callable[[str], JobQueue], redis: Redis) -> None:
    write_all_keys(open_queue("mine"))
    shared = {b"rq:queues", b"rq:workers"}
    assert [key for key in redis.scan_iter() if b"mine" not in key and key not in shared] == []


def test_two_installations_do_not_see_each_others_keys(open_queue: Callable[[str], JobQueue], redis: Redis) -> None:
    own, other = open_queue("mine"), open_queue("theirs")
    write_all_keys(own)
    for queue_name in QUEUES:
        assert other.queue(queue_name).count == 0
        assert list(FailedJobs(other, queue_name).pages(10)) == []
        assert other.queue(queue_name).failed_job_registry.count == 0
    assert other.last_seen("mark") is None
    assert heartbeat.next_runs(other.redis) == {}
    assert not heartbeat.task_alive(other.redis, "sweep")
    with exclusive(own.redis, "reconcile"), exclusive(other.redis, "reconcile"):
        pass
    before = sorted(redis.keys())  # type: ignore[type-var, arg-type]
    FailedJobs(other, "inbox").remove(["a" * 64])
    other.enqueue_scheduled("inbox")
    other.drain_started("inbox")
    other.requeue_abandoned("inbox")
    assert sorted(redis.keys()) == before  # type: ignore[type-var, arg-type]


def test_a_queue_of_an_older_version_is_named_and_can_be_adopted(
    open_queue: Callable[[str], JobQueue], redis: Redis
) -> None:
    old = ("a" * 64, "default", "e30=", "", NOW.isoformat())
    job_queue = open_queue("mine")
    names = []
    for number in range(3):
        job = Job.create(STORE_DEFERRED, args=old, connection=redis, serializer=JSONSerializer, origin="inbox")
        job.save()
        names.append(job.id)
        if number:
            redis.rpush("rq:queue:inbox", job.id)
        else:
            redis.zadd("rq:scheduled:inbox", {job.id: 1})
    drain = Job.create("worker.jobs.drain", args=("inbox",), connection=redis, serializer=JSONSerializer)
    drain.save()
    redis.rpush("rq:queue:inbox", drain.id)
    redis.sadd("rq:queues", "rq:queue:inbox")
    assert orphaned_queues(job_queue.redis, job_queue.queue("inbox").name) == {"inbox": 3}
    assert adopt(job_queue, "inbox") == Adopted(taken=3, left=0)
    assert [job.args for job in job_queue.queue("inbox").jobs] == [[*old, "mine/mine"]] * 3
    assert orphaned_queues(job_queue.redis, job_queue.queue("inbox").name) == {}
    assert not redis.exists(*(Job.key_for(name) for name in names))
    assert redis.exists(drain.key)


def test_the_queue_of_another_database_is_left_unless_it_is_meant(open_queue: Callable[[str], JobQueue]) -> None:
    own, other = open_queue("mine"), open_queue("theirs")
    other.enqueue_store(pack(new_delivery()))
    assert adopt(own, "theirs-inbox") == Adopted(taken=0, left=1)
    assert other.queue("inbox").count == 1
    assert adopt(own, "theirs-inbox", foreign=True) == Adopted(taken=1, left=0)
    assert [own.queue("inbox").count, other.queue("inbox").count] == [1, 0]
