"""Bookings: a guest takes a slot. It becomes an appointment at once, or awaits an opt-in or the host's approval."""

from datetime import timedelta
from typing import Annotated, Any

from pydantic import AwareDatetime, Field, model_validator

from devtools.sandbox.http.errors import ApiRejection, not_found, slot_occupied
from devtools.sandbox.http.schemas import Email, Flag, Input, Zone
from devtools.sandbox.resources import appointments, meeting_types
from devtools.sandbox.resources.calendar import Calendar, Interval
from devtools.sandbox.resources.meeting_types import Channel, Duration
from devtools.sandbox.resources.slots import group_meetings
from devtools.sandbox.state.company import Company, Record
from devtools.sandbox.timestamps import moment, utc_text

CONFIRMATION_WINDOW = timedelta(hours=24)
"""Time limit for an opt-in or approval (help centre)."""

ATTENDEE_FIELDS = ("email", "firstname", "lastname", "fullname", "phone", "timezone", "language")


class GuestInput(Input):
    """`attendee`. Unexpectedly, `receiveReminders` and `notes` are required."""

    email: Email | None = None
    fullname: str | None = None
    firstname: str | None = None
    lastname: str | None = None
    phone: str | None = None
    timezone: Zone | None = None
    language: str | None = None
    receive_reminders: Flag
    notes: dict[str, Any]
    data_policy_accepted: Flag | None = None
    bringalong_emails: Annotated[list[Email], Field(max_length=5)] = Field(default_factory=list)


class NewBooking(Input):
    """The body of `POST /v4/booking`."""

    meeting_type_id: str
    start: AwareDatetime
    host_ids: list[str] = Field(default_factory=list)
    queue_id: str | None = None
    attendee: GuestInput
    duration: Duration | None = None
    channel: Channel | None = None
    location: str | None = None
    ignore_availability: Flag = False
    phone_only_booking: Flag = False

    @model_validator(mode="after")
    def _require_contact(self) -> "NewBooking":
        if not self.attendee.email and not (self.phone_only_booking and self.attendee.phone):
            raise ValueError("attendee.email must be an email")
        return self


def book(company: Company, wanted: NewBooking) -> Record:
    """Book a slot.

    Returns:
        The response of `POST /v4/booking`: an appointment's id and secret, or what the booking awaits.

    Raises:
        ApiRejection: no host is named, an object does not exist, or the slot is not free.
    """
    meeting_type = meeting_types.find(company, wanted.meeting_type_id)
    if not wanted.host_ids and not wanted.queue_id:
        raise ApiRejection(400, "Expected hostIds or queueId")
    if not wanted.host_ids or not set(wanted.host_ids) <= set(company.users):
        raise not_found("Host")
    if wanted.duration and wanted.duration not in _durations(meeting_type):
        raise ApiRejection(400, "duration is not one of this meeting type")
    _check_free(company, meeting_type, wanted)
    waits_for = _waits_for(meeting_type)
    if waits_for:
        return {"bookingType": waits_for, "provisionalBookingId": _create_provisional(company, wanted, waits_for)["id"]}
    return _booked_json(_join_or_create(company, meeting_type, wanted))


def confirm(company: Company, record: Record) -> Record:
    """Confirm a pending booking, for the guest or the host: it becomes an appointment.

    Raises:
        ApiRejection: it is no longer pending, or the slot is taken.
    """
    if state(company, record) != "pending":
        raise ApiRejection(400, "This booking is not pending any more")
    wanted = NewBooking.model_validate(record["dto"])
    meeting_type = meeting_types.find(company, wanted.meeting_type_id)
    _check_free(company, meeting_type, wanted)
    record["status"] = "confirmed"
    return _booked_json(_join_or_create(company, meeting_type, wanted))


def state(company: Company, record: Record) -> str:
    """Return the status of a pending booking: `pending`, `confirmed`, `expired` or `declined_by_host`."""
    is_expired = company.now() >= moment(record["createdAt"]) + CONFIRMATION_WINDOW
    return "expired" if record["status"] == "pending" and is_expired else str(record["status"])


def _booked_json(appointment: Record) -> Record:
    return {"appointmentId": appointment["id"], "secret": appointment["secret"]}


def _durations(meeting_type: Record) -> list[int]:
    return [meeting_type["meetingInfo"]["duration"], *(meeting_type["meetingOptions"].get("allowedDurations") or ())]


def _waits_for(meeting_type: Record) -> str | None:
    options = meeting_type["meetingOptions"]
    return next((name for name in ("doubleOptIn", "requireHostConfirmation") if options.get(name)), None)


def _check_free(company: Company, meeting_type: Record, wanted: NewBooking) -> None:
    group = group_meetings(company, meeting_type).get(wanted.start)
    if group:
        is_free = len(group["attendees"]) + len(_guests(wanted)) <= meeting_type["spots"]
    else:
        calendars = [Calendar(company, host_id, meeting_type) for host_id in wanted.host_ids]
        is_free = wanted.ignore_availability or all(
            calendar.is_bookable(_interval(meeting_type, wanted)) for calendar in calendars
        )
    if not is_free:
        raise slot_occupied()


def _join_or_create(company: Company, meeting_type: Record, wanted: NewBooking) -> Record:
    group = group_meetings(company, meeting_type).get(wanted.start)
    if group:
        appointments.add_attendees(company, group, _guests(wanted))
        return group
    values = {name: value for name in ("channel", "location") if (value := getattr(wanted, name))}
    interval, guests = _interval(meeting_type, wanted), _guests(wanted)
    return appointments.create(company, meeting_type, wanted.host_ids, interval, guests, **values)


def _create_provisional(company: Company, wanted: NewBooking, waits_for: str) -> Record:
    record: Record = {
        "id": company.new_id(
            "provisional", wanted.meeting_type_id, utc_text(wanted.start), wanted.attendee.email or ""
        ),
        "dto": wanted.given_fields(),
        "type": waits_for,
        "status": "pending",
        "createdAt": utc_text(company.now()),
        "deletedAt": None,
        "hosts": [{"id": host_id} for host_id in wanted.host_ids],
    }
    company.provisional_bookings[record["id"]] = record
    return record


def _interval(meeting_type: Record, wanted: NewBooking) -> Interval:
    minutes = wanted.duration or meeting_type["meetingInfo"]["duration"]
    return Interval(wanted.start, wanted.start + timedelta(minutes=minutes))


def _guests(wanted: NewBooking) -> list[Record]:
    values = wanted.attendee.given_fields()
    booker = {name: values[name] for name in ATTENDEE_FIELDS if name in values}
    booker.setdefault("fullname", " ".join(values[name] for name in ("firstname", "lastname") if name in values))
    return [booker, *({"email": email} for email in wanted.attendee.bringalong_emails)]
