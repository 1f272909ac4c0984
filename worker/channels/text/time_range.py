"""The time range of a meeting and its formatting."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from babel.dates import format_date, format_interval, format_skeleton

from worker.channels.text.locale import UTC_ZONE, ReaderLocale
from worker.channels.text.sanitize import one_line


@dataclass(frozen=True)
class TimeRange:
    """Start and end as aware UTC times; `end` is None if it is unknown or not after the start."""

    start: datetime
    end: datetime | None

    @classmethod
    def of(cls, booking: dict[str, Any]) -> "TimeRange | None":
        """Return the time range of a booking; None if its start is unknown."""
        start, end = (_moment(booking.get(name)) for name in ("starts_at", "ends_at"))
        return cls(start, end if end and end > start else None) if start else None

    def spans_clock_change(self, zone: ZoneInfo) -> bool:
        """Whether the clocks of a zone change between start and end."""
        return self.end is not None and _offset(self.start, zone) != _offset(self.end, zone)

    def is_repeated(self, zone: ZoneInfo) -> bool:
        """Whether start or end is in the hour that a zone's clocks show twice when they go back."""
        local = [moment.astimezone(zone) for moment in (self.start, self.end) if moment]
        return any(each.replace(fold=0).utcoffset() != each.replace(fold=1).utcoffset() for each in local)

    def is_across_clock_change(self, other: "TimeRange", zone: ZoneInfo) -> bool:
        """Whether the clocks of a zone show another offset at the other's start."""
        return _offset(self.start, zone) != _offset(other.start, zone)

    def format_long(self, reader: ReaderLocale, *, with_offset: bool = False) -> str:
        """Format such as "Thursday, 15 January 2026, 15:00 to 15:30 (Europe/Berlin)", with a dash for "to".

        Args:
            reader: the locale to format for.
            with_offset: whether to show the offset from UTC; a time is shown with it anyway if it is ambiguous
                without, because the clocks change.
        """
        zone = reader.zone
        start, end = self.start.astimezone(zone), self.end and self.end.astimezone(zone)
        place = zone.key
        if self.spans_clock_change(zone) and end:
            until = _time(end, reader) if end.date() == start.date() else _date_and_time(end, reader)
            first = f"{_date_and_time(start, reader)} ({_offset_name(start)})"
            return one_line(f"{first} \N{EN DASH} {until} ({_offset_name(end)}) ({place})")
        if with_offset or self.is_repeated(zone):
            place = f"{place}, {_offset_name(start)}"
        if end and end.date() == start.date():
            times = format_interval(start, end, reader.clock, tzinfo=zone, locale=reader.locale)
            text = f"{format_date(start, 'full', locale=reader.locale)}, {times}"
        else:
            text = " \N{EN DASH} ".join(_date_and_time(moment, reader) for moment in (start, end) if moment)
        # Babel inserts thin and non-breaking spaces, which some mail programs show as boxes.
        return one_line(f"{text} ({place})")

    def format_short(self, reader: ReaderLocale) -> str:
        """Format such as "Thu, 15 Jan, 15:00". A time in UTC says so: mostly the reader's zone is not known."""
        start = self.start.astimezone(reader.zone)
        text = f"{format_skeleton('MMMEd', start, locale=reader.locale)}, {_time(start, reader)}"
        names_offset = reader.zone == UTC_ZONE or TimeRange(self.start, None).is_repeated(reader.zone)
        return one_line(f"{text} {_offset_name(start)}" if names_offset else text)


def _moment(text: str | None) -> datetime | None:
    if not text:
        return None
    moment = datetime.fromisoformat(text)
    return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)


def _date_and_time(moment: datetime, reader: ReaderLocale) -> str:
    return f"{format_date(moment, 'full', locale=reader.locale)}, {_time(moment, reader)}"


def _time(moment: datetime, reader: ReaderLocale) -> str:
    text = format_skeleton(reader.clock, moment, locale=reader.locale)
    return f"{text} Uhr" if reader.locale.language == "de" and "Uhr" not in text else text


def _offset(moment: datetime, zone: ZoneInfo) -> timedelta:
    return moment.astimezone(zone).utcoffset() or timedelta()


def _offset_name(moment: datetime) -> str:
    minutes = round((moment.utcoffset() or timedelta()) / timedelta(minutes=1))
    hours, rest = divmod(abs(minutes), 60)
    sign = "\N{MINUS SIGN}" if minutes < 0 else "+"
    return f"UTC{sign}{hours}{f':{rest:02}' if rest else ''}" if minutes else "UTC"
