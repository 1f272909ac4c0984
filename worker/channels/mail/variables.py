"""The variables of mail templates. docs/mail.md documents them: they are a contract."""

from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

from worker.channels.base import Message
from worker.channels.mail.branding import DARK_BACKGROUND, LOGO_CID, MailBranding
from worker.channels.text.attendee import MessageAttendee
from worker.channels.text.message_text import (
    MAX_LISTED,
    MessageText,
    cancel_reason,
    cancelled_by,
    departed_guests,
    previous_period,
)
from worker.channels.text.sanitize import break_links, one_line, safe_link
from worker.channels.text.time_range import TimeRange

MAX_METADATA = 50
"""Maximum number of entries of a booking's metadata; meetergo allows 20."""
LOGO_SOURCE = f"cid:{LOGO_CID}"

Variables = dict[str, Any]


def body_variables(message: Message, text: MessageText, branding: MailBranding) -> Variables:
    """Return the variables of `message.html` and `message.txt`. Nothing in them becomes a link, except `link`."""
    return {
        **_variables(message, text, break_links),
        "greeting": text.greeting,
        "intro": text.intro,
        "rows": [asdict(row) for row in text.rows],
        "footer": text.footer,
        "brand": _brand(branding),
    }


def subject_variables(message: Message, text: MessageText, branding: MailBranding) -> Variables:
    """Return the variables of `subject.txt`, in which there are no links to break."""
    return {**_variables(message, text, str), "brand": _brand(branding)}


def _variables(message: Message, text: MessageText, shown: Callable[[str], str]) -> Variables:
    reader = text.reader
    link = safe_link(one_line(message.booking.get("meeting_link")))
    return {
        "kind": message.kind,
        "handed_over": message.handed_over,
        "language": reader.locale.language,
        "locale": str(reader.locale),
        "subject": shown(text.subject),
        "title": shown(text.title),
        "link": link or "",
        "link_label": reader.translation.join,
        "booking": _booking(message, text, shown),
        "guests": _guests(MessageAttendee.parse_all(message.booking.get("attendees")), shown),
        "departed": _guests(departed_guests(message), shown),
        "host": _host(message.host or {}, shown),
        "bookings": [_summarized(booking, text, shown) for booking in message.bookings],
        "total": message.total,
    }


def _booking(message: Message, text: MessageText, shown: Callable[[str], str]) -> Variables:
    booking, reader = message.booking, text.reader
    period, previous = TimeRange.of(booking), previous_period(message)
    metadata = booking.get("metadata")
    entries = list(metadata.items())[:MAX_METADATA] if isinstance(metadata, Mapping) else []
    return {
        "id": one_line(booking.get("id")),
        "status": one_line(booking.get("status")),
        "meeting": shown(one_line(booking.get("meeting_name"))),
        "when": period.format_long(reader) if period else "",
        "previously": previous.format_long(reader) if previous else "",
        "location": shown(one_line(booking.get("location"))),
        "reason": shown(cancel_reason(message, reader.translation)),
        "cancelled_by": shown(cancelled_by(message, reader.translation)),
        "metadata": {one_line(name): shown(one_line(value)) for name, value in entries},
    }


def _summarized(booking: dict[str, Any], text: MessageText, shown: Callable[[str], str]) -> Variables:
    period = TimeRange.of(booking)
    return {
        "id": one_line(booking.get("id")),
        "meeting": shown(one_line(booking.get("meeting_name"))),
        "when": period.format_long(text.reader) if period else "",
    }


def _guests(guests: list[MessageAttendee], shown: Callable[[str], str]) -> list[Variables]:
    return [
        {"name": shown(guest.name), "email": shown(guest.email), "phone": shown(guest.phone)}
        for guest in guests[:MAX_LISTED]
    ]


def _host(host: Mapping[str, Any], shown: Callable[[str], str]) -> Variables:
    ids = {name: one_line(host.get(name)) for name in ("id", "external_id")}
    return ids | {name: shown(one_line(host.get(name))) for name in ("name", "email", "timezone")}


def _brand(branding: MailBranding) -> Variables:
    logo = branding.logo
    return {
        "name": branding.name,
        "color": branding.color,
        "text_color": branding.text_color,
        "outline": branding.outline,
        "dark_outline": branding.dark_outline,
        "dark_background": DARK_BACKGROUND,
        "logo": {"src": LOGO_SOURCE, "width": logo.width, "height": logo.height} if logo else None,
    }
