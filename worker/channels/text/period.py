"""The time range of a meeting and its formatting."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

from babel import Locale
from babel.dates import format_date, format_interval, format_skeleton, format_time

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

    def format_long(self, zone: ZoneInfo, locale: Locale) -> str:
        """Format such as "Thursday, January 15, 2026, 3:00 to 3:30 PM (Europe/Berlin)", with a dash for "to"."""
        start, end = self.start.astimezone(zone), self.end and self.end.astimezone(zone)
        if end and end.date() == start.date():
            times = format_interval(start, end, _clock(locale), tzinfo=zone, locale=locale)
            text = f"{format_date(start, 'full', locale=locale)}, {times}"
        else:
            text = " \N{EN DASH} ".join(_date_and_time(moment, locale) for moment in (start, end) if moment)
        # Babel inserts thin and non-breaking spaces, which some mail programs show as boxes.
        return one_line(f"{text} ({zone.key})")

    def format_short(self, zone: ZoneInfo, locale: Locale) -> str:
        """Format such as "Thu, Jan 15, 3:00 PM"."""
        start = self.start.astimezone(zone)
        return one_line(f"{format_skeleton('MMMEd', start, locale=locale)}, {_time(start, locale)}")


def _moment(text: str | None) -> datetime | None:
    if not text:
        return None
    moment = datetime.fromisoformat(text)
    return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)


def _date_and_time(moment: datetime, locale: Locale) -> str:
    return f"{format_date(moment, 'full', locale=locale)}, {_time(moment, locale)}"


def _time(moment: datetime, locale: Locale) -> str:
    text = format_time(moment, "short", tzinfo=moment.tzinfo, locale=locale)
    return f"{text} Uhr" if locale.language == "de" else text


def _clock(locale: Locale) -> str:
    return "hm" if "a" in locale.time_formats["short"].pattern else "Hm"
