"""Health tells whether the process lives, and whether deliveries can be kept."""

import asyncio
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Event, Lock

import pytest
from sqlalchemy import text

from devtools.redis_server import free_port
from models.migrate import migrate
from receiver.health import CACHE_TTL, Readiness
from runtime.database import Database
from tests.another_database import administer, another_database
from tests.receiver.conftest import ADDRESS, MakeApp
from tests.receiver.in_process import ReceiverInProcess
from tests.shared_engines import close_shared_connections

TIMEOUT_SECONDS = 20
TERMINATE = "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = 'idle'"


@pytest.fixture(params=["ok", "failing"])
def database_state(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(params=["ok", "failing"])
def redis_state(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def app_in_this_state(make_app: MakeApp, database_state: str, redis_state: str, tmp_path: Path) -> ReceiverInProcess:
    changes = {}
    if database_state == "failing":
        (tmp_path / "not_a_database.txt").write_text("Dear Jane, " * 100)
        changes["database_url"] = f"sqlite:///{tmp_path / 'not_a_database.txt'}"
    if redis_state == "failing":
        changes["redis_url"] = f"redis://127.0.0.1:{free_port()}/0"
    return make_app(**changes)


def test_it_is_ready_as_long_as_either_store_can_keep_a_delivery(
    app_in_this_state: ReceiverInProcess, database_state: str, redis_state: str
) -> None:
    response = app_in_this_state.test_client().get("/readyz")
    ready = "ok" in (database_state, redis_state)
    assert response.status_code == (200 if ready else 503)
    assert response.json == {
        "status": "ready" if ready else "not ready",
        "database": database_state,
        "redis": redis_state,
    }
    assert app_in_this_state.test_client().post(ADDRESS, data=b"{}").status_code == response.status_code


def test_it_lives_whatever_state_the_stores_are_in(app_in_this_state: ReceiverInProcess) -> None:
    response = app_in_this_state.test_client().get("/healthz")
    assert (response.status_code, response.json) == (200, {"status": "ok"})


def test_a_database_without_our_tables_is_failing(make_app: MakeApp, tmp_path: Path) -> None:
    response = make_app(database_url=f"sqlite:///{tmp_path / 'empty.db'}").test_client().get("/readyz")
    assert response.json["database"] == "failing"


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
def test_health_is_only_to_be_read(app: ReceiverInProcess, path: str) -> None:
    response = app.test_client().post(path)
    assert (response.status_code, response.json["reason"]) == (405, "method not allowed")
    assert "GET" in response.headers["Allow"]


@pytest.fixture
def read_only_database(database: Database, database_url: str) -> Iterator[None]:
    """It answers every question, and takes nothing."""
    if database_url.startswith("postgresql"):
        change, back = "SET default_transaction_read_only = on", "RESET default_transaction_read_only"
        with database.engine.begin() as connection:
            connection.execute(text(f"ALTER ROLE CURRENT_USER {change}"))
        close_shared_connections()
        yield
        with database.engine.begin() as connection:
            connection.execute(text("SET transaction_read_only = off"))
            connection.execute(text(f"ALTER ROLE CURRENT_USER {back}"))
        close_shared_connections()
        return
    trigger = "CREATE TRIGGER full BEFORE INSERT ON deliveries BEGIN SELECT RAISE(ABORT, 'read-only'); END"
    with database.engine.begin() as connection:
        connection.execute(text(trigger))
    yield


def test_a_database_that_reads_and_cannot_write_is_failing(make_app: MakeApp, read_only_database: None) -> None:
    response = make_app().test_client().get("/readyz")
    assert (response.status_code, response.json) == (200, {"status": "ready", "database": "failing", "redis": "ok"})


def test_asking_whether_it_is_ready_keeps_nothing(app: ReceiverInProcess, stored: Callable[[], list[bytes]]) -> None:
    assert app.test_client().get("/readyz").json["database"] == "ok"
    assert stored() == []


class Store:
    """Answers when it is let, and notes how often it was asked, and by how many at once."""

    def __init__(self) -> None:
        self.may_return, self.calls, self.at_once = Event(), 0, Lock()

    def __call__(self) -> None:
        assert self.at_once.acquire(blocking=False), "two askers at once"
        self.calls += 1
        assert self.may_return.wait(TIMEOUT_SECONDS)
        self.at_once.release()


async def ask(readiness: Readiness, times: int) -> list[dict[str, str]]:
    responses = await asyncio.gather(*(readiness.response() for _ in range(times)))
    bodies = [json.loads(body) for _, _, body in responses]
    return [{name: body[name] for name in ("database", "redis")} for body in bodies]


def test_a_silent_store_is_asked_once_by_many_and_they_do_not_wait_for_it() -> None:
    silent, started = Store(), time.monotonic()
    readiness = Readiness(silent, lambda: None)
    assert asyncio.run(ask(readiness, 200)) == [{"database": "failing", "redis": "ok"}] * 200
    assert silent.calls == 1
    assert time.monotonic() - started < TIMEOUT_SECONDS
    silent.may_return.set()


def test_an_answer_is_repeated_for_a_while_and_then_asked_for_again() -> None:
    quick = Store()
    quick.may_return.set()
    readiness = Readiness(quick, quick_too := Store())
    quick_too.may_return.set()
    started = time.monotonic()
    assert asyncio.run(ask(readiness, 50)) == [{"database": "ok", "redis": "ok"}] * 50
    assert quick.calls <= 1 + (time.monotonic() - started) / CACHE_TTL.total_seconds()
    time.sleep(CACHE_TTL.total_seconds() * 1.2)
    before = quick.calls
    asyncio.run(ask(readiness, 1))
    assert quick.calls == before + 1


def test_connections_that_the_server_closed_while_idle_are_no_failure(make_app: MakeApp, postgresql_url: str) -> None:
    with another_database(postgresql_url, "idle") as url:
        database = Database(url)
        migrate(database.engine)
        database.close()
        client = make_app(database_url=url).test_client()
        for _ in range(2):
            assert client.get("/readyz").json == {"status": "ready", "database": "ok", "redis": "ok"}
            administer(postgresql_url, TERMINATE)
            time.sleep(CACHE_TTL.total_seconds())
        assert client.get("/readyz").json == {"status": "ready", "database": "ok", "redis": "ok"}


def test_a_store_that_breaks_in_an_unknown_way_is_failing() -> None:
    def breaks() -> None:
        raise UnicodeDecodeError("utf-8", b"", 0, 1, "whatever")

    assert asyncio.run(ask(Readiness(breaks, lambda: None), 1))[0]["database"] == "failing"
