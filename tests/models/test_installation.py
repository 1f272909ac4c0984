"""Two installations on one Redis: each has names of its own, and takes no body of the other."""

import re
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from redis import Redis
from rq.job import Job
from rq.serializers import JSONSerializer

from models import endpoint
from models.delivery import NewDelivery
from runtime.encryption import BodyCipher
from runtime.queue import CARRY, QUEUES, JobQueue, connect
from runtime.redis import heartbeat
from runtime.redis.failed_jobs import FailedJobs
from runtime.redis.installation import default_prefix, origin
from runtime.redis.other_queues import Adopted, adopt, left_behind
from runtime.settings import StoreSettings
from worker.reconcile.lock import exclusive

NOW = datetime(2026, 1, 2, 3, 4, tzinfo=UTC)
SAME = [
    "postgresql://inbox:secret@db:5432/platform",
    "postgresql+psycopg://inbox:other@DB/platform?options=-csearch_path%3Dx&sslmode=require",
    "postgres://somebody@db/platform",
    "postgresql:///platform?host=db&port=5432",
]
OTHERS = [
    "postgresql://inbox:secret@db:5433/platform",
    "postgresql://inbox:secret@db2/platform",
    "postgresql://inbox:secret@db/staging",
    "postgresql:///platform?host=/run/postgresql",
    "sqlite:///platform",
]


def prefix(url: str) -> str:
    return StoreSettings(database_url=url, redis_url="redis://127.0.0.1:1", redis_prefix="").prefix


def test_one_database_has_one_prefix_however_it_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert len({prefix(url) for url in SAME}) == 1
    assert re.fullmatch("mi-[0-9a-f]{10}", prefix(SAME[0]))
    assert len({prefix(url) for url in (SAME[0], *OTHERS)}) == len(OTHERS) + 1
    assert prefix("postgresql://localhost/x") == prefix("postgresql://127.0.0.1/x") == prefix("postgresql:///x")
    assert prefix("postgresql:///x?host=a:1&host=b:2") == prefix("postgresql:///x?host=b:2&host=a:1")


def test_a_file_has_one_prefix_from_whichever_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    near, far = prefix("sqlite:///data/inbox.db"), prefix(f"sqlite:///{tmp_path}/data/inbox.db")
    (tmp_path / "other").mkdir()
    monkeypatch.chdir(tmp_path / "other")
    assert near == far == prefix("sqlite:///../data/inbox.db")
    assert prefix("sqlite:///data/inbox.db") != near


def test_a_prefix_that_was_set_is_taken_and_a_malformed_one_refused() -> None:
    settings = StoreSettings(database_url=SAME[0], redis_url="redis://127.0.0.1:1", redis_prefix="acme-staging")
    assert settings.prefix == "acme-staging"
    for wrong in ("a:b", "a b", "*", "a" * 33, "ä"):
        with pytest.raises(ValueError, match="letters, digits"):
            StoreSettings(database_url=SAME[0], redis_url="redis://127.0.0.1:1", redis_prefix=wrong)


def test_no_prefix_tells_of_a_password() -> None:
    assert "secret" not in default_prefix(SAME[0]) + origin("x", SAME[0])


@pytest.fixture
def two(redis_url: str, redis: Redis) -> Callable[[str], JobQueue]:
    def bell(name: str) -> JobQueue:
        return JobQueue(connect(redis_url, name, f"{name}/{name}"))

    return bell


def letter(number: int = 0) -> NewDelivery:
    return NewDelivery.of(b'{"n": %d}' % number, "default", NOW, BodyCipher([]))


def everything(bell: JobQueue) -> None:
    bell.carry(letter())
    for box in QUEUES:
        bell.ring(box)
        bell.file(box, "1" if box == "outbox" else "a" * 64, "KeyError")
    bell.note_arrival("mark", NOW)
    heartbeat.record(bell.redis, "sweep", NOW, NOW - NOW.replace(hour=2))


def test_every_name_carries_the_prefix(two: Callable[[str], JobQueue], redis: Redis) -> None:
    everything(two("mine"))
    shared = {b"rq:queues", b"rq:workers"}
    assert [key for key in redis.scan_iter() if b"mine" not in key and key not in shared] == []


def test_nothing_of_one_is_seen_by_the_other(two: Callable[[str], JobQueue], redis: Redis) -> None:
    mine, theirs = two("mine"), two("theirs")
    everything(mine)
    for box in QUEUES:
        assert theirs.queue(box).count == 0
        assert list(FailedJobs(theirs, box).pages(10)) == []
        assert theirs.queue(box).failed_job_registry.count == 0
    assert endpoint.last_came_by(theirs.redis, "mark") is None
    assert heartbeat.next_runs(theirs.redis) == {}
    assert not heartbeat.task_alive(theirs.redis, "sweep")
    with exclusive(mine.redis, "reconcile"), exclusive(theirs.redis, "reconcile"):
        pass
    before = sorted(redis.keys())  # type: ignore[type-var, arg-type]
    theirs.forget("inbox", "a" * 64)
    theirs.answer("inbox")
    theirs.revive("inbox")
    assert sorted(redis.keys()) == before  # type: ignore[type-var, arg-type]


def test_a_queue_of_an_older_version_is_named_and_can_be_adopted(two: Callable[[str], JobQueue], redis: Redis) -> None:
    old = ("a" * 64, "default", "e30=", "", NOW.isoformat())
    bell = two("mine")
    names = []
    for number in range(3):
        job = Job.create(CARRY, args=old, connection=redis, serializer=JSONSerializer, origin="inbox")
        job.save()
        names.append(job.id)
        if number:
            redis.rpush("rq:queue:inbox", job.id)
        else:
            redis.zadd("rq:scheduled:inbox", {job.id: 1})
    drain = Job.create("worker.jobs.empty", args=("inbox",), connection=redis, serializer=JSONSerializer)
    drain.save()
    redis.rpush("rq:queue:inbox", drain.id)
    redis.sadd("rq:queues", "rq:queue:inbox")
    assert left_behind(bell.redis, bell.queue("inbox").name) == {"inbox": 3}
    assert adopt(bell, "inbox") == Adopted(taken=3, left=0)
    assert [job.args for job in bell.queue("inbox").jobs] == [[*old, "mine/mine"]] * 3
    assert left_behind(bell.redis, bell.queue("inbox").name) == {}
    assert not redis.exists(*(Job.key_for(name) for name in names))
    assert redis.exists(drain.key)


def test_the_queue_of_another_database_is_left_unless_it_is_meant(two: Callable[[str], JobQueue]) -> None:
    mine, theirs = two("mine"), two("theirs")
    theirs.carry(letter())
    assert adopt(mine, "theirs-inbox") == Adopted(taken=0, left=1)
    assert theirs.queue("inbox").count == 1
    assert adopt(mine, "theirs-inbox", foreign=True) == Adopted(taken=1, left=0)
    assert [mine.queue("inbox").count, theirs.queue("inbox").count] == [1, 0]
