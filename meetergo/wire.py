"""Wire formats: the objects inside meetergo's bodies, with all documented names.

An absent field says nothing; null says that there is none. A field that cannot be read says nothing and is noted.
Source: the webhook events page (old and new copies) and the REST reference of an appointment.
"""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any, Final

from meetergo.guests import key_of, shared_ids

MAX_ID = 255
MAX_GUESTS = 1000
MAX_HOSTS = 1000
MAX_LANGUAGES = 50
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
EARLIEST, LATEST = datetime(2000, 1, 1, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC)
"""A time before the earliest, or from the latest on, is not that of an appointment: 0, in any form, is how programs
write that there is none."""
MAX_IGNORED_SHOWN = 10
MAX_TIME_LENGTH = 64
EPOCH_TIME = re.compile(r"\d{9,13}(?:\.\d*)?", re.ASCII)
HTTP_DATE = re.compile(
    r"(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d{1,2} [A-Z][a-z]{2} \d{4} \d\d:\d\d(?::\d\d)? (?:GMT|[+-]\d{4})", re.ASCII
)
"""Matches all of the text, since Python's parser ignores what it does not know, such as PM."""
ZONE_NAME = re.compile(r"(Z|[+-]\d\d:?\d\d)\[[^]]*\]$", re.ASCII)
UTC_NAME = re.compile(r" (?:UTC|GMT)$")
END_OF_DAY = re.compile(r"([T ])24(?=:?00(?::?00(?:\.0+)?)?(?:[Z+-]|$))", re.ASCII)
LANGUAGE = re.compile(r"[A-Za-z]{2,3}(?:[-_][A-Za-z0-9]{2,8}){0,3}")
TRUE = {"true", "1", "yes", "y", "on", "t"}
FALSE = {"false", "0", "no", "n", "off", "f"}
LIST_ITEM = re.compile(r'(?:"[^"]*"|[^",;]+)+')
"""Matches an item of a text with commas, which a name in quotes may hold, too."""
NO_ADDRESS = re.compile(r"[][{},;<>]")
"""Matches what is not one address, such as JSON in a text."""
UNSTORABLE = re.compile(rb"\\u(0000|[dD][89a-fA-F])|\x00|\xed")
"""Matches a body that may hold text that no database stores: see `storable`."""
ATTENDEE_FIELDS = ("id", "email", "firstname", "lastname", "fullname", "phone", "timezone", "language")

ABSENT: Final[Any] = type("Absent", (), {"__repr__": lambda _self: "ABSENT", "__bool__": lambda _self: False})()
"""A field that is missing or cannot be read: it says nothing."""

Convert = Callable[[Any], Any]
"""Parses a value that is not null; returns None for "there is none". Raises ValueError for nonsense."""


def text(value: Any) -> str | None:
    """Parse a text, or a number as text. Blank text means that there is none."""
    if isinstance(value, str):
        return value if value and not value.isspace() else None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError
    return str(value)


def localised_text(value: Any) -> str | dict[str, str] | None:
    """Parse a text, or one per language: `{"de": "Erstgespräch", "en": "First call"}`."""
    if not isinstance(value, dict):
        return text(value)
    if len(value) > MAX_LANGUAGES or not all(map(LANGUAGE.fullmatch, value)):
        raise ValueError
    translations = {
        language: translation
        for language, translation in value.items()
        if translation is not None and text(translation)
    }
    if not all(isinstance(translation, str) for translation in translations.values()):
        raise ValueError
    return translations or None


def address(value: Any) -> str | dict[str, str] | None:
    """Parse a location: a text, or an address as an object or a list, which becomes JSON."""
    try:
        return localised_text(value)
    except ValueError:
        if isinstance(value, dict | list) and value:
            return json.dumps(value, ensure_ascii=False)
        raise


def identifier(value: Any) -> str | None:
    """Parse an id as text."""
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise ValueError
    as_text = str(value)
    if len(as_text) > MAX_ID:
        raise ValueError
    return as_text if as_text and not as_text.isspace() else None


