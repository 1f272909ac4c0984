"""The read API in process: Flask's client on real stores, with a token."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import pytest
from flask import Flask
from flask.testing import FlaskClient

from devtools.send import samples
from models.api_token import ApiToken
from read_api.app import create_app
from read_api.settings import ReadApiSettings
from read_api.views import DATABASE
from runtime.database import Database
from tests.worker.conftest import harness, open_harness
from tests.worker.harness import AT, START, Harness

__all__ = ["harness", "open_harness"]

KEY = "k" * 40
Book = Callable[..., None]


def create_token(database: Database, name: str = "platform", role: str = "read", account: str | None = None) -> str:
    with database.transaction() as session:
        return ApiToken.create(session, name, role, "Ada", datetime.now(UTC), account)  # type: ignore[arg-type]


@pytest.fixture
def app(database: Database, database_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Flask]:
    monkeypatch.setenv("DATABASE_URL", database_url)
    monkeypatch.setenv("WEBHOOK_KEYS", KEY)
    app = create_app(ReadApiSettings())
    yield app
    app.extensions[DATABASE].close()


@pytest.fixture
def token(database: Database) -> str:
    return create_token(database)


def client_with(app: Flask, token: str | None) -> FlaskClient:
    client = app.test_client()
    if token:
        client.environ_base["HTTP_AUTHORIZATION"] = f"Bearer {token}"
    return client


@pytest.fixture
def client(app: Flask, token: str) -> FlaskClient:
    return client_with(app, token)


@pytest.fixture
def book(harness: Harness) -> Callable[..., None]:
    """Book, one day after the other."""

    def book(*ids: str, host_ids: tuple[str, ...] = (samples.HOST_ID,)) -> None:
        for day, booking_id in enumerate(ids):
            start = START + timedelta(days=day)
            harness.process(samples.created(booking_id, start, AT, hostIds=list(host_ids), hosts=[]))

    return book
