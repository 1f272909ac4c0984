"""Users: created with hours and a first meeting type, listed by offset, changed in part."""

from collections.abc import Callable

import pytest
from urllib3 import PoolManager

from devtools.sandbox.server import Sandbox
from devtools.sandbox.state.company import Plan
from tests.devtools.sandbox.conftest import Api, Endpoint, Host, add_host

NEW_USER = {"email": "new@example.com", "givenName": "A", "familyName": "Lawyer", "timezone": "Europe/Vienna"}


def test_a_new_user_has_hours_a_meeting_type_and_a_booking_url(meetergo: Sandbox, api: Api) -> None:
    answer = api("POST /v4/user", NEW_USER, user=None)
    assert answer.status == 201
    assert set(answer.body) == {"userId", "availabilityId", "meetingTypeId", "bookingUrl", "companyId"}
    assert answer.body["bookingUrl"] == "https://cal.meetergo.com/a-lawyer/30min-meeting"
    hours = api(f"GET /v4/availability/{answer.body['availabilityId']}").body
    assert hours["timezone"] == "Europe/Vienna"
    assert hours["schedule"]["friday"] == {"enabled": True, "hours": [{"start": "09:00", "end": "17:00"}]}
    assert hours["schedule"]["sunday"] == {"enabled": False, "hours": []}
    kind = api(f"GET /v4/meeting-type/{answer.body['meetingTypeId']}").body
    assert (kind["meetingInfo"]["duration"], kind["meetingInfo"]["channel"]) == (30, "phone")


def test_an_availability_without_a_schedule_has_all_days_off(api: Api) -> None:
    answer = api("POST /v4/user", NEW_USER | {"availability": {"name": "Later"}})
    hours = api(f"GET /v4/availability/{answer.body['availabilityId']}").body
    assert (hours["name"], [day["enabled"] for day in hours["schedule"].values()]) == ("Later", [False] * 7)


def test_the_form_of_the_recipe_is_accepted(meetergo: Sandbox, api: Api) -> None:
    availability = {"schedule": [{"dayOfWeek": "monday", "intervals": [{"from": "09:00", "to": "18:00"}]}]}
    first = {"name": "Consultation", "duration": 45, "slug": "new-consultation"}
    answer = api("POST /v4/user", NEW_USER | {"availability": availability, "meetingType": first})
    hours = api(f"GET /v4/availability/{answer.body['availabilityId']}").body["schedule"]
    assert hours["monday"] == {"enabled": True, "hours": [{"start": "09:00", "end": "18:00"}]}
    assert not hours["tuesday"]["enabled"]
    assert answer.body["bookingUrl"].endswith("/new-consultation")


def test_the_form_of_the_reference_is_accepted_too(meetergo: Sandbox, http: PoolManager) -> None:
    headers = {"authorization": f"Bearer {meetergo.key}"}
    fields = NEW_USER | {"meetingType": '{"name": "Consultation", "duration": 45}'}
    answer = http.request("POST", meetergo.url + "/v4/user", fields=fields, headers=headers)
    assert answer.status == 201
    assert answer.json()["bookingUrl"].endswith("/consultation")


def test_missing_and_malformed_fields_are_listed(api: Api) -> None:
    answer = api("POST /v4/user", {"email": "nobody", "givenName": "A", "timezone": "Mars/Olympus"})
    assert answer.body == {
        "statusCode": 400,
        "message": [
            "email must be an email",
            "familyName should not be empty",
            "timezone must be a valid IANA time zone",
        ],
        "error": "Bad Request",
    }


@pytest.mark.parametrize(
    ("body", "kind"), [(b"[]", "application/json"), (b"{", "application/json"), (b"{}", "text/plain")]
)
def test_a_body_that_is_no_json_object_is_rejected(
    meetergo: Sandbox, http: PoolManager, body: bytes, kind: str
) -> None:
    headers = {"authorization": f"Bearer {meetergo.key}", "content-type": kind}
    answer = http.request("POST", meetergo.url + "/v4/user", body=body, headers=headers)
    assert (answer.status, answer.json()["message"][:22]) == (400, "Expected a JSON object")


