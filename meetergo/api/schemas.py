"""Schemas: what meetergo answers, with types. Unknown keys stay in `raw`; no representation shows people or secrets.

Source: the REST reference at developer.meetergo.com, with the names that its own client reads.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated, Any, Literal, Self

from pydantic import AliasChoices, BeforeValidator, Field, PrivateAttr, ValidationError
from pydantic_core import InitErrorDetails, PydanticCustomError

from meetergo import wire
from meetergo.api.schedule import Intervals, read_week
from meetergo.wire import ApiModel, Identifier, Many, Moment, Text


class Schema(ApiModel):
    """An object of meetergo's.

    Attributes:
        id: meetergo's, as text.
    """

    id: Identifier
    _raw: dict[str, Any] = PrivateAttr(default_factory=dict)

    @classmethod
    def read(cls, body: Any) -> Self:
        """The object in an answer.

        Raises:
            ValidationError: it is not there, or has no id.
        """
        result = cls.model_validate(body)
        result._raw = body
        return result

    @property
    def raw(self) -> dict[str, Any]:
        """All that meetergo said, as it came."""
        return self._raw

    def __repr_args__(self) -> Iterator[tuple[str | None, Any]]:
        yield "id", self.id

    def __str__(self) -> str:
        return repr(self)


class User(Schema):
    """A user of the company."""

    id: Identifier = Field(validation_alias=AliasChoices("id", "userId"))
    email: Text | None = None
    given_name: Text | None = Field(None, validation_alias="givenName")
    family_name: Text | None = Field(None, validation_alias="familyName")
    slug: Text | None = None
    timezone: Text | None = None
    user_type: Text | None = Field(None, validation_alias="userType")
    company_id: Identifier | None = Field(None, validation_alias="companyId")


class NewUser(Schema):
    """What came into being with a user. `booking_url` is used as it is: companies have domains of their own."""

    id: Identifier = Field(validation_alias=AliasChoices("userId", "id"))
    availability_id: Identifier | None = Field(None, validation_alias="availabilityId")
    meeting_type_id: Identifier | None = Field(None, validation_alias="meetingTypeId")
    booking_url: Text | None = Field(None, validation_alias="bookingUrl")
    company_id: Identifier | None = Field(None, validation_alias="companyId")


class MeetingSettings(ApiModel):
    """The `meetingInfo` of a meeting type. `duration` is in minutes."""

    name: Text | None = None
    description: Text | None = None
    duration: int | None = None
    channel: Text | None = None


class MeetingType(Schema):
    """What can be booked: with one host (`user_id`) or a queue of them (`queue_id`)."""

    user_id: Identifier | None = Field(None, validation_alias="userId")
    queue_id: Identifier | None = Field(None, validation_alias="queueId")
    slug: Text | None = None
    enabled: bool | None = None
    spots: int | None = None
    booking_url: Text | None = Field(None, validation_alias="bookingUrl")
    metadata: dict[str, Any] | None = None
    info: MeetingSettings = Field(MeetingSettings(), validation_alias="meetingInfo")
    flat_name: Text | None = Field(None, validation_alias="name")
    flat_duration: int | None = Field(None, validation_alias="duration")

    @property
    def name(self) -> str | None:
        """From either of the two places that documents show."""
        return self.info.name or self.flat_name

    @property
    def duration(self) -> int | None:
        """In minutes."""
        return self.info.duration or self.flat_duration


class Availability(Schema):
    """When somebody can be booked. `schedule` is day -> times of day, for days that have any."""

    name: Text | None = None
    timezone: Text | None = None
    schedule: Annotated[dict[str, Intervals], BeforeValidator(read_week)] = Field(default_factory=dict)


class Page(Schema):
    """The public page of a user, and how it looks."""

    id: Identifier | None = None  # type: ignore[assignment]  # no document shows whether it has one
    use_custom_colors: bool | None = Field(None, validation_alias="useCustomColors")
    primary_color: Text | None = Field(None, validation_alias="primaryColor")
    secondary_color: Text | None = Field(None, validation_alias="secondaryColor")
    header_image: Text | None = Field(None, validation_alias="headerImage")
    description: Text | None = None


class Template(Schema):
    """A template of meeting types."""

    info: MeetingSettings = Field(MeetingSettings(), validation_alias="meetingInfo")


class Webhook(Schema):
    """An address that meetergo posts to. Ids are integers in production and text here."""

    endpoint: Text
    description: Text | None = None
    event_types: Many[Text] = Field([], validation_alias="eventTypes")
    company_id: Identifier | None = Field(None, validation_alias="companyId")
    created_at: Moment | None = Field(None, validation_alias="createdAt")


class Appointment(Schema):
    """A booking, read as tolerantly as webhooks are: only its id must be there.

    It is cancelled by its flag or a cancel time; there may be a `cancel` object on a live one.
    """

    id: Identifier = Field(validation_alias=AliasChoices("appointmentId", "id"))
    _parsed: wire.AppointmentBody = PrivateAttr()

    @classmethod
    def read(cls, body: Any) -> Self:
        """The object in an answer.

        Raises:
            ValidationError: it is not there, or has no id, or more guests than `wire.MAX_GUESTS`.
        """
        result = super().read(body)
        try:
            result._parsed = wire.AppointmentBody.read(body)
        except wire.TooManyGuests:
            raise _too_many_guests(cls) from None
        return result

    @property
    def company_id(self) -> str | None:
        """Whose it is."""
        return self._parsed.company_id

    @property
    def start(self) -> datetime | None:
        """When it begins, UTC."""
        return self._parsed.start

    @property
    def end(self) -> datetime | None:
        """When it ends, UTC."""
        return self._parsed.end

    @property
    def created_at(self) -> datetime | None:
        """When it was booked, UTC."""
        return self._parsed.created_at

    @property
    def updated_at(self) -> datetime | None:
        """When it was last changed, UTC."""
        return self._parsed.updated_at

    @property
    def is_cancelled(self) -> bool:
        """By the flag or a cancel time."""
        return self._parsed.is_cancelled

    @property
    def cancelled_flag(self) -> bool | None:
        """What `isCancelled` says, if anything."""
        return self._parsed.cancelled_flag

    @property
    def attendees(self) -> Sequence[wire.AttendeeBody] | None:
        """The guests; None if nothing is said of them."""
        return self._parsed.attendees

    @property
    def attendee_ids(self) -> list[str]:
        """What tells the guests apart: their ids, else what wire says."""
        return [attendee.id or attendee.key for attendee in self.attendees or ()]

    @property
    def host_ids(self) -> list[str] | None:
        """The hosts' ids, from whichever of the two lists is there."""
        return self._parsed.host_ids


