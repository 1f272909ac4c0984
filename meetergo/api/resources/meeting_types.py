"""Meeting types: what can be booked. Each belongs to the acting user."""

from collections.abc import Mapping, Sequence
from typing import Any, TypedDict, Unpack

from meetergo.api.errors import ApiError, InvalidCall, PartiallyApplied
from meetergo.api.request import identifier
from meetergo.api.schemas import MeetingType
from meetergo.api.session import Resource, without_none

PATH = "/v4/meeting-type"
MAX_METADATA = 20
MAX_METADATA_TEXT = 500
"""Limits of meetergo: number of keys, and characters of a text."""

INFO = {
    "name": "name",
    "description": "description",
    "duration": "duration",
    "channel": "channel",
    "buffer_before": "bufferBefore",
    "buffer_after": "bufferAfter",
}
"""Names of settings that meetergo stores inside `meetingInfo`."""
SETTINGS = {
    "slug": "slug",
    "enabled": "enabled",
    "spots": "spots",
    "timeslot_interval": "timeslotInterval",
    "booking_minimum": "bookingMinimum",
    "days_into_future": "daysIntoFuture",
    "locations": "locations",
    "availability_id": "availabilityId",
}


class Info(TypedDict, total=False):
    """Settings of the meetings themselves: durations and buffers in minutes, channels such as `phone` and `zoom`."""

    name: str
    description: str
    duration: int
    channel: str
    buffer_before: int
    buffer_after: int


class Changes(Info, total=False):
    """Changeable settings: interval (5 to 60) and booking minimum in minutes, spots 1 to 100."""

    slug: str
    enabled: bool
    spots: int
    timeslot_interval: int
    booking_minimum: int
    days_into_future: int
    locations: Sequence[Mapping[str, Any]]
    availability_id: str


class MeetingTypes(Resource):
    """API calls for meeting types."""

    def list(self) -> list[MeetingType]:
        """Return all meeting types of the acting user."""
        return self._session.get(PATH).many(MeetingType, "meetingTypes")

    def get(self, meeting_type_id: str) -> MeetingType:
        """Return one meeting type."""
        return self._session.get(f"{PATH}/{identifier(meeting_type_id, 'meeting type')}").one(MeetingType)

    def create(
        self,
        name: str,
        duration: int,
        *,
        description: str = "",
        channel: str | None = None,
        slug: str | None = None,
        availability_id: str | None = None,
        days_into_future: int | None = None,
        spots: int | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> MeetingType:
        """Create a meeting type for the acting user; it is public at once.

        It is read back, since meetergo silently drops values that it does not accept.

        Args:
            name: shown to guests.
            duration: 5 to 480 minutes.
            description: shown to guests.
            channel: such as `phone`, `zoom` or `connect`. The newest page of meetergo's documentation requires it.
            slug: the last part of its URL. It takes a second call to set.
            availability_id: the availability whose hours apply.
            days_into_future: how far ahead it can be booked.
            spots: number of guests per appointment.
            metadata: returned in webhooks, if meetergo stores it: at most 20 keys, texts of at most 500 characters.

        Raises:
            InvalidCall: the metadata exceeds a limit.
            PartiallyApplied: it exists, but its slug could not be set or it could not be read.
            OutcomeUnknown: it may have been created.
        """
        _check_metadata(metadata or {})
        info = without_none(name=name, description=description, duration=duration, channel=channel)
        more = without_none(
            availabilityId=availability_id,
            daysIntoFuture=days_into_future,
            spots=spots,
            metadata=metadata,
        )
        created = self._session.post(PATH, {"meetingInfo": info, **more}).one(MeetingType)
        try:
            if slug is not None and created.slug != slug:
                self.update(created.id, slug=slug)
            return self.get(created.id)
        except ApiError as error:
            raise PartiallyApplied(f"meeting type {created.id} was created, but {error}", created.id) from error

    def update(self, meeting_type_id: str, **changes: Unpack[Changes]) -> MeetingType:
        """Change only the given settings. Idempotent.

        Raises:
            InvalidCall: nothing to change, or an unknown setting.
        """
        meeting_type_id = identifier(meeting_type_id, "meeting type")
        if not changes or set(changes) - {*INFO, *SETTINGS}:
            raise InvalidCall(f"what can be changed is: {', '.join([*INFO, *SETTINGS])}")
        body = {SETTINGS[name]: value for name, value in changes.items() if name in SETTINGS}
        info = {INFO[name]: value for name, value in changes.items() if name in INFO}
        if info and "description" not in info:
            known = self.get(meeting_type_id).info.description or ""
            if not known.startswith("{"):  # an object of languages, which is read as text, stays as it is
                info["description"] = known
        response = self._session.patch(f"{PATH}/{meeting_type_id}", {**body, **({"meetingInfo": info} if info else {})})
        return self.get(meeting_type_id) if response.is_empty else response.one(MeetingType)


def _check_metadata(metadata: Mapping[str, Any]) -> None:
    if len(metadata) > MAX_METADATA:
        raise InvalidCall(f"metadata has {len(metadata)} keys, and meetergo takes {MAX_METADATA}")
    for name, value in metadata.items():
        if isinstance(value, str) and len(value) > MAX_METADATA_TEXT:
            raise InvalidCall(
                f"metadata '{name}' is longer than the {MAX_METADATA_TEXT} characters that meetergo takes"
            )
