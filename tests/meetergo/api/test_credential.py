"""Keys: two kinds with opposite rules, never shown."""

import logging
import traceback
from collections.abc import Callable

import pytest

from meetergo.api import Credential, Meetergo, UnusableKey
from meetergo.api.errors import ApiError, InvalidCall
from tests.meetergo.api.conftest import ADMIN, PLATFORM_KEY, TOKEN, OpenClient
from tests.meetergo.api.fake_api import DISCONNECTS, FakeApi, FakeResponse, recorded

ROUTES_WITHOUT_A_USER: dict[str, Callable[[Meetergo], object]] = {
    "GET /v4/user/me": lambda client: client.users.me(),
    "POST /v4/user": lambda client: client.users.create("host@example.com", "The", "Host", "Europe/Berlin"),
}
ROUTES_WITH_A_USER: dict[str, Callable[[Meetergo], object]] = {
    "GET /v4/user": lambda client: list(client.users.list()),
    "GET /v4/meeting-type": lambda client: client.meeting_types.list(),
    "GET /webhooks": lambda client: client.webhooks.list(),
    "DELETE /webhooks/1": lambda client: client.webhooks.delete(1),
    "PATCH /v4/personal-page/me": lambda client: client.personal_page.update(primary_color="#0066cc"),
    "GET /v4/appointment/x": lambda client: client.appointments.get("x"),
}
EVERY_ROUTE = ROUTES_WITHOUT_A_USER | ROUTES_WITH_A_USER

GOOD = {"id": "x", "userId": "x", "users": [], "meetingTypes": [], "webhooks": []}


@pytest.mark.parametrize("route", EVERY_ROUTE)
def test_a_personal_token_never_names_a_user(route: str, fake_api: FakeApi, open_client: OpenClient) -> None:
    fake_api.respond_with(GOOD)
    EVERY_ROUTE[route](open_client(TOKEN, user_id=None))
    assert fake_api.last.line == route
    assert fake_api.last.headers["authorization"] == f"Bearer {TOKEN}"
    assert "x-meetergo-api-user-id" not in fake_api.last.headers


def test_a_personal_token_cannot_act_as_another(fake_api: FakeApi, open_client: OpenClient) -> None:
    with pytest.raises(InvalidCall, match="Platform API key"):
        open_client(TOKEN, user_id="host-1")
    with pytest.raises(InvalidCall, match="Platform API key"):
        open_client(TOKEN, user_id=None).as_user("host-1")
    with pytest.raises(InvalidCall, match="Platform API key"):
        open_client(TOKEN, user_id=None).templates.assign("tmpl-1", "host-1")
    assert fake_api.requests == []


@pytest.mark.parametrize("route", ROUTES_WITH_A_USER)
def test_a_platform_key_names_a_user_where_one_is_needed(
    route: str, fake_api: FakeApi, open_client: OpenClient
) -> None:
    fake_api.respond_with(GOOD)
    with pytest.raises(InvalidCall, match="must name the user to act as"):
        ROUTES_WITH_A_USER[route](open_client(user_id=None))
    assert fake_api.requests == []
    ROUTES_WITH_A_USER[route](open_client())
    ROUTES_WITH_A_USER[route](open_client().as_user("host-1"))
    assert [request.acts_as for request in fake_api.requests] == [ADMIN, "host-1"]
    assert fake_api.last.headers["authorization"] == f"Bearer {PLATFORM_KEY}"


@pytest.mark.parametrize("route", ROUTES_WITHOUT_A_USER)
def test_a_platform_key_names_no_user_where_it_acts_as_the_owner(
    route: str, fake_api: FakeApi, open_client: OpenClient
) -> None:
    fake_api.respond_with(GOOD)
    ROUTES_WITHOUT_A_USER[route](open_client(user_id=None))
    assert fake_api.last.acts_as is None


def test_users_are_created_as_the_owner_whoever_is_the_acting_user(fake_api: FakeApi, client: Meetergo) -> None:
    fake_api.respond_with(GOOD)
    for call in ROUTES_WITHOUT_A_USER.values():
        call(client)
    assert {request.line: request.acts_as for request in fake_api.requests} == {
        "GET /v4/user/me": ADMIN,
        "POST /v4/user": None,
    }


