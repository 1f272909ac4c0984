"""The channel protocol: send a message, or raise an error that says why it was not sent."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from models.booking import NotificationKind
from runtime.errors import Transient


@dataclass(frozen=True)
class Message:
    """A notification, ready to be sent.

    Attributes:
        id: idempotency key, the same on every attempt; letters, digits and `_`.
        kind: kind of notification.
        booking: the booking after the change: id, status, starts_at, ends_at (ISO 8601 in UTC or None),
            meeting_type_id, meeting_name, meeting_link, location, attendees (list of objects with some of id, email,
            firstname, lastname, fullname, phone, timezone, language), host_ids, metadata, cancel_reason,
            cancelled_by, as_of, and revision, an integer that rises with each change.
        before: previous values of the fields that changed; None where the booking is new.
        host: the platform user: id, external_id, name, email, timezone (IANA), language; None without an owner.
        recipient: what `Channel.recipient` returned for this notification.
        made_at: when the change happened, UTC.
        handed_over: whether the booking is cancelled only for this reader, because another host has it now.
        bookings: in a summary, the host's next bookings: id, status, starts_at, ends_at, meeting_type_id,
            meeting_name. It holds no attendee data.
        total: in a summary, the number of bookings, which can exceed those listed.
        again: whether an operator sends the booking as it is to a platform that lost its data.
    """

    id: str
    kind: NotificationKind
    booking: dict[str, Any]
    before: dict[str, Any] | None
    host: dict[str, Any] | None
    recipient: str
    made_at: datetime
    handed_over: bool = False
    bookings: Sequence[dict[str, Any]] = ()
    total: int = 0
    again: bool = False


class Unresponsive(Transient):
    """The destination did not respond in time. Everything for it pauses for a cool-down."""


class Channel(Protocol):
    """Sends messages to the destination that its URL names.

    Attributes:
        name: kind of channel, safe to show: `mailto`, `https`, `slack`, `log` and so on.
        destination: key of the server that the channel depends on: if it hangs, so do all channels with the same key.
            Not safe to show.
    """

    name: str
    destination: str

    @property
    def recipient(self) -> str | None:
        """The fixed recipient, safe to show; None to write to each host's own e-mail address."""

    def send(self, message: Message) -> None:
        """Send a message.

        Raises:
            Permanent: the message will never be accepted as it is.
            Unresponsive: the destination did not respond in time.
            Transient: a later attempt may succeed, perhaps after the delay that the destination asked for.
        """
