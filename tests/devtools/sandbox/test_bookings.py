"""Slots and bookings: free slots, appointments, and pending bookings."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import Any

import pytest
from urllib3 import PoolManager

from devtools.sandbox.server import Sandbox
from tests.devtools.sandbox.conftest import GUEST, MONDAY, Api, Endpoint, Host, ManualClock, add_host, at, booking


def offer(api: Api, host: Host, **query: Any) -> dict[str, Any]:
    usual = {"meetingTypeId": host.meeting_type, "hostIds": host.id, "start": "2026-03-02", "end": "2026-03-03"}
    body: dict[str, Any] = api("GET /v4/booking-availability", user=None, **usual | query).body
    return body


def starts(offered: dict[str, Any]) -> list[str]:
    return [spot["startTime"] for day in offered["dates"] for spot in day["spots"]]


def test_free_slots_are_in_the_hosts_hours_and_time_zone(api: Api, host: Host) -> None:
    offered = offer(api, host)
    assert offered["timezone"] == "Europe/Berlin"
    assert starts(offered)[0] == "2026-03-02T09:00:00.000+01:00"
    assert starts(offered)[-1] == "2026-03-02T16:30:00.000+01:00"
    assert len(starts(offered)) == 16
    assert offered["earliestAvailableDate"] == "2026-03-02"


def test_an_end_given_as_a_day_is_exclusive(api: Api, host: Host) -> None:
    assert starts(offer(api, host, end="2026-03-02")) == []
    assert len(offer(api, host, end="2026-03-09")["dates"]) == 5


def test_hours_stay_across_daylight_saving_changes(api: Api, host: Host) -> None:
    offered = starts(offer(api, host, start="2026-03-27", end="2026-03-31"))
    assert [text for text in offered if "T09:00" in text] == [
        "2026-03-27T09:00:00.000+01:00",
        "2026-03-30T09:00:00.000+02:00",
    ]


def test_times_with_offsets_are_accepted(api: Api, host: Host) -> None:
    query = {"start": "2026-03-02T10:00:00Z", "end": "2026-03-02T11:00:00Z", "timezone": "Asia/Tokyo"}
    assert starts(offer(api, host, **query)) == ["2026-03-02T19:00:00.000+09:00", "2026-03-02T19:30:00.000+09:00"]


def test_without_hosts_or_queue_nothing_is_offered_or_booked(api: Api, host: Host) -> None:
    answer = api("GET /v4/booking-availability", meetingTypeId=host.meeting_type, start="2026-03-02", end="2026-03-03")
    assert (answer.status, answer.body["message"]) == (400, "Expected hostIds or queueId")
    assert api("POST /v4/booking", booking(host, at(9), hostIds=[])).body["message"] == "Expected hostIds or queueId"


def test_a_booking_becomes_an_appointment_and_takes_its_slot(meetergo: Sandbox, api: Api, host: Host) -> None:
    answer = api("POST /v4/booking", booking(host, at(9)), user=None)
    assert answer.status == 201
    assert set(answer.body) == {"appointmentId", "secret"}
    assert meetergo.appointments[answer.body["appointmentId"]]["start"] == "2026-03-02T09:00:00+01:00"
    assert "2026-03-02T09:00:00.000+01:00" not in starts(offer(api, host))
    assert len(starts(offer(api, host, existingAppointmentId=answer.body["appointmentId"]))) == 16


@pytest.mark.parametrize(("hour", "day"), [(9, 0), (9.25, 0), (8.5, 0), (16.75, 0), (9, 5), (9, -3), (9, 70)])
def test_a_slot_that_is_not_free_is_slot_occupied(
    meetergo: Sandbox, api: Api, host: Host, hour: float, day: int
) -> None:
    assert api("POST /v4/booking", booking(host, at(9))).status == 201
    answer = api("POST /v4/booking", booking(host, at(hour, day)))
    assert answer.status == 400
    assert (answer.body["errorCode"], answer.body["message"]) == ("slot-occupied", "slot-occupied")
    assert len(meetergo.appointments) == 1


def test_availability_can_be_ignored(meetergo: Sandbox, api: Api, host: Host) -> None:
    assert api("POST /v4/booking", booking(host, at(20), ignoreAvailability=True)).status == 201


def test_buffers_keep_meetings_apart(api: Api, host: Host) -> None:
    api(f"PATCH /v4/meeting-type/{host.meeting_type}", {"meetingInfo": {"bufferAfter": 30}})
    assert api("POST /v4/booking", booking(host, at(9))).status == 201
    assert api("POST /v4/booking", booking(host, at(9.5))).status == 400
    assert api("POST /v4/booking", booking(host, at(10))).status == 201
    assert api("POST /v4/booking", booking(host, at(12))).status == 201
    assert api("POST /v4/booking", booking(host, at(11.5))).status == 400


def test_the_minimum_notice_is_enforced(api: Api, host: Host) -> None:
    api(f"PATCH /v4/meeting-type/{host.meeting_type}", {"bookingMinimum": 120})
    assert starts(offer(api, host))[0] == "2026-03-02T10:00:00.000+01:00"


@pytest.mark.parametrize(
    ("guest", "message"),
    [
        ({"notes": None}, "attendee.notes should be a valid dictionary"),
        ({"receiveReminders": "yes"}, "attendee.receiveReminders should be a valid boolean"),
        ({"email": "nobody"}, "attendee.email must be an email"),
        ({"email": None}, "body attendee.email must be an email"),
        ({"bringalongEmails": ["a@example.com"] * 6}, "attendee.bringalongEmails list should have at most 5"),
    ],
)
def test_an_invalid_guest_is_rejected(api: Api, host: Host, guest: dict[str, Any], message: str) -> None:
    answer = api("POST /v4/booking", booking(host, at(9), attendee=GUEST | guest))
    assert answer.status == 400
    assert answer.body["message"][0].startswith(message)


def test_a_time_without_an_offset_is_rejected(api: Api, host: Host) -> None:
    assert api("POST /v4/booking", booking(host, at(9)) | {"start": "2026-03-02T09:00:00"}).status == 400


def test_a_phone_is_enough_for_a_phone_only_booking(meetergo: Sandbox, api: Api, host: Host) -> None:
    guest = {"phone": "+49 30 0", "receiveReminders": False, "notes": {}}
    answer = api("POST /v4/booking", booking(host, at(9), attendee=guest, phoneOnlyBooking=True))
    assert answer.status == 201
    assert "email" not in meetergo.appointments[answer.body["appointmentId"]]["attendees"][0]


def test_guests_of_a_group_meeting_share_one_appointment_until_it_is_full(
    meetergo: Sandbox, api: Api, host: Host, registered_endpoint: Endpoint
) -> None:
    api(f"PATCH /v4/meeting-type/{host.meeting_type}", {"spots": 2})
    answers = [
        api("POST /v4/booking", booking(host, at(9), attendee=GUEST | {"email": f"{n}@example.com"})) for n in "abc"
    ]
    assert [answer.status for answer in answers] == [201, 201, 400]
    assert answers[0].body == answers[1].body
    spot = offer(api, host)["dates"][0]["spots"][0]
    assert spot["appointment"] == {"id": answers[0].body["appointmentId"], "totalSpots": 2, "takenSpots": 2}
    meetergo.drain()
    assert registered_endpoint.events == ["booking_created", "booking_created"]
    assert [guest["email"] for guest in registered_endpoint.last["attendees"]] == ["a@example.com", "b@example.com"]


@pytest.mark.parametrize("option", ["doubleOptIn", "requireHostConfirmation"])
def test_a_provisional_booking_sends_a_webhook_only_when_confirmed(
    meetergo: Sandbox, api: Api, host: Host, registered_endpoint: Endpoint, option: str
) -> None:
    api(f"PATCH /v4/meeting-type/{host.meeting_type}", {"meetingOptions": {option: True}})
    answer = api("POST /v4/booking", booking(host, at(9)))
    assert answer.status == 201
    assert answer.body["bookingType"] == option
    meetergo.drain()
    assert (meetergo.appointments, registered_endpoint.received) == ({}, [])
    waiting = api("GET /v4/provisional-booking/paginated", page=0, pageSize=10, companyWide="true").body
    assert [item["id"] for item in waiting["provisionalBookings"]] == [answer.body["provisionalBookingId"]]

    booked = meetergo.actions.confirm(answer.body["provisionalBookingId"])
    meetergo.drain()
    assert registered_endpoint.last["id"] == booked["appointmentId"]


def test_a_pending_booking_expires(meetergo: Sandbox, api: Api, host: Host, clock: ManualClock) -> None:
    api(f"PATCH /v4/meeting-type/{host.meeting_type}", {"meetingOptions": {"requireHostConfirmation": True}})
    api("POST /v4/booking", booking(host, at(9, day=2)))
    clock.advance(hours=24)
    route = "GET /v4/provisional-booking/paginated"
    assert api(route, user=host.id, page=0, pageSize=10, status="expired").body["total"] == 1
    assert api(route, user=host.id, page=0, pageSize=10, status="pending").body["total"] == 0
    assert api(route, user=host.id, page=0, pageSize=10, companyWide="true").status == 403


def test_a_host_of_another_company_cannot_be_booked(meetergo: Sandbox, api: Api, host: Host) -> None:
    assert api("POST /v4/booking", booking(host, at(9), hostIds=["stranger"])).status == 404


def test_both_hosts_have_to_be_free(meetergo: Sandbox, api: Api, host: Host) -> None:
    other = add_host(meetergo, "other@example.com")
    assert api("POST /v4/booking", booking(other, at(9))).status == 201
    assert api("POST /v4/booking", booking(host, at(9), hostIds=[host.id, other.id])).status == 400
    both = booking(host, at(10), hostIds=[host.id, other.id])
    assert api("POST /v4/booking", both).status == 201
    assert api("POST /v4/booking", booking(other, at(10))).status == 400


def test_of_many_concurrent_bookings_of_a_slot_one_succeeds(start: Callable[..., Sandbox], http: PoolManager) -> None:
    def dawdling_clock() -> datetime:
        time.sleep(0.002)  # between the check of the calendar and the entry in it
        return MONDAY

    meetergo = start(now=dawdling_clock)
    host = add_host(meetergo)

    def wanted(_: int) -> int:
        return Api(meetergo, http)("POST /v4/booking", booking(host, at(9))).status

    with ThreadPoolExecutor(8) as pool:
        assert sorted(pool.map(wanted, range(16))) == [201] + [400] * 15
    assert len(meetergo.appointments) == 1
