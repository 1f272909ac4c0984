"""The page's routes: content, actions and comparison."""

import re
from collections.abc import Callable
from typing import Any

import pytest
from urllib3 import PoolManager

from devtools.sandbox.faults.plan import FaultPlan
from devtools.sandbox.http.rate_limit import RateLimit
from devtools.sandbox.server import Sandbox
from tests.devtools.sandbox.conftest import Api, Endpoint, Host, add_host, at


def view(meetergo: Sandbox, http: PoolManager) -> Any:
    return http.request("GET", meetergo.url + "/sandbox/view").json()


def act(meetergo: Sandbox, http: PoolManager, path: str, **body: Any) -> int:
    return http.request("POST", f"{meetergo.url}/sandbox/{path}", json=body).status


def test_the_page_is_one_file_without_external_resources(meetergo: Sandbox, http: PoolManager) -> None:
    answer = http.request("GET", meetergo.url + "/")
    html = answer.data.decode()
    assert answer.status == 200
    assert "connect-src 'self'" in answer.headers["content-security-policy"]
    assert set(re.findall(r"https?://[^\"'\s<]+", html)) == {meetergo.url}
    assert meetergo.key in html


def test_a_booking_url_is_the_page_with_the_host_preselected(meetergo: Sandbox, host: Host, http: PoolManager) -> None:
    meetergo.company.booking_base = f"{meetergo.url}/book"
    url = f"{meetergo.url}/book/the-host/30min-meeting"
    assert '["the-host", "30min-meeting"]' in http.request("GET", url + "?embed=true").data.decode()
    assert http.request("GET", f"{meetergo.url}/book/nobody-here/30min-meeting").status == 404


def test_guests_book_move_and_cancel_without_faults(
    meetergo: Sandbox, host: Host, http: PoolManager, registered_endpoint: Endpoint
) -> None:
    meetergo.faults = FaultPlan(fail=1, expire_key=1)
    offer = http.request("GET", f"{meetergo.url}/sandbox/slots?meetingTypeId={host.meeting_type}&first=2026-03-02")
    start = offer.json()["dates"][0]["spots"][0]["startTime"]
    guest = {"name": "The Guest", "email": "guest@example.com"}
    assert act(meetergo, http, "bookings", meetingTypeId=host.meeting_type, start=start, **guest) == 201
    [booking_id] = meetergo.appointments
    assert act(meetergo, http, f"appointments/{booking_id}/reschedule", start=at(11).isoformat()) == 204
    assert act(meetergo, http, f"appointments/{booking_id}/cancel", reason="ill") == 204
    meetergo.drain()
    assert registered_endpoint.events == ["booking_created", "booking_rescheduled", "booking_cancelled"]
    assert meetergo.requests == {"POST /webhooks": 1}


def test_a_guest_leaves_a_group_and_a_pending_booking_is_confirmed(
    meetergo: Sandbox, host: Host, http: PoolManager, api: Api
) -> None:
    api(f"PATCH /v4/meeting-type/{host.meeting_type}", {"spots": 2, "meetingOptions": {"doubleOptIn": True}})
    for name in ("first", "second"):
        waiting = meetergo.actions.book(host.meeting_type, at(9), f"{name}@example.com")
        assert len(view(meetergo, http)["waiting"]) == 1
        assert act(meetergo, http, f"provisional-bookings/{waiting['provisionalBookingId']}/confirm") == 201
    [shown] = view(meetergo, http)["appointments"]
    assert (shown["isGroup"], len(shown["guests"])) == (True, 2)
    assert act(meetergo, http, f"appointments/{shown['id']}/leave", attendeeId=shown["guests"][0]["id"]) == 204
    assert len(view(meetergo, http)["appointments"][0]["guests"]) == 1


def test_another_sites_form_cannot_act(meetergo: Sandbox, host: Host, http: PoolManager) -> None:
    booked = meetergo.actions.book(host.meeting_type, at(9), "guest@example.com")["appointmentId"]
    url = f"{meetergo.url}/sandbox/appointments/{booked}/cancel"
    for kind in ("text/plain", "application/x-www-form-urlencoded"):
        assert http.request("POST", url, body=b"{}", headers={"content-type": kind}).status == 400
    assert not meetergo.appointments[booked]["isCancelled"]
    assert act(meetergo, http, f"appointments/{host.id}/cancel") == 404


def test_the_page_shows_webhooks_and_responses_without_secrets(
    meetergo: Sandbox, host: Host, http: PoolManager, registered_endpoint: Endpoint
) -> None:
    meetergo.company.webhooks["1500"]["endpoint"] = registered_endpoint.url + "-that-is-long-and-secret"
    meetergo.actions.book(host.meeting_type, at(9), "guest@example.com")
    meetergo.drain()
    shown = view(meetergo, http)
    assert shown["webhooks"][0]["endpoint"].endswith("/webhooks/meetergo/…cret")
    [delivery] = shown["deliveries"]
    assert (delivery["event"], delivery["outcome"], delivery["status"]) == ("booking_created", "answered", 200)
    assert delivery["milliseconds"] > 0


@pytest.mark.parametrize(
    ("said", "agrees"),
    [
        ({}, True),
        ({"starts_at": at(9).replace(tzinfo=None)}, True),
        ({"starts_at": "2026-03-02 08:00:00.000000"}, True),
        ({"status": "cancelled"}, False),
        ({"starts_at": at(10)}, False),
        ({"starts_at": None}, False),
        ({"attendees": []}, False),
    ],
)
def test_the_platforms_state_is_shown_beside_it(
    start: Callable[..., Sandbox], http: PoolManager, said: dict[str, Any], agrees: bool
) -> None:
    rows: list[dict[str, Any]] = []
    meetergo = start(platform_bookings=lambda: rows)
    booked = meetergo.actions.book(add_host(meetergo).meeting_type, at(9), "guest@example.com")["appointmentId"]
    [shown] = view(meetergo, http)["appointments"]
    assert (shown["platform"], shown["agrees"]) == (None, False)
    guests = [{"id": "1", "fullname": "The Guest"}]
    rows.append({"id": booked, "status": "confirmed", "starts_at": at(9), "attendees": guests, "revision": 1} | said)
    [shown] = view(meetergo, http)["appointments"]
    assert (shown["platform"]["revision"], shown["agrees"]) == (1, agrees)


def test_an_unreadable_platform_is_reported(start: Callable[..., Sandbox], http: PoolManager) -> None:
    def away() -> list[dict[str, Any]]:
        raise ConnectionError("a secret address")

    assert view(start(platform_bookings=away), http)["platform"] == {"state": "unreadable", "error": "ConnectionError"}


def test_the_api_responds_while_the_platform_is_read(start: Callable[..., Sandbox], http: PoolManager) -> None:
    def asks_back() -> list[dict[str, Any]]:
        assert Api(meetergo, http)("GET /v4/user/me").status == 200
        return []

    meetergo = start(platform_bookings=asks_back)
    assert view(meetergo, http)["platform"] == {"state": "present"}


def test_the_page_is_not_rate_limited(start: Callable[..., Sandbox], http: PoolManager) -> None:
    meetergo = start(rate_limit=RateLimit(1, 1))
    for _ in range(3):
        assert view(meetergo, http)["platform"] == {"state": "absent"}
    assert Api(meetergo, http)("GET /v4/user/me").status == 200
