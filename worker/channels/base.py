"""A channel: one way to tell somebody. It sends a message, or says why it could not."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from models.booking import NotificationKind
from runtime.errors import Transient


@dataclass(frozen=True)
class Message:
    """News, ready to be sent.

    Attributes:
        id: the same on every attempt, so that who receives it can tell a repeat; letters, digits and `_`.
        kind: what happened.
        booking: the booking as it was after that: id, status, starts_at, ends_at (ISO 8601 in UTC or None),
            meeting_type_id, meeting_name, meeting_link, location, attendees (list of objects with some of id, email,
            firstname, lastname, fullname, phone, timezone, language), host_ids, metadata, cancel_reason,
            cancelled_by, as_of, and revision, an integer that rises with each change.
        before: the same names, but only what was different before; None where the booking is new.
        host: the platform's user: id, external_id, name, email, timezone (IANA), language; None if nobody owns it.
        recipient: whom the channel said it would tell.
        made_at: when it happened, UTC.
        handed_over: whether a booking is cancelled for this reader only, since others host it now.
        bookings: of a summary, the next ones that this host has: id, status, starts_at, ends_at, meeting_type_id,
            meeting_name. Nothing of guests.
        total: of a summary, how many there are; more than are listed, perhaps.
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


class Unresponsive(Transient):
    """The other side did not answer in time: it is left alone for a while, with all that is for it."""


class Channel(Protocol):
    """Sends messages to where its URL says.

    Attributes:
        name: what it is, safe to show: `mailto`, `https`, `slack`, `log` and so on.
        is_personal: whether it tells the booking's host rather than a fixed place.
        destination: the same for all channels that hang when one of them hangs; not to be shown.
    """

    name: str
    is_personal: bool
    destination: str

    def recipient(self, host: dict[str, Any] | None) -> str | None:
        """Whom it would tell of a booking with this host, safe to show; None if there is nobody to tell."""

    def send(self, message: Message) -> None:
        """Sends it.

        Raises:
            Permanent: it will never be taken like this.
            Unresponsive: there was no answer in time.
            Transient: it may be taken later, perhaps after the time that the other side named.
        """
