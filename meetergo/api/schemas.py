"""Schemas: typed responses. Unknown keys stay in `raw`; no `repr` shows personal data or secrets.

Source: the REST reference at developer.meetergo.com, with the names that its own client reads.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import AliasChoices, BeforeValidator, Field, PrivateAttr

from meetergo import wire
from meetergo.api.model import ApiModel, Identifier, Many, Moment, Text, TolerantModel
from meetergo.api.schedule import Intervals, read_week


class Schema(TolerantModel):
    """An object of meetergo's API.

    Attributes:
        id: meetergo's id, as text.
    """

    id: Identifier
    _raw: dict[str, Any] = PrivateAttr(default_factory=dict)

    @classmethod
    def read(cls, body: Any) -> Self:
        """Parse the object in a response.

        Raises:
            ValidationError: it is missing or has no id.
        """
        result = cls.model_validate(body)
        result._raw = body
        return result

    @property
    def raw(self) -> dict[str, Any]:
        """The object as received."""
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
    """What was created with a user. Use `booking_url` as it is: companies have their own domains."""

    id: Identifier = Field(validation_alias=AliasChoices("userId", "id"))
    availability_id: Identifier | None = Field(None, validation_alias="availabilityId")
    meeting_type_id: Identifier | None = Field(None, validation_alias="meetingTypeId")
    booking_url: Text | None = Field(None, validation_alias="bookingUrl")
    company_id: Identifier | None = Field(None, validation_alias="companyId")


class MeetingSettings(TolerantModel):
    """The `meetingInfo` of a meeting type. `duration` is in minutes."""

    name: Text | None = None
    description: Text | None = None
    duration: int | None = None
    channel: Text | None = None


class MeetingType(Schema):
    """What can be booked: with one host (`user_id`) or a queue of them (`queue_id`)."""

    STRICT: ClassVar = frozenset({"info"})  # a change sends its description back

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
        """The name, from either of the two documented places."""
        return self.info.name or self.flat_name

    @property
    def duration(self) -> int | None:
        """Duration in minutes, from either of the two documented places."""
        return self.info.duration or self.flat_duration


class Availability(Schema):
    """The times when a user can be booked. `schedule` is day -> intervals, without closed days."""

    STRICT: ClassVar = frozenset({"schedule"})  # every day would look closed

    name: Text | None = None
    timezone: Text | None = None
    schedule: Annotated[dict[str, Intervals], BeforeValidator(read_week)] = Field(default_factory=dict)


class Page(Schema):
    """The public page of a user and its style."""

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
    """A registered endpoint. Its id is an integer in production and text here."""

    endpoint: Text
    description: Text | None = None
    event_types: Many[Text] = Field([], validation_alias="eventTypes")
    company_id: Identifier | None = Field(None, validation_alias="companyId")
    created_at: Moment | None = Field(None, validation_alias="createdAt")


class Appointment(Schema):
    """A booking, parsed as tolerantly as webhooks: only its id is required.

    The flag or a cancel time makes it cancelled; a live one may also have a `cancel` object.
    """

    id: Identifier = Field(validation_alias=AliasChoices("appointmentId", "id"))
    _parsed: wire.AppointmentBody = PrivateAttr()

    @classmethod
    def read(cls, body: Any) -> Self:
        """Parse the object in a response.

        Raises:
            ValidationError: it is missing, or has no id.
        """
        result = super().read(body)
        result._parsed = wire.AppointmentBody.read(body)
        return result

    @property
    def company_id(self) -> str | None:
        """Id of the company."""
        return self._parsed.company_id

    @property
    def start(self) -> datetime | None:
        """Start, UTC."""
        return self._parsed.start

    @property
    def end(self) -> datetime | None:
        """End, UTC."""
        return self._parsed.end

    @property
    def created_at(self) -> datetime | None:
        """Time of booking, UTC."""
        return self._parsed.created_at

    @property
    def updated_at(self) -> datetime | None:
        """Time of the last change, UTC."""
        return self._parsed.updated_at

    @property
    def is_cancelled(self) -> bool:
        """Whether it is cancelled, by the flag or a cancel time."""
        return self._parsed.is_cancelled

    @property
    def cancelled_flag(self) -> bool | None:
        """The value of `isCancelled`, if present."""
        return self._parsed.cancelled_flag

    @property
    def attendees(self) -> Sequence[wire.AttendeeBody] | None:
        """The guests; None if the list is absent."""
        return self._parsed.attendees

    @property
    def attendee_ids(self) -> list[str]:
        """The guests' keys: their ids, else as `wire` derives them."""
        return [attendee.id or attendee.key for attendee in self.attendees or ()]

    @property
    def host_ids(self) -> list[str] | None:
        """The hosts' ids, from whichever of the two lists is present."""
        return self._parsed.host_ids


class ProvisionalBooking(Schema):
    """A booking that awaits the guest's opt-in or the host's approval. `dto` in `raw` is the request."""

    type: Text | None = None
    created_at: Moment | None = Field(None, validation_alias="createdAt")
    deleted_at: Moment | None = Field(None, validation_alias="deletedAt")


@dataclass(frozen=True, order=True)
class Slot:
    """A free slot.

    Attributes:
        start: UTC.
        spots_left: number of free spots, if meetergo returns it.
    """

    start: datetime
    spots_left: int | None = field(default=None, compare=False)


@dataclass(frozen=True)
class Booked:
    """The appointment exists. Anyone who has the secret can cancel or move it."""

    appointment_id: str
    secret: str = field(repr=False)


@dataclass(frozen=True)
class AwaitingConfirmation:
    """Nothing is booked yet: the guest has to confirm by mail, or the host within 24 hours."""

    kind: Literal["double_opt_in", "host_confirmation", "unknown"]
    provisional_booking_id: str


@dataclass(frozen=True)
class Rescheduled:
    """An appointment at its new time; it keeps its id."""

    appointment: Appointment
    previous_start: datetime | None


class GroupAppointment(ApiModel):
    """The group appointment that already exists at a start."""

    total: int | None = Field(None, validation_alias="totalSpots")
    taken: int | None = Field(None, validation_alias="takenSpots")


class Spot(ApiModel):
    """One start on one day, as listed by `booking-availability`."""

    start: Moment = Field(validation_alias="startTime")
    unavailability: list[Any] = Field([], validation_alias="unavailabilityEvents")
    group: GroupAppointment = Field(GroupAppointment(), validation_alias="appointment")

    @property
    def spots_left(self) -> int | None:
        """Number of free spots in the group appointment, if there is one."""
        return None if self.group.total is None else max(0, self.group.total - (self.group.taken or 0))

    @property
    def is_free(self) -> bool:
        """Whether it can be booked."""
        return not self.unavailability and self.spots_left != 0
