"""An odd field costs no more than itself: the booking is kept, and the operator sees what was ignored."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from devtools.send import samples
from models.delivery import Delivery
from models.notification import Notification
from tests.worker.harness import AT, START, Harness, later


@pytest.mark.parametrize("old", [False, True])
def test_an_odd_field_is_noted_on_the_delivery_and_the_booking_is_kept(harness: Harness, old: bool) -> None:
    appointment = samples.appointment(
        "b1", START, AT, hostingInfo=[], rescheduledAt="", attendees=["ada@guest.example"]
    )
    harness.process(
        {"event": "booking_created", "data": appointment} if old else {"webhookType": "booking_created", **appointment}
    )
    (delivery,) = harness.all(Delivery)
    assert (delivery.status, delivery.note) == ("done", "ignored: hostingInfo, rescheduledAt")
    booking = harness.booking()
    assert (booking.starts_at, booking.attendees) == (START, [{"email": "ada@guest.example"}])


def test_each_body_of_a_batch_has_its_own_note(harness: Harness) -> None:
    harness.deliver(*(samples.created(f"b{number}", START, AT, end=number) for number in (True, [])))
    harness.deliver(samples.created("b3", START, AT))
    harness.process_due()
    assert {row.booking_id: row.note for row in harness.all(Delivery)} == {
        "bTrue": "ignored: end",
        "b[]": "ignored: end",
        "b3": None,
    }


def test_a_dead_delivery_names_its_booking(open_harness: Callable[..., Harness]) -> None:
    harness = open_harness(meetergo_company_id="sample-company")
    harness.process(json.dumps(samples.created("b1", START, AT, companyId="theirs")).encode())
    (delivery,) = harness.all(Delivery)
    assert (delivery.status, delivery.event, delivery.booking_id) == ("dead", "booking_created", "b1")
    assert "another company's" in delivery.last_error


@pytest.mark.parametrize(
    ("changes", "ignored"),
    [
        ({"attendees": [{"id": f"a-{number}"} for number in range(1001)]}, "attendees"),
        ({"odd": "here"}, "what nests deeper than 64 levels"),
        ({"webhookType": ["booking_created"]}, "webhookType"),
        ({"webhookType": None}, "webhookType"),
    ],
)
def test_a_booking_is_kept_and_cancelled_whatever_else_cannot_be_read(
    harness: Harness, changes: dict[str, Any], ignored: str
) -> None:
    harness.add_user(meetergo_user_id=samples.HOST_ID)
    deep = b"[" * 950 + b"]" * 950
    created = {**samples.created("b1", START, AT), **changes}
    harness.process(json.dumps(created).encode().replace(b'"here"', deep))
    assert (harness.booking().status, harness.booking().starts_at) == ("confirmed", START)
    harness.process(
        json.dumps({**samples.cancelled("b1", START, later(1)), **changes}).encode().replace(b'"here"', deep)
    )
    assert harness.booking().status == "cancelled"
    assert {(row.status, row.booking_id, row.note) for row in harness.all(Delivery)} == {
        ("done", "b1", f"ignored: {ignored}")
    }
    assert [row.kind for row in harness.all(Notification)] == ["created", "cancelled"]


def test_extreme_numbers_and_texts_can_be_stored(harness: Harness) -> None:
    metadata = {"number": 1, "float": 2, "text\x00": "half \ud800"}
    body = json.dumps(samples.created("b1", START, AT, meetingType={"metadata": metadata})).encode()
    body = body.replace(b'"number": 1', b'"number": ' + b"9" * 5000).replace(b'"float": 2', b'"float": 1e999')
    harness.process(body)
    assert harness.booking().metadata_ == {"number": "9" * 5000, "float": "1e999", "text": "half ?"}


def test_a_name_in_several_languages_is_shown_in_the_hosts_language(harness: Harness) -> None:
    names = {"de": "Erstgespräch", "en": "First call"}
    appointment = samples.created("b1", START, AT, meetingType={"meetingInfo": {"name": names}})
    harness.add_user(meetergo_user_id=samples.HOST_ID, language="de-AT")
    harness.process(appointment)
    assert harness.booking().meeting_name == "Erstgespräch"
    harness.process(
        samples.created("b2", START, later(1), hostIds=["nobody"], hosts=[], meetingType=appointment["meetingType"])
    )
    assert harness.booking("b2").meeting_name == "First call"
