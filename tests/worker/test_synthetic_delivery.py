"""Reads and webhooks of one appointment agree: no column flips, and repaired bookings stay repaired."""

import json
from copy import deepcopy
from datetime import UTC, datetime, timedelta
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from devtools.send import samples
from meetergo import events
from meetergo.api.schemas import Appointment
from meetergo.events import BookingEvent
from models.account import DEFAULT
from models.booking import Booking
from models.drift import drift
from tests.payloads import FIXTURES
from worker.reconcile.synthetic_delivery import CONSISTENCY_DELAY, SyntheticDelivery

START = datetime(2026, 11, 23, 9, tzinfo=UTC)
AT = datetime(2026, 11, 20, 12, tzinfo=UTC)
NOW = AT + timedelta(days=1)
GUESTS = [samples.guest(1), samples.guest(2), samples.guest(3)]
API_ONLY = {"crmOptions": {}, "ics": None, "attendeeIds": [], "reminderIds": [], "queueId": None}


def state(minute: int = 0, **changes: Any) -> dict[str, Any]:
    """An appointment at the provider, in neither form."""
    return samples.appointment("b1", START, AT + timedelta(minutes=minute)) | changes


def in_webhook_shape(appointment: dict[str, Any], event: str = "booking_created") -> bytes:
    return json.dumps({"webhookType": event, **appointment}).encode()


def in_api_shape(appointment: dict[str, Any], *left_out: str) -> dict[str, Any]:
    """The API's form: settings in `meetingInfo`, the link in `hostingInfo`, no meeting type, only ids of hosts."""
    body = deepcopy(appointment)
    body["hostingInfo"] = body.pop("meetingInfo")
    body["meetingInfo"] = {"name": body.pop("meetingType")["meetingInfo"]["name"], "duration": 30, "bufferAfter": 0}
    body.pop("hosts")
    cancel = body.get("cancel") or {}
    body["cancel"] = {
        "actionSource": cancel.get("cancelledBy"),
        "actionAt": cancel.get("cancelledAt"),
        "actionBy": None,
        "reason": cancel.get("reason"),
    }
    return {name: value for name, value in {**body, **API_ONLY}.items() if name not in left_out}


def row() -> Booking:
    booking = Booking(
        id="b1", status="confirmed", attendees=[], host_ids=[], metadata_={}, facts={}, version="", revision=0, as_of=AT
    )
    booking.updated_at = AT
    return booking


def apply(booking: Booking, event: events.Event, now: datetime = AT) -> Any:
    assert isinstance(event, BookingEvent)
    return booking.apply(event, lambda hosts, _: 7 if hosts else None, now)


def apply_body(booking: Booking, body: bytes, now: datetime = AT) -> Any:
    return apply(booking, events.read(body, now), now)


def synthetic(booking: Booking, appointment: dict[str, Any], now: datetime = NOW) -> SyntheticDelivery:
    return SyntheticDelivery(Appointment.read(appointment), now, DEFAULT, booking)


def reconcile(booking: Booking, appointment: dict[str, Any], now: datetime = NOW) -> int:
    """Reconcile until nothing differs any more; return the number of deliveries."""
    for deliveries in range(5):
        found = synthetic(booking, appointment, now)
        if drift(booking, found.event) is None:
            return deliveries
        apply(booking, events.read(found.body, now, is_authoritative=True), now)
        now += CONSISTENCY_DELAY + timedelta(minutes=1)
    raise AssertionError("it never ends")


MINUTES = st.integers(0, 3)
STATES = st.builds(
    lambda minute, hour, guests, location, is_cancelled: state(
        minute,
        start=(START + timedelta(hours=hour)).isoformat(),
        attendees=GUESTS[:guests],
        location=location,
        isCancelled=is_cancelled,
        cancel={"cancelledAt": (AT + timedelta(minutes=minute)).isoformat(), "cancelledBy": "host", "reason": "ill"}
        if is_cancelled
        else {"actionAt": None, "reason": None},
    ),
    MINUTES,
    st.integers(0, 2),
    st.integers(1, 3),
    st.sampled_from([None, "Room 1"]),
    st.booleans(),
)
LEFT_OUT = st.sets(
    st.sampled_from(["location", "hostingInfo", "meetingInfo", "attendees", "hostIds", "meetingTypeId", "updatedAt"])
)


