"""A host's calendar as Google, Outlook and Apple fetch it."""

import logging
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from icalendar import Calendar, Event
from sqlalchemy import update
from sqlalchemy.exc import OperationalError

from devtools.send import samples
from models.booking import Booking
from models.notification import Notification
from models.platform_user import PlatformUser
from models.privacy import erasure
from models.privacy.person import person_from
from operations.users import calendar
from operations.users.calendar import CalendarSigner
from read_api.calendar import calendar_blueprint
from runtime.database import Database
from runtime.signed_address import AddressSigner
from tests.worker.conftest import harness, open_harness
from tests.worker.harness import AT, START, Harness, later, soon
from worker.channels.mail.calendar_invite import CalendarInvite
from worker.channels.mail.headers import mailbox
from worker.channels.text.message_text import MessageText
from worker.outbox.planner import to_message

__all__ = ["harness", "open_harness"]

KEY = "k" * 40
Link = Callable[..., str]
ON_SQLITE = pytest.mark.parametrize("database", ["sqlite"], indirect=True)
"""For tests of what the database has no part in."""
HOSTILE = 'Eve\r\nBEGIN:VALARM\nEND:VEVENT;X="1,2":\\n\x00\u202e' + "ä😀" * 40
OTHER_HOST = "other-host"


def client_of(harness: Harness, *keys: str) -> FlaskClient:
    app = Flask("api")
    app.register_blueprint(calendar_blueprint(harness.services.database, keys or [KEY]))
    return app.test_client()


@pytest.fixture
def client(harness: Harness) -> FlaskClient:
    return client_of(harness)


@pytest.fixture
def link(harness: Harness) -> Link:
    """Return the path of a host's calendar, as `calendar link` makes it."""

    def linked(external_id: str = "1", *keys: str) -> str:
        feed_id = calendar.share(harness.services.database, external_id, AT, by="ada", reason="asked")
        return CalendarSigner(keys or [KEY]).path(feed_id)

    return linked


@pytest.fixture(autouse=True)
def host(harness: Harness) -> PlatformUser:
    return harness.add_user(meetergo_user_id=samples.HOST_ID, name="Anna, the Host")


def events_in(ics: bytes) -> dict[str, Event]:
    """Return the events by UID, after a check of the rules that a parser forgives."""
    check_rfc_5545(ics)
    events = Calendar.from_ical(ics).events
    found = {str(event["UID"]): event for event in events}
    assert len(found) == len(events)
    return found


def check_rfc_5545(ics: bytes) -> None:
    text = ics.decode()  # UTF-8, also where a line is folded: see `octets`
    assert text.endswith("END:VCALENDAR\r\n")
    assert "\n" not in text.replace("\r\n", "")
    assert "\r" not in text.replace("\r\n", "")
    for octets in ics.split(b"\r\n"):
        assert len(octets) <= 75
        octets.decode()
    lines = text.replace("\r\n ", "").split("\r\n")[:-1]
    assert not [line for line in lines if not re.match(r"[A-Z-]+(;[A-Z-]+=[^;:\"]+)*:", line)]
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f]", "".join(lines))
    names = [line.partition(":")[0].partition(";")[0] for line in lines]
    assert lines[:1] == ["BEGIN:VCALENDAR"]
    head = names[1 : names.index("BEGIN", 1)]
    assert (head.count("VERSION"), head.count("PRODID"), head.count("METHOD")) == (1, 1, 0)
    assert names.count("BEGIN") == names.count("END") >= 2, "a calendar has at least one component"
    for event in re.findall(r"BEGIN:VEVENT\n(.*?)\nEND:VEVENT", "\n".join(lines), re.DOTALL):
        properties = [line.partition(":")[0] for line in event.split("\n")]
        assert len(properties) == len(set(properties))
        assert {"UID", "DTSTAMP", "DTSTART", "LAST-MODIFIED", "SEQUENCE", "STATUS", "SUMMARY"} <= set(properties)
        assert all(re.search(rf"^{name}:\d{{8}}T\d{{6}}Z$", event, re.MULTILINE) for name in ("DTSTAMP", "DTSTART"))


def test_each_booking_of_the_host_is_one_event(harness: Harness, client: FlaskClient, link: Link) -> None:
    harness.process(samples.created("b1", START, AT), samples.created("b2", soon(60), AT))
    harness.process(samples.created("elsewhere", START, AT, hostIds=[OTHER_HOST], hosts=[]))

    response = client.get(link())

    assert response.status_code == 200
    assert response.content_type == "text/calendar; charset=utf-8"
    events = events_in(response.data)
    assert set(events) == {"b1@meetergo-inbox", "b2@meetergo-inbox"}
    event = events["b1@meetergo-inbox"]
    assert (event.start, event["STATUS"], event["SEQUENCE"]) == (START, "CONFIRMED", 0)
    assert event.stamp == event["LAST-MODIFIED"].dt == harness.booking("b1").updated_at.replace(microsecond=0)
    assert "ATTENDEE" not in event
    assert "ORGANIZER" not in event


