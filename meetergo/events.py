"""From bytes to events: both wire formats of meetergo, and every variant that its documents show.

Read tolerantly: what is absent is not said, what is unknown is ignored, and only a body that names
no booking is unreadable. Source: developer.meetergo.com/developer-docs/webhooks, and the field
names of its REST reference where they differ.
"""

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from hashlib import sha256
from typing import Any

from pydantic import ValidationError

from meetergo.wire import Appointment, Employee

Json = Any
"""A value that JSON can hold."""

KIND_RANK = {"booking_created": 1, "booking_rescheduled": 2, "booking_cancelled": 3}
AUTHORITY_RANK = 4
LIVE = {"status": "confirmed", "cancelled_by": None, "cancel_reason": None}
"""What an appointment of which we asked ourselves says by not being cancelled."""
SUPERSEDES = "supersedes"
"""Key in a body that we wrote after asking: the version that was known and is not true."""
SUSPICIOUS = re.compile(rb"\\u(0000|[dD][89a-fA-F])|\x00|\xed")
"""Without any of these a body says nothing that no database stores: see `_storable`."""
VERSION = re.compile(r"(\d{20})-\d-[0-9a-f]{16}")


class Unreadable(ValueError):
    """A body that can never become an event; the message says what is wrong and quotes nothing of it."""


@dataclass(frozen=True)
class Event:
    """A fact that a delivery told. Other types than those below carry nothing that we read.

    Attributes:
        type: the provider's name for it, such as `booking_created`.
        company_id: whose it is, where the body says so.
    """

    type: str
    company_id: str | None


@dataclass(frozen=True)
class BookingEvent(Event):
    """What a delivery says of one booking.

    Attributes:
        booking_id: the provider's id.
        at: when the booking was as this event says (UTC).
        version: orders events of one booking: time, then kind, then digest.
        facts: column of a booking -> value, only for what the body said.
        attendees: attendee id -> what the body said of that person.
        moved_from: the id beside a nested appointment, where it is another one: that booking became this one.
    """

    booking_id: str
    at: datetime
    version: str
    facts: Mapping[str, Json] = field(repr=False)
    attendees: Mapping[str, Mapping[str, Json]] = field(repr=False)
    moved_from: str | None = None


@dataclass(frozen=True)
class EmployeeEvent(Event):
    """A user joined the company: `new_employee`."""

    user_id: str
    email: str | None = field(repr=False)


def read(body: bytes, received_at: datetime, *, is_authoritative: bool = False) -> Event:
    """Reads a delivery's body.

    Args:
        body: the bytes as they came.
        received_at: the version of a body that carries no time of its own.
        is_authoritative: whether we asked the provider ourselves. Only then does a booking that is not
            cancelled say so, and may revive one that was: no webhook does.

    Raises:
        Unreadable: not a JSON object, no event type, or a booking event without a booking id.
    """
    outer = _object(body)
    event_type = outer.get("webhookType") or outer.get("event")
    if not isinstance(event_type, str):
        raise Unreadable("the body names no event: neither 'webhookType' nor 'event' is there")
    data = outer.get("data")
    inner = data if isinstance(data, dict) and "webhookType" not in outer else outer
    try:
        event = _event(event_type[:100], inner, body, received_at)
        if is_authoritative and isinstance(event, BookingEvent):
            return _with_authority(event, inner)
    except ValidationError as error:
        raise Unreadable(_first_fault(error)) from None
    return event


def _with_authority(event: BookingEvent, inner: dict[str, Json]) -> BookingEvent:
    """Of two that say the same time, the one that we asked for counts. Only a plain `isCancelled: false` revives."""
    time, _, digest = event.version.split("-")
    appointment = Appointment.model_validate(_appointment(inner))
    is_live = appointment.cancelled_flag is False and not appointment.is_cancelled
    return replace(
        event,
        facts={**LIVE, **event.facts} if is_live else event.facts,
        version=max(f"{time}-{AUTHORITY_RANK}-{digest}", _above(inner.get(SUPERSEDES), digest)),
    )