@given(STATES)
@settings(deadline=None)
def test_a_completely_delivered_appointment_has_no_drift(appointment: dict[str, Any]) -> None:
    booking = row()
    apply_body(
        booking, in_webhook_shape(appointment, "booking_cancelled" if appointment["isCancelled"] else "booking_created")
    )
    assert drift(booking, synthetic(booking, in_api_shape(appointment)).event) is None


@given(STATES, LEFT_OUT)
@settings(deadline=None)
def test_fields_that_the_api_omits_remove_nothing(appointment: dict[str, Any], left_out: set[str]) -> None:
    """Except link and location: an appointment that shows none has none."""
    left_out -= {"location", "hostingInfo"}
    booking = row()
    apply_body(booking, in_webhook_shape(appointment))
    before = booking.public_columns()
    reconcile(booking, in_api_shape(appointment, *left_out))
    assert booking.public_columns() == before


@pytest.mark.parametrize("hosting", [{"meetingLink": None}, {}, None, ...])
def test_a_read_removes_a_forged_link(hosting: Any) -> None:
    booking = row()
    apply_body(booking, in_webhook_shape(state(location="Room 1")))
    apply_body(
        booking, in_webhook_shape(state(1, meetingInfo={"meetingLink": "https://evil.example"}, location="There"))
    )
    shown = in_api_shape(state(), "location")
    shown = {name: value for name, value in (shown | {"hostingInfo": hosting}).items() if value is not ...}
    assert reconcile(booking, shown) == 1
    assert (booking.meeting_link, booking.location) == (None, None)
    assert booking.meeting_name == "Discovery Call"


def test_one_read_repairs_a_row_frozen_by_a_version_from_the_future() -> None:
    booking = row()
    apply_body(booking, in_webhook_shape(state()))
    far = f"{4070908800 * 1_000_000:020d}-3-{'0' * 16}"
    booking.facts |= {"status": [far, "cancelled"], "meeting_link": [far, "https://evil.example"]}
    booking.version, booking.as_of = far, datetime(2099, 1, 1, tzinfo=UTC)
    booking.project()
    assert reconcile(booking, in_api_shape(state())) == 1
    assert (booking.status, booking.meeting_link) == ("confirmed", "https://zoom.example/j/123456789")
    assert booking.version < far
    later = NOW + timedelta(minutes=1)
    apply_body(
        booking, in_webhook_shape(state(updatedAt=later.isoformat(), isCancelled=True), "booking_cancelled"), later
    )
    assert booking.status == "cancelled"


def test_a_name_in_several_languages_is_no_drift() -> None:
    booking = row()
    names = {"de": "Erstgespräch", "en": "First call"}
    apply_body(booking, in_webhook_shape(state(meetingType={"meetingInfo": {"name": names}})))
    booking.meeting_name = "Erstgespräch"  # as a host who reads German has it
    shown = in_api_shape(state()) | {"meetingInfo": {"name": names}}
    assert drift(booking, synthetic(booking, shown).event) is None


def test_an_appointment_that_nests_too_deep_is_skipped() -> None:
    deep: list[Any] = []
    for _ in range(200_000):  # more than any Python encodes
        deep = [deep]
    with pytest.raises(events.UnreadableBody):
        _ = synthetic(row(), state(odd=deep)).event


@given(st.lists(STATES, max_size=4), STATES, LEFT_OUT, st.booleans())
@settings(max_examples=300, deadline=None)
def test_after_any_webhooks_a_read_prevails_and_leaves_no_drift(
    received: list[dict[str, Any]], now: dict[str, Any], left_out: set[str], is_timeless: bool
) -> None:
    """Even if it carries no time, an equal time or an older one: then our state was wrong."""
    left_out -= {"location", "attendees", "hostingInfo"}
    booking = row()
    for appointment in received:
        times = {"createdAt": None, "updatedAt": None} if is_timeless else {}
        apply_body(booking, in_webhook_shape(appointment | times))
    shown = in_api_shape(now, *left_out)
    reconcile(booking, shown)
    assert reconcile(booking, shown, NOW + timedelta(days=1)) == 0
    assert booking.status == ("cancelled" if now["isCancelled"] else "confirmed")
    assert booking.starts_at == datetime.fromisoformat(now["start"])
    assert [person["id"] for person in booking.attendees] == [person["id"] for person in now["attendees"]]
    assert booking.location == now["location"]


