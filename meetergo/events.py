"""Parse webhook bodies into events: both wire formats of meetergo, and every variant that its documentation shows.

Parsing is tolerant: absent fields say nothing, unknown fields are ignored, unreadable fields are ignored and noted.
A body is unreadable only if it names no booking.
Source: developer.meetergo.com/developer-docs/webhooks, and the field names of its REST reference where they differ.
"""

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any, TypeGuard

from meetergo.wire import MAX_ID, AppointmentBody, EmployeeBody, Fields, Ignored, identifier, plausible_time, storable

Json = Any
"""A value that JSON can hold."""

KIND_RANK = {"booking_created": 1, "booking_rescheduled": 2, "booking_cancelled": 3}
AUTHORITY_RANK = 4
SPELLINGS = {name.replace("_", ""): name for name in (*KIND_RANK, "new_employee")} | {
    "bookingcanceled": "booking_cancelled"
}
"""Letters and digits of an event's name, in lower case -> the name. Its case and separators say nothing."""
NOT_CANCELLED = {"status": "confirmed", "cancelled_by": None, "cancel_reason": None}
"""Facts of an appointment read from the API that is not cancelled."""
NOT_SHOWN = {"location": None, "meeting_link": None}
"""Facts of an appointment read from the API that omits these fields."""
SUPERSEDES = "supersedes"
"""Key in a body written after reading the API: the stored version, which proved wrong."""
VERSION = re.compile(r"(\d{20})-\d-[0-9a-f]{16}")
MAX_CLOCK_AHEAD = timedelta(hours=1)
"""How far before our clock the provider's may be. A version beyond that counts as the time received."""
MAX_NESTING = 64
"""Objects and lists in each other, the body itself counted."""
TOO_DEEP = f"what nests deeper than {MAX_NESTING} levels"
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
NESTED_KEYS = ("rescheduledAppointment", "appointment")
BOOKING_ID_KEYS = ("id", "appointmentId", *NESTED_KEYS)
BRACKETS = re.compile(rb'"(?:[^"\\]|\\.)*+"?|[\[\]{}]', re.DOTALL)
"""Matches a text or a bracket. A text without an end reaches to that of the body: else each quote in it is tried."""
MAX_DIGITS = 300
"""A longer number stays text: no database keeps it as a number."""


class UnreadableBody(ValueError):
    """The body can never become an event. The message says what is wrong and quotes nothing of it.

    Attributes:
        event: the event that it names, where that is known.
    """

    def __init__(self, message: str, event: str | None = None) -> None:
        super().__init__(message)
        self.event = event


@dataclass(frozen=True)
class Event:
    """The content of a delivery. Types without a subclass below carry nothing that we read.

    Attributes:
        type: the provider's name for it, such as `booking_created`.
        company_id: whose it is, where the body says so.
        ignored: names of fields that could not be read, and so say nothing.
    """

    type: str
    company_id: str | None
    ignored: tuple[str, ...] = field(default=(), kw_only=True)

    @property
    def note(self) -> str | None:
        """What an operator should know of how it was read."""
        return f"ignored: {', '.join(self.ignored)}" if self.ignored else None


@dataclass(frozen=True)
class BookingEvent(Event):
    """The state of one booking as a delivery reports it.

    Attributes:
        booking_id: the provider's id.
        at: when the booking was as this event says (UTC).
        version: orders events of one booking: time, then kind, then digest.
        facts: column of a booking -> value, only for what the body said.
        attendees: key of a guest (`meetergo.guests`) -> what the body said of that person.
        moved_from: the id beside a nested appointment, where it is another one: that booking became this one.
        has_all_attendees: whether every guest in the body's list could be read.
        is_authoritative: whether it comes from an authenticated read of the API.
        received_at: when the delivery was received (UTC).
    """

    booking_id: str
    at: datetime
    version: str
    facts: Mapping[str, Json] = field(repr=False)
    attendees: Mapping[str, Mapping[str, Json]] = field(repr=False)
    moved_from: str | None = None
    has_all_attendees: bool = True
    is_authoritative: bool = False
    received_at: datetime | None = field(default=None, compare=False)


@dataclass(frozen=True)
class EmployeeEvent(Event):
    """A user joined the company: `new_employee`."""

    user_id: str
    email: str | None = field(repr=False)


