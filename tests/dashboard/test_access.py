"""Access is closed by default: each route with each role and with none, links that work once, forms of other sites."""

import time
from datetime import timedelta
from urllib.parse import urlsplit

import pytest
from flask import Flask
from flask.testing import FlaskClient
from itsdangerous import TimestampSigner
from redis import Redis

from dashboard.access import OPEN_ENDPOINTS, SESSION_COOKIE, required_role
from operations import dashboard_login
from operations.dashboard_login import LINK_LIFETIME, ROLES, SESSION_LIFETIME, LoginSigner, Operator
from runtime.signed_address import AddressSigner
from tests.console.cli import run_cli
from tests.dashboard.conftest import KEY, Client, OpenApp, client_of, url_rules

pytestmark = pytest.mark.parametrize("database", ["sqlite"], indirect=True)
PROTECTED = frozenset({401, 403})


def test_each_route_is_open_only_to_its_role(app: Flask) -> None:
    seen = set()
    for endpoint, method, path in url_rules(app):
        role = required_role(app, endpoint, method)
        for visitor in (None, *ROLES):
            status = client_of(app, visitor).open(path, method=method, buffered=True).status_code
            suffices = role is None or (visitor is not None and ROLES.index(visitor) >= ROLES.index(role))
            if endpoint not in OPEN_ENDPOINTS:
                assert (status not in PROTECTED) == suffices, f"{method} {path} as {visitor}: {status}"
            assert status < 500, f"{method} {path} as {visitor}: {status}"
        seen.add(role)
    assert seen >= {None, "read"}


def test_an_unknown_address_tells_nobody_whether_it_exists(client: Client) -> None:
    assert client(None).get("/nowhere").status_code == 401
    assert client("read").get("/nowhere").status_code == 404


def test_every_act_is_a_post_and_every_page_a_get(app: Flask) -> None:
    for rule in app.url_map.iter_rules():
        methods = (rule.methods or set()) - {"HEAD", "OPTIONS"}
        assert methods in ({"GET"}, {"POST"}), rule


@pytest.fixture
def links(app: Flask) -> LoginSigner:
    return LoginSigner([KEY])


def open_link(client: FlaskClient, link: str, **headers: str):  # type: ignore[no-untyped-def]
    return client.get(link.removeprefix("http://h"), headers=headers)


def test_a_link_logs_in_once(app: Flask, links: LoginSigner) -> None:
    link, client = links.link("http://h", "Ada", "operate"), app.test_client()
    response = open_link(client, link)
    assert response.status_code == 303
    cookie = response.headers["Set-Cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Strict" in cookie
    assert "Max-Age=43200" in cookie
    assert "Secure" not in cookie
    assert "Ada (operate)" in client.get("/deliveries").text
    other = app.test_client()
    again = open_link(other, link)
    assert again.status_code == 401
    assert "was used before" in again.text
    assert "Set-Cookie" not in again.headers
    assert other.get("/deliveries").status_code == 401


def test_the_command_prints_a_link_that_logs_in(app: Flask) -> None:
    done = run_cli("dashboard", "login", "--name", "Bruno", "--role", "people")
    assert done.stderr.startswith("The link works once, within 10 min, and logs in Bruno (people) for 12 hours.")
    link, client = urlsplit(done.stdout.strip()), app.test_client()
    assert client.get(link.path, query_string=link.query).status_code == 303
    assert "Bruno (people)" in client.get("/deliveries").text


def test_a_browser_that_fetches_a_link_ahead_does_not_use_it_up(app: Flask, links: LoginSigner) -> None:
    link = links.link("http://h", "Ada", "read")
    assert open_link(app.test_client(), link, **{"Sec-Purpose": "prefetch"}).status_code == 204
    assert app.test_client().head(link.removeprefix("http://h")).status_code == 204
    assert open_link(app.test_client(), link).status_code == 303


def test_a_link_from_another_site_logs_in_without_a_redirect(app: Flask, links: LoginSigner) -> None:
    response = open_link(app.test_client(), links.link("http://h", "Ada", "read"), **{"Sec-Fetch-Site": "cross-site"})
    assert response.status_code == 200
    assert 'http-equiv="refresh"' in response.text


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[timedelta]:
    ahead: list[timedelta] = [timedelta()]
    monkeypatch.setattr(TimestampSigner, "get_timestamp", lambda _self: int(time.time() + ahead[0].total_seconds()))
    return ahead


def test_links_and_sessions_end(app: Flask, links: LoginSigner, clock: list[timedelta]) -> None:
    link, client = links.link("http://h", "Ada", "read"), client_of(app, "read")
    clock[0] = LINK_LIFETIME + timedelta(seconds=5)
    assert open_link(app.test_client(), link).status_code == 401
    clock[0] = SESSION_LIFETIME - timedelta(seconds=5)
    assert client.get("/deliveries").status_code == 200
    clock[0] = SESSION_LIFETIME + timedelta(seconds=5)
    assert client.get("/deliveries").status_code == 401


def test_no_other_token_of_ours_is_a_session_or_a_link(app: Flask, links: LoginSigner) -> None:
    session, link = links.session(Operator("Ada", "people")), links.link("", "Ada", "people")
    token, webhook = link.partition("=")[2], AddressSigner([KEY]).path("default").rpartition("/")[2]
    forged = LoginSigner(["x" * 40]).session(Operator("Ada", "people"))
    for value in (token, webhook, forged, "", "a.b.c", session[:-1], session + "x"):
        client = app.test_client()
        client.set_cookie(SESSION_COOKIE, value)
        assert client.get("/deliveries").status_code == 401
    for value in (session, webhook, "", "\x00", "é" * 300):
        assert app.test_client().get("/login", query_string={"token": value}).status_code in (401, 429)


def test_a_key_that_was_rotated_still_verifies(open_app: OpenApp) -> None:
    app = open_app(webhook_keys=f"{KEY},{'n' * 40}")
    assert client_of(app, "read").get("/deliveries").status_code == 200


def test_failed_logins_are_limited(app: Flask, links: LoginSigner) -> None:
    client = app.test_client()
    assert [client.get("/login?token=x").status_code for _ in range(10)] == [401] * 10
    limited = client.get("/login?token=x")
    assert limited.status_code == 429
    assert limited.headers["Retry-After"]
    elsewhere = app.test_client().get("/login?token=x", environ_overrides={"REMOTE_ADDR": "10.9.9.9"})
    assert elsewhere.status_code == 401


def test_a_stranger_behind_the_same_proxy_keeps_nobody_from_logging_in(app: Flask, links: LoginSigner) -> None:
    for _ in range(11):
        app.test_client().get("/login?token=x")
    link = links.link("http://h", "Ada", "read")
    assert open_link(app.test_client(), link).status_code == 303
    assert open_link(app.test_client(), link).status_code == 429  # used


def test_nobody_logs_in_while_nothing_can_tell_whether_the_link_was_used(
    app: Flask, links: LoginSigner, redis: Redis, open_app: OpenApp
) -> None:
    app = open_app(redis_url="redis://127.0.0.1:1/0")
    response = open_link(app.test_client(), links.link("http://h", "Ada", "read"))
    assert response.status_code == 503
    assert "Set-Cookie" not in response.headers


@pytest.mark.parametrize("name", ["", " ", "x" * 101, "a\nb", "\u202eevil"])
def test_a_name_that_cannot_be_shown_is_refused(name: str, links: LoginSigner) -> None:
    with pytest.raises(dashboard_login.OperationError):
        links.link("http://h", name, "read")


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://["},
        {"Origin": "http://[::1]x"},
        {"Origin": "http://localhost:1"},
        {"Sec-Fetch-Site": "cross-site", "Origin": "http://localhost"},
    ],
)
def test_a_form_of_another_site_is_refused(client: Client, headers: dict[str, str]) -> None:
    response = client("people").post("/logout", headers=headers)
    assert response.status_code == 403
    assert "Set-Cookie" not in response.headers


