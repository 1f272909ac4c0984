"""A booking converges: the same facts in any order make the same row. Without a database, exhaustively."""

import itertools
import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from devtools.send import samples
from meetergo import events
from models.booking import Booking, BookingChange

START = datetime(2024, 1, 15, 8, 0, tzinfo=UTC)
AT = datetime(2024, 1, 14, 15, 30, tzinfo=UTC)


def minutes(number: int) -> timedelta:
    return timedelta(minutes=number)


TWO_GUESTS = [samples.guest(1), samples.guest(2)]
CREATED = samples.created("b1", START, AT, attendees=TWO_GUESTS)
RESCHEDULED = samples.rescheduled("b1", START + minutes(60), AT + minutes(1), START, attendees=TWO_GUESTS)
RESCHEDULED_AGAIN = samples.rescheduled("b1", START + minutes(120), AT + minutes(2), START, attendees=TWO_GUESTS)
GUEST_LEFT = samples.attendee_left("b1", START + minutes(120), AT + minutes(3))
CANCELLED = samples.cancelled("b1", START + minutes(120), AT + minutes(4))
MINIMAL_RESCHEDULE = {
    "webhookType": "booking_rescheduled",
    "rescheduledAppointment": {
        "id": "b1",
        "start": (START + minutes(60)).isoformat(),
        "rescheduledAt": (AT + minutes(1)).isoformat(),
        "attendees": [{"id": "sample-guest-1"}],
    },
}
SAME_TIME = [
    samples.created("b1", START, AT),
    samples.rescheduled("b1", START + minutes(60), AT, START),
    samples.cancelled("b1", START, AT),
]

SEQUENCES = {
    "a whole life": [CREATED, RESCHEDULED, RESCHEDULED_AGAIN, GUEST_LEFT, CANCELLED],
    "without its create": [RESCHEDULED, RESCHEDULED_AGAIN, GUEST_LEFT],
    "one body says little": [CREATED, MINIMAL_RESCHEDULE],
    "all at the same time": SAME_TIME,
    "moved after it was cancelled": [CREATED, CANCELLED, samples.rescheduled("b1", START, AT + minutes(9), START)],
}


def new_booking() -> Booking:
    return Booking(
        id="b1", status="confirmed", attendees=[], host_ids=[], metadata_={}, facts={}, version="", revision=0, as_of=AT
    )


@cache
def read_once(body: str) -> events.Event:
    """Return the same event for the same body: thousands of orders are tried, and no booking may change an event."""
    return events.read(body.encode(), received_at=AT)


def apply_all(bodies: Sequence[dict[str, Any]]) -> tuple[Booking, list[BookingChange]]:
    booking = new_booking()
    parsed = [read_once(json.dumps(body)) for body in bodies]
    changes = [booking.apply(event, lambda hosts, _: 7 if hosts else None, AT) for event in parsed]  # type: ignore[arg-type]
    return booking, [change for change in changes if change]


@pytest.mark.parametrize("bodies", SEQUENCES.values(), ids=SEQUENCES)
def test_every_order_and_repetition_ends_in_the_same_row(bodies: list[dict[str, Any]]) -> None:
    expected = apply_all(bodies)[0].public_columns()
    numbers = range(len(bodies))
    for repeated in [[], *([number] for number in numbers)]:
        for order in set(itertools.permutations([*numbers, *repeated])):  # the two copies of one are the same
            assert apply_all([bodies[number] for number in order])[0].public_columns() == expected


@given(st.permutations(SEQUENCES["a whole life"] + SAME_TIME + [MINIMAL_RESCHEDULE]), st.integers(0, 8))
def test_a_replay_changes_nothing(bodies: list[dict[str, Any]], repeated: int) -> None:
    booking, _ = apply_all(bodies)
    before, revision = booking.public_columns(), booking.revision
    for body in bodies[:repeated]:
        event = events.read(json.dumps(body).encode(), received_at=AT)
        assert booking.apply(event, lambda hosts, _: 7, AT) is None  # type: ignore[arg-type]
    assert (booking.public_columns(), booking.revision) == (before, revision)


@given(st.permutations(SEQUENCES["a whole life"] + [MINIMAL_RESCHEDULE]))
def test_the_changes_replay_to_the_row(bodies: list[dict[str, Any]]) -> None:
    booking, changes = apply_all(bodies)
    replayed: dict[str, Any] = {}
    for change in changes:
        assert change.before is None or {name: replayed[name] for name in change.before} == change.before
        replayed |= change.after
    assert replayed == booking.public_columns()


