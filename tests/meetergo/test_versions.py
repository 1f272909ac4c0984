"""An event's version orders the events of a booking; its id says which booking that is."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from meetergo.events import BookingEvent, read
from tests.payloads import payload

RECEIVED = datetime(2026, 11, 22, 12, tzinfo=UTC)
EARLY, LATE = "2024-03-01T10:00:00+01:00", "2024-03-01T09:00:01Z"


def parsed_event(name: str, **changes: Any) -> BookingEvent:
    return parsed(payload(name, **changes))


def parsed(body: bytes) -> BookingEvent:
    event = read(body, RECEIVED)
    assert isinstance(event, BookingEvent)
    return event


@pytest.mark.parametrize(
    ("times", "expected"),
    [
        (dict(updatedAt=EARLY, rescheduledAt=LATE, createdAt=LATE, cancel={"actionAt": LATE}), EARLY),
        (dict(updatedAt=None, rescheduledAt=LATE, createdAt=EARLY, cancel=None), LATE),
        (dict(updatedAt=None, rescheduledAt=EARLY, createdAt=EARLY, cancel={"actionAt": LATE}), LATE),
        (dict(updatedAt=..., rescheduledAt=..., createdAt=EARLY, cancel={"cancelledAt": LATE}), LATE),
        (dict(updatedAt=..., rescheduledAt=None, createdAt=EARLY, cancel=...), EARLY),
        (dict(updatedAt=..., rescheduledAt=..., createdAt=None, cancel=...), RECEIVED.isoformat()),
    ],
)
def test_a_version_is_update_else_newest_change_else_time_received(times: dict[str, Any], expected: str) -> None:
    for name in ("booking_created", "booking_rescheduled_old", "booking_cancelled_attendee_left"):
        assert parsed_event(name, **times).at == datetime.fromisoformat(expected)


def test_versions_sort_as_text_by_time_whatever_the_offset() -> None:
    times = [
        "2000-01-01T00:00:00Z",
        "2001-09-09T01:46:39.999999Z",
        "2001-09-09T01:46:40Z",
        EARLY,
        LATE,
        "2026-11-23T11:59:59Z",
    ]
    versions = [parsed_event("booking_created", updatedAt=time).version for time in times]
    assert versions == sorted(versions)


@pytest.mark.parametrize(
    "future",
    [
        "2026-11-22T13:00:01Z",
        "2026-11-23T12:00:01Z",
        "2099-01-01T00:00:00Z",
        "9999-12-31T23:59:59Z",
        4070908800,
        10**30,
    ],
)
@pytest.mark.parametrize("name", ["updatedAt", "rescheduledAt", "createdAt"])
def test_a_version_more_than_an_hour_ahead_counts_as_the_time_received(name: str, future: Any) -> None:
    others = dict.fromkeys({"updatedAt", "rescheduledAt", "createdAt"} - {name}, ...)
    for body in ("booking_created", "booking_rescheduled_old", "booking_cancelled_attendee_left"):
        event = parsed_event(body, **others, **{name: future})
        assert event.at == RECEIVED
        assert event.version.startswith(f"{round(RECEIVED.timestamp() * 1_000_000):020d}-")


def test_a_provider_that_is_up_to_an_hour_ahead_is_believed() -> None:
    assert parsed_event("booking_created", updatedAt="2026-11-22T12:59:00Z").at == datetime(
        2026, 11, 22, 12, 59, tzinfo=UTC
    )


@pytest.mark.parametrize("time", ["1969-12-31T23:59:59Z", "1970-01-01T00:00:00.000Z", "0001-01-01T00:00:00Z", 0, 1.5])
def test_a_time_before_2000_is_ignored_and_the_next_best_is_the_version(time: Any) -> None:
    event = parsed_event("booking_created", updatedAt=time, createdAt=EARLY)
    assert (event.at, event.note) == (datetime.fromisoformat(EARLY), "ignored: updatedAt")


def test_no_synthetic_body_supersedes_a_future_version() -> None:
    far = f"{4070908800 * 1_000_000:020d}-3-{'0' * 16}"
    event = read(payload("booking_created", supersedes=far), RECEIVED, is_authoritative=True)
    assert isinstance(event, BookingEvent)
    assert event.at == datetime(2024, 1, 14, 15, 30, tzinfo=UTC)
    assert event.version < far


def test_at_the_same_time_cancel_beats_reschedule_beats_create() -> None:
    names = ["booking_created", "booking_rescheduled", "booking_cancelled"]
    versions = [parsed_event(name, updatedAt=EARLY).version for name in names]
    assert versions == sorted(versions)
    assert parsed_event("booking_created", updatedAt=EARLY, isCancelled=True).version > versions[1]


def test_at_the_same_time_and_kind_the_digest_decides() -> None:
    one, other = parsed_event("booking_created"), parsed_event("booking_created", end=EARLY)
    assert one.at == other.at
    assert one.version != other.version


@pytest.mark.parametrize(
    "time",
    [
        *("2024-01-14T15:30:00", 1705246200, "2024-01-14T15:30:00.000Z", "2024-01-14T16:30+01:00"),
        *("1705246200", "1705246200000", "1705246200.0", " 2024-01-14T15:30:00Z\n", "2024-01-14t15:30:00z"),
        *("2024-01-14 15:30:00 UTC", "2024-01-14T15:30:00 GMT", "2024-01-14T16:30:00+01:00[Europe/Berlin]"),
        *("Sun, 14 Jan 2024 15:30:00 GMT", "Sun, 14 Jan 2024 16:30:00 +0100"),
    ],
)
def test_all_usual_forms_of_a_time_are_equal(time: Any) -> None:
    event = parsed_event("booking_created", updatedAt=time, createdAt=EARLY)
    assert event.at == datetime(2024, 1, 14, 15, 30, tzinfo=UTC)


@pytest.mark.parametrize("time", ["2024-01-14T24:00:00Z", "2024-01-15T01:00:00+01:00", "20240114T240000Z"])
def test_the_end_of_a_day_is_the_beginning_of_the_next(time: str) -> None:
    assert parsed_event("booking_created", updatedAt=time).at == datetime(2024, 1, 15, tzinfo=UTC)


@pytest.mark.parametrize(
    "time",
    [
        *("2024-01-14T15:30:00 CET", "2024-01-14T15:30:00 Europe/Berlin", "Sun, 14 Jan 2024 15:30:00 CET"),
        *("01/02/2024 15:30", "14.01.2024 15:30", "Sun Jan 14 2024 16:30:00 GMT+0100 (CET)", "20240114153000"),
        *("2024-01-14T24:00:01Z", "2024-01-14T15:30:61Z", "1705246200000000", "9" * 5000, "Z[" * 5000),
        *("Sun, 14 Jan 2024 03:30 PM GMT", "Sun, Jan 14, 2024 3:30 PM +0100", "Sun, 14 Jan 2024 15:30:00 EST GMT"),
        *(f"Sun, 14 Jan 2024 15:30:00 +{'9' * 20}", f"Sun, {'9' * 20} Jan 2024 15:30:00 GMT"),
    ],
    ids=lambda time: time[:40],
)
def test_a_time_that_could_be_another_is_ignored(time: str) -> None:
    event = parsed_event("booking_created", updatedAt=time, createdAt=EARLY)
    assert (event.at, event.note) == (datetime.fromisoformat(EARLY), "ignored: updatedAt")


@pytest.mark.parametrize(
    ("ids", "expected"),
    [
        (dict(id="a"), "a"),
        (dict(id=1492), "1492"),
        (dict(id=..., appointmentId="b"), "b"),
        (dict(id=None, appointmentId=7), "7"),
        (dict(id="a", appointmentId="b"), "b"),
        (dict(id="a", appointmentId=None), "a"),
    ],
)
def test_a_booking_id_is_the_appointment_id_else_the_id_as_text(ids: dict[str, Any], expected: str) -> None:
    for name in ("booking_created", "booking_cancelled_old", "booking_rescheduled_flat"):
        assert parsed_event(name, **ids).booking_id == expected


@pytest.mark.parametrize("nest", ["rescheduledAppointment", "appointment"])
@pytest.mark.parametrize("envelope", ["old", "new"])
@pytest.mark.parametrize(
    ("outside", "inside", "expected"),
    [
        ({"id": "out"}, {"id": "in"}, "in"),
        ({"appointmentId": "out"}, {"id": "in"}, "in"),
        ({"id": "out"}, {"appointmentId": "in"}, "in"),
        ({"appointmentId": "out", "id": "other"}, {}, "out"),
        ({"id": "out"}, {}, "out"),
    ],
)
def test_the_nested_id_takes_precedence(
    nest: str, envelope: str, outside: dict[str, Any], inside: dict[str, Any], expected: str
) -> None:
    start = datetime(2024, 5, 1, 9, tzinfo=UTC)
    inner = {**outside, "previousStart": start.isoformat(), "companyId": "c", nest: {"start": str(start), **inside}}
    kind = "booking_rescheduled"
    body = {"event": kind, "data": inner} if envelope == "old" else {"webhookType": kind, **inner}
    event = parsed(json.dumps(body).encode())
    assert (event.booking_id, event.company_id) == (expected, "c")
    assert event.facts["starts_at"] == start.isoformat()
    assert event.at - RECEIVED == timedelta(0)


@pytest.mark.parametrize(
    ("outside", "inside", "moved_from"),
    [
        ({"id": "out"}, {"id": "in"}, "out"),
        ({"appointmentId": 7}, {"id": "in"}, "7"),
        ({"id": "same"}, {"id": "same"}, None),
        ({"id": "out"}, {}, None),
        ({}, {"id": "in"}, None),
    ],
)
def test_a_nested_appointment_with_another_id_is_the_replaced_booking(
    outside: dict[str, Any], inside: dict[str, Any], moved_from: str | None
) -> None:
    body = {"webhookType": "booking_rescheduled", **outside, "rescheduledAppointment": inside}
    assert parsed(json.dumps(body).encode()).moved_from == moved_from
    old = {"event": "booking_rescheduled", "data": {**outside, "rescheduledAppointment": inside}}
    assert parsed(json.dumps(old).encode()).moved_from == moved_from
    assert parsed_event("booking_created", appointmentId="b").moved_from is None
