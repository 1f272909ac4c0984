"""Redis fails over: who was connected to the demoted server goes on with its successor."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from threading import Timer

import pytest

from models.delivery import NewDelivery
from runtime.encryption import BodyCipher
from runtime.queue import JobQueue
from runtime.redis.client import CannotServe, connect
from runtime.settings import StoreSettings
from tests.redis_pair import SERVICE, RedisPair, redis_pair, sentinel, until
from tests.tcp_proxy import proxy

NOW = datetime(2026, 1, 2, tzinfo=UTC)


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[RedisPair]:
    with redis_pair(tmp_path / "pair") as servers:
        yield servers


def letter() -> NewDelivery:
    return NewDelivery.of(b"{}", "default", NOW, BodyCipher([]))


def test_what_was_connected_to_a_demoted_server_goes_on_with_its_successor(pair: RedisPair) -> None:
    with proxy(pair.ports[0]) as line:
        bell = JobQueue(connect(f"redis://127.0.0.1:{line.port}/0"))
        assert bell.ring("inbox")
        line.target = pair.ports[1]
        pair.fail_over()
        bell.carry(letter())
        assert bell.ring("outbox")
        assert pair.clients[1].llen("rq:queue:meetergo-inbox-inbox") == 2
        bell.redis.close()


def test_a_pipeline_drops_its_connection_too(pair: RedisPair) -> None:
    client = connect(f"redis://127.0.0.1:{pair.ports[1]}/0")
    for is_transaction in (True, False):
        with client.pipeline(transaction=is_transaction) as pipeline:
            pipeline.set("a", "b")
            with pytest.raises(CannotServe):
                pipeline.execute()
    assert not any(each.is_connected for each in client.connection_pool._available_connections)  # type: ignore[attr-defined]
    client.close()


def test_who_waits_for_a_job_is_told_that_the_server_was_demoted(pair: RedisPair) -> None:
    client = connect(f"redis://127.0.0.1:{pair.ports[0]}/0?socket_timeout=30")
    Timer(1, pair.fail_over).start()
    with pytest.raises(CannotServe):
        client.blmove("a", "b", 20)
    client.close()


@pytest.mark.parametrize("password", ["", "of-the-sentinels/%"])
def test_sentinels_are_asked_for_the_master_and_for_the_next(pair: RedisPair, tmp_path: Path, password: str) -> None:
    with sentinel(tmp_path / "sentinel", pair.ports[0], password) as port:
        option = f"?sentinel_password={password.replace('%', '%25')}" if password else ""
        url = f"redis+sentinel://127.0.0.1:1,127.0.0.1:{port}/{SERVICE}/0{option}"
        bell = JobQueue(StoreSettings(redis_url=url, database_url="sqlite:///x.db", redis_prefix="mine").redis())
        assert bell.ring("inbox")
        pair.kill_master()
        until(lambda: _rings(bell))
        bell.carry(letter())
        assert pair.clients[1].llen("rq:queue:mine-inbox") >= 1
        bell.redis.close()


def _rings(bell: JobQueue) -> bool:
    time.sleep(1)
    bell.answer("inbox")
    return bell.ring("inbox")


@pytest.mark.parametrize(
    "url",
    [
        "redis+sentinel://",
        "redis+sentinel://host",
        "redis+sentinel:///service",
        "redis+sentinel://host:port/service",
        "redis://host?unknown=1",
        "redis://host?socket_timeout=soon",
        "rediss://host?ssl_cert_reqs=sometimes",
        "http://host",
        "",
    ],
)
def test_a_malformed_url_is_a_sentence(url: str) -> None:
    with pytest.raises(ValueError, match="redis"):
        StoreSettings(redis_url=url, database_url="sqlite:///x.db")


def test_users_and_passwords_of_a_sentinel_url_are_the_servers() -> None:
    client = connect("rediss+sentinel://user:p%40ss@a,b:2/service/3?sentinel_username=x&sentinel_password=y")
    kwargs = client.connection_pool.connection_kwargs
    assert (kwargs["username"], kwargs["password"], kwargs["db"]) == ("user", "p@ss", 3)
    manager = client.connection_pool.sentinel_manager  # type: ignore[attr-defined]
    assert [each.connection_pool.connection_kwargs["port"] for each in manager.sentinels] == [26379, 2]
    assert {each.connection_pool.connection_kwargs["password"] for each in manager.sentinels} == {"y"}
