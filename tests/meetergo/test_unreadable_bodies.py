"""Any bytes are either parsed or rejected with an error that quotes none of them."""

import json
import time
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meetergo.events import BRACKETS, KIND_RANK, BookingEvent, EmployeeEvent, Event, UnreadableBody, read
from meetergo.wire import UNSTORABLE, without_unstorable
from tests.payloads import payload

RECEIVED = datetime(2026, 11, 22, 12, tzinfo=UTC)
PERSONAL_TEXT = "Quoted-Never"
FIELDS = [*sorted(json.loads(payload("booking_created"))), "appointmentId", "cancel", "data", "event", "actionAt"]
DEEP = 100_000


def error_message(body: bytes) -> str:
    with pytest.raises(UnreadableBody) as refused:
        read(body, RECEIVED)
    assert PERSONAL_TEXT not in str(refused.value)
    assert len(str(refused.value)) < 200
    return str(refused.value)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xff\xfe\x00",
        b"Quoted-Never",
        b'{"webhookType": "booking_created", "id": "Quoted-Never"',
        b'{"webhookType": "booking_created", "id": NaN, "x": "Quoted-Never"}',
        b'{"webhookType": "booking_created", "id": "a", "x": [-Infinity]}',
        b"{} {}",
    ],
    ids=lambda body: repr(body[:40]),
)
def test_a_body_that_is_not_json_is_unreadable(body: bytes) -> None:
    assert error_message(body) == "the body is not JSON"


@pytest.mark.parametrize("body", [b"null", b"1", b'"Quoted-Never"', b'["Quoted-Never"]', b"true"])
def test_a_body_that_is_no_object_is_unreadable(body: bytes) -> None:
    assert error_message(body) == "the body is JSON, but not an object"


NO_EVENTS: list[Any] = [..., None, "", " ", 1, ["Quoted-Never"], {}, True, "\x00"]


@pytest.mark.parametrize("kind", NO_EVENTS)
@pytest.mark.parametrize("name", ["new_employee", "form_submission"])
def test_a_body_without_an_event_or_an_appointment_is_unreadable(name: str, kind: Any) -> None:
    assert "names no event" in error_message(payload(name, webhookType=kind))


@pytest.mark.parametrize("kind", NO_EVENTS)
@pytest.mark.parametrize("missing", [{"id": ...}, {"start": ...}, {"start": "Quoted-Never"}])
def test_a_body_without_an_event_and_without_an_id_or_a_start_is_unreadable(missing: dict[str, Any], kind: Any) -> None:
    assert "names no event" in error_message(payload("booking_created", webhookType=kind, **missing))


@pytest.mark.parametrize("kind", NO_EVENTS)
@pytest.mark.parametrize("name", ["booking_created", "booking_rescheduled_flat", "booking_cancelled"])
def test_an_appointment_is_read_without_its_event(name: str, kind: Any) -> None:
    event, expected = read(payload(name, webhookType=kind), RECEIVED), read(payload(name), RECEIVED)
    assert isinstance(event, BookingEvent)
    assert isinstance(expected, BookingEvent)
    assert (event.booking_id, event.facts, event.attendees) == (expected.booking_id, expected.facts, expected.attendees)
    assert event.note == "ignored: webhookType"


def test_an_appointment_without_its_event_may_have_a_field_of_any_name() -> None:
    event = read(payload("booking_created", webhookType=None, data={"odd": 1}), RECEIVED)
    assert isinstance(event, BookingEvent)
    assert event.booking_id == "appt-uuid-12345"


@pytest.mark.parametrize("kind", [None, 1, []])
def test_an_appointment_of_the_old_form_is_read_without_its_event(kind: Any) -> None:
    document = {**json.loads(payload("booking_cancelled_old")), "event": kind}
    event = read(json.dumps(document).encode(), RECEIVED)
    expected = read(payload("booking_cancelled_old"), RECEIVED)
    assert isinstance(event, BookingEvent)
    assert isinstance(expected, BookingEvent)
    assert (event.booking_id, event.facts) == (expected.booking_id, expected.facts)


