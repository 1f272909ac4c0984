"""Webhook registrations at the host's root, at most six, and their deliveries."""

import json
from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest
from urllib3 import PoolManager

from devtools.sandbox.faults.plan import FaultPlan
from devtools.sandbox.server import Sandbox
from meetergo import events
from tests.devtools.sandbox.conftest import MONDAY, Api, Endpoint, Host, add_host, at, register

WANTED = {"endpoint": "https://platform.example/hook/secret", "eventTypes": ["booking_created"]}


def test_a_webhook_has_an_integer_id_and_belongs_to_the_company(meetergo: Sandbox, api: Api, host: Host) -> None:
    answer = api("POST /webhooks", WANTED | {"description": "ours"}, user=host.id)
    assert answer.status == 201
    assert answer.body == WANTED | {
        "id": 1500,
        "description": "ours",
        "companyId": meetergo.company.id,
        "createdAt": "2026-03-02T07:00:00.000Z",
    }
    assert api("GET /webhooks").body == [answer.body]


def test_webhooks_are_not_under_v4(api: Api) -> None:
    assert api("GET /v4/webhooks").status == 404


def test_a_duplicate_endpoint_takes_another_of_the_six_slots(api: Api) -> None:
    answers = [api("POST /webhooks", WANTED) for _ in range(7)]
    assert [answer.status for answer in answers] == [201] * 6 + [406]
    assert answers[6].body["error"] == "Not Acceptable"
    assert len({answer.body["id"] for answer in answers[:6]}) == 6


def test_a_removed_webhook_frees_its_slot_and_its_id_is_not_reused(api: Api) -> None:
    for _ in range(6):
        last = api("POST /webhooks", WANTED).body["id"]
    answer = api(f"DELETE /webhooks/{last}")
    assert (answer.status, answer.content) == (204, b"")
    assert api(f"DELETE /webhooks/{last}").status == 404
    assert api("POST /webhooks", WANTED).body["id"] == last + 1


def test_an_update_replaces_the_list_of_events(api: Api) -> None:
    webhook = api("POST /webhooks", WANTED).body
    answer = api(f"PATCH /webhooks/{webhook['id']}", {"eventTypes": ["booking_cancelled", "booking_cancelled"]})
    assert answer.body == webhook | {"eventTypes": ["booking_cancelled"]}
    assert api("PATCH /webhooks/1", {"description": "x"}).status == 404
    assert api("PATCH /webhooks/uuid", {"description": "x"}).status == 400


@pytest.mark.parametrize(
    "wanted",
    [
        {"eventTypes": ["booking_created"]},
        {"endpoint": WANTED["endpoint"]},
        WANTED | {"eventTypes": []},
        WANTED | {"eventTypes": ["booking_moved"]},
        WANTED | {"endpoint": "platform.example/hook"},
        WANTED | {"endpoint": "ftp://platform.example/hook"},
    ],
)
def test_an_invalid_body_is_rejected(api: Api, wanted: dict[str, Any]) -> None:
    assert api("POST /webhooks", wanted).status == 400
    assert api("GET /webhooks").body == []


def test_each_webhook_receives_only_its_events(meetergo: Sandbox, api: Api, host: Host, endpoint: Endpoint) -> None:
    for events_wanted in (["booking_created"], ["booking_cancelled", "booking_created"], ["new_employee"]):
        api("POST /webhooks", {"endpoint": endpoint.url, "eventTypes": events_wanted})
    booked = meetergo.actions.book(host.meeting_type, at(9), "guest@example.com")
    meetergo.actions.cancel(booked["appointmentId"])
    meetergo.drain()
    assert sorted(endpoint.events) == ["booking_cancelled", "booking_created", "booking_created"]


def story(meetergo: Sandbox, host: Host) -> str:
    """Create, move and cancel a booking."""
    booking_id = str(meetergo.actions.book(host.meeting_type, at(9), "guest@example.com")["appointmentId"])
    meetergo.actions.reschedule(booking_id, at(11))
    meetergo.actions.cancel(booking_id, "ill")
    meetergo.drain()
    return booking_id


def test_the_bodies_are_those_of_the_events_page(meetergo: Sandbox, host: Host, registered_endpoint: Endpoint) -> None:
    booking_id = story(meetergo, host)
    created, rescheduled, cancelled = map(json.loads, registered_endpoint.received)
    assert created["webhookType"] == "booking_created"
    assert created["hosts"][0]["email"] == "host@example.com"
    assert created["meetingType"]["meetingInfo"] == {"name": "30min Meeting", "duration": 30}
    assert rescheduled["oldStartDate"] == created["start"] == "2026-03-02T09:00:00+01:00"
    assert "id" not in rescheduled
    assert rescheduled["rescheduledAppointment"]["id"] == created["id"] == cancelled["id"] == booking_id
    stamp = {"cancelledAt": cancelled["updatedAt"], "cancelledBy": "attendee", "reason": "ill"}
    assert (cancelled["isCancelled"], cancelled["cancel"]) == (True, stamp)


@pytest.mark.parametrize("wire", ["new", "old"])
def test_our_own_parser_reads_the_payloads(
    start: Callable[..., Sandbox], http: PoolManager, endpoint: Endpoint, wire: Any
) -> None:
    meetergo = start(FaultPlan(wire=wire))
    register(Api(meetergo, http), endpoint)
    booking_id = story(meetergo, add_host(meetergo))
    assert all(("event" in json.loads(body)) == (wire == "old") for body in endpoint.received)
    read = [events.read(body, MONDAY) for body in endpoint.received]
    assert sum(isinstance(event, events.EmployeeEvent) for event in read) == 1
    bookings = [event for event in read if isinstance(event, events.BookingEvent)]
    assert [event.booking_id for event in bookings] == [booking_id] * 3
    assert sorted(event.version for event in bookings) == [event.version for event in bookings]
    assert [datetime.fromisoformat(event.facts["starts_at"]) for event in bookings] == [at(9), at(11), at(11)]
    assert bookings[-1].facts["status"] == "cancelled"


def test_a_guest_who_leaves_sends_booking_cancelled_and_cancels_nothing(
    meetergo: Sandbox, api: Api, host: Host, registered_endpoint: Endpoint
) -> None:
    api(f"PATCH /v4/meeting-type/{host.meeting_type}", {"spots": 3})
    for name in ("first", "second"):
        booked = meetergo.actions.book(host.meeting_type, at(9), f"{name}@example.com")["appointmentId"]
    meetergo.actions.leave(booked, meetergo.appointments[booked]["attendeeIds"][0])
    meetergo.drain()
    left = registered_endpoint.last
    assert (left["webhookType"], left["isCancelled"]) == ("booking_cancelled", False)
    assert left["cancel"] == {"actionAt": None, "reason": None}
    assert [guest["email"] for guest in left["attendees"]] == ["second@example.com"]


def test_a_revival_sends_no_webhook(meetergo: Sandbox, host: Host, registered_endpoint: Endpoint) -> None:
    booking_id = story(meetergo, host)
    before = meetergo.appointments[booking_id]["updatedAt"]
    meetergo.actions.revive(booking_id)
    meetergo.drain()
    assert len(registered_endpoint.received) == 3
    assert not meetergo.appointments[booking_id]["isCancelled"]
    assert meetergo.appointments[booking_id]["updatedAt"] > before
