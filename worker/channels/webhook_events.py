"""The events that the webhook channel posts: their types, from which docs/contract/ is generated (`make contract`)."""

from typing import Annotated, Any, Literal

from pydantic import Field
from typing_extensions import TypedDict

Time = Annotated[str, Field(json_schema_extra={"format": "date-time"})]
"""ISO 8601 in UTC, such as `2026-01-15T08:00:00+00:00`."""
Id = Annotated[str, Field(max_length=255)]
Status = Literal["confirmed", "cancelled"]


class Attendee(TypedDict, total=False):
    """A guest of a booking. Only what meetergo said of the guest is there."""

    id: Annotated[str, Field(description="meetergo's id of the guest in this booking")]
    email: str
    firstname: str
    lastname: str
    fullname: str
    phone: str
    timezone: Annotated[str, Field(description="IANA, such as Europe/Berlin")]
    language: Annotated[str, Field(description="such as de")]


Account = Annotated[str, Field(max_length=64, description="the account of meetergo, `default` if there is only one")]
Owner = Annotated[int | None, Field(description="the owner's row in platform_users; null while no host is mapped")]
StartsAt = Annotated[Time | None, Field(description="null while unknown")]
HostIds = Annotated[list[str], Field(description="meetergo's ids of all hosts, sorted")]
Metadata = Annotated[dict[str, Any], Field(description="what was given to meetergo when it was booked")]
CancelReason = Annotated[
    str | None, Field(description="`moved to ID` if another booking replaced this one; null while unknown")
]
AsOf = Annotated[Time, Field(description="the time of the newest webhook that the booking reflects")]


class BookingFields(TypedDict):
    """The fields of a booking that can change."""

    platform_user_id: Owner
    status: Status
    starts_at: StartsAt
    ends_at: StartsAt
    meeting_type_id: str | None
    meeting_name: Annotated[str | None, Field(description="in the owner's language, if there are several")]
    meeting_link: str | None
    location: str | None
    attendees: list[Attendee]
    host_ids: HostIds
    metadata: Metadata
    cancel_reason: CancelReason
    cancelled_by: str | None
    as_of: AsOf


class BookingState(BookingFields):
    """A booking after the change."""

    id: Annotated[Id, Field(description="meetergo's id of the booking, after `<account>:` unless that is `default`")]
    account: Account
    revision: Annotated[int, Field(ge=1, description="rises with each change: ignore an event that is older")]


class FormerFields(TypedDict, total=False):
    """The fields that changed, as they were before."""

    platform_user_id: Owner
    status: Status
    starts_at: StartsAt
    ends_at: StartsAt
    meeting_type_id: str | None
    meeting_name: str | None
    meeting_link: str | None
    location: str | None
    attendees: list[Attendee]
    host_ids: HostIds
    metadata: Metadata
    cancel_reason: CancelReason
    cancelled_by: str | None
    as_of: AsOf


class Host(TypedDict):
    """The host whom the event is for."""

    id: Annotated[int, Field(description="the host's row in platform_users")]
    external_id: Annotated[str, Field(description="your id of the host, from platform_users")]
    account: Account
    name: str | None
    email: str | None
    timezone: str
    language: str


Recipient = Annotated[Host | None, Field(description="null if no host of the booking is mapped")]


class BookingData(TypedDict):
    """The data of a booking's event."""

    booking: BookingState
    before: Annotated[FormerFields | None, Field(description="null if the booking is new")]
    host: Recipient


class ListedBooking(TypedDict):
    """A booking in a summary."""

    id: Id
    status: Status
    starts_at: StartsAt
    ends_at: StartsAt
    meeting_type_id: str | None
    meeting_name: str | None


class SummaryData(TypedDict):
    """The data of a summary."""

    bookings: Annotated[list[ListedBooking], Field(description="the host's next bookings, at most 100")]
    total: Annotated[int, Field(ge=0, description="how many there are, which can exceed those listed")]
    host: Recipient


BookingEventType = Literal[
    "booking.created", "booking.rescheduled", "booking.updated", "booking.cancelled", "booking.attendee_left"
]
MadeAt = Annotated[Time, Field(description="when the change happened, the same on every attempt")]


class BookingMessage(TypedDict):
    """A booking changed."""

    type: BookingEventType
    timestamp: MadeAt
    data: BookingData


class SummaryMessage(TypedDict):
    """A newly mapped host already has several bookings."""

    type: Literal["bookings.summary"]
    timestamp: MadeAt
    data: SummaryData


WebhookEvent = BookingMessage | SummaryMessage