def test_a_nested_appointment_without_its_event_replaces_the_booking_beside_it() -> None:
    document = json.loads(payload("booking_rescheduled"))
    document |= {"webhookType": None, "id": "before"}
    event = read(json.dumps(document).encode(), RECEIVED)
    assert isinstance(event, BookingEvent)
    assert (event.type, event.moved_from) == ("booking_rescheduled", "before")


def test_an_object_with_an_appointment_and_without_an_event_replaces_no_booking() -> None:
    review = {"id": "review-1", "rating": 5, "appointment": json.loads(payload("booking_created"))}
    event = read(json.dumps(review).encode(), RECEIVED)
    assert isinstance(event, BookingEvent)
    assert (event.type, event.booking_id, event.moved_from) == ("booking_created", "appt-uuid-12345", None)


@pytest.mark.parametrize("name", ["booking_created", "booking_cancelled_old", "booking_rescheduled"])
@pytest.mark.parametrize("missing", [..., None, "", "\x00"])
def test_a_booking_without_an_id_is_unreadable(name: str, missing: Any) -> None:
    assert "names no booking" in error_message(payload(name, id=missing))


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ({"Quoted-Never": 1}, "neither text nor a whole number"),
        (True, "neither text nor a whole number"),
        (1.5, "neither text nor a whole number"),
        (["Quoted-Never"], "neither text nor a whole number"),
        ("Quoted-Never" * 100, "longer than 255 characters"),
        (int("9" * 300), "longer than 255 characters"),
        (int("9" * 4000), "longer than 255 characters"),
        (" ", "neither text"),
    ],
)
def test_a_booking_with_an_invalid_id_is_unreadable_and_its_event_is_known(value: Any, why: str) -> None:
    with pytest.raises(UnreadableBody, match=why) as refused:
        read(payload("booking_created", id=value), RECEIVED)
    assert PERSONAL_TEXT not in str(refused.value)
    assert refused.value.event == "booking_created"


def body_of(value: Any, field: str, envelope: str) -> bytes:
    """A body with one odd field, in one of meetergo's forms."""
    name = {"old": "booking_created_old", "nested": "booking_rescheduled"}.get(envelope, "booking_created")
    return payload(name, **{field: value})


ODD = [True, False, 0, -1, 1.5, 10**30, int("9" * 290), "", " ", "Quoted-Never", "x" * 10_000, [], {}, [[]], [{}]]
ODD += [{"Quoted-Never": 1}, ["Quoted-Never"], [None, 5, True], "9999-12-31T23:59:59Z", "0001-01-01T00:00:00+14:00"]
BODIES = (
    "start",
    "end",
    "location",
    "isCancelled",
    "rescheduledAt",
    "meetingInfo",
    "hostingInfo",
    "attendees",
    "hosts",
)
BODIES += ("hostIds", "meetingType", "meetingTypeId", "companyId", "createdAt", "updatedAt", "cancel", "secret", "odd")


@pytest.mark.parametrize("envelope", ["new", "old", "nested"])
@pytest.mark.parametrize("field", BODIES)
def test_any_other_field_may_have_any_type(field: str, envelope: str) -> None:
    """Readable fields are parsed nevertheless, and no note quotes an unreadable value."""
    expected = read(body_of(..., field, envelope), RECEIVED)
    assert isinstance(expected, BookingEvent)
    spoken = {"start": "starts_at", "end": "ends_at"}
    for value in ODD:
        event = read(body_of(value, field, envelope), RECEIVED)
        assert isinstance(event, BookingEvent), value
        assert event.booking_id == "appt-uuid-12345", value
        for column in ("starts_at", "ends_at"):
            if spoken.get(field) != column:
                assert event.facts[column] == expected.facts[column], value
        assert PERSONAL_TEXT not in (event.note or ""), value
        assert len(event.note or "") < 300, value
        json.dumps([event.facts, dict(event.attendees)]).encode()