@ON_SQLITE
def test_an_event_is_the_mails_entry(harness: Harness, client: FlaskClient, link: Link) -> None:
    """UID, SEQUENCE and texts: what the host sees in mail, and no more."""
    moved = samples.rescheduled("b1", soon(90), later(5), START)
    zoom = {"meetingInfo": {"channel": "zoom", "meetingLink": "https://zoom.example/j/1?a=b&c=d"}}
    harness.process(samples.created("b1", START, AT, **zoom), {**moved, **zoom})
    message = to_message(harness.all(Notification)[-1])
    sender, host = mailbox("b@mail.example"), mailbox("host@example.com")
    assert sender
    assert host
    invite = CalendarInvite.to(host, message, MessageText.render(message, is_personal=True), sender)
    assert invite

    (mailed,) = Calendar.from_ical(invite.ics).events
    (event,) = events_in(client.get(link()).data).values()
    same = ("UID", "SEQUENCE", "SUMMARY", "DESCRIPTION", "LOCATION", "URL", "STATUS", "DTSTART", "DTEND")
    assert {name: event[name] for name in same} == {name: mailed[name] for name in same}
    assert event["SEQUENCE"] == 1


@ON_SQLITE
def test_a_cancelled_booking_stays_as_cancelled_and_blocks_no_time(
    harness: Harness, client: FlaskClient, link: Link
) -> None:
    harness.process(samples.created("b1", START, AT), samples.cancelled("b1", START, later(1)))

    (event,) = events_in(client.get(link()).data).values()

    assert (event["STATUS"], event["TRANSP"], event["SEQUENCE"]) == ("CANCELLED", "TRANSPARENT", 1)
    assert event["SUMMARY"].startswith("Cancelled: ")


@ON_SQLITE
def test_a_webinar_with_many_guests_is_one_event(harness: Harness, client: FlaskClient, link: Link) -> None:
    guests = [
        {"id": f"g{each}", "fullname": f"Guest {each}", "email": f"g{each}@guests.example"} for each in range(250)
    ]
    harness.process(samples.created("b1", START, AT, attendees=guests))

    (event,) = events_in(client.get(link()).data).values()

    assert event["SUMMARY"].endswith("with Guest 0 and 249 others")
    assert len(event["DESCRIPTION"]) <= calendar.MAX_DESCRIPTION_LENGTH


def test_a_co_host_has_the_booking_too(harness: Harness, client: FlaskClient, link: Link) -> None:
    harness.add_user(external_id="2", meetergo_user_id=OTHER_HOST, name="Co")
    harness.process(samples.created("b1", START, AT, hostIds=[samples.HOST_ID, OTHER_HOST], hosts=[]))

    owner, co_host = link("1"), link("2")

    assert set(events_in(client.get(owner).data)) == set(events_in(client.get(co_host).data)) == {"b1@meetergo-inbox"}
    harness.process(samples.created("b1", START, later(5), hostIds=[samples.HOST_ID], hosts=[]))
    assert set(events_in(client.get(owner).data)) == {"b1@meetergo-inbox"}
    assert events_in(client.get(co_host).data) == {}


def test_a_calendar_holds_the_last_weeks_and_all_that_is_to_come(
    harness: Harness, client: FlaskClient, link: Link
) -> None:
    now = datetime.now(UTC)
    ages = {
        "old": calendar.PAST + timedelta(days=1),
        "recent": calendar.PAST - timedelta(days=1),
        "far": -20 * calendar.PAST,
    }
    harness.process(*(samples.created(name, now - age, AT) for name, age in ages.items()))

    assert set(events_in(client.get(link()).data)) == {"recent@meetergo-inbox", "far@meetergo-inbox"}


