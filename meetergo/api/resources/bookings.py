"""Bookings: book a slot, as a guest would."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from meetergo.api.errors import InvalidCall
from meetergo.api.request import identifier
from meetergo.api.schemas import AwaitingConfirmation, Booked
from meetergo.api.session import Resource, Response, without_none

MAX_COMPANIONS = 5

KINDS: dict[str, Literal["double_opt_in", "host_confirmation"]] = {
    "doubleoptin": "double_opt_in",
    "requirehostconfirmation": "host_confirmation",
}
"""`bookingType` in lower case: the documents and the responses spell it differently."""


@dataclass(frozen=True)
class Guest:
    """The person who books. meetergo accepts a guest without a name; this client does not.

    Attributes:
        email: address for meetergo's mails.
        name: the full name.
        phone: with country code.
        timezone: IANA.
        language: such as `en` or `de`.
        receive_reminders: whether meetergo may send reminders. Its own clients say yes.
        data_policy_accepted: the guest's answer, if you asked.
        notes: answers to the meeting type's questions.
        companions: e-mails of up to five more participants.
    """

    email: str = field(repr=False)
    name: str = field(repr=False)
    phone: str | None = field(default=None, repr=False)
    timezone: str | None = None
    language: str | None = None
    receive_reminders: bool = True
    data_policy_accepted: bool | None = None
    notes: Mapping[str, Any] = field(default_factory=dict, repr=False)
    companions: Sequence[str] = field(default=(), repr=False)

    def body(self) -> dict[str, Any]:
        """Return the guest as request JSON.

        Raises:
            InvalidCall: the e-mail or name is missing, or there are too many companions.
        """
        if not self.email.strip() or not self.name.strip():
            raise InvalidCall("a guest needs an e-mail and a name")
        if len(self.companions) > MAX_COMPANIONS:
            raise InvalidCall(f"a guest may bring {MAX_COMPANIONS} people along, not more")
        return without_none(
            email=self.email,
            fullname=self.name,
            phone=self.phone,
            timezone=self.timezone,
            language=self.language,
            receiveReminders=self.receive_reminders,
            dataPolicyAccepted=self.data_policy_accepted,
            notes=dict(self.notes),
            bringalongEmails=list(self.companions) or None,
        )


class Bookings(Resource):
    """The booking call."""

    def create(
        self,
        meeting_type_id: str,
        start: datetime,
        guest: Guest,
        *,
        host_ids: Sequence[str] = (),
        queue_id: str | None = None,
        duration: int | None = None,
        channel: str | None = None,
        skip_notifications: bool | None = None,
    ) -> Booked | AwaitingConfirmation:
        """Book a slot.

        Args:
            meeting_type_id: the meeting type.
            start: start of a `Slot`.
            guest: the person who books.
            host_ids: the hosts.
            queue_id: any host of this queue instead.
            duration: in minutes, where the meeting type offers several.
            channel: where the meeting type offers several.
            skip_notifications: whether meetergo sends no mails.

        Raises:
            SlotTaken: the time is not free.
            OutcomeUnknown: it may have been booked. Check the appointments of that time before retrying.
            InvalidCall: neither host nor queue is given, or the start lacks a timezone.
        """
        if start.tzinfo is None:
            raise InvalidCall("a start needs a timezone")
        if not host_ids and not queue_id:
            raise InvalidCall("name the host: host_ids or queue_id")
        body = without_none(
            meetingTypeId=identifier(meeting_type_id, "meeting type"),
            start=start.isoformat(),
            hostIds=[identifier(host_id, "host") for host_id in host_ids] or None,
            queueId=queue_id and identifier(queue_id, "queue"),
            attendee=guest.body(),
            duration=duration,
            channel=channel,
            skipNotifications=skip_notifications,
        )
        return _outcome(self._session.post("/v4/booking", body, impersonation="optional", takes_a_slot=True))


def _outcome(response: Response) -> Booked | AwaitingConfirmation:
    body = response.body if isinstance(response.body, dict) else {}
    if provisional_id := body.get("provisionalBookingId"):
        kind = str(body.get("bookingType")).lower()
        return AwaitingConfirmation(KINDS.get(kind, "unknown"), str(provisional_id))
    if appointment_id := body.get("appointmentId"):
        return Booked(str(appointment_id), str(body.get("secret") or ""))
    raise response.bad_response("it names neither an appointment nor a provisional booking")