@pytest.mark.parametrize(
    ("changes", "note"),
    [
        ({"start": "Quoted-Never"}, "ignored: start"),
        ({"updatedAt": "2024-13-01T00:00:00Z"}, "ignored: updatedAt"),
        ({"end": "9999-12-31T23:59:59Z"}, "ignored: end"),
        ({"start": "1969-12-31T23:59:59Z"}, "ignored: start"),
        ({"rescheduledAt": ""}, "ignored: rescheduledAt"),
        ({"isCancelled": "perhaps"}, "ignored: isCancelled"),
        ({"hostingInfo": []}, "ignored: hostingInfo"),
        ({"attendees": [{"id": "a"}, 1.5, {"id": "b", "email": [1]}]}, "ignored: attendees.1, attendees.2.email"),
        ({"attendees": 5}, "ignored: attendees"),
        ({"hostIds": [{"Quoted-Never": 1}, True]}, "ignored: hostIds.1"),
        ({"meetingType": {"id": "m", "metadata": []}}, "ignored: meetingType.metadata"),
        ({"meetingType": {"meetingInfo": {"name": ["Quoted-Never"]}}}, "ignored: meetingType.meetingInfo.name"),
        ({"meetingType": {"meetingInfo": {"name": {"Quoted-Never": "x"}}}}, "ignored: meetingType.meetingInfo.name"),
        ({"companyId": {}}, "ignored: companyId"),
        ({"attendees": [1.5] * 13}, ", ".join(["ignored: attendees.0", *(f"attendees.{n}" for n in range(1, 10))])),
    ],
)
def test_an_ignored_field_is_noted_by_its_name(changes: dict[str, Any], note: str) -> None:
    event = read(payload("booking_created", **changes), RECEIVED)
    assert event.note is not None
    assert event.note.startswith(note)
    assert len(event.note) < 300


def test_a_well_formed_body_has_no_note() -> None:
    assert read(payload("booking_created"), RECEIVED).note is None


def guests(*attendees: Any) -> list[dict[str, Any]]:
    event = read(payload("booking_created", attendees=list(attendees)), RECEIVED)
    assert isinstance(event, BookingEvent)
    return [dict(details) for details in event.attendees.values()]


def test_unusual_forms_of_a_guest_are_understood() -> None:
    assert guests("ada@guest.example") == [{"email": "ada@guest.example"}]
    assert guests("Ada <ada@guest.example>") == [{"email": "ada@guest.example", "fullname": "Ada"}]
    assert guests("Guest, Ada <ada@guest.example>") == [{"email": "ada@guest.example", "fullname": "Guest, Ada"}]
    assert guests("att-1", 7) == [{"id": "att-1"}, {"id": "7"}]
    assert guests({"id": 7, "phone": 491701234}) == [{"id": "7", "phone": "491701234"}]
    one: list[Any] = [{"id": "a"}, {"0": {"id": "a"}}, "a@b.example"]
    for attendees in one:
        event = read(payload("booking_created", attendees=attendees), RECEIVED)
        assert isinstance(event, BookingEvent)
        assert len(event.attendees) == 1


@pytest.mark.parametrize(
    ("text", "addresses"),
    [
        ("ada@guest.example, bob@guest.example", ["ada@guest.example", "bob@guest.example"]),
        ("Ada <ada@guest.example>;bob@guest.example;", ["ada@guest.example", "bob@guest.example"]),
        ("Guest, Ada <ada@guest.example>", ["ada@guest.example"]),
        ('"Guest, Ada" <ada@guest.example>; "B; Bob" <bob@guest.example>', ["ada@guest.example", "bob@guest.example"]),
    ],
)
def test_guests_may_be_a_text_with_commas(text: str, addresses: list[str]) -> None:
    event = read(payload("booking_created", attendees=text), RECEIVED)
    assert isinstance(event, BookingEvent)
    assert [guest["email"] for guest in event.attendees.values()] == addresses
    assert event.note is None