def _above(version: Json, digest: str) -> str:
    """The next version after one; before all others if that is none."""
    known = VERSION.fullmatch(version) if isinstance(version, str) else None
    return f"{int(known[1]) + 1:020d}-{AUTHORITY_RANK}-{digest}" if known else ""


def _event(event_type: str, inner: dict[str, Json], body: bytes, received_at: datetime) -> Event:
    if event_type in KIND_RANK:
        return _booking_event(event_type, inner, body, received_at)
    if event_type == "new_employee":
        employee = Employee.model_validate(inner)
        return EmployeeEvent(event_type, employee.company_id, employee.id, employee.email)
    company_id = inner.get("companyId")
    return Event(event_type, company_id if isinstance(company_id, str) else None)


def _booking_event(event_type: str, inner: dict[str, Json], body: bytes, received_at: datetime) -> BookingEvent:
    appointment = Appointment.model_validate(_appointment(inner))
    if not appointment.booking_id:
        raise Unreadable("the body names no booking: no 'id' or 'appointmentId' is there")
    at = appointment.version_time or received_at
    rank = KIND_RANK["booking_cancelled" if appointment.is_cancelled else event_type]
    return BookingEvent(
        type=event_type,
        company_id=appointment.company_id,
        booking_id=appointment.booking_id,
        at=at,
        version=f"{max(0, round(at.timestamp() * 1_000_000)):020d}-{rank}-{sha256(body).hexdigest()[:16]}",
        facts=appointment.facts(),
        attendees={attendee.key: attendee.details() for attendee in appointment.attendees or ()},
        moved_from=_moved_from(inner, appointment.booking_id),
    )


def _moved_from(inner: dict[str, Json], booking_id: str) -> str | None:
    """The booking that a nested appointment with another id takes the place of."""
    outer = Appointment.model_validate({name: inner.get(name) for name in ("appointmentId", "id")}).booking_id
    return outer if outer and outer != booking_id else None


def _appointment(inner: dict[str, Json]) -> dict[str, Json]:
    """A reschedule nests the appointment; what stands beside it still counts where the inside is silent.

    Whose id counts: the nested one, then `appointmentId`, then `id`.
    """
    for name in ("rescheduledAppointment", "appointment"):
        nested = inner.get(name)
        if isinstance(nested, dict):
            merged = {**inner, **nested}
            return {**merged, "appointmentId": nested.get("id") or merged.get("appointmentId")}
    return inner


def _object(body: bytes) -> dict[str, Json]:
    try:
        value = json.loads(body, parse_constant=_refuse_constant, parse_float=_finite)
        value = _storable(value) if SUSPICIOUS.search(body) else value
    except (ValueError, RecursionError):
        raise Unreadable("the body is not JSON") from None
    if not isinstance(value, dict):
        raise Unreadable("the body is JSON, but not an object")
    return value


def _storable(value: Json) -> Json:
    """The value without what no database stores as text: NUL characters and lone surrogates."""
    if isinstance(value, str):
        return value.replace("\x00", "").encode("utf-8", "replace").decode("utf-8")
    if isinstance(value, list):
        return [_storable(item) for item in value]
    if isinstance(value, dict):
        return {_storable(name): _storable(item) for name, item in value.items()}
    return value


def _refuse_constant(name: str) -> None:
    raise ValueError(name)


def _finite(text: str) -> float:
    """A number such as 1e999 is JSON and becomes infinite here, which is none."""
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(text)
    return number


def _first_fault(error: ValidationError) -> str:
    fault = error.errors(include_input=False, include_url=False, include_context=False)[0]
    return f"'{'.'.join(map(str, fault['loc']))}' cannot be read: {fault['msg'].removeprefix('Value error, ').lower()}"
