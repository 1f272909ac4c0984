"""Every documented form of an event yields the same facts."""

import json
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

import pytest

from meetergo.events import BookingEvent, EmployeeEvent, Event, read
from meetergo.guests import key_of
from tests.payloads import payload

RECEIVED = datetime(2026, 11, 22, 12, tzinfo=UTC)
CANCELLED = "booking_cancelled", "booking_cancelled_old", "booking_cancelled_action"
RESCHEDULED = "booking_rescheduled", "booking_rescheduled_old", "booking_rescheduled_flat"
BOOKINGS = "booking_created", "booking_created_old", *CANCELLED, "booking_cancelled_attendee_left", *RESCHEDULED
JANE = key_of({"id": "att-uuid-789", "email": "customer@example.com"})


def parsed_event(name: str, **changes: Any) -> BookingEvent:
    event = read(payload(name, **changes), RECEIVED)
    assert isinstance(event, BookingEvent)
    return event


def test_a_created_booking_has_all_its_facts() -> None:
    event = parsed_event("booking_created")
    assert event.type == "booking_created"
    assert (event.booking_id, event.company_id) == ("appt-uuid-12345", "company-uuid-789")
    assert event.at == datetime(2024, 1, 14, 15, 30, tzinfo=UTC)
    assert event.facts == {
        "starts_at": "2024-01-15T08:00:00+00:00",
        "ends_at": "2024-01-15T08:30:00+00:00",
        "location": None,
        "meeting_link": "https://zoom.us/j/123456789",
        "meeting_name": "Discovery Call",
        "meeting_type_id": "mt-uuid-456",
        "metadata": {"ticketId": "EVAL-12345", "source": "crm-integration"},
        "host_ids": ["host-uuid-123"],
        "attendee_ids": [JANE],
    }
    assert event.attendees[JANE]["fullname"] == "Jane Doe"
    assert event.attendees[JANE]["timezone"] == "America/New_York"


def test_the_old_envelope_has_the_same_facts_except_metadata() -> None:
    old, new = parsed_event("booking_created_old"), parsed_event("booking_created")
    assert old.facts == {name: value for name, value in new.facts.items() if name != "metadata"}
    assert (old.attendees, old.at, old.booking_id) == (new.attendees, new.at, new.booking_id)


@pytest.mark.parametrize("name", CANCELLED)
def test_every_form_of_a_cancelled_booking_has_author_and_reason(name: str) -> None:
    event = parsed_event(name)
    assert event.facts["status"] == "cancelled"
    assert (event.facts["cancelled_by"], event.facts["cancel_reason"]) == ("attendee", "Schedule conflict")
    assert event.at == datetime(2024, 1, 14, 16, tzinfo=UTC)


@pytest.mark.parametrize("name", RESCHEDULED)
def test_every_form_of_a_rescheduled_booking_has_the_new_times(name: str) -> None:
    event = parsed_event(name)
    assert (event.type, event.booking_id) == ("booking_rescheduled", "appt-uuid-12345")
    assert event.facts == parsed_event("booking_rescheduled").facts
    assert event.facts["starts_at"] == "2024-01-16T13:00:00+00:00"
    assert event.at == datetime(2024, 1, 14, 18, tzinfo=UTC)


def test_an_attendee_who_left_a_group_cancels_nothing() -> None:
    event = parsed_event("booking_cancelled_attendee_left")
    assert event.type == "booking_cancelled"
    assert not {"status", "cancelled_by", "cancel_reason"} & set(event.facts)
    assert [guest["id"] for guest in event.attendees.values()] == ["att-uuid-789"]


@pytest.mark.parametrize("name", BOOKINGS)
@pytest.mark.parametrize(
    "cancel",
    [{"actionAt": "2024-01-14T19:00:00Z"}, {"cancelledAt": "2024-01-14T19:00:00Z", "actionAt": None}],
    ids=["actionAt", "cancelledAt"],
)
def test_a_flag_or_a_time_cancels_under_any_event_name(name: str, cancel: dict[str, Any]) -> None:
    assert parsed_event(name, isCancelled=True, cancel=None).facts["status"] == "cancelled"
    assert parsed_event(name, isCancelled=..., cancel=cancel).facts["status"] == "cancelled"
    for flag in (False, None, ...):
        assert "status" not in parsed_event(name, isCancelled=flag, cancel={"actionAt": None, "reason": "no"}).facts
        assert "status" not in parsed_event(name, isCancelled=flag, cancel=...).facts