@pytest.mark.parametrize(
    "text",
    [
        '[{"email": "ada@guest.example"}]',
        '\n [{"email": "ada@guest.example"}]',
        "Guest, Ada <a@b.example>, Guest, Bob <c@d.example>",
        "Ada <a@b.example> Bob <c@d.example>",
        "Ada @ <home>",
    ],
)
def test_a_text_that_is_no_list_of_guests_is_no_guest(text: str) -> None:
    event = read(payload("booking_created", attendees=text), RECEIVED)
    assert isinstance(event, BookingEvent)
    assert event.attendees == {}
    assert "attendee_ids" not in event.facts, "the booking would lose the guests that it has"
    assert (event.note, event.has_all_attendees) in [("ignored: attendees", True), ("ignored: attendees.0", False)]


def test_ids_of_hosts_may_be_a_text_with_commas() -> None:
    event = read(payload("booking_created", hosts=..., hostIds="host-1, host-2"), RECEIVED)
    assert isinstance(event, BookingEvent)
    assert event.facts["host_ids"] == ["host-1", "host-2"]
    event = read(payload("booking_created", hosts=..., hostIds='\n["host-1"]'), RECEIVED)
    assert event.note == "ignored: hostIds"


@pytest.mark.parametrize("text", [" " * 100 + "<" + "@" * 150, " " * 250 + "@", '"' * 200 + "<@", "<" * 250 + "@"])
def test_a_thousand_odd_guests_take_no_noticeable_time(text: str) -> None:
    """A worker with such a body would process nothing else."""
    started = time.process_time()
    read(payload("booking_created", attendees=[f"{text}{number}" for number in range(1000)]), RECEIVED)
    read(payload("booking_created", attendees=text * 1000), RECEIVED)
    assert time.process_time() - started < 1


@pytest.mark.parametrize("field", ["hosts", "hostIds"])
@pytest.mark.parametrize("value", [["host-1"], [{"id": "host-1"}], {"id": "host-1"}, ["host-1", "host-1", None]])
def test_hosts_may_be_objects_or_ids(field: str, value: Any) -> None:
    others = {"hosts": ..., "hostIds": ...}
    event = read(payload("booking_created", **(others | {field: value})), RECEIVED)
    assert isinstance(event, BookingEvent)
    assert event.facts["host_ids"] == ["host-1"]


@pytest.mark.parametrize(
    ("value", "is_cancelled"), [("true", True), ("True", True), (1, True), ("false", False), (0, False), ("0", False)]
)
def test_a_flag_may_be_a_text_or_a_number(value: Any, is_cancelled: bool) -> None:
    event = read(payload("booking_created", isCancelled=value), RECEIVED)
    assert isinstance(event, BookingEvent)
    assert (event.facts.get("status") == "cancelled") == is_cancelled
    assert event.note is None


@pytest.mark.parametrize("name", ["booking_created", "booking_cancelled", "booking_rescheduled"])
def test_the_event_type_may_be_beside_the_data(name: str) -> None:
    whole = json.loads(payload(name))
    fields = {field: value for field, value in whole.items() if field != "webhookType"}
    for outer in ({}, {"id": "evt_1", "createdAt": "2020-01-01T00:00:00Z"}, {"companyId": "company-uuid-789"}):
        event = read(json.dumps({"webhookType": name, **outer, "data": fields}).encode(), RECEIVED)
        flat = read(payload(name), RECEIVED)
        assert isinstance(event, BookingEvent)
        assert isinstance(flat, BookingEvent)
        assert (event.booking_id, event.facts, event.at) == (flat.booking_id, flat.facts, flat.at)