@given(st.permutations(SEQUENCES["a whole life"] + SAME_TIME))
def test_no_notification_follows_a_cancel(bodies: list[dict[str, Any]]) -> None:
    notification_kinds = [kind for change in apply_all(bodies)[1] for kind in change.notification_kinds]
    assert notification_kinds.count("cancelled") == 1
    assert notification_kinds[-1] == "cancelled"
    assert "created" not in notification_kinds[1:]


def test_the_notifications_of_a_booking_in_order() -> None:
    notification_kinds = [change.notification_kinds for change in apply_all(SEQUENCES["a whole life"])[1]]
    assert notification_kinds == [["created"], ["rescheduled"], ["rescheduled"], ["attendee_left"], ["cancelled"]]


def test_a_body_with_ids_only_removes_no_name() -> None:
    booking, _ = apply_all([MINIMAL_RESCHEDULE, CREATED])
    assert booking.attendees == [samples.guest(1)]
    assert booking.meeting_name == "Discovery Call"
    assert booking.starts_at == START + minutes(60)


def test_a_cancelled_booking_stays_cancelled_when_a_later_reschedule_arrives() -> None:
    booking, changes = apply_all(SEQUENCES["moved after it was cancelled"])
    assert booking.status == "cancelled"
    assert [change.notification_kinds for change in changes][-1] == []


def test_a_cancel_event_for_one_guest_does_not_cancel_the_booking() -> None:
    booking, changes = apply_all([CREATED, samples.attendee_left("b1", START, AT + minutes(1))])
    assert booking.status == "confirmed"
    assert changes[-1].notification_kinds == ["attendee_left"]
    assert [person["id"] for person in booking.attendees] == ["sample-guest-1"]


def test_the_newest_cancel_gives_the_reason() -> None:
    booking, _ = apply_all([CANCELLED, CREATED])
    assert (booking.cancelled_by, booking.cancel_reason) == ("attendee", "Schedule conflict")


# --- nulls

ABSENT = "absent"
LINKS = st.sampled_from([None, ABSENT, "https://zoom.example/a", "https://zoom.example/b"])
TEXTS = st.sampled_from([None, ABSENT, "one", "two"])


def body_with(
    minute: int, link: Any, hosting: Any, location: Any, name: Any, type_id: Any, metadata: Any, phone: Any, old: bool
) -> dict[str, Any]:
    """A body in either format, in which each field has a value, is null, or is absent."""
    guest = {"id": "g1", "email": "g1@example.com", "phone": phone}
    appointment = samples.appointment("b1", START, AT + minutes(minute)) | {
        "meetingInfo": without_absent(meetingLink=link),
        "hostingInfo": without_absent(meetingLink=hosting),
        "meetingType": without_absent(
            meetingInfo=without_absent(name=name), id=type_id, metadata=metadata and {"key": metadata}
        ),
        "attendees": [without_absent(**guest)],
        "location": location,
        "meetingTypeId": ABSENT,
    }
    return (
        {"event": "booking_created", "data": without_absent(**appointment)}
        if old
        else {
            "webhookType": "booking_created",
            **without_absent(**appointment),
        }
    )


def without_absent(**fields: Any) -> dict[str, Any]:
    absent = (ABSENT, {"key": ABSENT})
    return {name: value for name, value in fields.items() if value not in absent}


BODIES = st.builds(body_with, st.integers(0, 5), LINKS, LINKS, TEXTS, TEXTS, TEXTS, TEXTS, TEXTS, old=st.booleans())


@given(
    st.lists(BODIES, min_size=2, max_size=6).flatmap(lambda bodies: st.tuples(st.just(bodies), st.permutations(bodies)))
)
@settings(max_examples=200, deadline=None)
def test_nulls_and_absences_make_the_same_row_in_every_order(orders: Any) -> None:
    bodies, shuffled = orders
    expected = apply_all(bodies)[0].public_columns()
    assert apply_all([*shuffled, bodies[0]])[0].public_columns() == expected
    in_order = sorted(
        (events.read(json.dumps(body).encode(), AT) for body in bodies),
        key=lambda event: event.version,  # type: ignore[attr-defined]
    )
    for column in ("location", "meeting_link", "meeting_name", "meeting_type_id"):
        values = [event.facts[column] for event in in_order if column in event.facts]  # type: ignore[attr-defined]
        assert expected[column] == (values[-1] if values else None)


