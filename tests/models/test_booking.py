"""A booking converges: the same facts in any order make the same row. Here without a database, exhaustively."""

import itertools
import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from console import samples
from meetergo import events
from models.booking import Booking, BookingChange

START = datetime(2024, 1, 15, 8, 0, tzinfo=UTC)
AT = datetime(2024, 1, 14, 15, 30, tzinfo=UTC)


def minutes(number: int) -> timedelta:
    return timedelta(minutes=number)


TWO = [samples.guest(1), samples.guest(2)]
CREATED = samples.created("b1", START, AT, attendees=TWO)
MOVED = samples.rescheduled("b1", START + minutes(60), AT + minutes(1), START, attendees=TWO)
MOVED_AGAIN = samples.rescheduled("b1", START + minutes(120), AT + minutes(2), START, attendees=TWO)
GUEST_LEFT = samples.attendee_left("b1", START + minutes(120), AT + minutes(3))
CANCELLED = samples.cancelled("b1", START + minutes(120), AT + minutes(4))
BARE_MOVE = {
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

STORIES = {
    "a whole life": [CREATED, MOVED, MOVED_AGAIN, GUEST_LEFT, CANCELLED],
    "without its create": [MOVED, MOVED_AGAIN, GUEST_LEFT],
    "one body says little": [CREATED, BARE_MOVE],
    "all at the same time": SAME_TIME,
    "moved after it was cancelled": [CREATED, CANCELLED, samples.rescheduled("b1", START, AT + minutes(9), START)],
}


def blank() -> Booking:
    return Booking(
        id="b1", status="confirmed", attendees=[], host_ids=[], metadata_={}, facts={}, version="", revision=0, as_of=AT
    )


def told(stories: Sequence[dict[str, Any]]) -> tuple[Booking, list[BookingChange]]:
    booking = blank()
    heard = [events.read(json.dumps(body).encode(), received_at=AT) for body in stories]
    changes = [booking.learn(event, lambda hosts, _: 7 if hosts else None, AT) for event in heard]  # type: ignore[arg-type]
    return booking, [change for change in changes if change]


@pytest.mark.parametrize("story", STORIES.values(), ids=STORIES)
def test_every_order_with_every_repetition_ends_in_the_same_row(story: list[dict[str, Any]]) -> None:
    expected = told(story)[0].seen()
    for repeated in [*story, None]:
        for order in itertools.permutations([*story, repeated] if repeated else story):
            assert told(order)[0].seen() == expected


@given(st.permutations(STORIES["a whole life"] + SAME_TIME + [BARE_MOVE]), st.integers(0, 8))
def test_a_replay_of_what_was_heard_changes_nothing(story: list[dict[str, Any]], heard: int) -> None:
    booking, _ = told(story)
    before, revision = booking.seen(), booking.revision
    for body in story[:heard]:
        event = events.read(json.dumps(body).encode(), received_at=AT)
        assert booking.learn(event, lambda hosts, _: 7, AT) is None  # type: ignore[arg-type]
    assert (booking.seen(), booking.revision) == (before, revision)


@given(st.permutations(STORIES["a whole life"] + [BARE_MOVE]))
def test_the_changes_replay_to_the_row(story: list[dict[str, Any]]) -> None:
    booking, changes = told(story)
    replayed: dict[str, Any] = {}
    for change in changes:
        assert change.before is None or {name: replayed[name] for name in change.before} == change.before
        replayed |= change.after
    assert replayed == booking.seen()


@given(st.permutations(STORIES["a whole life"] + SAME_TIME))
def test_nothing_is_told_after_a_cancel(story: list[dict[str, Any]]) -> None:
    news = [kind for change in told(story)[1] for kind in change.news]
    assert news.count("cancelled") == 1
    assert news[-1] == "cancelled"
    assert "created" not in news[1:]


def test_the_news_of_a_whole_life_in_order() -> None:
    news = [change.news for change in told(STORIES["a whole life"])[1]]
    assert news == [["created"], ["rescheduled"], ["rescheduled"], ["attendee_left"], ["cancelled"]]


def test_a_body_that_names_only_ids_takes_no_name_away() -> None:
    booking, _ = told([BARE_MOVE, CREATED])
    assert booking.attendees == [samples.guest(1)]
    assert booking.meeting_name == "Discovery Call"
    assert booking.starts_at == START + minutes(60)


def test_a_cancelled_booking_stays_cancelled_when_a_later_reschedule_arrives() -> None:
    booking, changes = told(STORIES["moved after it was cancelled"])
    assert booking.status == "cancelled"
    assert [change.news for change in changes][-1] == []


def test_a_cancel_event_for_one_guest_does_not_cancel_the_booking() -> None:
    booking, changes = told([CREATED, samples.attendee_left("b1", START, AT + minutes(1))])
    assert booking.status == "confirmed"
    assert changes[-1].news == ["attendee_left"]
    assert [person["id"] for person in booking.attendees] == ["sample-guest-1"]


def test_the_newest_cancel_says_why() -> None:
    booking, _ = told([CANCELLED, CREATED])
    assert (booking.cancelled_by, booking.cancel_reason) == ("attendee", "Schedule conflict")
