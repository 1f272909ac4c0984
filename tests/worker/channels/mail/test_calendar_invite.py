import re
from datetime import UTC, datetime
from email.headerregistry import Address

import pytest
from icalendar import Calendar

from worker.channels.mail.calendar_invite import CalendarInvite
from worker.channels.text.message_text import MessageText

ANNA = Address("Anna Muster", "anna", "platform.example")
SENDER = Address("Bücher", "b", "mail.example")


@pytest.fixture
def invite(make_message):
    def invited(attendee=ANNA, **changes):
        message = make_message(**changes)
        return CalendarInvite.to(attendee, message, MessageText.render(message, is_personal=True), SENDER)

    return invited


def event_of(invitation):
    calendar = Calendar.from_ical(invitation.ics)
    assert calendar["METHOD"] == invitation.method
    assert calendar["PRODID"] == "-//meetergo-inbox//meetergo-inbox//EN"
    (event,) = calendar.events
    return event


def test_a_new_booking_sends_a_calendar_request(invite):
    invitation = invite()

    event = event_of(invitation)
    assert invitation.method == "REQUEST"
    assert event["STATUS"] == "CONFIRMED"
    assert event["SUMMARY"] == "Discovery Call with Jane Doe"
    assert event.start == datetime(2026, 1, 15, 14, tzinfo=UTC)
    assert event.end == datetime(2026, 1, 15, 14, 30, tzinfo=UTC)
    assert event.stamp == datetime(2026, 1, 10, 8, tzinfo=UTC)
    assert event["URL"] == event["LOCATION"] == "https://zoom.example/j/123?pwd=a&b=c"


def test_times_are_written_in_utc(invite):
    lines = invite(starts_at="2026-01-15T15:00:00+01:00").ics.decode().split("\r\n")

    assert "DTSTART:20260115T140000Z" in lines
    assert "DTSTAMP:20260110T080000Z" in lines


def test_a_rescheduled_booking_sends_a_request_with_the_same_uid_and_a_higher_sequence(invite):
    first, second = event_of(invite()), event_of(invite(kind="rescheduled", revision=2))

    assert first["UID"] == second["UID"] == "appt-uuid-12345@meetergo-inbox"
    assert (first["SEQUENCE"], second["SEQUENCE"]) == (0, 1)


@pytest.mark.parametrize("booking_id", ["a/b", "a b", "a|b", "company:a/b", "a:b:c"])
def test_an_id_with_odd_characters_is_no_other_bookings_entry(booking_id, invite):
    ordinary = str(event_of(invite(id=re.sub("[^a-z]", "-", booking_id)))["UID"])

    odd = str(event_of(invite(id=booking_id))["UID"])

    assert re.fullmatch(f"{ordinary.partition('@')[0]}-[0-9a-f]{{8}}@meetergo-inbox", odd)


@pytest.mark.parametrize(
    ("booking_id", "uid"),
    [
        ("3f2a91c0-0000-4000-8000-000000000000", "3f2a91c0-0000-4000-8000-000000000000"),
        ("A.b_c", "A.b_c"),
        ("company:3f2a91c0", "company-3f2a91c0"),
    ],
)
def test_an_ordinary_id_is_the_uid(booking_id, uid, invite):
    assert event_of(invite(id=booking_id))["UID"] == f"{uid}@meetergo-inbox"


def test_a_cancelled_booking_sends_a_calendar_cancel_with_the_same_uid(invite):
    invitation = invite(kind="cancelled", status="cancelled", revision=3)

    event = event_of(invitation)
    assert invitation.method == "CANCEL"
    assert event["STATUS"] == "CANCELLED"
    assert event["UID"] == event_of(invite())["UID"]
    assert event["SEQUENCE"] == 2


def test_when_a_guest_leaves_the_meeting_stays_in_the_calendar(invite):
    invitation = invite(kind="attendee_left", revision=2)

    assert invitation.method == "REQUEST"
    assert event_of(invitation)["STATUS"] == "CONFIRMED"


def test_only_the_recipient_attends_and_has_accepted(invite):
    event = event_of(invite())

    attendee = event["ATTENDEE"]
    assert attendee == "mailto:anna@platform.example"
    assert attendee.params["PARTSTAT"] == "ACCEPTED"
    assert attendee.params["RSVP"] == "FALSE"
    assert attendee.params["CN"] == "Anna Muster"
    assert event["ORGANIZER"] == "mailto:b@mail.example"
    assert event["ORGANIZER"].params["CN"] == "Bücher"


def test_the_guests_are_in_the_description(invite):
    assert "With: Jane Doe, jane@guests.example" in event_of(invite())["DESCRIPTION"]


def test_a_booking_without_a_start_has_no_invite(invite):
    assert invite(starts_at=None) is None


def test_an_unknown_end_is_omitted(invite):
    assert "DTEND" not in event_of(invite(ends_at=None))


def test_only_a_web_link_becomes_the_url(invite):
    assert "URL" not in event_of(invite(meeting_link="javascript:alert(1)"))


def test_guests_text_cannot_add_lines(invite, guests):
    evil = 'Eve"\r\nATTENDEE:mailto:victim@example.com\r\nX;:,\\n'
    event = event_of(
        invite(
            attendee=Address(" ".join(evil.split()), "anna", "platform.example"),
            id=evil,
            attendees=[guests[0] | {"fullname": evil}],
            meeting_name=evil,
            location=evil,
            meeting_link="https://x.example/\r\nATTENDEE:mailto:victim@example.com",
        )
    )

    assert event["ATTENDEE"] == "mailto:anna@platform.example"
    assert "\n" not in event["UID"]
    assert event["LOCATION"].replace("\u200b", "").startswith('Eve" ATTENDEE:mailto:victim@example.com')
