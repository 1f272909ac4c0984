"""Confirmation: before a cancel is acted on, meetergo is asked whether it is true."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TypeGuard

from meetergo.api import Meetergo
from meetergo.api.errors import ApiError, Misuse, Unavailable
from meetergo.api.results import Appointment
from meetergo.events import BookingEvent, Event, Unreadable
from models.delivery import Source
from models.failures import Failure, Permanent, Transient
from models.provider import ApiSettings
from worker.diary import Diary
from worker.reading import Reading

PATIENCE = timedelta(seconds=10)
"""For a turn, and for an answer: the delivery's own retries are the patient ones."""
MOST_HOSTS = 3
"""As so many hosts a booking is asked for at most."""
NOT_CANCELLED = "meetergo says it is not cancelled"


@dataclass(frozen=True)
class Answer:
    """What to process instead of what was told, and what to note of it."""

    event: Event | Failure
    note: str | None = None


@dataclass(frozen=True)
class Confirmation:
    """Asks.

    Attributes:
        client: meetergo.
        user_id: whom a Platform key acts as at first: an admin; empty if none is configured.
    """

    client: Meetergo
    user_id: str = ""

    @classmethod
    def open(cls, redis_url: str) -> "Confirmation":
        """With the key that the settings name."""
        settings = ApiSettings.load()
        client = settings.provider(redis_url, patience=PATIENCE, timeout=PATIENCE, attempts=1)
        return cls(client, settings.meetergo_api_user)

    def ask(self, event: BookingEvent, host_ids: Sequence[str], now: datetime) -> Answer:
        """What meetergo says of a cancel. Hold no lock meanwhile.

        Args:
            event: what was told.
            host_ids: the booking's hosts, as far as we know them.
            now: when we ask.
        """
        try:
            appointment = self._diary(host_ids or event.facts.get("host_ids") or ()).one(event.booking_id)
        except Misuse as error:
            return Answer(Permanent(f"the cancel cannot be confirmed: {error}"))
        except ApiError as error:
            return Answer(Transient(f"the cancel is not confirmed yet: {error}", error.retry_after))
        return _answer(appointment, event, now) if appointment else Answer(event)

    def _diary(self, host_ids: Sequence[str]) -> Diary:
        """An admin sees every booking, and only then its hosts are asked as. What a webhook names is not asked first.

        Raises:
            Misuse: a host's id is none.
            Unavailable: we do not know whom to ask as, yet.
        """
        if not self.client.acts_as_anybody:
            return Diary((self.client,), None)
        hosts = tuple(self.client.as_user(host_id) for host_id in host_ids[:MOST_HOSTS])
        if not (self.user_id or hosts):
            raise Unavailable("nobody is known who may see it: set MEETERGO_API_USER to an admin of the company")
        return Diary((self.client, *hosts) if self.user_id else hosts, None)


def is_unconfirmed_cancel(event: Event | Failure, source: Source) -> TypeGuard[BookingEvent]:
    """Whether an event cannot be taken back, and we did not ask for it."""
    return isinstance(event, BookingEvent) and event.facts.get("status") == "cancelled" and source == "webhook"


def _answer(appointment: Appointment, told: BookingEvent, now: datetime) -> Answer:
    try:
        event = replace(Reading(appointment, now).event, type=told.type)
    except Unreadable as error:
        return Answer(Transient(f"meetergo's answer cannot be read: {error}"))
    return Answer(event, None if appointment.is_cancelled else NOT_CANCELLED)