def boolean(value: Any) -> bool:
    """Parse a boolean in its usual spellings."""
    if isinstance(value, bool):
        return value
    spelling = str(value).strip().lower().removesuffix(".0") if isinstance(value, str | int | float) else ""
    if spelling in TRUE or spelling in FALSE:
        return spelling in TRUE
    raise ValueError


def plausible_time(value: Any) -> datetime:
    """Parse a plausible time: ISO 8601, or seconds or milliseconds since 1970."""
    time = timestamp(value)
    if time >= LATEST:
        raise ValueError
    return time


def timestamp(value: Any) -> datetime:
    """Parse a time; one too late to be plausible becomes `LATEST`."""
    if isinstance(value, str):
        value = _time_in_text(value)
    if isinstance(value, datetime):
        time = value if value.tzinfo else value.replace(tzinfo=UTC)
        if time.year > LATEST.year:
            return LATEST
        time = time.astimezone(UTC)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        seconds = value if abs(value) < 2e10 else value / 1000
        time = EPOCH + timedelta(seconds=min(seconds, LATEST.timestamp()))
    else:
        raise ValueError
    if time < EARLIEST:
        raise ValueError
    return min(time, LATEST)


def _time_in_text(text: str) -> datetime | float:
    """Parse ISO 8601 as Java and SQL write it too, a date of HTTP, or a number in a text.

    A zone of which only the name is given is refused, and so is a date whose day could be its month.
    """
    if "-" in text:
        try:
            return datetime.fromisoformat(text)
        except ValueError:
            pass  # it may have another form
    text = text.strip()
    if len(text) > MAX_TIME_LENGTH:
        raise ValueError
    if EPOCH_TIME.fullmatch(text):
        return float(text)
    if HTTP_DATE.fullmatch(text):
        return parsedate_to_datetime(text)
    iso = UTC_NAME.sub("Z", ZONE_NAME.sub(r"\1", text.upper()))
    next_midnight = END_OF_DAY.sub(r"\g<1>00", iso)  # Python parses 24:00 from 3.14 on
    return datetime.fromisoformat(next_midnight) + timedelta(days=next_midnight != iso)


def mapping(value: Any) -> dict[str, Any]:
    """Parse an object."""
    if not isinstance(value, dict):
        raise ValueError
    return value


class Ignored:
    """Names of fields that could not be read. Their values are omitted: they may be personal data."""

    def __init__(self) -> None:
        self._names: dict[str, None] = {}

    def add(self, name: str) -> None:
        """Add a field, such as `attendees.0.email`."""
        self._names.setdefault(name)

    @property
    def names(self) -> tuple[str, ...]:
        """The first few names, and the number of the others."""
        names = tuple(self._names)
        more = len(names) - MAX_IGNORED_SHOWN
        return (*names[:MAX_IGNORED_SHOWN], f"{more} more") if more > 0 else names


