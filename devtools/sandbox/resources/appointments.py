"""Appointments: create, move and cancel them, and emit the webhooks."""

from typing import Annotated

from pydantic import AwareDatetime, Field

from devtools.sandbox.http.errors import ApiRejection, forbidden, not_found, slot_occupied
from devtools.sandbox.http.schemas import Flag, Input
from devtools.sandbox.outgoing import payloads
from devtools.sandbox.resources.calendar import Calendar, Interval, interval_of
from devtools.sandbox.resources.meeting_types import DEFAULT_INFO
from devtools.sandbox.state.company import Company, Record
from devtools.sandbox.timestamps import local_text, utc_text

NOT_CANCELLED: Record = {"actionSource": None, "actionAt": None, "actionBy": None, "reason": None}
"""The `cancel` of an appointment that is not cancelled."""

LINKLESS = ("local", "local-attendee", "phone", "phone-incoming", "whatsapp", "resource")


class Cancellation(Input):
    """The body of `POST /v4/appointment/{id}/cancel`."""

    reason: Annotated[str, Field(max_length=500)] | None = None
    attendee_id: str | None = None
    cancel_all: Flag = False
    cancel_entire_series: Flag = False


class Move(Input):
    """The body of `POST /v4/appointment/{id}/reschedule`."""

    start: AwareDatetime
    ignore_availability: Flag = False


def create(
    company: Company,
    meeting_type: Record,
    host_ids: list[str],
    interval: Interval,
    attendees: list[Record],
    **values: str,
) -> Record:
    """Create an appointment and emit its webhook.

    Args:
        company: the company.
        meeting_type: the meeting type to book.
        host_ids: the hosts; times are in the first one's time zone.
        interval: start and end.
        attendees: the guests, without ids.
        values: `channel` and `location`, if they differ from the meeting type's.
    """
    now, zone = utc_text(company.now()), company.users[host_ids[0]]["timezone"]
    booking_id = company.new_id("appointment", meeting_type["id"], utc_text(interval.start), _address_of(attendees[0]))
    channel = values.get("channel") or meeting_type["meetingInfo"]["channel"]
    link = None if channel in LINKLESS else f"https://meet.example/{booking_id[:8]}"
    record = {
        "id": booking_id,
        "secret": company.secret_of(booking_id),
        "start": local_text(interval.start, zone),
        "end": local_text(interval.end, zone),
        "location": values.get("location"),
        "isCancelled": False,
        "cancel": NOT_CANCELLED,
        "rescheduledAt": None,
        "rescheduleCount": 0,
        "meetingInfo": meeting_type["meetingInfo"],
        "hostingInfo": {"channel": channel, "meetingLink": link},
        "crmOptions": {},
        "ics": None,
        "attendees": [],
        "attendeeIds": [],
        "hostIds": host_ids,
        "reminderIds": [],
        "queueId": None,
        "meetingTypeId": meeting_type["id"],
        "companyId": company.id,
        "createdAt": now,
        "updatedAt": now,
    }
    company.appointments[booking_id] = record
    _add_attendees(company, record, attendees)
    company.emit("booking_created", booking_id, payloads.created(company, record))
    return record


def add_attendees(company: Company, record: Record, attendees: list[Record]) -> None:
    """Add guests to a group meeting."""
    _add_attendees(company, record, attendees)
    company.touch(record)
    company.emit("booking_created", record["id"], payloads.created(company, record))


