"""An entry of the timeline: one thing that happened to a delivery, a booking or a notification, without words."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any


@dataclass(frozen=True)
class TimelineEntry:
    """One thing that happened. What does not belong to its kind is None.

    Attributes:
        at: when, UTC.
        kind: of what, and what: `delivery.` and received, retrying, dead, done, replayed or ignored; `booking.` and the
            kind of its change; `notification.` and owed, retrying, dead, done, replayed or sent_again.
        booking_id: the booking that it is about, as far as is known by now.
        delivery_id: the delivery; of a change and of news, the one that caused it.
        notification_id: the notification.
        event: the provider's name of the delivery's event.
        news: what the notification tells.
        channel: by what it goes.
        recipient: to whom.
        attempts: how many tries had failed by then.
        error: why this one did.
        note: why nothing came of a delivery that is done.
        before: the columns that changed, as they were; None of a new booking.
        after: the same, as they became.
        by: who intervened.
        reason: why.
    """

    at: datetime
    kind: str
    booking_id: str | None = None
    delivery_id: str | None = None
    notification_id: int | None = None
    event: str | None = None
    news: str | None = None
    channel: str | None = None
    recipient: str | None = None
    attempts: int | None = None
    error: str | None = None
    note: str | None = None
    before: dict[str, Any] | None = None
    after: dict[str, Any] | None = None
    by: str | None = None
    reason: str | None = None

    @property
    def identity(self) -> tuple[object, ...]:
        """The same whenever it is read; what a delivery is about is known only later."""
        subject = self.kind.partition(".")[0]
        return self.kind, self.at, getattr(self, f"{subject}_id")