class Fields:
    """The fields of one object.

    Args:
        values: the object; None if it is null, so that each of its fields says that there is none.
        ignored: collects the fields that cannot be read.
        path: path of the object, with a trailing dot.
    """

    __slots__ = ("_ignored", "_path", "_values")

    def __init__(self, values: Mapping[str, Any] | None, ignored: Ignored, path: str = "") -> None:
        self._values, self._ignored, self._path = values, ignored, path

    @property
    def is_null(self) -> bool:
        """Whether the value is null instead of an object."""
        return self._values is None

    def read(self, convert: Convert, *names: str) -> Any:
        """Return the value of the first name that has one; None if there are only nulls, else `ABSENT`."""
        values, result = self._values, ABSENT
        if values is None:
            return None
        for name in names:
            value = values.get(name, ABSENT)
            if value is ABSENT:
                continue
            if value is not None:
                try:
                    value = convert(value)
                except (ValueError, OverflowError):
                    self.ignore(name)
                    continue
            if value is not None:
                return value
            result = None
        return result

    def object(self, name: str) -> "Fields":
        """Return the fields of a nested object. An id in its place is not an object."""
        if self._values is None:
            return self
        value = self._values.get(name, ABSENT)
        if value is None:
            return Fields(None, self._ignored)
        if isinstance(value, dict):
            return Fields(value, self._ignored, f"{self._path}{name}.")
        if value is not ABSENT:
            self.ignore(name)
        return NO_FIELDS

    def items(self, name: str, max_length: int, *single_item_keys: str) -> list[Any] | None:
        """Return the items of a list; None if it is absent or too long.

        An object with one of these keys, or an address or id alone, is a list of one. `{"0": ..., "1": ...}` and a text
        with commas are how some languages and tools write a list.
        """
        value = None if self._values is None else self._values.get(name)
        if isinstance(value, dict) and value:
            value = [value] if any(key in value for key in single_item_keys) else _numbered(value)
        elif isinstance(value, str) and ("@" in value or name == "hostIds"):
            value = _separated(value, name)
        if isinstance(value, list) and len(value) <= max_length:
            return value
        if value is not None:
            self.ignore(name)
        return None

    def ignore(self, name: str) -> None:
        """Note a field as unreadable."""
        self._ignored.add(self._path + name)


def _numbered(value: dict[str, Any]) -> Any:
    return list(value.values()) if all(map(str.isdecimal, value)) else value


def _separated(text: str, name: str) -> Any:
    """Return the ids or addresses in a text; the text itself if it holds none, such as JSON in a text."""
    if text.lstrip().startswith(("[", "{")):
        return text
    parts = [part for each in LIST_ITEM.findall(text) if (part := each.strip())]
    has_commas_in_names = name != "hostIds" and not all("@" in part for part in parts)
    return [text] if has_commas_in_names else parts or text


NO_FIELDS: Final = Fields({}, Ignored())


def first(*readings: Any) -> Any:
    """Return the first of several readings that has a value; None if there are only nulls, else `ABSENT`."""
    for value in readings:
        if value is not None and value is not ABSENT:
            return value
    return None if None in readings else ABSENT


@dataclass(frozen=True, slots=True)
class AttendeeBody:
    """A guest. Phone-only bookings have no e-mail.

    Attributes:
        key: identifies the guest within the booking: see `meetergo.guests`.
        details: known details; None where the body says that there is none.
    """

    key: str
    details: Mapping[str, str | None] = field(repr=False)

    @property
    def id(self) -> str | None:
        """The guest's id, if the body has one."""
        return self.details.get("id")

    @property
    def email(self) -> str | None:
        """The guest's e-mail address, if the body has one."""
        return self.details.get("email")


