"""Two kinds of credentials, with opposite rules for the header that names a user."""

from collections.abc import Callable

import pytest
from urllib3 import PoolManager

from devtools.sandbox.server import Sandbox
from tests.devtools.sandbox.conftest import Api, Host, ManualClock

NEW_USER = {"email": "new@example.com", "givenName": "A", "familyName": "User", "timezone": "Europe/Berlin"}


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ({}, "Missing authorization header"),
        ({"authorization": "Basic abc"}, "Missing authorization header"),
        ({"authorization": "Bearer ak_live:nobody:knows"}, "Invalid API key"),
    ],
)
def test_a_request_without_a_valid_credential_is_rejected(
    meetergo: Sandbox, http: PoolManager, header: dict[str, str], message: str
) -> None:
    answer = http.request("GET", meetergo.url + "/v4/user/me", headers=header)
    assert (answer.status, answer.json()["message"]) == (401, message)


def test_a_platform_key_without_a_user_acts_as_the_owner_on_some_routes(meetergo: Sandbox, api: Api) -> None:
    assert api("GET /v4/user/me", user=None).body["email"] == "owner@example.com"
    assert api("POST /v4/user", NEW_USER, user=None).status == 201


@pytest.mark.parametrize("route", ["GET /v4/user", "GET /v4/meeting-type", "GET /webhooks", "GET /v4/personal-page/me"])
def test_elsewhere_a_platform_key_must_name_a_user(api: Api, route: str) -> None:
    answer = api(route, user=None)
    assert answer.status == 400
    expected = "Missing required header 'x-meetergo-api-user-id' for API key authentication"
    assert answer.body == {"statusCode": 400, "message": expected, "error": "Bad Request"}


def test_a_platform_key_acts_as_users_of_its_company_only(api: Api, host: Host) -> None:
    assert api("GET /v4/user/me", user=host.id).body["id"] == host.id
    assert api("GET /v4/user/me", user="0b9a3a5e-0000-4000-8000-000000000000").status == 403


def test_only_administrators_create_and_list_users(api: Api, host: Host) -> None:
    assert api("POST /v4/user", NEW_USER, user=host.id).status == 403
    assert api("GET /v4/user", user=host.id).status == 403


def test_a_personal_token_acts_as_its_owner_and_never_names_a_user(meetergo: Sandbox, api: Api, host: Host) -> None:
    token = meetergo.new_token(host.id)
    assert token.startswith("rgo-")
    assert len(token) == len("rgo-") + 32
    assert api("GET /v4/user/me", user=None, key=token).body["id"] == host.id
    assert api("GET /v4/user/me", user=host.id, key=token).status == 403


def test_a_personal_token_creates_no_users_even_an_administrators(meetergo: Sandbox, api: Api, host: Host) -> None:
    assert api("GET /v4/user", user=None, key=meetergo.token).status == 200
    assert api("POST /v4/user", NEW_USER, user=None, key=meetergo.token).status == 403
    assert api(f"PATCH /v4/user/{host.id}", {"givenName": "B"}, user=None, key=meetergo.token).status == 403
    assert len(meetergo.users) == 2


def test_a_restricted_token_is_rejected_outside_its_capabilities_even_for_reads(meetergo: Sandbox, api: Api) -> None:
    token = meetergo.new_token(meetergo.company.admin_id, "scheduling")
    assert api("GET /v4/meeting-type", user=None, key=token).status == 200
    assert api("GET /webhooks", user=None, key=token).status == 403


def test_a_key_expires_after_ninety_days_and_a_new_one_works(meetergo: Sandbox, api: Api, clock: ManualClock) -> None:
    clock.advance(days=90)
    assert api("GET /v4/user/me").body["message"] == "API key has expired"
    assert api("GET /v4/user/me", key=meetergo.new_key()).status == 200


def test_a_key_can_be_expired_at_once(meetergo: Sandbox, api: Api) -> None:
    meetergo.expire(meetergo.key)
    assert api("GET /v4/user/me").status == 401


def test_the_keys_follow_from_the_seed(start: Callable[..., Sandbox]) -> None:
    assert start().key == start().key
