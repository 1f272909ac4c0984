"""A letter: one message in the words of its reader, as subject, plain text and HTML."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape

from meetergo.guests import departed
from worker.channels.base import Message
from worker.channels.guest import Guest
from worker.channels.locale import ReaderLocale
from worker.channels.period import TimeRange
from worker.channels.sanitize import one_line, unlinked, web_link
from worker.channels.translations import Translation

LONGEST_NAME = 80
"""Characters of a meeting's or a person's name in a subject."""

TEMPLATES = Environment(
    loader=FileSystemLoader(Path(__file__).parent / "templates"),
    autoescape=select_autoescape(["html"]),
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
TEMPLATES.filters["unlinked"] = unlinked


@dataclass(frozen=True)
class MessageRow:
    """One thing that a letter says: a label, and one line or several; `link` where it may be clicked on."""

    label: str
    lines: list[str]
    link: str | None = None


@dataclass(frozen=True)
class MessageText:
    """A message in words.

    Attributes:
        title: the meeting and its guests, such as "Discovery Call with Jane Doe".
        details: whom, where and why; for a calendar, which knows what and when by itself.
    """

    subject: str
    text: str
    html: str
    title: str
    details: list[MessageRow]

    @classmethod
    def about(cls, message: Message, *, is_personal: bool) -> "MessageText":
        """Writes it in the language of the booking's host.

        Args:
            message: the news.
            is_personal: whether the host reads it, rather than a place where several people read.
        """
        reader = ReaderLocale.of(message.host)
        words = reader.wording
        if message.kind == "summary":
            return cls._of_many(message, reader, is_personal=is_personal)
        title = _title(message.booking, words)
        details = [*_people(message, words), *_circumstances(message, words)]
        host = one_line((message.host or {}).get("name"))
        if host and not is_personal:
            details.append(MessageRow(words.host, [host]))
        subject = _subject(message, title, reader)
        rows = [MessageRow(words.what, [title]), *_times(message, reader), *details]
        text, html = _written(reader, subject, _lead(message, words), rows, host if is_personal else None)
        return cls(subject, text, html, title, details)

    @classmethod
    def _of_many(cls, message: Message, reader: ReaderLocale, *, is_personal: bool) -> "MessageText":
        """A summary: when and what, a line for each."""
        words, host = reader.wording, one_line((message.host or {}).get("name"))
        lines = [_briefly(booking, reader) for booking in message.bookings]
        missing = message.total - len(lines)
        rows = [MessageRow(words.what, [*lines, *([words.more.format(count=missing)] if missing > 0 else [])])]
        if host and not is_personal:
            rows.append(MessageRow(words.host, [host]))
        subject = f"{words.subject['summary']} ({message.total})"
        text, html = _written(reader, subject, words.lead["summary"], rows, host if is_personal else None)
        return cls(subject, text, html, subject, rows)


def _written(
    reader: ReaderLocale, subject: str, lead: str, rows: list[MessageRow], greeted: str | None
) -> Iterator[str]:
    """As plain text, and as HTML."""
    content = {
        "language": reader.locale.language,
        "subject": subject,
        "greeting": "" if greeted is None else f"{reader.wording.hello} {greeted}".strip(),
        "lead": lead,
        "rows": rows,
        "footer": reader.wording.footer,
    }
    return (TEMPLATES.get_template(f"letter.{form}").render(content) for form in ("txt", "html"))


def _lead(message: Message, words: Translation) -> str:
    if message.handed_over:
        return words.handed_over
    if message.kind == "rescheduled" and "starts_at" not in {
        name for name, was in (message.before or {}).items() if was
    }:
        return words.times_told
    return words.lead[message.kind]


def _briefly(booking: dict[str, Any], reader: ReaderLocale) -> str:
    period, title = TimeRange.of(booking), _title(booking, reader.wording)
    return f"{period.in_words(reader.zone, reader.locale)}: {title}" if period else title


def _subject(message: Message, title: str, reader: ReaderLocale) -> str:
    period = TimeRange.of(message.booking)
    when = f" ({period.briefly(reader.zone, reader.locale)})" if period else ""
    return f"{reader.wording.subject[message.kind]}: {title}{when}"


def _title(booking: dict[str, Any], words: Translation) -> str:
    meeting = one_line(booking.get("meeting_name"), LONGEST_NAME) or words.meeting
    names = [one_line(guest.called, LONGEST_NAME) for guest in Guest.all_of(booking.get("attendees")) if guest.called]
    if not names:
        return meeting
    sentence = {1: words.with_guest, 2: words.with_two}.get(len(names), words.with_more)
    return sentence.format(meeting=meeting, first=names[0], last=names[-1], count=len(names) - 1)


def _times(message: Message, reader: ReaderLocale) -> Iterator[MessageRow]:
    words = reader.wording
    now = TimeRange.of(message.booking)
    if now:
        yield MessageRow(words.when, [now.in_words(reader.zone, reader.locale)])
    before = TimeRange.of(message.booking | (message.before or {}))
    if message.kind == "rescheduled" and before and before != now:
        yield MessageRow(words.previously, [before.in_words(reader.zone, reader.locale)])


def _people(message: Message, words: Translation) -> Iterator[MessageRow]:
    guests = Guest.all_of(message.booking.get("attendees"))
    if message.kind == "attendee_left":
        attended = (message.before or {}).get("attendees") or ()
        left = Guest.all_of(departed(attended, message.booking.get("attendees") or ()))
        if left:
            yield MessageRow(words.left, _contacts(left, words))
        if left or guests:
            yield MessageRow(words.still, _contacts(guests, words) or [words.nobody])
    elif guests:
        yield MessageRow(words.guests, _contacts(guests, words))


def _contacts(guests: list[Guest], words: Translation) -> list[str]:
    return [guest.contact or words.nameless for guest in guests]


def _circumstances(message: Message, words: Translation) -> Iterator[MessageRow]:
    booking = message.booking
    location, link, reason, by = (
        one_line(booking.get(name)) for name in ("location", "meeting_link", "cancel_reason", "cancelled_by")
    )
    if message.kind == "cancelled" and by:
        yield MessageRow(words.cancelled_by, [words.party.get(by, by)])
    if message.kind == "cancelled" and reason:
        yield MessageRow(words.reason, [reason])
    if location and location != link:
        yield MessageRow(words.location, [location])
    if link:
        yield MessageRow(words.link, [link], web_link(link))
