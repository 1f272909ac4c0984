"""The report of a dry run: what would happen to deliveries, bookings and recipients."""

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
    """The expected result for one delivery.

    Attributes:
        delivery: the delivery.
        status: `done`; `dead`; or `pending`, if it would fail and be retried.
        error: why it would fail; it may contain personal data, so it is for operators only.
        note: why it would have no effect although it would be done.
        changes: whether it would change a booking.
    """

    delivery: SelectedDelivery
    status: Status
    error: str | None
    note: str | None
    changes: bool

    @classmethod
    def from_row(cls, delivery: SelectedDelivery, row: Delivery, changes: bool) -> "DeliveryOutcome":
        """Build the outcome from the row after its dry run."""
        return cls(delivery, row.status, None if row.status == "done" else row.last_error, row.note, changes)


@dataclass(frozen=True)
class BookingDiff:
    """The expected change of one booking by all of its deliveries.

    Attributes:
        booking_id: the booking's id.
        is_new: whether the booking does not exist yet.
        before: the columns that would change, with current values.
        after: the same columns with new values.
    """

    booking_id: str
    is_new: bool
    before: dict[str, Any]
    after: dict[str, Any]

    @classmethod
    def from_changes(cls, changes: Sequence[BookingChange]) -> "BookingDiff":
        """Combine changes: from before the first to after the last, without columns that regain their value."""
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
    """One notification that would be sent.

    Attributes:
        booking_id: the booking's id.
        kind: kind of notification.
        channel: the channel, safe to show.
        recipient: the recipient.
        again: whether it existed before and would be resent on request.
    """

    booking_id: str
    kind: str
    channel: str
    recipient: str
    again: bool

    @classmethod
    def from_notification(cls, notification: Notification, again: bool) -> "NotificationPreview":
        """Build the preview from the notification's row."""
        return cls(notification.booking_id, notification.kind, notification.channel, notification.recipient, again)


@dataclass
class DryRunReport:
    """The expected results, if nothing else changes meanwhile."""

    outcomes: list[DeliveryOutcome] = field(default_factory=list)
    booking_diffs: list[BookingDiff] = field(default_factory=list)
    notifications: list[NotificationPreview] = field(default_factory=list)
