"""Appointments: read, listed in pages, moved and cancelled."""

from datetime import datetime
from typing import Any

import pytest

from devtools.sandbox.server import Sandbox
from tests.devtools.sandbox.conftest import Api, Host, ManualClock, add_host, at, booking


@pytest.fixture
def booked(meetergo: Sandbox, host: Host) -> str:
    return str(meetergo.actions.book(host.meeting_type, at(9), "guest@example.com")["appointmentId"])


@pytest.fixture
def group(meetergo: Sandbox, api: Api, host: Host) -> dict[str, Any]:
    api(f"PATCH /v4/meeting-type/{host.meeting_type}", {"spots": 3})
    for name in ("first", "second"):
        booked = meetergo.actions.book(host.meeting_type, at(9), f"{name}@example.com")
    return meetergo.appointments[booked["appointmentId"]]


def test_an_appointment_is_visible_to_its_host_and_to_administrators(
    meetergo: Sandbox, api: Api, host: Host, booked: str
) -> None:
    other = add_host(meetergo, "other@example.com")
    seen = api(f"GET /v4/appointment/{booked}", user=host.id)
    assert seen.status == 200
    assert seen.body["cancel"] == {"actionSource": None, "actionAt": None, "actionBy": None, "reason": None}
    assert (seen.body["hostIds"], seen.body["isCancelled"]) == ([host.id], False)
    assert api(f"GET /v4/appointment/{booked}").status == 200
    assert api(f"GET /v4/appointment/{booked}", user=other.id).status == 403
    assert api(f"GET /v4/appointment/{host.id}").status == 404


def test_the_old_route_of_the_list_does_not_exist(api: Api) -> None:
    answer = api("GET /v4/appointment", limit=20)
    assert (answer.status, answer.body["message"]) == (404, "Cannot GET /v4/appointment")


def test_a_move_keeps_the_id_and_the_length(api: Api, host: Host, booked: str) -> None:
    answer = api(f"POST /v4/appointment/{booked}/reschedule", {"start": at(11).isoformat()}, user=host.id)
    moved = answer.body["appointment"]
    assert answer.body["previousStart"] == "2026-03-02T09:00:00+01:00"
    assert (moved["id"], moved["start"], moved["end"]) == (
        booked, "2026-03-02T11:00:00+01:00", "2026-03-02T11:30:00+01:00",
    )  # fmt: skip
    assert (moved["rescheduledAt"], moved["rescheduleCount"]) == (moved["updatedAt"], 1)


def test_an_appointment_does_not_conflict_with_itself(api: Api, booked: str) -> None:
    assert api(f"POST /v4/appointment/{booked}/reschedule", {"start": at(9.25).isoformat()}).status == 201


def test_a_move_onto_another_is_slot_occupied_unless_availability_is_ignored(
    meetergo: Sandbox, api: Api, host: Host, booked: str
) -> None:
    meetergo.actions.book(host.meeting_type, at(10), "other@example.com")
    path = f"/v4/appointment/{booked}/reschedule"
    assert api(f"POST {path}", {"start": at(10).isoformat()}).body["errorCode"] == "slot-occupied"
    assert meetergo.appointments[booked]["rescheduleCount"] == 0
    assert api(f"POST {path}", {"start": at(10).isoformat(), "ignoreAvailability": True}).status == 201


def test_a_cancelled_appointment_has_author_and_reason_and_stays(api: Api, host: Host, booked: str) -> None:
    cancelled = api(f"POST /v4/appointment/{booked}/cancel", {"reason": "ill"}, user=host.id).body
    assert cancelled["isCancelled"]
    stamp = {"actionSource": "host", "actionAt": cancelled["updatedAt"], "actionBy": None, "reason": "ill"}
    assert cancelled["cancel"] == stamp
    assert api(f"POST /v4/appointment/{booked}/cancel", {}).status == 400
    assert api(f"POST /v4/appointment/{booked}/reschedule", {"start": at(11).isoformat()}).status == 400
    assert api("POST /v4/booking", booking(host, at(9))).status == 201


def test_a_reason_has_a_maximum_length(api: Api, booked: str) -> None:
    assert api(f"POST /v4/appointment/{booked}/cancel", {"reason": "x" * 501}).status == 400


def test_a_group_cancel_must_name_a_guest_or_all(meetergo: Sandbox, api: Api, group: dict[str, Any]) -> None:
    path = f"/v4/appointment/{group['id']}/cancel"
    assert api(f"POST {path}", {}).status == 400
    assert api(f"POST {path}", {"attendeeId": "stranger"}).status == 404
    left = api(f"POST {path}", {"attendeeId": group["attendeeIds"][0]}).body
    assert (left["isCancelled"], left["cancel"]["actionAt"]) == (False, None)
    assert [guest["email"] for guest in left["attendees"]] == ["second@example.com"]
    assert api(f"POST {path}", {"cancelAll": True}).body["isCancelled"]


def test_when_the_last_guest_leaves_a_group_meeting_is_cancelled(api: Api, group: dict[str, Any]) -> None:
    for attendee_id in list(group["attendeeIds"]):
        left = api(f"POST /v4/appointment/{group['id']}/cancel", {"attendeeId": attendee_id}).body
    assert left["isCancelled"]


