"""Render a message in the reader's language as subject, plain text and HTML."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape

from meetergo.guests import departed
from worker.channels.base import Message
from worker.channels.text.attendee import MessageAttendee
from worker.channels.text.locale import ReaderLocale
from worker.channels.text.period import TimeRange
from worker.channels.text.sanitize import break_links, one_line, safe_link
from worker.channels.text.translations import Translation

MAX_NAME_LENGTH = 80
"""Maximum length of a meeting's or a person's name in a subject, in characters."""

TEMPLATES = Environment(
    loader=FileSystemLoader(Path(__file__).parent / "templates"),
    autoescape=select_autoescape(["html"]),
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
TEMPLATES.filters["break_links"] = break_links


@dataclass(frozen=True)
class MessageRow:
    """One row of a message: a label, one or more lines, and `link` where the row is clickable."""

    label: str
    lines: list[str]
    link: str | None = None


@dataclass(frozen=True)
class MessageText:
    """A rendered message.

    Attributes:
        title: the meeting and its guests, such as "Discovery Call with Jane Doe".
        details: attendees, place and reason, for a calendar entry, which already shows title and time.
    """

    subject: str
    text: str
    html: str
    title: str
    details: list[MessageRow]

    @classmethod
    def render(cls, message: Message, *, is_personal: bool) -> "MessageText":
        """Render a message in the language of the booking's host.

        Args:
            message: the message to render.
            is_personal: whether the host reads it, rather than a place that several people read.
        """
        reader = ReaderLocale.of(message.host)
        translation = reader.translation
        if message.kind == "summary":
            return cls._render_summary(message, reader, is_personal=is_personal)
        title = _title(message.booking, translation)
        details = [*_attendee_rows(message, translation), *_detail_rows(message, translation)]
        host = one_line((message.host or {}).get("name"))
        if host and not is_personal:
            details.append(MessageRow(translation.host, [host]))
        subject = _subject(message, title, reader)
        rows = [MessageRow(translation.what, [title]), *_time_rows(message, reader), *details]
        text, html = _render_templates(
            reader, subject, _intro(message, translation), rows, host if is_personal else None
        )
        return cls(subject, text, html, title, details)

    @classmethod
    def _render_summary(cls, message: Message, reader: ReaderLocale, *, is_personal: bool) -> "MessageText":
        """Render a summary: time and meeting, one line for each booking."""
        translation, host = reader.translation, one_line((message.host or {}).get("name"))
        lines = [_summary_line(booking, reader) for booking in message.bookings]
        missing = message.total - len(lines)
        rows = [
            MessageRow(translation.what, [*lines, *([translation.more.format(count=missing)] if missing > 0 else [])])
        ]
        if host and not is_personal:
            rows.append(MessageRow(translation.host, [host]))
        subject = f"{translation.subject['summary']} ({message.total})"
        text, html = _render_templates(
            reader, subject, translation.intro["summary"], rows, host if is_personal else None
        )
        return cls(subject, text, html, subject, rows)


def _render_templates(
    reader: ReaderLocale, subject: str, intro: str, rows: list[MessageRow], greeting_name: str | None
) -> Iterator[str]:
    """Yield the message as plain text, then as HTML."""
    content = {
        "language": reader.locale.language,
        "subject": subject,
        "greeting": "" if greeting_name is None else f"{reader.translation.hello} {greeting_name}".strip(),
        "lead": intro,
        "rows": rows,
        "footer": reader.translation.footer,
    }
    return (TEMPLATES.get_template(f"message.{form}").render(content) for form in ("txt", "html"))


def _intro(message: Message, translation: Translation) -> str:
    if message.handed_over:
        return translation.handed_over
    if message.kind == "rescheduled" and "starts_at" not in {
        name for name, was in (message.before or {}).items() if was
    }:
        return translation.time_known
    return translation.intro[message.kind]


def _summary_line(booking: dict[str, Any], reader: ReaderLocale) -> str:
    period, title = TimeRange.of(booking), _title(booking, reader.translation)
    return f"{period.format_long(reader.zone, reader.locale)}: {title}" if period else title


def _subject(message: Message, title: str, reader: ReaderLocale) -> str:
    period = TimeRange.of(message.booking)
    when = f" ({period.format_short(reader.zone, reader.locale)})" if period else ""
    return f"{reader.translation.subject[message.kind]}: {title}{when}"


def _title(booking: dict[str, Any], translation: Translation) -> str:
    meeting = one_line(booking.get("meeting_name"), MAX_NAME_LENGTH) or translation.meeting
    names = [
        one_line(guest.display_name, MAX_NAME_LENGTH)
        for guest in MessageAttendee.parse_all(booking.get("attendees"))
        if guest.display_name
    ]
    if not names:
        return meeting
    sentence = {1: translation.with_guest, 2: translation.with_two}.get(len(names), translation.with_more)
    return sentence.format(meeting=meeting, first=names[0], last=names[-1], count=len(names) - 1)


def _time_rows(message: Message, reader: ReaderLocale) -> Iterator[MessageRow]:
    translation = reader.translation
    now = TimeRange.of(message.booking)
    if now:
        yield MessageRow(translation.when, [now.format_long(reader.zone, reader.locale)])
    before = TimeRange.of(message.booking | (message.before or {}))
    if message.kind == "rescheduled" and before and before != now:
        yield MessageRow(translation.previously, [before.format_long(reader.zone, reader.locale)])


def _attendee_rows(message: Message, translation: Translation) -> Iterator[MessageRow]:
    guests = MessageAttendee.parse_all(message.booking.get("attendees"))
    if message.kind == "attendee_left":
        attended = (message.before or {}).get("attendees") or ()
        left = MessageAttendee.parse_all(departed(attended, message.booking.get("attendees") or ()))
        if left:
            yield MessageRow(translation.no_longer_attending, _contact_lines(left, translation))
        if left or guests:
            yield MessageRow(translation.still_attending, _contact_lines(guests, translation) or [translation.nobody])
    elif guests:
        yield MessageRow(translation.guests, _contact_lines(guests, translation))


def _contact_lines(guests: list[MessageAttendee], translation: Translation) -> list[str]:
    return [guest.contact_line or translation.unknown_guest for guest in guests]


def _detail_rows(message: Message, translation: Translation) -> Iterator[MessageRow]:
    booking = message.booking
    location, link, reason, by = (
        one_line(booking.get(name)) for name in ("location", "meeting_link", "cancel_reason", "cancelled_by")
    )
    if message.kind == "cancelled" and by:
        yield MessageRow(translation.cancelled_by, [translation.party.get(by, by)])
    if message.kind == "cancelled" and reason:
        yield MessageRow(translation.reason, [reason])
    if location and location != link:
        yield MessageRow(translation.location, [location])
    if link:
        yield MessageRow(translation.link, [link], safe_link(link))
