"""Calendar invites: a new, moved or cancelled booking as an iCalendar file (RFC 5545, RFC 5546)."""

import re
from dataclasses import dataclass
from email.headerregistry import Address
from typing import Any

from icalendar import Calendar, Event, vCalAddress

from worker.channels.base import Message
from worker.channels.text.message_text import MessageRow, MessageText
from worker.channels.text.period import TimeRange
from worker.channels.text.sanitize import break_links, one_line, safe_link

PRODUCT = "-//meetergo-inbox//meetergo-inbox//EN"
UNFIT_FOR_UID = re.compile(r"[^A-Za-z0-9._-]")


@dataclass(frozen=True)
class CalendarInvite:
    """An iCalendar message.

    Attributes:
        method: `REQUEST` or `CANCEL`.
        ics: the calendar file, with CRLF line endings.
    """

    method: str
    ics: bytes

    @classmethod
    def to(
        cls, attendee: Address, message: Message, rendered: MessageText, organizer: Address
    ) -> "CalendarInvite | None":
        """Build the invite for a message; None while the meeting has no start time.

        The recipient is the only attendee: meetergo invites the guests, so the description lists them.
        """
        period = TimeRange.of(message.booking)
        if not period:
            return None
        event = _event(message, rendered, period)
        event["ORGANIZER"] = _calendar_address(organizer)
        event.add("ATTENDEE", _calendar_address(attendee, partstat="ACCEPTED", rsvp=False, role="REQ-PARTICIPANT"))
        method = "CANCEL" if message.kind == "cancelled" else "REQUEST"
        calendar = Calendar({"PRODID": PRODUCT, "VERSION": "2.0", "METHOD": method})
        calendar.add_component(event)
        return cls(method, calendar.to_ical())


def _event(message: Message, rendered: MessageText, period: TimeRange) -> Event:
    booking = message.booking
    link = one_line(booking.get("meeting_link"))
    event = Event.new(
        uid=f"{UNFIT_FOR_UID.sub('-', str(booking['id']))}@meetergo-inbox",
        sequence=max(0, int(booking.get("revision") or 1) - 1),
        stamp=message.made_at,
        start=period.start,
        end=period.end,
        summary=break_links(rendered.title),
        description="\n".join(map(_described, rendered.details)) or None,
        location=break_links(one_line(booking.get("location")))
        or (link if safe_link(link) else break_links(link))
        or None,
        url=safe_link(link),
    )
    event.add("STATUS", "CANCELLED" if message.kind == "cancelled" else "CONFIRMED")
    return event


def _described(row: MessageRow) -> str:
    return f"{row.label}: {'; '.join(row.lines)}"


def _calendar_address(address: Address, **parameters: Any) -> vCalAddress:
    # A parameter value cannot contain a double quote, not even escaped.
    name = address.display_name.replace('"', "'")
    return vCalAddress.new(address.addr_spec, cn=name or None, **parameters)
