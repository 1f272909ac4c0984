"""What a message says, in the reader's language: subject, greeting, rows; and all of it as plain text."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from meetergo.guests import departed
from worker.channels.base import Message
from worker.channels.text.attendee import MessageAttendee
from worker.channels.text.locale import ReaderLocale
from worker.channels.text.sanitize import break_links, one_line, safe_link
from worker.channels.text.time_range import TimeRange
from worker.channels.text.translations import Translation

MAX_NAME_LENGTH = 80
"""Maximum length of a meeting's or a person's name in a subject, in characters."""
MAX_LISTED = 100
"""Maximum number of guests that a message lists, and of bookings in a summary."""
REPLACED = re.compile(r"moved to (?:[A-Za-z0-9_-]{1,64}:)?[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}")
"""Reason of a booking that another one replaced, which it names by its key: see `Booking.cancel_as_moved`."""

TEMPLATES = Path(__file__).parent / "templates"
PLAIN_TEXT = Environment(
    loader=FileSystemLoader(TEMPLATES),
    autoescape=False,  # noqa: S701 - plain text has no markup
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


@dataclass(frozen=True)
class MessageRow:
    """One row of a message: a label, one or more lines, and `link` where the row is clickable.

    Nothing in the lines of any other row becomes a link in a mail program.
    """

    label: str
    lines: list[str]
    link: str | None = None

    @classmethod
    def of(cls, label: str, *lines: str) -> "MessageRow":
        """Build a row that is only text."""
        return cls(label, [break_links(line) for line in lines])


@dataclass(frozen=True)
class MessageText:
    """What a message says.

    Attributes:
        reader: language, region and time zone.
        subject: one line that says what happened to which meeting.
        title: the meeting and its guests, such as "Discovery Call with Jane Doe".
        greeting: such as "Hello Anna Muster"; empty if several people read the message.
        intro: one sentence that says what happened.
        details: attendees, place and reason, for a calendar entry, which already shows title and time.
        rows: title, times and details.
    """

    reader: ReaderLocale
    subject: str
    title: str
    greeting: str
    intro: str
    details: list[MessageRow]
    rows: list[MessageRow]

    @classmethod
    def render(cls, message: Message, *, is_personal: bool, max_listed: int = MAX_LISTED) -> "MessageText":
        """Write a message in the language of the booking's host.

        Args:
            message: the message to write.
            is_personal: whether the host reads it, rather than a place that several people read.
            max_listed: maximum number of guests that it lists, and of bookings in a summary.
        """
        reader = ReaderLocale.of(message.host)
        translation = reader.translation
        host = one_line((message.host or {}).get("name"))
        greeting = break_links(f"{translation.hello} {host}".strip()) if is_personal else ""
        host_rows = [MessageRow.of(translation.host, host)] if host and not is_personal else []
        if message.kind == "summary":
            rows = [_summary_row(message, reader, max_listed), *_zone_notes(reader), *host_rows]
            subject = f"{translation.subject['summary']} ({message.total})"
            return cls(reader, subject, subject, greeting, translation.intro["summary"], rows, rows)
        title = booking_title(message.booking, translation)
        details = [*booking_details(message, translation, max_listed), *host_rows]
        rows = [MessageRow.of(translation.what, title), *_time_rows(message, reader), *details]
        return cls(
            reader, _subject(message, title, reader), title, greeting, _intro(message, translation), details, rows
        )

    @property
    def footer(self) -> str:
        """The last line."""
        return self.reader.translation.footer

    @cached_property
    def text(self) -> str:
        """All of it as plain text."""
        return PLAIN_TEXT.get_template("message.txt").render(
            greeting=self.greeting, intro=self.intro, rows=self.rows, footer=self.footer
        )


def _summary_row(message: Message, reader: ReaderLocale, max_listed: int) -> MessageRow:
    """Return time and meeting, one line for each booking."""
    translation = reader.translation
    lines = [_summary_line(booking, reader) for booking in message.bookings[:max_listed]]
    missing = message.total - len(lines)
    return MessageRow.of(translation.what, *lines, *([translation.more.format(count=missing)] if missing > 0 else []))


def _intro(message: Message, translation: Translation) -> str:
    if message.handed_over:
        return translation.handed_over
    if message.kind == "rescheduled" and "starts_at" not in {
        name for name, was in (message.before or {}).items() if was
    }:
        return translation.time_known
    return translation.intro[message.kind]


def _summary_line(booking: dict[str, Any], reader: ReaderLocale) -> str:
    period, title = TimeRange.of(booking), booking_title(booking, reader.translation)
    return f"{period.format_long(reader)}: {title}" if period else title


def _subject(message: Message, title: str, reader: ReaderLocale) -> str:
    if message.kind == "attendee_left":  # the title names those who stay
        title = booking_title(message.booking | {"attendees": _departed(message)}, reader.translation)
    period = TimeRange.of(message.booking)
    when = f" ({period.format_short(reader)})" if period else ""
    return f"{reader.translation.subject[message.kind]}: {title}{when}"


def booking_title(booking: dict[str, Any], translation: Translation) -> str:
    """Return the meeting and its guests, such as "Discovery Call with Jane Doe"."""
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


def booking_details(message: Message, translation: Translation, max_listed: int = MAX_LISTED) -> list[MessageRow]:
    """Return attendees, place and reason, for a calendar entry, which already shows title and time."""
    return [*_attendee_rows(message, translation, max_listed), *_detail_rows(message, translation)]


def previous_period(message: Message) -> TimeRange | None:
    """Return when a rescheduled meeting was to take place; None if that was unknown or is the same time."""
    before = TimeRange.of(message.booking | (message.before or {}))
    return before if message.kind == "rescheduled" and before != TimeRange.of(message.booking) else None


def _time_rows(message: Message, reader: ReaderLocale) -> Iterator[MessageRow]:
    translation, zone = reader.translation, reader.zone
    now, before = TimeRange.of(message.booking), previous_period(message)
    is_across = now is not None and before is not None and now.is_across_clock_change(before, zone)
    if now:
        yield MessageRow.of(translation.when, now.format_long(reader, with_offset=is_across))
    if before:
        yield MessageRow.of(translation.previously, before.format_long(reader, with_offset=is_across))
    if not now:
        return
    if now.spans_clock_change(zone):
        yield MessageRow.of(translation.note, translation.clocks_change)
    elif now.is_repeated(zone):
        yield MessageRow.of(translation.note, translation.hour_repeats)
    elif is_across:
        yield MessageRow.of(translation.note, translation.clocks_changed)
    yield from _zone_notes(reader)


def _zone_notes(reader: ReaderLocale) -> Iterator[MessageRow]:
    if reader.is_zone_unknown:
        yield MessageRow.of(reader.translation.note, reader.translation.zone_unknown)


def departed_guests(message: Message) -> list[MessageAttendee]:
    """Return the guests whom a message says to have left."""
    return MessageAttendee.parse_all(_departed(message))


def _departed(message: Message) -> Sequence[Mapping[str, Any]]:
    if message.kind != "attendee_left":
        return []
    attended = (message.before or {}).get("attendees") or ()
    return departed(attended, message.booking.get("attendees") or ())


def _attendee_rows(message: Message, translation: Translation, max_listed: int) -> Iterator[MessageRow]:
    guests, left = MessageAttendee.parse_all(message.booking.get("attendees")), departed_guests(message)
    if message.kind == "attendee_left":
        if left:
            yield MessageRow.of(translation.no_longer_attending, *_contact_lines(left, translation, max_listed))
        if left or guests:
            yield MessageRow.of(
                translation.still_attending, *(_contact_lines(guests, translation, max_listed) or [translation.nobody])
            )
    elif guests:
        yield MessageRow.of(translation.guests, *_contact_lines(guests, translation, max_listed))


def _contact_lines(guests: list[MessageAttendee], translation: Translation, max_listed: int) -> list[str]:
    lines = [guest.contact_line or translation.unknown_guest for guest in guests[:max_listed]]
    missing = len(guests) - len(lines)
    return [*lines, translation.more.format(count=missing)] if missing else lines


def cancelled_by(message: Message, translation: Translation) -> str:
    """Return who cancelled the booking, as the message shows it; "" if that is unknown."""
    by = one_line(message.booking.get("cancelled_by")) if message.kind == "cancelled" else ""
    return translation.party.get(by, by)


def cancel_reason(message: Message, translation: Translation) -> str:
    """Return why the booking was cancelled, as the message shows it; "" if that is unknown."""
    reason = one_line(message.booking.get("cancel_reason")) if message.kind == "cancelled" else ""
    return translation.replaced if REPLACED.fullmatch(reason) else reason


def _detail_rows(message: Message, translation: Translation) -> Iterator[MessageRow]:
    location, link = (one_line(message.booking.get(name)) for name in ("location", "meeting_link"))
    by, reason = cancelled_by(message, translation), cancel_reason(message, translation)
    if by:
        yield MessageRow.of(translation.cancelled_by, by)
    if reason:
        yield MessageRow.of(translation.reason, reason)
    if location and location != link:
        yield MessageRow.of(translation.location, location)
    if link:
        clickable = safe_link(link)
        yield MessageRow(translation.link, [link], clickable) if clickable else MessageRow.of(translation.link, link)
