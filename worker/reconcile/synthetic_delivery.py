"""Synthetic deliveries: appointments read from the provider's API, converted to the webhooks that were missed."""

import json
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING

from meetergo import events
from meetergo.events import MAX_CLOCK_AHEAD, SUPERSEDES, BookingEvent, UnreadableBody, latest_version
from meetergo.guests import departed
from models.account import booking_key
from models.booking import Booking
from models.facts import newest_version

if TYPE_CHECKING:
    from meetergo.api.schemas import Appointment

CONSISTENCY_DELAY = timedelta(minutes=2)
"""Minimum age of a local version before a list that contradicts it counts: lists may lag behind."""


@dataclass(frozen=True)
class SyntheticDelivery:
    """An appointment from meetergo together with the local booking.

    Attributes:
        appointment: the appointment as read.
        asked_at: time of the request, UTC.
        account: the account whose key read it.
        known: the local row, if any.
        consistency_delay: minimum age of a contradicting local version; zero for an appointment read individually.
    """

    appointment: "Appointment"
    asked_at: datetime
    account: str
    known: Booking | None = field(default=None, repr=False)
    consistency_delay: timedelta = CONSISTENCY_DELAY

    @cached_property
    def body(self) -> bytes:
        """The body that meetergo should have sent. The same appointment and row give the same body."""
        payload = {**self.appointment.raw, "webhookType": self._type}
        version = self._superseded_version(payload)
        return _json(payload | {SUPERSEDES: version} if version else payload)

    @property
    def event(self) -> BookingEvent:
        """The event in that body, which names the booking by its key.

        Raises:
            UnreadableBody: it is not a valid delivery.
        """
        event = self._read(self.body)
        moved_from = event.moved_from and booking_key(self.account, event.moved_from)
        return replace(event, booking_id=booking_key(self.account, event.booking_id), moved_from=moved_from)

    def _superseded_version(self, payload: dict[str, object]) -> str | None:
        """Return the local version if it claims to be newer than meetergo's and had time to appear there.

        Such a version came without a time, with a wrong one, or from a sender other than meetergo.
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
        """The event type for the difference. meetergo also sends `booking_cancelled` when one guest left."""
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