@pytest.mark.parametrize("data", [{}, {"x": 1}, [], "x", {"id": "other"}])
def test_a_flat_body_with_data_of_its_own_is_still_read(data: Any) -> None:
    event = read(payload("booking_created", data=data), RECEIVED)
    assert isinstance(event, BookingEvent)
    assert event.booking_id == "appt-uuid-12345"


def test_a_name_in_several_languages_is_kept_whole() -> None:
    names = {"de": "Erstgespräch", "en-GB": "First call", "fr": None}
    event = read(payload("booking_created", meetingType={"meetingInfo": {"name": names}}), RECEIVED)
    assert isinstance(event, BookingEvent)
    assert event.facts["meeting_name"] == {"de": "Erstgespräch", "en-GB": "First call"}
    assert event.note is None


def test_numbers_that_no_database_stores_stay_text() -> None:
    body = payload("booking_created", meetingType={"metadata": {"a": 1, "b": 2}})
    event = read(body.replace(b'"a": 1', b'"a": 1e999').replace(b'"b": 2', b'"b": ' + b"9" * 5000), RECEIVED)
    assert isinstance(event, BookingEvent)
    assert event.facts["metadata"] == {"a": "1e999", "b": "9" * 5000}


@pytest.mark.parametrize("name", ["booking_created", "booking_cancelled_old", "booking_rescheduled"])
def test_too_many_guests_say_nothing(name: str) -> None:
    most = [{"id": f"a-{number}"} for number in range(1001)]
    event = read(payload(name, attendees=most[:1000]), RECEIVED)
    assert isinstance(event, BookingEvent)
    assert len(event.attendees) == 1000
    event = read(payload(name, attendees=most), RECEIVED)
    assert isinstance(event, BookingEvent)
    assert "attendee_ids" not in event.facts
    assert event.note == "ignored: attendees"


def test_too_many_hosts_say_nothing() -> None:
    event = read(payload("booking_created", hostIds=[f"h-{n}" for n in range(1001)], hosts=...), RECEIVED)
    assert isinstance(event, BookingEvent)
    assert "host_ids" not in event.facts
    assert event.note == "ignored: hostIds"


def nested(depth: int, field: str = "odd") -> bytes:
    return payload("booking_created", **{field: "here"}).replace(b'"here"', b"[" * depth + b"]" * depth)


@pytest.mark.parametrize("depth", [64, 65, 900, 950, DEEP])
@pytest.mark.parametrize("field", ["odd", "meetingType", "location", "attendees"])
def test_what_nests_too_deep_is_ignored(depth: int, field: str) -> None:
    event, expected = read(nested(depth, field), RECEIVED), read(nested(63, field), RECEIVED)
    assert isinstance(event, BookingEvent)
    assert isinstance(expected, BookingEvent)
    assert event.booking_id == expected.booking_id == "appt-uuid-12345"
    assert event.facts.keys() == expected.facts.keys()
    assert event.attendees == expected.attendees
    assert (event.note or "").startswith("ignored: what nests deeper than 64 levels")


def test_what_is_known_of_a_deep_body_can_be_stored() -> None:
    deep = payload("booking_created", id="a\x00b\ud800", odd="here").replace(b'"here"', b"[" * 99 + b"]" * 99)
    event = read(deep, RECEIVED)
    assert isinstance(event, BookingEvent)
    assert event.booking_id == "ab?"


def test_a_text_without_an_end_is_searched_once_for_brackets() -> None:
    unended = b'"' + rb"\"" * 1000
    assert [found.span() for found in BRACKETS.finditer(b"[" + unended)] == [(0, 1), (1, 1 + len(unended))]
    assert error_message(b"[" * DEEP + unended) == "the body is not JSON"


def test_a_body_that_nests_too_deep_and_is_no_json_is_no_json() -> None:
    assert error_message(b"[" * DEEP) == error_message(b"]" * DEEP) == "the body is not JSON"
    assert error_message(b"[" * DEEP + b"]" * DEEP) == "the body is JSON, but not an object"
    assert error_message(nested(DEEP) + b"}") == "the body is not JSON"


