"""Wire formats: the objects inside meetergo's bodies, with all the names that its documents give them.

Source: the webhook events page (old and new copies) and the REST reference of an appointment.
"""

import json
from datetime import UTC, datetime
from hashlib import sha256
from typing import Annotated, Any, ClassVar, TypeVar

from pydantic import AliasChoices, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

MAX_ID = 255


def _text(value: Any) -> Any:
    return value if value is None or isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _identifier(value: Any) -> Any:
    """Production ids are strings for bookings and integers for webhooks; we keep text."""
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _utc(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    try:
        moment = datetime.fromisoformat(value)
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError):
        raise ValueError("it should be an ISO 8601 time with an offset") from None


def _iso(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat()


def _without_nulls(value: Any) -> Any:
    return [item for item in value if item is not None] if isinstance(value, list) else value


Item = TypeVar("Item")
Many = Annotated[list[Item], BeforeValidator(_without_nulls)]
Text = Annotated[str, BeforeValidator(_text)]
Identifier = Annotated[str, BeforeValidator(_identifier), Field(max_length=MAX_ID)]
Moment = Annotated[datetime, BeforeValidator(_utc)]


class Wire(BaseModel):
    """An object of the provider's: unknown keys are ignored, and no error quotes its content."""

    model_config = ConfigDict(extra="ignore", hide_input_in_errors=True, frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _null_is_not_there(cls, value: Any) -> Any:
        """So that of two names for one thing, the one with a value counts."""
        if not isinstance(value, dict):
            return value
        return {name: item for name, item in value.items() if item is not None or name in cls.nulls_that_speak}

    nulls_that_speak: ClassVar[frozenset[str]] = frozenset()


class Attendee(Wire):
    """A guest. Phone-only bookings have no e-mail."""

    id: Identifier | None = None
    email: Text | None = None
    firstname: Text | None = None
    lastname: Text | None = None
    fullname: Text | None = None
    phone: Text | None = None
    timezone: Text | None = None
    language: Text | None = None

    @property
    def key(self) -> str:
        """Tells attendees of one booking apart: the id, else the e-mail, else a digest of all."""
        return self.id or self.email or sha256(self.model_dump_json().encode()).hexdigest()[:16]

    def details(self) -> dict[str, Any]:
        """What was said of this person."""
        return self.model_dump(exclude_none=True)


class Host(Wire):
    """A user of the company who hosts the meeting."""

    id: Identifier | None = None


class Cancellation(Wire):
    """The `cancel` object. It is there on live bookings too, with nulls: only its time tells."""

    at: Moment | None = Field(None, validation_alias=AliasChoices("actionAt", "cancelledAt"))
    by: Text | None = Field(None, validation_alias=AliasChoices("cancelledBy", "actionSource", "actionBy"))
    reason: Text | None = None


class MeetingInfo(Wire):
    """Settings of a meeting; in webhooks also its link."""

    name: Text | None = None
    link: Text | None = Field(None, validation_alias="meetingLink")


class MeetingType(Wire):
    """What was booked. `metadata` is what the platform stored when it made the meeting type."""

    id: Identifier | None = None
    name: Text | None = None
    info: MeetingInfo = Field(MeetingInfo(), validation_alias="meetingInfo")
    metadata: dict[str, Any] | None = None


class Appointment(Wire):
    """A booking as webhooks and the REST API show it."""

    nulls_that_speak = frozenset({"location"})

    booking_id: Identifier | None = Field(None, validation_alias=AliasChoices("appointmentId", "id"))
    start: Moment | None = None
    end: Moment | None = None
    location: Text | None = None
    cancelled_flag: bool | None = Field(None, validation_alias="isCancelled")
    cancel: Cancellation = Cancellation()
    info: MeetingInfo = Field(MeetingInfo(), validation_alias="meetingInfo")
    hosting: MeetingInfo = Field(MeetingInfo(), validation_alias="hostingInfo")
    meeting_type: MeetingType = Field(MeetingType(), validation_alias="meetingType")
    stated_meeting_type_id: Identifier | None = Field(None, validation_alias="meetingTypeId")
    attendees: Many[Attendee] | None = None
    hosts: Many[Host] | None = None
    stated_host_ids: Many[Identifier] | None = Field(None, validation_alias="hostIds")
    company_id: Identifier | None = Field(None, validation_alias="companyId")
    created_at: Moment | None = Field(None, validation_alias="createdAt")
    rescheduled_at: Moment | None = Field(None, validation_alias="rescheduledAt")
    updated_at: Moment | None = Field(None, validation_alias="updatedAt")

    @property
    def is_cancelled(self) -> bool:
        """True on the flag or a cancel time; never because of an event's name."""
        return self.cancelled_flag is True or self.cancel.at is not None

    @property
    def version_time(self) -> datetime | None:
        """`updatedAt`, else the newest time of a change that the body carries."""
        changes = [self.created_at, self.rescheduled_at, self.cancel.at]
        return self.updated_at or max((moment for moment in changes if moment), default=None)

    @property
    def host_ids(self) -> list[str] | None:
        """The hosts' ids, from whichever of the two lists is there."""
        return self.stated_host_ids or [host.id for host in self.hosts or () if host.id] or None

    def facts(self) -> dict[str, Any]:
        """Column of a booking -> value, only for what was said.

        Null says nothing, but for `location`, which a change of channel takes away. `settings_name` is what the API
        shows where webhooks show the name of the meeting type: a fact of its own, so that neither undoes the other.
        Only a cancelled appointment speaks of its status: no webhook revives a booking.
        """
        said = {
            "starts_at": self.start and _iso(self.start),
            "ends_at": self.end and _iso(self.end),
            "location": self.location,
            "meeting_link": self.hosting.link or self.info.link,
            "meeting_name": self.meeting_type.info.name or self.meeting_type.name,
            "settings_name": self.info.name,
            "meeting_type_id": self.stated_meeting_type_id or self.meeting_type.id,
            "metadata": self.meeting_type.metadata,
            "host_ids": self.host_ids,
            "attendee_ids": None if self.attendees is None else [attendee.key for attendee in self.attendees],
        }
        if self.is_cancelled:
            said |= {
                "status": "cancelled",
                "cancelled_by": self.cancel.by,
                "cancel_reason": self.cancel.reason,
            }
        return {
            name: value
            for name, value in said.items()
            if value is not None or (name == "location" and name in self.model_fields_set)
        }


class Employee(Wire):
    """The body of `new_employee`: its `id` is a user's."""

    id: Identifier
    email: Text | None = None
    company_id: Identifier | None = Field(None, validation_alias="companyId")
