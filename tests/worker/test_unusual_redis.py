"""A Redis that is not quite ours: rights that we lack, keys of a wrong type, TLS, a password. The worker goes on."""

import json
import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import patch

import pytest
from redis import Redis
from redis.exceptions import RedisError

from devtools import redis_server
from devtools.forked import ForkedProcess, Program
from devtools.send import samples
from models.booking import Booking
from operations.store_errors import store_error_message
from runtime.queue import JobQueue
from runtime.redis.client import InstallationRedis, connect
from tests.console.cli import ON_SQLITE
from tests.worker.harness import AT, START, Harness
from tests.worker.test_pool import wait_until


@contextmanager
def worker_pool(folder: Path, url: str) -> Iterator[Path]:
    log = folder / "worker.log"
    with patch.dict(os.environ, REDIS_URL=url):
        program = Program("worker", ["inbox"])
        process = ForkedProcess(program, folder, log, start_new_session=False)
    try:
        yield log
    finally:
        process.terminate()
        assert process.wait(60) == 0


@pytest.fixture
def own_redis(tmp_path: Path) -> Iterator[int]:
    port = redis_server.free_port()
    process = redis_server.start(tmp_path / "redis", port)
    yield port
    process.terminate()
    process.wait()


def is_handled(harness: Harness, url: str, number: int) -> None:
    with connect(url) as client:
        is_handled_through(client, harness, number)


def is_handled_through(client: InstallationRedis, harness: Harness, number: int) -> None:
    harness.deliver(samples.created(f"b{number}", START, AT))
    JobQueue(client).force_drain("inbox")
    wait_until(lambda: len(harness.all(Booking)) == number)


@ON_SQLITE
def test_a_user_with_the_rights_that_the_docs_name_is_enough(harness: Harness, own_redis: int, tmp_path: Path) -> None:
    rights = "on >secret ~meetergo-inbox* ~rq:* +@all -@dangerous -@scripting resetchannels"
    with Redis(port=own_redis) as admin:
        admin.execute_command("ACL", "SETUSER", "clerk", *rights.split())
    url = f"redis://clerk:secret@127.0.0.1:{own_redis}/0"
    with worker_pool(tmp_path, url) as log:
        is_handled(harness, url, 1)
        is_handled(harness, url, 2)
    assert "Traceback" not in log.read_text()
    assert "worker.died" not in log.read_text()


@ON_SQLITE
@pytest.mark.parametrize("key", ["rq:queue:meetergo-inbox-inbox", "rq:wip:meetergo-inbox-inbox", "rq:workers"])
def test_a_key_of_a_wrong_type_is_a_sentence_and_no_death_a_second(
    harness: Harness, own_redis: int, tmp_path: Path, key: str
) -> None:
    url = f"redis://127.0.0.1:{own_redis}/0"
    with Redis(port=own_redis) as admin, worker_pool(tmp_path, url) as log:
        wait_until(lambda: admin.keys("rq:worker:*"))
        admin.delete(key)
        admin.set(key, "something else")
        admin.rpush("rq:queue:meetergo-inbox-inbox", "x") if "queue" not in key else None
        time.sleep(6)
        admin.delete(key)
        is_handled(harness, url, 1)
        lines = [line for line in log.read_text().splitlines() if line.strip()]
    assert "Traceback" not in "".join(lines)
    assert "worker.died" not in "".join(lines)
    assert len(lines) < 25, lines


@ON_SQLITE
def test_a_redis_with_too_few_connections_is_reported_once(harness: Harness, own_redis: int, tmp_path: Path) -> None:
    """RQ needs a second connection to end a job. Without it, it ran the same job a hundred times a second."""
    url = f"redis://127.0.0.1:{own_redis}/0"
    with connect(url) as client, worker_pool(tmp_path, url) as log:
        wait_until(lambda: client.keys("rq:worker:*"))
        client.config_set("maxclients", 2)
        client.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        is_handled_through(client, harness, 1)
        is_handled_through(client, harness, 2)
        wait_until(lambda: "redis.down" in log.read_text())
        time.sleep(5)
        assert log.read_text().count("redis.down") < 4
        assert len(log.read_text().splitlines()) < 25
        client.config_set("maxclients", 1000)
        is_handled_through(client, harness, 3)
        wait_until(lambda: "redis.down_over" in log.read_text())
    assert "job.dead" not in log.read_text()


@ON_SQLITE
def test_a_redis_that_is_down_is_reported_once_and_then_each_half_minute(harness: Harness, tmp_path: Path) -> None:
    port = redis_server.free_port()
    with worker_pool(tmp_path, f"redis://127.0.0.1:{port}/0") as log:
        wait_until(lambda: "redis.down" in log.read_text())
        time.sleep(5)
        assert log.read_text().count("redis.down") == 1
        assert f"127.0.0.1:{port}" in log.read_text()
        process = redis_server.start(tmp_path / "redis", port)
        try:
            is_handled(harness, f"redis://127.0.0.1:{port}/0", 1)
        finally:
            process.terminate()
            process.wait()
    assert "Traceback" not in log.read_text()
    assert all(json.loads(line) for line in log.read_text().splitlines())


def answers(client: Redis) -> bool:
    try:
        return bool(client.ping())
    except RedisError:
        return False


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[str]:
    """The URL of a Redis Cluster of a single server, whose second port is 10,000 above the first."""
    port = next(port for port in iter(redis_server.free_port, None) if port < 55_000)
    command = [redis_server.find_binary(), "--port", str(port), "--bind", "127.0.0.1", "--dir", tmp_path, "--save", ""]
    process = subprocess.Popen([*command, "--cluster-enabled", "yes"], stdout=subprocess.DEVNULL)
    try:
        with Redis(port=port) as admin:
            wait_until(lambda: answers(admin))
            admin.execute_command("CLUSTER", "ADDSLOTS", *range(16384))
            wait_until(lambda: admin.execute_command("CLUSTER", "INFO").startswith(b"cluster_state:ok"))
        yield f"redis://127.0.0.1:{port}/0"
    finally:
        process.terminate()
        process.wait()


def test_a_cluster_is_a_sentence(cluster: str) -> None:
    with connect(cluster) as client, pytest.raises(RedisError) as raised:
        JobQueue(client).probe_write()
    assert store_error_message(raised.value).startswith("REDIS_URL names a Redis Cluster, which cannot be used: ")


def test_a_missing_or_wrong_password_is_a_sentence(own_redis: int) -> None:
    with Redis(port=own_redis) as admin:
        admin.config_set("requirepass", "secret")
    for url, words in {
        f"redis://127.0.0.1:{own_redis}/0": "Redis requires a password: put it into REDIS_URL",
        f"redis://:wrong@127.0.0.1:{own_redis}/0": "Redis rejects the user or the password in REDIS_URL",
    }.items():
        with connect(url) as client:
            with pytest.raises(RedisError) as raised:
                client.ping()
            assert words in store_error_message(raised.value)