@given(STATES, st.integers(4, 9))
@settings(deadline=None)
def test_alternating_webhooks_and_reads_flip_no_column(appointment: dict[str, Any], turns: int) -> None:
    """A touch by the provider makes each newer than the last. The API names the meeting otherwise."""
    booking = row()
    apply_body(booking, in_webhook_shape(appointment))
    before = {**booking.public_columns(), "as_of": None}
    for minute in range(10, 10 + turns):
        touched = appointment | {"updatedAt": (AT + timedelta(minutes=minute)).isoformat()}
        if minute % 2:
            apply_body(booking, in_webhook_shape(touched))
        else:
            shown = in_api_shape(touched) | {"meetingInfo": {"name": "Discovery Call (online)"}}
            assert reconcile(booking, shown) == 0
            apply(booking, synthetic(booking, shown).event)
        assert {**booking.public_columns(), "as_of": None} == before


def test_a_newer_webhook_that_arrives_meanwhile_is_not_undone() -> None:
    booking = row()
    apply_body(booking, in_webhook_shape(state()))
    read = synthetic(booking, in_api_shape(state()))
    cancel = {"cancelledAt": (NOW + timedelta(seconds=1)).isoformat()}
    newer = state(0, updatedAt=(NOW + timedelta(seconds=1)).isoformat(), isCancelled=True, cancel=cancel)
    apply_body(booking, in_webhook_shape(newer, "booking_cancelled"), NOW + timedelta(seconds=1))
    assert drift(booking, read.event) is None
    assert apply(booking, read.event) is None
    assert drift(booking, synthetic(booking, in_api_shape(state()), NOW + timedelta(seconds=2)).event) is None
    assert booking.status == "cancelled"


def test_a_read_supersedes_earlier_versions_only() -> None:
    booking = row()
    apply_body(booking, in_webhook_shape(state(9, isCancelled=True)), AT)
    found = synthetic(booking, in_api_shape(state(1))).event
    newer = state(10, start=(START + timedelta(hours=5)).isoformat())
    apply_body(booking, in_webhook_shape(newer), NOW)
    apply(booking, found, NOW)
    assert booking.status == "confirmed"
    assert booking.starts_at == START + timedelta(hours=5)


def test_no_webhook_supersedes_anything() -> None:
    booking = row()
    apply_body(booking, in_webhook_shape(state(9)))
    forged = state(1, start=(START + timedelta(hours=5)).isoformat(), supersedes=booking.version)
    assert apply_body(booking, in_webhook_shape(forged)) is None


@pytest.mark.parametrize("silent", [{"isCancelled": None}, {"isCancelled": None, "cancel": None}])
def test_a_read_without_the_cancelled_flag_revives_nothing(silent: dict[str, Any]) -> None:
    booking = row()
    apply_body(booking, in_webhook_shape(state(0, isCancelled=True), "booking_cancelled"))
    assert drift(booking, synthetic(booking, in_api_shape(state(5)) | silent).event) is None


def test_another_order_of_guests_and_hosts_is_no_drift() -> None:
    booking = row()
    apply_body(booking, in_webhook_shape(state(0, attendees=GUESTS, hostIds=["a", "b"])))
    booking.attendees = [dict(reversed(person.items())) for person in booking.attendees]  # as PostgreSQL may store them
    shown = in_api_shape(state(0, attendees=GUESTS[::-1], hostIds=["b", "a"]))
    assert drift(booking, synthetic(booking, shown).event) is None


def test_looking_for_drift_changes_nothing() -> None:
    booking = row()
    apply_body(booking, in_webhook_shape(state()))
    before = (booking.public_columns(), deepcopy(booking.facts), booking.version, booking.revision)
    found = drift(booking, synthetic(booking, in_api_shape(state(1, isCancelled=True))).event)
    assert found is not None
    assert (found.kind, found.columns["status"]) == ("cancelled", ("confirmed", "cancelled"))
    assert (booking.public_columns(), booking.facts, booking.version, booking.revision) == before


def test_the_recorded_appointment_of_the_reference_agrees_with_its_webhook() -> None:
    """meetergo's documents show the same booking in both shapes."""
    booking = row()
    booking.id = "appt-uuid-12345"
    apply_body(booking, (FIXTURES / "booking_created.json").read_bytes())
    shown = json.loads((FIXTURES / "api" / "appointment.json").read_text())
    found = drift(booking, synthetic(booking, shown).event)
    assert set(found.columns if found else ()) <= {"attendees", "meeting_link"}
