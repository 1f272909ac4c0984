"""Bookings converge on real databases, however webhooks are lost, repeated, reordered, replayed or refreshed."""

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from devtools.send import samples
from meetergo import events
from meetergo.events import BookingEvent
from meetergo.guests import Identity
from models.booking import Booking
from models.delivery import Delivery
from models.notification import Notification
from models.tables import BookingChange, PlatformUser
from tests.worker.harness import START, Harness, later
from worker.channels.log import LogChannel

GUESTS = [samples.guest(1), samples.guest(2), samples.guest(3)]
BOOKINGS = st.sampled_from(["b1", "b2"])
MINUTES = st.integers(0, 4)
KINDS = st.sampled_from(["created", "rescheduled", "cancelled", "attendee left"])


def body(
    kind: str, booking_id: str, minute: int, guests: int, *, has_times: bool, is_old_format: bool
) -> dict[str, Any]:
    """A webhook: a small range of minutes, and omission, produce equal, missing and reversed times."""
    at, start = later(minute), START + timedelta(hours=minute % 3)
    changes = {
        "created": {},
        "rescheduled": {"rescheduledAt": at.isoformat()},
        "cancelled": {"isCancelled": True, "cancel": {"actionAt": at.isoformat(), "reason": f"minute {minute}"}},
        "attendee left": {"cancel": {"actionAt": None}},
    }[kind]
    appointment = samples.appointment(booking_id, start, at, attendees=GUESTS[:guests], **changes)
    if not has_times:
        appointment = {name: value for name, value in appointment.items() if name not in ("createdAt", "updatedAt")}
    event = "booking_cancelled" if kind == "attendee left" else f"booking_{kind}"
    if kind == "rescheduled":
        appointment = {"rescheduledAppointment": appointment}
    return {"event": event, "data": appointment} if is_old_format else {"webhookType": event, **appointment}


