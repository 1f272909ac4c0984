"""Meeting types and templates: what their validator drops and requires."""

from typing import Any

import pytest

from devtools.sandbox.server import Sandbox
from tests.devtools.sandbox.conftest import Api, Host, add_host

INFO = {"name": "First Talk", "description": "", "duration": 15, "channel": "phone"}


def test_a_new_one_belongs_to_the_acting_user_and_its_slug_follows_from_the_name(
    meetergo: Sandbox, api: Api, host: Host
) -> None:
    wanted = {"meetingInfo": INFO | {"customChannelName": "x"}, "slug": "mine", "userId": meetergo.company.admin_id}
    answer = api("POST /v4/meeting-type", wanted | {"metadata": {"lawyer": "4711"}}, user=host.id)
    assert answer.status == 201
    assert (answer.body["slug"], answer.body["userId"]) == ("first-talk", host.id)
    assert answer.body["metadata"] == {"lawyer": "4711"}
    assert "customChannelName" not in answer.body["meetingInfo"]
    assert answer.body["meetingInfo"]["channel"] == "phone"


@pytest.mark.parametrize(
    ("info", "message"),
    [
        ({"name": "A", "duration": 30, "channel": "phone"}, "meetingInfo.description should not be empty"),
        ({"name": "A", "duration": 30, "description": ""}, "meetingInfo.channel should not be empty"),
        (INFO | {"duration": 4}, "meetingInfo.duration should be greater than or equal to 5"),
        (INFO | {"duration": 481}, "meetingInfo.duration should be less than or equal to 480"),
        (INFO | {"duration": "30"}, "meetingInfo.duration should be a valid integer"),
        (INFO | {"bufferAfter": 121}, "meetingInfo.bufferAfter should be less than or equal to 120"),
    ],
)
def test_an_invalid_body_is_rejected(api: Api, host: Host, info: dict[str, Any], message: str) -> None:
    answer = api("POST /v4/meeting-type", {"meetingInfo": info}, user=host.id)
    assert (answer.status, answer.body["message"]) == (400, [message])


@pytest.mark.parametrize("metadata", [{str(number): 1 for number in range(21)}, {"ticket": "x" * 501}])
def test_metadata_beyond_the_limits_is_rejected(api: Api, host: Host, metadata: dict[str, Any]) -> None:
    answer = api("POST /v4/meeting-type", {"meetingInfo": INFO, "metadata": metadata}, user=host.id)
    assert answer.status == 400
    assert "must have at most 20 keys, and texts of at most 500 characters" in answer.body["message"][0]


def test_a_disabled_one_offers_nothing_and_cannot_be_booked(api: Api, host: Host) -> None:
    query = {"meetingTypeId": host.meeting_type, "hostIds": host.id, "start": "2026-03-02", "end": "2026-03-13"}
    assert api("GET /v4/booking-availability", user=None, **query).body["dates"]
    api(f"PATCH /v4/meeting-type/{host.meeting_type}", {"enabled": False}, user=host.id)
    assert api("GET /v4/booking-availability", user=None, **query).body["dates"] == []


def test_colour_and_buffers_within_hours_are_kept(api: Api, host: Host) -> None:
    info = {"color": "#fff", "showAvailableSlots": True, "bufferMustStayWithinWorkingHours": True}
    answer = api("POST /v4/meeting-type", {"meetingInfo": INFO | info}, user=host.id)
    assert answer.body["meetingInfo"].items() >= info.items()


def test_the_flat_form_of_the_recipe_is_rejected(api: Api, host: Host) -> None:
    answer = api("POST /v4/meeting-type", {"name": "First Talk", "duration": 15}, user=host.id)
    assert answer.body["message"] == ["meetingInfo should not be empty"]


def test_an_unknown_channel_is_rejected(api: Api, host: Host) -> None:
    assert api("POST /v4/meeting-type", {"meetingInfo": INFO | {"channel": "google_meet"}}, user=host.id).status == 400


def test_the_list_is_a_bare_array_of_the_acting_users_own(meetergo: Sandbox, api: Api, host: Host) -> None:
    add_host(meetergo, "other@example.com")
    kinds = api("GET /v4/meeting-type", user=host.id).body
    assert [kind["id"] for kind in kinds] == [host.meeting_type]


