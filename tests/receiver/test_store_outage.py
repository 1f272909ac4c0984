"""A 200 means kept: in the database, or else in the queue; only without both does the receiver answer 503."""

import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography.fernet import Fernet
from redis import Redis
from rq import Queue
from rq.job import Job
from rq.serializers import JSONSerializer

from devtools.redis_server import free_port
from models.delivery import Delivery, NewDelivery, unpack
from runtime.database import Database
from runtime.encryption import BodyCipher
from runtime.outage import COOLDOWN
from tests.discarding_trigger import discarding
from tests.payloads import payload
from tests.raw_sql import sql
from tests.receiver.conftest import ADDRESS, MakeApp
from tests.receiver.in_process import ReceiverInProcess

BODY = payload("booking_created")
MAX_RESPONSE_SECONDS = 5


@pytest.fixture
def silent_port() -> Iterator[int]:
    """Takes calls and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@pytest.fixture(params=["locked", "unreachable", "without tables", "discarding"])
def database_down(
    request: pytest.FixtureRequest, database: Database, database_url: str, silent_port: int, tmp_path: Path
) -> Iterator[str]:
    """The URL of a database that takes nothing now."""
    postgresql = database_url.startswith("postgresql")
    if request.param == "locked":
        with database.engine.begin() as connection:  # on SQLite, this alone holds the write lock
            if postgresql:
                connection.execute(sql(connection, "LOCK TABLE deliveries IN EXCLUSIVE MODE"))
            yield database_url
    elif request.param == "discarding":
        with discarding(database, "deliveries"):
            yield database_url
    elif request.param == "unreachable":
        yield f"postgresql://user:password@127.0.0.1:{silent_port}/inbox" if postgresql else no_database(tmp_path)
    else:
        yield database_url.replace("/postgres?", "/template1?") if postgresql else f"{database_url}-new"


def no_database(folder: Path) -> str:
    """The URL of a file that is something else."""
    (folder / "not_a_database.txt").write_text("Dear Jane, " * 100)
    return f"sqlite:///{folder / 'not_a_database.txt'}"


def deferred_jobs(redis: Redis) -> list[Job]:
    return Queue("meetergo-inbox-inbox", connection=redis, serializer=JSONSerializer).jobs


def assert_nothing_could_store_it(app: ReceiverInProcess) -> None:
    started = time.monotonic()
    response = app.test_client().post(ADDRESS, data=BODY)
    assert time.monotonic() - started < MAX_RESPONSE_SECONDS
    assert (response.status_code, response.json["status"]) == (503, "refused")
    assert int(response.headers["Retry-After"]) > 0


def test_with_the_database_down_the_body_travels_in_a_job(
    make_app: MakeApp, database_down: str, redis: Redis, stored: Callable[[], list[bytes]]
) -> None:
    before = datetime.now(UTC)
    response = make_app(database_url=database_down).test_client().post(ADDRESS, data=BODY)
    assert (response.status_code, response.json["status"]) == (200, "accepted")
    assert stored() == []
    [job] = deferred_jobs(redis)
    new_delivery = unpack(*job.args[:5])
    assert (job.func_name, new_delivery.account, new_delivery.encrypted_body.content) == (
        "worker.jobs.store_deferred",
        "default",
        BODY,
    )
    assert before <= new_delivery.received_at <= datetime.now(UTC)
    assert new_delivery.id == response.json["delivery"]
    assert "Jane" not in job.description


def test_a_body_in_a_job_is_encrypted(make_app: MakeApp, database_down: str, redis: Redis) -> None:
    key = Fernet.generate_key().decode()
    make_app(database_url=database_down, body_keys=key).test_client().post(ADDRESS, data=BODY)
    [job] = deferred_jobs(redis)
    new_delivery = unpack(*job.args[:5])
    assert BODY not in new_delivery.encrypted_body.content
    assert BodyCipher([key]).decrypt(new_delivery.encrypted_body) == BODY


@pytest.mark.parametrize("database", ["postgresql"], indirect=True)  # SQLite has one lock for all
def test_a_delivery_at_a_locked_row_sends_no_other_to_redis(
    make_app: MakeApp,
    database: Database,
    redis: Redis,
    stored: Callable[[], list[bytes]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("receiver.app.STATEMENT_TIMEOUT", timedelta(milliseconds=500))
    client, other = make_app().test_client(), payload("booking_created", id="other")
    with database.engine.begin() as connection:
        same = NewDelivery.from_body(BODY, "default", datetime.now(UTC), BodyCipher([]))
        Delivery.accept(connection, [same])  # as another receiver that hangs before its commit
        assert client.post(ADDRESS, data=BODY).status_code == 200
        assert client.post(ADDRESS, data=other).status_code == 200
        connection.rollback()
    assert stored() == [other]
    assert [unpack(*job.args[:5]).id for job in deferred_jobs(redis) if len(job.args) > 1] == [same.id]


def test_many_at_once_do_not_all_wait_for_a_store_that_does_not_answer(make_app: MakeApp, database_down: str) -> None:
    app = make_app(database_url=database_down)

    def post(number: int) -> tuple[int, float]:
        started = time.monotonic()
        return app.test_client().post(ADDRESS, data=f"{number}").status_code, time.monotonic() - started

    with ThreadPoolExecutor(16) as pool:
        responses = list(pool.map(post, range(200)))
    assert {status for status, _ in responses} == {200}
    assert max(seconds for _, seconds in responses) < MAX_RESPONSE_SECONDS
    assert sum(seconds > 1 for _, seconds in responses) < 100  # without a cool-down, each waits for the timeout


@pytest.mark.parametrize("shape", ["nobody there", "silent"])
def test_with_redis_down_the_row_waits(
    make_app: MakeApp, silent_port: int, stored: Callable[[], list[bytes]], shape: str
) -> None:
    port = silent_port if shape == "silent" else free_port()
    response = make_app(redis_url=f"redis://127.0.0.1:{port}/0").test_client().post(ADDRESS, data=BODY)
    assert (response.status_code, response.json["status"]) == (200, "accepted")
    assert stored() == [BODY]


def test_with_redis_full_the_row_waits_but_nothing_is_deferred(
    make_app: MakeApp, redis: Redis, stored: Callable[[], list[bytes]], tmp_path: Path
) -> None:
    redis.config_set("maxmemory", 1)
    try:
        assert make_app().test_client().post(ADDRESS, data=BODY).status_code == 200
        assert stored() == [BODY]
        assert_nothing_could_store_it(make_app(database_url=no_database(tmp_path)))
    finally:
        redis.config_set("maxmemory", 0)
    assert redis.keys("*") == []


@pytest.mark.parametrize("database_down", ["locked", "unreachable"], indirect=True)
def test_without_both_the_sender_is_asked_to_come_back_soon_enough(
    make_app: MakeApp, database_down: str, silent_port: int, stored: Callable[[], list[bytes]]
) -> None:
    assert_nothing_could_store_it(make_app(database_url=database_down, redis_url=f"redis://127.0.0.1:{silent_port}/0"))
    assert stored() == []


def test_when_the_stores_are_back_the_same_process_keeps_again(
    make_app: MakeApp, database: Database, redis: Redis, stored: Callable[[], list[bytes]]
) -> None:
    app = make_app()
    with database.engine.begin() as connection:
        connection.execute(sql(connection, "ALTER TABLE deliveries RENAME TO deliveries_elsewhere"))
    assert app.test_client().post(ADDRESS, data=BODY).status_code == 200
    with database.engine.begin() as connection:
        connection.execute(sql(connection, "ALTER TABLE deliveries_elsewhere RENAME TO deliveries"))
    redis.client_kill_filter(_type="normal", skipme=True)
    time.sleep(COOLDOWN.total_seconds())
    assert app.test_client().post(ADDRESS, data=BODY).status_code == 200
    assert stored() == [BODY]
    assert [job.func_name for job in deferred_jobs(redis)] == ["worker.jobs.store_deferred", "worker.jobs.drain"]
