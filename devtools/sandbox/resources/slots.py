"""Slots: the free times that `GET /v4/booking-availability` lists."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from itertools import groupby
from typing import Annotated, ClassVar, Literal
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, Field

from devtools.sandbox.http.errors import ApiRejection, not_found
from devtools.sandbox.http.schemas import Input, Zone
from devtools.sandbox.resources import meeting_types
from devtools.sandbox.resources.calendar import Calendar, Interval
from devtools.sandbox.state.company import Company, Record
from devtools.sandbox.timestamps import moment


def _day_or_time(text: str) -> str:
    try:
        datetime.fromisoformat(text)
    except ValueError:
        raise ValueError("must be a valid ISO 8601 date string") from None
    return text


DayOrTime = Annotated[str, AfterValidator(_day_or_time)]


class SlotQuery(Input):
    """The query. `hostIds` or `queueId` is required, contrary to the documentation."""

    repeated: ClassVar[frozenset[str]] = frozenset({"hostIds"})

    meeting_type_id: str
    start: DayOrTime
    end: DayOrTime
    host_ids: list[str] = Field(default_factory=list)
    queue_id: str | None = None
    meeting_duration: Annotated[int, Field(ge=5, le=480)] | None = None
    timezone: Zone | None = None
    existing_appointment_id: str | None = None
    calculation_method: Literal["anyone", "everyone"] = "everyone"
    hide_group_appointments: bool = False
    troubleshoot: bool = False


def free_slots(company: Company, query: SlotQuery) -> Record:
    """Return the response of `GET /v4/booking-availability`.

    Raises:
        ApiRejection: no host is named, or a host or the meeting type does not exist.
    """
    if not query.host_ids and not query.queue_id:
        raise ApiRejection(400, "Expected hostIds or queueId")
    meeting_type = meeting_types.find(company, query.meeting_type_id)
    if not query.host_ids or not set(query.host_ids) <= set(company.users):
        raise not_found("Host")
    zone = query.timezone or company.users[query.host_ids[0]]["timezone"]
    within = Interval(_time(query.start, zone), _time(query.end, zone))
    calendars = [Calendar(company, host_id, meeting_type, query.existing_appointment_id) for host_id in query.host_ids]
    spots = [_spot_to_json(spot, zone) for spot in _spots(company, meeting_type, calendars, within, query)]
    days = [{"date": day, "spots": list(group)} for day, group in groupby(spots, lambda spot: spot["startTime"][:10])]
    return {
        "timezone": zone,
        "timeframes": [
            {"start": _text(hours.start, zone), "end": _text(hours.end, zone)} for hours in calendars[0].hours(within)
        ],
        "dates": days,
        "earliestAvailableDate": days[0]["date"] if days else None,
    }


def _spots(
    company: Company, meeting_type: Record, calendars: list[Calendar], within: Interval, query: SlotQuery
) -> Iterator[Record]:
    groups = {} if query.hide_group_appointments else group_meetings(company, meeting_type)
    combine = all if query.calculation_method == "everyone" else any
    for meeting in _grid(meeting_type, calendars[0], within, query.meeting_duration):
        is_bookable = combine(calendar.is_bookable(meeting) for calendar in calendars)
        group = groups.get(meeting.start)
        if is_bookable or (group and meeting.start > company.now()):
            yield {"start": meeting.start, "conflicts": [], "group": group, "spots": meeting_type["spots"]}
        elif query.troubleshoot:
            conflicts = [busy for calendar in calendars for busy in calendar.conflicts(meeting)]
            yield {"start": meeting.start, "conflicts": conflicts or [meeting], "group": None}


def group_meetings(company: Company, meeting_type: Record) -> dict[datetime, Record]:
    """Return the open group meetings: start -> appointment. Empty if this type has only one spot."""
    if meeting_type["spots"] == 1:
        return {}
    return {
        moment(appointment["start"]): appointment
        for appointment in company.appointments.values()
        if appointment["meetingTypeId"] == meeting_type["id"] and not appointment["isCancelled"]
    }


def _grid(meeting_type: Record, calendar: Calendar, within: Interval, minutes: int | None) -> Iterator[Interval]:
    length = timedelta(minutes=minutes or meeting_type["meetingInfo"]["duration"])
    step = timedelta(minutes=meeting_type["timeslotInterval"])
    for hours in calendar.hours(within):
        start = hours.start
        while start + length <= hours.end:
            if within.start <= start < within.end:
                yield Interval(start, start + length)
            start += step


def _spot_to_json(spot: Record, zone: str) -> Record:
    events = [{"start": _text(busy.start, zone), "end": _text(busy.end, zone)} for busy in spot["conflicts"]]
    spot_json: Record = {"startTime": _text(spot["start"], zone), "unavailabilityEvents": events}
    group = spot["group"]
    if group:
        taken = len(group["attendees"])
        spot_json["appointment"] = {"id": group["id"], "totalSpots": spot["spots"], "takenSpots": taken}
    return spot_json


def _time(text: str, zone: str) -> datetime:
    """Parse a day or a time. A day begins at midnight in `zone`; an end given as a day is exclusive."""
    if len(text) == len("2026-01-31"):
        return datetime.combine(date.fromisoformat(text), time.min, ZoneInfo(zone)).astimezone(UTC)
    instant = datetime.fromisoformat(text)
    return (instant if instant.tzinfo else instant.replace(tzinfo=ZoneInfo(zone))).astimezone(UTC)


def _text(instant: datetime, zone: str) -> str:
    return instant.astimezone(ZoneInfo(zone)).isoformat(timespec="milliseconds")
