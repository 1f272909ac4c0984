"""Whatever bytes come, they are read, or refused in words that quote nothing of them."""

import json
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meetergo.events import KIND_RANK, SUSPICIOUS, BookingEvent, Event, Unreadable, _storable, read
from tests.payloads import payload

RECEIVED = datetime(2026, 11, 22, 12, tzinfo=UTC)
MARK = "Quoted-Never"
FIELDS = [*sorted(json.loads(payload("booking_created"))), "appointmentId", "cancel", "data", "event", "actionAt"]
DEEP = 100_000


def refusal(body: bytes) -> str:
    with pytest.raises(Unreadable) as refused:
        read(body, RECEIVED)
    assert MARK not in str(refused.value)
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
        b'{"webhookType": "booking_created", "id": "a", "x": 1e999}',
        b'{"webhookType": "booking_created", "id": ' + b"9" * 5000 + b"}",
        b"[" * DEEP,
        b"[" * DEEP + b"]" * DEEP,
        b'{"webhookType": "booking_created", "id": ' + b'{"a":' * DEEP + b"1" + b"}" * DEEP + b"}",
        b"{} {}",
    ],
    ids=lambda body: repr(body[:40]),
)
def test_what_is_not_json_is_unreadable(body: bytes) -> None:
    assert refusal(body) == "the body is not JSON"


@pytest.mark.parametrize("body", [b"null", b"1", b'"Quoted-Never"', b'["Quoted-Never"]', b"true"])
def test_what_is_no_object_is_unreadable(body: bytes) -> None:
    assert refusal(body) == "the body is JSON, but not an object"


@pytest.mark.parametrize("kind", [..., None, "", 1, ["Quoted-Never"], {}, True, "\x00"])
def test_a_body_without_an_event_is_unreadable(kind: Any) -> None:
    assert "names no event" in refusal(payload("booking_created", webhookType=kind))


@pytest.mark.parametrize("name", ["booking_created", "booking_cancelled_old", "booking_rescheduled"])
@pytest.mark.parametrize("missing", [..., None, "", "\x00"])
def test_a_booking_without_an_id_is_unreadable(name: str, missing: Any) -> None:
    assert "names no booking" in refusal(payload(name, id=missing))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("id", {"Quoted-Never": 1}),
        ("id", "Quoted-Never" * 100),
        ("id", True),
        ("id", 1.5),
        ("start", "Quoted-Never"),
        ("updatedAt", "2024-13-01T00:00:00Z Quoted-Never"),
        ("updatedAt", "0001-01-01T00:00:00+14:00"),
        ("updatedAt", [1]),
        ("isCancelled", "Quoted-Never"),
        ("attendees", "Quoted-Never"),
        ("attendees", ["Quoted-Never"]),
        ("meetingType", "Quoted-Never"),
        ("hostIds", [{"Quoted-Never": 1}]),
    ],
)
def test_a_field_that_makes_no_sense_is_named_but_not_quoted(field: str, value: Any) -> None:
    sentence = refusal(payload("booking_created", **{field: value}))
    assert "cannot be read" in sentence
    assert field in sentence or field == "id"


def test_an_employee_without_an_id_is_unreadable() -> None:
    assert "'id' cannot be read" in refusal(payload("new_employee", id=..., givenName=MARK))


def test_what_no_database_stores_as_text_is_taken_out() -> None:
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
    with suppress(Unreadable):
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
def test_a_body_without_anything_suspicious_says_nothing_that_no_database_stores(value: Any, ascii_only: bool) -> None:
    """The look at the bytes is what spares the look at each value; it must never spare too much."""
    with suppress(UnicodeEncodeError):
        body = json.dumps(value, ensure_ascii=ascii_only).encode()
        read_back = json.loads(body)
        assert _storable(read_back) == read_back or SUSPICIOUS.search(body)


@given(st.sampled_from(FIELDS), values)
def test_an_arbitrary_value_in_one_field_raises_nothing_else(field: str, value: Any) -> None:
    is_read_or_unreadable(payload("booking_created", **{field: value}))


@pytest.mark.parametrize("depth", range(50, 1050, 50))
@pytest.mark.parametrize("field", ["location", "x", "attendees"])
def test_any_depth_is_read_or_unreadable(field: str, depth: int) -> None:
    nested = b"[" * depth + b"]" * depth
    is_read_or_unreadable(payload("booking_created", **{field: "here"}).replace(b'"here"', nested))
