"""What a hook is called with: a session, and snapshots of the booking and of its change.

Snapshots cannot be changed, and what they hold is a copy. Times are aware, in UTC. They have no `repr` of their values,
which are people's data.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any, Literal, Protocol

from sqlalchemy.orm import Session


@dataclass(frozen=True, repr=False)
class HostSnapshot:
    """The platform user who owns a booking, as in the table `platform_users`.

    Attributes:
        id: this service's id, which `booking.platform_user_id` holds.
        external_id: the platform's id of the host. It is text, also where the platform's own column is a number.
        meetergo_user_id: meetergo's id of the host; None if unknown.
        meetergo_meeting_type_id: the host's first meeting type; None if unknown.
        booking_url: the host's booking page; None if unknown.
        email, name: of the host; None if the platform did not state them.
        timezone: IANA name, such as `Europe/Berlin`.
        language: such as `de`.
    """

    id: int
    external_id: str
    meetergo_user_id: str | None
    meetergo_meeting_type_id: str | None
    booking_url: str | None
    email: str | None
    name: str | None
    timezone: str
    language: str


@dataclass(frozen=True, repr=False)
class BookingSnapshot:
    """A booking after the change, as in the table `bookings`.

    Attributes:
        id: the key of the booking: meetergo's id; in an account beside `default`, `<account>:<id>`.
        platform_user_id: `platform_users.id` of the owner; None if no platform user is mapped to a host.
        host: the owner; None if there is none.
        status: `confirmed` or `cancelled`.
        starts_at, ends_at: times of the meeting; None if meetergo did not state them.
        meeting_type_id, meeting_name, meeting_link, location: of the meeting; None if unknown or none.
        attendees: the guests as meetergo describes them, each with keys such as `email`, `fullname` and `phone`.
        host_ids: meetergo's ids of all hosts.
        metadata: the platform's own values that it gave meetergo with the booking.
        cancel_reason, cancelled_by: of a cancelled booking; None if unknown.
        as_of: time of the newest webhook that the row reflects.
        created_at, updated_at: times of the row's first and latest change.
        revision: number of the row's changes, 1 for a new one.
        account: the account of meetergo, `default` if there is only one.
    """

    id: str
    platform_user_id: int | None
    host: HostSnapshot | None
    status: Literal["confirmed", "cancelled"]
    starts_at: datetime | None
    ends_at: datetime | None
    meeting_type_id: str | None
    meeting_name: str | None
    meeting_link: str | None
    location: str | None
    attendees: Sequence[Mapping[str, Any]]
    host_ids: Sequence[str]
    metadata: Mapping[str, Any]
    cancel_reason: str | None
    cancelled_by: str | None
    as_of: datetime
    created_at: datetime
    updated_at: datetime
    revision: int
    account: str = "default"

    def public_columns(self) -> dict[str, Any]:
        """Return the columns as JSON values, as `change.before` and `change.after` hold them."""
        names = [each.name for each in fields(self) if each.name not in BOOKKEEPING]
        return {name: _json_value(getattr(self, name)) for name in names}

    @property
    def metadata_(self) -> Mapping[str, Any]:
        """The former name of `metadata`."""
        return self.metadata


BOOKKEEPING = ("id", "account", "host", "created_at", "updated_at", "revision")


@dataclass(frozen=True, repr=False)
class ChangeSnapshot:
    """One change of one booking, as in the table `booking_changes`.

    Attributes:
        booking_id: id of the booking.
        revision: number of this change of the booking: 1, 2, 3 ... With `booking_id` it identifies the change.
        kind: what happened.
        before: the columns that changed, as JSON values, with their values before; None if the booking is new.
        after: the same columns, with their values now.
        notification_kinds: the kinds of notification that the change causes.
        delivery_id: id of the delivery that caused it; None if none did.
        at: time of the change.
        is_late: whether a replay or a late delivery caused it.
    """

    booking_id: str
    revision: int
    kind: Literal["created", "rescheduled", "cancelled", "attendee_left", "updated", "linked"]
    before: Mapping[str, Any] | None
    after: Mapping[str, Any]
    notification_kinds: Sequence[str]
    delivery_id: str | None
    at: datetime
    is_late: bool

    @property
    def news(self) -> Sequence[str]:
        """The former name of `notification_kinds`."""
        return self.notification_kinds


class PlatformHook(Protocol):
    """A platform's hook: a function that PLATFORM_HOOK names, called in the transaction that changes a booking."""

    def __call__(self, session: Session, booking: BookingSnapshot, change: ChangeSnapshot, /) -> None:
        """Write what the platform wants to have committed with the change.

        Args:
            session: a SQLAlchemy session in that transaction. The worker commits it or rolls it back.
            booking: the booking after the change.
            change: the change.

        Raises:
            Permanent: a retry cannot help; the delivery becomes `dead`.
            Exception: any other error; the delivery is retried after growing pauses.
        """


def _json_value(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime) else value