@ON_SQLITE
def test_a_calendar_is_bounded(
    harness: Harness, client: FlaskClient, link: Link, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The bookings of the near future matter more than those of the far one."""
    monkeypatch.setattr(calendar, "MAX_EVENTS", 2)
    harness.process(*(samples.created(f"b{each}", soon(each), AT) for each in (3, 1, 2)))

    assert set(events_in(client.get(link()).data)) == {"b1@meetergo-inbox", "b2@meetergo-inbox"}


@ON_SQLITE
def test_a_calendar_is_bounded_in_bytes_too(
    harness: Harness, client: FlaskClient, link: Link, monkeypatch: pytest.MonkeyPatch
) -> None:
    harness.process(*(samples.created(f"b{each}", soon(each), AT) for each in range(3)))
    path = link()
    monkeypatch.setattr(calendar, "MAX_BYTES", len(client.get(path).data) - 100)
    fewer = client.get(path).data
    assert len(events_in(fewer)) == 2
    monkeypatch.setattr(calendar, "MAX_BYTES", 1)
    assert events_in(client.get(path).data) == {}


@ON_SQLITE
def test_the_calendars_own_properties(client: FlaskClient, link: Link) -> None:
    ics = client.get(link()).data

    lines = ics.decode().split("\r\n")
    assert "X-WR-CALNAME:Bookings: Anna\\, the Host" in lines
    assert "REFRESH-INTERVAL;VALUE=DURATION:PT15M" in lines
    assert "X-PUBLISHED-TTL:PT15M" in lines
    assert not [line for line in lines if line.startswith("METHOD")]


@ON_SQLITE
def test_a_calendar_without_bookings_is_valid_too(client: FlaskClient, link: Link) -> None:
    assert events_in(client.get(link()).data) == {}


@ON_SQLITE
def test_a_booking_without_a_time_is_no_event(harness: Harness, client: FlaskClient, link: Link) -> None:
    harness.process(samples.created("b1", START, AT))
    with harness.services.database.transaction() as session:
        session.execute(update(Booking).values(starts_at=None, ends_at=None))

    assert events_in(client.get(link()).data) == {}


@ON_SQLITE
def test_hostile_text_stays_text(harness: Harness, client: FlaskClient, link: Link) -> None:
    guest = {"id": "g1", "fullname": HOSTILE, "email": "eve@guests.example", "phone": HOSTILE}
    harness.process(samples.created("b1", START, AT, attendees=[guest], cancelReason=HOSTILE))
    with harness.services.database.transaction() as session:
        texts = dict(meeting_name=HOSTILE, location=HOSTILE * 50, meeting_link="javascript:alert(1)\r\nATTENDEE:x")
        session.execute(update(Booking).values(**texts))
        session.execute(update(PlatformUser).values(name=HOSTILE))

    ics = client.get(link()).data

    (event,) = events_in(ics).values()
    assert "URL" not in event
    assert not event.subcomponents
    assert 'Eve BEGIN:VALARM END:VEVENT;X="1,2":\\n' in event["SUMMARY"].replace("\u200b", "")
    assert len(ics) < 20_000


@ON_SQLITE
def test_an_erased_guest_vanishes(harness: Harness, client: FlaskClient, link: Link) -> None:
    harness.process(samples.created("b1", START, AT))
    path = link()
    before = client.get(path)
    email = next(iter(harness.booking().attendees))["email"]
    assert email.encode() in before.data.replace(b"\r\n ", b"")

    services = harness.services
    erasure.erase(services.database, services.inbox.cipher, person_from(email), later(10))

    after = client.get(path, headers={"If-None-Match": before.headers["ETag"]})
    assert after.status_code == 200
    assert email.encode() not in after.data.replace(b"\r\n ", b"")


@ON_SQLITE
def test_a_calendar_that_did_not_change_is_not_sent_again(harness: Harness, client: FlaskClient, link: Link) -> None:
    harness.process(samples.created("b1", START, AT))
    path = link()
    first = client.get(path)
    known = {"If-None-Match": first.headers["ETag"]}

    again = client.get(path, headers=known)
    assert (again.status_code, again.data) == (304, b"")
    assert again.headers["ETag"] == first.headers["ETag"]
    weak = {"If-None-Match": f"W/{first.headers['ETag']}"}  # as nginx makes it when it compresses
    assert client.get(path, headers=weak).status_code == 304
    assert client.get(path).data == first.data

    harness.process(samples.rescheduled("b1", soon(90), later(5), START))
    assert client.get(path, headers=known).status_code == 200


@ON_SQLITE
def test_a_booking_that_another_host_took_over_is_not_hidden_by_a_date(
    harness: Harness, client: FlaskClient, link: Link
) -> None:
    """Its row is newer, but is no longer in this calendar: only the ETag knows."""
    harness.process(samples.created("b1", START, AT), samples.created("b2", START, AT))
    path = link()
    first = client.get(path)
    assert first.last_modified
    harness.process(samples.created("b1", START, later(5), hostIds=[OTHER_HOST], hosts=[]))

    second = client.get(path, headers={"If-Modified-Since": first.headers["Last-Modified"]})

    assert second.status_code == 200
    assert set(events_in(second.data)) == {"b2@meetergo-inbox"}


@ON_SQLITE
def test_head_has_the_headers_of_get(harness: Harness, client: FlaskClient, link: Link) -> None:
    harness.process(samples.created("b1", START, AT))
    path = link()
    head, get = client.head(path), client.get(path)
    assert (head.status_code, head.data) == (200, b"")
    assert {**head.headers, "Date": ""} == {**get.headers, "Date": ""}
    assert client.post(path).status_code == 405


@ON_SQLITE
def test_a_calendar_is_private_and_no_page_for_search_engines(client: FlaskClient, link: Link) -> None:
    for response in (client.get(link()), client.get("/calendar/forged.ics")):
        assert response.headers["X-Robots-Tag"] == "noindex, nofollow"
        assert response.headers["Referrer-Policy"] == "no-referrer"
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        assert response.cache_control.private or response.cache_control.no_store


def test_a_revoked_link_opens_nothing_and_a_new_one_does(harness: Harness, client: FlaskClient, link: Link) -> None:
    harness.process(samples.created("b1", START, AT))
    old = link()
    assert link() == old, "the link stays the same until it is revoked"
    database = harness.services.database

    assert calendar.revoke(database, "1", AT, by="ada", reason="leaked")
    assert not calendar.revoke(database, "1", AT, by="ada", reason="leaked")

    assert client.get(old).status_code == 404
    new = link()
    assert new != old
    assert client.get(old).status_code == 404
    assert client.get(new).status_code == 200


@ON_SQLITE
def test_a_link_works_as_long_as_its_key_is_known(harness: Harness, link: Link) -> None:
    new_key = "n" * 40
    old, new = link("1", KEY), link("1", KEY, new_key)
    assert old != new

    rotating, rotated = client_of(harness, KEY, new_key), client_of(harness, new_key)

    assert [rotating.get(path).status_code for path in (old, new)] == [200, 200]
    assert [rotated.get(path).status_code for path in (old, new)] == [404, 200]


@ON_SQLITE
def test_forged_tokens_open_nothing_and_ask_no_database(
    harness: Harness, client: FlaskClient, link: Link, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = link()
    token = path.removeprefix("/calendar/").removesuffix(".ics")
    feed_id, _, signature = token.partition(".")
    monkeypatch.setattr(Database, "read_only", lambda _: pytest.fail("the database was asked"))
    forged = [
        feed_id,
        f"{feed_id}.",
        f".{signature}",
        f"x{token}",
        f"{token}x",
        f"{feed_id}.{'A' * 43}",
        CalendarSigner(["another key, which is long enough...."]).path(feed_id).rpartition("/")[2].removesuffix(".ics"),
        "é" * 50,
        "a" * 5000,
        "%00",
    ]
    for each in forged:
        response = client.get(f"/calendar/{each}.ics")
        assert (response.status_code, response.data) == (404, b""), each
    assert (
        client.get(f"/calendar/..%2f{token}.ics").status_code
        == client.get("/calendar/").status_code
        == client.get(path.removesuffix(".ics")).status_code
        == 404
    )


@ON_SQLITE
def test_a_webhooks_address_is_no_calendar(client: FlaskClient, link: Link) -> None:
    feed_id = link().removeprefix("/calendar/").partition(".")[0]
    signed_as_address = AddressSigner([KEY]).path(feed_id).rpartition("/")[2]
    assert client.get(f"/calendar/{signed_as_address}.ics").status_code == 404


@ON_SQLITE
def test_a_failing_database_is_said_without_the_token(
    client: FlaskClient, link: Link, monkeypatch: pytest.MonkeyPatch, capfd: Any, caplog: Any
) -> None:
    path = link()
    caplog.set_level(logging.DEBUG)
    raising: list[Callable[[Any], Any]] = []
    for error, status in ((OperationalError("x", {}, Exception(path)), 503), (ValueError(path), 500)):

        def fail(_self: Any, error: Exception = error) -> None:
            raise error

        raising.append(fail)
        monkeypatch.setattr(Database, "read_only", fail)
        response = client.get(path)
        assert response.status_code == status
        assert ("Retry-After" in response.headers) == (status == 503)
    token = path.partition(".")[0].rpartition("/")[2]
    assert token not in caplog.text
    assert token not in "".join(capfd.readouterr())


def test_the_token_is_no_row_of_the_host(harness: Harness, link: Link) -> None:
    """A copy of the database opens no calendar: the signature is not in it."""
    signature = link().partition(".")[2].removesuffix(".ics")
    stored = [str(value) for user in harness.all(PlatformUser) for value in vars(user).values()]
    assert not [value for value in stored if signature in value]