@pytest.mark.parametrize("key", ["", "ak_live", "ak_live:only-two-parts", "rgo-", "Bearer x", f"{TOKEN}\nX: y", "ключ"])
def test_a_malformed_key_is_rejected_without_being_quoted(key: str) -> None:
    with pytest.raises(UnusableKey) as refusal:
        Credential.read(key)
    assert len(key) < 10 or key not in str(refusal.value)


def test_a_trailing_line_break_of_a_key_is_ignored() -> None:
    assert Credential.read(f"{TOKEN}\n") == Credential.read(TOKEN)


def everything_shown(*things: object) -> str:
    shown = []
    for thing in things:
        shown += [repr(thing), str(thing), f"{thing}", repr(getattr(thing, "__dict__", ""))]
    return " ".join(shown)


@pytest.mark.parametrize("key", [PLATFORM_KEY, TOKEN])
def test_repr_shows_no_key(key: str, open_client: OpenClient) -> None:
    client = open_client(key, user_id=None)
    transport = client._session.transport
    http = transport._client
    shown = everything_shown(client, client._session, transport, transport.credential, http, http.auth, http.headers)
    assert ("ak_live:550e…:***" if key == PLATFORM_KEY else "rgo-***") in shown
    assert key not in shown
    assert "secret-part" not in shown
    assert "t0ken" not in shown


@pytest.mark.parametrize("faults", [DISCONNECTS, FakeResponse(401), FakeResponse(500), FakeResponse(200, b"<html>")])
@pytest.mark.parametrize("key", [PLATFORM_KEY, TOKEN])
def test_no_error_log_or_traceback_shows_a_key(
    key: str, faults: FakeResponse, fake_api: FakeApi, open_client: OpenClient, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    fake_api.respond_with(faults)
    with pytest.raises(ApiError) as raised:
        open_client(key, user_id=None).users.me()
    error = raised.value
    assert type(error.__context__) in (type(None), ValueError), "httpx's errors hold the request, json's the body"
    shown = frames_of(error) + caplog.text + everything_shown(error)
    assert "_send_once" in shown
    assert not [secret for secret in (key, "secret-part", "t0ken") if secret in shown]


def frames_of(error: BaseException) -> str:
    """Return a traceback with the local variables of every frame except the tests' own."""
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__) if "tests" not in frame.f_code.co_filename]
    return " ".join(f"{frame.f_code.co_name} {frame.f_locals!r}" for frame in frames)


def test_a_fingerprint_distinguishes_keys_without_revealing_them() -> None:
    prints = {Credential.read(key).fingerprint for key in (PLATFORM_KEY, TOKEN, PLATFORM_KEY + "x")}
    assert len(prints) == 3
    assert all(len(each) == 16 and each.isalnum() for each in prints)


@pytest.mark.parametrize(
    "base_url",
    ["http://api.meetergo.com", "http://8.8.8.8", "ftp://x", "https://u:p@x.example", "", "x", "https://x:port"],
)
def test_a_key_is_not_sent_over_plain_http(base_url: str, open_client: OpenClient) -> None:
    with pytest.raises(InvalidCall, match="address"):
        open_client(base_url=base_url)


@pytest.mark.parametrize("bad", ["", "a/b", "../x", "a b", "%22x%22", "a?b", "ä", "x" * 256, "a\r\nb"])
def test_a_malformed_id_is_never_sent(bad: str, fake_api: FakeApi, client: Meetergo) -> None:
    calls: list[Callable[[], object]] = [
        lambda: client.appointments.get(bad),
        lambda: client.appointments.cancel(bad),
        lambda: client.meeting_types.get(bad),
        lambda: client.meeting_types.update(bad, slug="x"),
        lambda: client.availability.get(bad),
        lambda: client.users.update(bad, given_name="The"),
        lambda: client.webhooks.delete(bad),
        lambda: client.templates.assign(bad, "user-1"),
        lambda: client.templates.assign("tmpl-1", bad),
    ]
    for call in [*calls, *([lambda: client.as_user(bad)] if bad else [])]:
        with pytest.raises(InvalidCall, match="not the id"):
            call()
    assert fake_api.requests == []


def test_the_health_check_returns_the_keys_user(fake_api: FakeApi, client: Meetergo) -> None:
    fake_api.respond_with(recorded("user_me"))
    me = client.users.me()
    assert (me.id, me.company_id, me.slug, me.user_type) == ("admin-1", "company-uuid-789", "the-admin", "standard")
    assert "example.com" not in repr(me)
