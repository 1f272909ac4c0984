"""Health tells whether the process lives, and whether deliveries can be kept."""

from pathlib import Path

import pytest
from flask import Flask

from console.redis_server import free_port
from tests.receiver.conftest import ADDRESS, MakeApp


@pytest.fixture(params=["ok", "failing"])
def database_state(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(params=["ok", "failing"])
def redis_state(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def app_in_this_state(make_app: MakeApp, database_state: str, redis_state: str, tmp_path: Path) -> Flask:
    changes = {}
    if database_state == "failing":
        changes["database_url"] = f"sqlite:///{tmp_path}"
    if redis_state == "failing":
        changes["redis_url"] = f"redis://127.0.0.1:{free_port()}/0"
    return make_app(**changes)


def test_it_is_ready_as_long_as_either_store_can_keep_a_delivery(
    app_in_this_state: Flask, database_state: str, redis_state: str
) -> None:
    answer = app_in_this_state.test_client().get("/readyz")
    ready = "ok" in (database_state, redis_state)
    assert answer.status_code == (200 if ready else 503)
    assert answer.json == {
        "status": "ready" if ready else "not ready",
        "database": database_state,
        "redis": redis_state,
    }
    assert app_in_this_state.test_client().post(ADDRESS, data=b"{}").status_code == answer.status_code


def test_it_lives_whatever_state_the_stores_are_in(app_in_this_state: Flask) -> None:
    answer = app_in_this_state.test_client().get("/healthz")
    assert (answer.status_code, answer.json) == (200, {"status": "ok"})


def test_a_database_without_our_tables_is_failing(make_app: MakeApp, tmp_path: Path) -> None:
    answer = make_app(database_url=f"sqlite:///{tmp_path / 'empty.db'}").test_client().get("/readyz")
    assert answer.json["database"] == "failing"


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
def test_health_is_only_to_be_read(app: Flask, path: str) -> None:
    answer = app.test_client().post(path)
    assert (answer.status_code, answer.json["reason"]) == (405, "method not allowed")
    assert "GET" in answer.headers["Allow"]
