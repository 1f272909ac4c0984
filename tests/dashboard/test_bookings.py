"""Bookings on the web page: the list and its filters, one booking's story, and what meetergo says about it."""

import re
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from flask import Flask
from redis import Redis
from sqlalchemy import delete

from devtools.sandbox.faults.injector import InjectedAnswer
from devtools.send import samples
from models.delivery import Delivery
from models.intervention import Intervention
from models.notification import Notification
from operations import keyset
from tests.dashboard.conftest import EXAMPLES, Client, OpenApp, client_of, url_rules
from tests.snapshot import snapshot_rows
from tests.worker.conftest import provider
from tests.worker.harness import AT, START, Harness, later, soon
from tests.worker.provider import ONE, Provider, webhook

__all__ = ["provider"]

PEOPLE = ("Guest 1", "guest-1@example.com", "a-zoom-password")


def test_the_story_of_a_booking_is_told_in_order(client: Client, sample_data: Harness) -> None:
    page = client("read").get("/bookings/b1").text
    story = page[page.index("Timeline") : page.index("Ours and meetergo")]
    told = [story.index(f"<b>{name}</b>") for name in ("received", "created", "rescheduled", "meeting cancelled")]
    assert told == sorted(told)
    assert story.index("<b>to be notified</b>") < story.index("<b>rescheduled</b>") < story.index("<b>notified</b>")
    assert story.count("<del>") >= 2
    assert f'<time datetime="{START.isoformat(timespec="milliseconds")}"' in story
    assert '<a href="/notifications/' in story
    created = next(each for each in sample_data.all(Delivery) if each.event == "booking_created")
    assert f'<a href="/deliveries/{created.id}">' in page or created.booking_id != "b1"


def test_the_latest_cancelled_booking_is_found_behind_any_number_of_others(
    client: Client, harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keyset, "WINDOW", 3)
    harness.deliver(*(samples.created(f"b{number}", soon(number), AT) for number in range(5)))
    harness.deliver(samples.cancelled("b0", soon(0), later(1)))
    harness.process_due()
    for query in ("tab=cancelled", "state=cancelled", "tab=cancelled&since=2020-01-01"):
        page = client("read").get(f"/bookings?{query}").text
        assert re.findall('href="/bookings/([^"]*)"', page) == ["b0"], query
        assert "Next page" not in page
    assert '<span class="count">1</span>' in client("read").get("/bookings").text.partition("tab=cancelled")[2][:60]


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
@pytest.mark.parametrize("key", ["a/b", "/a//b/", "a?b#c%2F", "reveal/reveal", "a\nb\r\n"])
def test_a_booking_with_any_id_can_be_opened(client: Client, harness: Harness, key: str) -> None:
    harness.deliver(samples.created(key, START, AT))
    harness.process_due()
    reader = client("people")
    address = re.findall('href="(/bookings/[^"]*)"', reader.get("/bookings").text)[0]
    page = reader.get(address).text
    assert f"<code>{key}</code>" in page
    revealed = reader.post(re.findall('action="(/bookings/[^"]*/reveal)"', page)[0], data={"reason": "because"})
    assert revealed.status_code == 200
    assert harness.all(Intervention)[0].booking_id == key


