"""What is odd in a body costs no more than itself: the booking is kept, and an operator finds what was ignored."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from devtools.send import samples
from models.delivery import Delivery
from tests.worker.desk import AT, START, Desk, later


@pytest.mark.parametrize("old", [False, True])
def test_an_odd_field_is_noted_on_the_delivery_and_the_booking_is_kept(desk: Desk, old: bool) -> None:
    told = samples.appointment("b1", START, AT, hostingInfo=[], rescheduledAt="", attendees=["ada@guest.example"])
    desk.tell({"event": "booking_created", "data": told} if old else {"webhookType": "booking_created", **told})
    (delivery,) = desk.all(Delivery)
    assert (delivery.status, delivery.note) == ("done", "ignored: hostingInfo, rescheduledAt")
    booking = desk.booking()
    assert (booking.starts_at, booking.attendees) == (START, [{"email": "ada@guest.example"}])


def test_bodies_that_are_handled_together_are_noted_each(desk: Desk) -> None:
    desk.deliver(*(samples.created(f"b{number}", START, AT, end=number) for number in (True, [])))
    desk.deliver(samples.created("b3", START, AT))
    desk.work_off()
    assert {row.booking_id: row.note for row in desk.all(Delivery)} == {
        "bTrue": "ignored: end",
        "b[]": "ignored: end",
        "b3": None,
    }


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"attendees": [{"id": f"a-{number}"} for number in range(1001)]}, "more than 1000 guests"),
        ({"odd": "here"}, "nests deeper than 64 levels"),
        ({"companyId": "theirs"}, "another company's"),
    ],
)
def test_a_dead_delivery_says_of_which_booking_it_is(
    open_desk: Callable[..., Desk], changes: dict[str, Any], reason: str
) -> None:
    desk = open_desk(meetergo_company_id="sample-company")
    body = json.dumps(samples.created("b1", START, AT, **changes)).encode()
    desk.tell(body.replace(b'"here"', b"[" * 950 + b"]" * 950))
    (delivery,) = desk.all(Delivery)
    assert (delivery.status, delivery.event, delivery.booking_id) == ("dead", "booking_created", "b1")
    assert reason in delivery.last_error


def test_what_a_body_says_of_numbers_and_text_can_be_stored(desk: Desk) -> None:
    metadata = {"number": 1, "float": 2, "text\x00": "half \ud800"}
    body = json.dumps(samples.created("b1", START, AT, meetingType={"metadata": metadata})).encode()
    body = body.replace(b'"number": 1', b'"number": ' + b"9" * 5000).replace(b'"float": 2', b'"float": 1e999')
    desk.tell(body)
    assert desk.booking().metadata_ == {"number": "9" * 5000, "float": "1e999", "text": "half ?"}


def test_a_name_in_several_languages_reads_as_the_hosts(desk: Desk) -> None:
    names = {"de": "Erstgespräch", "en": "First call"}
    told = samples.created("b1", START, AT, meetingType={"meetingInfo": {"name": names}})
    desk.add_user(meetergo_user_id=samples.HOST_ID, language="de-AT")
    desk.tell(told)
    assert desk.booking().meeting_name == "Erstgespräch"
    desk.tell(samples.created("b2", START, later(1), hostIds=["nobody"], hosts=[], meetingType=told["meetingType"]))
    assert desk.booking("b2").meeting_name == "First call"