def test_brackets_in_a_text_do_not_count_as_nesting() -> None:
    assert isinstance(read(payload("booking_created", location="[{" * 500), RECEIVED), BookingEvent)


def test_a_byte_order_mark_is_ignored() -> None:
    event = read(b"\xef\xbb\xbf" + payload("booking_created"), RECEIVED)
    assert isinstance(event, BookingEvent)


@pytest.mark.parametrize("kind", [5, None, [], ""])
def test_an_event_may_be_in_either_field(kind: Any) -> None:
    event = read(payload("booking_created", webhookType=kind, event="booking_created"), RECEIVED)
    assert isinstance(event, BookingEvent)


def test_an_employee_without_an_id_is_unreadable() -> None:
    assert "names no user" in error_message(payload("new_employee", id=..., givenName=PERSONAL_TEXT))
    employee = read(payload("new_employee", email=[PERSONAL_TEXT]), RECEIVED)
    assert isinstance(employee, EmployeeEvent)
    assert (employee.email, employee.note) == (None, "ignored: email")


def test_characters_that_no_database_stores_are_removed() -> None:
    odd = {"ticket\x00": "a\x00b", "half \ud800": ["\udfff"]}
    event = read(payload("booking_created", id="a\x00b", meetingType={"metadata": odd}), RECEIVED)
    assert isinstance(event, BookingEvent)
    assert event.booking_id == "ab"
    assert event.facts["metadata"] == {"ticket": "ab", "half ?": ["?"]}


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()) | st.just("2024-01-14T15:30Z"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text() | st.sampled_from(FIELDS), inner, max_size=4),
    max_leaves=12,
)
objects = st.dictionaries(st.sampled_from(FIELDS), values, max_size=5)


def is_read_or_unreadable(body: bytes) -> None:
    with suppress(UnreadableBody):
        assert isinstance(read(body, RECEIVED), Event)


@given(st.binary() | st.text().map(str.encode))
def test_arbitrary_bytes_raise_nothing_else(body: bytes) -> None:
    is_read_or_unreadable(body)


@given(
    objects, st.sampled_from([*KIND_RANK, "new_employee", "form_submission"]), st.sampled_from(["old", "new", "nested"])
)
def test_arbitrary_objects_raise_nothing_else(inner: dict[str, Any], kind: str, shape: str) -> None:
    whole = {"event": kind, "data": inner} if shape == "old" else {**inner, "webhookType": kind}
    if shape == "nested":
        whole["rescheduledAppointment"] = inner
    is_read_or_unreadable(json.dumps(whole).encode())


texts = st.text(st.sampled_from("\x00\\u0dD8cC1aé\ud800\udbff\udc00\U0001f600")) | st.text()


def any_json(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3)


@given(st.recursive(texts | st.none() | st.integers(), any_json), st.booleans())
def test_a_body_without_suspicious_bytes_has_no_values_that_no_database_stores(value: Any, ascii_only: bool) -> None:
    """The check of the bytes replaces a check of each value, and must not miss any."""
    with suppress(UnicodeEncodeError):
        body = json.dumps(value, ensure_ascii=ascii_only).encode()
        read_back = json.loads(body)
        assert without_unstorable(read_back) == read_back or UNSTORABLE.search(body)


@given(st.sampled_from(FIELDS), values)
def test_an_arbitrary_value_of_one_field_raises_nothing_else(field: str, value: Any) -> None:
    is_read_or_unreadable(payload("booking_created", **{field: value}))


@pytest.mark.parametrize("depth", range(50, 1050, 50))
@pytest.mark.parametrize("field", ["location", "x", "attendees"])
def test_any_depth_is_parsed_or_unreadable(field: str, depth: int) -> None:
    nested = b"[" * depth + b"]" * depth
    is_read_or_unreadable(payload("booking_created", **{field: "here"}).replace(b'"here"', nested))
