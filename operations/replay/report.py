"""The outlook: what would become of deliveries, of their bookings and of those who are told."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from models.booking import BookingChange
from models.delivery import Delivery
from models.notification import Notification
from models.retryable import Status
from operations.replay.selection import SelectedDelivery


@dataclass(frozen=True)
class DeliveryOutcome:
    """What would become of one delivery.

    Attributes:
        delivery: which.
        status: `done`; `dead`; or `pending`, if it would fail and be tried again.
        error: why it would fail; it may quote people, so it is for the operator's eyes only.
        note: why nothing would come of it, though it would be done.
        changes: whether it would change a booking.
    """

    delivery: SelectedDelivery
    status: Status
    error: str | None
    note: str | None
    changes: bool

    @classmethod
    def from_row(cls, delivery: SelectedDelivery, row: Delivery, changes: bool) -> "DeliveryOutcome":
        """The row, as it was handled."""
        return cls(delivery, row.status, None if row.status == "done" else row.last_error, row.note, changes)


@dataclass(frozen=True)
class BookingDiff:
    """What would become of one booking, by all of its deliveries together.

    Attributes:
        booking_id: which.
        is_new: whether nobody knew of it before.
        before: the columns that would be different, as they are.
        after: the same, as they would be.
    """

    booking_id: str
    is_new: bool
    before: dict[str, Any]
    after: dict[str, Any]

    @classmethod
    def from_changes(cls, changes: Sequence[BookingChange]) -> "BookingDiff":
        """From the first change's before to the last one's after; what comes back to what it was is none."""
        before: dict[str, Any] = {}
        after: dict[str, Any] = {}
        for change in changes:
            before = {name: (change.before or {}).get(name) for name in change.after} | before
            after |= change.after
        names = [name for name in after if after[name] != before[name]]
        first = changes[0]
        return cls(first.booking_id, first.before is None, *({n: of[n] for n in names} for of in (before, after)))


@dataclass(frozen=True)
class NotificationPreview:
    """One notification that would go out.

    Attributes:
        booking_id: about which booking.
        kind: what happened.
        channel: by what, safe to show.
        recipient: to whom.
        again: whether it was owed before: it goes out once more because that is wanted.
    """

    booking_id: str
    kind: str
    channel: str
    recipient: str
    again: bool

    @classmethod
    def from_notification(cls, notification: Notification, again: bool) -> "NotificationPreview":
        """The notification, as it was owed."""
        return cls(notification.booking_id, notification.kind, notification.channel, notification.recipient, again)


@dataclass
class DryRunReport:
    """What would happen, if nothing else does meanwhile."""

    outcomes: list[DeliveryOutcome] = field(default_factory=list)
    booking_diffs: list[BookingDiff] = field(default_factory=list)
    notifications: list[NotificationPreview] = field(default_factory=list)
