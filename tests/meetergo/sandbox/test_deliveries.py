"""Deliveries: what became of each webhook."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from urllib3 import PoolManager

from devtools.sandbox.faults.plan import FaultPlan
from devtools.sandbox.outgoing.dispatcher import NotSettled
from devtools.sandbox.server import Sandbox
from tests.meetergo.sandbox.conftest import Api, Endpoint, Host, add_host, at, register

Troubled = Callable[..., tuple[Sandbox, Host]]


@pytest.fixture
def troubled(start: Callable[..., Sandbox], http: PoolManager, endpoint: Endpoint) -> Troubled:
    """A stand-in that goes wrong from now on, and a host."""

    def made(trouble: FaultPlan, **options: int) -> tuple[Sandbox, Host]:
        meetergo = start(trouble, **options)
        host = add_host(meetergo)
        register(Api(meetergo, http), endpoint)
        return meetergo, host

    return made


def stories(meetergo: Sandbox, host: Host, number: int) -> list[str]:
    """So many bookings, each made, moved and cancelled."""
    ids = [
        meetergo.people.book(host.meeting_type, at(9, day), "g@example.com")["appointmentId"] for day in DAYS[:number]
    ]
    for day, booking_id in zip(DAYS, ids, strict=False):
        meetergo.people.reschedule(booking_id, at(11, day))
    for booking_id in ids:
        meetergo.people.cancel(booking_id)
    meetergo.settle()
    return ids


DAYS = [day for day in range(50) if day % 7 < 5]
STORY = ["booking_created", "booking_rescheduled", "booking_cancelled"]


def test_webhooks_of_one_booking_come_in_their_order(troubled: Troubled, endpoint: Endpoint) -> None:
    meetergo, host = troubled(FaultPlan())
    for booking_id in stories(meetergo, host, 20):
        heard = [body for body in endpoint.heard if booking_id.encode() in body]
        assert [event for event in STORY for body in heard if event.encode() in body] == STORY
    assert [delivery.outcome for delivery in meetergo.deliveries] == ["answered"] * 60
    assert {(delivery.status, delivery.attempts) for delivery in meetergo.deliveries} == {(200, 1)}


def test_a_lost_one_is_not_sent(troubled: Troubled, endpoint: Endpoint) -> None:
    meetergo, host = troubled(FaultPlan(drop=1))
    stories(meetergo, host, 2)
    assert endpoint.heard == []
    assert {delivery.outcome for delivery in meetergo.deliveries} == {"dropped"}


def test_a_repeated_one_comes_twice_with_the_same_bytes(troubled: Troubled, endpoint: Endpoint) -> None:
    meetergo, host = troubled(FaultPlan(repeat=1))
    stories(meetergo, host, 1)
    assert endpoint.heard[0::2] == endpoint.heard[1::2]
    assert endpoint.events[0::2] == STORY


def test_what_is_held_back_comes_after_the_next_of_its_booking(troubled: Troubled, endpoint: Endpoint) -> None:
    meetergo, host = troubled(FaultPlan(reorder=1))
    booked = meetergo.people.book(host.meeting_type, at(9), "g@example.com")["appointmentId"]
    meetergo.trouble = FaultPlan()
    meetergo.people.reschedule(booked, at(11))
    meetergo.people.cancel(booked)
    meetergo.settle()
    assert endpoint.events == ["booking_rescheduled", "booking_created", "booking_cancelled"]


def test_what_is_held_back_comes_at_last(troubled: Troubled, endpoint: Endpoint) -> None:
    meetergo, host = troubled(FaultPlan(reorder=1))
    stories(meetergo, host, 1)
    assert sorted(endpoint.events) == sorted(STORY)


def test_what_is_held_back_comes_when_its_line_was_quiet_for_long_enough(
    troubled: Troubled, endpoint: Endpoint
) -> None:
    meetergo, host = troubled(FaultPlan(reorder=1, hold=0.01))
    meetergo.people.book(host.meeting_type, at(9), "g@example.com")
    while not endpoint.heard:
        pass
    assert endpoint.events == ["booking_created"]


def test_the_same_seed_meets_the_same_trouble_in_any_order(troubled: Troubled, start: Callable[..., Sandbox]) -> None:
    trouble = FaultPlan(seed=7, drop=0.1, repeat=0.1, reorder=0.3, wire="both")
    seen = []
    for order in (1, -1):
        meetergo = start(trouble)
        host = add_host(meetergo)
        meetergo.company.webhooks["1"] = {"id": 1, "endpoint": "http://127.0.0.1:9/", "eventTypes": STORY}
        for day in DAYS[::order]:
            meetergo.people.book(host.meeting_type, at(9, day), "g@example.com")
        seen.append({delivery.subject: delivery.fate for delivery in meetergo.deliveries})
    assert seen[0] == seen[1]
    fates = seen[0].values()
    assert len(fates) == len(DAYS)
    assert {fate.wire for fate in fates} == {"new", "old"}
    assert {fate.is_held for fate in fates} == {True, False}


def test_shares_are_what_they_say() -> None:
    trouble = FaultPlan(seed=1, drop=0.1, repeat=0.1, reorder=0.3)
    fates = [trouble.fate("booking_created", str(number), "1", "1500") for number in range(5000)]
    assert 400 < sum(fate.is_dropped for fate in fates) < 600
    assert 400 < sum(fate.copies == 2 for fate in fates) < 600
    assert 1350 < sum(fate.is_held for fate in fates) < 1650
    assert sum(fate.is_dropped and fate.copies == 2 for fate in fates) < 100


def test_a_refused_one_is_sent_once_as_nothing_else_is_documented(troubled: Troubled, endpoint: Endpoint) -> None:
    meetergo, host = troubled(FaultPlan())
    endpoint.status = 503
    meetergo.people.book(host.meeting_type, at(9), "g@example.com")
    meetergo.settle()
    [delivery] = meetergo.deliveries
    assert (delivery.outcome, delivery.status, delivery.attempts, len(endpoint.heard)) == ("answered", 503, 1, 1)


def test_a_refused_one_is_sent_again_if_one_wants_retries(troubled: Troubled, endpoint: Endpoint) -> None:
    meetergo, host = troubled(FaultPlan(), retries=2)
    endpoint.status = 503
    meetergo.people.book(host.meeting_type, at(9), "g@example.com")
    meetergo.settle()
    assert len(endpoint.heard) == 3


def test_an_endpoint_that_is_not_there_is_a_failed_delivery(meetergo: Sandbox, api: Api, host: Host) -> None:
    api("POST /webhooks", {"endpoint": "http://127.0.0.1:9/", "eventTypes": STORY})
    meetergo.people.book(host.meeting_type, at(9), "g@example.com")
    meetergo.settle()
    [delivery] = meetergo.deliveries
    assert (delivery.outcome, delivery.status, delivery.error) == ("failed", None, "NewConnectionError")


def test_an_endpoint_that_does_not_answer_is_not_waited_for_longer_than_asked(
    meetergo: Sandbox, api: Api, host: Host
) -> None:
    meetergo.trouble = FaultPlan(delay=60)
    api("POST /webhooks", {"endpoint": "http://127.0.0.1:9/", "eventTypes": STORY})
    meetergo.people.book(host.meeting_type, at(9), "g@example.com")
    with pytest.raises(NotSettled, match="still on their way"):
        meetergo.settle(timedelta(milliseconds=1))