def cancel(company: Company, record: Record, wanted: Cancellation, by: str) -> None:
    """Cancel an appointment, or remove one guest from a group meeting, and emit the webhook.

    Args:
        company: the company.
        record: the appointment.
        wanted: the request.
        by: `host` or `attendee`.

    Raises:
        ApiRejection: it is already cancelled, the guest does not exist, or the request for a group meeting has neither
            `attendeeId` nor `cancelAll`.
    """
    if record["isCancelled"]:
        raise ApiRejection(400, "Appointment is already cancelled")
    if not wanted.attendee_id and not wanted.cancel_all and is_group(company, record):
        raise ApiRejection(400, "Expected attendeeId or cancelAll for a group booking")
    if wanted.attendee_id and not wanted.cancel_all:
        _remove_attendee(record, wanted.attendee_id)
    company.touch(record)
    if not wanted.attendee_id or wanted.cancel_all or not record["attendees"]:
        record["isCancelled"] = True
        stamp = {"actionSource": by, "actionAt": record["updatedAt"], "actionBy": None, "reason": wanted.reason}
        record["cancel"] = stamp
    company.emit("booking_cancelled", record["id"], payloads.cancelled(company, record))


def reschedule(company: Company, record: Record, wanted: Move) -> str:
    """Move an appointment and emit the webhook. Id and length stay the same.

    Returns:
        The previous start.

    Raises:
        ApiRejection: it is cancelled, or the slot is not free.
    """
    if record["isCancelled"]:
        raise ApiRejection(400, "A cancelled appointment cannot be rescheduled")
    length = interval_of(record).end - interval_of(record).start
    if not wanted.ignore_availability:
        _check_free(company, record, Interval(wanted.start, wanted.start + length))
    previous = str(record["start"])
    zone = company.users[record["hostIds"][0]]["timezone"]
    record["start"], record["end"] = local_text(wanted.start, zone), local_text(wanted.start + length, zone)
    company.touch(record)
    record["rescheduledAt"] = record["updatedAt"]
    record["rescheduleCount"] += 1
    company.emit("booking_rescheduled", record["id"], payloads.rescheduled(company, record, previous))
    return previous


def revive(company: Company, record: Record) -> None:
    """Undo a cancellation, which no route offers and no webhook reports."""
    record |= {"isCancelled": False, "cancel": NOT_CANCELLED}
    company.touch(record)


def find(company: Company, booking_id: str, user_id: str) -> Record:
    """Return an appointment that a user may see.

    Raises:
        ApiRejection: it does not exist, or others host it.
    """
    record = company.appointments.get(booking_id)
    if not record:
        raise not_found("Appointment")
    if user_id not in (*record["hostIds"], company.admin_id):
        raise forbidden()
    return record


def is_group(company: Company, record: Record) -> bool:
    """Whether it has more than one spot."""
    meeting_type = company.meeting_types.get(record["meetingTypeId"])
    return meeting_type["spots"] > 1 if meeting_type else len(record["attendees"]) > 1


def _check_free(company: Company, record: Record, interval: Interval) -> None:
    meeting_type = company.meeting_types.get(record["meetingTypeId"], _rules_of_deleted_type(record))
    calendars = [Calendar(company, host_id, meeting_type, record["id"]) for host_id in record["hostIds"]]
    if not all(calendar.is_bookable(interval) for calendar in calendars):
        raise slot_occupied()


def _rules_of_deleted_type(record: Record) -> Record:
    """The rules of a deleted meeting type, whose appointments stay."""
    info = DEFAULT_INFO | record["meetingInfo"]
    return {"bookingMinimum": 0, "daysIntoFuture": 365, "availabilityId": None, "meetingInfo": info}


def _add_attendees(company: Company, record: Record, attendees: list[Record]) -> None:
    added = [{"id": company.new_id("attendee", record["id"], _address_of(guest)), **guest} for guest in attendees]
    record["attendees"] = [*record["attendees"], *added]
    _update_attendee_ids(record)


def _address_of(attendee: Record) -> str:
    return attendee.get("email") or attendee.get("phone") or ""


def _remove_attendee(record: Record, attendee_id: str) -> None:
    left = [attendee for attendee in record["attendees"] if attendee["id"] != attendee_id]
    if len(left) == len(record["attendees"]):
        raise not_found("Attendee")
    record["attendees"] = left
    _update_attendee_ids(record)


def _update_attendee_ids(record: Record) -> None:
    record["attendeeIds"] = [attendee["id"] for attendee in record["attendees"]]
