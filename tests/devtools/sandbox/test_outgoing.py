"""Outgoing deliveries and their results."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from urllib3 import PoolManager

from devtools.sandbox.faults.plan import FaultPlan
from devtools.sandbox.outgoing.dispatcher import DrainTimeout
from devtools.sandbox.server import Sandbox
from tests.devtools.sandbox.conftest import Api, Endpoint, Host, add_host, at, register

Troubled = Callable[..., tuple[Sandbox, Host]]


@pytest.fixture
def with_faults(start: Callable[..., Sandbox], http: PoolManager, endpoint: Endpoint) -> Troubled:
    """A sandbox with faults from now on, and a host."""

    def made(faults: FaultPlan, **options: int) -> tuple[Sandbox, Host]:
        meetergo = start(faults, **options)
        host = add_host(meetergo)
        register(Api(meetergo, http), endpoint)
        return meetergo, host

    return made


def book_move_cancel(meetergo: Sandbox, host: Host, number: int) -> list[str]:
    """Make N bookings, each created, moved and cancelled."""
    ids = [
        meetergo.actions.book(host.meeting_type, at(9, day), "g@example.com")["appointmentId"] for day in DAYS[:number]
    ]
    for day, booking_id in zip(DAYS, ids, strict=False):
        meetergo.actions.reschedule(booking_id, at(11, day))
    for booking_id in ids:
        meetergo.actions.cancel(booking_id)
    meetergo.drain()
    return ids


DAYS = [day for day in range(50) if day % 7 < 5]
STORY = ["booking_created", "booking_rescheduled", "booking_cancelled"]


def test_webhooks_of_one_booking_arrive_in_order(with_faults: Troubled, endpoint: Endpoint) -> None:
    meetergo, host = with_faults(FaultPlan())
    for booking_id in book_move_cancel(meetergo, host, 20):
        received = [body for body in endpoint.received if booking_id.encode() in body]
        assert [event for event in STORY for body in received if event.encode() in body] == STORY
    assert [delivery.outcome for delivery in meetergo.deliveries] == ["answered"] * 60
    assert {(delivery.status, delivery.attempts) for delivery in meetergo.deliveries} == {(200, 1)}


def test_a_dropped_delivery_is_not_sent(with_faults: Troubled, endpoint: Endpoint) -> None:
    meetergo, host = with_faults(FaultPlan(drop=1))
    book_move_cancel(meetergo, host, 2)
    assert endpoint.received == []
    assert {delivery.outcome for delivery in meetergo.deliveries} == {"dropped"}


def test_a_repeated_delivery_is_sent_twice_with_the_same_bytes(with_faults: Troubled, endpoint: Endpoint) -> None:
    meetergo, host = with_faults(FaultPlan(repeat=1))
    book_move_cancel(meetergo, host, 1)
    assert endpoint.received[0::2] == endpoint.received[1::2]
    assert endpoint.events[0::2] == STORY


def test_a_reordered_delivery_is_sent_after_the_next_of_its_booking(with_faults: Troubled, endpoint: Endpoint) -> None:
    meetergo, host = with_faults(FaultPlan(reorder=1))
    booked = meetergo.actions.book(host.meeting_type, at(9), "g@example.com")["appointmentId"]
    meetergo.faults = FaultPlan()
    meetergo.actions.reschedule(booked, at(11))
    meetergo.actions.cancel(booked)
    meetergo.drain()
    assert endpoint.events == ["booking_rescheduled", "booking_created", "booking_cancelled"]


def test_a_reordered_delivery_is_sent_by_drain(with_faults: Troubled, endpoint: Endpoint) -> None:
    meetergo, host = with_faults(FaultPlan(reorder=1))
    book_move_cancel(meetergo, host, 1)
    assert sorted(endpoint.events) == sorted(STORY)


def test_a_reordered_delivery_is_sent_after_its_queue_was_idle(with_faults: Troubled, endpoint: Endpoint) -> None:
    meetergo, host = with_faults(FaultPlan(reorder=1, hold=0.01))
    meetergo.actions.book(host.meeting_type, at(9), "g@example.com")
    while not endpoint.received:
        pass
    assert endpoint.events == ["booking_created"]


def test_the_same_seed_gives_the_same_faults_in_any_order(with_faults: Troubled, start: Callable[..., Sandbox]) -> None:
    faults = FaultPlan(seed=7, drop=0.1, repeat=0.1, reorder=0.3, wire="both")
    seen = []
    for order in (1, -1):
        meetergo = start(faults)
        host = add_host(meetergo)
        meetergo.company.webhooks["1"] = {"id": 1, "endpoint": "http://127.0.0.1:9/", "eventTypes": STORY}
        for day in DAYS[::order]:
            meetergo.actions.book(host.meeting_type, at(9, day), "g@example.com")
        seen.append({delivery.subject: delivery.fault for delivery in meetergo.deliveries})
    assert seen[0] == seen[1]
    fates = seen[0].values()
    assert len(fates) == len(DAYS)
    assert {fate.wire for fate in fates} == {"new", "old"}
    assert {fate.is_held for fate in fates} == {True, False}


def test_the_shares_of_faults_are_as_configured() -> None:
    faults = FaultPlan(seed=1, drop=0.1, repeat=0.1, reorder=0.3)
    fates = [faults.delivery_fault("booking_created", str(number), "1", "1500") for number in range(5000)]
    assert 400 < sum(fate.is_dropped for fate in fates) < 600
    assert 400 < sum(fate.copies == 2 for fate in fates) < 600
    assert 1350 < sum(fate.is_held for fate in fates) < 1650
    assert sum(fate.is_dropped and fate.copies == 2 for fate in fates) < 100


def test_a_rejected_delivery_is_sent_once_by_default(with_faults: Troubled, endpoint: Endpoint) -> None:
    meetergo, host = with_faults(FaultPlan())
    endpoint.status = 503
    meetergo.actions.book(host.meeting_type, at(9), "g@example.com")
    meetergo.drain()
    [delivery] = meetergo.deliveries
    assert (delivery.outcome, delivery.status, delivery.attempts, len(endpoint.received)) == ("answered", 503, 1, 1)


def test_a_rejected_delivery_is_retried_if_configured(with_faults: Troubled, endpoint: Endpoint) -> None:
    meetergo, host = with_faults(FaultPlan(), retries=2)
    endpoint.status = 503
    meetergo.actions.book(host.meeting_type, at(9), "g@example.com")
    meetergo.drain()
    assert len(endpoint.received) == 3


def test_an_unreachable_endpoint_is_a_failed_delivery(meetergo: Sandbox, api: Api, host: Host) -> None:
    api("POST /webhooks", {"endpoint": "http://127.0.0.1:9/", "eventTypes": STORY})
    meetergo.actions.book(host.meeting_type, at(9), "g@example.com")
    meetergo.drain()
    [delivery] = meetergo.deliveries
    assert (delivery.outcome, delivery.status, delivery.error) == ("failed", None, "NewConnectionError")


def test_an_unresponsive_endpoint_is_not_waited_for_beyond_the_limit(meetergo: Sandbox, api: Api, host: Host) -> None:
    meetergo.faults = FaultPlan(delay=60)
    api("POST /webhooks", {"endpoint": "http://127.0.0.1:9/", "eventTypes": STORY})
    meetergo.actions.book(host.meeting_type, at(9), "g@example.com")
    with pytest.raises(DrainTimeout, match="still pending"):
        meetergo.drain(timedelta(milliseconds=1))