PHONE = {"meetingInfo": {"channel": "phone", "meetingLink": None}}
API_PHONE = {"meetingInfo": {"name": "Discovery Call"}, "hostingInfo": {"meetingLink": None}}
API_NOTHING = {"meetingInfo": {"name": "Discovery Call"}, "hostingInfo": None}


@pytest.mark.parametrize("changes", [PHONE, API_PHONE, API_NOTHING], ids=["webhook", "hostingInfo", "no hostingInfo"])
@pytest.mark.parametrize("is_first", [True, False])
def test_a_meeting_that_moves_from_zoom_to_phone_loses_its_link(changes: dict[str, Any], is_first: bool) -> None:
    moved = samples.rescheduled("b1", START, AT + minutes(1), START, **changes)
    booking, _ = apply_all([moved, CREATED] if is_first else [CREATED, moved])
    assert booking.meeting_link is None
    assert booking.meeting_name == "Discovery Call"


def test_a_guest_who_takes_the_phone_number_back_has_none() -> None:
    with_phone = samples.created("b1", START, AT, attendees=[{**samples.guest(1), "phone": "+1"}])
    without = samples.created("b1", START, AT + minutes(1), attendees=[{**samples.guest(1), "phone": None}])
    for order in ([with_phone, without], [without, with_phone]):
        assert apply_all(order)[0].attendees == [samples.guest(1)]


# --- versions from the future

FUTURE = "2099-01-01T00:00:00Z"


def test_a_version_from_the_future_freezes_no_booking() -> None:
    forged = samples.created("b1", START + minutes(9), AT, updatedAt=FUTURE)
    cancelled = samples.cancelled("b1", START, AT + minutes(5))
    for order in itertools.permutations([CREATED, forged, cancelled]):
        booking, _ = apply_all(order)
        assert booking.status == "cancelled"
        assert booking.as_of == AT + minutes(5)
        assert booking.starts_at == START


def test_changes_dated_hours_and_days_ahead_apply_as_they_arrive() -> None:
    booking = new_booking()
    for number, ahead in enumerate([timedelta(hours=10), timedelta(hours=34), timedelta(hours=58)]):
        body = samples.created("b1", START + minutes(number), AT, updatedAt=(AT + ahead).isoformat())
        booking.apply(events.read(json.dumps(body).encode(), AT + minutes(number)), lambda *_: 7, AT)  # type: ignore[arg-type]
        assert booking.starts_at == START + minutes(number)


def booking_with_future_version() -> Booking:
    """A row as the previous release left it after a forged body."""
    booking, _ = apply_all([CREATED])
    far = f"{4070908800 * 1_000_000:020d}-3-{'0' * 16}"
    booking.facts |= {
        "status": [far, "cancelled"],
        "starts_at": [far, (START + minutes(9)).isoformat()],
        "meeting_link": [far, "https://evil.example"],
        "attendee_ids": [far, ["mallory"]],
        "attendee/id/mallory": [far, "mallory"],
        "metadata": [far, {"forged": True}],
    }
    booking.version, booking.as_of = far, datetime(2099, 1, 1, tzinfo=UTC)
    booking.project()
    return booking


def event_from_api(**changes: Any) -> events.BookingEvent:
    body = json.dumps(samples.created("b1", START, AT + minutes(2), attendees=TWO_GUESTS, **changes)).encode()
    event = events.read(body, AT + minutes(60), is_authoritative=True)
    assert isinstance(event, events.BookingEvent)
    return event


def event_from(body: dict[str, Any]) -> events.BookingEvent:
    event = events.read(json.dumps(body).encode(), AT)
    assert isinstance(event, events.BookingEvent)
    return event