@pytest.mark.parametrize("headers", [{}, {"Sec-Fetch-Site": "same-origin"}, {"Origin": "http://localhost"}])
def test_a_form_of_ours_is_accepted(client: Client, headers: dict[str, str]) -> None:
    assert client("read").post("/logout", headers=headers).status_code == 303


def test_a_form_of_ours_behind_a_proxy_is_accepted(open_app: OpenApp) -> None:
    app = open_app(dashboard_url="https://inbox.example/")
    response = client_of(app, "read").post("/logout", headers={"Origin": "https://inbox.example"})
    assert response.status_code == 303
    assert "Secure" in response.headers["Set-Cookie"]


def test_logging_out_ends_the_session_of_this_browser(client: Client) -> None:
    ada = client("read")
    ada.post("/logout")
    assert ada.get("/deliveries").status_code == 401


def test_only_a_trusted_proxy_names_people(open_app: OpenApp) -> None:
    app = open_app(dashboard_proxies="10.0.0.0/24,::1", dashboard_user_header="X-Remote-User")

    def status(address: str, **headers: str) -> tuple[int, str]:
        response = app.test_client().get("/deliveries", headers=headers, environ_overrides={"REMOTE_ADDR": address})
        return response.status_code, response.text

    assert "Bruno (read)" in status("10.0.0.7", **{"X-Remote-User": "Bruno"})[1]
    assert "Bruno (people)" in status("::1", **{"X-Remote-User": "Bruno", "X-Forwarded-Role": "people"})[1]
    assert status("10.0.1.7", **{"X-Remote-User": "Bruno"})[0] == 401
    assert status("10.0.0.7", **{"X-Forwarded-User": "Bruno"})[0] == 401
    assert status("10.0.0.7", **{"X-Remote-User": "Bruno", "X-Forwarded-Role": "admin"})[0] == 401
    assert status("", **{"X-Remote-User": "Bruno"})[0] == 401


def test_without_the_setting_no_header_names_anybody(client: Client) -> None:
    assert client(None).get("/deliveries", headers={"X-Forwarded-User": "Bruno"}).status_code == 401


def test_every_answer_has_the_headers_that_keep_a_browser_strict(app: Flask) -> None:
    for _, method, path in url_rules(app):
        for role in (None, "people"):
            response = client_of(app, role).open(path, method=method, buffered=True)  # type: ignore[arg-type]
            policy = response.headers["Content-Security-Policy"]
            assert policy.startswith("default-src 'self'")
            assert "unsafe" not in policy
            assert "frame-ancestors 'none'" in policy
            assert response.headers["X-Content-Type-Options"] == "nosniff"
            if not path.startswith("/static"):
                assert response.headers["Cache-Control"] == "no-store"


def test_a_shared_address_opened_from_another_site_comes_back_by_itself(client: Client) -> None:
    response = client(None).get("/deliveries", headers={"Sec-Fetch-Site": "cross-site"})
    assert response.status_code == 401
    assert 'http-equiv="refresh"' in response.text
    assert 'http-equiv="refresh"' not in client(None).get("/deliveries").text