def read(body: bytes, received_at: datetime, *, is_authoritative: bool = False) -> Event:
    """Parse a delivery's body.

    Args:
        body: the bytes as they came.
        received_at: the version of a body that carries no time of its own.
        is_authoritative: whether the body was read from the API. Only then does a booking that is not
            cancelled say so, and may revive one that was: no webhook does.

    Raises:
        UnreadableBody: not a JSON object, no event type and no appointment, or no booking or user id.
    """
    outer, is_too_deep = _object(body)
    inner = _inner(outer)
    named = _named_event(outer)
    event = _event(named or _event_of_fields(inner), inner, body, received_at, is_authoritative=is_authoritative)
    if event.company_id is None and inner is not outer:
        event = replace(event, company_id=Fields(outer, Ignored()).read(identifier, "companyId") or None)
    ignored = [*([] if named else ["webhookType"]), *([TOO_DEEP] if is_too_deep else [])]
    return replace(event, ignored=(*ignored, *event.ignored)) if ignored else event


def latest_version(now: datetime) -> str:
    """Return the highest plausible version; see `MAX_CLOCK_AHEAD`."""
    return f"{_microseconds(now + MAX_CLOCK_AHEAD):020d}~"


def time_of(version: str) -> datetime | None:
    """Return the time in a version; None if it is not a version."""
    known = VERSION.fullmatch(version)
    return EPOCH + timedelta(microseconds=int(known[1])) if known else None


def _named_event(outer: dict[str, Json]) -> str | None:
    for name in (outer.get("webhookType"), outer.get("event")):
        if _is_nonempty_text(name):
            letters = "".join(filter(str.isalnum, name[:100])).lower()
            return SPELLINGS.get(letters, name[:100])
    return None


def _event_of_fields(inner: dict[str, Json]) -> str:
    """Return the event of a body that does not name it: an id and a start are those of an appointment.

    How it changed follows from the fields alone; only a rescheduled appointment may have replaced another one.
    """
    appointment = _appointment(inner)
    if not (_named_id(appointment) and Fields(appointment, Ignored()).read(plausible_time, "start")):
        raise UnreadableBody("the body names no event: neither 'webhookType' nor 'event' is there")
    return "booking_rescheduled" if isinstance(inner.get("rescheduledAppointment"), dict) else "booking_created"


def _inner(outer: dict[str, Json]) -> dict[str, Json]:
    """Return the object with the fields: `data`, or the body itself if the booking is named there."""
    data = outer.get("data")
    if not isinstance(data, dict):
        return outer
    if _is_nonempty_text(outer.get("event")) and not _is_nonempty_text(outer.get("webhookType")):
        return data
    is_flat = "start" in outer or not any(name in data for name in BOOKING_ID_KEYS)
    return outer if is_flat and any(name in outer for name in BOOKING_ID_KEYS) else data


def _next_version(version: Json, digest: str, received_at: datetime) -> str:
    """Return the version after another; one before all others if that is not a version, or is from the future."""
    known = VERSION.fullmatch(version) if isinstance(version, str) else None
    if known is None or version > latest_version(received_at):
        return ""
    return f"{int(known[1]) + 1:020d}-{AUTHORITY_RANK}-{digest}"


def _event(
    event_type: str, inner: dict[str, Json], body: bytes, received_at: datetime, *, is_authoritative: bool
) -> Event:
    if event_type in KIND_RANK:
        return _booking_event(event_type, inner, body, received_at, is_authoritative=is_authoritative)
    if event_type == "new_employee":
        employee = EmployeeBody.read(inner)
        if employee.id is None:
            raise UnreadableBody("the body names no user: 'id' is not there, or cannot be read", event_type)
        return EmployeeEvent(event_type, employee.company_id, employee.id, employee.email, ignored=employee.ignored)
    ignored = Ignored()
    company_id = Fields(inner, ignored).read(identifier, "companyId") or None
    return Event(event_type, company_id, ignored=ignored.names)


def _booking_event(
    event_type: str, inner: dict[str, Json], body: bytes, received_at: datetime, *, is_authoritative: bool
) -> BookingEvent:
    appointment = AppointmentBody.read(_appointment(inner))
    if not appointment.booking_id:
        raise UnreadableBody(f"the body names no booking: {_id_problem(inner)}", event_type)
    at = appointment.version_time or received_at
    if at > received_at + MAX_CLOCK_AHEAD:
        at = received_at
    time, digest = f"{_microseconds(at):020d}", sha256(body).hexdigest()[:16]
    if is_authoritative:
        version = max(f"{time}-{AUTHORITY_RANK}-{digest}", _next_version(inner.get(SUPERSEDES), digest, received_at))
    else:
        version = f"{time}-{KIND_RANK['booking_cancelled' if appointment.is_cancelled else event_type]}-{digest}"
    return BookingEvent(
        type=event_type,
        company_id=appointment.company_id,
        booking_id=appointment.booking_id,
        at=at,
        version=version,
        facts=_authoritative_facts(appointment) if is_authoritative else appointment.facts,
        attendees={guest.key: guest.details for guest in appointment.attendees or ()},
        moved_from=_moved_from(inner, appointment.booking_id) if event_type == "booking_rescheduled" else None,
        has_all_attendees=appointment.has_all_attendees,
        is_authoritative=is_authoritative,
        received_at=received_at,
        ignored=appointment.ignored,
    )