def test_an_update_changes_only_the_given_fields(api: Api, host: Host) -> None:
    before = api(f"GET /v4/meeting-type/{host.meeting_type}").body
    wanted = {"meetingInfo": {"duration": 45}, "slug": "long", "spots": 3, "duration": 99, "bufferTimeBefore": 15}
    after = api(f"PATCH /v4/meeting-type/{host.meeting_type}", wanted, user=host.id).body
    assert after["meetingInfo"] == before["meetingInfo"] | {"duration": 45}
    changed = {name for name in after if after[name] != before[name]}
    assert changed == {"meetingInfo", "slug", "spots", "updatedAt"}


def test_slugs_are_unique_per_host(api: Api, host: Host) -> None:
    first, second = (api("POST /v4/meeting-type", {"meetingInfo": INFO}, user=host.id).body for _ in range(2))
    assert (first["slug"], second["slug"]) == ("first-talk", "first-talk-2")
    assert api(f"PATCH /v4/meeting-type/{second['id']}", {"slug": "first-talk"}).status == 409
    assert api(f"PATCH /v4/meeting-type/{second['id']}", {"slug": "first-talk-2"}).status == 200


def test_other_users_cannot_change_it(meetergo: Sandbox, api: Api, host: Host) -> None:
    other = add_host(meetergo, "other@example.com")
    assert api(f"PATCH /v4/meeting-type/{host.meeting_type}", {"spots": 2}, user=other.id).status == 403
    assert api(f"DELETE /v4/meeting-type/{host.meeting_type}", user=other.id).status == 403


def test_a_meeting_type_can_be_deleted_with_an_empty_response(api: Api, host: Host) -> None:
    answer = api(f"DELETE /v4/meeting-type/{host.meeting_type}", user=host.id)
    assert (answer.status, answer.content) == (204, b"")
    assert api(f"GET /v4/meeting-type/{host.meeting_type}", user=host.id).status == 404


def test_an_assigned_template_becomes_a_meeting_type_each_time(meetergo: Sandbox, api: Api, host: Host) -> None:
    wanted = {"meetingInfo": INFO, "meetingOptions": {"doubleOptIn": True}, "spots": 2}
    template = api("POST /v4/meeting-type-template/create", wanted)
    assert template.status == 201
    for _ in range(2):
        answer = api(f"POST /v4/meeting-type-template/assign/{template.body['id']}", {"userId": host.id})
        assert (answer.status, answer.content) == (201, b"")
    kinds = api("GET /v4/meeting-type", user=host.id).body[1:]
    assert [kind["slug"] for kind in kinds] == ["first-talk", "first-talk-2"]
    assert all(kind["spots"] == 2 and kind["meetingOptions"] == {"doubleOptIn": True} for kind in kinds)


def test_a_template_can_be_changed_by_administrators_only(api: Api, host: Host) -> None:
    template = api("POST /v4/meeting-type-template/create", {"meetingInfo": INFO}).body
    path = f"/v4/meeting-type-template/{template['id']}"
    assert api(f"PATCH {path}", {"lockedFields": ["duration"]}).body["lockedFields"] == ["duration"]
    assert api(f"PATCH {path}", {"lockedFields": []}, user=host.id).status == 403


def test_a_template_without_users_or_for_unknown_users_is_rejected(api: Api) -> None:
    template = api("POST /v4/meeting-type-template/create", {"meetingInfo": INFO}).body
    path = f"/v4/meeting-type-template/assign/{template['id']}"
    assert api(f"POST {path}", {}).status == 400
    assert api(f"POST {path}", {"userId": "0b9a3a5e-0000-4000-8000-000000000000"}).status == 404


def test_a_personal_page_is_changed_by_its_user(api: Api, host: Host) -> None:
    wanted = {"useCustomColors": True, "primaryColor": "#0066cc", "headerTitle": "dropped"}
    page = api("PATCH /v4/personal-page/me", wanted, user=host.id).body
    assert (page["primaryColor"], page["showAllMeetingTypes"]) == ("#0066cc", True)
    assert "headerTitle" not in page
    assert api(f"GET /v4/personal-page/{host.id}").body == page
    assert api(f"GET /v4/personal-page/{host.id}", user=host.id).status == 403
    assert api("PATCH /v4/personal-page", wanted, user=host.id).status == 404
