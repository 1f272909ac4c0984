"""A program that can write to Redis must not run code: a worker runs our own functions and nothing else."""

import base64
import json
import pickle
import zlib
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from redis import Redis
from rq.job import Job
from rq.serializers import JSONSerializer, PickleSerializer

from models.delivery import Delivery
from runtime.queue import JobQueue
from tests.console.cli import ON_SQLITE
from tests.worker.harness import Harness
from worker.queue_worker import QueueWorker

REFUSED = "this job is not one of meetergo-inbox's, so it was not run: another program writes to this Redis"


def work(job_queue: JobQueue) -> None:
    queue = job_queue.queue("inbox")
    worker = QueueWorker([queue], connection=queue.connection, serializer=JSONSerializer, worker_ttl=60)
    worker.work(burst=True, logging_level="ERROR")


def push(job_queue: JobQueue, **fields: Any) -> str:
    """A job as any Redis client can write it."""
    name, queue = uuid4().hex, job_queue.queue("inbox")
    job = {"status": "queued", "origin": queue.name, "created_at": "2026-01-01T00:00:00.000000Z", **fields}
    job_queue.redis.hset(f"rq:job:{name}", mapping=job)
    job_queue.redis.rpush(queue.key, name)
    return name


def data(name: Any, *args: Any, instance: Any = None, **kwargs: Any) -> bytes:
    return zlib.compress(json.dumps([name, instance, args, kwargs]).encode())


def reason(job_queue: JobQueue, name: str) -> str:
    job = Job.fetch(name, job_queue.redis, JSONSerializer)
    result = job.latest_result()
    assert result is not None
    assert result.exc_string is not None
    return result.exc_string


def failed(job_queue: JobQueue) -> list[str]:
    return job_queue.queue("inbox").failed_job_registry.get_job_ids()


FUNCTIONS = {
    "os.system": lambda trap: data("os.system", f"touch {trap}"),
    "a builtin": lambda trap: data("eval", f"open('{trap}', 'w')"),
    "import alone": lambda trap: data("antigravity.fly"),
    "ours by a detour": lambda trap: data("worker.jobs.time.sleep", 0),
    "a private one of ours": lambda trap: data("worker.jobs._drain", "inbox"),
    "a method": lambda trap: data("touch", instance={"path": str(trap)}),
    "a list as a name": lambda trap: data(["os.system"], f"touch {trap}"),
    "nothing as a name": lambda trap: data(None),
    "too many words": lambda trap: data("worker.jobs.drain", "inbox", "outbox"),
    "words by name": lambda trap: data("worker.jobs.retry_one", box="inbox", key="x"),
    "no words": lambda trap: data("worker.jobs.drain", {"box": ["inbox"]}),
    "no JSON": lambda trap: zlib.compress(b"\xff not json"),
    "no content": lambda trap: b"",
    "a bomb": lambda trap: zlib.compress(b"0" * (80 * 1024 * 1024), 9),
    "a pickle": lambda trap: zlib.compress(pickle.dumps(Trap(str(trap)))),
}


class Trap:
    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return (Path.touch, (Path(self.path),))


@ON_SQLITE
@pytest.mark.parametrize("kind", FUNCTIONS)
def test_a_job_of_another_service_is_not_run_and_says_so(harness: Harness, tmp_path: Path, kind: str) -> None:
    job_queue, trap = harness.services.job_queue, tmp_path / "trap"
    name = push(job_queue, data=FUNCTIONS[kind](trap))
    work(job_queue)
    assert not trap.exists()
    assert failed(job_queue) == [name]
    assert reason(job_queue, name) == REFUSED
    assert job_queue.queue("inbox").intermediate_queue.get_job_ids() == []


@ON_SQLITE
@pytest.mark.parametrize("callback", ["success", "failure", "stopped"])
@pytest.mark.parametrize("function", ["worker.jobs.drain", "os.getcwd"])
def test_no_callback_is_called(harness: Harness, tmp_path: Path, callback: str, function: str) -> None:
    job_queue = harness.services.job_queue
    push(
        job_queue,
        data=data(function, "inbox"),
        **{f"{callback}_callback_name": "tests.worker.test_refused_jobs.spring"},
    )
    work(job_queue)
    assert not SPRUNG