@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
def test_an_id_with_nul_which_no_database_stores_is_not_there(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("delivery_id", "booking_id", "notification_id", "external_id", "name"):
        monkeypatch.setitem(EXAMPLES, name, f"msg_{EXAMPLES[name]}\x00")
    people = client_of(app, "people")
    paths = {(method, path) for _, method, path in url_rules(app) if "%00" in path}
    assert len(paths) == 10
    for method, path in paths:
        assert people.open(path, method=method, data={"reason": "why"}).status_code == 404, path


def test_people_are_masked_until_somebody_who_may_reveals_them(client: Client, sample_data: Harness) -> None:
    for role in ("read", "operate", "people"):
        page = client(role).get("/bookings/b1").text
        assert not [each for each in PEOPLE if each in page]
        assert "•••" in page
    address = "/bookings/b1/reveal"
    assert client("operate").post(address, data={"reason": "why"}).status_code == 403
    assert client("people").post(address).status_code == 400
    assert sample_data.all(Intervention) == []
    page = client("people").post(address, data={"reason": "the guest asked"}).text
    assert "guest-1@example.com" in page
    assert "a-zoom-password" not in page
    (act,) = sample_data.all(Intervention)
    assert (act.kind, act.booking_id, act.by, act.reason) == ("revealed", "b1", "Ada", "the guest asked")
    assert "the guest asked" in client("read").get("/bookings/b1").text


def test_an_operators_act_is_in_the_story(client: Client, sample_data: Harness) -> None:
    with sample_data.services.database.transaction() as session:
        first = min(sample_data.all(Delivery), key=lambda each: each.received_at)
        Intervention.record(session, "replayed", first, datetime.now(UTC), by="Bruno", reason="hook repaired")
    page = client("read").get("/bookings/b1").text
    assert 'class="act"><b>replayed</b> by Bruno' in page
    assert "hook repaired" in page


def test_a_long_story_is_told_in_pages(client: Client, harness: Harness) -> None:
    harness.process(samples.created("b1", START, AT))
    for number in range(60):
        harness.process(samples.rescheduled("b1", soon(number + 1), later(number + 1), soon(number)))
    page = client("read").get("/bookings/b1").text
    assert page.count('<li class="') <= 50
    assert len(page) < 60_000
    seen = page.count("<b>rescheduled</b>")
    while "Earlier entries" in page:
        address = page[page.index("/bookings/b1?before=") :].partition('"')[0]
        page = client("read").get(address.replace("&amp;", "&")).text
        seen += page.count("<b>rescheduled</b>")
    assert seen == 60
    assert "<b>created</b>" in page


def test_an_unknown_booking_is_not_found(client: Client, harness: Harness) -> None:
    for path in ("/bookings/nowhere", "/bookings/no"):
        assert client("read").get(path).status_code in (404, 409)
    assert client("read").post("/bookings/nowhere/compare").status_code in (404, 409)


def test_a_booking_that_no_delivery_could_make_tells_its_deliveries(client: Client, harness: Harness) -> None:
    harness.process({**samples.created("b9", START, AT), "startTime": 5, "start": [], "webhookType": "booking_created"})
    with harness.services.database.transaction() as session:
        delivery = session.get_one(Delivery, harness.all(Delivery)[0].id)
        delivery.status, delivery.booking_id = "dead", "only-dead"
    assert "It does not exist yet" in client("read").get("/bookings/only-dead").text


def test_filters_choose_bookings(client: Client, sample_data: Harness) -> None:
    def ids(query: str) -> set[str]:
        page = client("read").get(f"/bookings?{query}").text
        return {each for each in ("b1", "unhosted-1") if f'href="/bookings/{each}"' in page}

    both = {"b1", "unhosted-1"}
    assert ids("") == both
    assert ids("host=4711") == {"b1"}
    assert ids("host=nobody") == set()
    assert ids("tab=unhosted") == {"unhosted-1"}
    assert ids("tab=cancelled") == ids("state=cancelled") == {"b1"}
    assert ids("tab=upcoming") == {"unhosted-1"}
    assert ids("tab=upcoming&state=cancelled") == set()
    assert ids("tab=untimed") == set()
    assert ids("booking=unho") == {"unhosted-1"}
    assert ids(f"since={soon(60):%Y-%m-%dT%H:%M}") == {"b1"}
    assert ids(f"until={soon(60):%Y-%m-%dT%H:%M}") == {"unhosted-1"}
    assert ids("tab=nonsense&after=nonsense") == both
    guest = sample_data.booking("b1").attendees[0]["email"]
    assert ids(f"guest={guest}") == both
    assert ids("guest=nobody@example.com") == set()
    assert client("read").get("/bookings?since=soon").status_code == 400


def test_pages_continue_after_the_last_row(client: Client, harness: Harness) -> None:
    harness.process(*(samples.created(f"many-{number:03}", soon(number // 3), AT) for number in range(60)))
    reader = client("read")
    for tab in ("all", "upcoming"):
        first = reader.get(f"/bookings?tab={tab}").text
        following = first[first.index('rel="next"') :].partition('href="')[2].partition('"')[0].replace("&amp;", "&")
        second = reader.get(following).text
        names = [each for each in range(60) if f'/bookings/many-{each:03}"' in first]
        others = [each for each in range(60) if f'/bookings/many-{each:03}"' in second]
        assert (len(names), len(others)) == (50, 10)
        assert not set(names) & set(others)


# What meetergo says


@pytest.fixture
def at_meetergo(provider: Provider, open_app: OpenApp) -> Flask:
    return open_app(meetergo_api_key=provider.meetergo.key, meetergo_api_url=provider.meetergo.url)


def forged(provider: Provider) -> str:
    """A booking whose link a forged webhook changed."""
    booking_id = provider.book(provider.add_host(1), 1)
    provider.deliver_all()
    start = (datetime.now(UTC) + timedelta(days=40)).isoformat()
    said = {"updatedAt": datetime.now(UTC).isoformat(), "start": start}
    provider.harness.process(webhook(provider.meetergo, provider.meetergo.appointments[booking_id], **said))
    return booking_id


def test_one_click_shows_what_meetergo_says_and_changes_nothing(at_meetergo: Flask, provider: Provider) -> None:
    booking_id, reader = forged(provider), client_of(at_meetergo, "read")
    before, asked = snapshot_rows(provider.harness.services.database), provider.meetergo.requests[ONE]
    assert (
        "starts_at"
        not in reader.get(f"/bookings/{booking_id}").text.partition("Ours and meetergo")[2].partition("People")[0]
    )
    assert provider.meetergo.requests[ONE] == asked, "a page asks nobody"
    page = reader.post(f"/bookings/{booking_id}/compare").text
    difference = page.partition("Ours and meetergo")[2].partition("People")[0]
    assert "starts_at" in difference
    assert "<del>" in difference
    assert "Take meetergo" not in difference, "read may not"
    assert "Take meetergo" in client_of(at_meetergo, "operate").post(f"/bookings/{booking_id}/compare").text
    assert snapshot_rows(provider.harness.services.database) == before


def test_meetergos_view_is_taken_with_a_reason(at_meetergo: Flask, provider: Provider) -> None:
    booking_id = forged(provider)
    address = f"/bookings/{booking_id}/refresh"
    assert client_of(at_meetergo, "read").post(address, data={"reason": "forged"}).status_code == 403
    assert client_of(at_meetergo, "operate").post(address).status_code == 400
    page = client_of(at_meetergo, "operate").post(address, data={"reason": "forged"}).text
    assert "no worker has processed it yet" in page
    assert len(provider.reconciled()) == 1
    provider.process_due()
    page = client_of(at_meetergo, "operate").post(f"/bookings/{booking_id}/compare").text
    assert "Nothing differs" in page
    assert [(act.kind, act.by) for act in provider.harness.all(Intervention)] == [("refreshed", "Ada")]


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_why_meetergo_does_not_say_is_a_sentence(at_meetergo: Flask, provider: Provider) -> None:
    booking_id, reader = forged(provider), client_of(at_meetergo, "read")
    answers = [
        (InjectedAnswer(401, b'{"statusCode":401,"message":"Unauthorized"}'), "MEETERGO_API_KEY"),
        (InjectedAnswer(503, b"{}"), "cannot be read from meetergo"),
        (InjectedAnswer(200, b"not json"), "cannot be read from meetergo"),
    ]
    for answer, sentence in answers:
        provider.meetergo.inject_faults(ONE, answer)
        response = reader.post(f"/bookings/{booking_id}/compare")
        assert response.status_code == 200
        assert sentence in response.text
    provider.meetergo.appointments.pop(booking_id)
    assert "meetergo does not know this booking" in reader.post(f"/bookings/{booking_id}/compare").text
    assert reader.post(f"/bookings/{uuid4()}/compare").status_code in (200, 404)


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_without_a_key_the_page_says_what_to_set(client: Client, sample_data: Harness) -> None:
    assert "MEETERGO_API_KEY is not set" in client("read").post("/bookings/b1/compare").text


def test_what_the_host_reads_is_shown_masked(client: Client, sample_data: Harness, redis: Redis) -> None:
    page = client("read").get("/bookings/b1").text
    message = page.partition("What the host reads")[2]
    assert "Cancelled" in message
    assert "•••" in message
    assert not [each for each in PEOPLE if each in message]
    unhosted = client("read").get("/bookings/unhosted-1").text.partition("What the host reads")[2]
    newest = [each for each in sample_data.all(Notification) if each.booking_id == "unhosted-1"]
    assert ("No one has been notified yet" in unhosted) == (not newest)


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_a_booking_without_a_notification_shows_what_a_mail_would_say(client: Client, harness: Harness) -> None:
    def message() -> str:
        with harness.services.database.transaction() as session:
            session.execute(delete(Notification))
        page = client("people").get("/bookings/b1").text
        return page.partition("No one has been notified yet. A mail would say:")[2].partition("</section>")[0]

    harness.process(samples.created("b1", START, AT))
    assert "New booking" in message()
    harness.process(samples.cancelled("b1", START, later(1)))
    assert "cancelled" in message().lower()