def test_an_api_read_replaces_facts_with_a_version_from_the_future() -> None:
    late = event_from(samples.rescheduled("b1", START + minutes(30), AT + minutes(5), START, attendees=TWO_GUESTS))
    rows = []
    for order in itertools.permutations([event_from_api(), late, event_from(CREATED)]):
        booking = booking_with_future_version()
        for event in order:
            booking.apply(event, lambda *_: 7, AT + minutes(60))
        rows.append(booking.public_columns())
        assert not [version for version, _ in booking.facts.values() if version > events.latest_version(AT)]
    assert all(row == rows[0] for row in rows)
    assert rows[0]["status"] == "confirmed"
    assert rows[0]["starts_at"] == (START + minutes(30)).isoformat()
    assert rows[0]["meeting_link"] == "https://zoom.example/j/123456789"
    assert rows[0]["attendees"] == TWO_GUESTS
    assert rows[0]["metadata"] == {}
    assert rows[0]["as_of"] == (AT + minutes(5)).isoformat()


def test_a_cancel_applies_to_a_booking_with_a_version_from_the_future() -> None:
    booking = booking_with_future_version()
    booking.facts["status"][1] = "confirmed"
    booking.project()
    assert booking.apply(event_from(CANCELLED), lambda *_: 7, AT) is not None
    assert booking.status == "cancelled"


# --- guests without a stable id


def with_guests(minute: int, *guests: Any) -> dict[str, Any]:
    return samples.created("b1", START, AT + minutes(minute), attendees=list(guests))


ADA = {"email": "family@guest.example", "fullname": "Ada Guest"}
BOB = {"email": "family@guest.example", "fullname": "Bob Guest"}
SAME_GUEST = {
    "gains an id": ({"email": "j@x.example", "fullname": "Jane"}, {"id": "a1", "email": "j@x.example"}),
    "loses the id": ({"id": "a1", "email": "j@x.example", "fullname": "Jane"}, {"email": "j@x.example"}),
    "loses the id, keeps the name": (
        {"id": "a1", "email": "j@x.example", "fullname": "Jane"},
        {"email": "j@x.example", "fullname": "Jane"},
    ),
    "another case": ({"email": "J@X.example", "fullname": "Jane"}, {"email": " j@x.EXAMPLE", "fullname": "Jane"}),
    "a time zone": ({"email": "j@x.example"}, {"email": "j@x.example", "timezone": "Europe/Berlin"}),
    "a name": ({"email": "j@x.example"}, {"email": "j@x.example", "fullname": "Jane"}),
    "another name": ({"email": "j@x.example", "fullname": "Jane D"}, {"email": "j@x.example", "fullname": "Jane Doe"}),
    "a phone gains an e-mail": ({"phone": "+1", "fullname": "J"}, {"phone": "+1", "fullname": "J", "email": "j@x.y"}),
    "a phone written otherwise": ({"phone": "+1 23", "fullname": "J"}, {"phone": "+123", "fullname": "J"}),
    "only a name gains a zone": ({"fullname": "Jane"}, {"fullname": "jane", "timezone": "UTC"}),
    "only a name in decomposed letters": ({"fullname": "Jos\u00e9"}, {"fullname": "Jose\u0301", "timezone": "UTC"}),
    "only a name gains an e-mail": ({"fullname": "Jane"}, {"fullname": "Jane", "email": "j@x.example"}),
    "a new id each time": ({"id": "a1", "email": "j@x.example"}, {"id": "a2", "email": "j@x.example"}),
    "another address": ({"id": "a1", "email": "j@x.example"}, {"id": "a1", "email": "jane@x.example"}),
    "nothing known gains a detail": ({"language": "de"}, {"language": "de", "timezone": "UTC"}),
    "nothing known gains an id": ({"language": "de"}, {"id": "a1"}),
    "an address alone": ("j@x.example", {"email": "J@x.example", "fullname": "Jane"}),
}


SHARED_ID = {
    "other addresses": ({"email": "ada@x.example", "fullname": "Ada"}, {"email": "bob@x.example", "fullname": "Bob"}),
    "one address": (ADA, BOB),
    "names alone": ({"fullname": "Ada"}, {"fullname": "Bob"}),
    "addresses alone": ({"email": "ada@x.example"}, {"email": "bob@x.example"}),
}