SPRUNG: list[Any] = []


def spring(*args: Any) -> None:
    SPRUNG.append(args)


@ON_SQLITE
def test_no_webhook_of_rq_is_called(harness: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    called: list[Any] = []
    monkeypatch.setattr("rq.webhook.urlopen", lambda *args, **_: called.append(args))
    hooks = [{"url": "http://127.0.0.1:9/", "job_status": status} for status in ("finished", "failed")]
    for function in ("worker.jobs.drain", "os.getcwd"):
        push(harness.services.job_queue, data=data(function, "inbox"), webhooks=json.dumps(hooks))
    work(harness.services.job_queue)
    assert called == []


@ON_SQLITE
@pytest.mark.parametrize("field", ["result", "meta"])
def test_nothing_is_unpickled(harness: Harness, tmp_path: Path, field: str, redis: Redis) -> None:
    trap, job_queue = tmp_path / "trap", harness.services.job_queue
    push(job_queue, data=data("worker.jobs.drain", "inbox"), **{field: PickleSerializer.dumps(Trap(str(trap)))})
    work(job_queue)
    assert not trap.exists()


@ON_SQLITE
@pytest.mark.parametrize(
    "fields",
    [
        {"timeout": "-1"},
        {"timeout": "for ever"},
        {"status": "no status"},
        {"origin": "another"},
        {"created_at": "yesterday"},
        {"retries_left": "many"},
        {"retry_intervals": '["a"]', "retries_left": "5"},
        {"dependency_ids": '["x"]', "repeats_left": "5", "repeat_intervals": "[1]"},
        {"rate_limit_key": "x", "rate_limit_concurrency": "0"},
        {"group_id": "x"},
        {"exc_info": b"\xff"},
        {"description": b"\xff"},
    ],
    ids=lambda fields: "-".join(fields),
)
@pytest.mark.parametrize("function", ["worker.jobs.drain", "os.getcwd"])
def test_nothing_that_a_job_says_of_itself_ends_a_worker(
    harness: Harness, fields: dict[str, Any], function: str
) -> None:
    job_queue = harness.services.job_queue
    name = push(job_queue, **{"data": data(function, "inbox"), **fields})
    harness.deliver(b"{}")
    job_queue.trigger_drain("inbox")
    work(job_queue)
    assert harness.all(Delivery)[0].status != "pending"
    assert job_queue.queue("inbox").count == 0
    assert job_queue.queue("inbox").intermediate_queue.get_job_ids() == []
    assert function == "worker.jobs.drain" or name in failed(job_queue)


@pytest.mark.parametrize(
    "words",
    [
        ("x", "default", "not base64!", "", "2026-01-01T00:00:00+00:00", ""),
        ("x", "default", base64.b64encode(b"x").decode(), "", "yesterday", ""),
        ("x" * 1000, "default", "", "", "2026-01-01T00:00:00", ""),
    ],
    ids=["base64", "time", "id"],
)
def test_a_body_that_nobody_of_ours_wrote_fails_and_is_not_tried_for_ever(
    harness: Harness, words: tuple[str, ...]
) -> None:
    job_queue = harness.services.job_queue
    name = push(job_queue, data=data("worker.jobs.store_deferred", *words[:5], harness.services.job_queue.redis.origin))  # type: ignore[attr-defined]
    work(job_queue)
    assert failed(job_queue) == [name]
    assert "cannot be read" in reason(job_queue, name)
    assert harness.all(Delivery) == []


@ON_SQLITE
def test_unknown_boxes_are_refused(harness: Harness) -> None:
    job_queue = harness.services.job_queue
    names = [
        push(job_queue, data=data("worker.jobs.drain", "x")),
        push(job_queue, data=data("worker.jobs.retry_one", "x", "y")),
    ]
    work(job_queue)
    assert sorted(failed(job_queue)) == sorted(names)
