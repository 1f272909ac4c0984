"""Calendar invites: a new, moved or cancelled booking as an iCalendar message (RFC 5546)."""

from dataclasses import dataclass
from email.headerregistry import Address
from typing import Any

from icalendar import Calendar, vCalAddress

from worker.channels.base import Message
from worker.channels.text.calendar_event import PRODUCT, calendar_event
from worker.channels.text.message_text import MessageText
from worker.channels.text.time_range import TimeRange


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
        is_cancelled = message.kind == "cancelled"
        event = calendar_event(
            message.booking,
            period,
            message.made_at,
            title=rendered.title,
            details=rendered.details,
            is_cancelled=is_cancelled,
        )
        event["ORGANIZER"] = _calendar_address(organizer)
        event.add("ATTENDEE", _calendar_address(attendee, partstat="ACCEPTED", rsvp=False, role="REQ-PARTICIPANT"))
        method = "CANCEL" if is_cancelled else "REQUEST"
        calendar = Calendar({"PRODID": PRODUCT, "VERSION": "2.0", "METHOD": method})
        calendar.add_component(event)
        return cls(method, calendar.to_ical())


def _calendar_address(address: Address, **parameters: Any) -> vCalAddress:
    # A parameter value cannot contain a double quote, not even escaped.
    name = address.display_name.replace('"', "'")
    return vCalAddress.new(address.addr_spec, cn=name or None, **parameters)
