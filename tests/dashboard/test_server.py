"""The server: no header with an underscore reaches the app, so nobody can pretend to be named by the proxy."""

import asyncio
from types import SimpleNamespace
from typing import Any
from urllib.parse import unquote

import pytest

from dashboard.app import MAX_FORM_BYTES
from dashboard.rsgi import RsgiApp
from tests.dashboard.conftest import OpenApp

pytestmark = pytest.mark.parametrize("database", ["sqlite"], indirect=True)


class Exchange:
    """One request and its response, as Granian has them."""

    def __init__(self, method: str, path: str, headers: list[tuple[str, str]], body: bytes = b"") -> None:
        path, _, query = path.partition("?")
        self.scope = SimpleNamespace(
            method=method, path=path, query_string=query, headers=dict(headers), http_version="1.1", scheme="http",
            server="127.0.0.1:8400", client="127.0.0.1:5",
        )  # fmt: skip
        self._body = body
        self.status, self.body = 0, b""

    async def __aiter__(self) -> Any:
        for start in range(0, len(self._body), 65536):
            yield self._body[start : start + 65536]

    def response_bytes(self, status: int, _headers: Any, body: bytes) -> None:
        self.status, self.body = status, body

    def response_empty(self, status: int, _headers: Any) -> None:
        self.status = status


def exchange(app: Any, *request: Any) -> Exchange:
    made = Exchange(*request)
    asyncio.run(RsgiApp(app).__rsgi__(made.scope, made))  # type: ignore[arg-type]
    return made


def test_only_the_exact_header_of_the_proxy_counts(open_app: OpenApp) -> None:
    app = open_app(dashboard_proxies="127.0.0.1")
    named = exchange(app, "GET", "/deliveries", [("x-forwarded-user", "Ada"), ("x_forwarded_user", "Eve")])
    assert named.status == 200
    assert b"Ada (read)" in named.body
    role = [("x-forwarded-user", "Ada"), ("x_forwarded_role", "people")]
    assert b"Ada (read)" in exchange(app, "GET", "/deliveries", role).body
    assert exchange(app, "GET", "/deliveries", [("x_forwarded_user", "Eve")]).status == 401


def test_a_form_is_read_and_too_large_a_one_refused(open_app: OpenApp) -> None:
    app = open_app(dashboard_proxies="127.0.0.1")
    headers = [("x-forwarded-user", "Ada"), ("content-type", "application/x-www-form-urlencoded")]
    assert exchange(app, "POST", "/preferences", headers, b"language=de&back=/runs").status == 303
    assert exchange(app, "POST", "/preferences", headers, b"x" * (MAX_FORM_BYTES + 1)).status == 413
    assert exchange(app, "POST", "/login", headers).status == 405


def test_a_query_that_is_not_percent_encoded_is_read(open_app: OpenApp) -> None:
    app = open_app(dashboard_proxies="127.0.0.1")
    for name in ("Müller", "😀", "M%C3%BCller"):
        found = exchange(app, "GET", f"/hosts?q={name}", [("x-forwarded-user", "Ada")])
        assert found.status == 200
        assert f'value="{unquote(name)}"'.encode() in found.body


@pytest.mark.parametrize("user", ["Ada", ""])
def test_a_host_that_is_no_name_is_refused(open_app: OpenApp, user: str) -> None:
    app = open_app(dashboard_proxies="127.0.0.1")
    refused = exchange(app, "GET", "/bookings", [("x-forwarded-user", user), ("host", "x" * 3000)])
    assert (refused.status, refused.body) == (400, b"The Host header is not the name of a host.\n")