class Provider(RuleBasedStateMachine):
    """Everything that can happen between meetergo and us."""

    harness: Harness
    sent = Bundle("sent")
    has_stored_nothing = False
    """Whether the last rule left all rows as they were, so that they need not be read again."""

    def __init__(self) -> None:
        super().__init__()
        with self.harness.services.database.transaction() as session:
            for rows in (BookingChange, Notification, Booking, Delivery, PlatformUser):
                session.query(rows).delete()

    @rule(
        target=sent,
        kind=KINDS,
        booking=BOOKINGS,
        minute=MINUTES,
        guests=st.integers(0, 3),
        times=st.booleans(),
        old=st.booleans(),
    )
    def something_happens(self, kind: str, booking: str, minute: int, guests: int, times: bool, old: bool) -> bytes:
        """An event occurs; its webhook arrives at once, later, twice, or never: see the other rules."""
        self.has_stored_nothing = True
        return json.dumps(body(kind, booking, minute, guests, has_times=times, is_old_format=old)).encode()

    @rule(bodies=st.lists(sent, min_size=1, max_size=6))
    def webhooks_arrive(self, bodies: list[bytes]) -> None:
        self.harness.deliver(*bodies)

    @rule(bodies=st.lists(sent, min_size=1, max_size=6))
    def webhooks_arrive_and_are_handled_one_by_one(self, bodies: list[bytes]) -> None:
        self.harness.process(*bodies)

    @rule(workers=st.integers(1, 3))
    def workers_work(self, workers: int) -> None:
        with ThreadPoolExecutor(workers) as pool:
            for work in [pool.submit(self.harness.process_due) for _ in range(workers)]:
                work.result()

    @rule(data=st.data())
    def an_operator_replays(self, data: st.DataObject) -> None:
        deliveries = self.harness.all(Delivery)
        if deliveries:
            chosen = data.draw(st.sampled_from(deliveries))
            with self.harness.services.database.transaction() as session:
                session.get_one(Delivery, chosen.id).replay(later(0))

    @rule(booking=BOOKINGS, minute=MINUTES, cancelled=st.booleans())
    def the_provider_is_asked(self, booking: str, minute: int, cancelled: bool) -> None:
        asked = body("cancelled" if cancelled else "created", booking, minute, 2, has_times=True, is_old_format=False)
        self.harness.deliver({**asked, "askedFor": True}, source="reconcile")

    @rule()
    def news_goes_out(self) -> None:
        self.harness.send_all()

    @invariant()
    def what_is_stored_is_right(self) -> None:
        if self.has_stored_nothing:
            self.has_stored_nothing = False
            return
        deliveries, bookings = self.harness.all(Delivery), self.harness.all(Booking)
        if all(delivery.status != "pending" for delivery in deliveries):
            self.each_row_is_what_the_facts_say(bookings, deliveries)
        self.the_changes_replay_to_the_row(bookings)
        self.no_news_contradicts_what_was_told_before()
        self.nothing_died_and_nothing_was_sent_twice(deliveries)

    def each_row_is_what_the_facts_say(self, bookings: list[Booking], deliveries: list[Delivery]) -> None:
        for booking in bookings:
            facts = self._facts(booking.id, deliveries)
            for name in ("starts_at", "location", "meeting_name", "status", "cancel_reason"):
                assert _shown(booking, name) == _newest(facts, name), name
            expected_guests = _newest(facts, "attendee_ids") or []
            assert [person["id"] for person in booking.attendees] == [Identity.parse(key).id for key in expected_guests]

    def the_changes_replay_to_the_row(self, bookings: list[Booking]) -> None:
        rows: dict[str, dict[str, Any]] = {}
        for change in self.harness.changes():
            rows.setdefault(change.booking_id, {}).update(change.after)
        assert rows == {booking.id: booking.public_columns() for booking in bookings}

    def no_news_contradicts_what_was_told_before(self) -> None:
        status: dict[str, str] = {}
        for row in self.harness.all(Notification):
            before = status.get(row.booking_id)
            assert row.kind != "created" or before in (None, "cancelled")
            assert row.kind != "cancelled" or before != "cancelled"
            assert row.kind not in ("rescheduled", "attendee_left") or before == "confirmed"
            status[row.booking_id] = row.payload["booking"]["status"]

    def nothing_died_and_nothing_was_sent_twice(self, deliveries: list[Delivery]) -> None:
        assert not [row for row in deliveries if row.status == "dead"]
        assert len(SENT) == len(set(SENT))

    def _facts(self, booking_id: str, deliveries: list[Delivery]) -> list[BookingEvent]:
        cipher = self.harness.services.inbox.cipher
        read = [
            events.read(cipher.decrypt(row.encrypted_body), row.received_at, is_authoritative=row.source == "reconcile")
            for row in deliveries
            if row.booking_id == booking_id
        ]
        return [event for event in read if isinstance(event, BookingEvent)]


SENT: list[str] = []


def _newest(facts: list[BookingEvent], name: str) -> Any:
    """The oracle, independent of order: the newest value of each column."""
    said = [event for event in facts if name in event.facts]
    return max(said, key=lambda event: event.version).facts[name] if said else {"status": "confirmed"}.get(name)


def _shown(booking: Booking, name: str) -> Any:
    value = getattr(booking, name)
    return value.isoformat() if name == "starts_at" and value else value


@pytest.mark.timeout(300)
def test_bookings_converge_whatever_happens(
    open_harness: Callable[..., Harness], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(LogChannel, "send", lambda _channel, message: SENT.append(message.id))
    SENT.clear()
    harness = open_harness()

    class Machine(Provider):
        def __init__(self) -> None:
            self.harness = harness
            SENT.clear()
            super().__init__()

    run_state_machine_as_test(  # type: ignore[no-untyped-call]
        Machine,
        settings=settings(
            max_examples=40,
            stateful_step_count=20,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow],
        ),
    )