def _too_many_guests(kind: type[Schema]) -> ValidationError:
    fault = InitErrorDetails(type=PydanticCustomError("too_many_guests", "too many"), loc=("attendees",), input=None)
    return ValidationError.from_exception_data(kind.__name__, [fault])


class ProvisionalBooking(Schema):
    """A booking that waits for the guest's opt-in or a host's word. `dto` in `raw` is what was asked for."""

    type: Text | None = None
    created_at: Moment | None = Field(None, validation_alias="createdAt")
    deleted_at: Moment | None = Field(None, validation_alias="deletedAt")


@dataclass(frozen=True, order=True)
class Slot:
    """A time that is free.

    Attributes:
        start: UTC.
        spots_left: how many guests still fit, where meetergo says so.
    """

    start: datetime
    spots_left: int | None = field(default=None, compare=False)


@dataclass(frozen=True)
class Booked:
    """The appointment exists. Whoever has the secret can cancel or move it."""

    appointment_id: str
    secret: str = field(repr=False)


@dataclass(frozen=True)
class AwaitingConfirmation:
    """Nothing is booked yet: the guest has to confirm by mail, or a host within 24 hours."""

    kind: Literal["double_opt_in", "host_confirmation", "unknown"]
    provisional_booking_id: str


@dataclass(frozen=True)
class Rescheduled:
    """An appointment at its new time; it keeps its id."""

    appointment: Appointment
    previous_start: datetime | None


class GroupAppointment(ApiModel):
    """The group appointment that has a start already."""

    total: int | None = Field(None, validation_alias="totalSpots")
    taken: int | None = Field(None, validation_alias="takenSpots")


class Spot(ApiModel):
    """One start on one day, as `booking-availability` lists it."""

    start: Moment = Field(validation_alias="startTime")
    unavailability: list[Any] = Field([], validation_alias="unavailabilityEvents")
    group: GroupAppointment = Field(GroupAppointment(), validation_alias="appointment")

    @property
    def spots_left(self) -> int | None:
        """How many guests still fit into the group, if there is one."""
        return None if self.group.total is None else max(0, self.group.total - (self.group.taken or 0))

    @property
    def is_free(self) -> bool:
        """Whether it can be booked."""
        return not self.unavailability and self.spots_left != 0
