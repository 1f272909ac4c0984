"""Answers of meetergo with an odd field cost no more than that field, and never end in another error than ours."""

import json
from datetime import date
from typing import Any

import pytest

from meetergo.api import Meetergo
from meetergo.api.errors import ApiError, BadResponse
from tests.meetergo.api.fake_api import FakeApi, FakeResponse, recorded

DAY = (date(2026, 10, 20), date(2026, 10, 21))
ODD: list[Any] = [True, 0, -1, 1.5, 10**30, "", " ", "x" * 300, [], {}, ["x"], {"a": 1}, "1705309200000", None]


@pytest.mark.parametrize("name", ["companyId", "createdAt", "description", "eventTypes", "odd"])
def test_a_webhook_with_an_odd_field_is_listed(name: str, fake_api: FakeApi, client: Meetergo) -> None:
    """One of them is perhaps ours, and nothing can be registered as long as the list cannot be read."""
    for value in ODD:
        fake_api.respond_with([{"id": 7, "endpoint": "https://x.example", name: value}])
        assert [(hook.id, hook.endpoint) for hook in client.webhooks.list()] == [("7", "https://x.example")], value


@pytest.mark.parametrize(
    "name", ["userId", "queueId", "slug", "enabled", "spots", "bookingUrl", "metadata", "name", "duration"]
)
def test_a_meeting_type_with_an_odd_field_is_listed(name: str, fake_api: FakeApi, client: Meetergo) -> None:
    for value in ODD:
        fake_api.respond_with([{**recorded("meeting_type"), name: value}])
        assert [item.name for item in client.meeting_types.list()] == ["Discovery Call"], value
        fake_api.respond_with(
            [{**recorded("meeting_type"), "meetingInfo": {"name": "Call", "channel": [], name: value}}]
        )
        assert [item.id for item in client.meeting_types.list()] == ["mt-uuid-456"], value


def test_the_user_of_the_key_may_have_an_odd_company(fake_api: FakeApi, client: Meetergo) -> None:
    for value in ODD:
        fake_api.respond_with({**recorded("user_me"), "companyId": value})
        assert client.users.me().id == recorded("user_me")["id"], value


def test_what_was_created_is_known_by_its_id_alone(fake_api: FakeApi, client: Meetergo) -> None:
    for value in [[], {}, True]:
        fake_api.respond_with(FakeResponse(201, {"userId": "u-1", "meetingTypeId": value, "companyId": value}))
        user = client.users.create("host@example.com", "The", "Host", "Europe/Berlin")
        assert (user.id, user.meeting_type_id, user.company_id) == ("u-1", None, None)


@pytest.mark.parametrize("odd", [{"schedule": "always"}, {"schedule": True}])
def test_an_unreadable_schedule_is_not_a_closed_week(odd: Any, fake_api: FakeApi, client: Meetergo) -> None:
    fake_api.respond_with({**recorded("availability"), **odd})
    with pytest.raises(BadResponse):
        client.availability.get("avail-1")


def test_a_change_sends_no_description_back_that_could_not_be_read(fake_api: FakeApi, client: Meetergo) -> None:
    fake_api.respond_with({**recorded("meeting_type"), "meetingInfo": []})
    with pytest.raises(BadResponse):
        client.meeting_types.update("mt-uuid-456", duration=45)
    assert fake_api.lines == ["GET /v4/meeting-type/mt-uuid-456"]


@pytest.mark.parametrize("spots", [True, 1.5, "x", {"a": 1}, [None]])
def test_odd_spots_are_a_malformed_list_of_slots(spots: Any, fake_api: FakeApi, client: Meetergo) -> None:
    fake_api.respond_with({"dates": [{"date": "2026-10-20", "spots": spots}]})
    with pytest.raises(BadResponse, match="a spot has no time"):
        client.availability.slots("mt-1", *DAY, queue_id="q-1")


@pytest.mark.parametrize("text", ["a\x00b", "half \ud800", "\udfff"])
def test_no_answer_has_characters_that_cannot_be_stored_printed_or_sent(
    text: str, fake_api: FakeApi, client: Meetergo
) -> None:
    fake_api.respond_with([{"id": text, "endpoint": text, "eventTypes": [text], text: {"x": [text]}}])
    (hook,) = client.webhooks.list()
    for value in (hook.id, hook.endpoint, *hook.event_types, json.dumps(hook.raw, ensure_ascii=False)):
        assert "\x00" not in value.encode().decode()
    fake_api.respond_with(FakeResponse(400, {"message": text, "errorCode": text}))
    with pytest.raises(ApiError) as failed:
        client.webhooks.list()
    assert "\x00" not in str(failed.value).encode().decode()


@pytest.mark.parametrize("body", [[], [1], "text", 5, None])
def test_an_answer_that_is_no_object_is_called_so(body: Any, fake_api: FakeApi, client: Meetergo) -> None:
    fake_api.respond_with(body)
    with pytest.raises(BadResponse, match=r"cannot be read: it is not an object$"):
        client.users.me()