@pytest.mark.parametrize("zero", [0, 0.0, "1970-01-01T00:00:00.000Z", "1970-01-01T01:00:00+01:00", 1, -1, "", False])
@pytest.mark.parametrize("field", ["actionAt", "cancelledAt"])
def test_a_cancel_time_of_zero_is_none(field: str, zero: Any) -> None:
    event = parsed_event("booking_created", isCancelled=False, cancel={field: zero})
    assert "status" not in event.facts
    assert event.note == f"ignored: cancel.{field}"


@pytest.mark.parametrize("name", BOOKINGS)
def test_a_missing_field_says_nothing(name: str) -> None:
    fields = ("start", "end", "meetingInfo", "meetingType", "meetingTypeId", "attendees", "hosts", "hostIds")
    event = parsed_event(name, **dict.fromkeys((*fields, "companyId", "location"), ...))
    assert set(event.facts) - {"status", "cancelled_by", "cancel_reason"} == set()
    assert (event.attendees, event.company_id, event.ignored) == ({}, None, ())


@pytest.mark.parametrize("name", BOOKINGS)
def test_a_null_time_host_or_list_of_guests_says_nothing(name: str) -> None:
    event = parsed_event(name, **dict.fromkeys(("start", "end", "attendees", "hosts", "hostIds", "companyId"), None))
    assert not {"starts_at", "ends_at", "attendee_ids", "host_ids"} & set(event.facts)
    assert (event.attendees, event.company_id, event.ignored) == ({}, None, ())


@pytest.mark.parametrize("name", BOOKINGS)
@pytest.mark.parametrize(
    ("changes", "column"),
    [
        ({"location": None}, "location"),
        ({"location": " "}, "location"),
        ({"meetingInfo": {"meetingLink": None}}, "meeting_link"),
        ({"meetingInfo": {"meetingLink": ""}}, "meeting_link"),
        ({"hostingInfo": {"meetingLink": None}, "meetingInfo": {"name": "Call"}}, "meeting_link"),
        ({"hostingInfo": None, "meetingInfo": {"name": "Call"}}, "meeting_link"),
        ({"hostingInfo": None, "meetingInfo": {"meetingLink": None}}, "meeting_link"),
        ({"meetingInfo": None}, "meeting_link"),
        ({"meetingType": {"meetingInfo": {"name": None}}}, "meeting_name"),
        ({"meetingType": {"meetingInfo": None, "name": None}}, "meeting_name"),
        ({"meetingType": {"metadata": None}}, "metadata"),
        ({"meetingTypeId": None, "meetingType": ...}, "meeting_type_id"),
        ({"meetingTypeId": None, "meetingType": None}, "meeting_name"),
    ],
)
def test_null_says_that_there_is_none(name: str, changes: dict[str, Any], column: str) -> None:
    event = parsed_event(name, **changes)
    assert event.facts[column] is None
    assert event.ignored == ()


@pytest.mark.parametrize(
    ("changes", "column", "value"),
    [
        ({"hostingInfo": {"meetingLink": None}}, "meeting_link", "https://zoom.us/j/123456789"),
        ({"hostingInfo": None}, "meeting_link", "https://zoom.us/j/123456789"),
        ({"hostingInfo": {"meetingLink": "x"}, "meetingInfo": {"meetingLink": None}}, "meeting_link", "x"),
        ({"meetingType": {"meetingInfo": {"name": None}, "name": "N"}}, "meeting_name", "N"),
        ({"meetingType": {"id": None}}, "meeting_type_id", "mt-uuid-456"),
        ({"meetingTypeId": None}, "meeting_type_id", "mt-uuid-456"),
        ({"meetingType": None}, "meeting_type_id", "mt-uuid-456"),
    ],
)
def test_of_two_names_for_one_field_the_one_with_a_value_counts(
    changes: dict[str, Any], column: str, value: str
) -> None:
    assert parsed_event("booking_created", **changes).facts[column] == value


def test_a_meeting_type_id_alone_removes_no_name() -> None:
    facts = parsed_event("booking_created", meetingType=None).facts
    assert not {"meeting_name", "metadata"} & set(facts)


def test_a_null_in_the_cancellation_of_a_live_booking_says_nothing() -> None:
    nothing = {"actionAt": None, "reason": None, "actionSource": None}
    facts = parsed_event("booking_created", isCancelled=None, cancel=nothing).facts
    assert not {"status", "cancelled_by", "cancel_reason"} & set(facts)
    facts = parsed_event("booking_cancelled", cancel={"cancelledAt": "2024-01-14T16:00:00Z", "reason": None}).facts
    assert facts["cancel_reason"] is None
    assert "cancelled_by" not in facts


