"""The dashboard in process: Flask's client on real stores, for each role."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from jinja2.bccache import Bucket, BytecodeCache

from dashboard.access import SESSION_COOKIE
from dashboard.app import create_app
from dashboard.settings import DashboardSettings
from dashboard.stores import EXTENSION
from operations.dashboard_login import LoginSigner, Operator, Role
from tests.console.conftest import sample_data
from tests.worker.conftest import harness, open_harness
from tests.worker.harness import Harness

__all__ = ["harness", "open_harness", "sample_data"]

KEY = "k" * 40
EXAMPLES = {
    "delivery_id": "0" * 64,
    "booking_id": "nowhere-1",
    "notification_id": "1",
    "external_id": "4711",
    "run_id": "1",
    "name": "style.css",
    "filename": "style.css",
}
"""Values of the arguments of routes, for tests that walk the URL map."""


class CompiledTemplates(BytecodeCache):
    """Templates compiled once: an app of its own for each test would compile each of them again."""

    def __init__(self) -> None:
        self._code: dict[tuple[str, str], Any] = {}

    def load_bytecode(self, bucket: Bucket) -> None:
        bucket.code = self._code.get((bucket.key, bucket.checksum))

    def dump_bytecode(self, bucket: Bucket) -> None:
        self._code[bucket.key, bucket.checksum] = bucket.code


COMPILED = CompiledTemplates()

OpenApp = Callable[..., Flask]
Client = Callable[..., FlaskClient]


@pytest.fixture
def open_app(harness: Harness, monkeypatch: pytest.MonkeyPatch) -> Iterator[OpenApp]:
    """Open the app with settings, on the stores of the harness."""
    opened: list[Flask] = []

    def open_with(**settings: str) -> Flask:
        for name, value in {"webhook_keys": KEY, **settings}.items():
            monkeypatch.setenv(name.upper(), value)
        opened.append(create_app(DashboardSettings.load()))
        opened[-1].jinja_env.bytecode_cache = COMPILED
        return opened[-1]

    yield open_with
    for each in opened:
        each.extensions[EXTENSION].database.close()


@pytest.fixture
def app(open_app: OpenApp) -> Flask:
    return open_app()


@pytest.fixture
def client(app: Flask) -> Client:
    """Return a client of somebody with this role; of nobody for None."""
    return lambda role="read": client_of(app, role)


def client_of(app: Flask, role: Role | None, name: str = "Ada") -> FlaskClient:
    client = app.test_client()
    if role:
        client.set_cookie(SESSION_COOKIE, LoginSigner([KEY]).session(Operator(name, role)))
    return client


def url_rules(app: Flask) -> Iterator[tuple[str, str, str]]:
    """Yield endpoint, method and path of every route."""
    with app.test_request_context():
        for rule in app.url_map.iter_rules():
            values = {name: EXAMPLES[name] for name in rule.arguments}
            for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"}):
                yield rule.endpoint, method, app.url_for(rule.endpoint, _method=method, **values)
