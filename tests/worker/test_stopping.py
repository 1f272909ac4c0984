"""A worker that is asked to stop at the worst moment does not go on to wait for jobs."""

import multiprocessing
import os
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from redis import Redis
from redis.exceptions import ConnectionError as RedisConnectionError
from rq import Queue
from rq.worker.base import BaseWorker

from runtime.process.child_processes import stop_with_parent
from runtime.queue import QueueName
from runtime.redis.client import InstallationRedis, connect
from tests.faults.redis_server import RedisServer
from tests.waiting import wait_until
from worker import identity, queue_worker, stopping
from worker.maintenance import recovery
from worker.pool import WorkerPool
from worker.queue_worker import QueueWorker


@pytest.fixture(autouse=True)
def own_signals(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(queue_worker, "stopping", stopping.Stopping())
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.timeout(30)
def test_a_signal_that_was_swallowed_while_redis_is_gone_for_good_ends_the_worker(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """RQ connects again and again. Python drops what a handler raises in a finalizer, as when a socket is closed."""
    server, sleep = RedisServer(tmp_path / "redis"), time.sleep

    def interrupted(_seconds: float) -> None:
        monkeypatch.setattr(time, "sleep", sleep)
        with suppress(Exception):
            os.kill(os.getpid(), signal.SIGTERM)

    def lose_redis(*_: Any, **__: Any) -> None:
        server.kill()
        server.client.ping()

    monkeypatch.setattr(Queue, "dequeue_any", lose_redis)
    monkeypatch.setattr(time, "sleep", interrupted)
    began = time.monotonic()
    try:
        assert queue_worker._run_rq_worker(connect(server.url), "inbox")
        assert time.monotonic() - began < 20  # else it tried to connect until the time of this test was up
    finally:
        server.stop()


@pytest.mark.timeout(30)
def test_a_signal_that_rq_swallowed_while_it_tidied_up_ends_the_worker(
    redis: Redis, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Among others `StartedJobRegistry.cleanup` catches every exception, and a signal's handler raises one."""

    def interrupted(worker: BaseWorker) -> None:
        worker.last_cleaned_at = datetime.now(UTC)
        with suppress(Exception):
            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(BaseWorker, "run_maintenance_tasks", interrupted)
    with connect(redis_url) as connection:
        worker: QueueWorker = queue_worker._build_rq_worker(connection, "inbox")
        began = time.monotonic()
        assert worker.work(logging_level="WARNING") is False
        assert time.monotonic() - began < 10  # else it waited for a job until the time of this test was up
        assert worker.stop_requested


@pytest.mark.timeout(30)
def test_a_signal_that_was_swallowed_between_two_workers_ends_the_process() -> None:
    def fail() -> bool:
        interrupt()
        raise RedisConnectionError("down")

    queue_worker._exit_on_signal()
    queue_worker._retry_until_stopped("inbox", fail)  # else it goes on until the time of this test is up


@pytest.mark.timeout(30)
def test_a_signal_that_was_swallowed_while_a_worker_was_built_ends_it(
    redis: Redis, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    build = queue_worker._build_rq_worker

    def interrupted(connection: InstallationRedis, queue: QueueName) -> QueueWorker:
        interrupt()
        return build(connection, queue)

    monkeypatch.setattr(queue_worker, "_build_rq_worker", interrupted)
    queue_worker._exit_on_signal()
    began = time.monotonic()
    queue_worker._run_rq_worker(connect(redis_url), "inbox")
    assert time.monotonic() - began < 20  # else it waited for a job until the time of this test was up


def interrupt() -> None:
    """Send a signal, and drop the exception that its handler raises, as Python does in a finalizer."""
    with suppress(SystemExit):
        os.kill(os.getpid(), signal.SIGTERM)


@pytest.mark.timeout(30)
def test_a_pool_that_is_stopped_while_it_starts_its_workers_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker that was just forked has the pool's handler, which would set an event that nobody looks at."""

    def set_slowly(name: str) -> None:
        (tmp_path / name).touch()
        time.sleep(1)

    monkeypatch.setattr(identity, "set_name", set_slowly)
    monkeypatch.setattr(recovery, "recover_from_exit", lambda *_, **__: None)
    worker_pool = WorkerPool(partial(connect, "redis://127.0.0.1:1"), ("inbox", "outbox"), 1)
    process = multiprocessing.get_context("fork").Process(target=worker_pool.work)
    process.start()
    wait_until(lambda: len(list(tmp_path.iterdir())) == 2)
    process.terminate()
    process.join(15)  # else it waits for its workers, which go on
    for child in _children_of(process.pid):
        os.kill(child, signal.SIGKILL)
    process.kill()
    assert process.exitcode == 0


@pytest.mark.timeout(30)
def test_a_worker_whose_pool_died_before_it_looked_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "getppid", lambda: 1)
    process = multiprocessing.get_context("fork").Process(target=_watch_for_a_parent)
    process.start()
    process.join(15)
    process.kill()
    assert process.exitcode == -signal.SIGTERM


def _children_of(pid: int | None) -> list[int]:
    children = Path(f"/proc/{pid}/task/{pid}/children")
    return [*map(int, children.read_text().split())] if children.exists() else []


def _watch_for_a_parent() -> None:
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # the fork inherited that of an earlier test's worker
    stop_with_parent()
    time.sleep(20)
