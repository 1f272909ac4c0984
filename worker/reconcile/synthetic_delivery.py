"""Synthetic deliveries: appointments as the provider's API shows them, made into the webhooks that we missed."""

import json
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cached_property

from meetergo import events
from meetergo.api.schemas import Appointment
from meetergo.events import MAX_CLOCK_AHEAD, SUPERSEDES, BookingEvent, UnreadableBody, latest_version
from meetergo.guests import departed
from models.booking import Booking
from models.facts import newest_version

CONSISTENCY_DELAY = timedelta(minutes=2)
"""How long ago we must have learnt what contradicts a reading, for the reading to count: a list may lag behind."""


@dataclass(frozen=True)
class SyntheticDelivery:
    """What meetergo answered about one booking, beside what we know of it.

    Attributes:
        appointment: the answer.
        asked_at: when we began to ask, UTC.
        known: our row.
        consistency_delay: how long ago we must have learnt what contradicts it; none for an appointment
            that is asked for by itself.
    """

    appointment: Appointment
    asked_at: datetime
    known: Booking | None = field(default=None, repr=False)
    consistency_delay: timedelta = CONSISTENCY_DELAY

    @cached_property
    def body(self) -> bytes:
        """The delivery that meetergo should have sent. The same answer beside the same row is the same body."""
        payload = {**self.appointment.raw, "webhookType": self._type}
        version = self._superseded_version(payload)
        return _json(payload | {SUPERSEDES: version} if version else payload)

    @property
    def event(self) -> BookingEvent:
        """What that delivery says.

        Raises:
            Unreadable: it makes no sense as a delivery.
        """
        return self._read(self.body)

    def _superseded_version(self, payload: dict[str, object]) -> str | None:
        """What we know claims to be newer than what meetergo says now, and has had time to show there.

        It was told without a time of its own, with a wrong one, or by somebody else than meetergo.
        """
        if (
            self.known is None
            or self.asked_at - self.consistency_delay < self.known.updated_at < self.asked_at + MAX_CLOCK_AHEAD
        ):
            return None
        known = newest_version(self.known.facts, latest_version(self.asked_at))
        return known if known > self._read(_json(payload)).version else None

    def _read(self, body: bytes) -> BookingEvent:
        event = events.read(body, self.asked_at, is_authoritative=True)
        if not isinstance(event, BookingEvent):
            raise UnreadableBody("it is about no booking")
        return event

    @property
    def _type(self) -> str:
        """The event that meetergo has for the difference. It also says `booking_cancelled` when one guest left."""
        appointment, known = self.appointment, self.known
        if appointment.is_cancelled or (known and self._has_lost_a_guest(known)):
            return "booking_cancelled"
        is_moved = known and appointment.start and known.starts_at not in (None, appointment.start)
        return "booking_rescheduled" if is_moved else "booking_created"

    def _has_lost_a_guest(self, known: Booking) -> bool:
        if self.appointment.attendees is None:
            return False
        return bool(departed(known.attendees, [attendee.details for attendee in self.appointment.attendees]))


def _json(value: dict[str, object]) -> bytes:
    try:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")
    except RecursionError:
        raise UnreadableBody("it nests deeper than any booking does") from None
