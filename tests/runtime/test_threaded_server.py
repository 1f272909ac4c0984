"""Health over HTTP for processes that serve no webhooks, beside their metrics."""

import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.client import HTTPConnection

import pytest
from prometheus_client import CollectorRegistry, Counter
from redis import Redis
from redis.exceptions import ConnectionError as RedisUnavailable
from rq import Queue
from rq.serializers import JSONSerializer
from rq.worker import SimpleWorker

from runtime.http.threaded_server import HealthCheck, start_http_server
from runtime.queue import JobQueue
from runtime.redis import heartbeat
from runtime.redis.client import InstallationRedis
from worker.__main__ import _is_alive
from worker.settings import WorkerSettings


@contextmanager
def server(check: HealthCheck | None, host: str = "127.0.0.1") -> Iterator[int]:
    registry = CollectorRegistry()
    Counter("seen", "What was seen.", registry=registry).inc()
    running = start_http_server(host, 0, registry, check)
    try:
        yield running.server_address[1]
    finally:
        running.shutdown()
        running.server_close()


def get(port: int, path: str) -> tuple[int, str]:
    connection = HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request("GET", path)
    response = connection.getresponse()
    return response.status, response.read().decode()


def states(port: int) -> tuple[int, int]:
    return get(port, "/healthz")[0], get(port, "/readyz")[0]


def redis_down() -> bool:
    raise RedisUnavailable


def test_the_metrics_are_served_with_and_without_a_health_check() -> None:
    for check in (None, lambda: False):
        with server(check) as port:
            assert "seen_total 1.0" in get(port, "/metrics")[1]


def test_health_is_that_of_the_heartbeat() -> None:
    alive = False
    with server(lambda: alive) as port:
        assert states(port) == (503, 503)
        assert json.loads(get(port, "/healthz")[1]) == {"status": "no heartbeat"}
        alive = True
        assert states(port) == (200, 200)
        assert json.loads(get(port, "/healthz")[1]) == {"status": "ok"}


def test_a_redis_that_is_down_makes_nobody_restart_the_process() -> None:
    with server(redis_down) as port:
        assert states(port) == (200, 503)
        assert json.loads(get(port, "/readyz")[1]) == {"status": "redis does not answer"}


def test_a_redis_that_cannot_be_written_makes_nobody_restart_the_process(
    redis: Redis, redis_url: str, job_queue: JobQueue
) -> None:
    settings = WorkerSettings(redis_url=redis_url)
    with (
        server(lambda: heartbeat.scheduler_alive(job_queue.redis)) as scheduler,
        server(lambda: _is_alive(settings, ("inbox",))) as worker,
    ):
        assert states(scheduler) == states(worker) == (503, 503)
        redis.config_set("maxmemory", 1)
        try:
            assert states(scheduler) == states(worker) == (200, 503)
        finally:
            redis.config_set("maxmemory", 0)


def test_a_client_that_hangs_up_leaves_no_trace(capfd: pytest.CaptureFixture[str]) -> None:
    with server(lambda: True) as port:
        socket.create_connection(("127.0.0.1", port)).close()
        assert states(port) == (200, 200)
    assert capfd.readouterr().err == ""


def test_a_worker_is_alive_while_it_is_registered_for_each_of_its_queues(
    job_queue: JobQueue, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = WorkerSettings(redis_url=redis_url)
    assert not _is_alive(settings, ("inbox",))
    inbox: Queue = job_queue.queue("inbox")
    worker = SimpleWorker([inbox], connection=job_queue.redis, serializer=JSONSerializer, worker_ttl=420)
    worker.register_birth()
    assert _is_alive(settings, ("inbox",))
    assert not _is_alive(settings, ("inbox", "outbox"))
    monkeypatch.setattr(socket, "gethostname", lambda: "another-machine")
    assert not _is_alive(settings, ("inbox",))


@pytest.mark.parametrize("task", ["sweep", "alerts"])
def test_the_scheduler_is_alive_while_its_sweep_or_without_a_database_its_alerts_run(
    redis: Redis, redis_url: str, task: str
) -> None:
    with InstallationRedis.from_url(redis_url) as client, server(lambda: heartbeat.scheduler_alive(client)) as port:
        assert states(port) == (503, 503)
        heartbeat.record(client, task, datetime.now(UTC), timedelta(minutes=1))
        assert states(port) == (200, 200)