def _authoritative_facts(appointment: AppointmentBody) -> dict[str, Json]:
    """Return the facts of an appointment read from the API. Only an explicit `isCancelled: false` revives."""
    is_live = appointment.cancelled_flag is False and not appointment.is_cancelled
    return {**(NOT_CANCELLED if is_live else {}), **NOT_SHOWN, **appointment.facts}


def _microseconds(at: datetime) -> int:
    return max(0, round(at.timestamp() * 1_000_000))


def _is_nonempty_text(value: Json) -> TypeGuard[str]:
    return isinstance(value, str) and bool(value.strip())


def _moved_from(inner: dict[str, Json], booking_id: str) -> str | None:
    """Return the booking that a nested appointment with another id replaces."""
    if not any(isinstance(inner.get(name), dict) for name in NESTED_KEYS):
        return None
    outer = _named_id(inner)
    return outer if outer and outer != booking_id else None


def _named_id(body: dict[str, Json]) -> str | None:
    return Fields(body, Ignored()).read(identifier, "appointmentId", "id") or None


def _id_problem(inner: dict[str, Json]) -> str:
    ids = [value for name in ("appointmentId", "id") if (value := _appointment(inner).get(name)) not in (None, "")]
    if any(isinstance(value, str | int) and len(str(value)) > MAX_ID for value in ids):
        return f"its id is longer than {MAX_ID} characters"
    return "its 'id' is neither text nor a whole number" if ids else "no 'id' or 'appointmentId' is there"


def _appointment(inner: dict[str, Json]) -> dict[str, Json]:
    """Return the appointment. A reschedule nests it, and fields beside it count where the nested one has none.

    The id is the nested one, else `appointmentId`, else `id`.
    """
    for name in NESTED_KEYS:
        nested = inner.get(name)
        if isinstance(nested, dict):
            own = Fields(nested, Ignored()).read(identifier, "id", "appointmentId")
            return {**inner, **nested, "appointmentId": own or _named_id(inner)}
    return inner


def _object(body: bytes) -> tuple[dict[str, Json], bool]:
    """Return the body as an object, and whether it nests deeper than it may."""
    try:
        try:
            value = _loads(body)
            is_too_deep = body.count(b"[") + body.count(b"{") > MAX_NESTING and _is_deeper(value, MAX_NESTING)
        except RecursionError:
            is_too_deep = True
        value = _loads(_truncate_nesting(body)) if is_too_deep else value
    except ValueError:
        raise UnreadableBody("the body is not JSON") from None
    value = storable(value, body)
    if not isinstance(value, dict):
        raise UnreadableBody("the body is JSON, but not an object")
    return value, is_too_deep


def _loads(body: bytes) -> Json:
    return DECODER.decode(body.decode(json.detect_encoding(body), "surrogatepass"))


def _truncate_nesting(body: bytes) -> bytes:
    """Return the body with null in place of everything that is nested too deep."""
    kept, start, depth = [], 0, 0
    for found in BRACKETS.finditer(body):
        if found[0] in b"[{":
            depth += 1
            if depth == MAX_NESTING + 1:
                kept += [body[start : found.start()], b"null"]
        elif found[0] in b"]}":
            if depth == MAX_NESTING + 1:
                start = found.end()
            depth -= 1
    return b"".join([*kept, body[start:]]) if depth <= MAX_NESTING else b""


def _is_deeper(value: Json, max_depth: int) -> bool:
    level = [value]
    for _ in range(max_depth):
        below: list[Json] = []
        for container in level:
            items = container.values() if isinstance(container, dict) else container
            below += [item for item in items if isinstance(item, dict | list)]
        if not below:
            return False
        level = below
    return True


def _refuse_constant(name: str) -> None:
    raise ValueError(name)


def _finite(text: str) -> float | str:
    """Parse a number. One such as 1e999 is valid JSON, but infinite as a float, so it stays text."""
    number = float(text)
    return number if math.isfinite(number) else text[:MAX_DIGITS]


def _bounded_int(text: str) -> int | str:
    return int(text) if len(text) <= MAX_DIGITS else text


DECODER = json.JSONDecoder(parse_constant=_refuse_constant, parse_float=_finite, parse_int=_bounded_int)
"""Made once: to make it takes as long as to read a short body."""