@dataclass(frozen=True, slots=True)
class AppointmentBody:
    """A booking as webhooks and the REST API show it.

    Attributes:
        booking_id: the provider's id.
        company_id: the company that it belongs to.
        start: start time.
        end: end time.
        created_at: time of booking.
        updated_at: time of the last change.
        version_time: `updatedAt`, else the newest time of a change that the body carries; `LATEST` if that is not a
            time of our days.
        is_cancelled: according to the flag or a cancel time, never to an event's name.
        cancelled_flag: `isCancelled`, if present.
        attendees: the guests; None if the body says nothing about them.
        has_all_attendees: whether every listed guest could be read.
        host_ids: from whichever of the two lists is present.
        facts: column of a booking -> value, only for fields that are present.
        ignored: names of fields that could not be read.
    """

    booking_id: str | None
    company_id: str | None
    start: datetime | None
    end: datetime | None
    created_at: datetime | None
    updated_at: datetime | None
    version_time: datetime | None
    is_cancelled: bool
    cancelled_flag: bool | None
    attendees: Sequence[AttendeeBody] | None = field(repr=False)
    has_all_attendees: bool
    host_ids: list[str] | None
    facts: dict[str, Any] = field(repr=False)
    ignored: tuple[str, ...]

    @classmethod
    def read(cls, body: Mapping[str, Any]) -> "AppointmentBody":
        """Parse everything that can be read.

        Null says that there is none. But no appointment is without a time, a host or a list of guests: there, a null
        says nothing. Only a cancelled one speaks of its status: no webhook revives a booking.
        """
        ignored = Ignored()
        fields = Fields(body, ignored)
        meeting_info, hosting_info = fields.object("meetingInfo"), fields.object("hostingInfo")
        meeting_type = fields.object("meetingType")
        if meeting_type.is_null and fields.read(identifier, "meetingTypeId"):
            meeting_type = NO_FIELDS  # null says nothing: the id says that there is one
        cancel = fields.object("cancel")
        cancelled_flag = fields.read(boolean, "isCancelled")
        cancelled_at = cancel.read(plausible_time, "actionAt", "cancelledAt")
        is_cancelled = cancelled_flag is True or bool(cancelled_at)
        start, end = fields.read(plausible_time, "start"), fields.read(plausible_time, "end")
        attendees, has_all_attendees = _attendees(fields, ignored)
        host_ids = _host_ids(fields, ignored)
        created_at, rescheduled_at = fields.read(timestamp, "createdAt"), fields.read(timestamp, "rescheduledAt")
        updated_at = fields.read(timestamp, "updatedAt")
        times = [at for at in (created_at, rescheduled_at, cancelled_at) if at]
        stated = {
            **_meeting_facts(fields, meeting_info, hosting_info, meeting_type),
            **(_cancel_facts(cancel) if is_cancelled else {}),
            "starts_at": start.isoformat() if start else ABSENT,
            "ends_at": end.isoformat() if end else ABSENT,
            "host_ids": host_ids or ABSENT,
            "attendee_ids": ABSENT if attendees is None else [guest.key for guest in attendees],
        }
        return cls(
            booking_id=fields.read(identifier, "appointmentId", "id") or None,
            company_id=fields.read(identifier, "companyId") or None,
            start=start or None,
            end=end or None,
            created_at=created_at or None,
            updated_at=updated_at or None,
            version_time=updated_at or max(times, default=None),
            is_cancelled=is_cancelled,
            cancelled_flag=None if cancelled_flag is ABSENT else cancelled_flag,
            attendees=attendees,
            has_all_attendees=has_all_attendees,
            host_ids=host_ids,
            facts={name: value for name, value in stated.items() if value is not ABSENT},
            ignored=ignored.names,
        )


def _meeting_facts(fields: Fields, meeting_info: Fields, hosting_info: Fields, meeting_type: Fields) -> dict[str, Any]:
    """Return what the body says of the meeting: None is a statement, too, and ABSENT is none."""
    return {
        "location": fields.read(address, "location"),
        "meeting_link": first(hosting_info.read(text, "meetingLink"), meeting_info.read(text, "meetingLink")),
        "meeting_name": first(
            meeting_type.object("meetingInfo").read(localised_text, "name"), meeting_type.read(localised_text, "name")
        ),
        "settings_name": meeting_info.read(localised_text, "name"),
        "meeting_type_id": first(fields.read(identifier, "meetingTypeId"), meeting_type.read(identifier, "id")),
        "metadata": meeting_type.read(mapping, "metadata"),
    }


def _cancel_facts(cancel: Fields) -> dict[str, Any]:
    """Return what the body says of a cancellation."""
    return {
        "status": "cancelled",
        "cancelled_by": cancel.read(text, "cancelledBy", "actionSource", "actionBy"),
        "cancel_reason": cancel.read(localised_text, "reason"),
    }