def test_a_null_removes_a_detail_of_a_guest_but_not_the_id() -> None:
    guest = {"id": None, "email": "jane@example.com", "phone": None, "fullname": ""}
    (details,) = parsed_event("booking_created", attendees=[guest]).attendees.values()
    assert details == {"email": "jane@example.com", "phone": None, "fullname": None}


def test_a_null_removes_a_location_and_absence_keeps_it() -> None:
    assert parsed_event("booking_created", location=None).facts["location"] is None
    assert "location" not in parsed_event("booking_created", location=...).facts
    assert parsed_event("booking_created", location={"city": "Köln"}).facts["location"] == '{"city": "Köln"}'


def test_an_empty_list_of_guests_differs_from_an_absent_one() -> None:
    assert parsed_event("booking_created", attendees=[]).facts["attendee_ids"] == []


def test_alternative_field_names_are_understood() -> None:
    hosting = {"hostingInfo": {"meetingLink": "https://example.com/j"}, "meetingInfo": {"name": "Call"}}
    facts = parsed_event("booking_created", **hosting, meetingType={"id": "mt-1"}, meetingTypeId=..., hostIds=...).facts
    assert (facts["meeting_link"], facts["settings_name"]) == ("https://example.com/j", "Call")
    assert (facts["meeting_type_id"], facts["host_ids"]) == ("mt-1", ["host-uuid-123"])


@pytest.mark.parametrize("attendee", [{"id": 7, "email": "a@b.c"}, {"email": "a@b.c"}, {"phone": "+1"}, {}])
def test_attendees_are_identified_by_whatever_is_known(attendee: dict[str, Any]) -> None:
    event = parsed_event("booking_created", attendees=[attendee, {"phone": "+2"}, {"phone": "+2", "fullname": "Bob"}])
    assert len(event.attendees) == 3
    assert event.facts["attendee_ids"] == list(event.attendees)


@pytest.mark.parametrize("name", ["new_employee", "new_employee_old"])
def test_a_new_employee_has_a_user_id(name: str) -> None:
    assert read(payload(name), RECEIVED) == EmployeeEvent("new_employee", None, "user-uuid-123", "new.user@example.com")
    assert read(payload(name, id=1492, email=None, companyId="c"), RECEIVED) == EmployeeEvent(
        "new_employee", "c", "1492", None
    )


@pytest.mark.parametrize("kind", ["form_submission", "review_submitted", "signature_completed", "anything", "x" * 500])
def test_an_undocumented_event_is_only_named(kind: str) -> None:
    for company in ("company-1", None):
        event = read(payload("form_submission", webhookType=kind, companyId=company), RECEIVED)
        assert event == Event(kind[:100], company)


def test_repr_of_an_event_names_no_person() -> None:
    for shown in (repr(parsed_event("booking_created")), repr(read(payload("new_employee"), RECEIVED))):
        assert "example.com" not in shown
        assert "Jane" not in shown


def test_a_version_consists_of_time_kind_and_digest() -> None:
    body = payload("booking_cancelled")
    assert parsed_event("booking_cancelled").version == f"{1705248000_000000:020d}-3-{sha256(body).hexdigest()[:16]}"


@pytest.mark.parametrize(
    ("spelling", "name"),
    [
        (" booking_created\n", "booking_created"),
        ("BOOKING_CREATED", "booking_created"),
        ("booking.rescheduled", "booking_rescheduled"),
        ("bookingCancelled", "booking_cancelled"),
        ("booking-canceled", "booking_cancelled"),
        ("NewEmployee", "new_employee"),
    ],
)
@pytest.mark.parametrize("form", ["", "_old"])
def test_an_event_is_known_in_every_spelling_of_its_name(spelling: str, name: str, form: str) -> None:
    body = payload(f"{name}{form}")
    event = read(body.replace(json.dumps(name).encode(), json.dumps(spelling).encode()), RECEIVED)
    assert type(event) is type(read(body, RECEIVED))
    assert event.type == name


@pytest.mark.parametrize("name", ["booking", "booking_created_2", "rebooking_created", "form_submission", "Ünbekannt "])
def test_another_event_keeps_its_name(name: str) -> None:
    assert read(payload("form_submission", webhookType=name), RECEIVED).type == name


def test_blanks_around_an_employees_address_say_nothing() -> None:
    event = read(payload("new_employee", email=" new.user@example.com\n"), RECEIVED)
    assert isinstance(event, EmployeeEvent)
    assert event.email == "new.user@example.com"