@pytest.mark.parametrize(
    "schedule",
    [
        {"funday": {}},
        {"monday": {"enabled": True}},
        {"monday": {"enabled": True, "hours": [{"start": "9", "end": "17:00"}]}},
        {"monday": {"enabled": True, "hours": [{"start": "17:00", "end": "09:00"}]}},
        [{"dayOfWeek": "monday"}],
        "always",
    ],
)
def test_a_malformed_schedule_creates_no_user(meetergo: Sandbox, api: Api, schedule: object) -> None:
    answer = api("POST /v4/user", NEW_USER | {"availability": {"schedule": schedule}})
    assert answer.status == 400
    assert answer.body["message"][0].startswith("availability.schedule must")
    assert len(meetergo.users) == 1


def test_an_email_is_unique_in_any_case(api: Api) -> None:
    assert api("POST /v4/user", NEW_USER).status == 201
    assert api("POST /v4/user", NEW_USER | {"email": "New@Example.com"}).status == 409


def test_a_full_plan_is_a_plan_limit(start: Callable[..., Sandbox], http: PoolManager) -> None:
    answer = Api(start(plan=Plan(users=1)), http)("POST /v4/user", NEW_USER)
    assert answer.status == 403
    assert (answer.body["code"], answer.body["feature"]) == ("PLAN_LIMIT_REACHED", "users")


def test_the_list_uses_limit_and_offset(meetergo: Sandbox, api: Api) -> None:
    for number in range(22):
        add_host(meetergo, f"host-{number}@example.com")
    page = api("GET /v4/user").body
    assert (len(page["users"]), page["total"], page["limit"], page["offset"]) == (20, 23, 20, 0)
    rest = api("GET /v4/user", limit=100, offset=20).body["users"]
    assert [user["email"] for user in rest] == [f"host-{number}@example.com" for number in (19, 20, 21)]
    assert len(api("GET /v4/user", type="standard").body["users"]) == 1
    assert len({user["slug"] for user in page["users"] + rest}) == 23


@pytest.mark.parametrize("query", [{"limit": 101}, {"limit": 0}, {"offset": -1}])
def test_the_bounds_of_the_list_are_enforced(api: Api, query: dict[str, int]) -> None:
    answer = api("GET /v4/user", **query)
    assert (answer.status, answer.body["message"]) == (400, "Validation failed")
    assert answer.body["errors"][0]["field"] == next(iter(query))


def test_name_and_slug_can_be_changed_but_not_the_email(meetergo: Sandbox, api: Api, host: Host) -> None:
    answer = api(f"PATCH /v4/user/{host.id}", {"slug": "the-best-host", "email": "other@example.com"})
    assert (answer.status, answer.body["slug"], answer.body["email"]) == (200, "the-best-host", "host@example.com")
    assert api(f"PATCH /v4/user/{host.id}", {"email": "other@example.com"}).status == 400
    assert api(f"PATCH /v4/user/{host.id}", {"slug": "four"}).status == 400
    assert api(f"PATCH /v4/user/{host.id}", {"slug": "the-owner"}).status == 409


def test_a_malformed_id_is_a_500_and_an_unknown_one_a_404(api: Api) -> None:
    assert api("PATCH /v4/user/%22abc%22", {"givenName": "A"}).status == 500
    assert api("PATCH /v4/user/0b9a3a5e-0000-4000-8000-000000000000", {"givenName": "A"}).status == 404


def test_a_new_user_sends_a_webhook(meetergo: Sandbox, registered_endpoint: Endpoint, api: Api) -> None:
    user_id = api("POST /v4/user", NEW_USER).body["userId"]
    meetergo.drain()
    assert registered_endpoint.last == {
        "webhookType": "new_employee",
        "id": user_id,
        "email": "new@example.com",
        "givenName": "A",
        "familyName": "Lawyer",
        "companyId": meetergo.company.id,
        "userType": "API_PLATFORM",
    }


def test_hours_are_replaced_as_a_whole(api: Api, host: Host) -> None:
    tuesday = {"tuesday": {"enabled": True, "hours": [{"start": "10:00", "end": "12:00"}]}}
    answer = api(f"PATCH /v4/availability/{host.availability}", {"schedule": tuesday}, user=host.id)
    assert [day for day, plan in answer.body["schedule"].items() if plan["enabled"]] == ["tuesday"]
    assert set(answer.body) == {"id", "name", "timezone", "schedule"}


def test_hours_of_others_cannot_be_read(meetergo: Sandbox, api: Api, host: Host) -> None:
    other = add_host(meetergo, "other@example.com")
    assert api(f"GET /v4/availability/{other.availability}", user=host.id).status == 403