@pytest.mark.parametrize(("ada", "bob"), SHARED_ID.values(), ids=SHARED_ID)
@pytest.mark.parametrize("shared", ["0", "00000000-0000-0000-0000-000000000000", 7])
def test_two_people_who_are_given_one_id_are_both_kept(ada: Any, bob: Any, shared: Any) -> None:
    both = [{"id": shared, **ada}, {"id": shared, **bob}]
    bodies = [with_guests(0, *both), with_guests(1, *reversed(both)), with_guests(2, both[1])]
    event = events.read(json.dumps(bodies[0]).encode(), AT)
    assert event.note == "ignored: attendees.0.id, attendees.1.id"
    booking, changes = apply_all(bodies[:2])
    assert booking.attendees == [bob, ada]
    assert [change.notification_kinds for change in changes[1:]] in ([], [[]])
    booking, changes = apply_all(bodies)
    assert booking.attendees == [{"id": str(shared), **bob}]
    assert changes[-1].notification_kinds == ["attendee_left"]


@pytest.mark.parametrize("order", [*itertools.permutations(range(3))])
def test_two_people_are_both_kept_wherever_an_entry_with_their_id_alone_stands(order: tuple[int, ...]) -> None:
    entries = [{"id": "0"}, {"id": "0", "fullname": "Ada"}, {"id": "0", "fullname": "Bob"}]
    booking, _ = apply_all([with_guests(0, *(entries[number] for number in order))])
    assert sorted(booking.attendees, key=str) == [{"fullname": "Ada"}, {"fullname": "Bob"}]


@pytest.mark.parametrize(("one", "other"), [*SAME_GUEST.values(), *((b, a) for a, b in SAME_GUEST.values())])
def test_the_same_guest_is_one_guest_and_has_not_left(one: Any, other: Any) -> None:
    bystander = samples.guest(2)
    booking, changes = apply_all([with_guests(0, one, bystander), with_guests(1, bystander, other)])
    assert [change.notification_kinds for change in changes[1:]] in ([], [[]])
    assert len(booking.attendees) == 2
    assert (
        apply_all([with_guests(1, bystander, other), with_guests(0, one, bystander)])[0].public_columns()
        == booking.public_columns()
    )


def test_a_guest_who_loses_the_id_keeps_what_is_known() -> None:
    one, other = SAME_GUEST["loses the id"]
    booking, _ = apply_all([with_guests(0, one), with_guests(1, other)])
    assert booking.attendees == [{"id": "a1", "email": "j@x.example", "fullname": "Jane"}]


def test_two_people_with_one_address_are_two_guests() -> None:
    booking, changes = apply_all([with_guests(0, ADA, BOB)])
    assert booking.attendees == [ADA, BOB]
    booking, changes = apply_all([with_guests(0, ADA, BOB), with_guests(1, BOB, ADA)])
    assert [change.notification_kinds for change in changes[1:]] in ([], [[]])
    booking, changes = apply_all([with_guests(0, ADA, BOB), with_guests(1, BOB)])
    assert changes[-1].notification_kinds == ["attendee_left"]
    assert booking.attendees == [BOB]


def test_two_people_with_one_address_and_ids_do_not_get_each_others_details() -> None:
    ada, bob = {"id": "1", **ADA, "phone": "+1"}, {"id": "2", **BOB}
    booking, changes = apply_all([with_guests(0, ada), with_guests(1, bob)])
    assert booking.attendees == [bob]
    assert changes[-1].notification_kinds == ["attendee_left"]
    booking, changes = apply_all([with_guests(0, ada, bob), with_guests(1, BOB)])
    assert booking.attendees == [bob]
    assert changes[-1].notification_kinds == ["attendee_left"]


def test_a_list_with_an_unreadable_item_removes_no_guest() -> None:
    booking, changes = apply_all([with_guests(0, *TWO_GUESTS), with_guests(1, TWO_GUESTS[0], 1.5)])
    assert [change.notification_kinds for change in changes[1:]] == [[]]
    assert booking.attendees == TWO_GUESTS[:1]


def test_guests_stored_by_the_last_release_are_read() -> None:
    booking = new_booking()
    version = event_from(CREATED).version
    booking.facts = {
        "attendee_ids": [version, ["g-1", "Jane@X.example"]],
        "attendee/id/g-1": [version, "g-1"],
        "attendee/email/g-1": [version, "g1@x.example"],
        "attendee/fullname/g-1": [version, "One"],
        "attendee/email/Jane@X.example": [version, "Jane@X.example"],
        "attendee/phone/Jane@X.example": [version, "+1"],
    }
    booking.version, booking.revision = version, 1
    booking.project()
    one = {"id": "g-1", "email": "g1@x.example", "fullname": "One"}
    assert booking.attendees == [one, {"email": "Jane@X.example", "phone": "+1"}]
    newer = with_guests(1, {"id": "g-1", "email": "g1@x.example"}, {"id": "g-2", "email": "jane@x.example"})
    change = booking.apply(event_from(newer), lambda *_: 7, AT)
    assert booking.attendees == [one, {"id": "g-2", "email": "jane@x.example", "phone": "+1"}]
    assert change is not None
    assert "attendee_left" not in change.notification_kinds


