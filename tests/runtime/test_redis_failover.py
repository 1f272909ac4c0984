"""Redis fails over: clients of the demoted server continue with its successor."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from threading import Timer

import pytest
from redis import Redis
from redis.exceptions import NoPermissionError

from models.delivery import NewDelivery, pack
from runtime.encryption import BodyCipher
from runtime.queue import JobQueue
from runtime.redis.client import NotWritable, connect
from runtime.settings import StoreSettings
from tests.redis_pair import SERVICE_NAME, RedisPair, redis_pair, sentinel
from tests.tcp_proxy import proxy
from tests.waiting import wait_until

NOW = datetime(2026, 1, 2, tzinfo=UTC)


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[RedisPair]:
    with redis_pair(tmp_path / "pair") as servers:
        yield servers


def new_delivery() -> NewDelivery:
    return NewDelivery.from_body(b"{}", "default", NOW, BodyCipher([]))


def test_a_client_of_a_demoted_server_continues_with_its_successor(pair: RedisPair) -> None:
    with proxy(pair.ports[0]) as tcp_proxy:
        job_queue = JobQueue(connect(f"redis://127.0.0.1:{tcp_proxy.port}/0"))
        assert job_queue.trigger_drain("inbox")
        tcp_proxy.target = pair.ports[1]
        pair.fail_over()
        job_queue.enqueue_store(pack(new_delivery()))
        assert job_queue.trigger_drain("outbox")
        assert pair.clients[1].llen("rq:queue:meetergo-inbox-inbox") == 2
        job_queue.redis.close()


@pytest.mark.parametrize("option", ["", "?protocol=2"])
def test_a_pipeline_drops_its_connection_too(pair: RedisPair, option: str) -> None:
    client = connect(f"redis://127.0.0.1:{pair.ports[1]}/0{option}")
    for is_transaction in (True, False):
        with client.pipeline(transaction=is_transaction) as pipeline:
            pipeline.set("a", "b")
            with pytest.raises(NotWritable):
                pipeline.execute()
    assert not any(each.is_connected for each in client.connection_pool._available_connections)  # type: ignore[attr-defined]
    client.close()


def test_a_blocking_read_fails_when_the_server_is_demoted(pair: RedisPair) -> None:
    client = connect(f"redis://127.0.0.1:{pair.ports[0]}/0?socket_timeout=30")
    timer = Timer(1, pair.fail_over)
    timer.start()
    with pytest.raises(NotWritable):
        client.blmove("a", "b", 20)
    timer.join()
    client.close()


@pytest.mark.parametrize("password", ["", "of-the-sentinels/%"])
def test_sentinels_name_the_master_and_its_successor(pair: RedisPair, tmp_path: Path, password: str) -> None:
    with sentinel(tmp_path / "sentinel", pair.ports[0], password) as port:
        option = f"?sentinel_password={password.replace('%', '%25')}" if password else ""
        url = f"redis+sentinel://127.0.0.1:1,127.0.0.1:{port}/{SERVICE_NAME}/0{option}"
        job_queue = JobQueue(StoreSettings(redis_url=url, database_url="sqlite:///x.db", redis_prefix="mine").redis())
        assert job_queue.trigger_drain("inbox")
        pair.kill_master()
        wait_until(lambda: _can_trigger(job_queue))
        job_queue.enqueue_store(pack(new_delivery()))
        assert pair.clients[1].llen("rq:queue:mine-inbox") >= 1
        job_queue.redis.close()


def _can_trigger(job_queue: JobQueue) -> bool:
    time.sleep(1)
    job_queue.drain_started("inbox")
    return job_queue.trigger_drain("inbox")


@pytest.mark.parametrize(
    "url",
    [
        "redis+sentinel://",
        "redis+sentinel://host",
        "redis+sentinel:///service",
        "redis+sentinel://host:port/service",
        "redis+sentinel://host/service/bookings",
        "redis+sentinel://host/service?retry=3",
        "redis://host?unknown=1",
        "redis://host?retry=3",
        "redis://host?retry_on_error=TimeoutError",
        "redis://host?socket_type=1",
        "redis://host?socket_timeout=soon",
        "rediss://host?ssl_cert_reqs=sometimes",
        "http://host",
        "",
    ],
)
def test_a_malformed_url_is_rejected_with_a_message(url: str) -> None:
    with pytest.raises(ValueError, match="redis"):
        StoreSettings(redis_url=url, database_url="sqlite:///x.db")


def test_users_and_passwords_of_a_sentinel_url_are_the_servers() -> None:
    client = connect("rediss+sentinel://user:p%40ss@a,b:2/service/3?sentinel_username=x&sentinel_password=y")
    kwargs = client.connection_pool.connection_kwargs
    assert (kwargs["username"], kwargs["password"], kwargs["db"]) == ("user", "p@ss", 3)
    manager = client.connection_pool.sentinel_manager  # type: ignore[attr-defined]
    assert [each.connection_pool.connection_kwargs["port"] for each in manager.sentinels] == [26379, 2]
    assert {each.connection_pool.connection_kwargs["password"] for each in manager.sentinels} == {"y"}


@pytest.mark.parametrize(
    ("rights", "refused"),
    [
        ("-@transaction", "multi"),
        ("-@hash", "hset"),
        ("-@set", "sadd"),
        ("-@sortedset", "zadd"),
        ("-@list", "rpush"),
        ("-@blocking", "blmove"),
        ("-expire", "expire"),
        ("-del", "del"),
    ],
)
def test_the_probe_notices_a_user_who_may_not_write_as_rq_does(redis: Redis, rights: str, refused: str) -> None:
    redis.execute_command("ACL", "SETUSER", "clerk", "on", ">secret", "~*", "+@all", rights)
    try:
        kwargs = redis.connection_pool.connection_kwargs
        with connect(f"redis://clerk:secret@{kwargs['host']}:{kwargs['port']}/0") as client:
            with pytest.raises(NoPermissionError, match=refused):
                JobQueue(client).probe_write()
    finally:
        redis.execute_command("ACL", "DELUSER", "clerk")


def test_the_probe_leaves_nothing_behind(redis: Redis) -> None:
    JobQueue(redis).probe_write()
    assert redis.keys() == []