def test_each_change_is_later_than_the_previous_even_with_a_fixed_clock(
    meetergo: Sandbox, api: Api, booked: str
) -> None:
    seen = [meetergo.appointments[booked]["updatedAt"]]
    for hour in (10, 11, 12):
        meetergo.actions.reschedule(booked, at(hour))
        seen.append(meetergo.appointments[booked]["updatedAt"])
    assert seen == sorted(set(seen))
    assert meetergo.appointments[booked]["createdAt"] == seen[0]


def page(api: Api, **query: Any) -> list[str]:
    answer = api("GET /v4/appointment/paginated", **{"page": 0, "pageSize": 100} | query)
    assert answer.status == 200, answer.content
    return [item["attendees"][0]["email"][0] for item in answer.body["appointments"]]


@pytest.fixture
def five(meetergo: Sandbox, host: Host, clock: ManualClock) -> None:
    """Booked in the order e, d, c, b, a; their starts are in the order of their names."""
    for day, name in reversed(list(enumerate("abcde"))):
        meetergo.actions.book(host.meeting_type, at(12, day), f"{name}@example.com", fullname=f"Guest {name.upper()}")
        clock.advance(minutes=1)


@pytest.mark.usefixtures("five")
def test_pages_count_from_zero_and_know_the_total(api: Api, host: Host) -> None:
    assert [page(api, user=host.id, page=n, pageSize=2) for n in range(4)] == [["a", "b"], ["c", "d"], ["e"], []]
    assert api("GET /v4/appointment/paginated", user=host.id, page=1, pageSize=2).body["total"] == 5


@pytest.mark.usefixtures("five")
@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({"sortDirection": "DESC"}, "edcba"),
        ({"sortBy": "appointment.createdAt"}, "edcba"),
        ({"sortBy": "appointment.createdAt", "sortDirection": "DESC"}, "abcde"),
        ({"start": at(12, 1).isoformat(), "end": at(12, 3).isoformat()}, "bcd"),
        ({"search": "guest C"}, "c"),
        ({"search": "D@EXAMPLE"}, "d"),
        ({"limit": 2}, "abcde"),
    ],
)
def test_a_list_is_filtered_and_sorted(api: Api, host: Host, query: dict[str, str], found: str) -> None:
    assert "".join(page(api, user=host.id, **query)) == found


@pytest.mark.usefixtures("five")
def test_the_list_is_the_acting_users_and_administrators_may_list_others(
    meetergo: Sandbox, api: Api, host: Host
) -> None:
    other = add_host(meetergo, "other@example.com")
    assert page(api) == []
    assert len(page(api, userId=host.id)) == 5
    assert page(api, userId=host.id, meetingTypeId=other.meeting_type) == []
    assert api("GET /v4/appointment/paginated", user=other.id, page=0, pageSize=1, userId=host.id).status == 403


@pytest.mark.parametrize(
    "query",
    [
        {"pageSize": 10},
        {"page": 0},
        {"page": -1, "pageSize": 10},
        {"page": 0, "pageSize": 0},
        {"page": 0, "pageSize": 101},
        {"page": 0, "pageSize": 10, "sortBy": "appointment.updatedAt"},
        {"page": 0, "pageSize": 10, "sortDirection": "asc"},
        {"page": 0, "pageSize": 10, "status": "confirmed"},
        {"page": 0, "pageSize": 10, "start": "2026-03-02"},
    ],
)
def test_an_invalid_query_is_rejected(api: Api, query: dict[str, Any]) -> None:
    answer = api("GET /v4/appointment/paginated", **query)
    assert (answer.status, answer.body["message"]) == (400, "Validation failed")


def test_cancelled_appointments_are_listed_and_deleted_ones_are_not(
    meetergo: Sandbox, api: Api, host: Host, booked: str
) -> None:
    meetergo.actions.cancel(booked)
    assert page(api, user=host.id) == ["g"]
    del meetergo.appointments[booked]
    assert page(api, user=host.id) == []
    assert api(f"GET /v4/appointment/{booked}").status == 404


def test_todays_and_current_appointments(api: Api, host: Host, booked: str, clock: ManualClock) -> None:
    assert [item["id"] for item in api("GET /v4/appointment/today", user=host.id).body] == [booked]
    assert api("GET /v4/appointment/current", user=host.id).body == []
    clock.now = datetime.fromisoformat("2026-03-02T09:15:00+01:00")
    assert [item["id"] for item in api("GET /v4/appointment/current", user=host.id).body] == [booked]


def test_an_appointment_outlives_its_meeting_type(meetergo: Sandbox, api: Api, host: Host, booked: str) -> None:
    api(f"DELETE /v4/meeting-type/{host.meeting_type}", user=host.id)
    assert api(f"POST /v4/appointment/{booked}/reschedule", {"start": at(11).isoformat()}).status == 201
    assert api(f"POST /v4/appointment/{booked}/cancel", {}).status == 201