def test_a_former_guests_details_are_dropped() -> None:
    booking, _ = apply_all([with_guests(0, *TWO_GUESTS), with_guests(1, TWO_GUESTS[0])])
    assert "guest-2" not in json.dumps(booking.facts)
    for order in itertools.permutations(
        [with_guests(0, *TWO_GUESTS), with_guests(1, TWO_GUESTS[0]), with_guests(2, *TWO_GUESTS[::-1])]
    ):
        booking, _ = apply_all(order)
        assert booking.attendees == TWO_GUESTS[::-1]


def test_a_guest_who_returns_starts_without_old_details_in_every_order() -> None:
    known = {"id": "g1", "fullname": "Jane", "email": "j@x.example"}
    bodies = [with_guests(0, known), with_guests(1), with_guests(2, {"id": "g1"})]
    for order in itertools.permutations(bodies):
        assert apply_all(order)[0].attendees == [{"id": "g1"}]


GUESTS = st.fixed_dictionaries(
    {},
    optional={
        "id": st.sampled_from(["a1", "a2", None]),
        "email": st.sampled_from(["f@x.example", "F@x.example", "g@x.example", None]),
        "fullname": st.sampled_from(["Ada", "Bob", None]),
        "phone": st.sampled_from(["+1", "+2", None]),
        "timezone": st.sampled_from(["UTC", "Europe/Berlin", None]),
    },
)
LISTS = st.builds(lambda minute, guests: with_guests(minute, *guests), st.integers(0, 9), st.lists(GUESTS, max_size=3))


def in_two_orders(bodies: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[Any]:
    """Bodies in any order, one of them repeated."""
    some = st.lists(bodies, min_size=2, max_size=6)
    return some.flatmap(lambda bodies: st.tuples(st.just(bodies), st.permutations([*bodies, bodies[0]])))


@given(in_two_orders(LISTS))
@settings(max_examples=300, deadline=None)
def test_guests_with_and_without_ids_converge(orders: tuple[list[dict[str, Any]], list[dict[str, Any]]]) -> None:
    booking, again = (apply_all(bodies)[0] for bodies in orders)
    assert again.public_columns() == booking.public_columns()
    assert again.facts == booking.facts


def test_a_booking_with_thousands_of_changing_guests_stays_small() -> None:
    booking, sizes = new_booking(), []
    for minute in range(16):
        body = with_guests(minute, *({**samples.guest(number), "id": f"{minute}-{number}"} for number in range(1000)))
        booking.apply(event_from(body), lambda *_: 7, AT)
        sizes.append(len(json.dumps(booking.facts)))
    assert max(sizes) < 1.3 * sizes[0]


@pytest.mark.parametrize(
    "one", [{"id": "g1", "email": "j{}@x.example"}, {"email": "j@x.example", "fullname": "J {}"}, {"id": "{}"}]
)
def test_a_guest_who_changes_with_each_delivery_does_not_grow_the_row(one: dict[str, str]) -> None:
    booking = new_booking()
    for minute in range(200):
        guest = {name: text.format(minute) for name, text in one.items()}
        booking.apply(event_from(with_guests(minute, guest, samples.guest(1))), lambda *_: 7, AT)
    assert len(json.dumps(booking.facts)) < 12_000


# --- names in several languages


def test_a_name_in_several_languages_is_english_without_a_known_host() -> None:
    names = {"de": "Erstgespräch", "en": "First call"}
    in_both_languages = samples.created("b1", START, AT, meetingType={"meetingInfo": {"name": names}})
    assert apply_all([in_both_languages])[0].meeting_name == "First call"
    only_german = samples.created("b1", START, AT, meetingType={"meetingInfo": {"name": {"de": "Erstgespräch"}}})
    assert apply_all([only_german])[0].meeting_name == "Erstgespräch"
