"""Meeting types: what can be booked. Their validator drops unknown fields, even the slug of a new one."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from devtools.sandbox.http.errors import ApiRejection, forbidden, not_found
from devtools.sandbox.http.schemas import Flag, Input, Name, Number
from devtools.sandbox.slugs import free_slug, slug_of, slugs
from devtools.sandbox.state.company import Company, Record
from devtools.sandbox.timestamps import utc_text

Channel = Literal[
    "local", "local-attendee", "google", "zoom", "phone", "phone-incoming", "whatsapp", "connect", "webex",
    "teamsForBusiness2", "teams2ForExchange", "custom", "resource", "whereby", "kmeet", "jitsi", "nextcloudTalk",
    "openTalk", "alfaview",
]  # fmt: skip
Duration = Annotated[Number, Field(ge=5, le=480)]
Buffer = Annotated[Number, Field(ge=0, le=120)]
Spots = Annotated[Number, Field(ge=1, le=100)]
Days = Annotated[Number, Field(ge=1)]
Slug = Annotated[str, Field(pattern=r"^[a-z0-9-]+$", max_length=100)]


class InfoChange(Input):
    """`meetingInfo` of an update: only fields in it change."""

    name: Name | None = None
    description: str | None = None
    duration: Duration | None = None
    channel: Channel | None = None
    buffer_before: Buffer | None = None
    buffer_after: Buffer | None = None
    enable_redirect: Flag | None = None
    redirect: str | None = None
    pass_event_details_to_redirect: Flag | None = None
    color: str | None = None
    show_available_slots: Flag | None = None
    buffer_must_stay_within_working_hours: Flag | None = None


class NewInfo(InfoChange):
    """`meetingInfo` of a new meeting type. The description may be empty; the newest page requires a channel."""

    name: Name
    description: str
    duration: Duration
    channel: Channel


class Options(Input):
    """`meetingOptions`."""

    allowed_durations: list[Duration] | None = None
    allow_select_channel: Flag | None = None
    double_opt_in: Flag | None = None
    require_host_confirmation: Flag | None = None


def _metadata(values: dict[str, Any]) -> dict[str, Any]:
    if len(values) > MAX_METADATA or any(
        len(text) > MAX_METADATA_TEXT for text in values.values() if type(text) is str
    ):
        raise ValueError(f"must have at most {MAX_METADATA} keys, and texts of at most {MAX_METADATA_TEXT} characters")
    return values


MAX_METADATA, MAX_METADATA_TEXT = 20, 500


class NewMeetingType(Input):
    """The body of `POST /v4/meeting-type`. A `slug` or `userId` in it is dropped."""

    meeting_info: NewInfo
    spots: Spots | None = None
    locations: list[Any] | None = None
    resource_channels: list[Any] | None = None
    days_into_future: Days | None = None
    availability_id: str | None = None
    metadata: Annotated[dict[str, Any], AfterValidator(_metadata)] | None = None


class Ics(Input):
    """Texts of the calendar event."""

    title: str | None = None
    description: str | None = None
    location: str | None = None


class MeetingTypeChange(Input):
    """The body of `PATCH /v4/meeting-type/{id}`."""

    meeting_info: InfoChange | None = None
    meeting_options: Options | None = None
    enabled: Flag | None = None
    slug: Slug | None = None
    timeslot_interval: Annotated[Number, Field(ge=5, le=60)] | None = None
    spots: Spots | None = None
    booking_minimum: Annotated[Number, Field(ge=0)] | None = None
    days_into_future: Days | None = None
    locations: list[Any] | None = None
    availability_id: str | None = None
    ics: Ics | None = None


class FirstMeetingTypeInput(Input):
    """The meeting type that comes with a new user."""

    name: Name = "30min Meeting"
    duration: Duration = 30
    slug: Slug | None = None
    channel: Channel = "phone"
    days_into_future: Days = 60


DEFAULT_INFO = {"channel": "phone", "bufferBefore": 0, "bufferAfter": 0, "enableRedirect": False, "redirect": None}


def create(company: Company, user_id: str, values: Record, slug: str | None = None) -> Record:
    """Create a meeting type for a host.

    Args:
        company: the company.
        user_id: the host.
        values: fields that differ from the defaults; `meetingInfo` has at least a name and a duration.
        slug: the requested slug; None to derive it from the name.
    """
    info = DEFAULT_INFO | values["meetingInfo"]
    taken = slugs(company.meeting_types, userId=user_id)
    slug = free_slug(slug or slug_of(info["name"]), taken)
    now = utc_text(company.now())
    record: Record = {
        "id": company.new_id("meeting-type", user_id, slug),
        "userId": user_id,
        "queueId": None,
        "companyId": company.id,
        "slug": slug,
        "meetingOptions": {},
        "spots": 1,
        "enabled": True,
        "timeslotInterval": 30,
        "bookingMinimum": 0,
        "daysIntoFuture": 60,
        "locations": [],
        "availabilityId": None,
        "metadata": {},
        "ics": None,
        "createdAt": now,
        "updatedAt": now,
    }
    record |= values | {"meetingInfo": info}
    _check_availability(company, record, user_id)
    company.meeting_types[record["id"]] = record
    return record


def find(company: Company, meeting_type_id: str, user_id: str | None = None) -> Record:
    """Return a meeting type.

    Args:
        company: the company.
        meeting_type_id: id of the meeting type.
        user_id: the acting user; None for a guest.

    Raises:
        ApiRejection: it does not exist, or belongs to another user.
    """
    record = company.meeting_types.get(meeting_type_id)
    if not record:
        raise not_found("Meeting type")
    if user_id and user_id not in (record["userId"], company.admin_id):
        raise forbidden()
    return record


def change(company: Company, record: Record, wanted: MeetingTypeChange) -> None:
    """Apply the request's changes.

    Raises:
        ApiRejection: 409, the host has another one with that slug.
    """
    values = wanted.given_fields()
    others = slugs(company.meeting_types, userId=record["userId"]) - {record["slug"]}
    if values.get("slug") in others:
        raise ApiRejection(409, "A meeting type with this slug already exists")
    for name in ("meetingInfo", "meetingOptions"):
        if name in values:
            values[name] = record[name] | values[name]
    _check_availability(company, record | values, record["userId"])
    record |= values
    company.touch(record)


def _check_availability(company: Company, record: Record, user_id: str) -> None:
    named = record["availabilityId"]
    if named and company.availabilities.get(named, {}).get("userId") != user_id:
        raise not_found("Availability")