def _attendees(fields: Fields, ignored: Ignored) -> tuple[list[AttendeeBody] | None, bool]:
    """Return the guests, each once, and whether all could be read. Of too many, the list says nothing."""
    listed = fields.items("attendees", MAX_GUESTS, *ATTENDEE_FIELDS)
    if listed is None:
        return None, True
    people = {
        number: _guest(item, ignored, f"attendees.{number}") for number, item in enumerate(listed) if item is not None
    }
    read = {number: details for number, details in people.items() if details is not None}
    shared = shared_ids([*read.values()])
    guests: dict[str, dict[str, str | None]] = {}
    key_of_id: dict[str, str] = {}
    for number, details in read.items():
        if details.get("id") in shared:
            ignored.add(f"attendees.{number}.id")
            del details["id"]
            if not any(details.values()):
                continue
        key = key_of(details)
        if details.get("id"):
            key = key_of_id.setdefault(str(details["id"]), key)
        guests[key] = {**guests.get(key, {}), **details}
    has_all_attendees = len(read) == len(people)
    if not guests and not has_all_attendees:
        return None, False  # a list that cannot be read says nothing
    return [AttendeeBody(key, details) for key, details in guests.items()], has_all_attendees


def _guest(item: Any, ignored: Ignored, path: str) -> dict[str, str | None] | None:
    """Return the details of a guest. An address or an id alone also identifies one."""
    if not isinstance(item, dict):
        details = _guest_from_text(item)
        if details is None:
            ignored.add(path)
        return details
    details = {}
    for name in ATTENDEE_FIELDS:
        value = item.get(name, ABSENT)
        if value is ABSENT:
            continue
        if type(value) is not str or not 0 < len(value) <= MAX_ID or value.isspace():
            value = Fields(item, ignored, f"{path}.").read(identifier if name == "id" else text, name)
            if value is ABSENT or (value is None and name == "id"):
                continue
        details[name] = value
    return details


def _guest_from_text(item: Any) -> dict[str, str | None] | None:
    """Return the guest for an address, with or without a name, or for an id alone."""
    try:
        contact = identifier(item)
    except ValueError:
        return None
    if contact is None or "@" not in contact:
        return {"id": contact} if contact else None
    name, address = "", contact
    if "<" in contact:  # no pattern: one for this can take a second for a text of blanks
        name, _, address = (part.strip() for part in contact.strip().removesuffix(">").partition("<"))
        name = name.removeprefix('"').removesuffix('"')
    if address.count("@") != 1 or NO_ADDRESS.search(address):
        return None
    return {"email": address, "fullname": name} if name else {"email": address}


def _host_ids(fields: Fields, ignored: Ignored) -> list[str] | None:
    """Return the hosts' ids, each once, from `hostIds` or else from `hosts`."""
    for name in ("hostIds", "hosts"):
        ids: dict[str, None] = {}
        for number, item in enumerate(fields.items(name, MAX_HOSTS, "id") or ()):
            value = item.get("id", ABSENT) if isinstance(item, dict) else item
            if value is None or value is ABSENT:
                continue
            try:
                host_id = identifier(value)
            except ValueError:
                ignored.add(f"{name}.{number}")
                continue
            if host_id:
                ids.setdefault(host_id)
        if ids:
            return list(ids)
    return None


@dataclass(frozen=True, slots=True)
class EmployeeBody:
    """The body of `new_employee`: its `id` is a user's."""

    id: str | None
    email: str | None = field(repr=False)
    company_id: str | None
    ignored: tuple[str, ...]

    @classmethod
    def read(cls, body: Mapping[str, Any]) -> "EmployeeBody":
        """Parse everything that can be read."""
        ignored = Ignored()
        fields = Fields(body, ignored)
        return cls(
            id=fields.read(identifier, "id") or None,
            email=(fields.read(text, "email") or "").strip() or None,
            company_id=fields.read(identifier, "companyId") or None,
            ignored=ignored.names,
        )


def storable(value: Any, body: bytes) -> Any:
    """Return the value of a JSON body without NUL and lone surrogates, which no database stores."""
    return without_unstorable(value) if UNSTORABLE.search(body) else value


def without_unstorable(value: Any) -> Any:
    """Return a JSON value without NUL characters, and with a question mark for each lone surrogate."""
    if isinstance(value, str):
        return value.replace("\x00", "").encode("utf-8", "replace").decode("utf-8")
    if isinstance(value, list):
        return [without_unstorable(item) for item in value]
    if isinstance(value, dict):
        return {without_unstorable(name): without_unstorable(item) for name, item in value.items()}
    return value
